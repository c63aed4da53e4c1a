/* SPDX-License-Identifier: MIT
 *
 * generation: see generation.h. Turns a frozen conf into what serves it: the router, compiled routes, and for each
 * backend a gate with the executor that its execution class and contents call for. The gate of a leased class begins
 * with no slot and follows what the executor announces; a loop backend's is constant. Messages of the supervisor name
 * backends by their ids, which are good for all generations; one about a backend that has gone is ignored.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "diag/log.h"
#include "executor/crew.h"
#include "executor/inloop.h"
#include "executor/proxy.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/router.h"
#include "gate/gate.h"
#include "handler/host.h"
#include "handler/module.h"
#include "wire/control.h"

/* the supervisor numbers slots from 0; this only bounds what a wrong message can make us allocate */
#define SLOTS_MAX 4096

void (*generation_tell)(const struct wire_control *m);
struct loop *generation_home;

/* of all generations */
static struct {
    pthread_mutex_t lock;
    struct list list;
} backends = {PTHREAD_MUTEX_INITIALIZER, {&backends.list, &backends.list}};

struct builder {
    struct generation *generation;
    const struct generation *before;
    const uint32_t *ids;
    unsigned loops;
    char *error;
    size_t error_size;
};

/* ---- backends --------------------------------------------------------------------------------------------------- */

/* While a worker is being replaced there may be one more than there are to be; the limit stays all the same. */
static void fit_gate_locked(struct backend *b)
{
    unsigned limit = atomic_load(&b->limit);
    bool is_short = b->conf->run != CONF_RUN_LOOP && b->slots < limit;
    gate_resize(b->gate, is_short ? b->slots : limit, clock_us());
}

static void on_slots(struct executor *ex, unsigned slots, void *arg)
{
    struct backend *b = arg;
    pthread_mutex_lock(&b->lock);
    b->slots = slots;
    fit_gate_locked(b);
    pthread_mutex_unlock(&b->lock);
}

static void tell(const struct backend *b, struct wire_control m)
{
    m.backend = b->id;
    if (generation_tell != NULL)
        generation_tell(&m);
}

static void on_kill_worker(struct executor *ex, unsigned slot, uint32_t worker_generation, const char *why, void *arg)
{
    tell(arg,
         (struct wire_control){.type = WIRE_KILL, .slot = slot, .generation = worker_generation, .text = str_of(why)});
}

static bool on_calls_wait(struct executor *ex, void *arg)
{
    const struct backend *b = arg;
    return gate_stats(b->gate, clock_us()).waiting > 0;
}

static uint32_t narrow(uint64_t calls)
{
    return calls < UINT32_MAX ? (uint32_t)calls : UINT32_MAX;
}

static void on_return_worker(struct executor *ex, unsigned slot, uint32_t worker_generation, uint64_t calls, void *arg)
{
    tell(arg, (struct wire_control){
                  .type = WIRE_RETURN, .slot = slot, .generation = worker_generation, .count = narrow(calls)});
}

static void on_spent_worker(struct executor *ex, unsigned slot, uint32_t worker_generation, uint64_t calls, void *arg)
{
    tell(arg, (struct wire_control){
                  .type = WIRE_SPENT, .slot = slot, .generation = worker_generation, .count = narrow(calls)});
}

/* One end of a fresh pair goes to an idle thread of the host, the other to the crew. Any thread. */
static int connect_host(void *arg)
{
    struct host *host = arg;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    if (!fd_set_nonblocking(pair[0], true) || !host_take(host, pair[1])) {
        fd_close(&pair[0]);
        fd_close(&pair[1]);
    }
    return pair[0];
}

static struct module *open_module(struct builder *builder, const struct conf_backend *c)
{
    char reason[256] = "";
    struct module *m;
    if (c->what == CONF_WHAT_CGI) {
        m = module_open_cgi(c->cgi, c->root, reason, sizeof(reason));
    } else {
        char *path = conf_module_path(builder->generation->conf, c);
        m = module_open(path, c->options_json, reason, sizeof(reason));
        free(path);
    }
    if (m == NULL)
        snprintf(builder->error, builder->error_size, "backend \"%s\": %s", c->name, reason);
    return m;
}

