/* SPDX-License-Identifier: MIT
 *
 * proxy: calls go to servers that somebody else runs. A leg is one call's way to a server: a connection (hop) and the
 * call on it. Each loop thread has a pool of legs, so legs and their connections never cross threads; servers are
 * shared, and what is counted about them is atomic. Nothing here keeps a call longer than its deadline or its client:
 * an abandoned call's connection is closed at once.
 *
 * A leg is either with a call, or on its pool's idle list of its server (connected), or spare (neither). There are
 * never more idle connections to a server in a pool than calls ran there at once, hence at most `limit`.
 */
#include "config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "executor/proxy.h"
#include "executor/retry.h"
#include "upstream/hop.h"

#define BACKOFF_MIN_US 1000000
#define BACKOFF_MAX_US 30000000
#define SPARE_LEGS_MAX 64
/* bytes of chunk extensions and trailers in an answer */
#define CHUNK_OVERHEAD_MAX 8192

struct server {
    char *text;
    struct sockaddr_storage address;
    struct hop_target target;
    _Atomic unsigned busy, berths;
    _Atomic uint64_t calls;
    _Atomic int64_t down_until_us, backoff_us; /* 0: it did not refuse lately */
};

struct leg {
    struct list link; /* pool->idle[server] or pool->spare */
    struct pool *pool;
    struct server *server;
    struct call *call;
    uint64_t tried; /* servers that could not be connected to, a bit each (modulo 64) */
    bool repeated;  /* the request was sent a second time */
    bool abandoned, told;
    struct deadline deadline; /* abandoned: on_done in the next turn of the loop */
    struct hop hop;
};

/* One loop thread's; made ready by the first call there */
struct pool {
    struct proxy *proxy;
    struct loop *loop;
    size_t turn; /* where the search for the least busy server begins */
    struct list spare;
    unsigned nspare;
    struct loop_task task; /* proxy_free */
    struct list *idle;     /* one list a server, the most recently used first */
};

struct proxy {
    struct executor super;
    struct hop_options hop;
    struct retry_budget retries;
    struct server *servers;
    size_t nservers;
    struct pool *pools;
    unsigned npools;
    _Atomic unsigned holds; /* proxy_free: pools still to be closed, berths, and the owner */
};

/* ---- servers ---------------------------------------------------------------------------------------------------- */

/* Refusals that arrive while it is down already do not make it longer. */
static void server_refused(struct server *s, int64_t now_us)
{
    if (now_us < atomic_load(&s->down_until_us))
        return;
    int64_t backoff = atomic_load(&s->backoff_us) * 2;
    backoff = backoff < BACKOFF_MIN_US ? BACKOFF_MIN_US : backoff > BACKOFF_MAX_US ? BACKOFF_MAX_US : backoff;
    atomic_store(&s->backoff_us, backoff);
    atomic_store(&s->down_until_us, now_us + backoff);
}

static void server_answered(struct server *s)
{
    if (atomic_load_explicit(&s->backoff_us, memory_order_relaxed) != 0) {
        atomic_store(&s->backoff_us, 0);
        atomic_store(&s->down_until_us, 0);
    }
}

static bool was_tried(const struct proxy *p, const struct server *s, uint64_t tried)
{
    return (tried >> ((size_t)(s - p->servers) & 63) & 1) != 0;
}

/* Servers that are up before those that are down; then the least busy, or the one whose time is over first. */
static bool is_better(struct server *a, struct server *b, int64_t now_us)
{
    int64_t a_down = atomic_load_explicit(&a->down_until_us, memory_order_relaxed);
    int64_t b_down = atomic_load_explicit(&b->down_until_us, memory_order_relaxed);
    if (now_us < a_down || now_us < b_down)
        return a_down < b_down;
    return atomic_load_explicit(&a->busy, memory_order_relaxed) < atomic_load_explicit(&b->busy, memory_order_relaxed);
}

/* NULL: all were tried */
static struct server *choose(struct pool *pool, uint64_t tried, int64_t now_us)
{
    struct proxy *p = pool->proxy;
    struct server *best = NULL;
    size_t first = pool->turn++ % p->nservers;
    for (size_t i = 0; i < p->nservers; i++) {
        struct server *s = &p->servers[(first + i) % p->nservers];
        if (!was_tried(p, s, tried) && (best == NULL || is_better(s, best, now_us)))
            best = s;
    }
    return best;
}

/* ---- legs ------------------------------------------------------------------------------------------------------- */

static void on_leg_deadline(struct deadline *d);

static struct list *idle_list(struct pool *pool, const struct server *s)
{
    return &pool->idle[s - pool->proxy->servers];
}

