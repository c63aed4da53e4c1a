/* SPDX-License-Identifier: MIT
 *
 * dispatch: see dispatch.h. The file reads in the order of a call: enter, granted, run, done; then what cuts it short.
 *
 * A time-out first abandons the work, so that the executor knows why, and then tells the door, which answers. The work
 * may end within the first and the door may leave within the second: `is_expiring` keeps on_out for the end.
 */
#include "config.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "config/conf.h"
#include "front/dispatch.h"
#include "front/generation.h"
#include "front/stuck.h"

static void on_deadline(struct deadline *deadline);

static int64_t later(int64_t from_us, int64_t by_us)
{
    return by_us == CLOCK_NEVER ? CLOCK_NEVER : from_us + by_us;
}

static void arm(struct dispatch *d, int64_t at_us)
{
    struct heap *heap = &d->call.loop->deadlines;
    if (at_us == CLOCK_NEVER)
        heap_disarm(heap, &d->deadline);
    else
        heap_arm(heap, &d->deadline, at_us);
}

/* RUNNING: the next thing that is due */
static void arm_clock(struct dispatch *d)
{
    arm(d, d->is_reported ? d->call.deadline_us : d->report_us);
}

static struct dispatch *dispatch_of_ticket(struct gate_ticket *ticket)
{
    return (struct dispatch *)((char *)ticket - offsetof(struct dispatch, ticket));
}

void dispatch_init(struct dispatch *d, struct loop *loop, struct backend *backend, const struct dispatch_events *events)
{
    *d = (struct dispatch){.call = {.magic = CALL_MAGIC, .loop = loop, .deadline_us = CLOCK_NEVER},
                           .events = events,
                           .backend = backend,
                           .deadline = {.on_expired = on_deadline}};
}

/* ---- admission -------------------------------------------------------------------------------------------------- */

static void on_granted(struct gate_ticket *ticket)
{
    struct dispatch *d = dispatch_of_ticket(ticket);
    assert(d->state == DISPATCH_QUEUED);
    arm(d, CLOCK_NEVER);
    d->state = DISPATCH_GRANTED;
    d->call.started_us = clock_us();
    d->events->on_granted(d);
}

static void press(const struct dispatch *d)
{
    struct executor *executor = d->backend->executor;
    if (executor->ops->press != NULL)
        executor->ops->press(executor);
}

int64_t dispatch_patience(const struct dispatch *d, int64_t queue_until_us)
{
    int64_t hold_us = gate_hold_us(d->backend->gate);
    return hold_us < 0 ? queue_until_us : d->call.received_us + hold_us;
}

/* One that is paused may be under repair: its calls wait for what comes of it. */
static bool is_hopeless(struct backend *b, int64_t now_us)
{
    return atomic_load_explicit(&b->is_down, memory_order_relaxed) && !gate_stats(b->gate, now_us).is_paused;
}

enum dispatch_verdict dispatch_enter(struct dispatch *d, int64_t queue_until_us)
{
    assert(d->state == DISPATCH_OUT);
    struct call *call = &d->call;
    if (is_hopeless(d->backend, call->received_us))
        return DISPATCH_DOWN;
    call->queued_us = call->received_us;
    switch (gate_enter(d->backend->gate, &d->ticket, call->loop, on_granted, call->received_us)) {
    case GATE_ENTERED:
        d->state = DISPATCH_GRANTED;
        call->started_us = call->received_us;
        return DISPATCH_ENTERS;
    case GATE_WAIT:
        d->state = DISPATCH_QUEUED;
        arm(d, dispatch_patience(d, queue_until_us));
        press(d);
        return DISPATCH_WAITS;
    case GATE_FULL:
        break;
    }
    return DISPATCH_FULL;
}

/* ---- execution -------------------------------------------------------------------------------------------------- */

void dispatch_run(struct dispatch *d, int64_t timeout_us)
{
    assert(d->state == DISPATCH_GRANTED);
    struct executor *executor = d->backend->executor;
    d->call.deadline_us = later(d->call.started_us, timeout_us);
    d->state = DISPATCH_RUNNING;
    d->report_us = later(d->call.started_us, atomic_load_explicit(&d->backend->warn_after_us, memory_order_relaxed));
    d->is_reported = d->report_us >= d->call.deadline_us;
    d->held_us = 0;
    arm_clock(d);
    executor->ops->start(executor, &d->call);
}

void dispatch_hold(struct dispatch *d, int64_t until_us)
{
    if (d->state != DISPATCH_RUNNING || d->has_ended || d->is_done)
        return;
    if (d->held_us == 0)
        d->held_us = d->call.loop->now_us;
    arm(d, until_us);
}

