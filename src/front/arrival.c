/* SPDX-License-Identifier: MIT
 *
 * arrival: a request comes in. Read from "arrival" downwards: it is found safe, its path normalised, its route looked
 * up; what the route answers by itself leaves at once; a WebSocket's handshake goes to its own door (ws_door.c), and the
 * rest becomes an exchange (exchange.c). Everything here runs on the request's loop thread.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "config/conf.h"
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
#include "front/ws_door.h"

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

/* RFC 9110 §7.6.2: those two are counted down on their way, and whom they reach with 0 answers instead of forwarding */
bool exchange_counts_hops(const h2o_req_t *req)
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
        if (a->route->websockets != NULL && ws_door_takes(a))
            return;
        if (exchange_counts_hops(a->req) && fields_hops_are_spent(fields_of(a->req), a->req->headers.size))
            answer_as_last(a);
        else
            exchange_call(a);
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
    if (exchange_is_http1(req))
        conn_linger(conn); /* it refuses bodies that have not come whole */
    exchange_log_answer(&a, reason, req->res.status, body_bytes);
}

void exchange_register_fallback(h2o_hostconf_t *host)
{
    h2o_handler_t *handler = h2o_create_handler(&host->fallback_path, sizeof(*handler));
    handler->on_req = exchange_on_request;
    problem_shape_library_errors(&host->fallback_path, on_library_refused);
}
