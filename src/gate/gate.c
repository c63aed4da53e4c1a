/* SPDX-License-Identifier: MIT
 *
 * gate: a backend's admission: see gate.h. A ticket's way:
 *
 *   OUT -enter-> RUNNING -release-> OUT                 a slot was free
 *   OUT -enter-> WAITING -cancel-> OUT                  gave up in time
 *   OUT -enter-> WAITING -grant-> GRANTED -message-> RUNNING -release-> OUT
 *                                 GRANTED -cancel-> GRANTED, cancelled -message-> OUT
 *
 * Any thread may grant: whoever frees a slot gives it to the first waiting ticket under the lock, and posts the message
 * to that ticket's loop after unlocking. From the grant until its message has run the ticket stays alive, because only
 * its own loop can end it and gate_cancel says no; so the poster may touch it without the lock. The gate itself is not
 * touched after unlocking, nor by messages: the last slot to be released leaves it free to go.
 */
#include "config.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gate/gate.h"

#define RETRY_AFTER_MIN_S 1
#define RETRY_AFTER_MAX_S 60
#define SECOND_US         INT64_C(1000000)
/* A release counts for a sixteenth of the measured interval: a burst of calls that began together also ends together,
 * and must not look like a fast backend. */
#define INTERVAL_WEIGHT 16

/* Gates whose calls are bounded together: one alone, or a backend's and those of confs that it comes from. */
struct gate_group {
    pthread_mutex_t lock; /* guards everything below, and all of each gate */
    struct list gates;    /* the oldest first */
    unsigned ngates, running /* sum of theirs */, most;
    bool is_paused;
    int64_t hold_us; /* while it is paused; -1: none */
};

/* The group's lock also guards the tickets' state, link and place in `waiting`. */
struct gate {
    struct gate_group *group;
    struct list link;    /* group.gates */
    struct list waiting; /* struct gate_ticket, first come first */
    unsigned nwaiting;   /* its length */
    unsigned limit, queue, running;
    uint64_t entered, queued, full, cancelled, released;
    /* Drain rate: only the time during which every slot is taken tells how fast they come free.
     * measured_from_us: since then all slots have been taken and none came free; 0: there is a free slot.
     * interval_us: the weighted mean time from one release to the next; -1: none was measured yet */
    int64_t measured_from_us, interval_us;
};

static struct gate *create(struct gate_group *group, unsigned limit, unsigned queue)
{
    struct gate *gate = mem_zalloc(sizeof(*gate));
    gate->group = group;
    list_init(&gate->waiting);
    gate->limit = limit;
    gate->queue = queue;
    gate->interval_us = -1;
    return gate;
}

struct gate *gate_create(unsigned limit, unsigned queue)
{
    struct gate_group *group = mem_zalloc(sizeof(*group));
    pthread_mutex_init(&group->lock, NULL);
    list_init(&group->gates);
    struct gate *gate = create(group, limit, queue);
    list_append(&group->gates, &gate->link);
    group->ngates = 1;
    group->most = UINT_MAX;
    group->hold_us = -1;
    return gate;
}

struct gate *gate_create_beside(struct gate *elder, unsigned limit, unsigned queue, unsigned most)
{
    struct gate_group *group = elder->group;
    struct gate *gate = create(group, limit, queue);
    pthread_mutex_lock(&group->lock);
    list_append(&group->gates, &gate->link);
    if (group->ngates++ == 1 || most > group->most)
        group->most = most;
    pthread_mutex_unlock(&group->lock);
    return gate;
}

static bool has_free_slot(const struct gate *gate)
{
    const struct gate_group *group = gate->group;
    return !group->is_paused && gate->running < gate->limit && group->running < group->most;
}

/* --- drain rate, all under the lock ------------------------------------------------------------------------------ */

/* To be called after `running` or `limit` changed. What a paused gate releases tells nothing. */
static void watch_drain_locked(struct gate *gate, int64_t now_us)
{
    if (gate->group->is_paused || has_free_slot(gate))
        gate->measured_from_us = 0;
    else if (gate->measured_from_us == 0)
        gate->measured_from_us = now_us;
}

/* Loops read the clock at different moments, so `now_us` may lie a little before the start. */
static int64_t measured_us(const struct gate *gate, int64_t now_us)
{
    return now_us > gate->measured_from_us ? now_us - gate->measured_from_us : 0;
}

static void measure_release_locked(struct gate *gate, int64_t now_us)
{
    if (gate->measured_from_us == 0)
        return;
    int64_t sample = measured_us(gate, now_us);
    if (gate->interval_us < 0)
        gate->interval_us = sample;
    else
        gate->interval_us += (sample - gate->interval_us) / INTERVAL_WEIGHT;
    gate->measured_from_us = now_us;
}

/* --- slots, all under the lock ----------------------------------------------------------------------------------- */

