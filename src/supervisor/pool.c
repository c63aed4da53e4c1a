/* SPDX-License-Identifier: MIT
 *
 * pool: a backend's slots taken together: see pool.h. A slot is granted exactly while it is SLOT_READY or SLOT_RECALLED,
 * so that grants and losses follow from the changes of state alone.
 *
 * Replacement follows from three rules, looked at in the loop's next turn after anything has changed (`tend`): when fewer
 * slots are staffed than wanted, a spare one is started; when more are staffed than wanted, one of them becomes due; when
 * more are ready than wanted, one that is due is recalled. What never gets ready therefore keeps the old ones in place,
 * and how many go at once is the number of spare slots.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "diag/log.h"
#include "supervisor/guardian.h"
#include "supervisor/identity.h"
#include "supervisor/nursery.h"
#include "supervisor/pool.h"

/* what a front with much to do may take beyond the time limits of its calls */
#define PATIENCE_MORE_US 5000000
/* how many workers there may come to be while it runs: so many times those of the conf, or at least so many */
#define GROWTH_MOST  4
#define GROWTH_LEAST 64

unsigned pool_count(const struct pool *p, enum slot_state state)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->nopen; i++)
        n += p->slots[i].state == state;
    return n;
}

bool pool_is_idle(const struct pool *p)
{
    for (unsigned i = 0; i < p->nopen; i++) {
        if (p->slots[i].state != SLOT_IDLE || !p->slots[i].last)
            return false;
    }
    return true;
}

static unsigned count_staffed(const struct pool *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->nopen; i++)
        n += slot_is_staffed(&p->slots[i]);
    return n;
}

/* No slot is anything but failing, or spare, and as many are failing as are wanted: one that is due serves until it is
 * recalled, and before the start is through slots are idle without being spare. */
static bool none_but(const struct pool *p, bool (*is_failing)(const struct slot *s))
{
    unsigned failing = 0;
    for (unsigned i = 0; i < p->nopen; i++) {
        if (is_failing(&p->slots[i]))
            failing++;
        else if (p->slots[i].state != SLOT_IDLE)
            return false;
    }
    return failing > 0 && failing >= p->wanted;
}

static bool is_failing(const struct slot *s)
{
    return s->failing;
}

static bool is_hopeless(const struct slot *s)
{
    return s->failing || s->slow_start;
}

bool pool_is_hopeless(const struct pool *p)
{
    return none_but(p, is_hopeless);
}

static void judge(struct pool *p, const struct slot *s)
{
    bool down = none_but(p, is_failing);
    if (down == p->down)
        return;
    p->down = down;
    if (down)
        log_write(LOG_LEVEL_ERROR, "supervisor", "backend %s is down, no worker of it can be started: %s",
                  p->conf->name, s->why);
    else
        log_write(LOG_LEVEL_INFO, "supervisor", "backend %s is up again", p->conf->name);
    p->listener->on_down(p->arg, p);
}

/* Said once: what a human who has just started bulkhead waits for. */
static void settle(struct pool *p)
{
    unsigned ended = 0;
    if (p->settled)
        return;
    for (unsigned i = 0; i < p->nopen; i++) {
        ended += p->slots[i].state == SLOT_READY || p->slots[i].failing;
    }
    if (ended < p->wanted)
        return;
    p->settled = true;
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s: %u of %u workers ready", p->conf->name,
              pool_count(p, SLOT_READY), p->wanted);
}

/* ---- replacement ------------------------------------------------------------------------------------------------ */

static void tend_soon(struct pool *p)
{
    if (p->stopping || ev_is_active(&p->tend))
        return;
    ev_timer_set(&p->tend, 0., 0.);
    ev_timer_start(p->nursery->loop, &p->tend);
}

void pool_on_due(struct pool *p)
{
    tend_soon(p);
}

static struct slot *find_spare(struct pool *p)
{
    for (unsigned i = 0; i < p->nopen; i++) {
        if (p->slots[i].state == SLOT_IDLE)
            return &p->slots[i];
    }
    return NULL;
}

/* One that still has a call of a front that is gone is replaced afterwards: the front of now does not know of that call,
 * and would run another beside it. */
static unsigned count_taken(const struct pool *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->nopen; i++)
        n += slot_is_staffed(&p->slots[i]) || p->slots[i].state == SLOT_PROBING;
    return n;
}

