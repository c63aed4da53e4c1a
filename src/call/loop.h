/* SPDX-License-Identifier: MIT
 *
 * loop: what the rooms below the front know of an event-loop thread: its deadlines, its cached time, and how to post
 * work to it from any thread. The front implements post over libh2o; tests implement it over a plain queue.
 */
#ifndef BULKHEAD_CALL_LOOP_H
#define BULKHEAD_CALL_LOOP_H

#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"

struct loop_task;
typedef void (*loop_task_fn)(struct loop_task *task);

/* Part of the object that it concerns. Between loop_post and run the object must not be freed. */
struct loop_task {
    struct list link;
    loop_task_fn run;
};

struct loop {
    unsigned id;           /* 0..threads-1 */
    struct heap deadlines; /* loop thread only */
    /* the time at the start of this turn of the loop, µs; loop thread only. Take clock_us() where a measured time
     * begins or ends. */
    int64_t now_us;
    /* any thread; task->run(task) is called later on the loop's thread, in order of posting, never before post returns
     */
    void (*post)(struct loop *loop, struct loop_task *task);
    void *h2o; /* the front's h2o_context_t; opaque below the rooms that may include h2o.h */
};

static inline void loop_post(struct loop *loop, struct loop_task *task)
{
    loop->post(loop, task);
}

#endif
