/* SPDX-License-Identifier: MIT
 *
 * problem: see problem.h. A document is composed in the thread's buffer and copied into the request's pool, so that it
 * costs no allocation of its own size classes. What the client or a backend said appears in a detail only escaped.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "front/door.h"
#include "front/problem.h"
#include "front/reply.h"

#define HEADERS_MAX 8

/* ---- documents -------------------------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *name, struct str value)
{
    buf_append_z(out, ",\"");
    buf_append_z(out, name);
    buf_append_z(out, "\":");
    buf_append_json(out, value);
}

static const char *detail_of(const struct problem *p)
{
    return p->detail != NULL && p->detail[0] != '\0' ? p->detail : reason_title(p->reason);
}

void problem_put_json(const struct problem *p, struct buf *out)
{
    buf_append_z(out, "{\"type\":\"urn:bulkhead:reason:");
    buf_append_z(out, reason_word(p->reason));
    buf_append_z(out, "\"");
    put_member(out, "title", str_of(reason_title(p->reason)));
    buf_append_z(out, ",\"status\":");
    buf_append_u64(out, (uint64_t)reason_status(p->reason));
    put_member(out, "detail", str_of(detail_of(p)));
    put_member(out, "reason", str_of(reason_word(p->reason)));
    if (p->backend != NULL)
        put_member(out, "backend", str_of(p->backend));
    if (p->id.len != 0)
        put_member(out, "request_id", p->id);
    buf_append_z(out, "}\n");
}

static void put_html_text(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        switch (s.base[i]) {
        case '<':
            buf_append_z(out, "&lt;");
            break;
        case '>':
            buf_append_z(out, "&gt;");
            break;
        case '&':
            buf_append_z(out, "&amp;");
            break;
        case '"':
            buf_append_z(out, "&quot;");
            break;
        default:
            buf_append_char(out, s.base[i]);
        }
}

void problem_put_html(const struct problem *p, struct buf *out)
{
    int status = reason_status(p->reason);
    buf_printf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%d %s</title></head>\n",
               status, reply_phrase(status));
    buf_printf(out, "<body><h1>%d %s</h1>\n<p>", status, reply_phrase(status));
    put_html_text(out, str_of(detail_of(p)));
    buf_append_z(out, ".</p>\n<p><small>");
    buf_append_z(out, reason_word(p->reason));
    if (p->backend != NULL) {
        buf_append_z(out, " · ");
        put_html_text(out, str_of(p->backend));
    }
    if (p->id.len != 0) {
        buf_append_z(out, " · ");
        put_html_text(out, p->id);
    }
    buf_append_z(out, "</small></p></body></html>\n");
}

bool problem_wants_html(struct str accept)
{
    const char *page = accept.len == 0 ? NULL : memmem(accept.base, accept.len, "text/html", 9);
    const char *document = accept.len == 0 ? NULL : memmem(accept.base, accept.len, "json", 4);
    return page != NULL && (document == NULL || page < document);
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static struct str to_pool(h2o_req_t *req, struct str s)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, s.base, s.len);
    return (struct str){copy.base, copy.len};
}

static struct str proxy_status(h2o_req_t *req, enum reason reason)
{
    char text[160];
    const char *error = reason_proxy_status(reason);
    int len = error == NULL
                  ? snprintf(text, sizeof(text), "bulkhead; details=\"%s\"", reason_word(reason))
                  : snprintf(text, sizeof(text), "bulkhead; error=%s; details=\"%s\"", error, reason_word(reason));
    return to_pool(req, (struct str){text, (size_t)len});
}

static struct str retry_after(h2o_req_t *req, unsigned seconds)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", seconds);
    return to_pool(req, (struct str){text, (size_t)len});
}

static bool client_wants_html(const h2o_req_t *req)
{
    ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_ACCEPT, -1);
    return i != -1 &&
           problem_wants_html((struct str){req->headers.entries[i].value.base, req->headers.entries[i].value.len});
}

/* RFC 9110 §7.8, RFC 6455 §4.4; HTTP/2 has no upgrade */
static size_t put_upgrade(h2o_req_t *req, h2o_header_t *headers)
{
    size_t n = 0;
    headers[n++] = reply_header(&req->pool, STR("sec-websocket-version"), STR("13"));
    if (req->version < 0x200) {
        headers[n++] = reply_header(&req->pool, STR("upgrade"), STR("websocket"));
        headers[n++] = reply_header(&req->pool, STR("connection"), STR("upgrade"));
    }
    return n;
}

