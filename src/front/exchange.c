/* SPDX-License-Identifier: MIT
 *
 * exchange: the life of one HTTP call. Read from "arrival" downwards: a request is found safe, its path normalised, its
 * route looked up; what the route answers by itself leaves at once; the rest enters the gate, waits, runs, answers, and
 * gives its slot back. The function that begins a wait returns, and what ends the wait stands below it.
 *
 * Two things end an exchange, in either order: the library lets the request go (on_request_gone), and the place that it
 * holds in line, gate or executor comes back (on_cancelled, on_done). It is recycled when both have happened. Everything
 * here runs on the request's loop thread.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "executor/executor.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange.h"
#include "front/exchange_private.h"
#include "front/fields.h"
#include "front/files.h"
#include "front/generation.h"
#include "front/guard.h"
#include "front/path.h"
#include "front/route.h"
#include "front/router.h"

/* exchanges kept for reuse by a thread */
#define IDLE_MAX 1024

struct exchange_guard {
    struct exchange *exchange;
};

_Static_assert(sizeof(struct field) == sizeof(h2o_header_t), "fields are passed as the library holds them");
_Static_assert(offsetof(struct field, name) == offsetof(h2o_header_t, name), "same");
_Static_assert(offsetof(struct field, value) == offsetof(h2o_header_t, value), "same");
_Static_assert(sizeof(struct str) == sizeof(h2o_iovec_t), "strings are passed as the library holds them");

