/* SPDX-License-Identifier: MIT
 *
 * h2o_api: the only way to include h2o.h. The packaged headers select the libuv flavour, with other struct layouts than
 * the evloop library's, unless told otherwise; that binary would link and corrupt memory.
 */
#ifndef BULKHEAD_UPSTREAM_H2O_API_H
#define BULKHEAD_UPSTREAM_H2O_API_H

#if !defined(H2O_USE_LIBUV) || H2O_USE_LIBUV != 0
#error "compile with -DH2O_USE_LIBUV=0 (see H2O_CPPFLAGS in configure.ac)"
#endif
#include <h2o.h>
#include <h2o/http1.h>

/* For the callback of a write, when no other write follows at once. A write that fits is completed without a look at what
 * the socket is polled for. If it was begun outside of the loop's run, and the socket changed otherwise before the next,
 * it is polled for room by now, and when there is some, the library asserts that somebody waits for it. Reading, or not
 * reading, once more makes it look. */
static inline void h2o_api_poll_anew(h2o_socket_t *sock)
{
    if (sock->_cb.read != NULL)
        h2o_socket_read_start(sock, sock->_cb.read);
    else
        h2o_socket_read_stop(sock);
}

#endif