static void fill_up(struct pool *p)
{
    struct slot *spare;
    while (count_taken(p) < p->wanted && (spare = find_spare(p)) != NULL)
        slot_handle(spare, SLOT_START);
}

/* The highest first, so that numbers stay low. One that is being ended comes to its turn when it is back. */
static void thin_out(struct pool *p)
{
    unsigned staffed = count_staffed(p);
    for (unsigned i = p->nopen; i > 0 && staffed > p->wanted; i--) {
        struct slot *s = &p->slots[i - 1];
        if (!slot_is_staffed(s))
            continue;
        if (s->state == SLOT_BACKOFF)
            slot_handle(s, SLOT_RECALL);
        else
            slot_retire(s, "fewer workers are wanted");
        staffed -= !slot_is_staffed(s);
    }
}

static struct slot *find_oldest_due(struct pool *p)
{
    struct slot *oldest = NULL;
    for (unsigned i = 0; i < p->nopen; i++) {
        struct slot *s = &p->slots[i];
        if (s->state == SLOT_READY && s->due && (oldest == NULL || s->spawned_us < oldest->spawned_us))
            oldest = s;
    }
    return oldest;
}

static void let_go(struct pool *p)
{
    struct slot *due;
    while (pool_count(p, SLOT_READY) > p->wanted && (due = find_oldest_due(p)) != NULL)
        slot_handle(due, SLOT_RECALL);
}

/* From the loop, so that no slot is moved while another one is. */
static void on_tend(struct ev_loop *loop, ev_timer *w, int events)
{
    struct pool *p = w->data;
    fill_up(p);
    thin_out(p);
    let_go(p);
}

/* ---- what the slots say ----------------------------------------------------------------------------------------- */

void pool_on_slot(struct pool *p, struct slot *s, enum slot_state before)
{
    if (s->state == SLOT_RECALLED)
        p->listener->on_recall(p->arg, s);
    else if (slot_is_granted(before) && !slot_is_granted(s->state))
        p->listener->on_lost(p->arg, s);
    judge(p, s);
    p->tried = p->tried || s->state == SLOT_READY || pool_is_hopeless(p);
    p->listener->on_state(p->arg, s);
    if (s->state == SLOT_READY)
        p->listener->on_grant(p->arg, s);
    settle(p);
    if (s->state == SLOT_IDLE && pool_is_idle(p))
        p->listener->on_idle(p->arg, p);
    tend_soon(p);
}

static bool give_to_front(const struct slot *s, const struct identity *front, char *error_r, size_t error_size)
{
    if (!front->set || chown(s->endpoint.path, front->uid, front->gid) == 0)
        return true;
    snprintf(error_r, error_size, "cannot give socket '%s' to user '%s': %s", s->endpoint.path, front->name,
             strerror(errno));
    return false;
}

static int64_t longest_call(const struct conf *conf, size_t backend)
{
    int64_t longest = conf->backends[backend].timeout;
    for (size_t i = 0; i < conf->nroutes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->action == CONF_ROUTE_BACKEND && route->backend == backend && route->timeout > longest)
            longest = route->timeout;
    }
    return longest + PATIENCE_MORE_US;
}

/* Memory that is not used yet costs nothing; slots must not move. */
static unsigned most_workers(unsigned wanted)
{
    return wanted * GROWTH_MOST > GROWTH_LEAST ? wanted * GROWTH_MOST : GROWTH_LEAST;
}

static bool open_slots(struct pool *p, unsigned count, char *error_r, size_t error_size)
{
    assert(count <= p->nslots);
    while (p->nopen < count) {
        struct slot *s = &p->slots[p->nopen++];
        if (!slot_open(s, p, p->nopen - 1, p->part, p->directory, error_r, error_size) ||
            !give_to_front(s, p->front, error_r, error_size))
            return false;
    }
    return true;
}

bool pool_open(struct pool *p, const struct pool_options *options, char *error_r, size_t error_size)
{
    struct conf *part = conf_change_part(options->conf, options->backend);
    const struct conf_backend *conf = &part->backends[0];
    *p = (struct pool){.id = options->id,
                       .part = part,
                       .conf = conf,
                       .nursery = options->nursery,
                       .listener = options->listener,
                       .arg = options->arg,
                       .directory = options->directory,
                       .front = options->front,
                       .wanted = worker_plan_processes(conf),
                       .patience_us = longest_call(options->conf, options->backend)};
    p->nslots = p->wanted == 0 ? 0 : most_workers(p->wanted) + conf->max_surge;
    p->tried = p->nslots == 0;
    ev_timer_init(&p->tend, on_tend, 0., 0.);
    p->tend.data = p;
    p->slots = mem_zalloc((p->nslots + 1) * sizeof(p->slots[0]));
    return p->wanted == 0 || open_slots(p, p->wanted + conf->max_surge, error_r, error_size);
}

