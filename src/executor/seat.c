/* SPDX-License-Identifier: MIT
 *
 * seat: what happens between a call's start and its on_done: the seat is taken, its hop runs the exchange, a failure is
 * repeated elsewhere or told, the seat is given back, on_done. Every function here runs on the loop of the call. What a
 * call's deadline or its client's departure does to the work is decided here (give_up): a worker is killed and the seat
 * stays taken until crew_lost, unless it is spared while no call waits (crew_press); a thread cannot be killed, so its
 * seat stays taken until it answers, or until its host is replaced because all its threads are like that (crew_press).
 *
 * Who wakes a STUCK seat when nobody answers? For workers crew_lost does: the supervisor owns the kill ladder and
 * reports every worker's end. For threads the host's death does, by the connection's end and by crew_lost.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "executor/crew_private.h"

/* A connection that breaks often means that its worker has just died; the supervisor's word of it is about to come.
 * Until then the seat is kept from calls that would only be lost, too. */
#define REST_US 50000
/* how often a call on a lost worker looks whether the process is really gone */
#define GRACE_US 1000000

static void on_seat_task(struct loop_task *task);
static void on_seat_deadline(struct deadline *d);

static struct crew *crew_of_seat(const struct seat *s)
{
    return s->worker->crew;
}

void seat_init(struct seat *s, struct crew_worker *worker)
{
    s->place.is_seat = true;
    s->state = SEAT_FRESH;
    s->worker = worker;
    list_init(&s->link);
    s->task.run = on_seat_task;
    s->deadline.on_expired = on_seat_deadline;
    hop_init(&s->hop, &worker->crew->hop);
}

static void arm(struct seat *s, int64_t in_us)
{
    heap_arm(&s->loop->deadlines, &s->deadline, s->loop->now_us + in_us);
}

