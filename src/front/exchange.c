/* SPDX-License-Identifier: MIT
 *
 * exchange: the life of one HTTP call, from its route to its last byte: the request goes to its backend's gate and
 * executor (dispatch.c), waits, runs, is answered, and lets its place go. The function that begins a wait returns, and
 * what ends the wait stands below it.
 *
 * Two things end an exchange, in either order: the library lets the request go (on_request_gone), and the place that it
 * holds in line, gate or executor comes back (on_out). It is recycled when both have happened. Everything here runs on
 * the request's loop thread.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange_private.h"
#include "front/fields.h"
#include "front/generation.h"
#include "front/path.h"
#include "front/route.h"

/* exchanges kept for reuse by a thread */
#define IDLE_MAX 1024

struct exchange_guard {
    struct exchange *exchange;
};

/* ---- an exchange: made, and recycled ---------------------------------------------------------------------------- */

static void on_admitted(struct share_ticket *ticket);
static void on_line_due(struct deadline *d);
static void on_departed(struct departure *d);
static void on_room(struct reply *reply);
static void on_taken(struct reply *reply);
static void on_request_gone(void *p);
static const struct call_sink sink;
static const struct dispatch_events dispatch_events;

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
    dispatch_init(&ex->d, &a->door->thread->loop, a->route->backend, &dispatch_events);
    ex->d.call.sink = &sink;
    ex->d.call.arrived_us = a->arrived_us;
    ex->d.call.received_us = a->received_us;
    list_init(&ex->idle);
    ex->a = *a;
    ex->guard = NULL;
    ex->reason = REASON_NONE;
    ex->share = (struct share_ticket){.on_admitted = on_admitted};
    list_init(&ex->share.link);
    ex->line = (struct deadline){.on_expired = on_line_due};
    departure_init(&ex->departure);
    ex->departure.on_departed = on_departed;
    ex->on_gone = NULL;
    ex->body_copy = NULL;
    ex->is_upgraded = ex->is_answered = false;
    ex->pins = 0;
    reply_open(&ex->reply, a->req, a->door);
    ex->reply.on_room = on_room;
    ex->reply.on_taken = on_taken;
    ex->reply.spool_directory = a->generation->conf->spool_directory;
}

static void recycle(struct exchange *ex)
{
    struct door *door = ex->a.door;
    reply_close(&ex->reply);
    free(ex->body_copy);
    call_cleanup(&ex->d.call);
    if (door->nidle < IDLE_MAX) {
        list_append(&door->idle, &ex->idle);
        door->nidle++;
        return;
    }
    buf_free(&ex->reply.waiting);
    buf_free(&ex->reply.sending);
    free(ex);
}

/* Is nobody left who knows this exchange? */
static void settle(struct exchange *ex)
{
    if (ex->a.req != NULL || ex->d.state != DISPATCH_OUT || ex->pins != 0)
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
    return reason_wants_retry_after(reason) ? gate_retry_after_s(b->gate, ex->d.call.loop->now_us) : 0;
}

/* A clean answer while that is possible, else a visible cut. The request may be gone on return. */
void exchange_fail(struct exchange *ex, enum reason reason, const char *detail)
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

void exchange_finish(struct exchange *ex, const struct reply_whole *answer)
{
    departure_forget(&ex->departure, ex->a.door);
    ex->is_answered = true;
    reply_now(ex->a.req, ex->a.door, answer);
}

/* ---- admission -------------------------------------------------------------------------------------------------- */

static void enter(struct exchange *ex);
static void run(struct exchange *ex);

/* Refused before anything waits for it: the exchange goes back at once, so overload costs little. */
static void turn_away(struct exchange *ex, enum reason reason)
{
    struct arrival a = ex->a;
    struct backend *b = a.route->backend;
    struct problem p = {.reason = reason, .backend = b->conf->name, .retry_after_s = retry_after_s(ex, reason)};
    atomic_fetch_add_explicit(&b->outcomes[reason], 1, memory_order_relaxed);
    share_leave(a.door->shares, &ex->share);
    recycle(ex);
    exchange_refuse(&a, &p);
}

static unsigned share_of_connection(const struct backend *b)
{
    unsigned limit = atomic_load_explicit(&b->limit, memory_order_relaxed);
    return limit < 2 ? 1 : (limit + 1) / 2;
}

static int64_t later(int64_t from_us, int64_t by_us)
{
    return by_us == CLOCK_NEVER ? CLOCK_NEVER : from_us + by_us;
}

/* Who waits for anything has a guard, and a name: it is needed in the log, and can no longer be made when the request
 * goes. */
static void settle_in(struct exchange *ex)
{
    if (ex->guard == NULL)
        put_guard(ex);
    (void)exchange_id(&ex->a);
}

