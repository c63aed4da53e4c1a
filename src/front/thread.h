/* SPDX-License-Identifier: MIT
 *
 * thread: one event-loop thread of the front and everything that it alone touches: the h2o loop and context, the deadline
 * heap, the posted tasks, its connections, the generation in force on it, its log ring and counters. Created by the main
 * thread, run by its own; nobody else touches a member that is not marked otherwise.
 */
#ifndef BULKHEAD_FRONT_THREAD_H
#define BULKHEAD_FRONT_THREAD_H

#include <stdatomic.h>

#include "upstream/h2o_api.h"

#include "base/list.h"
#include "call/loop.h"
#include "call/reason.h"

struct door;
struct generation;
struct writer_ring;

/* Counters that the status page sums over threads; written by the owner with relaxed atomics, read by anybody. */
struct front_counters {
    _Atomic uint64_t connections_accepted, connections_open, connections_refused;
    _Atomic uint64_t requests, responses_by_class[6];
    _Atomic uint64_t refused[REASON_COUNT];
};

struct front_thread {
    struct loop loop; /* loop.h2o == &ctx */
    h2o_context_t ctx;
    h2o_globalconf_t *globalconf;
    unsigned index, count; /* of `count` threads */
    struct generation *generation; /* what new calls use; swapped on this thread only */
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

#endif