static void enter_state(struct seat *s, enum seat_state state)
{
    pthread_mutex_lock(&crew_of_seat(s)->lock);
    s->state = state;
    pthread_mutex_unlock(&crew_of_seat(s)->lock);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

static size_t append(char *out, size_t at, struct str s)
{
    size_t n = s.len < SEAT_REQUEST_MAX - 1 - at ? s.len : SEAT_REQUEST_MAX - 1 - at;
    if (n != 0)
        memcpy(out + at, s.base, n);
    return at + n;
}

static void occupy_locked(struct seat *s, struct call *call)
{
    s->state = SEAT_RUNNING;
    s->call = call;
    s->loop = call->loop;
    s->started_us = call->loop->now_us;
    s->worker->busy++;
    size_t n = append(s->request, 0, call->request.method);
    n = append(s->request, n, STR(" "));
    n = append(s->request, n, call->request.path);
    s->request[n] = '\0';
}

static int64_t cpu_of(const struct crew_worker *w)
{
    struct timespec ts;
    if (!w->has_cpu_clock || clock_gettime(w->cpu_clock, &ts) != 0)
        return -1;
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void run(struct seat *s, struct call *call)
{
    s->cpu_us = cpu_of(s->worker);
    s->abandoned = s->told = false;
    call->executor_data = s;
    call->worker_pid = s->worker->pid;
    call->attempts++;
    hop_start(&s->hop, call, &s->worker->target);
}

static void waiter_done(struct waiter *w)
{
    struct call *call = w->call;
    free(w);
    call->sink->on_done(call);
}

static void on_waiter_deadline(struct deadline *d)
{
    waiter_done((struct waiter *)((char *)d - offsetof(struct waiter, deadline)));
}

static struct waiter *waiter_create(struct crew *c, struct call *call)
{
    struct waiter *w = mem_zalloc(sizeof(*w));
    list_init(&w->link);
    w->crew = c;
    w->call = call;
    w->task.run = seat_passed;
    w->deadline.on_expired = on_waiter_deadline;
    call->executor_data = w;
    return w;
}

void seat_start(struct executor *ex, struct call *call)
{
    struct crew *c = crew_of(ex);
    pthread_mutex_lock(&c->lock);
    struct seat *s = crew_take_locked(c, NULL);
    if (s != NULL)
        occupy_locked(s, call);
    else
        crew_line_up_locked(c, waiter_create(c, call), false);
    pthread_mutex_unlock(&c->lock);
    if (s != NULL)
        run(s, call);
}

/* ---- the call leaves its seat ----------------------------------------------------------------------------------- */

/* The seat has no call any more; `broken`: its connection ended in a way that makes its worker suspect. After this the
 * seat may be somebody else's, or freed. */
static void leave(struct seat *s, bool broken)
{
    struct crew *c = crew_of_seat(s);
    if (c->options.loops > 1 && s->hop.state == HOP_IDLE)
        hop_park(&s->hop);
    if (deadline_armed(&s->deadline))
        heap_disarm(&s->loop->deadlines, &s->deadline);
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = s->worker;
    bool lost = w->lost, leaving = crew_is_leaving(w);
    unsigned slot = w->slot;
    uint32_t generation = w->generation;
    s->call = NULL;
    w->busy--;
    uint64_t calls = ++w->calls;
    bool spent = calls == w->most_calls && !lost && !leaving;
    if (lost)
        s->state = SEAT_CLOSING;
    else if (broken && !leaving)
        s->state = SEAT_RESTING;
    else
        crew_vacate_locked(c, s);
    pthread_mutex_unlock(&c->lock);
    if (lost) {
        hop_close(&s->hop);
        crew_retire(s);
    } else if (leaving) {
        crew_withdrawn(c, slot, generation);
    } else if (broken) {
        arm(s, REST_US);
    }
    if (spent && c->super.spent_worker != NULL)
        c->super.spent_worker(&c->super, slot, generation, calls, c->super.lease_arg);
}

static void tell(struct seat *s, enum reason reason, const char *detail)
{
    if (s->abandoned || s->told)
        return;
    s->told = true;
    s->call->sink->on_end(s->call, reason, detail);
}

static void finish(struct seat *s, bool broken)
{
    struct call *call = s->call;
    leave(s, broken);
    call->sink->on_done(call);
}

static void end_soon(struct seat *s)
{
    hop_close(&s->hop);
    enter_state(s, SEAT_ENDING);
    arm(s, 0);
}

/* ---- the hop's word --------------------------------------------------------------------------------------------- */

static struct seat *seat_of_hop(struct hop *hop)
{
    return (struct seat *)((char *)hop - offsetof(struct seat, hop));
}

static enum reason reason_of(enum hop_outcome outcome)
{
    switch (outcome) {
    case HOP_COMPLETE:
        return REASON_NONE;
    case HOP_REFUSED:
    case HOP_RESET:
        return REASON_WORKER_LOST;
    case HOP_CONNECT_TIMEOUT:
        return REASON_DEADLINE;
    case HOP_GARBAGE:
        return REASON_UPSTREAM_GARBAGE;
    case HOP_FAILED:
        return REASON_HANDLER_FAILED;
    case HOP_TOO_LARGE:
        return REASON_HEAD_TOO_LARGE;
    default:
        assert(!"unknown outcome");
        return REASON_INTERNAL;
    }
}

static bool is_broken(const struct hop_result *result)
{
    return result->outcome == HOP_REFUSED || result->outcome == HOP_CONNECT_TIMEOUT || result->outcome == HOP_RESET;
}

/* The answer's own faults speak for themselves; the connection's need the worker's name. */
static void tell_failure(struct seat *s, const struct hop_result *result)
{
    char text[256];
    const char *detail = result->detail;
    if (is_broken(result)) {
        snprintf(text, sizeof(text), "worker %u (pid %d): %s", s->worker->slot, (int)s->worker->pid, result->detail);
        detail = text;
    }
    tell(s, reason_of(result->outcome), detail);
}

/* To a free seat of another worker, or else to the front of the line. */
static void repeat(struct seat *s)
{
    struct crew *c = crew_of_seat(s);
    struct call *call = s->call;
    call->body_sent = 0;
    pthread_mutex_lock(&c->lock);
    struct seat *other = crew_take_locked(c, s->worker);
    if (other != NULL)
        occupy_locked(other, call);
    else
        crew_line_up_locked(c, waiter_create(c, call), true);
    pthread_mutex_unlock(&c->lock);
    leave(s, true);
    if (other != NULL)
        run(other, call);
}

static void on_hop_end(struct hop *hop, struct call *call, const struct hop_result *result)
{
    struct seat *s = seat_of_hop(hop);
    struct retry_budget *retries = &crew_of_seat(s)->retries;
    bool wanted = !s->abandoned && !s->told;
    assert(s->call == call);
    if (result->outcome == HOP_COMPLETE) {
        retry_earn(retries);
        tell(s, REASON_NONE, NULL);
    } else if (wanted && call->attempts < 2 && retry_is_safe(call, result) && retry_spend(retries)) {
        repeat(s);
        return;
    } else {
        tell_failure(s, result);
    }
    finish(s, is_broken(result));
}

static bool calls_wait(struct crew *c)
{
    return c->super.calls_wait != NULL && c->super.calls_wait(&c->super, c->super.lease_arg);
}

/* Nobody needs its slot. Should somebody, crew_press is told. */
static bool is_spared(struct crew *c)
{
    return c->options.kill_only_if_queued && !calls_wait(c);
}

/* The work goes on although nobody waits for it: have the worker killed, or wait for its end. */
static void give_up(struct seat *s, const char *why, bool is_abandoned)
{
    struct crew *c = crew_of_seat(s);
    struct crew_worker *w = s->worker;
    bool kill_it = c->super.run == CALL_CLASS_WORKERS && (is_abandoned || !is_spared(c));
    if (kill_it)
        hop_close(&s->hop);
    pthread_mutex_lock(&c->lock);
    bool lost = w->lost, ask = kill_it && !lost && !w->killed;
    s->state = SEAT_STUCK;
    if (ask) {
        w->killed = true;
        crew_withdraw_locked(c, w);
    }
    unsigned slot = w->slot;
    uint32_t generation = w->generation;
    pthread_mutex_unlock(&c->lock);
    if (!kill_it) {
        if (calls_wait(c))
            crew_press(&c->super);
        hop_discard(&s->hop, true);
    } else if (lost) {
        end_soon(s);
    } else if (ask) {
        crew_announce(c);
        if (c->super.kill_worker != NULL)
            c->super.kill_worker(&c->super, slot, generation, why, c->super.lease_arg);
    }
}

static void on_hop_timeout(struct hop *hop, struct call *call, const char *detail)
{
    struct seat *s = seat_of_hop(hop);
    bool wanted = !s->abandoned && !s->told;
    s->told = true;
    give_up(s, "deadline", false);
    if (wanted)
        call->sink->on_end(call, REASON_DEADLINE, detail);
}

static void on_hop_idle_closed(struct hop *hop)
{
    struct seat *s = seat_of_hop(hop);
    struct crew *c = crew_of_seat(s);
    pthread_mutex_lock(&c->lock);
    if (s->state == SEAT_KEPT) {
        /* behind the others: its worker may have died */
        list_unlink(&s->link);
        s->state = SEAT_FRESH;
        list_append(&c->fresh, &s->link);
    }
    pthread_mutex_unlock(&c->lock);
}

const struct hop_events seat_hop_events = {
    .on_end = on_hop_end,
    .on_timeout = on_hop_timeout,
    .on_idle_closed = on_hop_idle_closed,
};

/* ---- what comes later ------------------------------------------------------------------------------------------- */

/* Gone, or dead and not yet reaped. pid 0: it is no process of its own. */
static bool process_has_ended(pid_t pid)
{
    if (pid == 0)
        return false;
    int fd = pidfd_open(pid, 0);
    if (fd == -1)
        return errno == ESRCH;
    bool ended = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
    close(fd);
    return ended;
}

/* A call on a lost worker goes on as long as the process does: it may be finishing its last call before it stops. When
 * the process is gone and the connection still open (a child of it holds it), the end of the connection may never come.
 * Unless it is we who do not read: then the rest of a good answer may be waiting there. */
static void look_after(struct seat *s)
{
    if (!process_has_ended(s->worker->pid) || hop_is_paused(&s->hop)) {
        arm(s, GRACE_US);
        return;
    }
    hop_close(&s->hop);
    tell(s, REASON_WORKER_LOST, "the worker is gone");
    finish(s, true);
}

/* Still lost after the rest? Then nothing is left of it; else it is as good as new, unless its process is dead and the
 * supervisor has not yet found the time to say so. No call holds the crew here, and once the seat is idle or withdrawn
 * another thread may take it away with its worker: hence a hold of our own. */
static void rise(struct seat *s)
{
    struct crew *c = crew_of_seat(s);
    struct crew_worker *w = s->worker;
    bool ended = process_has_ended(w->pid);
    pthread_mutex_lock(&c->lock);
    if (ended && !w->lost) {
        pthread_mutex_unlock(&c->lock);
        arm(s, REST_US);
        return;
    }
    bool lost = w->lost, leaving = crew_is_leaving(w);
    w->holds++;
    if (lost)
        s->state = SEAT_CLOSING;
    else
        crew_vacate_locked(c, s);
    pthread_mutex_unlock(&c->lock);
    if (lost)
        crew_retire(s);
    else if (leaving)
        crew_withdrawn(c, w->slot, w->generation);
    crew_release(w);
}

static void on_seat_deadline(struct deadline *d)
{
    struct seat *s = (struct seat *)((char *)d - offsetof(struct seat, deadline));
    switch (s->state) {
    case SEAT_RUNNING:
    case SEAT_STUCK:
        look_after(s);
        break;
    case SEAT_ENDING:
        finish(s, false);
        break;
    case SEAT_RESTING:
        rise(s);
        break;
    default:
        assert(!"seat deadline without a purpose");
    }
}

/* crew_lost, on the seat's loop */
static void on_seat_task(struct loop_task *task)
{
    struct seat *s = (struct seat *)((char *)task - offsetof(struct seat, task));
    struct crew_worker *w = s->worker;
    pthread_mutex_lock(&w->crew->lock);
    enum seat_state state = s->state;
    pthread_mutex_unlock(&w->crew->lock);
    switch (state) {
    case SEAT_CLOSING:
        hop_close(&s->hop);
        crew_retire(s);
        break;
    case SEAT_STUCK:
        if (w->crew->super.run == CALL_CLASS_WORKERS)
            finish(s, true);
        else
            arm(s, GRACE_US);
        break;
    case SEAT_RUNNING:
        arm(s, GRACE_US);
        break;
    default:
        break; /* it has noticed by itself */
    }
    crew_release(w);
}

/* The promised seat cannot be used after all: any idle one, or back to the front of the line. */
static struct seat *seat_instead_locked(struct crew *c, struct waiter *w)
{
    struct seat *s = crew_take_locked(c, NULL);
    if (s != NULL) {
        occupy_locked(s, w->call);
    } else {
        w->seat = NULL;
        crew_line_up_locked(c, w, true);
    }
    return s;
}

/* A seat came free for a call on the line; meanwhile the call may have been abandoned, or the worker lost. */
void seat_passed(struct loop_task *task)
{
    struct waiter *w = (struct waiter *)((char *)task - offsetof(struct waiter, task));
    struct crew *c = w->crew;
    struct seat *promised = w->seat, *taken = NULL;
    pthread_mutex_lock(&c->lock);
    bool lost = promised->worker->lost, leaving = crew_is_leaving(promised->worker);
    unsigned slot = promised->worker->slot;
    uint32_t generation = promised->worker->generation;
    if (lost)
        promised->state = SEAT_CLOSING;
    else if (w->abandoned || leaving)
        crew_vacate_locked(c, promised);
    else
        occupy_locked(taken = promised, w->call);
    if (taken == NULL && !w->abandoned)
        taken = seat_instead_locked(c, w);
    pthread_mutex_unlock(&c->lock);
    if (lost) {
        hop_close(&promised->hop);
        crew_retire(promised);
    } else if (leaving) {
        crew_withdrawn(c, slot, generation);
    }
    if (taken != NULL) {
        struct call *call = w->call;
        free(w);
        run(taken, call);
    } else if (w->abandoned) {
        waiter_done(w);
    }
}

/* ---- what the call's maker asks for ----------------------------------------------------------------------------- */

/* Not begun: it never will be. */
static void abandon_waiter(struct waiter *w)
{
    struct crew *c = w->crew;
    if (w->abandoned)
        return;
    w->abandoned = true;
    pthread_mutex_lock(&c->lock);
    bool promised = w->seat != NULL;
    list_unlink(&w->link);
    pthread_mutex_unlock(&c->lock);
    if (!promised)
        heap_arm(&w->call->loop->deadlines, &w->deadline, w->call->loop->now_us);
}

static void abandon_seat(struct seat *s, enum executor_why why)
{
    struct crew *c = crew_of_seat(s);
    if (s->state != SEAT_RUNNING || s->told)
        return;
    bool first = !s->abandoned;
    s->abandoned = true;
    if (!hop_has_sent(&s->hop))
        end_soon(s);
    else if (why == EXECUTOR_DEADLINE)
        give_up(s, "deadline", false);
    else if (c->options.kill_on_abandon && c->super.run == CALL_CLASS_WORKERS)
        give_up(s, "client left", true);
    else if (first)
        hop_discard(&s->hop, false);
}

void seat_abandon(struct executor *ex, struct call *call, enum executor_why why)
{
    struct place *place = call->executor_data;
    (void)ex;
    if (place->is_seat)
        abandon_seat((struct seat *)place, why);
    else
        abandon_waiter((struct waiter *)place);
}

bool seat_trace(struct executor *ex, const struct call *call, struct executor_trace *trace_r)
{
    const struct place *place = call->executor_data;
    (void)ex;
    if (!place->is_seat || ((const struct seat *)place)->worker->pid == 0)
        return false;
    const struct seat *s = (const struct seat *)place;
    *trace_r = (struct executor_trace){
        .slot = s->worker->slot, .generation = s->worker->generation, .pid = s->worker->pid, .cpu_us = s->cpu_us};
    return true;
}

void seat_resume(struct executor *ex, struct call *call)
{
    struct place *place = call->executor_data;
    (void)ex;
    if (place->is_seat && ((struct seat *)place)->state == SEAT_RUNNING)
        hop_resume(&((struct seat *)place)->hop);
}
