/* SPDX-License-Identifier: MIT
 *
 * orders: see orders.h. A recycling is done when every worker that is wanted is ready and was started after the order,
 * and none from before is left; it has failed, for the one who waits, when one that was started after it did not get
 * ready. It is tried on all the same.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/front_child.h"
#include "supervisor/orders.h"
#include "supervisor/pool.h"
#include "wire/command.h"

#define NAMED_MAX 20 /* in an error */

static void put_error(struct buf *out, const char *words)
{
    buf_append_z(out, "{\"error\":");
    buf_append_json(out, str_of(words));
    buf_append_char(out, '}');
}

static void conclude(const struct orders *o, uint32_t number, struct buf *answer)
{
    control_server_conclude(o->server, number, buf_str(answer));
    buf_free(answer);
}

/* ---- kill ------------------------------------------------------------------------------------------------------- */

static struct slot *find_worker(const struct orders *o, int64_t pid)
{
    for (size_t i = 0; i < o->pools->count; i++) {
        for (unsigned k = 0; k < o->pools->all[i]->nopen; k++) {
            if (o->pools->all[i]->slots[k].pid == pid && pid > 0)
                return &o->pools->all[i]->slots[k];
        }
    }
    return NULL;
}

/* "; the workers are: shop 123, shop 124" */
static void name_workers(const struct orders *o, struct buf *out)
{
    unsigned named = 0;
    for (size_t i = 0; i < o->pools->count; i++) {
        for (unsigned k = 0; k < o->pools->all[i]->nopen && named < NAMED_MAX; k++) {
            const struct slot *s = &o->pools->all[i]->slots[k];
            if (s->pid != 0)
                buf_printf(out, "%s %s %ld", named++ == 0 ? "; the workers are:" : ",", s->pool->conf->name,
                           (long)s->pid);
        }
    }
    if (named == NAMED_MAX)
        buf_append_z(out, ", ...");
    else if (named == 0)
        buf_append_z(out, "; there are no workers");
}

static void kill_worker(const struct orders *o, int64_t pid, struct buf *out)
{
    struct slot *s = find_worker(o, pid);
    struct buf words = {0};
    if (s == NULL) {
        buf_printf(&words, "no worker has the pid %lld", (long long)pid);
        name_workers(o, &words);
        put_error(out, buf_z(&words));
    } else if (s->state == SLOT_STOPPING || s->state == SLOT_KILLED) {
        buf_printf(&words, "worker %lld is being stopped already: %s", (long long)pid, s->why);
        put_error(out, buf_z(&words));
    } else {
        buf_append_z(out, "{\"ok\":true,\"backend\":");
        buf_append_json(out, str_of(s->pool->conf->name));
        buf_printf(out, ",\"slot\":%u,\"pid\":%ld,\"stop_timeout_s\":%.3f}", s->index, (long)s->pid,
                   (double)s->pool->conf->stop_timeout / 1e6);
        slot_kill(s, SLOT_KILL, "killed by order (bulkhead kill)");
    }
    buf_free(&words);
}

/* ---- recycle ---------------------------------------------------------------------------------------------------- */

static struct pool *find_pool(const struct orders *o, const char *name)
{
    for (size_t i = 0; i < o->pools->count; i++) {
        if (o->pools->all[i]->role == POOL_SERVING && strcmp(o->pools->all[i]->conf->name, name) == 0)
            return o->pools->all[i];
    }
    return NULL;
}

static void refuse_backend(const struct orders *o, const char *name, const struct pool *pool, struct buf *out)
{
    struct buf words = {0};
    unsigned named = 0;
    if (pool == NULL)
        buf_printf(&words, "there is no backend \"%s\"", name);
    else
        buf_printf(&words, "backend \"%s\" runs in the front and has no workers", name);
    for (size_t i = 0; i < o->pools->count && named < NAMED_MAX; i++) {
        if (o->pools->all[i]->wanted > 0)
            buf_printf(&words, "%s %s", named++ == 0 ? "; those with workers are:" : ",", o->pools->all[i]->conf->name);
    }
    if (named == 0)
        buf_append_z(&words, "; none of the conf has");
    put_error(out, buf_z(&words));
    buf_free(&words);
}

/* what it lacks; NULL: the recycling is done */
static const struct slot *find_old(const struct orders_recycle *r)
{
    for (unsigned i = 0; i < r->pool->nopen; i++) {
        const struct slot *s = &r->pool->slots[i];
        if (s->state != SLOT_IDLE && s->spawned_us < r->since_us)
            return s;
    }
    return NULL;
}

static const struct slot *find_failed(const struct orders_recycle *r)
{
    for (unsigned i = 0; i < r->pool->nopen; i++) {
        const struct slot *s = &r->pool->slots[i];
        if (s->state != SLOT_IDLE && s->failing && s->spawned_us >= r->since_us)
            return s;
    }
    return NULL;
}