static void take_slot_locked(struct gate *gate, int64_t now_us)
{
    gate->running++;
    gate->group->running++;
    gate->entered++;
    watch_drain_locked(gate, now_us);
}

/* Moves the tickets that a slot is free for from `waiting` to `granted`, which the caller delivers after unlocking. */
static void grant_locked(struct gate *gate, struct list *granted, int64_t now_us)
{
    while (has_free_slot(gate)) {
        struct list *node = list_pop(&gate->waiting);
        if (node == NULL)
            break;
        gate->nwaiting--;
        LIST_ENTRY(node, struct gate_ticket, link)->state = GATE_STATE_GRANTED;
        list_append(granted, node);
        take_slot_locked(gate, now_us);
    }
}

static void grant_all_locked(struct gate_group *group, struct list *granted, int64_t now_us)
{
    for (struct list *l = group->gates.next; l != &group->gates; l = l->next) {
        struct gate *gate = LIST_ENTRY(l, struct gate, link);
        grant_locked(gate, granted, now_us);
        watch_drain_locked(gate, now_us);
    }
}

static void give_slot_back_locked(struct gate *gate, struct list *granted, int64_t now_us)
{
    assert(gate->running > 0);
    measure_release_locked(gate, now_us);
    gate->running--;
    gate->group->running--;
    gate->released++;
    grant_all_locked(gate->group, granted, now_us);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

/* On the ticket's loop. Whoever granted wrote the state before posting, so no lock is needed to read it here. */
static void on_grant_message(struct loop_task *task)
{
    struct gate_ticket *ticket = (struct gate_ticket *)((char *)task - offsetof(struct gate_ticket, task));
    assert(ticket->state == GATE_STATE_GRANTED);
    ticket->state = ticket->cancelled ? GATE_STATE_OUT : GATE_STATE_RUNNING;
    ticket->on_granted(ticket);
}

/* Without the lock. A ticket may be gone as soon as its message is posted: it leaves the list first. */
static void deliver(struct list *granted)
{
    struct list *node;
    while ((node = list_pop(granted)) != NULL) {
        struct gate_ticket *ticket = LIST_ENTRY(node, struct gate_ticket, link);
        loop_post(ticket->loop, &ticket->task);
    }
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

/* Out of its group: one that is left alone is bounded by its own limit only. */
void gate_free(struct gate **gate)
{
    struct gate *g = *gate;
    struct list granted;
    if (g == NULL)
        return;
    struct gate_group *group = g->group;
    list_init(&granted);
    pthread_mutex_lock(&group->lock);
    assert(g->running == 0 && list_empty(&g->waiting));
    list_unlink(&g->link);
    bool was_last = --group->ngates == 0;
    if (group->ngates == 1)
        group->most = UINT_MAX;
    grant_all_locked(group, &granted, clock_us());
    pthread_mutex_unlock(&group->lock);
    deliver(&granted);
    if (was_last) {
        pthread_mutex_destroy(&group->lock);
        mem_free(&group);
    }
    mem_free(gate);
}

/* --- entering and leaving ---------------------------------------------------------------------------------------- */

static void prepare(struct gate_ticket *ticket, struct gate *gate, struct loop *loop, gate_granted_fn on_granted,
                    int64_t now_us)
{
    list_init(&ticket->link);
    list_init(&ticket->task.link);
    ticket->task.run = on_grant_message;
    ticket->loop = loop;
    ticket->gate = gate;
    ticket->on_granted = on_granted;
    ticket->cancelled = false;
    ticket->entered_us = now_us;
}

enum gate_verdict gate_enter(struct gate *gate, struct gate_ticket *ticket, struct loop *loop,
                             gate_granted_fn on_granted, int64_t now_us)
{
    enum gate_verdict verdict;
    assert(ticket->state == GATE_STATE_OUT);
    prepare(ticket, gate, loop, on_granted, now_us);
    pthread_mutex_lock(&gate->group->lock);
    if (has_free_slot(gate)) {
        assert(list_empty(&gate->waiting));
        take_slot_locked(gate, now_us);
        ticket->state = GATE_STATE_RUNNING;
        verdict = GATE_ENTERED;
    } else if (gate->nwaiting < gate->queue) {
        list_append(&gate->waiting, &ticket->link);
        gate->nwaiting++;
        gate->queued++;
        watch_drain_locked(gate, now_us);
        ticket->state = GATE_STATE_WAITING;
        verdict = GATE_WAIT;
    } else {
        gate->full++;
        verdict = GATE_FULL;
    }
    pthread_mutex_unlock(&gate->group->lock);
    return verdict;
}

bool gate_cancel(struct gate *gate, struct gate_ticket *ticket, int64_t now_us, gate_granted_fn on_cancelled)
{
    struct list granted;
    list_init(&granted);
    assert(ticket->gate == gate);
    pthread_mutex_lock(&gate->group->lock);
    bool was_waiting = ticket->state == GATE_STATE_WAITING;
    assert(was_waiting || (ticket->state == GATE_STATE_GRANTED && !ticket->cancelled));
    gate->cancelled++;
    if (was_waiting) {
        list_unlink(&ticket->link);
        gate->nwaiting--;
        ticket->state = GATE_STATE_OUT;
    } else {
        ticket->cancelled = true;
        ticket->on_granted = on_cancelled;
        give_slot_back_locked(gate, &granted, now_us);
    }
    pthread_mutex_unlock(&gate->group->lock);
    deliver(&granted);
    return was_waiting;
}

void gate_release(struct gate *gate, struct gate_ticket *ticket, int64_t now_us)
{
    struct list granted;
    list_init(&granted);
    assert(ticket->gate == gate && ticket->state == GATE_STATE_RUNNING);
    ticket->state = GATE_STATE_OUT;
    pthread_mutex_lock(&gate->group->lock);
    give_slot_back_locked(gate, &granted, now_us);
    pthread_mutex_unlock(&gate->group->lock);
    deliver(&granted);
}

/* --- settings and figures ---------------------------------------------------------------------------------------- */

void gate_resize(struct gate *gate, unsigned limit, int64_t now_us)
{
    struct list granted;
    list_init(&granted);
    pthread_mutex_lock(&gate->group->lock);
    gate->limit = limit;
    grant_locked(gate, &granted, now_us);
    watch_drain_locked(gate, now_us);
    pthread_mutex_unlock(&gate->group->lock);
    deliver(&granted);
}

void gate_set_queue(struct gate *gate, unsigned queue)
{
    pthread_mutex_lock(&gate->group->lock);
    gate->queue = queue;
    pthread_mutex_unlock(&gate->group->lock);
}

void gate_pause(struct gate *gate, int64_t hold_us)
{
    struct gate_group *group = gate->group;
    pthread_mutex_lock(&group->lock);
    group->is_paused = true;
    group->hold_us = hold_us;
    for (struct list *l = group->gates.next; l != &group->gates; l = l->next)
        LIST_ENTRY(l, struct gate, link)->measured_from_us = 0;
    pthread_mutex_unlock(&group->lock);
}

void gate_resume(struct gate *gate, int64_t now_us)
{
    struct gate_group *group = gate->group;
    struct list granted;
    list_init(&granted);
    pthread_mutex_lock(&group->lock);
    group->is_paused = false;
    group->hold_us = -1;
    grant_all_locked(group, &granted, now_us);
    pthread_mutex_unlock(&group->lock);
    deliver(&granted);
}

int64_t gate_hold_us(struct gate *gate)
{
    pthread_mutex_lock(&gate->group->lock);
    int64_t hold_us = gate->group->hold_us;
    pthread_mutex_unlock(&gate->group->lock);
    return hold_us;
}

/* The time since the last release is a lower bound of the interval, and all that is known of a backend that has
 * released nothing yet or hangs now. */
unsigned gate_retry_after_s(struct gate *gate, int64_t now_us)
{
    pthread_mutex_lock(&gate->group->lock);
    int64_t calls = (int64_t)gate->nwaiting + 1;
    int64_t interval = gate->interval_us;
    if (gate->measured_from_us != 0 && measured_us(gate, now_us) > interval)
        interval = measured_us(gate, now_us);
    pthread_mutex_unlock(&gate->group->lock);
    if (interval > RETRY_AFTER_MAX_S * SECOND_US)
        return RETRY_AFTER_MAX_S;
    int64_t seconds = (calls * interval + SECOND_US - 1) / SECOND_US;
    if (seconds < RETRY_AFTER_MIN_S)
        return RETRY_AFTER_MIN_S;
    return seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (unsigned)seconds;
}

static int64_t oldest_waiting_locked(const struct gate *gate, int64_t now_us)
{
    const struct list *node = list_first(&gate->waiting);
    if (node == NULL)
        return 0;
    int64_t age = now_us - LIST_ENTRY(node, struct gate_ticket, link)->entered_us;
    return age > 0 ? age : 1;
}

struct gate_stats gate_stats(struct gate *gate, int64_t now_us)
{
    pthread_mutex_lock(&gate->group->lock);
    struct gate_stats stats = {.limit = gate->limit,
                               .running = gate->running,
                               .waiting = gate->nwaiting,
                               .queue = gate->queue,
                               .running_together = gate->group->running,
                               .is_paused = gate->group->is_paused,
                               .oldest_waiting_us = oldest_waiting_locked(gate, now_us),
                               .entered = gate->entered,
                               .queued = gate->queued,
                               .full = gate->full,
                               .cancelled = gate->cancelled,
                               .released = gate->released};
    pthread_mutex_unlock(&gate->group->lock);
    return stats;
}
