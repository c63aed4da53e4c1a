/* SPDX-License-Identifier: MIT
 *
 * supervisor_reload: another conf, while everything runs. What it needs is got ready beside what there is: the conf is
 * read and checked by the loader, new listening sockets are opened, backends that are new or have changed get pools
 * whose workers are started, and the front prepares (front/reload.h). When all of that has gone well, and not before, it
 * is put in force; else everything new is given up and nothing has changed. A backend that has not changed, or only in
 * what needs no other workers, keeps its pool. A pool that is not in the conf any more leaves when the front says that
 * nothing runs on it, or after drain_timeout.
 *
 * Should the front end meanwhile, the next one has what is in force: before the commit the former conf, after it the
 * new one.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "diag/log.h"
#include "supervisor/census.h"
#include "supervisor/guardian.h"
#include "supervisor/loader.h"
#include "supervisor/logsink.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor_private.h"

/* for the front to build what the conf says: ten thousand routes, and whatever modules do when they are loaded */
#define PREPARE_LIMIT_S 30.

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

static void put_words(struct buf *out, const char *key, const char *words)
{
    buf_printf(out, "\"%s\":", key);
    buf_append_json(out, str_of(words == NULL ? "" : words));
}

static void answer(struct supervisor *sv, struct str line)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (sv->reload.askers[i] != 0)
            control_server_conclude(sv->control_server, sv->reload.askers[i], line);
    }
}

static void look(struct supervisor *sv)
{
    if (ev_is_active(&sv->reload.look))
        return;
    ev_timer_set(&sv->reload.look, 0., 0.);
    ev_timer_start(sv->nursery.loop, &sv->reload.look);
}

static void ask(struct supervisor *sv)
{
    sv->reload.state = RELOAD_ASKED;
    look(sv);
}

/* Whoever asked meanwhile may have asked for what was written to the conf after it was read. */
static void rest(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    if (r->state != RELOAD_IDLE && sv->phase == PHASE_RUNNING)
        notify_ready(sv->notify);
    r->state = RELOAD_IDLE;
    mem_free(&r->words);
    memcpy(r->askers, r->later, sizeof(r->askers));
    memset(r->later, 0, sizeof(r->later));
    if (!r->again)
        return;
    r->again = false;
    ask(sv);
}

static void log_lines(enum log_level level, struct str text)
{
    while (text.len > 0) {
        const char *newline = memchr(text.base, '\n', text.len);
        size_t len = newline == NULL ? text.len : (size_t)(newline - text.base);
        if (len > 0)
            log_write(level, "supervisor", "%.*s", (int)len, text.base);
        len += newline != NULL;
        text = (struct str){text.base + len, text.len - len};
    }
}

static void conclude_well(struct supervisor *sv)
{
    struct buf line = {0};
    struct reload *r = &sv->reload;
    log_write(LOG_LEVEL_INFO, "supervisor", "generation %llu in force: %s", (unsigned long long)sv->conf->generation,
              r->words);
    buf_printf(&line, "{\"ok\":true,\"generation\":%llu,", (unsigned long long)sv->conf->generation);
    put_words(&line, "changes", r->words);
    buf_append_char(&line, '}');
    answer(sv, buf_str(&line));
    buf_free(&line);
    rest(sv);
}

static void conclude_badly(struct supervisor *sv, struct str why)
{
    struct buf line = {0};
    log_lines(LOG_LEVEL_ERROR, why);
    log_write(LOG_LEVEL_ERROR, "supervisor", "reload refused; nothing has changed, generation %llu stays in force",
              (unsigned long long)sv->conf->generation);
    buf_append_z(&line, "{\"error\":");
    buf_append_json(&line, why);
    buf_append_char(&line, '}');
    answer(sv, buf_str(&line));
    buf_free(&line);
    rest(sv);
}

/* ---- pools ------------------------------------------------------------------------------------------------------ */