static void judge(struct orders *o, struct orders_recycle *r)
{
    const struct slot *failed = find_failed(r);
    bool is_done = failed == NULL && find_old(r) == NULL && pool_count(r->pool, SLOT_READY) >= r->pool->wanted;
    struct buf answer = {0};
    if (failed != NULL) {
        char words[512];
        snprintf(words, sizeof(words),
                 "a new worker of %s does not get ready: %s; the old ones go on serving, and it is tried again",
                 r->pool->conf->name, failed->why);
        put_error(&answer, words);
    } else if (is_done) {
        buf_append_z(&answer, "{\"ok\":true,\"backend\":");
        buf_append_json(&answer, str_of(r->pool->conf->name));
        buf_printf(&answer, ",\"workers\":%u,\"seconds\":%.3f}", r->pool->wanted,
                   (double)(clock_us() - r->since_us) / 1e6);
    } else {
        return;
    }
    r->pool = NULL;
    conclude(o, r->number, &answer);
}

void orders_on_pool(struct orders *o, const struct pool *pool)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (o->recycles[i].pool == pool)
            judge(o, &o->recycles[i]);
    }
}

void orders_forget_pool(struct orders *o, const struct pool *pool)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct orders_recycle *r = &o->recycles[i];
        struct buf answer = {0};
        if (r->pool != pool)
            continue;
        r->pool = NULL;
        put_error(&answer, "a reload has changed this backend meanwhile: it has other workers now, or is gone");
        conclude(o, r->number, &answer);
    }
}

static struct orders_recycle *free_recycle(struct orders *o)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (o->recycles[i].pool == NULL)
            return &o->recycles[i];
    }
    return NULL;
}

static bool recycle(struct orders *o, const char *name, uint32_t number, struct buf *out)
{
    struct pool *pool = find_pool(o, name);
    struct orders_recycle *r = free_recycle(o);
    if (pool == NULL || pool->wanted == 0) {
        refuse_backend(o, name, pool, out);
        return true;
    }
    if (r == NULL) {
        put_error(out, "too many recyclings are under way; try again when one of them is done");
        return true;
    }
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s is being recycled by order", name);
    *r = (struct orders_recycle){.pool = pool, .number = number, .since_us = clock_us()};
    for (unsigned i = 0; i < pool->nopen; i++)
        slot_retire(&pool->slots[i], "recycled by order");
    return false;
}

/* ---- log level -------------------------------------------------------------------------------------------------- */

void orders_retell(const struct orders *o)
{
    const struct wire_control m = {.type = WIRE_LOG_LEVEL, .count = (uint32_t)o->log_level};
    if (o->log_level != -1)
        front_child_send(o->front, &m);
}

static void set_log_level(struct orders *o, const char *word, struct buf *out)
{
    struct buf words = {0};
    for (int level = 0; level < LOG_LEVEL_COUNT; level++) {
        const char *name = log_level_name((enum log_level)level);
        buf_printf(&words, "%s %s", level == 0 ? "" : ",", name);
        if (strcmp(name, word) != 0)
            continue;
        o->log_level = level;
        log_set_level((enum log_level)level);
        orders_retell(o);
        buf_printf(out, "{\"ok\":true,\"level\":\"%s\"}", name);
        buf_free(&words);
        return;
    }
    char text[512];
    snprintf(text, sizeof(text), "there is no log level \"%s\"; there is:%s", word, buf_z(&words));
    put_error(out, text);
    buf_free(&words);
}

/* ---- drain ------------------------------------------------------------------------------------------------------ */

/* No entry is free only if more wait than there can be clients. */
static bool drain(struct orders *o, uint32_t number, struct buf *out)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (o->drains[i] != 0)
            continue;
        o->drains[i] = number;
        o->drain(o->arg);
        return false;
    }
    put_error(out, "it is draining already, for others");
    return true;
}

void orders_ended(struct orders *o, const char *cut)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct buf answer = {0};
        if (o->drains[i] == 0)
            continue;
        if (cut == NULL)
            buf_append_z(&answer, "{\"ok\":true}");
        else
            put_error(&answer, cut);
        conclude(o, o->drains[i], &answer);
        o->drains[i] = 0;
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

bool orders_obey(struct orders *o, const struct wire_request *request, uint32_t number, struct buf *out)
{
    switch (request->command) {
    case WIRE_COMMAND_KILL:
        kill_worker(o, request->number, out);
        return true;
    case WIRE_COMMAND_RECYCLE:
        return recycle(o, request->text, number, out);
    case WIRE_COMMAND_LOG_LEVEL:
        set_log_level(o, request->text, out);
        return true;
    case WIRE_COMMAND_DRAIN:
        return drain(o, number, out);
    default:
        put_error(out, "that is no order");
        return true;
    }
}