static struct str str_of_iovec(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

static const struct field *fields_of(const h2o_req_t *req)
{
    return (const struct field *)req->headers.entries;
}

static int64_t now_of(const struct arrival *a)
{
    return a->door->thread->loop.now_us;
}

/* ---- answering on the spot -------------------------------------------------------------------------------------- */

struct str exchange_id(struct arrival *a)
{
    if (a->id.len == 0)
        a->id = fields_request_id(fields_of(a->req), a->req->headers.size);
    if (a->id.len == 0)
        a->id = door_make_id(a->door, h2o_mem_alloc_pool(&a->req->pool, DOOR_ID_LENGTH));
    return a->id;
}

void exchange_refuse(struct arrival *a, const struct problem *p)
{
    struct problem full = *p;
    full.id = exchange_id(a);
    struct reply_whole answer = problem_answer(a->req, &full);
    exchange_log_answer(a, p->reason, answer.status, reply_body_bytes(a->req, &answer));
    conn_request_end(a->conn, false);
    reply_now(a->req, a->door, &answer);
}

static void refuse(struct arrival *a, enum reason reason, const char *detail)
{
    exchange_refuse(a, &(struct problem){.reason = reason, .detail = detail});
}

void exchange_answer(struct arrival *a, const struct reply_whole *answer)
{
    exchange_log_answer(a, REASON_NONE, answer->status, reply_body_bytes(a->req, answer));
    conn_request_end(a->conn, false);
    reply_now(a->req, a->door, answer);
}

static void release_generation(void *p)
{
    generation_unref(*(struct generation **)p);
}

/* The body is the conf's. A small one is copied, so that a generation need not wait for its readers; a large one holds
 * the generation as long as the request lives. */
static void respond(struct arrival *a)
{
    const struct route *route = a->route;
    struct reply_whole answer = {.status = route->conf->respond.status,
                                 .headers = route->headers,
                                 .nheaders = route->nheaders,
                                 .body = route->body};
    if (answer.body.len <= 512) {
        answer.body.base =
            h2o_strdup(&a->req->pool, route->body.base == NULL ? "" : route->body.base, route->body.len).base;
    } else {
        struct generation **held = h2o_mem_alloc_shared(&a->req->pool, sizeof(struct generation *), release_generation);
        *held = generation_ref(a->generation);
    }
    exchange_answer(a, &answer);
}

static void redirect(struct arrival *a)
{
    const struct route *route = a->route;
    h2o_mem_pool_t *pool = &a->req->pool;
    char *target = route_redirect_target(route, a->path, a->query, str_of_iovec(a->req->input.authority));
    h2o_iovec_t location = h2o_strdup(pool, target, SIZE_MAX);
    free(target);
    h2o_header_t *headers = h2o_mem_alloc_pool(pool, (route->nheaders + 1) * sizeof(headers[0]));
    headers[0] = reply_header(pool, STR("location"), str_of_iovec(location));
    if (route->nheaders != 0)
        memcpy(headers + 1, route->headers, route->nheaders * sizeof(headers[0]));
    struct reply_whole answer = {
        .status = route->conf->redirect.status, .headers = headers, .nheaders = route->nheaders + 1};
    exchange_answer(a, &answer);
}

/* ---- arrival ---------------------------------------------------------------------------------------------------- */

static void call_backend(struct arrival *a);

/* RFC 9110 §7.6.2: those two are counted down on their way, and whom they reach with 0 answers instead of forwarding */
static bool counts_hops(const h2o_req_t *req)
{
    struct str method = str_of_iovec(req->input.method);
    return str_eq(method, STR("OPTIONS")) || str_eq(method, STR("TRACE"));
}

static void answer_as_last(struct arrival *a)
{
    if (!str_eq(str_of_iovec(a->req->input.method), STR("OPTIONS"))) {
        exchange_refuse(a, &(struct problem){.reason = REASON_METHOD_NOT_ALLOWED, .allow = "OPTIONS"});
        return;
    }
    h2o_header_t *allow = h2o_mem_alloc_pool(&a->req->pool, sizeof(allow[0]));
    allow[0] = reply_header(&a->req->pool, STR("allow"), STR("OPTIONS"));
    exchange_answer(a, &(struct reply_whole){.status = 204, .headers = allow, .nheaders = 1});
}

static void serve(struct arrival *a)
{
    if (a->req->entity.len > a->route->max_body) {
        char detail[96];
        snprintf(detail, sizeof(detail), "the body of this request may have at most %llu bytes here",
                 (unsigned long long)a->route->max_body);
        refuse(a, REASON_BODY_TOO_LARGE, detail);
        return;
    }
    switch (a->route->conf->action) {
    case CONF_ROUTE_BACKEND:
        if (counts_hops(a->req) && fields_hops_are_spent(fields_of(a->req), a->req->headers.size))
            answer_as_last(a);
        else
            call_backend(a);
        return;
    case CONF_ROUTE_RESPOND:
        respond(a);
        return;
    case CONF_ROUTE_REDIRECT:
        redirect(a);
        return;
    case CONF_ROUTE_FILES:
        files_serve(a);
        return;
    case CONF_ROUTE_COUNT:
        break;
    }
    assert(!"a route without an action");
}

static void find_route(struct arrival *a)
{
    struct router_request q = {
        .host = str_of_iovec(a->req->input.authority),
        .path = a->path,
        .method = str_of_iovec(a->req->input.method),
        .fields = fields_of(a->req),
        .nfields = a->req->headers.size,
    };
    size_t index;
    switch (router_find(a->generation->router, &q, &index)) {
    case ROUTER_FOUND:
        a->route = &a->generation->routes[index];
        serve(a);
        return;
    case ROUTER_NONE:
        refuse(a, REASON_NO_ROUTE, NULL);
        return;
    case ROUTER_FAILED:
        refuse(a, REASON_INTERNAL, "a path_regex ran into its match limit on this path");
        return;
    }
}

/* What is routed from here on is what is forwarded. */
static bool normalise_path(struct arrival *a, const char **why_r)
{
    struct str raw;
    path_split(str_of_iovec(a->req->input.path), &raw, &a->query);
    a->path = raw;
    if (path_is_normal(raw))
        return true;
    char *out = h2o_mem_alloc_pool(&a->req->pool, PATH_NORMAL_MAX(raw.len));
    return path_normalise(raw, out, &a->path, why_r);
}

static bool is_options_asterisk(const h2o_req_t *req)
{
    return str_eq(str_of_iovec(req->input.path), STR("*")) && str_eq(str_of_iovec(req->input.method), STR("OPTIONS"));
}

/* The library's stamps have a millisecond's resolution and are the only word on when the upload began. */
static int64_t upload_us(const h2o_req_t *req)
{
    int64_t us = h2o_timeval_subtract((struct timeval *)&req->timestamps.request_begin_at,
                                      (struct timeval *)&req->processed_at.at);
    return us > 0 ? us : 0;
}

static struct arrival arrive(h2o_req_t *req)
{
    struct conn *conn = conn_of(req);
    struct front_thread *thread = conn->thread;
    int64_t now_us = clock_us();
    door_count(&thread->counters.requests);
    conn_request_begin(conn, req);
    return (struct arrival){.req = req,
                            .conn = conn,
                            .door = thread->door,
                            .generation = thread->generation,
                            .arrived_us = now_us - upload_us(req),
                            .received_us = now_us};
}

int exchange_on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct arrival a = arrive(req);
    const char *detail = NULL;
    enum reason verdict = guard_verdict(req, &detail);
    if (verdict != REASON_NONE)
        exchange_refuse(&a, &(struct problem){.reason = verdict, .detail = detail, .close = true});
    else if (is_options_asterisk(req))
        exchange_answer(&a, &(struct reply_whole){.status = 204});
    else if (!normalise_path(&a, &detail))
        exchange_refuse(&a, &(struct problem){.reason = REASON_BAD_REQUEST, .detail = detail, .close = true});
    else
        find_route(&a);
    return 0;
}