void exchange_call(struct arrival *a)
{
    struct exchange *ex = take_idle(a->door);
    struct backend *backend = a->route->backend;
    reset(ex, a);
    ex->reply.may_spool = a->route->conf->buffer;
    if (ex->reply.may_spool)
        ex->reply.limit = backend->conf->max_response_buffer;
    ex->queue_until_us = later(a->received_us, a->route->queue_timeout_us);
    if (exchange_is_http1(a->req) ||
        share_enter(a->door->shares, &ex->share, a->req->conn->id, backend, share_of_connection(backend))) {
        enter(ex);
        return;
    }
    settle_in(ex);
    ex->queue_until_us = dispatch_patience(&ex->d, ex->queue_until_us);
    heap_arm(&ex->d.call.loop->deadlines, &ex->line, ex->queue_until_us);
}

static bool is_in_line(const struct exchange *ex)
{
    return ex->share.share != NULL && !ex->share.holds;
}

/* Another call of the connection has ended, perhaps in the middle of the library's work on it: go on in the next turn. */
static void on_admitted(struct share_ticket *ticket)
{
    struct exchange *ex = LIST_ENTRY(ticket, struct exchange, share);
    struct loop *loop = ex->d.call.loop;
    heap_arm(&loop->deadlines, &ex->line, loop->now_us);
}

static void on_line_due(struct deadline *d)
{
    struct exchange *ex = LIST_ENTRY(d, struct exchange, line);
    if (!is_in_line(ex)) {
        enter(ex);
        return;
    }
    struct loop *loop = ex->d.call.loop;
    int64_t until_us = dispatch_patience(&ex->d, loop->now_us);
    if (until_us > loop->now_us) {
        ex->queue_until_us = until_us;
        heap_arm(&loop->deadlines, &ex->line, until_us);
        return;
    }
    bool is_down = atomic_load_explicit(&ex->a.route->backend->is_down, memory_order_relaxed);
    share_leave(ex->a.door->shares, &ex->share);
    exchange_fail(ex, is_down ? REASON_BACKEND_DOWN : REASON_QUEUE_TIMEOUT, NULL);
}

void exchange_expect_departure(struct exchange *ex)
{
    if (exchange_is_http1(ex->a.req))
        departure_expect(&ex->departure, ex->a.conn);
}

static void refuse(struct exchange *ex, enum reason reason)
{
    if (ex->guard == NULL) {
        turn_away(ex, reason);
        return;
    }
    share_leave(ex->a.door->shares, &ex->share);
    exchange_fail(ex, reason, NULL);
}

static void enter(struct exchange *ex)
{
    switch (dispatch_enter(&ex->d, ex->queue_until_us)) {
    case DISPATCH_ENTERS:
        settle_in(ex);
        exchange_expect_departure(ex);
        run(ex);
        return;
    case DISPATCH_WAITS:
        settle_in(ex);
        exchange_expect_departure(ex);
        return;
    case DISPATCH_FULL:
        refuse(ex, REASON_QUEUE_FULL);
        return;
    case DISPATCH_DOWN:
        refuse(ex, REASON_BACKEND_DOWN);
        return;
    }
}

/* The client has left before its answer began: the library gets an answer that ends the request and its connection. */
static void close_request(struct exchange *ex)
{
    ex->reason = REASON_ABANDONED;
    ex->is_answered = true;
    reply_drop_head(&ex->reply);
    reply_now(ex->a.req, ex->a.door, &(struct reply_whole){.status = 499, .close = true});
}

/* Nobody wants it any more: the place in line or gate is given up, or the work abandoned. The connection's share is kept
 * until the slot is back. */
static void leave(struct exchange *ex)
{
    heap_disarm(&ex->d.call.loop->deadlines, &ex->line);
    dispatch_leave(&ex->d);
    if (ex->d.state == DISPATCH_OUT)
        share_leave(ex->a.door->shares, &ex->share);
}

static void on_granted(struct dispatch *d)
{
    struct exchange *ex = (struct exchange *)d;
    assert(ex->a.req != NULL);
    if (exchange_is_http1(ex->a.req) && departure_check(ex->a.conn)) {
        departure_forget(&ex->departure, ex->a.door);
        leave(ex);
        close_request(ex);
        return;
    }
    run(ex);
}

static void on_out(struct dispatch *d)
{
    struct exchange *ex = (struct exchange *)d;
    share_leave(ex->a.door->shares, &ex->share);
    settle(ex);
}

/* ---- execution -------------------------------------------------------------------------------------------------- */

void exchange_describe(struct arrival *a, struct fields_request *q)
{
    h2o_req_t *req = a->req;
    *q = (struct fields_request){
        .fields = fields_of(req),
        .nfields = req->headers.size,
        .authority = str_of_iovec(req->input.authority),
        .scheme = str_of_iovec(req->input.scheme->name),
        .peer = str_of(a->conn->peer_text),
        .via = !exchange_is_http1(req) ? STR("2.0 bulkhead")
               : req->version == 0x101 ? STR("1.1 bulkhead")
                                       : STR("1.0 bulkhead"),
        .id = exchange_id(a),
        .arrived_us = door_wall_us(a->door, a->arrived_us),
        .is_trusted = a->conn->is_trusted_proxy,
        .counts_hops = exchange_counts_hops(req),
        .rules = &a->route->request_rules,
    };
}