void pool_close(struct pool *p)
{
    if (p->nursery != NULL)
        ev_timer_stop(p->nursery->loop, &p->tend);
    while (p->nopen > 0)
        slot_close(&p->slots[--p->nopen]);
    mem_free(&p->slots);
    conf_free(&p->part);
    conf_free(&p->live);
}

void pool_adapt(struct pool *p, const struct conf *conf, size_t backend)
{
    conf_free(&p->live);
    p->live = conf_change_part(conf, backend);
    p->conf = &p->live->backends[0];
    p->patience_us = longest_call(conf, backend);
}

void pool_start(struct pool *p)
{
    for (unsigned i = 0; i < p->wanted; i++)
        slot_handle(&p->slots[i], SLOT_START);
}

bool pool_resize(struct pool *p, unsigned wanted, char *error_r, size_t error_size)
{
    unsigned before = p->nopen, most = p->nslots - p->conf->max_surge;
    if (p->stopping) {
        snprintf(error_r, error_size, "bulkhead is being stopped");
        return false;
    }
    if (wanted == 0 || wanted > most) {
        snprintf(error_r, error_size,
                 "%s can have 1 to %u workers while bulkhead runs; for others, set workers in the conf", p->conf->name,
                 most);
        return false;
    }
    if (wanted > p->wanted && 2 * (size_t)(wanted - p->wanted) > guardian_room(p->nursery->guardian)) {
        snprintf(error_r, error_size, "%u more processes are too many beside those that run", wanted - p->wanted);
        return false;
    }
    if (!open_slots(p, wanted + p->conf->max_surge, error_r, error_size)) {
        while (p->nopen > before)
            slot_close(&p->slots[--p->nopen]);
        return false;
    }
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s: %u workers are wanted instead of %u", p->conf->name, wanted,
              p->wanted);
    p->wanted = wanted;
    tend_soon(p);
    return true;
}

bool pool_is_settled(const struct pool *p)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < p->nopen; i++) {
        const struct slot *s = &p->slots[i];
        if (s->state != SLOT_IDLE && (s->state != SLOT_READY || s->due))
            return false;
        ready += s->state == SLOT_READY;
    }
    return ready == p->wanted;
}

void pool_handle(struct pool *p, enum slot_event event)
{
    if (event == SLOT_STOP || event == SLOT_STOP_NOW) {
        p->stopping = true;
        ev_timer_stop(p->nursery->loop, &p->tend);
    }
    for (unsigned i = 0; i < p->nopen; i++)
        slot_handle(&p->slots[i], event);
}

void pool_retell(const struct pool *p)
{
    if (p->down)
        p->listener->on_down(p->arg, p);
    for (unsigned i = 0; i < p->nopen; i++) {
        p->listener->on_state(p->arg, &p->slots[i]);
        if (p->slots[i].state == SLOT_READY)
            p->listener->on_grant(p->arg, &p->slots[i]);
    }
}

struct slot *pool_find(struct pool *p, uint32_t slot, uint32_t generation)
{
    struct slot *s = slot < p->nopen ? &p->slots[slot] : NULL;
    return s != NULL && slot_is_granted(s->state) && s->generation == generation ? s : NULL;
}

void pool_kill(struct pool *p, uint32_t slot, uint32_t generation, const char *why)
{
    struct slot *s = pool_find(p, slot, generation);
    if (s != NULL)
        slot_kill(s, SLOT_KILL, why);
}

void pool_returned(struct pool *p, uint32_t slot, uint32_t generation, uint32_t calls)
{
    struct slot *s = pool_find(p, slot, generation);
    if (s == NULL)
        return;
    s->calls = calls;
    slot_handle(s, SLOT_RETURNED);
}

void pool_spent(struct pool *p, uint32_t slot, uint32_t generation, uint32_t calls)
{
    char why[64];
    struct slot *s = pool_find(p, slot, generation);
    if (s == NULL)
        return;
    snprintf(why, sizeof(why), "max_requests: it has served %" PRIu32 " calls", calls);
    slot_retire(s, why);
}