/* Composes fields and body into the request's pool. Returns the number of fields. */
static size_t compose(h2o_req_t *req, const struct problem *p, h2o_header_t *headers, struct str *body_r)
{
    static __thread struct buf scratch;
    size_t n = 0;
    bool html = client_wants_html(req);
    buf_clear(&scratch);
    if (html)
        problem_put_html(p, &scratch);
    else
        problem_put_json(p, &scratch);
    *body_r = to_pool(req, buf_str(&scratch));
    headers[n++] = reply_header(&req->pool, STR("content-type"),
                                html ? STR("text/html; charset=utf-8") : STR("application/problem+json"));
    headers[n++] = reply_header(&req->pool, STR("proxy-status"), proxy_status(req, p->reason));
    headers[n++] = reply_header(&req->pool, STR("cache-control"), STR("no-store"));
    if (p->retry_after_s != 0)
        headers[n++] = reply_header(&req->pool, STR("retry-after"), retry_after(req, p->retry_after_s));
    if (p->allow != NULL)
        headers[n++] = reply_header(&req->pool, STR("allow"), str_of(p->allow));
    if (p->reason == REASON_UPGRADE_REQUIRED)
        n += put_upgrade(req, headers + n);
    return n;
}

struct reply_whole problem_answer(h2o_req_t *req, const struct problem *p)
{
    h2o_header_t *headers = h2o_mem_alloc_pool(&req->pool, HEADERS_MAX * sizeof(headers[0]));
    struct reply_whole answer = {.status = reason_status(p->reason), .headers = headers, .close = p->close};
    answer.nheaders = compose(req, p, headers, &answer.body);
    return answer;
}

void problem_send(h2o_req_t *req, struct door *door, const struct problem *p)
{
    struct reply_whole answer = problem_answer(req, p);
    reply_now(req, door, &answer);
}

/* ---- the library's own refusals --------------------------------------------------------------------------------- */

struct shaper {
    h2o_filter_t filter;
    problem_refused_fn on_refused;
};

struct shaped {
    h2o_ostream_t stream;
    h2o_iovec_t body; /* instead of what the library would send */
};

static enum reason reason_of_status(int status)
{
    switch (status) {
    case 400:
        return REASON_BAD_REQUEST;
    case 404:
        return REASON_NO_ROUTE;
    case 413:
        return REASON_BODY_TOO_LARGE;
    case 417:
        return REASON_EXPECTATION;
    default:
        return REASON_INTERNAL;
    }
}

static void send_shaped(h2o_ostream_t *stream, h2o_req_t *req, h2o_iovec_t *bufs, size_t nbufs, h2o_send_state_t state)
{
    struct shaped *s = (struct shaped *)stream;
    h2o_iovec_t body = s->body;
    s->body.len = 0;
    h2o_ostream_send_next(stream, req, &body, body.len != 0, state);
}

static void on_response(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot)
{
    struct shaper *shaper = (struct shaper *)filter;
    bool is_ours = h2o_find_header_by_str(&req->res.headers, H2O_STRLIT("proxy-status"), -1) != -1;
    if (req->res.status >= 400 && !is_ours) {
        struct problem p = {.reason = reason_of_status(req->res.status)};
        h2o_header_t *headers = h2o_mem_alloc_pool(&req->pool, HEADERS_MAX * sizeof(headers[0]));
        struct str body;
        size_t n = compose(req, &p, headers, &body);
        bool no_body = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
        req->res.headers = (h2o_headers_t){headers, n, n};
        req->res.reason = reply_phrase(req->res.status);
        req->res.content_length = body.len;
        struct shaped *shaped = (struct shaped *)h2o_add_ostream(req, sizeof(*shaped), slot);
        shaped->stream.do_send = send_shaped;
        shaped->body = h2o_iovec_init(body.base, no_body ? 0 : body.len);
        slot = &shaped->stream.next;
        shaper->on_refused(req, p.reason, shaped->body.len);
    }
    h2o_setup_next_ostream(req, slot);
}

void problem_shape_library_errors(h2o_pathconf_t *path, problem_refused_fn on_refused)
{
    struct shaper *shaper = (struct shaper *)h2o_create_filter(path, sizeof(*shaper));
    shaper->filter.on_setup_ostream = on_response;
    shaper->on_refused = on_refused;
}
