/* SPDX-License-Identifier: MIT
 *
 * executor: where a call runs: one small interface, three places. There is one executor per backend and front; it is
 * shared by the front's loop threads, each call staying on its own loop. It does not know the gate: it is given no more
 * calls at once than the slots that it announced (it copes with a short excess by holding the call until a slot
 * is free). What it tells the call's maker is in call/call.h (struct call_sink).
 */
#ifndef BULKHEAD_EXECUTOR_EXECUTOR_H
#define BULKHEAD_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "call/call.h"

struct executor;

enum executor_why {
    EXECUTOR_CLIENT_LEFT, /* finish the work (on_abandon: finish) but nobody wants the answer */
    EXECUTOR_DEADLINE     /* the time is over; the connection is never used again; a worker is to be killed */
};

/* One slot's or worker's row for the status page */
struct executor_row {
    unsigned slot; /* worker index */
    pid_t pid;     /* 0: none */
    uint32_t generation;
    const char *state;       /* "idle" "busy" "stuck" "leaving" "down" "connecting" */
    unsigned busy;           /* calls in flight on this worker */
    unsigned berths;         /* connections bridged to it */
    uint64_t calls;          /* served so far */
    const struct call *call; /* the (oldest) current call or NULL; valid during the visit only when on the same loop,
                              * so visits happen on loop 0 with threads==1 and skip request text otherwise: see below */
    char request[160];       /* "GET /path" of the current call, cut, safe to print from any thread */
    int64_t age_us;          /* of the current call */
};
typedef void (*executor_visit_fn)(void *arg, const struct executor_row *row);

/* A place for a connection that stays: a bridged WebSocket or a tunnel. It is no call and takes no slot. */
struct executor_berth {
    struct executor *executor;
    struct sockaddr_storage address;
    socklen_t address_len;
    pid_t worker_pid; /* 0: not ours */
    bool refused;     /* the owner's word before unberth: it could not be connected to */
    void *place;      /* the executor's */
};

/* Who runs a call, for a report while it runs. */
struct executor_trace {
    unsigned slot;
    uint32_t generation;
    pid_t pid;
    int64_t cpu_us; /* CPU time of the process when the call began; -1: not known */
};

struct executor_ops {
    /* Any thread. The server or ready worker with the fewest berths, then the fewest running calls; counted as taken.
     * A server that refused lately is passed over while there is another. false: no worker is up, each has `limit` of
     * them, or its protocol has no connections that stay. NULL: this class has none. */
    bool (*berth)(struct executor *ex, unsigned limit, struct executor_berth *berth_r);
    /* Gives it back, once. Any thread; the worker may be lost and the executor freed meanwhile. */
    void (*unberth)(struct executor_berth *berth);
    /* takes the call until on_done; no callback runs before it returns */
    void (*start)(struct executor *ex, struct call *call);
    /* on_end will not come any more (if it has not yet); on_done comes when the work has really ended. Idempotent. */
    void (*abandon)(struct executor *ex, struct call *call, enum executor_why why);
    /* the sink has room again */
    void (*resume)(struct executor *ex, struct call *call);
    /* The call's loop. false: it runs on no process of ours. NULL: none does here. */
    bool (*trace)(struct executor *ex, const struct call *call, struct executor_trace *trace_r);
    /* Any thread. A call has to wait: what only goes on because nobody waited for it may be killed now, and so may a host
     * whose threads are all past their time. NULL: nothing does here. */
    void (*press)(struct executor *ex);
    /* any thread */
    void (*visit)(struct executor *ex, executor_visit_fn fn, void *arg);
    void (*free)(struct executor *ex);
};

/* The first member of every executor */
struct executor {
    const struct executor_ops *ops;
    const char *backend; /* name, borrowed */
    enum call_class run;
    /* Set by the front: how many slots there are now (any thread). The front resizes the gate by it. Called BEFORE the
     * on_done of calls whose slot is gone. */
    void (*on_slots)(struct executor *ex, unsigned slots, void *arg);
    void *on_slots_arg;
    /* Set by the front for leased classes: what the supervisor is to hear of a worker (any thread). Kill and replace it: */
    void (*kill_worker)(struct executor *ex, unsigned slot, uint32_t generation, const char *why, void *arg);
    /* it was recalled, and no call runs on it any more; it will not be used again: */
    void (*return_worker)(struct executor *ex, unsigned slot, uint32_t generation, uint64_t calls, void *arg);
    /* it has served as many calls as it is to; it goes on until it is recalled: */
    void (*spent_worker)(struct executor *ex, unsigned slot, uint32_t generation, uint64_t calls, void *arg);
    /* do calls wait for a slot? NULL: no */
    bool (*calls_wait)(struct executor *ex, void *arg);
    void *lease_arg;
};

#endif