static struct executor *create_crew(const struct builder *builder, const struct conf_backend *c)
{
    const struct conf_limits *limits = &builder->generation->conf->limits;
    struct crew_options o = {
        .backend = c->name,
        .run = (enum call_class)c->run,
        .protocol = c->what != CONF_WHAT_COMMAND           ? CREW_NATIVE
                    : c->protocol == CONF_PROTOCOL_FASTCGI ? CREW_FASTCGI
                                                           : CREW_HTTP,
        .root = c->root,
        .index = c->index,
        .loops = builder->loops,
        .connect_timeout_us = c->connect_timeout,
        .first_byte_timeout_us = c->first_byte_timeout,
        .idle_timeout_us = c->idle_timeout,
        .keep_alive_us = c->keep_alive,
        .response_head_max = (size_t)limits->response_head_bytes,
        .response_fields_max = (size_t)limits->response_header_fields,
        .response_interim_max = (size_t)limits->response_interim,
        .kill_only_if_queued = c->kill_only_if_queued,
        .max_calls = (uint64_t)c->max_requests,
        .kill_on_abandon = c->on_abandon == CONF_ON_ABANDON_KILL,
    };
    return crew_create(&o);
}

static struct executor *create_proxy(const struct builder *builder, const struct conf_backend *c)
{
    const struct conf_limits *limits = &builder->generation->conf->limits;
    struct proxy_server *servers = mem_zalloc((c->nproxy + 1) * sizeof(servers[0]));
    for (size_t i = 0; i < c->nproxy; i++)
        servers[i] = (struct proxy_server){c->proxy[i].text, (const struct sockaddr *)&c->proxy[i].address,
                                           c->proxy[i].address_len};
    struct proxy_options o = {
        .backend = c->name,
        .servers = servers,
        .nservers = c->nproxy,
        .loops = builder->loops,
        .limit = c->limit,
        .connect_timeout_us = c->connect_timeout,
        .first_byte_timeout_us = c->first_byte_timeout,
        .idle_timeout_us = c->idle_timeout,
        .keep_alive_us = c->keep_alive,
        .response_head_max = (size_t)limits->response_head_bytes,
        .response_fields_max = (size_t)limits->response_header_fields,
        .response_interim_max = (size_t)limits->response_interim,
    };
    struct executor *ex = proxy_create(&o);
    free(servers);
    return ex;
}

static const struct backend *find_by_name(const struct generation *g, const char *name)
{
    for (size_t i = 0; g != NULL && i < g->conf->nbackends; i++)
        if (strcmp(g->backends[i]->conf->name, name) == 0)
            return g->backends[i];
    return NULL;
}

/* Where it takes the place of another, both together run no more than the larger limit of the two. */
static struct gate *create_gate(const struct builder *builder, const struct conf_backend *c, unsigned limit)
{
    const struct backend *elder = find_by_name(builder->before, c->name);
    if (elder == NULL)
        return gate_create(limit, c->queue);
    return gate_create_beside(elder->gate, limit, c->queue,
                              c->limit > elder->conf->limit ? c->limit : elder->conf->limit);
}

static bool create_loop_executor(struct builder *builder, struct backend *b)
{
    const struct conf_backend *c = b->conf;
    b->gate = create_gate(builder, c, c->limit);
    if (c->what == CONF_WHAT_PROXY) {
        b->executor = create_proxy(builder, c);
        return true;
    }
    struct module *m = open_module(builder, c);
    if (m == NULL)
        return false;
    b->executor = inloop_create(c->name, c->limit, m);
    return true;
}

static bool start_host_in_front(struct builder *builder, struct backend *b)
{
    const struct conf_backend *c = b->conf;
    if ((b->module = open_module(builder, c)) == NULL)
        return false;
    if ((b->host = host_start(b->module, c->threads, -1)) == NULL) {
        snprintf(builder->error, builder->error_size, "backend \"%s\": cannot start %u threads: %s; lower threads",
                 c->name, c->threads, strerror(errno));
        return false;
    }
    crew_grant_local(b->executor, c->threads, connect_host, b->host);
    return true;
}

static bool create_executor(struct builder *builder, struct backend *b)
{
    if (b->conf->run == CONF_RUN_LOOP)
        return create_loop_executor(builder, b);
    b->gate = create_gate(builder, b->conf, 0);
    b->executor = create_crew(builder, b->conf);
    b->executor->on_slots = on_slots;
    b->executor->on_slots_arg = b;
    b->executor->kill_worker = on_kill_worker;
    b->executor->calls_wait = on_calls_wait;
    b->executor->return_worker = on_return_worker;
    b->executor->spent_worker = on_spent_worker;
    b->executor->lease_arg = b;
    return b->conf->run != CONF_RUN_THREADS || !b->conf->in_front || start_host_in_front(builder, b);
}

static bool is_leased(const struct backend *b)
{
    return b->conf->run != CONF_RUN_LOOP && !b->conf->in_front;
}

/* Nobody is inside any more: every call holds its generation. */
static void backend_unref(struct backend *b)
{
    if (b == NULL || atomic_fetch_sub(&b->references, 1) != 1)
        return;
    pthread_mutex_lock(&backends.lock);
    list_unlink(&b->link);
    pthread_mutex_unlock(&backends.lock);
    if (b->executor != NULL)
        b->executor->ops->free(b->executor);
    if (b->host != NULL) {
        host_stop(b->host);
        host_join(&b->host);
    }
    if (b->module != NULL)
        module_close(&b->module);
    if (b->gate != NULL)
        gate_free(&b->gate);
    if (is_leased(b))
        tell(b, (struct wire_control){.type = WIRE_RETIRED});
    pthread_mutex_destroy(&b->lock);
    free(b->workers);
    conf_free(&b->part);
    free(b);
}

