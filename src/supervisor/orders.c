/* SPDX-License-Identifier: MIT
 *
 * orders: see orders.h. A recycling is done when every worker that is wanted is ready and was started after the order,
 * and none from before is left; it has failed, for the one who waits, when one that was started after it did not get
 * ready. It is tried on all the same.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/front_child.h"
#include "supervisor/orders.h"
#include "supervisor/pool.h"
#include "wire/command.h"

#define NAMED_MAX   20 /* in an error */
#define LIMIT_MAX   100000
#define HOLD_MAX_MS (24 * 3600 * 1000)

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

static bool is_done(const struct orders_recycle *r)
{
    if (r->size != 0)
        return pool_is_settled(r->pool);
    return find_old(r) == NULL && pool_count(r->pool, SLOT_READY) >= r->pool->wanted;
}

static void put_done(const struct orders_recycle *r, const struct pool *pool, struct buf *out)
{
    buf_append_z(out, "{\"ok\":true,\"backend\":");
    buf_append_json(out, str_of(pool->conf->name));
    buf_printf(out, ",\"workers\":%u,\"seconds\":%.3f}", pool->wanted, (double)(clock_us() - r->since_us) / 1e6);
}

static void judge(struct orders *o, struct orders_recycle *r)
{
    const struct slot *failed = find_failed(r);
    struct buf answer = {0};
    if (r->size != 0 && r->size != r->pool->wanted) {
        put_error(&answer, "it has been resized again meanwhile");
    } else if (failed != NULL) {
        char words[512];
        snprintf(words, sizeof(words),
                 "a new worker of %s does not get ready: %s; the old ones go on serving, and it is tried again",
                 r->pool->conf->name, failed->why);
        put_error(&answer, words);
    } else if (is_done(r)) {
        put_done(r, r->pool, &answer);
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

static struct orders_recycle *free_recycle(struct orders *o)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (o->recycles[i].pool == NULL || !control_server_is_held(o->server, o->recycles[i].number))
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

/* ---- resize ------------------------------------------------------------------------------------------------------ */

static void refuse_name(const struct orders *o, const char *name, struct buf *out)
{
    struct buf words = {0};
    unsigned named = 0;
    buf_printf(&words, "there is no backend \"%s\"", name);
    for (size_t i = 0; i < o->pools->count && named < NAMED_MAX; i++) {
        if (o->pools->all[i]->role == POOL_SERVING)
            buf_printf(&words, "%s %s", named++ == 0 ? "; there is:" : ",", o->pools->all[i]->conf->name);
    }
    put_error(out, buf_z(&words));
    buf_free(&words);
}

static void tell_limit(const struct orders *o, const struct pool *pool)
{
    const struct wire_control m = {.type = WIRE_RESIZE, .backend = pool->id, .count = pool->limit};
    front_child_send(o->front, &m);
}

/* What follows from the conf's numbers for a class: how large its limit may become without another process. */
static unsigned most_calls(const struct pool *pool)
{
    return pool->conf->run == CONF_RUN_LOOP ? LIMIT_MAX : pool->conf->threads;
}

static void set_limit(const struct orders *o, struct pool *pool, int64_t size, struct buf *out)
{
    char words[512];
    unsigned was = pool->limit != 0 ? pool->limit : pool->conf->limit, most = most_calls(pool);
    if (size < 1 || size > most) {
        snprintf(words, sizeof(words), "%s can run 1 to %u calls at a time%s", pool->conf->name, most,
                 pool->conf->run == CONF_RUN_LOOP
                     ? ""
                     : ": as many as it has threads, which are started once; for more, set threads in the conf");
        put_error(out, words);
        return;
    }
    pool->limit = (unsigned)size;
    tell_limit(o, pool);
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s: %u calls at a time instead of %u, by order", pool->conf->name,
              pool->limit, was);
    buf_append_z(out, "{\"ok\":true,\"backend\":");
    buf_append_json(out, str_of(pool->conf->name));
    buf_printf(out, ",\"limit\":%u}", pool->limit);
}

static bool resize_workers(struct orders *o, struct pool *pool, int64_t size, uint32_t number, struct buf *out)
{
    char words[512];
    struct orders_recycle *r = free_recycle(o);
    if (r == NULL) {
        put_error(out, "too many orders are under way; try again when one of them is done");
        return true;
    }
    if (!pool_resize(pool, size < 1 || size > LIMIT_MAX ? 0 : (unsigned)size, words, sizeof(words))) {
        put_error(out, words);
        return true;
    }
    pool->limit = pool->wanted * worker_plan_concurrency(pool->conf);
    tell_limit(o, pool);
    *r = (struct orders_recycle){.pool = pool, .number = number, .since_us = clock_us(), .size = pool->wanted};
    orders_on_pool(o, pool); /* the size may have been asked for, and waited for, before */
    if (!pool_is_settled(pool))
        return false;
    r->pool = NULL;
    put_done(r, pool, out);
    return true;
}

static bool resize(struct orders *o, const char *name, int64_t size, uint32_t number, struct buf *out)
{
    struct pool *pool = find_pool(o, name);
    if (pool == NULL)
        refuse_name(o, name, out);
    else if (pool->conf->run != CONF_RUN_WORKERS)
        set_limit(o, pool, size, out);
    else
        return resize_workers(o, pool, size, number, out);
    return true;
}

/* ---- pause and resume -------------------------------------------------------------------------------------------- */

static struct orders_pause **find_pause(struct orders *o, const char *name)
{
    struct orders_pause **at = &o->pauses;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void note_pause(struct orders *o, const char *name, int64_t hold_us)
{
    struct orders_pause **at = find_pause(o, name);
    if (*at == NULL) {
        *at = mem_zalloc(sizeof(**at));
        (*at)->name = mem_strdup(name);
    }
    (*at)->hold_us = hold_us;
}

static bool forget_pause(struct orders *o, const char *name)
{
    struct orders_pause **at = find_pause(o, name), *pause = *at;
    if (pause == NULL)
        return false;
    *at = pause->next;
    mem_free(&pause->name);
    mem_free(&pause);
    return true;
}

static void tell_pause(const struct orders *o, const struct pool *pool, int64_t hold_us)
{
    const struct wire_control m = {.type = WIRE_PAUSE, .backend = pool->id, .count = 1, .at_us = hold_us};
    front_child_send(o->front, &m);
}

static struct orders_wait *free_wait(struct orders *o)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (o->waits[i].pool == NULL || !control_server_is_held(o->server, o->waits[i].number))
            return &o->waits[i];
    }
    return NULL;
}