struct pool *reload_open_pool(struct supervisor *sv, const struct conf *conf, size_t backend, char *error_r,
                              size_t error_size)
{
    const struct pool_options options = {.conf = conf,
                                         .backend = backend,
                                         .id = ++sv->last_id,
                                         .nursery = &sv->nursery,
                                         .listener = &supervisor_pool_listener,
                                         .arg = sv,
                                         .directory = sv->rundir.path,
                                         .front = &sv->front.identity};
    struct pool *p = mem_zalloc(sizeof(*p));
    char problem[512];
    sv->pools.all = mem_realloc(sv->pools.all, (sv->pools.count + 1) * sizeof(struct pool *));
    sv->pools.all[sv->pools.count++] = p;
    if (pool_open(p, &options, problem, sizeof(problem)))
        return p;
    snprintf(error_r, error_size, "backend %s: %s", conf->backends[backend].name, problem);
    return NULL;
}

static void free_pool(struct supervisor *sv, struct pool *p)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i] == p)
            sv->pools.all[i] = sv->pools.all[--sv->pools.count];
    }
    if (p->role == POOL_LEAVING)
        ev_timer_stop(sv->nursery.loop, &p->retirement);
    pool_close(p);
    free(p);
}

static void renew_census(struct supervisor *sv)
{
    census_stop(&sv->census);
    sv->census = census_start(sv->nursery.loop, &sv->pools);
}

/* Its time is over, or its last process has ended. */
static void on_retirement(struct ev_loop *loop, ev_timer *w, int events)
{
    struct pool *p = w->data;
    struct supervisor *sv = p->arg;
    if (!pool_is_idle(p)) {
        pool_handle(p, SLOT_STOP);
        return;
    }
    free_pool(sv, p);
    renew_census(sv);
}

static void set_retirement(struct pool *p, int64_t after_us)
{
    ev_timer_stop(p->nursery->loop, &p->retirement);
    ev_now_update(p->nursery->loop);
    ev_timer_set(&p->retirement, (double)after_us / 1e6, 0.);
    ev_timer_start(p->nursery->loop, &p->retirement);
}

/* within_us: for what runs on it */
static void let_go(struct supervisor *sv, struct pool *p, int64_t within_us)
{
    p->role = POOL_LEAVING;
    ev_timer_init(&p->retirement, on_retirement, 0., 0.);
    p->retirement.data = p;
    orders_forget_pool(&sv->orders, p);
    set_retirement(p, p->nopen == 0 ? 0 : within_us);
}

void reload_on_pool_idle(struct supervisor *sv, struct pool *p)
{
    if (p->role == POOL_LEAVING)
        set_retirement(p, 0);
}

void reload_on_retired(struct supervisor *sv, uint32_t backend)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        struct pool *p = sv->pools.all[i];
        if (p->id == backend && p->role == POOL_LEAVING && sv->phase == PHASE_RUNNING)
            set_retirement(p, 0);
    }
}

static bool is_in(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

/* ---- preparing -------------------------------------------------------------------------------------------------- */

static void abandon(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    ev_timer_stop(sv->nursery.loop, &r->look);
    ev_timer_stop(sv->nursery.loop, &r->late);
    loader_stop(&r->loader);
    front_child_abort(&sv->front);
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i]->role == POOL_COMING)
            let_go(sv, sv->pools.all[i], 0);
    }
    bindings_leave(&r->bindings, &sv->bindings, NULL);
    mem_free(&r->ids);
    conf_free(&r->next);
}

static void refuse(struct supervisor *sv, const char *why)
{
    abandon(sv);
    conclude_badly(sv, str_of(why));
}

static const struct pool *find_former(const struct supervisor *sv, const char *name)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        const struct pool *p = sv->pools.all[i];
        if (p->role == POOL_SERVING && strcmp(p->conf->name, name) == 0)
            return p;
    }
    return NULL;
}

/* NULL with words */
static const struct pool *find_or_open_pool(struct supervisor *sv, size_t backend, char *error_r, size_t error_size)
{
    const struct conf *next = sv->reload.next;
    const struct pool *former = find_former(sv, next->backends[backend].name);
    const struct conf *part = former == NULL ? NULL : former->live != NULL ? former->live : former->part;
    if (part != NULL && conf_change_of_backend(part, 0, next, backend) != CONF_CHANGE_OTHER)
        return former;
    struct pool *p = reload_open_pool(sv, next, backend, error_r, error_size);
    if (p != NULL)
        p->role = POOL_COMING;
    return p;
}