static struct backend *backend_create(struct builder *builder, size_t index, uint32_t id)
{
    struct backend *b = mem_zalloc(sizeof(*b));
    atomic_init(&b->references, 1);
    b->id = id;
    b->part = conf_change_part(builder->generation->conf, index);
    b->conf = &b->part->backends[0];
    atomic_init(&b->warn_after_us, b->conf->warn_after);
    list_init(&b->link);
    atomic_init(&b->limit, b->conf->limit);
    pthread_mutex_init(&b->lock, NULL);
    if (!create_executor(builder, b)) {
        backend_unref(b);
        return NULL;
    }
    pthread_mutex_lock(&backends.lock);
    list_append(&backends.list, &b->link);
    pthread_mutex_unlock(&backends.lock);
    return b;
}

/* The one with this id, if it serves in the generation before: it goes on. */
static struct backend *backend_keep(const struct generation *before, uint32_t id)
{
    for (size_t i = 0; before != NULL && i < before->conf->nbackends; i++) {
        if (before->backends[i]->id == id) {
            atomic_fetch_add(&before->backends[i]->references, 1);
            return before->backends[i];
        }
    }
    return NULL;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static bool build_backends(struct builder *builder)
{
    struct generation *g = builder->generation;
    g->backends = mem_zalloc((g->conf->nbackends + 1) * sizeof(g->backends[0]));
    for (size_t i = 0; i < g->conf->nbackends; i++) {
        uint32_t id = builder->ids != NULL ? builder->ids[i] : (uint32_t)i;
        if ((g->backends[i] = backend_keep(builder->before, id)) == NULL &&
            (g->backends[i] = backend_create(builder, i, id)) == NULL)
            return false;
    }
    return true;
}

static void find_elder(struct route *route, const struct generation *before)
{
    for (size_t i = 0; i < before->nwebsockets; i++) {
        if (route_is_heir(route, before->websockets[i])) {
            route_inherit(route, before->websockets[i]);
            return;
        }
    }
}

static void build_routes(struct generation *g, const struct generation *before)
{
    const struct conf *conf = g->conf;
    g->routes = mem_zalloc((conf->nroutes + 1) * sizeof(g->routes[0]));
    g->websockets = mem_alloc((conf->nroutes + 1) * sizeof(g->websockets[0]));
    for (size_t i = 0; i < conf->nroutes; i++) {
        const struct conf_route *rule = &conf->routes[i];
        struct route *route = &g->routes[i];
        route_init(route, conf, rule, rule->action == CONF_ROUTE_BACKEND ? g->backends[rule->backend] : NULL);
        if (route->websockets == NULL)
            continue;
        g->websockets[g->nwebsockets++] = route;
        if (before != NULL)
            find_elder(route, before);
    }
}

struct generation *generation_create(struct conf *conf, const uint32_t *ids, const struct generation *before,
                                     unsigned loops, char *error, size_t error_size)
{
    struct generation *g = mem_zalloc(sizeof(*g));
    struct builder builder = {g, before, ids, loops, error, error_size};
    atomic_init(&g->references, 1);
    g->conf = conf;
    g->router = router_create(conf->routes, conf->nroutes, error, error_size);
    if (g->router == NULL || !intake_init(&g->intake, conf, error, error_size) || !build_backends(&builder)) {
        generation_unref(g);
        return NULL;
    }
    build_routes(g, before);
    return g;
}

void generation_enforce(struct generation *g)
{
    for (size_t i = 0; i < g->conf->nbackends; i++) {
        gate_set_queue(g->backends[i]->gate, g->conf->backends[i].queue);
        atomic_store_explicit(&g->backends[i]->warn_after_us, g->conf->backends[i].warn_after, memory_order_relaxed);
    }
}

const struct route *generation_heir(const struct generation *g, const struct route *route)
{
    for (size_t i = 0; i < g->nwebsockets; i++)
        if (g->websockets[i]->websockets == route->websockets)
            return g->websockets[i];
    return NULL;
}

struct generation *generation_ref(struct generation *g)
{
    atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
    return g;
}

static void bury(struct generation *g)
{
    for (size_t i = 0; g->routes != NULL && i < g->conf->nroutes; i++)
        route_destroy(&g->routes[i]);
    free(g->routes);
    free(g->websockets);
    for (size_t i = 0; g->backends != NULL && i < g->conf->nbackends; i++)
        backend_unref(g->backends[i]);
    free(g->backends);
    router_free(&g->router);
    intake_destroy(&g->intake);
    conf_free(&g->conf);
    free(g);
}

static void on_burial(struct loop_task *task)
{
    bury((struct generation *)((char *)task - offsetof(struct generation, burial)));
}

/* Backends may have threads to be waited for, and modules to be unloaded. */
void generation_unref(struct generation *g)
{
    if (g == NULL || atomic_fetch_sub(&g->references, 1) != 1)
        return;
    g->burial.run = on_burial;
    if (generation_home == NULL)
        bury(g);
    else
        loop_post(generation_home, &g->burial);
}

/* ---- the supervisor's words ------------------------------------------------------------------------------------- */

/* NULL: it is not there, because it has ended while the message was on its way. It stays, since only the main thread ends
 * it. */
static struct backend *find_backend(uint32_t id)
{
    struct backend *found = NULL;
    pthread_mutex_lock(&backends.lock);
    for (struct list *l = backends.list.next; l != &backends.list && found == NULL; l = l->next) {
        struct backend *b = LIST_ENTRY(l, struct backend, link);
        found = b->id == id ? b : NULL;
    }
    pthread_mutex_unlock(&backends.lock);
    return found;
}

/* the same, if it is of a leased class */
static struct backend *find_leased(uint32_t id)
{
    struct backend *b = find_backend(id);
    return b != NULL && is_leased(b) ? b : NULL;
}

void generation_grant(uint32_t backend, unsigned slot, uint32_t worker_generation, pid_t pid, unsigned concurrency,
                      const char *path)
{
    struct backend *b = find_leased(backend);
    if (b != NULL)
        crew_grant(b->executor, slot, worker_generation, pid, concurrency, path);
}

void generation_recall(uint32_t backend, unsigned slot, uint32_t worker_generation)
{
    struct backend *b = find_leased(backend);
    if (b != NULL)
        crew_recall(b->executor, slot, worker_generation);
}

void generation_lost(uint32_t backend, unsigned slot, uint32_t worker_generation, const char *why)
{
    struct backend *b = find_leased(backend);
    if (b != NULL)
        crew_lost(b->executor, slot, worker_generation, why);
}

static struct backend_worker *worker_row_locked(struct backend *b, unsigned slot)
{
    if (slot >= b->nworkers) {
        b->workers = mem_realloc(b->workers, (slot + 1) * sizeof(b->workers[0]));
        memset(&b->workers[b->nworkers], 0, (slot + 1 - b->nworkers) * sizeof(b->workers[0]));
        b->nworkers = slot + 1;
    }
    return &b->workers[slot];
}

void generation_worker(uint32_t backend, unsigned slot, uint32_t worker_generation, pid_t pid, const char *state,
                       unsigned restarts)
{
    struct backend *b = find_leased(backend);
    if (b == NULL || slot >= SLOTS_MAX)
        return;
    pthread_mutex_lock(&b->lock);
    struct backend_worker *w = worker_row_locked(b, slot);
    *w = (struct backend_worker){.pid = pid, .generation = worker_generation, .restarts = restarts};
    snprintf(w->state, sizeof(w->state), "%s", state);
    pthread_mutex_unlock(&b->lock);
}

void generation_down(uint32_t backend, bool down, const char *why)
{
    struct backend *b = find_leased(backend);
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    snprintf(b->down_why, sizeof(b->down_why), "%s", down ? why : "");
    pthread_mutex_unlock(&b->lock);
    atomic_store(&b->is_down, down);
}

void generation_pause(uint32_t backend, int64_t hold_us)
{
    struct backend *b = find_backend(backend);
    if (b == NULL)
        return;
    gate_pause(b->gate, hold_us);
    b->awaits_quiet = true;
}

void generation_resume(uint32_t backend)
{
    struct backend *b = find_backend(backend);
    if (b == NULL)
        return;
    b->awaits_quiet = false;
    gate_resume(b->gate, clock_us());
}

bool generation_tell_quiet(struct generation *g)
{
    bool some_run = false;
    int64_t now_us = clock_us();
    for (size_t i = 0; i < g->conf->nbackends; i++) {
        struct backend *b = g->backends[i];
        if (!b->awaits_quiet)
            continue;
        b->awaits_quiet = gate_stats(b->gate, now_us).running_together != 0;
        some_run = some_run || b->awaits_quiet;
        if (!b->awaits_quiet)
            tell(b, (struct wire_control){.type = WIRE_QUIET});
    }
    return some_run;
}

void generation_resize(uint32_t backend, unsigned limit)
{
    struct backend *b = find_backend(backend);
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    atomic_store(&b->limit, limit);
    fit_gate_locked(b);
    pthread_mutex_unlock(&b->lock);
}
