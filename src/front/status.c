/* SPDX-License-Identifier: MIT
 *
 * status: the front's status page as JSON, for the admin listener and the control socket: what each gate holds, what
 * became of its calls, and what every worker does right now. Any thread: it reads atomics, takes a backend's lock for
 * the supervisor's words, and asks gate and executor through their own thread-safe doors.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "executor/executor.h"
#include "front/exchange.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/thread.h"
#include "front/ws_counters.h"
#include "gate/gate.h"

static void put_key(struct buf *out, const char *key)
{
    if (out->len != 0 && out->base[out->len - 1] != '{' && out->base[out->len - 1] != '[')
        buf_append_char(out, ',');
    buf_append_json(out, str_of(key));
    buf_append_char(out, ':');
}

static void put_number(struct buf *out, const char *key, int64_t n)
{
    put_key(out, key);
    buf_append_i64(out, n);
}

static void put_text(struct buf *out, const char *key, const char *text)
{
    put_key(out, key);
    buf_append_json(out, str_of(text));
}

static void put_bool(struct buf *out, const char *key, bool value)
{
    put_key(out, key);
    buf_append_z(out, value ? "true" : "false");
}

/* begins an element of an array */
static void open_element(struct buf *out)
{
    if (out->base[out->len - 1] != '[')
        buf_append_char(out, ',');
    buf_append_char(out, '{');
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

/* What the executor and the supervisor each know of one worker. */
struct worker_view {
    struct backend_worker told;
    bool is_leased;
    struct executor_row row;
    char state[16];
};

struct worker_views {
    struct worker_view *at;
    size_t count;
};

static struct worker_view *view_of(struct worker_views *views, size_t slot)
{
    if (slot >= views->count) {
        views->at = mem_realloc(views->at, (slot + 1) * sizeof(views->at[0]));
        memset(&views->at[views->count], 0, (slot + 1 - views->count) * sizeof(views->at[0]));
        views->count = slot + 1;
    }
    return &views->at[slot];
}

static void on_row(void *arg, const struct executor_row *row)
{
    struct worker_view *v = view_of(arg, row->slot);
    v->is_leased = true;
    v->row = *row;
    v->row.call = NULL; /* valid during the visit only, as the state's text */
    snprintf(v->state, sizeof(v->state), "%s", row->state == NULL ? "" : row->state);
}

static void collect_workers(struct backend *b, struct worker_views *views)
{
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->nworkers; i++)
        view_of(views, i)->told = b->workers[i];
    pthread_mutex_unlock(&b->lock);
    b->executor->ops->visit(b->executor, on_row, views);
}

static void put_worker(struct buf *out, size_t slot, const struct worker_view *v)
{
    open_element(out);
    put_number(out, "slot", (int64_t)slot);
    put_number(out, "pid", v->is_leased && v->row.pid != 0 ? v->row.pid : v->told.pid);
    put_text(out, "state", v->is_leased ? v->state : v->told.state);
    put_number(out, "busy", v->row.busy);
    if (v->row.berths != 0)
        put_number(out, "bridged", v->row.berths);
    put_number(out, "calls", (int64_t)v->row.calls);
    put_number(out, "restarts", v->told.restarts);
    if (v->row.busy != 0) {
        put_text(out, "request", v->row.request);
        put_number(out, "age_us", v->row.age_us);
    }
    buf_append_char(out, '}');
}

static void put_workers(struct buf *out, struct backend *b)
{
    struct worker_views views = {0};
    collect_workers(b, &views);
    put_key(out, "workers");
    buf_append_char(out, '[');
    for (size_t i = 0; i < views.count; i++)
        if (views.at[i].is_leased || views.at[i].told.state[0] != '\0')
            put_worker(out, i, &views.at[i]);
    buf_append_char(out, ']');
    free(views.at);
}

/* ---- backends --------------------------------------------------------------------------------------------------- */

static void put_outcomes(struct buf *out, const struct backend *b)
{
    put_key(out, "outcomes");
    buf_append_char(out, '{');
    for (unsigned r = 0; r < REASON_COUNT; r++) {
        uint64_t n = read_counter(&b->outcomes[r]);
        if (n != 0 || r == REASON_NONE)
            put_number(out, r == REASON_NONE ? "ok" : reason_word((enum reason)r), (int64_t)n);
    }
    buf_append_char(out, '}');
}

static void put_down(struct buf *out, struct backend *b)
{
    bool is_down = atomic_load(&b->is_down);
    put_bool(out, "down", is_down);
    if (!is_down)
        return;
    pthread_mutex_lock(&b->lock);
    put_text(out, "down_why", b->down_why);
    pthread_mutex_unlock(&b->lock);
}