static bool open_pools(struct supervisor *sv, char *error_r, size_t error_size)
{
    struct reload *r = &sv->reload;
    size_t before = sv->pools.count, processes = 0;
    r->ids = mem_zalloc((r->next->nbackends + 1) * sizeof(r->ids[0]));
    for (size_t i = 0; i < r->next->nbackends; i++) {
        const struct pool *p = find_or_open_pool(sv, i, error_r, error_size);
        if (p == NULL)
            break;
        r->ids[i] = p->id;
    }
    bool opened = r->next->nbackends == 0 || r->ids[r->next->nbackends - 1] != 0;
    for (size_t i = before; i < sv->pools.count; i++) {
        sv->pools.all[i]->role = POOL_COMING;
        processes += sv->pools.all[i]->nopen;
    }
    if (!opened || processes * 2 <= guardian_room(sv->nursery.guardian))
        return opened;
    snprintf(error_r, error_size, "%zu more processes are too many beside those that run; restart bulkhead", processes);
    return false;
}

static void put_count(struct buf *out, size_t n, const char *what)
{
    if (n > 0)
        buf_printf(out, "%s%zu %s", out->len == 0 ? "" : ", ", n, what);
}

/* "2 backends as before, 1 changed (shop), 1 gone" */
static void describe(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    struct buf out = {0}, names = {0};
    size_t kept = 0, changed = 0, added = 0, gone = 0;
    for (size_t i = 0; i < r->next->nbackends; i++) {
        bool is_kept = is_in(sv->ids, sv->conf->nbackends, r->ids[i]);
        bool is_new = conf_backend_find(sv->conf, r->next->backends[i].name) == NULL;
        kept += is_kept;
        added += is_new;
        changed += !is_kept && !is_new;
        if (!is_kept)
            buf_printf(&names, "%s%s", names.len == 0 ? "" : ", ", r->next->backends[i].name);
    }
    for (size_t i = 0; i < sv->conf->nbackends; i++)
        gone += conf_backend_find(r->next, sv->conf->backends[i].name) == NULL;
    put_count(&out, r->next->nlisteners, r->next->nlisteners == 1 ? "listener" : "listeners");
    put_count(&out, r->next->nroutes, r->next->nroutes == 1 ? "route" : "routes");
    put_count(&out, kept, kept == 1 ? "backend as before" : "backends as before");
    put_count(&out, changed, changed == 1 ? "backend changed" : "backends changed");
    put_count(&out, added, added == 1 ? "backend added" : "backends added");
    put_count(&out, gone, gone == 1 ? "backend gone" : "backends gone");
    if (names.len > 0)
        buf_printf(&out, " (%s)", buf_z(&names));
    r->words = mem_strdup(buf_z(&out));
    buf_free(&names);
    buf_free(&out);
}

/* The front has so long from now for what is waited for. */
static void bound(struct supervisor *sv)
{
    ev_timer_stop(sv->nursery.loop, &sv->reload.late);
    ev_timer_set(&sv->reload.late, PREPARE_LIMIT_S, 0.);
    ev_timer_start(sv->nursery.loop, &sv->reload.late);
}

static void prepare(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    char problem[1024] = "";
    r->state = RELOAD_PREPARING;
    r->front_is_prepared = false;
    if (!bindings_open_beside(&r->bindings, r->next, &sv->bindings, problem, sizeof(problem)) ||
        !open_pools(sv, problem, sizeof(problem))) {
        refuse(sv, problem);
        return;
    }
    const struct front_conf offer = {.conf = r->next, .bindings = &r->bindings, .ids = r->ids};
    if (!front_child_offer(&sv->front, &offer)) {
        refuse(sv, "no front serves at the moment, one is being started; try again");
        return;
    }
    bound(sv);
    describe(sv);
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i]->role == POOL_COMING)
            pool_start(sv->pools.all[i]);
    }
}

static void on_loaded(void *arg, struct conf *conf, struct str words)
{
    struct supervisor *sv = arg;
    struct reload *r = &sv->reload;
    r->loader = NULL;
    if (conf == NULL) {
        conclude_badly(sv, words);
        return;
    }
    log_lines(LOG_LEVEL_WARNING, words);
    r->next = conf;
    conf->generation = sv->conf->generation + 1;
    prepare(sv);
}