/* Those that come from now on are held; the answer comes when those before have ended. */
static bool pause_backend(struct orders *o, const struct wire_request *request, uint32_t number, struct buf *out)
{
    struct pool *pool = find_pool(o, request->text);
    struct orders_wait *w = free_wait(o);
    int64_t hold_us = request->number < 0 ? -1 : request->number * 1000;
    if (pool == NULL) {
        refuse_name(o, request->text, out);
        return true;
    }
    if (request->number > HOLD_MAX_MS) {
        put_error(out, "calls cannot be held for longer than a day");
        return true;
    }
    assert(w != NULL); /* there are not more clients */
    *w = (struct orders_wait){.pool = pool, .number = number, .since_us = clock_us()};
    note_pause(o, pool->conf->name, hold_us);
    tell_pause(o, pool, hold_us);
    log_write(LOG_LEVEL_INFO, "supervisor", "backend %s is paused by order", pool->conf->name);
    return false;
}

void orders_on_quiet(struct orders *o, const struct pool *pool)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct orders_wait *w = &o->waits[i];
        struct buf answer = {0};
        if (w->pool != pool)
            continue;
        buf_append_z(&answer, "{\"ok\":true,\"backend\":");
        buf_append_json(&answer, str_of(pool->conf->name));
        buf_printf(&answer, ",\"seconds\":%.3f}", (double)(clock_us() - w->since_us) / 1e6);
        w->pool = NULL;
        conclude(o, w->number, &answer);
    }
}

static void disappoint(struct orders *o, const struct pool *pool, const char *why)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct buf answer = {0};
        if (o->waits[i].pool != pool)
            continue;
        o->waits[i].pool = NULL;
        put_error(&answer, why);
        conclude(o, o->waits[i].number, &answer);
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
    disappoint(o, pool, "a reload has changed this backend while calls of before the pause still ran; it is paused");
}

static void resume(struct orders *o, const char *name, struct buf *out)
{
    struct pool *pool = find_pool(o, name);
    bool was_paused = forget_pause(o, name);
    if (pool == NULL) {
        refuse_name(o, name, out);
        return;
    }
    const struct wire_control m = {.type = WIRE_PAUSE, .backend = pool->id, .count = 0};
    front_child_send(o->front, &m);
    disappoint(o, pool, "it was resumed while calls of before the pause still ran");
    if (was_paused)
        log_write(LOG_LEVEL_INFO, "supervisor", "backend %s is resumed by order", name);
    buf_append_z(out, "{\"ok\":true,\"backend\":");
    buf_append_json(out, str_of(name));
    buf_printf(out, ",\"was_paused\":%s}", was_paused ? "true" : "false");
}

/* ---- log level -------------------------------------------------------------------------------------------------- */

/* A pause of what is no backend any more is forgotten. */
static void retell_pauses(struct orders *o)
{
    struct orders_pause *next;
    for (struct orders_pause *p = o->pauses; p != NULL; p = next) {
        const struct pool *pool = find_pool(o, p->name);
        next = p->next;
        if (pool != NULL)
            tell_pause(o, pool, p->hold_us);
        else
            forget_pause(o, p->name);
    }
}

void orders_retell(struct orders *o)
{
    const struct wire_control m = {.type = WIRE_LOG_LEVEL, .count = (uint32_t)o->log_level};
    if (o->log_level != -1)
        front_child_send(o->front, &m);
    for (size_t i = 0; i < o->pools->count; i++) {
        if (o->pools->all[i]->role == POOL_SERVING && o->pools->all[i]->limit != 0)
            tell_limit(o, o->pools->all[i]);
    }
    retell_pauses(o);
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

void orders_free(struct orders *o)
{
    while (o->pauses != NULL)
        forget_pause(o, o->pauses->name);
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
    case WIRE_COMMAND_PAUSE:
        return pause_backend(o, request, number, out);
    case WIRE_COMMAND_RESUME:
        resume(o, request->text, out);
        return true;
    case WIRE_COMMAND_RESIZE:
        return resize(o, request->text, request->number, number, out);
    default:
        put_error(out, "that is no order");
        return true;
    }
}
