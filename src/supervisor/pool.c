/* SPDX-License-Identifier: MIT
 *
 * pool: a backend's slots taken together: see pool.h. A slot is granted exactly while it is SLOT_READY, so that grants
 * and losses follow from the changes of state alone.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/identity.h"
#include "supervisor/nursery.h"
#include "supervisor/pool.h"

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

static bool all_failing(const struct pool *p)
{
    for (unsigned i = 0; i < p->nopen; i++) {
        if (!p->slots[i].failing)
            return false;
    }
    return p->nopen > 0;
}

bool pool_is_hopeless(const struct pool *p)
{
    for (unsigned i = 0; i < p->nopen; i++) {
        if (!p->slots[i].failing && !p->slots[i].slow_start)
            return false;
    }
    return p->nopen > 0;
}

static void judge(struct pool *p, const struct slot *s)
{
    bool down = all_failing(p);
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
    if (p->settled)
        return;
    for (unsigned i = 0; i < p->nopen; i++) {
        if (p->slots[i].state != SLOT_READY && !p->slots[i].failing)
            return;
    }
    p->settled = true;
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s: %u of %u workers ready", p->conf->name,
              pool_count(p, SLOT_READY), p->nopen);
}

void pool_on_slot(struct pool *p, struct slot *s, enum slot_state before)
{
    if (before == SLOT_READY && s->state != SLOT_READY)
        p->listener->on_lost(p->arg, s);
    judge(p, s);
    p->tried = p->tried || s->state == SLOT_READY || pool_is_hopeless(p);
    p->listener->on_state(p->arg, s);
    if (s->state == SLOT_READY)
        p->listener->on_grant(p->arg, s);
    settle(p);
    if (s->state == SLOT_IDLE && pool_is_idle(p))
        p->listener->on_idle(p->arg, p);
}

static bool give_to_front(const struct slot *s, const struct identity *front, char *error_r, size_t error_size)
{
    if (!front->set || chown(s->endpoint.path, front->uid, front->gid) == 0)
        return true;
    snprintf(error_r, error_size, "cannot give socket '%s' to user '%s': %s", s->endpoint.path, front->name,
             strerror(errno));
    return false;
}

bool pool_open(struct pool *p, const struct pool_options *options, char *error_r, size_t error_size)
{
    const struct conf_backend *conf = &options->conf->backends[options->backend];
    *p = (struct pool){.conf = conf,
                       .index = options->backend,
                       .nursery = options->nursery,
                       .listener = options->listener,
                       .arg = options->arg,
                       .nslots = worker_plan_processes(conf)};
    p->tried = p->nslots == 0;
    p->slots = mem_zalloc((p->nslots + 1) * sizeof(p->slots[0]));
    while (p->nopen < p->nslots) {
        struct slot *s = &p->slots[p->nopen++];
        if (!slot_open(s, p, p->nopen - 1, options->conf, options->directory, error_r, error_size) ||
            !give_to_front(s, options->front, error_r, error_size))
            return false;
    }
    return true;
}

void pool_close(struct pool *p)
{
    while (p->nopen > 0)
        slot_close(&p->slots[--p->nopen]);
    mem_free(&p->slots);
}

void pool_handle(struct pool *p, enum slot_event event)
{
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

void pool_kill(struct pool *p, uint32_t slot, uint32_t generation, const char *why)
{
    if (slot < p->nopen)
        slot_kill(&p->slots[slot], generation, why);
}