static void begin(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    if (sv->phase != PHASE_RUNNING) {
        conclude_badly(sv, STR("bulkhead is stopping"));
        return;
    }
    if (strcmp(sv->conf->path, "-") == 0) {
        conclude_badly(sv, STR("bulkhead was started without a conf file: there is nothing to read again"));
        return;
    }
    if (!front_child_is_serving(&sv->front)) {
        bound(sv); /* reload_on_front_serving comes back here */
        return;
    }
    ev_timer_stop(sv->nursery.loop, &r->late);
    log_write(LOG_LEVEL_INFO, "supervisor", "reloading %s", sv->conf->path);
    notify_reloading(sv->notify);
    r->state = RELOAD_LOADING;
    r->loader = loader_start(sv->nursery.loop, sv->conf, on_loaded, sv);
    if (r->loader == NULL) {
        char why[256];
        snprintf(why, sizeof(why), "cannot read the conf: %s", strerror(errno));
        conclude_badly(sv, str_of(why));
    }
}

static void wait_for_verdict(const struct supervisor *sv, uint32_t *numbers, uint32_t number)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX && number != 0; i++) {
        if (numbers[i] == 0 || !control_server_is_held(sv->control_server, numbers[i])) {
            numbers[i] = number;
            return;
        }
    }
}

void reload_ask(struct supervisor *sv, uint32_t number)
{
    struct reload *r = &sv->reload;
    if (r->state != RELOAD_IDLE) {
        r->again = true;
        wait_for_verdict(sv, r->later, number);
        return;
    }
    wait_for_verdict(sv, r->askers, number);
    ask(sv);
}

/* ---- putting in force ------------------------------------------------------------------------------------------- */

/* What is in the conf alone, and needs nobody else. */
static void adopt_log(struct supervisor *sv, const struct conf *before)
{
    const struct conf *now = sv->conf;
    bool moved = strcmp(now->log.target, before->log.target) != 0;
    log_set_format(now->log.format == CONF_LOG_JSON);
    if (now->log.level != before->log.level) {
        log_set_level((enum log_level)now->log.level);
        sv->orders.log_level = -1;
    }
    if (moved && supervisor_open_log(now))
        logsink_start(sv->nursery.loop);
    if (moved || strcmp(now->log.access.path, before->log.access.path) != 0)
        front_child_reopen_logs(&sv->front, moved && supervisor_log_is_file(now) ? STDERR_FILENO : -1);
}

static void adopt_pools(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    for (size_t i = 0; i < sv->pools.count; i++) {
        struct pool *p = sv->pools.all[i];
        size_t backend = 0;
        while (backend < r->next->nbackends && r->ids[backend] != p->id)
            backend++;
        if (p->role == POOL_COMING)
            p->role = POOL_SERVING;
        else if (p->role == POOL_SERVING && backend == r->next->nbackends)
            let_go(sv, p, r->next->drain_timeout);
        else if (p->role == POOL_SERVING)
            pool_adapt(p, r->next, backend);
    }
    renew_census(sv);
}

static void commit(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    r->former = sv->owned_conf;
    const struct conf *before = sv->conf;
    struct bindings bindings = sv->bindings;
    r->state = RELOAD_COMMITTED;
    adopt_pools(sv);
    sv->bindings = r->bindings;
    r->bindings = bindings;
    sv->conf = sv->owned_conf = r->next;
    r->next = NULL;
    front_child_commit(&sv->front, &(struct front_conf){.conf = sv->conf, .bindings = &sv->bindings, .ids = r->ids});
    mem_free(&sv->ids);
    sv->ids = r->ids;
    r->ids = NULL;
    adopt_log(sv, before);
    guardian_renew(sv->nursery.guardian);
}

/* A pool that has no hope; else whether all have what they need, in *ready_r. */
static const struct pool *judge(const struct supervisor *sv, bool *ready_r)
{
    *ready_r = sv->reload.front_is_prepared;
    for (size_t i = 0; i < sv->pools.count; i++) {
        const struct pool *p = sv->pools.all[i];
        if (p->role != POOL_COMING || p->nopen == 0)
            continue;
        if (pool_is_hopeless(p))
            return p;
        *ready_r = *ready_r && p->settled;
    }
    return NULL;
}