static void put_fields(struct exchange *ex)
{
    h2o_mem_pool_t *pool = &ex->a.req->pool;
    struct fields_request q;
    exchange_describe(&ex->a, &q);
    struct call_field *fields = h2o_mem_alloc_pool(pool, fields_request_count_max(&q) * sizeof(fields[0]));
    char *text = h2o_mem_alloc_pool(pool, fields_request_text_max(&q));
    struct call_request *r = &ex->d.call.request;
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
    if (!exchange_is_http1(ex->a.req) && body.len != 0) {
        ex->body_copy = mem_alloc(body.len);
        memcpy(ex->body_copy, body.base, body.len);
        body.base = ex->body_copy;
    }
    return str_of_iovec(body);
}

static void run(struct exchange *ex)
{
    struct arrival *a = &ex->a;
    struct call_request *r = &ex->d.call.request;
    put_fields(ex);
    r->method = str_of_iovec(a->req->input.method);
    r->path = path_strip(a->path, a->route->strip_prefix);
    r->query = a->query;
    r->body = body_of(ex);
    dispatch_run(&ex->d, a->route->timeout_us);
}

static struct exchange *exchange_of(struct call *call)
{
    assert(call->magic == CALL_MAGIC);
    return (struct exchange *)call;
}

/* does anybody still wait for what the executor says? */
static bool is_wanted(const struct exchange *ex)
{
    return ex->a.req != NULL && !ex->is_answered && !ex->d.has_ended;
}

static void on_head(struct call *call, const struct call_response *head)
{
    struct exchange *ex = exchange_of(call);
    if (is_wanted(ex))
        reply_head(&ex->reply, head, &ex->a.route->response_rules);
}

/* It has write_timeout for each piece of its answer. */
static void await_client(struct exchange *ex)
{
    dispatch_hold(&ex->d, ex->d.call.loop->now_us + ex->a.generation->conf->limits.write_timeout);
}

static bool on_body(struct call *call, struct str bytes)
{
    struct exchange *ex = exchange_of(call);
    if (!is_wanted(ex))
        return true;
    bool has_room = reply_body(&ex->reply, bytes);
    if (ex->reply.ending == REPLY_CUT)
        dispatch_leave(&ex->d); /* the client will not get the rest */
    else if (!has_room)
        await_client(ex);
    return has_room;
}

static void on_taken(struct reply *reply)
{
    await_client(LIST_ENTRY(reply, struct exchange, reply));
}

static void on_room(struct reply *reply)
{
    dispatch_resume(&LIST_ENTRY(reply, struct exchange, reply)->d);
}

static void on_end(struct call *call, enum reason reason, const char *detail)
{
    struct exchange *ex = exchange_of(call);
    bool wanted = is_wanted(ex);
    dispatch_note_end(&ex->d);
    if (!wanted)
        return;
    departure_forget(&ex->departure, ex->a.door);
    if (reason == REASON_NONE && ex->reply.state == REPLY_NONE)
        exchange_fail(ex, REASON_INTERNAL, "the executor ended without an answer");
    else if (reason == REASON_NONE)
        reply_complete(&ex->reply);
    else
        exchange_fail(ex, reason, detail);
}

static const struct call_sink sink = {on_head, on_body, on_end, dispatch_on_done};

/* ---- what cuts it short: time, and the client ------------------------------------------------------------------- */

/* The client hears of it now; the slot comes back when the work has really ended. */
static void on_timeout(struct dispatch *d, enum reason reason)
{
    struct exchange *ex = (struct exchange *)d;
    if (d->state == DISPATCH_OUT)
        share_leave(ex->a.door->shares, &ex->share);
    if (is_wanted(ex))
        exchange_fail(ex, reason, NULL);
}

static const struct dispatch_events dispatch_events = {on_granted, on_timeout, on_out};

/* An answer that has begun cannot be replaced; breaking the connection ends it. */
static void break_connection(struct exchange *ex)
{
    ex->reason = REASON_ABANDONED;
    (void)shutdown(h2o_socket_get_fd(ex->a.conn->sock), SHUT_RDWR);
    reply_cut(&ex->reply);
}

/* Who waits for somebody is told once, when no answer is wanted any more. */
static void tell_gone(struct exchange *ex)
{
    void (*on_gone)(struct exchange * ex) = ex->on_gone;
    ex->on_gone = NULL;
    if (on_gone != NULL)
        on_gone(ex);
}

/* The library may take its time to let the request go. */
static void on_departed(struct departure *d)
{
    struct exchange *ex = LIST_ENTRY(d, struct exchange, departure);
    ex->pins++;
    leave(ex);
    tell_gone(ex);
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
    if (ex->d.state == DISPATCH_RUNNING)
        call_detach(&ex->d.call);
    if (ex->d.state != DISPATCH_RUNNING || !ex->d.has_ended)
        leave(ex);
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
    if (!ex->is_upgraded)
        exchange_log_end(ex, client_left && !reply_begun(&ex->reply) ? 499 : a->req->res.status);
    conn_request_end(a->conn, client_left && !exchange_is_http1(a->req));
    reply_close(&ex->reply);
    part_from_request(ex);
    a->req = NULL;
    a->conn = NULL;
    tell_gone(ex);
    ex->pins--;
    settle(ex);
}
