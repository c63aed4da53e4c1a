/* SPDX-License-Identifier: MIT
 *
 * crew_private: what crew.c (the table of workers and seats) and seat.c (a seat's life with its calls) share.
 *
 * Objects: a crew has crew_workers; a crew_worker has `concurrency` seats; a seat has at most one connection (its hop)
 * and one call. A call that finds no seat has a waiter on the crew's line instead. call->executor_data points to the
 * seat or the waiter. The crew's one mutex guards the lists, every seat's state, call and loop, and the workers'
 * counts; a seat's hop and the rest of it belong to the loop of its call, or, while it is idle, to whoever takes it off
 * its list (its hop is parked then) or to the only loop.
 *
 * A worker is freed when nothing holds it any more: each seat that is not GONE holds it, and so does each berth, and
 * each task that is on its way to a loop. Each worker, and the owner, holds the crew.
 */
#ifndef BULKHEAD_EXECUTOR_CREW_PRIVATE_H
#define BULKHEAD_EXECUTOR_CREW_PRIVATE_H

#include <pthread.h>
#include <sys/un.h>
#include <time.h>

#include "executor/crew.h"
#include "executor/retry.h"
#include "upstream/hop.h"

#define SEAT_REQUEST_MAX 160

enum seat_state {
    SEAT_FRESH,   /* idle, without connection; on crew->fresh */
    SEAT_KEPT,    /* idle, with a connection; on crew->kept */
    SEAT_PASSING, /* promised to a waiter, whose task is on its way to its loop */
    SEAT_RUNNING, /* its hop runs the call: waits for the hop's on_end */
    SEAT_STUCK, /* the call's time is over. Its worker is being killed: waits for crew_lost; else for the hop's on_end */
    SEAT_ENDING,  /* the work has ended; its deadline tells so in the next turn of the loop */
    SEAT_RESTING, /* no call; its connection broke just now: its deadline makes it idle again */
    SEAT_WITHDRAWN, /* no call; its worker is being killed, or was recalled: waits for crew_lost, or for the other seats */
    SEAT_CLOSING, /* no call; its worker is lost: its connection is being closed on its loop */
    SEAT_GONE,    /* its worker is lost; holds nothing */
    SEAT_STATE_COUNT
};

/* What call->executor_data points to */
struct place {
    bool is_seat;
};

struct seat {
    struct place place;
    bool counted; /* is one of crew->slots */
    enum seat_state state;
    struct crew_worker *worker;
    struct list link;
    struct loop *loop; /* of the call or of the kept connection */
    struct call *call;
    struct loop_task task;    /* crew_lost → the seat's loop */
    bool abandoned;           /* nobody wants the answer */
    bool told;                /* the sink had its on_end */
    struct deadline deadline; /* ENDING, RESTING; RUNNING on a lost worker: look whether the process is gone */
    int64_t started_us;
    int64_t cpu_us; /* of the process by then; -1: not known */
    char request[SEAT_REQUEST_MAX];
    struct hop hop;
};

struct crew_worker {
    struct list link; /* crew->workers */
    struct crew *crew;
    unsigned slot;
    uint32_t generation;
    pid_t pid;
    clockid_t cpu_clock; /* of the process, where has_cpu_clock */
    bool has_cpu_clock;
    bool lost;     /* crew_lost was called */
    bool killed;   /* kill_worker was called */
    bool recalled; /* crew_recall was called */
    unsigned busy, berths, holds;
    uint64_t calls, most_calls /* 0: any number */;
    struct sockaddr_un address;
    struct hop_target target;
    unsigned nseats;
    struct seat seats[];
};

struct waiter {
    struct place place;
    bool abandoned;
    struct list link; /* crew->waiting, until a seat is passed to it */
    struct crew *crew;
    struct call *call;
    struct seat *seat;
    struct loop_task task;
    struct deadline deadline; /* abandoned on the line: on_done in the next turn */
};

struct crew {
    struct executor super;
    struct crew_options options;
    struct hop_options hop;
    struct retry_budget retries;
    pthread_mutex_t lock; /* guards all below */
    struct list workers;
    struct list kept, fresh; /* idle seats, the most recently used first */
    struct list waiting;     /* waiters; a repeated call goes to the front */
    unsigned slots, announced;
    bool announcing;
    unsigned holds;
};

/* ---- crew.c: the table ------------------------------------------------------------------------------------------ */

/* An idle seat, off its list, or NULL; rather not one of `avoid` (or NULL). */
struct seat *crew_take_locked(struct crew *crew, const struct crew_worker *avoid);
/* The seat has no call any more: to the next waiter, or idle; withdrawn when its worker is leaving. */
void crew_vacate_locked(struct crew *crew, struct seat *seat);
/* Puts the call on the line. */
void crew_line_up_locked(struct crew *crew, struct waiter *waiter, bool first);
/* Takes the idle seats of a worker that is to be killed off their lists. */
void crew_withdraw_locked(struct crew *crew, struct crew_worker *worker);
/* Tells the front how many slots there are, if that has changed. */
void crew_announce(struct crew *crew);
/* No new call for it: it is being killed, or was recalled. */
bool crew_is_leaving(const struct crew_worker *worker);
/* A seat of a leaving worker was withdrawn: announces that, and gives the worker back if it was recalled and this was the
 * last of its seats. The worker may be gone already. */
void crew_withdrawn(struct crew *crew, unsigned slot, uint32_t generation);
/* A seat's connection is closed and its worker lost: it is GONE. May free worker and crew. */
void crew_retire(struct seat *seat);
/* Calls wait: kills a worker that has only been left alone because none did, or a thread host of which every thread is
 * past its time. */
void crew_press(struct executor *ex);
/* A posted task has run. May free worker and crew. */
void crew_release(struct crew_worker *worker);

/* ---- seat.c: a seat's life -------------------------------------------------------------------------------------- */

extern const struct hop_events seat_hop_events;
void seat_init(struct seat *seat, struct crew_worker *worker);
void seat_start(struct executor *ex, struct call *call);
void seat_abandon(struct executor *ex, struct call *call, enum executor_why why);
void seat_resume(struct executor *ex, struct call *call);
bool seat_trace(struct executor *ex, const struct call *call, struct executor_trace *trace_r);
/* loop_task_fn of waiter.task: a seat was passed to it */
void seat_passed(struct loop_task *task);

static inline struct crew *crew_of(struct executor *ex)
{
    return (struct crew *)ex; /* `super` is the first member */
}

#endif