/* ---- an exchange: made, and recycled ---------------------------------------------------------------------------- */

static void on_granted(struct gate_ticket *ticket);
static void on_admitted(struct share_ticket *ticket);
static void on_deadline(struct deadline *d);
static void on_departed(struct departure *d);
static void on_room(struct reply *reply);
static void on_request_gone(void *p);
static const struct call_sink sink;

static struct exchange *take_idle(struct door *door)
{
    struct list *node = list_pop(&door->idle);
    if (node == NULL)
        return mem_zalloc(sizeof(struct exchange));
    door->nidle--;
    return LIST_ENTRY(node, struct exchange, idle);
}

/* everything but the reply's buffers, which are kept from use to use */
static void reset(struct exchange *ex, const struct arrival *a)
{
    ex->call = (struct call){.magic = CALL_MAGIC,
                             .loop = &a->door->thread->loop,
                             .sink = &sink,
                             .arrived_us = a->arrived_us,
                             .received_us = a->received_us,
                             .deadline_us = CLOCK_NEVER};
    list_init(&ex->idle);
    ex->a = *a;
    ex->guard = NULL;
    ex->state = EXCHANGE_ENDED;
    ex->reason = REASON_NONE;
    ex->ticket = (struct gate_ticket){0};
    ex->share = (struct share_ticket){.on_admitted = on_admitted};
    list_init(&ex->share.link);
    ex->deadline = (struct deadline){.on_expired = on_deadline};
    departure_init(&ex->departure);
    ex->departure.on_departed = on_departed;
    ex->body_copy = NULL;
    ex->has_ended = ex->is_answered = false;
    ex->pins = 0;
    reply_open(&ex->reply, a->req, a->door);
    ex->reply.on_room = on_room;
    ex->reply.spool_directory = a->generation->conf->spool_directory;
}

static void recycle(struct exchange *ex)
{
    struct door *door = ex->a.door;
    reply_close(&ex->reply);
    free(ex->body_copy);
    call_cleanup(&ex->call);
    if (door->nidle < IDLE_MAX) {
        list_append(&door->idle, &ex->idle);
        door->nidle++;
        return;
    }
    buf_free(&ex->reply.waiting);
    buf_free(&ex->reply.sending);
    free(ex);
}

/* nobody knows this exchange any more */
static void settle(struct exchange *ex)
{
    if (ex->a.req != NULL || ex->state != EXCHANGE_ENDED || ex->pins != 0)
        return;
    generation_unref(ex->a.generation);
    recycle(ex);
}

/* From here on the library tells us when the request goes. */
static void put_guard(struct exchange *ex)
{
    ex->guard = h2o_mem_alloc_shared(&ex->a.req->pool, sizeof(*ex->guard), on_request_gone);
    ex->guard->exchange = ex;
    generation_ref(ex->a.generation);
}

struct exchange *exchange_open(struct arrival *a)
{
    struct exchange *ex = take_idle(a->door);
    reset(ex, a);
    put_guard(ex);
    return ex;
}

/* ---- failing ---------------------------------------------------------------------------------------------------- */

static unsigned retry_after_s(const struct exchange *ex, enum reason reason)
{
    const struct backend *b = ex->a.route->backend;
    return reason_wants_retry_after(reason) ? gate_retry_after_s(b->gate, now_of(&ex->a)) : 0;
}

