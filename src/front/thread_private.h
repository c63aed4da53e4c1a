/* SPDX-License-Identifier: MIT
 *
 * thread_private: the part of a loop thread that only the front's glue to the library touches (thread.c, listener.c,
 * conn.c, sweep.c).
 */
#ifndef BULKHEAD_FRONT_THREAD_PRIVATE_H
#define BULKHEAD_FRONT_THREAD_PRIVATE_H

#include <pthread.h>

#include "front/listener.h"
#include "front/setup.h"
#include "front/thread.h"

struct front_private {
    const struct setup *setup;
    struct sockets *sockets; /* until the thread serves: to be taken over */
    pthread_t id;
    h2o_context_t *contexts[SETUP_KIND_COUNT];
    struct listener **listeners;
    size_t nlisteners;       /* 0 again once they are closed */
    struct listener control; /* of clients that the supervisor hands over; has no socket */
    struct deadline sweep;
    uint64_t sweep_round;

    /* Tasks posted by this thread itself: run at the end of the library's turn, from a timer of the library with a
     * delay of zero. */
    struct list local_tasks;
    h2o_timeout_entry_t local_timer;
    bool local_running;
    /* Tasks posted by other threads: a stack linked by list.next. Who finds it empty writes to wake_fd. */
    _Atomic(struct list *) remote_tasks;
    int wake_fd; /* eventfd; also in `wake` */
    h2o_socket_t *wake;

    struct loop_task swap_task;

    struct loop_task drain_task;
    _Atomic bool drain_asked; /* drain_task is posted at most once */
    int64_t drain_deadline_us, sessions_deadline_us;
    unsigned drain_close_code;
    _Atomic bool drained;
};

#endif
