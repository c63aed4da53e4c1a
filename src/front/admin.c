/* SPDX-License-Identifier: MIT
 *
 * admin: what the admin listener answers: /healthz (this loop turns), /readyz (every backend has a slot to run a call
 * in, and no drain is to come), /status (status.c), /ws (ws_push.c). In the loop, never through a gate, never in the
 * access log: whoever asks every second must neither wait nor fill a disk. Loop thread.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "config/conf.h"
#include "front/admin.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange.h"
#include "front/generation.h"
#include "front/guard.h"
#include "front/path.h"
#include "front/problem.h"
#include "front/push_request.h"
#include "front/reply.h"
#include "front/ws_push.h"
#include "gate/gate.h"

void admin_answer(h2o_req_t *req, struct conn *conn, int status, struct str type, const struct buf *body)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, body->base, body->len);
    h2o_header_t *headers = h2o_mem_alloc_pool(&req->pool, 2 * sizeof(headers[0]));
    headers[0] = reply_header(&req->pool, STR("content-type"), type);
    headers[1] = reply_header(&req->pool, STR("cache-control"), STR("no-store"));
    conn_request_end(conn, false);
    reply_now(
        req, conn->thread->door,
        &(struct reply_whole){.status = status, .headers = headers, .nheaders = 2, .body = {copy.base, copy.len}});
}

void admin_refuse(h2o_req_t *req, struct conn *conn, const struct problem *p)
{
    conn_request_end(conn, false);
    problem_send(req, conn->thread->door, p);
}

static bool is_ready(struct backend *b, int64_t now_us)
{
    return !atomic_load(&b->is_down) && gate_stats(b->gate, now_us).limit != 0;
}

/* appends the names of the backends that have no slot, a line each */
static bool put_unready(struct generation *g, struct buf *out)
{
    bool all_ready = true;
    int64_t now_us = clock_us();
    for (size_t i = 0; i < g->conf->nbackends; i++) {
        if (is_ready(g->backends[i], now_us))
            continue;
        all_ready = false;
        buf_append_z(out, "not ready: ");
        buf_append_z(out, g->backends[i]->conf->name);
        buf_append_char(out, '\n');
    }
    return all_ready;
}

/* what /readyz says */
static bool put_readiness(struct generation *g, struct buf *out)
{
    if (thread_is_leaving()) {
        buf_append_z(out, "draining\n");
        return false;
    }
    bool is_ready = put_unready(g, out);
    if (is_ready)
        buf_append_z(out, "ready\n");
    return is_ready;
}

static void answer_path(h2o_req_t *req, struct conn *conn, struct str path)
{
    struct buf body = {0};
    struct generation *g = conn->thread->generation;
    if (str_eq(path, STR("/healthz"))) {
        buf_append_z(&body, "ok\n");
        admin_answer(req, conn, 200, STR("text/plain; charset=utf-8"), &body);
    } else if (str_eq(path, STR("/readyz"))) {
        bool ready = put_readiness(g, &body);
        admin_answer(req, conn, ready ? 200 : 503, STR("text/plain; charset=utf-8"), &body);
    } else if (str_eq(path, STR("/status"))) {
        status_json(g, &body);
        buf_append_char(&body, '\n');
        admin_answer(req, conn, 200, STR("application/json"), &body);
    } else {
        admin_refuse(req, conn,
                     &(struct problem){.reason = REASON_NOT_FOUND, .detail = "try /healthz, /readyz, /status or /ws"});
    }
    buf_free(&body);
}

int admin_on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct conn *conn = conn_of(req);
    const char *detail = NULL;
    struct str path, query, method = {req->input.method.base, req->input.method.len};
    conn_request_begin(conn, req);
    enum reason verdict = guard_verdict(req, &detail);
    path_split((struct str){req->input.path.base, req->input.path.len}, &path, &query);
    if (verdict != REASON_NONE)
        admin_refuse(req, conn, &(struct problem){.reason = verdict, .detail = detail, .close = true});
    else if (push_request_is(path))
        ws_push_serve(req, conn, path, query);
    else if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD")))
        admin_refuse(req, conn, &(struct problem){.reason = REASON_METHOD_NOT_ALLOWED, .allow = "GET, HEAD"});
    else
        answer_path(req, conn, path);
    return 0;
}
