/* SPDX-License-Identifier: MIT
 *
 * ws_counters: what is counted of a route's WebSockets, for the status page. Hung on each route that has `websocket`;
 * the route of a later conf that is the same rule to the same backend has the same counters, which is how the one is
 * known for the heir of the other. Every loop thread adds to it, anybody reads.
 */
#ifndef BULKHEAD_FRONT_WS_COUNTERS_H
#define BULKHEAD_FRONT_WS_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Who ended a WebSocket */
#define WS_CLOSED_TABLE(X)                                                                                             \
    X(WS_CLOSED_CLIENT, "client")                                                                                      \
    X(WS_CLOSED_BULKHEAD, "bulkhead")                                                                                  \
    X(WS_CLOSED_BACKEND, "backend")                                                                                    \
    X(WS_CLOSED_LOST, "lost") /* nobody: the connection broke, or fell silent */
enum ws_closed {
#define X(enumerator, word) enumerator,
    WS_CLOSED_TABLE(X)
#undef X
        WS_CLOSED_COUNT
};
const char *ws_closed_word(enum ws_closed by);

struct ws_counters {
    _Atomic unsigned references;                                     /* routes */
    _Atomic uint64_t open;                                           /* now; also bounds them (max_connections) */
    _Atomic uint64_t opened, refused;                                /* handshakes answered 101; and with a problem */
    _Atomic uint64_t messages_in, messages_out, bytes_in, bytes_out; /* in: from the client; a tunnel has bytes only */
    _Atomic uint64_t closed[WS_CLOSED_COUNT];
    _Atomic uint64_t errors; /* messages' calls that failed, and closes that had a reason */
};

/* Any thread. */
static inline void ws_count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

#endif
