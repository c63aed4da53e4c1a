/* SPDX-License-Identifier: MIT
 *
 * ws_push: see ws_push.h. What a job holds is written before its parts are posted and read-only from then on; each part
 * is its thread's until that has counted it off.
 */
#include "config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "config/conf.h"
#include "front/admin.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/problem.h"
#include "front/push_request.h"
#include "front/route.h"
#include "front/thread.h"
#include "front/ws_push.h"
#include "front/ws_session.h"

/* A part tells so many sessions, or sends so many bytes, and lets its loop turn before it goes on. */
#define SLICE_SESSIONS 64
#define SLICE_BYTES    ((size_t)256 * 1024)

struct job;

struct row {
    int64_t opened_us;
    size_t at, len; /* in part.text */
};

/* sessions by what became of the message */
struct tally {
    unsigned sent, full, closing, too_large, without_messages;
};

struct part {
    struct loop_task task;
    struct job *job;
    struct front_thread *thread;
    /* sending: the sessions that are meant, by number, as they may go meanwhile */
    uint64_t *numbers;
    size_t nnumbers, next;
    struct tally tally;
    /* listing: rows as JSON, newest first */
    struct row *rows;
    size_t nrows, nput, found;
    struct buf text;
};

/* in the request's pool */
struct guard {
    struct job *job; /* NULL: answered */
};

struct job {
    /* home thread */
    h2o_req_t *req; /* NULL once the library has let it go */
    struct conn *conn;
    struct guard *guard;
    struct loop *home;
    struct loop_task done;
    void (*answer)(struct job *job);
    /* frozen */
    struct push_request request; /* its strings in `memory` */
    bool has_message;
    struct str message;
    void *memory;
    /* any thread */
    _Atomic unsigned pending;
    unsigned nparts;
    struct part parts[];
};

/* ---- a job: made, and freed ------------------------------------------------------------------------------------- */

static void on_request_gone(void *p)
{
    struct job *job = ((struct guard *)p)->job;
    if (job == NULL)
        return;
    conn_request_end(job->conn, false);
    job->req = NULL;
    job->conn = NULL;
    job->guard = NULL;
}

static void keep_request(struct job *job, const struct push_request *r, struct str message)
{
    char *at = job->memory = mem_alloc(r->id.len + r->route.len + r->reason.len + message.len + 1);
    job->request = *r;
    job->request.id = str_keep(&at, r->id);
    job->request.route = str_keep(&at, r->route);
    job->request.reason = str_keep(&at, r->reason);
    job->message = str_keep(&at, message);
}

static void on_done(struct loop_task *task);

static struct job *job_create(h2o_req_t *req, struct conn *conn, const struct push_request *r,
                              void (*answer)(struct job *job))
{
    struct str message = {req->entity.base, req->entity.len};
    struct job *job = mem_zalloc(sizeof(*job) + front_nthreads * sizeof(job->parts[0]));
    job->req = req;
    job->conn = conn;
    job->home = &conn->thread->loop;
    job->done.run = on_done;
    job->answer = answer;
    job->has_message = message.len != 0 || !r->closes;
    keep_request(job, r, message);
    job->guard = h2o_mem_alloc_shared(&req->pool, sizeof(*job->guard), on_request_gone);
    job->guard->job = job;
    return job;
}

static void job_free(struct job *job)
{
    assert(job->guard == NULL);
    for (unsigned i = 0; i < job->nparts; i++) {
        free(job->parts[i].numbers);
        free(job->parts[i].rows);
        buf_free(&job->parts[i].text);
    }
    free(job->memory);
    free(job);
}

static void add_part(struct job *job, struct front_thread *thread, loop_task_fn run)
{
    job->parts[job->nparts++] = (struct part){.task = {.run = run}, .job = job, .thread = thread};
}

/* The parts may be done before this returns; the job is not freed, as that is for this thread to do. */
static void job_start(struct job *job)
{
    atomic_store_explicit(&job->pending, job->nparts, memory_order_relaxed);
    for (unsigned i = 0; i < job->nparts; i++)
        loop_post(&job->parts[i].thread->loop, &job->parts[i].task);
}