/* A clean answer while that is possible, else a visible cut. The request may be gone on return. */
static void fail(struct exchange *ex, enum reason reason, const char *detail)
{
    departure_forget(&ex->departure, ex->a.door);
    ex->reason = reason;
    if (reply_begun(&ex->reply)) {
        reply_cut(&ex->reply);
        return;
    }
    reply_drop_head(&ex->reply);
    ex->is_answered = true;
    struct problem p = {.reason = reason,
                        .detail = detail,
                        .backend = ex->a.route->backend->conf->name,
                        .id = exchange_id(&ex->a),
                        .retry_after_s = retry_after_s(ex, reason)};
    problem_send(ex->a.req, ex->a.door, &p);
}

/* ---- admission -------------------------------------------------------------------------------------------------- */

static void enter_gate(struct exchange *ex);
static void dispatch(struct exchange *ex);

/* Refused before anything waits for it: the exchange goes back at once, so overload costs little. */
static void turn_away(struct exchange *ex, enum reason reason)
{
    struct arrival a = ex->a;
    const struct backend *b = a.route->backend;
    struct problem p = {.reason = reason, .backend = b->conf->name, .retry_after_s = retry_after_s(ex, reason)};
    atomic_fetch_add_explicit(&a.route->backend->outcomes[reason], 1, memory_order_relaxed);
    share_leave(a.door->shares, &ex->share);
    recycle(ex);
    exchange_refuse(&a, &p);
}

static unsigned share_of_connection(const struct backend *b)
{
    return b->conf->limit < 2 ? 1 : (b->conf->limit + 1) / 2;
}

static bool is_http1(const h2o_req_t *req)
{
    return req->version < 0x200;
}

static int64_t later(int64_t from_us, int64_t by_us)
{
    return by_us == CLOCK_NEVER ? CLOCK_NEVER : from_us + by_us;
}

static void arm(struct exchange *ex, int64_t at_us)
{
    struct heap *heap = &ex->call.loop->deadlines;
    if (at_us == CLOCK_NEVER)
        heap_disarm(heap, &ex->deadline);
    else
        heap_arm(heap, &ex->deadline, at_us);
}

static void call_backend(struct arrival *a)
{
    struct exchange *ex = take_idle(a->door);
    reset(ex, a);
    ex->reply.may_spool = a->route->conf->buffer;
    if (ex->reply.may_spool)
        ex->reply.limit = a->route->backend->conf->max_response_buffer;
    ex->queue_deadline_us = later(a->received_us, a->route->queue_timeout_us);
    if (atomic_load_explicit(&a->route->backend->is_down, memory_order_relaxed)) {
        turn_away(ex, REASON_BACKEND_DOWN);
        return;
    }
    uint64_t connection = a->req->conn->id;
    if (is_http1(a->req) || share_enter(a->door->shares, &ex->share, connection, a->route->backend,
                                        share_of_connection(a->route->backend))) {
        enter_gate(ex);
        return;
    }
    ex->state = EXCHANGE_SHARED;
    (void)exchange_id(&ex->a);
    put_guard(ex);
    arm(ex, ex->queue_deadline_us);
}

/* Another call of the connection has ended, perhaps in the middle of the library's work on it: go on in the next turn. */
static void on_admitted(struct share_ticket *ticket)
{
    struct exchange *ex = LIST_ENTRY(ticket, struct exchange, share);
    arm(ex, now_of(&ex->a));
}

static void expect_departure(struct exchange *ex)
{
    if (is_http1(ex->a.req))
        departure_expect(&ex->departure, ex->a.conn);
}

static void enter_gate(struct exchange *ex)
{
    ex->call.queued_us = ex->a.received_us;
    enum gate_verdict verdict =
        gate_enter(ex->a.route->backend->gate, &ex->ticket, ex->call.loop, on_granted, ex->a.received_us);
    if (verdict == GATE_FULL && ex->guard == NULL) {
        turn_away(ex, REASON_QUEUE_FULL);
        return;
    }
    if (ex->guard == NULL)
        put_guard(ex);
    (void)exchange_id(&ex->a); /* who leaves the queue has a name in the log, too, and can get none then */
    switch (verdict) {
    case GATE_ENTERED:
        expect_departure(ex);
        ex->call.started_us = ex->a.received_us;
        dispatch(ex);
        return;
    case GATE_WAIT:
        expect_departure(ex);
        ex->state = EXCHANGE_QUEUED;
        arm(ex, ex->queue_deadline_us);
        return;
    case GATE_FULL:
        share_leave(ex->a.door->shares, &ex->share);
        ex->state = EXCHANGE_ENDED;
        fail(ex, REASON_QUEUE_FULL, NULL);
        return;
    }
}