/* So that no pool is changed by what another one says. */
static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
    struct supervisor *sv = w->data;
    char why[1024];
    bool ready;
    if (sv->reload.state == RELOAD_ASKED) {
        begin(sv);
        return;
    }
    if (sv->reload.state != RELOAD_PREPARING)
        return;
    const struct pool *hopeless = judge(sv, &ready);
    if (hopeless != NULL) {
        snprintf(why, sizeof(why), "backend %s: no worker of it can be started: %s", hopeless->conf->name,
                 hopeless->slots[0].why);
        refuse(sv, why);
    } else if (ready) {
        commit(sv);
    }
}

static void on_late(struct ev_loop *loop, ev_timer *w, int events)
{
    struct supervisor *sv = w->data;
    refuse(sv,
           sv->reload.state == RELOAD_ASKED
               ? "no front serves, and none has got ready for some time; see the log"
               : "the front has not prepared the conf in time; does a module wait for something when it is loaded?");
}

void reload_on_pool(struct supervisor *sv, const struct pool *p)
{
    if (p->role == POOL_COMING && sv->reload.state == RELOAD_PREPARING)
        look(sv);
}

void reload_on_prepared(struct supervisor *sv, uint32_t generation)
{
    struct reload *r = &sv->reload;
    if (r->state != RELOAD_PREPARING || generation != r->next->generation)
        return;
    r->front_is_prepared = true;
    ev_timer_stop(sv->nursery.loop, &r->late);
    for (size_t i = 0; i < sv->pools.count; i++) {
        struct pool *p = sv->pools.all[i];
        if (p->role != POOL_COMING)
            continue;
        p->is_known = true;
        pool_retell(p);
    }
    look(sv);
}

void reload_on_refused(struct supervisor *sv, uint32_t generation, struct str why)
{
    struct reload *r = &sv->reload;
    char words[2048];
    if (r->state != RELOAD_PREPARING || generation != r->next->generation)
        return;
    snprintf(words, sizeof(words), "%.*s", STR_ARG(why));
    refuse(sv, words);
}

static void finish(struct supervisor *sv)
{
    bindings_leave(&sv->reload.bindings, &sv->bindings, sv->notify);
    bindings_keep(&sv->bindings, sv->notify);
    conf_free(&sv->reload.former);
    orders_retell(&sv->orders);
    conclude_well(sv);
}

void reload_on_swapped(struct supervisor *sv, uint32_t generation)
{
    if (sv->reload.state == RELOAD_COMMITTED && generation == sv->conf->generation)
        finish(sv);
}

void reload_on_front_serving(struct supervisor *sv)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i]->role == POOL_LEAVING)
            set_retirement(sv->pools.all[i], 0);
    }
    if (sv->reload.state == RELOAD_COMMITTED)
        finish(sv);
    else if (sv->reload.state == RELOAD_ASKED)
        look(sv);
}

void reload_on_front_gone(struct supervisor *sv)
{
    if (sv->reload.state == RELOAD_PREPARING)
        refuse(sv, "the front has ended while it prepared the conf; try again");
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void reload_init(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    ev_timer_init(&r->look, on_look, 0., 0.);
    ev_timer_init(&r->late, on_late, 0., 0.);
    r->look.data = r->late.data = sv;
}

void reload_end(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    r->again = false;
    if (r->state == RELOAD_ASKED || r->state == RELOAD_LOADING || r->state == RELOAD_PREPARING)
        refuse(sv, "bulkhead is stopping");
    else if (r->state == RELOAD_COMMITTED)
        finish(sv);
}

void reload_close(struct supervisor *sv)
{
    struct reload *r = &sv->reload;
    loader_stop(&r->loader);
    while (sv->pools.count > 0)
        free_pool(sv, sv->pools.all[sv->pools.count - 1]);
    mem_free(&sv->pools.all);
    mem_free(&sv->ids);
    mem_free(&r->words);
    conf_free(&r->former);
    conf_free(&sv->owned_conf);
}