/* The part is not its thread's any more. */
static void part_done(struct part *part)
{
    struct job *job = part->job;
    if (atomic_fetch_sub_explicit(&job->pending, 1, memory_order_acq_rel) == 1)
        loop_post(job->home, &job->done);
}

static bool is_meant(const struct ws_session *s, const struct push_request *r)
{
    return r->route.len == 0 || str_eq(str_of(s->route->label), r->route);
}

/* ---- sending: on each thread ------------------------------------------------------------------------------------ */

static enum ws_pushed push_message(struct part *part, struct ws_session *s)
{
    const struct job *job = part->job;
    if (!job->has_message)
        return WS_PUSHED;
    return s->mode->push(s, job->request.opcode, job->message);
}

static void tell(struct part *part, struct ws_session *s)
{
    const struct job *job = part->job;
    if (job->has_message && s->mode->push == NULL) {
        part->tally.without_messages++;
        return;
    }
    if (job->message.len > (size_t)s->route->conf->websocket.max_message) {
        part->tally.too_large++;
        return;
    }
    switch (s->leave_reason != NULL ? WS_PUSH_CLOSING : push_message(part, s)) {
    case WS_PUSH_FULL:
        part->tally.full++;
        return;
    case WS_PUSH_CLOSING:
        part->tally.closing++;
        return;
    case WS_PUSHED:
        part->tally.sent++;
        break;
    }
    if (job->request.closes)
        ws_session_leave(s, job->request.code, job->request.reason);
}

static void on_one(struct loop_task *task)
{
    struct part *part = (struct part *)task;
    struct ws_session *s = ws_session_find(part->thread->door, part->job->request.id);
    if (s != NULL)
        tell(part, s);
    part_done(part);
}

static void tell_slice(struct part *part)
{
    struct door *door = part->thread->door;
    size_t bytes = 0;
    for (unsigned n = 0; n < SLICE_SESSIONS && bytes < SLICE_BYTES && part->next < part->nnumbers; n++) {
        const uint64_t *number = &part->numbers[part->next++];
        struct ws_session *s;
        HASH_FIND(hh, door->sessions, number, sizeof(*number), s);
        if (s == NULL)
            continue;
        tell(part, s);
        bytes += part->job->message.len;
    }
}

static void on_slice(struct loop_task *task)
{
    struct part *part = (struct part *)task;
    tell_slice(part);
    if (part->next < part->nnumbers)
        loop_post(&part->thread->loop, &part->task);
    else
        part_done(part);
}

static void on_all(struct loop_task *task)
{
    struct part *part = (struct part *)task;
    struct door *door = part->thread->door;
    part->numbers = mem_alloc(HASH_COUNT(door->sessions) * sizeof(part->numbers[0]) + 1);
    for (struct ws_session *s = door->sessions; s != NULL; s = s->hh.next)
        if (is_meant(s, &part->job->request))
            part->numbers[part->nnumbers++] = s->number;
    task->run = on_slice;
    on_slice(task);
}

/* ---- listing: on each thread ------------------------------------------------------------------------------------ */

static void put_text(struct buf *out, const char *key, struct str text)
{
    buf_printf(out, ",\"%s\":", key);
    buf_append_json(out, text);
}

static void put_number(struct buf *out, const char *key, uint64_t n)
{
    buf_printf(out, ",\"%s\":", key);
    buf_append_u64(out, n);
}

static void put_session(struct buf *out, const struct ws_session *s, int64_t now_us)
{
    char id[WS_ID_LENGTH];
    ws_session_id(s, id);
    buf_append_z(out, "{\"id\":");
    buf_append_json(out, (struct str){id, sizeof(id)});
    put_text(out, "route", str_of(s->route->label));
    put_text(out, "mode", str_of(s->mode->name));
    put_text(out, "backend", str_of(s->route->backend->conf->name));
    put_text(out, "peer", s->facts->peer);
    put_text(out, "path", s->facts->path);
    put_number(out, "age_us", now_us > s->opened_us ? (uint64_t)(now_us - s->opened_us) : 0);
    put_number(out, "messages_in", s->count->messages_in);
    put_number(out, "messages_out", s->count->messages_out);
    put_number(out, "bytes_in", s->count->bytes_in);
    put_number(out, "bytes_out", s->count->bytes_out);
    buf_append_char(out, '}');
}

