/* SPDX-License-Identifier: MIT
 *
 * farewell: closes a socket whose peer may have stopped reading. TLS says goodbye with some bytes of its own, and the
 * library waits for them to go without limit: where there is no room for them, the connection is broken instead. Loop
 * thread.
 */
#ifndef BULKHEAD_UPSTREAM_FAREWELL_H
#define BULKHEAD_UPSTREAM_FAREWELL_H

#include <stdbool.h>

struct st_h2o_socket_t;

/* Takes the socket. `broken`: there is nobody to say goodbye to. */
void farewell(struct st_h2o_socket_t *sock, bool broken);

#endif
