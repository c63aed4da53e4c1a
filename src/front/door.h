/* SPDX-License-Identifier: MIT
 *
 * door: what the HTTP door keeps for one loop thread between requests: exchanges for reuse, answers that are to be
 * handed to the library at the end of the turn, calls whose client is watched, HTTP/2 shares, the wall clock, request
 * ids. Made by exchange_thread_init, lives as long as its thread; nobody else touches it.
 *
 * Object map: front_thread → door → lists of exchanges. An exchange (exchange_private.h) points to its request, its
 * connection, its route and the generation that it keeps alive; its request points back through a guard block in the
 * request's pool, which tells the exchange when the library lets the request go.
 */
#ifndef BULKHEAD_FRONT_DOOR_H
#define BULKHEAD_FRONT_DOOR_H

#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "front/access_log.h"
#include "front/thread.h"

struct share_table;
struct ws_session;

#define DOOR_ID_LENGTH 32

struct door {
    struct front_thread *thread;
    struct list idle; /* struct exchange, not in use */
    unsigned nidle;
    struct list held;           /* struct reply: bytes came that the library does not have yet */
    struct deadline held_flush; /* hands them over when no end of a turn comes before the loop sleeps */
    struct list young;          /* struct departure: clients that made a sound and are to be watched, oldest first */
    struct deadline young_due;
    int watch_epoll;     /* clients of which only their departure is still of interest */
    h2o_socket_t *watch; /* the same, in the loop */
    struct share_table *shares;
    struct ws_session *sessions; /* by number: open WebSockets and tunnels (ws_session.c) */
    uint64_t session_numbers;    /* made so far */
    struct list idle_messages;   /* struct message (ws_messages.h), not in use */
    unsigned nidle_messages;
    unsigned parting;                          /* WebSockets that are closed, and whose backend is to hear of it yet */
    unsigned leave_code;                       /* draining: what sessions are closed with; 0: not draining */
    int64_t wall_offset_us, wall_refreshed_us; /* wall clock minus monotonic; when that was found */
    char id_prefix[16];                        /* random, hexadecimal */
    uint64_t ids;                              /* request ids made so far */
    struct access_stamp stamp;
};

/* Loop thread, when its context exists. It is never freed: it goes with the process. */
struct door *door_create(struct front_thread *thread);
void door_refresh_wall_clock(struct door *door);
/* A request id that nobody else makes, in out (DOOR_ID_LENGTH bytes). */
struct str door_make_id(struct door *door, char *out);

static inline int64_t door_wall_us(const struct door *door, int64_t mono_us)
{
    return mono_us + door->wall_offset_us;
}

/* a counter that only its own thread writes and anybody reads */
static inline void door_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
