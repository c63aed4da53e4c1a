/* SPDX-License-Identifier: MIT
 *
 * thread: one event-loop thread of the front and everything that it alone touches: the h2o loop and context, the
 * deadline heap, the posted tasks, its connections, the generation in force on it, its log ring and counters. Created
 * by the main thread, run by its own; nobody else touches a member that is not marked otherwise.
 */
#ifndef BULKHEAD_FRONT_THREAD_H
#define BULKHEAD_FRONT_THREAD_H

#include <stdatomic.h>

#include "upstream/h2o_api.h"

#include "base/list.h"
#include "call/loop.h"
#include "call/reason.h"
#include "front/conn.h"

struct door;
struct generation;
struct writer_ring;

struct setup;
struct sockets;

/* Counters that the status page sums over threads; written by the owner with relaxed atomics, read by anybody. */
struct front_counters {
    _Atomic uint64_t connections_accepted, connections_open, connections_refused;
    _Atomic uint64_t requests, responses_by_class[6];
    _Atomic uint64_t refused[REASON_COUNT];
    _Atomic uint64_t cut[CONN_CUT_COUNT]; /* connections ended from our side, by why */
};

struct front_thread {
    struct loop loop; /* loop.h2o == &ctx */
    h2o_context_t ctx;
    h2o_globalconf_t *globalconf;
    unsigned index, count;           /* of `count` threads */
    struct generation *generation;   /* what new calls use; swapped on this thread only */
    struct writer_ring *access_ring; /* NULL: no access log */
    struct list conns;               /* struct conn, all open client connections of this thread */
    bool draining;
    _Atomic uint64_t beats; /* turns of the loop, for the heartbeat; any thread reads */
    struct front_counters counters;
    struct door *door;       /* the HTTP door's per-thread state: front/door.h, made by exchange_thread_init */
    struct front_private *p; /* listeners, message receiver, sweep: front/thread.c's own */
};

static inline struct front_thread *front_thread_of_loop(struct loop *loop)
{
    return (struct front_thread *)loop; /* `loop` is the first member */
}

/* All threads of this process, for summing counters and posting; fixed once started. */
extern struct front_thread *front_threads;
extern unsigned front_nthreads;

/* Main thread, once: `count` loop threads with the library's configuration in `setup` (borrowed for the life of the
 * process), serving `generation` (each takes a reference) on `sockets` (borrowed during the call). access_rings: one per
 * thread, or NULL. Returns when every one of them accepts connections. */
void thread_start_all(const struct setup *setup, struct generation *generation, struct sockets *sockets, unsigned count,
                      struct writer_ring **access_rings);
/* Main thread, one at a time: every loop goes over to `generation` (each takes a reference) and `sockets`, in one step:
 * what begins on it from then on belongs to them. `done` is posted to `home` when all have; both are borrowed until
 * then. */
void thread_swap_all(struct generation *generation, struct sockets *sockets, struct loop *home, struct loop_task *done);
/* Any thread: accept no more, let what runs end, break what is left at deadline_us. WebSockets are closed with close_code
 * meanwhile. Idempotent. */
void thread_drain_all(int64_t deadline_us, unsigned close_code);
/* Any thread: a drain is to come. Everything is served as before; thread_is_leaving says so. */
void thread_leave_all(void);
bool thread_is_leaving(void);
/* Any thread but a loop's: serves a client's connected socket as the admin listener would; takes fd. */
void thread_serve_admin(int fd);
/* Any thread: every loop has drained */
bool thread_all_drained(void);
/* The loop thread that runs this; NULL on others */
struct front_thread *thread_current(void);

static inline void thread_count(_Atomic uint64_t *counter, int64_t more)
{
    /* one writer: a plain read and write would do, if C had them for shared words */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t)more,
                          memory_order_relaxed);
}

#endif