static void put_backend(struct buf *out, struct backend *b, int64_t now_us)
{
    struct gate_stats s = gate_stats(b->gate, now_us);
    int64_t hold_us = gate_hold_us(b->gate);
    open_element(out);
    put_text(out, "name", b->conf->name);
    put_text(out, "run", call_class_name((enum call_class)b->conf->run));
    put_number(out, "limit", s.limit);
    put_number(out, "busy", s.running);
    put_number(out, "queued", s.waiting);
    put_number(out, "queue", s.queue);
    put_number(out, "oldest_wait_us", s.oldest_waiting_us);
    put_bool(out, "paused", s.is_paused);
    if (s.is_paused && hold_us >= 0)
        put_number(out, "hold_us", hold_us);
    put_number(out, "retry_after_s", gate_retry_after_s(b->gate, now_us));
    put_down(out, b);
    put_outcomes(out, b);
    put_workers(out, b);
    buf_append_char(out, '}');
}

/* ---- websockets ------------------------------------------------------------------------------------------------- */

static const char *mode_word(enum conf_websocket_mode mode)
{
    switch (mode) {
    case CONF_WEBSOCKET_MESSAGES:
        return "messages";
    case CONF_WEBSOCKET_BRIDGE:
        return "bridge";
    default:
        return "tunnel";
    }
}

static void put_closed(struct buf *out, const struct ws_counters *c)
{
    put_key(out, "closed");
    buf_append_char(out, '{');
    for (unsigned by = 0; by < WS_CLOSED_COUNT; by++)
        put_number(out, ws_closed_word((enum ws_closed)by), (int64_t)read_counter(&c->closed[by]));
    buf_append_char(out, '}');
}

static void put_websocket_route(struct buf *out, const struct route *r)
{
    const struct ws_counters *c = r->websockets;
    open_element(out);
    put_text(out, "route", r->label);
    put_text(out, "mode", mode_word(r->conf->websocket.mode));
    put_text(out, "backend", r->backend->conf->name);
    put_number(out, "open", (int64_t)read_counter(&c->open));
    put_number(out, "opened", (int64_t)read_counter(&c->opened));
    put_number(out, "refused", (int64_t)read_counter(&c->refused));
    put_number(out, "messages_in", (int64_t)read_counter(&c->messages_in));
    put_number(out, "messages_out", (int64_t)read_counter(&c->messages_out));
    put_number(out, "bytes_in", (int64_t)read_counter(&c->bytes_in));
    put_number(out, "bytes_out", (int64_t)read_counter(&c->bytes_out));
    put_number(out, "errors", (int64_t)read_counter(&c->errors));
    put_closed(out, c);
    buf_append_char(out, '}');
}

static void put_websockets(struct buf *out, const struct generation *g)
{
    put_key(out, "websockets");
    buf_append_char(out, '[');
    for (size_t i = 0; i < g->conf->nroutes; i++)
        if (g->routes[i].websockets != NULL)
            put_websocket_route(out, &g->routes[i]);
    buf_append_char(out, ']');
}

/* ---- sums over threads ------------------------------------------------------------------------------------------ */

static uint64_t sum(size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < front_nthreads; i++)
        total += read_counter((const _Atomic uint64_t *)((const char *)&front_threads[i].counters + offset));
    return total;
}

#define SUM(member) ((int64_t)sum(offsetof(struct front_counters, member)))

static void put_responses(struct buf *out)
{
    put_key(out, "responses");
    buf_append_char(out, '{');
    for (unsigned class = 2; class <= 5; class ++) {
        char key[4] = {(char)('0' + class), 'x', 'x', '\0'};
        put_number(
            out, key,
            (int64_t)sum(offsetof(struct front_counters, responses_by_class) + class * sizeof(_Atomic uint64_t)));
    }
    buf_append_char(out, '}');
}

static void put_refused(struct buf *out)
{
    put_key(out, "refused");
    buf_append_char(out, '{');
    for (unsigned r = 1; r < REASON_COUNT; r++) {
        uint64_t n = sum(offsetof(struct front_counters, refused) + r * sizeof(_Atomic uint64_t));
        if (n != 0)
            put_number(out, reason_word((enum reason)r), (int64_t)n);
    }
    buf_append_char(out, '}');
}

static void put_connections(struct buf *out)
{
    put_key(out, "connections");
    buf_append_char(out, '{');
    put_number(out, "open", SUM(connections_open));
    put_number(out, "accepted", SUM(connections_accepted));
    put_number(out, "refused", SUM(connections_refused));
    put_key(out, "cut");
    buf_append_char(out, '{');
    for (unsigned why = 0; why < CONN_CUT_COUNT; why++) {
        uint64_t n = sum(offsetof(struct front_counters, cut) + why * sizeof(_Atomic uint64_t));
        if (n != 0)
            put_number(out, conn_cut_word((enum conn_cut)why), (int64_t)n);
    }
    buf_append(out, "}}", 2);
}

void status_json(struct generation *g, struct buf *out)
{
    int64_t now_us = clock_us();
    buf_append_char(out, '{');
    put_number(out, "generation", (int64_t)g->conf->generation);
    put_key(out, "backends");
    buf_append_char(out, '[');
    for (size_t i = 0; i < g->conf->nbackends; i++)
        put_backend(out, g->backends[i], now_us);
    buf_append_char(out, ']');
    put_websockets(out, g);
    put_connections(out);
    put_number(out, "requests", SUM(requests));
    put_responses(out);
    put_refused(out);
    buf_append_char(out, '}');
}
