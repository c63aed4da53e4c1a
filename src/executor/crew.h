/* SPDX-License-Identifier: MIT
 *
 * crew: the executor of the classes `workers` and `threads`: leased workers behind Unix sockets, spoken to in HTTP/1.1,
 * FastCGI or native frames. A worker has `concurrency` slots, each at most one connection and one call. Which process
 * runs which call is known at any time. Slots are handed out most-recently-used first. The supervisor's messages change
 * the crew: crew_grant, crew_recall, crew_lost.
 */
#ifndef BULKHEAD_EXECUTOR_CREW_H
#define BULKHEAD_EXECUTOR_CREW_H

#include "executor/executor.h"

enum crew_protocol { CREW_HTTP, CREW_FASTCGI, CREW_NATIVE };

struct crew_options {
    const char *backend; /* borrowed for the crew's life, as all strings here */
    enum call_class run;
    enum crew_protocol protocol;
    const char *root, *index; /* fastcgi */
    unsigned loops;           /* number of front loop threads; with 1, idle connections stay on their loop */
    int64_t connect_timeout_us, first_byte_timeout_us, idle_timeout_us, keep_alive_us; /* -1 or CLOCK_NEVER: none */
    size_t response_head_max, response_fields_max, response_interim_max;
    bool kill_on_abandon;
    bool kill_only_if_queued; /* a worker past a call's deadline goes on unless calls wait for a slot */
    uint64_t max_calls;       /* of a worker, give or take a tenth, until it is told of as spent; 0: any number */
};

struct executor *crew_create(const struct crew_options *options);
/* Any thread. path: the worker's Unix socket (copied). Slots become usable at once. */
void crew_grant(struct executor *ex, unsigned slot, uint32_t generation, pid_t pid, unsigned concurrency,
                const char *path);
/* Any thread. The worker is given no new call or berth; its slots leave the count at once. When its running calls have
 * ended it is given back (return_worker), and its connections are closed; crew_lost may come first. Berths that are
 * taken stay what they are. */
void crew_recall(struct executor *ex, unsigned slot, uint32_t generation);
/* The worker is gone or must not be used again: running calls end with worker-lost when their connection breaks, or at
 * once if it is already broken; idle connections are closed; its slots leave the count. */
void crew_lost(struct executor *ex, unsigned slot, uint32_t generation, const char *why);
/* in_front threads: instead of a path, `connect` returns a connected non-blocking socket or -1 (any thread) */
void crew_grant_local(struct executor *ex, unsigned concurrency, int (*connect)(void *arg), void *arg);

#endif