/* The place in the gate comes back, and the connection's share of it. */
static void release_slot(struct exchange *ex)
{
    arm(ex, CLOCK_NEVER);
    gate_release(ex->a.route->backend->gate, &ex->ticket, ex->call.loop->now_us);
    share_leave(ex->a.door->shares, &ex->share);
    ex->state = EXCHANGE_ENDED;
}

/* The client has left before its answer began: the library gets an answer that ends the request and its connection. */
static void close_request(struct exchange *ex)
{
    ex->reason = REASON_ABANDONED;
    ex->is_answered = true;
    reply_drop_head(&ex->reply);
    reply_now(ex->a.req, ex->a.door, &(struct reply_whole){.status = 499, .close = true});
}

static void on_granted(struct gate_ticket *ticket)
{
    struct exchange *ex = LIST_ENTRY(ticket, struct exchange, ticket);
    assert(ex->state == EXCHANGE_QUEUED && ex->a.req != NULL);
    arm(ex, CLOCK_NEVER);
    if (is_http1(ex->a.req) && departure_check(ex->a.conn)) {
        departure_forget(&ex->departure, ex->a.door);
        release_slot(ex);
        close_request(ex);
        return;
    }
    ex->call.started_us = clock_us();
    dispatch(ex);
}

/* on_granted was overtaken by gate_cancel; the gate has passed the slot on */
static void on_cancelled(struct gate_ticket *ticket)
{
    struct exchange *ex = LIST_ENTRY(ticket, struct exchange, ticket);
    assert(ex->state == EXCHANGE_CANCELLED);
    share_leave(ex->a.door->shares, &ex->share);
    ex->state = EXCHANGE_ENDED;
    settle(ex);
}

static void leave_queue(struct exchange *ex)
{
    arm(ex, CLOCK_NEVER);
    ex->state = EXCHANGE_CANCELLED;
    if (!gate_cancel(ex->a.route->backend->gate, &ex->ticket, ex->call.loop->now_us, on_cancelled))
        return;
    share_leave(ex->a.door->shares, &ex->share);
    ex->state = EXCHANGE_ENDED;
}

/* ---- execution -------------------------------------------------------------------------------------------------- */

static void put_fields(struct exchange *ex)
{
    struct arrival *a = &ex->a;
    h2o_req_t *req = a->req;
    struct fields_request q = {
        .fields = fields_of(req),
        .nfields = req->headers.size,
        .authority = str_of_iovec(req->input.authority),
        .scheme = str_of_iovec(req->input.scheme->name),
        .peer = str_of(a->conn->peer_text),
        .via =
            is_http1(req) ? (req->version == 0x101 ? STR("1.1 bulkhead") : STR("1.0 bulkhead")) : STR("2.0 bulkhead"),
        .id = exchange_id(a),
        .arrived_us = door_wall_us(a->door, a->arrived_us),
        .is_trusted = a->conn->is_trusted_proxy,
        .counts_hops = counts_hops(req),
        .rules = &a->route->request_rules,
    };
    struct call_field *fields = h2o_mem_alloc_pool(&req->pool, fields_request_count_max(&q) * sizeof(fields[0]));
    char *text = h2o_mem_alloc_pool(&req->pool, fields_request_text_max(&q));
    struct call_request *r = &ex->call.request;
    r->nfields = fields_request_build(&q, fields, text);
    r->fields = fields;
    r->scheme = q.scheme;
    r->authority = q.authority;
    r->peer = q.peer;
    r->id = q.id;
}

/* The library frees an HTTP/2 body before it lets us know that the request goes; the executor may need it longer. */
static struct str body_of(struct exchange *ex)
{
    h2o_iovec_t body = ex->a.req->entity;
    if (!is_http1(ex->a.req) && body.len != 0) {
        ex->body_copy = mem_alloc(body.len);
        memcpy(ex->body_copy, body.base, body.len);
        body.base = ex->body_copy;
    }
    return str_of_iovec(body);
}