static void put_off(int64_t *at_us, int64_t by_us)
{
    if (*at_us != CLOCK_NEVER)
        *at_us += by_us;
}

static void go_on(struct dispatch *d)
{
    if (d->held_us == 0)
        return;
    int64_t stood_us = d->call.loop->now_us - d->held_us;
    d->held_us = 0;
    put_off(&d->report_us, stood_us);
    put_off(&d->call.deadline_us, stood_us);
    if (!d->is_done)
        arm_clock(d);
}

void dispatch_resume(struct dispatch *d)
{
    go_on(d);
    if (d->state == DISPATCH_RUNNING && !d->has_ended && !d->is_done)
        d->backend->executor->ops->resume(d->backend->executor, &d->call);
}

void dispatch_note_end(struct dispatch *d)
{
    go_on(d);
    d->has_ended = true;
    d->call.ended_us = clock_us();
}

static void release(struct dispatch *d)
{
    gate_release(d->backend->gate, &d->ticket, d->call.loop->now_us);
}

static void get_out(struct dispatch *d)
{
    d->state = DISPATCH_OUT;
    d->events->on_out(d);
}

void dispatch_on_done(struct call *call)
{
    struct dispatch *d = dispatch_of(call);
    assert(d->state == DISPATCH_RUNNING && !d->is_done);
    arm(d, CLOCK_NEVER);
    release(d);
    d->is_done = true;
    if (!d->is_expiring)
        get_out(d);
}

/* ---- what cuts it short ----------------------------------------------------------------------------------------- */

static void abandon(struct dispatch *d, enum executor_why why)
{
    if (!d->is_done)
        d->backend->executor->ops->abandon(d->backend->executor, &d->call, why);
}

/* on_granted was overtaken by gate_cancel; the gate has passed the slot on */
static void on_cancelled(struct gate_ticket *ticket)
{
    struct dispatch *d = dispatch_of_ticket(ticket);
    assert(d->state == DISPATCH_CANCELLED);
    get_out(d);
}

static void leave_queue(struct dispatch *d)
{
    arm(d, CLOCK_NEVER);
    d->state = DISPATCH_CANCELLED;
    if (gate_cancel(d->backend->gate, &d->ticket, d->call.loop->now_us, on_cancelled))
        d->state = DISPATCH_OUT;
}

void dispatch_leave(struct dispatch *d)
{
    switch (d->state) {
    case DISPATCH_QUEUED:
        leave_queue(d);
        return;
    case DISPATCH_GRANTED:
        release(d);
        d->state = DISPATCH_OUT;
        return;
    case DISPATCH_RUNNING:
        go_on(d);
        abandon(d, EXECUTOR_CLIENT_LEFT);
        return;
    case DISPATCH_OUT:
    case DISPATCH_CANCELLED:
        return;
    }
}

static void on_queue_timeout(struct dispatch *d)
{
    int64_t now_us = d->call.loop->now_us, until_us = dispatch_patience(d, now_us);
    if (until_us > now_us) {
        arm(d, until_us); /* paused since it came */
        return;
    }
    bool is_down = atomic_load_explicit(&d->backend->is_down, memory_order_relaxed);
    leave_queue(d);
    d->events->on_timeout(d, is_down ? REASON_BACKEND_DOWN : REASON_QUEUE_TIMEOUT);
}

static void give_up(struct dispatch *d, enum executor_why why, enum reason reason)
{
    d->is_expiring = true;
    abandon(d, why);
    d->events->on_timeout(d, reason);
    d->is_expiring = false;
    if (d->is_done)
        get_out(d);
}

static void on_warn_after(struct dispatch *d)
{
    d->is_reported = true;
    arm_clock(d);
    if (!d->has_ended)
        stuck_report(d->backend, &d->call);
}

/* Its client takes nothing. Nobody wants the rest, which the backend has its time to be rid of. */
static void on_held_too_long(struct dispatch *d)
{
    go_on(d);
    give_up(d, EXECUTOR_CLIENT_LEFT, REASON_CLIENT_TIMEOUT);
}

static void on_deadline(struct deadline *deadline)
{
    struct dispatch *d = (struct dispatch *)((char *)deadline - offsetof(struct dispatch, deadline));
    if (d->state == DISPATCH_QUEUED)
        on_queue_timeout(d);
    else if (d->held_us != 0)
        on_held_too_long(d);
    else if (!d->is_reported)
        on_warn_after(d);
    else
        give_up(d, EXECUTOR_DEADLINE, REASON_DEADLINE);
}