static struct leg *leg_create(struct pool *pool)
{
    struct leg *leg = mem_zalloc(sizeof(*leg));
    list_init(&leg->link);
    leg->pool = pool;
    leg->deadline.on_expired = on_leg_deadline;
    hop_init(&leg->hop, &pool->proxy->hop);
    return leg;
}

static void leg_free(struct leg *leg)
{
    list_unlink(&leg->link);
    hop_close(&leg->hop);
    hop_free(&leg->hop);
    free(leg);
}

/* the most recently used connection to the server, or a leg that will open one */
static struct leg *leg_take(struct pool *pool, const struct server *s)
{
    struct list *node = list_pop(idle_list(pool, s));
    if (node == NULL && (node = list_pop(&pool->spare)) != NULL)
        pool->nspare--;
    return node != NULL ? LIST_ENTRY(node, struct leg, link) : leg_create(pool);
}

static void leg_put(struct leg *leg)
{
    struct pool *pool = leg->pool;
    if (hop_is_kept(&leg->hop)) {
        list_prepend(idle_list(pool, leg->server), &leg->link);
    } else if (pool->nspare < SPARE_LEGS_MAX) {
        list_prepend(&pool->spare, &leg->link);
        pool->nspare++;
    } else {
        leg_free(leg);
    }
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

static struct proxy *proxy_of(struct executor *ex)
{
    return (struct proxy *)ex; /* `super` is the first member */
}

static struct pool *pool_of(struct proxy *p, struct loop *loop)
{
    assert(loop->id < p->npools);
    struct pool *pool = &p->pools[loop->id];
    pool->loop = loop;
    return pool;
}

static void run(struct leg *leg)
{
    leg->call->attempts++;
    atomic_fetch_add_explicit(&leg->server->busy, 1, memory_order_relaxed);
    hop_start(&leg->hop, leg->call, &leg->server->target);
}

static void proxy_start(struct executor *ex, struct call *call)
{
    struct pool *pool = pool_of(proxy_of(ex), call->loop);
    struct server *s = choose(pool, 0, call->loop->now_us);
    struct leg *leg = leg_take(pool, s);
    leg->server = s;
    leg->call = call;
    leg->tried = 0;
    leg->repeated = leg->abandoned = leg->told = false;
    call->executor_data = leg;
    call->worker_pid = 0;
    run(leg);
}

static void left_server(struct leg *leg)
{
    atomic_fetch_sub_explicit(&leg->server->busy, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&leg->server->calls, 1, memory_order_relaxed);
}

static void tell(struct leg *leg, enum reason reason, const char *detail)
{
    if (leg->abandoned || leg->told)
        return;
    leg->told = true;
    leg->call->sink->on_end(leg->call, reason, detail);
}

/* After this the leg may be somebody else's, or freed. */
static void finish(struct leg *leg)
{
    struct call *call = leg->call;
    leg->call = NULL;
    left_server(leg);
    leg_put(leg);
    call->sink->on_done(call);
}

static enum reason reason_of(enum hop_outcome outcome)
{
    switch (outcome) {
    case HOP_COMPLETE:
        return REASON_NONE;
    case HOP_REFUSED:
        return REASON_UPSTREAM_REFUSED;
    case HOP_CONNECT_TIMEOUT:
        return REASON_DEADLINE;
    case HOP_RESET:
        return REASON_UPSTREAM_RESET;
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

static void tell_failure(struct leg *leg, enum reason reason, const char *detail)
{
    char text[256];
    snprintf(text, sizeof(text), "%s: %s", leg->server->text, detail);
    tell(leg, reason, text);
}

/* Where a failed call may be tried again, or NULL. A server that cannot be connected to costs nothing but the attempt,
 * so every other one gets its turn; a request that was sent is repeated once. */
static struct server *next_server(struct leg *leg, const struct hop_result *result)
{
    struct pool *pool = leg->pool;
    struct call *call = leg->call;
    bool unconnected = result->outcome == HOP_REFUSED || result->outcome == HOP_CONNECT_TIMEOUT;
    if (leg->abandoned || !retry_is_safe(call, result))
        return NULL;
    if (unconnected) {
        leg->tried |= 1ull << ((size_t)(leg->server - pool->proxy->servers) & 63);
        return choose(pool, leg->tried, call->loop->now_us);
    }
    if (leg->repeated || !retry_spend(&pool->proxy->retries))
        return NULL;
    leg->repeated = true;
    return choose(pool, leg->tried, call->loop->now_us);
}

static struct leg *leg_of_hop(struct hop *hop)
{
    return (struct leg *)((char *)hop - offsetof(struct leg, hop));
}

static void on_hop_end(struct hop *hop, struct call *call, const struct hop_result *result)
{
    struct leg *leg = leg_of_hop(hop);
    if (result->outcome == HOP_COMPLETE) {
        server_answered(leg->server);
        retry_earn(&leg->pool->proxy->retries);
        tell(leg, REASON_NONE, NULL);
        finish(leg);
        return;
    }
    if (result->outcome == HOP_REFUSED || result->outcome == HOP_CONNECT_TIMEOUT)
        server_refused(leg->server, call->loop->now_us);
    struct server *next = next_server(leg, result);
    if (next == NULL) {
        tell_failure(leg, reason_of(result->outcome), result->detail);
        finish(leg);
        return;
    }
    left_server(leg);
    leg->server = next;
    call->body_sent = 0;
    run(leg);
}

static void on_hop_timeout(struct hop *hop, struct call *call, const char *detail)
{
    struct leg *leg = leg_of_hop(hop);
    (void)call;
    hop_close(hop);
    tell_failure(leg, REASON_DEADLINE, detail);
    finish(leg);
}

static void on_hop_idle_closed(struct hop *hop)
{
    struct leg *leg = leg_of_hop(hop);
    list_unlink(&leg->link);
    leg_put(leg);
}

static const struct hop_events hop_events = {
    .on_end = on_hop_end,
    .on_timeout = on_hop_timeout,
    .on_idle_closed = on_hop_idle_closed,
};

/* The end of an abandoned call */
static void on_leg_deadline(struct deadline *d)
{
    finish((struct leg *)((char *)d - offsetof(struct leg, deadline)));
}

static void proxy_abandon(struct executor *ex, struct call *call, enum executor_why why)
{
    struct leg *leg = call->executor_data;
    (void)ex;
    (void)why; /* the connection is closed, whyever */
    if (leg->abandoned || leg->told)
        return;
    leg->abandoned = true;
    hop_close(&leg->hop);
    heap_arm(&call->loop->deadlines, &leg->deadline, call->loop->now_us);
}

static void proxy_resume(struct executor *ex, struct call *call)
{
    struct leg *leg = call->executor_data;
    (void)ex;
    hop_resume(&leg->hop);
}

/* ---- the executor ----------------------------------------------------------------------------------------------- */

static void proxy_visit(struct executor *ex, executor_visit_fn fn, void *arg)
{
    struct proxy *p = proxy_of(ex);
    int64_t now_us = clock_us();
    for (size_t i = 0; i < p->nservers; i++) {
        struct server *s = &p->servers[i];
        struct executor_row row = {.slot = (unsigned)i};
        row.busy = atomic_load(&s->busy);
        row.berths = atomic_load(&s->berths);
        row.calls = atomic_load(&s->calls);
        row.state = now_us < atomic_load(&s->down_until_us) ? "down" : row.busy != 0 ? "busy" : "idle";
        snprintf(row.request, sizeof(row.request), "%s", s->text);
        fn(arg, &row);
    }
}

static void proxy_unhold(struct proxy *p)
{
    if (atomic_fetch_sub(&p->holds, 1) != 1)
        return;
    for (unsigned i = 0; i < p->npools; i++)
        free(p->pools[i].idle);
    for (size_t i = 0; i < p->nservers; i++)
        free(p->servers[i].text);
    free(p->pools);
    free(p->servers);
    free(p);
}

static void free_legs(struct list *legs)
{
    struct list *node;
    while ((node = list_first(legs)) != NULL)
        leg_free(LIST_ENTRY(node, struct leg, link));
}

static void pool_close(struct loop_task *task)
{
    struct pool *pool = (struct pool *)((char *)task - offsetof(struct pool, task));
    for (size_t i = 0; i < pool->proxy->nservers; i++)
        free_legs(&pool->idle[i]);
    free_legs(&pool->spare);
    proxy_unhold(pool->proxy);
}

/* No call may be left. Each loop closes its connections; the last one frees the proxy. */
static void proxy_free(struct executor *ex)
{
    struct proxy *p = proxy_of(ex);
    for (unsigned i = 0; i < p->npools; i++) {
        struct pool *pool = &p->pools[i];
        if (pool->loop == NULL)
            continue;
        atomic_fetch_add(&p->holds, 1);
        loop_post(pool->loop, &pool->task);
    }
    proxy_unhold(p);
}

/* ---- berths ----------------------------------------------------------------------------------------------------- */

/* As is_better, but berths count before calls. */
static bool is_emptier(struct server *a, struct server *b, int64_t now_us)
{
    unsigned a_berths = atomic_load_explicit(&a->berths, memory_order_relaxed);
    unsigned b_berths = atomic_load_explicit(&b->berths, memory_order_relaxed);
    bool both_up = now_us >= atomic_load_explicit(&a->down_until_us, memory_order_relaxed) &&
                   now_us >= atomic_load_explicit(&b->down_until_us, memory_order_relaxed);
    return both_up && a_berths != b_berths ? a_berths < b_berths : is_better(a, b, now_us);
}

static struct server *choose_berth(struct proxy *p, unsigned limit, int64_t now_us)
{
    struct server *best = NULL;
    for (size_t i = 0; i < p->nservers; i++) {
        struct server *s = &p->servers[i];
        if (atomic_load_explicit(&s->berths, memory_order_relaxed) < limit &&
            (best == NULL || is_emptier(s, best, now_us)))
            best = s;
    }
    return best;
}

/* Another thread may have taken the last place meanwhile. */
static bool take_berth(struct server *s, unsigned limit)
{
    unsigned taken = atomic_load_explicit(&s->berths, memory_order_relaxed);
    while (taken < limit)
        if (atomic_compare_exchange_weak(&s->berths, &taken, taken + 1))
            return true;
    return false;
}

static bool proxy_berth(struct executor *ex, unsigned limit, struct executor_berth *berth_r)
{
    struct proxy *p = proxy_of(ex);
    int64_t now_us = clock_us();
    struct server *s;
    do {
        s = choose_berth(p, limit, now_us);
        if (s == NULL)
            return false;
    } while (!take_berth(s, limit));
    atomic_fetch_add(&p->holds, 1);
    *berth_r = (struct executor_berth){
        .executor = ex, .address = s->address, .address_len = s->target.address_len, .place = s};
    return true;
}

static void proxy_unberth(struct executor_berth *berth)
{
    struct server *s = berth->place;
    if (berth->refused)
        server_refused(s, clock_us());
    atomic_fetch_sub(&s->berths, 1);
    berth->place = NULL;
    proxy_unhold(proxy_of(berth->executor));
}

static const struct executor_ops proxy_ops = {
    .berth = proxy_berth,
    .unberth = proxy_unberth,
    .start = proxy_start,
    .abandon = proxy_abandon,
    .resume = proxy_resume,
    .visit = proxy_visit,
    .free = proxy_free,
};

static void server_init(struct server *s, const struct proxy_server *from)
{
    assert(from->address_len <= sizeof(s->address));
    s->text = mem_strdup(from->text);
    memcpy(&s->address, from->address, from->address_len);
    s->target.address = (const struct sockaddr *)&s->address;
    s->target.address_len = from->address_len;
}

static void pool_init(struct pool *pool, struct proxy *p)
{
    pool->proxy = p;
    pool->task.run = pool_close;
    list_init(&pool->spare);
    pool->idle = mem_alloc(p->nservers * sizeof(*pool->idle));
    for (size_t i = 0; i < p->nservers; i++)
        list_init(&pool->idle[i]);
}

static struct hop_options hop_options_of(const struct proxy_options *o)
{
    return (struct hop_options){
        .protocol = &protocol_http1,
        .protocol_options = {.limits = {.head_bytes = o->response_head_max,
                                        .fields = o->response_fields_max,
                                        .interim = o->response_interim_max,
                                        .chunk_overhead = CHUNK_OVERHEAD_MAX},
                             .backend = o->backend,
                             .keep = o->keep_alive_us != 0},
        .connect_timeout_us = o->connect_timeout_us,
        .first_byte_timeout_us = o->first_byte_timeout_us,
        .idle_timeout_us = o->idle_timeout_us,
        .keep_alive_us = o->keep_alive_us,
        .events = &hop_events,
    };
}

struct executor *proxy_create(const struct proxy_options *o)
{
    assert(o->nservers > 0 && o->loops > 0);
    struct proxy *p = mem_zalloc(sizeof(*p));
    p->super = (struct executor){.ops = &proxy_ops, .backend = o->backend, .run = CALL_CLASS_LOOP};
    p->hop = hop_options_of(o);
    p->nservers = o->nservers;
    p->servers = mem_zalloc(p->nservers * sizeof(*p->servers));
    for (size_t i = 0; i < p->nservers; i++)
        server_init(&p->servers[i], &o->servers[i]);
    p->npools = o->loops;
    p->pools = mem_zalloc(p->npools * sizeof(*p->pools));
    for (unsigned i = 0; i < p->npools; i++)
        pool_init(&p->pools[i], p);
    atomic_init(&p->holds, 1);
    retry_init(&p->retries);
    return &p->super;
}