static void dispatch(struct exchange *ex)
{
    struct arrival *a = &ex->a;
    struct executor *executor = a->route->backend->executor;
    put_fields(ex);
    ex->call.request.method = str_of_iovec(a->req->input.method);
    ex->call.request.path = path_strip(a->path, a->route->strip_prefix);
    ex->call.request.query = a->query;
    ex->call.request.body = body_of(ex);
    ex->call.deadline_us = later(ex->call.started_us, a->route->timeout_us);
    ex->state = EXCHANGE_RUNNING;
    arm(ex, ex->call.deadline_us);
    executor->ops->start(executor, &ex->call);
}

/* The answer is not wanted any more; on_done still comes, perhaps before this returns. */
static void abandon(struct exchange *ex, enum executor_why why)
{
    struct executor *executor = ex->a.route->backend->executor;
    executor->ops->abandon(executor, &ex->call, why);
}

static struct exchange *exchange_of(struct call *call)
{
    assert(call->magic == CALL_MAGIC);
    return (struct exchange *)call;
}

/* does anybody still wait for what the executor says? */
static bool is_wanted(const struct exchange *ex)
{
    return ex->a.req != NULL && !ex->is_answered && !ex->has_ended;
}

static void on_head(struct call *call, const struct call_response *head)
{
    struct exchange *ex = exchange_of(call);
    if (is_wanted(ex))
        reply_head(&ex->reply, head, &ex->a.route->response_rules);
}

static bool on_body(struct call *call, struct str bytes)
{
    struct exchange *ex = exchange_of(call);
    if (!is_wanted(ex))
        return true;
    bool has_room = reply_body(&ex->reply, bytes);
    if (ex->reply.ending == REPLY_CUT)
        abandon(ex, EXECUTOR_CLIENT_LEFT); /* the client will not get the rest */
    return has_room;
}

static void on_room(struct reply *reply)
{
    struct exchange *ex = LIST_ENTRY(reply, struct exchange, reply);
    struct executor *executor = ex->a.route->backend->executor;
    if (ex->state == EXCHANGE_RUNNING && !ex->has_ended)
        executor->ops->resume(executor, &ex->call);
}

static void on_end(struct call *call, enum reason reason, const char *detail)
{
    struct exchange *ex = exchange_of(call);
    bool wanted = is_wanted(ex);
    ex->has_ended = true;
    call->ended_us = clock_us();
    if (!wanted)
        return;
    departure_forget(&ex->departure, ex->a.door);
    if (reason == REASON_NONE && ex->reply.state == REPLY_NONE)
        fail(ex, REASON_INTERNAL, "the executor ended without an answer");
    else if (reason == REASON_NONE)
        reply_complete(&ex->reply);
    else
        fail(ex, reason, detail);
}

static void on_done(struct call *call)
{
    struct exchange *ex = exchange_of(call);
    assert(ex->state == EXCHANGE_RUNNING);
    release_slot(ex);
    settle(ex);
}

static const struct call_sink sink = {on_head, on_body, on_end, on_done};

/* ---- what cuts it short: time, and the client ------------------------------------------------------------------- */

static void on_queue_timeout(struct exchange *ex)
{
    const struct backend *b = ex->a.route->backend;
    if (ex->state == EXCHANGE_QUEUED) {
        leave_queue(ex);
    } else {
        share_leave(ex->a.door->shares, &ex->share);
        ex->state = EXCHANGE_ENDED;
    }
    bool is_down = atomic_load_explicit(&b->is_down, memory_order_relaxed);
    fail(ex, is_down ? REASON_BACKEND_DOWN : REASON_QUEUE_TIMEOUT, NULL);
}

/* The client hears of it now; the slot comes back when the work has really ended. */
static void on_timeout(struct exchange *ex)
{
    bool wanted = is_wanted(ex);
    ex->pins++;
    abandon(ex, EXECUTOR_DEADLINE);
    if (wanted)
        fail(ex, REASON_DEADLINE, NULL);
    ex->pins--;
    settle(ex);
}

static void on_deadline(struct deadline *d)
{
    struct exchange *ex = LIST_ENTRY(d, struct exchange, deadline);
    if (ex->state == EXCHANGE_RUNNING)
        on_timeout(ex);
    else if (ex->state == EXCHANGE_SHARED && ex->share.holds)
        enter_gate(ex);
    else
        on_queue_timeout(ex);
}