static void add_row(struct part *part, const struct ws_session *s)
{
    struct row *row = &part->rows[part->nrows++];
    *row = (struct row){.opened_us = s->opened_us, .at = part->text.len};
    put_session(&part->text, s, part->thread->loop.now_us);
    row->len = part->text.len - row->at;
}

static void on_list(struct loop_task *task)
{
    struct part *part = (struct part *)task;
    struct ws_session *first = part->thread->door->sessions;
    const struct push_request *r = &part->job->request;
    part->rows = mem_alloc(r->limit * sizeof(part->rows[0]) + 1);
    struct ws_session *s = first == NULL ? NULL : ELMT_FROM_HH(first->hh.tbl, first->hh.tbl->tail);
    for (; s != NULL; s = s->hh.prev) {
        if (!is_meant(s, r))
            continue;
        part->found++;
        if (part->nrows < r->limit)
            add_row(part, s);
    }
    part_done(part);
}

/* ---- at home: the answer ---------------------------------------------------------------------------------------- */

static struct part *newest_of(struct job *job)
{
    struct part *newest = NULL;
    for (unsigned i = 0; i < job->nparts; i++) {
        struct part *p = &job->parts[i];
        if (p->nput < p->nrows && (newest == NULL || p->rows[p->nput].opened_us > newest->rows[newest->nput].opened_us))
            newest = p;
    }
    return newest;
}

static void put_list(struct job *job, struct buf *out)
{
    size_t found = 0;
    struct part *p;
    for (unsigned i = 0; i < job->nparts; i++)
        found += job->parts[i].found;
    buf_append_z(out, "{\"open\":");
    buf_append_u64(out, found);
    buf_append_z(out, ",\"websockets\":[");
    for (unsigned n = 0; n < job->request.limit && (p = newest_of(job)) != NULL; n++) {
        const struct row *row = &p->rows[p->nput++];
        if (n != 0)
            buf_append_char(out, ',');
        buf_append(out, p->text.base + row->at, row->len);
    }
    buf_append_z(out, "]}\n");
}

static void answer_list(struct job *job)
{
    struct buf out = {0};
    put_list(job, &out);
    admin_answer(job->req, job->conn, 200, STR("application/json"), &out);
    buf_free(&out);
}

static struct tally sum_of(const struct job *job)
{
    struct tally sum = {0};
    for (unsigned i = 0; i < job->nparts; i++) {
        const struct tally *t = &job->parts[i].tally;
        sum.sent += t->sent;
        sum.full += t->full;
        sum.closing += t->closing;
        sum.too_large += t->too_large;
        sum.without_messages += t->without_messages;
    }
    return sum;
}

/* One WebSocket either has the message or not, which the status tells; of many, the numbers say how many do. */
static int status_of(const struct job *job, const struct tally *sum)
{
    if (job->request.id.len == 0 || sum->sent != 0)
        return 200;
    return sum->full != 0 ? 503 : 409;
}

static bool is_nowhere(const struct job *job, const struct tally *sum)
{
    return job->request.id.len != 0 &&
           sum->sent + sum->full + sum->closing + sum->too_large + sum->without_messages == 0;
}

static void answer_sent(struct job *job)
{
    struct tally sum = sum_of(job);
    struct problem p = {0};
    if (is_nowhere(job, &sum))
        p = (struct problem){.reason = REASON_NOT_FOUND, .detail = "no WebSocket with this id is open"};
    else if (sum.sent == 0 && sum.too_large != 0)
        p = (struct problem){.reason = REASON_BODY_TOO_LARGE, .detail = "over websocket.max_message of the route"};
    else if (sum.sent == 0 && sum.without_messages != 0)
        p = (struct problem){.reason = REASON_BAD_REQUEST, .detail = "a tunnel has no messages; it can only be closed"};
    if (p.reason != REASON_NONE) {
        admin_refuse(job->req, job->conn, &p);
        return;
    }
    struct buf out = {0};
    buf_printf(&out, "{\"sent\":%u,\"full\":%u,\"closing\":%u}\n", sum.sent, sum.full, sum.closing);
    admin_answer(job->req, job->conn, status_of(job, &sum), STR("application/json"), &out);
    buf_free(&out);
}

