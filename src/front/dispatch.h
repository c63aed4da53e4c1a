/* SPDX-License-Identifier: MIT
 *
 * dispatch: a call's way through gate and executor: admitted, queued or refused; run, timed out or abandoned; and its
 * slot given back exactly once. It is the only place that knows gate and executor together, and it knows no door: what
 * made the call (an HTTP exchange, a WebSocket message) fills in the request and hears what becomes of it. Everything
 * runs on the call's loop thread.
 *
 * Life: OUT → enter → (QUEUED → granted →) RUNNING → OUT; on_out is the last word, whichever way it went. A dispatch that
 * is OUT holds no place anywhere and may be used again, or freed.
 *
 * The clock of a call's timeout runs while its backend works, and stands still while its client does not take the
 * answer (dispatch_hold): a slow client is not the worker's fault.
 */
#ifndef BULKHEAD_FRONT_DISPATCH_H
#define BULKHEAD_FRONT_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "call/call.h"
#include "executor/executor.h"
#include "gate/gate.h"

struct backend;
struct dispatch;

enum dispatch_state {
    DISPATCH_OUT,       /* holds no place */
    DISPATCH_QUEUED,    /* waits in gate.waiting; `deadline`: the end of the wait */
    DISPATCH_CANCELLED, /* left the queue while it was being granted; the gate's word is still to come */
    DISPATCH_GRANTED,   /* holds a slot; dispatch_run is still to come */
    DISPATCH_RUNNING    /* the executor has the call; `deadline`: timeout */
};

struct dispatch_events {
    /* After DISPATCH_WAITS: it holds a slot now. Fill in the request and call dispatch_run, or dispatch_leave. */
    void (*on_granted)(struct dispatch *d);
    /* It waited, ran, or was held up for too long: REASON_QUEUE_TIMEOUT, REASON_BACKEND_DOWN, REASON_DEADLINE or
     * REASON_CLIENT_TIMEOUT. No on_end comes any more, unless it had come. A wait is over (OUT, or CANCELLED with on_out
     * to come); work is abandoned, and on_out comes later. */
    void (*on_timeout)(struct dispatch *d, enum reason reason);
    /* The place came back after RUNNING or CANCELLED, and only then. May free or reuse the dispatch. */
    void (*on_out)(struct dispatch *d);
};

struct dispatch {
    struct call call; /* first: the executor hands its address to the sink. call.sink->on_done is dispatch_on_done */
    const struct dispatch_events *events;
    struct backend *backend;
    enum dispatch_state state;
    bool has_ended;    /* the executor has said all: dispatch_note_end */
    bool is_done;      /* the work has ended and the slot is back; on_out has come, or comes when is_expiring ends */
    bool is_expiring;  /* on_timeout is on the stack */
    bool is_reported;  /* it has run for warn_after, and that has been told; or it never will */
    int64_t report_us; /* when it has run for warn_after */
    int64_t held_us;   /* since when the client holds it up; 0: it does not */
    struct gate_ticket ticket;
    struct deadline deadline;
};

/* Ready for a call: everything zero but these. The door fills in call.sink, arrived_us and received_us. */
void dispatch_init(struct dispatch *d, struct loop *loop, struct backend *backend,
                   const struct dispatch_events *events);

enum dispatch_verdict {
    DISPATCH_ENTERS, /* GRANTED: go on with dispatch_run */
    DISPATCH_WAITS,  /* QUEUED: on_granted or on_timeout comes */
    DISPATCH_FULL,   /* REASON_QUEUE_FULL: OUT */
    DISPATCH_DOWN    /* REASON_BACKEND_DOWN: OUT */
};
/* When a wait for this call is over that would be at queue_until_us: a pause of the backend may say otherwise. */
int64_t dispatch_patience(const struct dispatch *d, int64_t queue_until_us);
/* queue_until_us: when the wait is over; CLOCK_NEVER: never. received_us is the call's, for the gate's clock. */
enum dispatch_verdict dispatch_enter(struct dispatch *d, int64_t queue_until_us);
/* GRANTED: call.request is filled in; the executor takes it. timeout_us: CLOCK_NEVER: none. */
void dispatch_run(struct dispatch *d, int64_t timeout_us);
/* Nobody wants it any more. In line or GRANTED: the place is given up, and the state is OUT on return, or CANCELLED with
 * on_out to come. Running: the work is abandoned (no on_end any more), and on_out comes when it has ended, perhaps
 * before this returns. Idempotent. */
void dispatch_leave(struct dispatch *d);
/* RUNNING, and the door's sink is full because its client does not take the answer: time stands still until
 * dispatch_resume, but no longer than until_us. Again: the client has taken something, and until_us is a later one. */
void dispatch_hold(struct dispatch *d, int64_t until_us);
/* The door's sink has room again. */
void dispatch_resume(struct dispatch *d);

/* for the door's struct call_sink */
void dispatch_on_done(struct call *call);
/* first thing in the door's on_end */
void dispatch_note_end(struct dispatch *d);

static inline struct dispatch *dispatch_of(struct call *call)
{
    return (struct dispatch *)call; /* `call` is the first member */
}

#endif