/* An answer that has begun cannot be replaced; breaking the connection ends it. */
static void break_connection(struct exchange *ex)
{
    ex->reason = REASON_ABANDONED;
    (void)shutdown(h2o_socket_get_fd(ex->a.conn->sock), SHUT_RDWR);
    reply_cut(&ex->reply);
}

static void on_departed(struct departure *d)
{
    struct exchange *ex = LIST_ENTRY(d, struct exchange, departure);
    ex->pins++;
    if (ex->state == EXCHANGE_QUEUED)
        leave_queue(ex);
    else if (ex->state == EXCHANGE_RUNNING)
        abandon(ex, EXECUTOR_CLIENT_LEFT);
    if (reply_begun(&ex->reply))
        break_connection(ex);
    else
        close_request(ex);
    ex->pins--;
    settle(ex);
}

/* ---- the request goes ------------------------------------------------------------------------------------------- */

/* the client has everything that was for it, as far as can be known here */
static bool is_answer_out(const struct exchange *ex)
{
    return ex->is_answered || ex->reply.state == REPLY_DONE;
}

/* What the work still needs of the request is copied; what only waited for it leaves. */
static void part_from_request(struct exchange *ex)
{
    switch (ex->state) {
    case EXCHANGE_SHARED:
        arm(ex, CLOCK_NEVER);
        share_leave(ex->a.door->shares, &ex->share);
        ex->state = EXCHANGE_ENDED;
        break;
    case EXCHANGE_QUEUED:
        leave_queue(ex);
        break;
    case EXCHANGE_RUNNING:
        call_detach(&ex->call);
        if (!ex->has_ended)
            abandon(ex, EXECUTOR_CLIENT_LEFT);
        break;
    case EXCHANGE_CANCELLED:
    case EXCHANGE_ENDED:
        break;
    }
}

/* The library disposes of the request: nothing may be sent, and nothing of it may be touched afterwards. */
static void on_request_gone(void *p)
{
    struct exchange *ex = ((struct exchange_guard *)p)->exchange;
    struct arrival *a = &ex->a;
    bool client_left = !is_answer_out(ex);
    ex->pins++;
    if (client_left)
        ex->reason = REASON_ABANDONED;
    else if (ex->reason == REASON_NONE && ex->reply.ending == REPLY_CUT)
        ex->reason = REASON_INTERNAL; /* what was promised did not come, or what came could not be kept */
    departure_forget(&ex->departure, a->door);
    departure_release(a->conn);
    exchange_log_end(ex, client_left && !reply_begun(&ex->reply) ? 499 : a->req->res.status);
    conn_request_end(a->conn, client_left && !is_http1(a->req));
    reply_close(&ex->reply);
    part_from_request(ex);
    a->req = NULL;
    a->conn = NULL;
    ex->pins--;
    settle(ex);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

void exchange_thread_init(struct front_thread *thread)
{
    thread->door = door_create(thread);
}

void exchange_turn(struct front_thread *thread)
{
    reply_flush(thread->door);
    door_refresh_wall_clock(thread->door);
}

/* ---- what the library refuses by itself ------------------------------------------------------------------------- */

static void on_library_refused(h2o_req_t *req, enum reason reason, size_t body_bytes)
{
    struct conn *conn = conn_of(req);
    struct front_thread *thread = conn->thread;
    int64_t now_us = clock_us();
    struct arrival a = {.req = req,
                        .conn = conn,
                        .door = thread->door,
                        .generation = thread->generation,
                        .arrived_us = now_us - upload_us(req),
                        .received_us = now_us};
    door_count(&thread->counters.requests);
    door_count(&thread->counters.responses_by_class[(unsigned)req->res.status / 100 % 6]);
    if (is_http1(req))
        conn_linger(conn); /* it refuses bodies that have not come whole */
    exchange_log_answer(&a, reason, req->res.status, body_bytes);
}

void exchange_register_fallback(h2o_hostconf_t *host)
{
    h2o_handler_t *handler = h2o_create_handler(&host->fallback_path, sizeof(*handler));
    handler->on_req = exchange_on_request;
    problem_shape_library_errors(&host->fallback_path, on_library_refused);
}