static void on_done(struct loop_task *task)
{
    struct job *job = (struct job *)((char *)task - offsetof(struct job, done));
    if (job->guard != NULL) {
        job->guard->job = NULL; /* the request may go while it is answered */
        job->guard = NULL;
        job->answer(job);
    }
    job_free(job);
}

/* ---- arrival ---------------------------------------------------------------------------------------------------- */

static void refuse(h2o_req_t *req, struct conn *conn, enum reason reason, const char *detail)
{
    admin_refuse(req, conn, &(struct problem){.reason = reason, .detail = detail});
}

static void list(h2o_req_t *req, struct conn *conn, const struct push_request *r)
{
    struct job *job = job_create(req, conn, r, answer_list);
    for (unsigned i = 0; i < front_nthreads; i++)
        add_part(job, &front_threads[i], on_list);
    job_start(job);
}

static void send_to_one(h2o_req_t *req, struct conn *conn, const struct push_request *r)
{
    unsigned thread;
    if (!ws_session_thread(r->id, &thread)) {
        refuse(req, conn, REASON_NOT_FOUND, "no WebSocket with this id is open");
        return;
    }
    struct job *job = job_create(req, conn, r, answer_sent);
    add_part(job, &front_threads[thread], on_one);
    job_start(job);
}

static bool has_route(const struct generation *g, struct str name)
{
    for (size_t i = 0; i < g->conf->nroutes; i++)
        if (g->routes[i].websockets != NULL && str_eq(str_of(g->routes[i].label), name))
            return true;
    return false;
}

static void send_to_all(h2o_req_t *req, struct conn *conn, const struct push_request *r)
{
    if (!has_route(conn->thread->generation, r->route)) {
        refuse(req, conn, REASON_NOT_FOUND, "no route with `websocket` has this name");
        return;
    }
    struct job *job = job_create(req, conn, r, answer_sent);
    for (unsigned i = 0; i < front_nthreads; i++)
        add_part(job, &front_threads[i], on_all);
    job_start(job);
}

static struct str field_of(const h2o_req_t *req, struct str name)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, name.base, name.len, -1);
    return at == -1 ? STR_NONE : (struct str){req->headers.entries[at].value.base, req->headers.entries[at].value.len};
}

/* A browser says Origin with every POST of a page's script or form. Whoever visits a page on this host must not send in
 * its name, whatever name the page has for this address. */
static bool is_of_a_page(const h2o_req_t *req)
{
    struct str site = field_of(req, STR("sec-fetch-site"));
    return field_of(req, STR("origin")).base != NULL || (site.base != NULL && !str_eq(site, STR("none")));
}

static void send_message(h2o_req_t *req, struct conn *conn, const struct push_request *r)
{
    if (is_of_a_page(req))
        refuse(req, conn, REASON_ORIGIN, "web pages may not send to WebSockets; use a program");
    else if (r->id.len == 0 && r->route.len == 0)
        refuse(req, conn, REASON_BAD_REQUEST, "to which? /ws/ID or /ws?route=NAME");
    else if (r->opcode == WS_TEXT && !utf8_valid(req->entity.base, req->entity.len))
        refuse(req, conn, REASON_BAD_REQUEST, "text that is not UTF-8; bytes are application/octet-stream");
    else if (r->id.len != 0)
        send_to_one(req, conn, r);
    else
        send_to_all(req, conn, r);
}

void ws_push_serve(h2o_req_t *req, struct conn *conn, struct str path, struct str query)
{
    struct push_request r;
    struct str method = {req->input.method.base, req->input.method.len};
    const char *wrong = push_request_read(&r, path, query, field_of(req, STR("content-type")),
                                          h2o_mem_alloc_pool(&req->pool, query.len + 1));
    bool reads = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
    if (wrong != NULL)
        refuse(req, conn, REASON_BAD_REQUEST, wrong);
    else if (str_eq(method, STR("POST")))
        send_message(req, conn, &r);
    else if (reads && r.id.len == 0)
        list(req, conn, &r);
    else
        admin_refuse(req, conn,
                     &(struct problem){.reason = REASON_METHOD_NOT_ALLOWED,
                                       .allow = r.id.len == 0 ? "GET, HEAD, POST" : "POST"});
}
