/* SPDX-License-Identifier: MIT
 *
 * proxy: the executor of `run: loop` backends with `proxy`: HTTP/1.1 to TCP or Unix upstreams that somebody else runs.
 * Least busy server first; kept connections per loop; a server that refused is passed over for a while. Slots = limit,
 * constant.
 */
#ifndef BULKHEAD_EXECUTOR_PROXY_H
#define BULKHEAD_EXECUTOR_PROXY_H

#include <sys/socket.h>

#include "executor/executor.h"

struct proxy_server {
    const char *text; /* as configured, for messages */
    const struct sockaddr *address;
    socklen_t address_len;
};

struct proxy_options {
    const char *backend;
    const struct proxy_server *servers;
    size_t nservers;
    unsigned loops, limit;
    int64_t connect_timeout_us, first_byte_timeout_us, idle_timeout_us, keep_alive_us;
    size_t response_head_max, response_fields_max, response_interim_max;
};

struct executor *proxy_create(const struct proxy_options *options);

#endif
