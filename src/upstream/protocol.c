/* SPDX-License-Identifier: MIT
 *
 * protocol: the three rows of the table, each a thin layer over its own serialiser and parser. See protocol.h.
 */
#include "config.h"

#include <inttypes.h>

#include "base/clock.h"
#include "diag/log.h"
#include "upstream/fastcgi.h"
#include "upstream/http1_request.h"
#include "upstream/protocol.h"

/* lines of one FastCGI error stream that reach the log, and how long each may be */
#define ERROR_LINES_MAX  64
#define ERROR_LINE_BYTES 1024

_Static_assert(sizeof(struct frame_field) == sizeof(struct call_field), "fields of frames and calls differ");
_Static_assert(offsetof(struct frame_field, value) == offsetof(struct call_field, value),
               "fields of frames and calls differ");

_Static_assert((int)FRAME_HTTP == (int)CALL_HTTP && (int)FRAME_WS_OPEN == (int)CALL_WS_OPEN &&
                   (int)FRAME_WS_MESSAGE == (int)CALL_WS_MESSAGE && (int)FRAME_WS_CLOSE == (int)CALL_WS_CLOSE &&
                   (int)FRAME_KIND_COUNT == (int)CALL_KIND_COUNT,
               "kinds of frames and calls differ");

static void put_raw(struct buf *out, struct str piece)
{
    buf_append_str(out, piece);
}

/* ---- HTTP/1.1 --------------------------------------------------------------------------------------------------- */

static void http1_begin(struct protocol_answer *a, const struct protocol_options *o, bool is_head, uint64_t number)
{
    (void)number;
    http1_response_init(&a->parser.http1, is_head, &o->limits);
    a->head = &a->parser.http1.head;
}

static void http1_end(struct protocol_answer *a)
{
    http1_response_free(&a->parser.http1);
}

static bool http1_put_head(struct buf *out, const struct call *call, const struct protocol_options *o, uint64_t number)
{
    (void)number;
    http1_request_put(out, &call->request, !o->keep);
    return true;
}

static enum http1_event http1_told(struct protocol_answer *a, enum http1_event event)
{
    if (event == HTTP1_ERROR)
        a->error = a->parser.http1.error;
    return event;
}

static enum http1_event http1_next(struct protocol_answer *a, char *bytes, size_t len, size_t *used, struct str *body_r)
{
    return http1_told(a, http1_response_next(&a->parser.http1, bytes, len, used, body_r));
}

static enum http1_event http1_eof(struct protocol_answer *a)
{
    return http1_told(a, http1_response_eof(&a->parser.http1));
}

static int64_t http1_keep_us(const struct protocol_answer *a)
{
    const struct http1_response *r = &a->parser.http1;
    if (!r->keep_alive)
        return 0;
    /* past an hour a peer's promise is as good as none */
    return r->keep_alive_s < 0 || r->keep_alive_s > 3600 ? CLOCK_NEVER : r->keep_alive_s * 1000000;
}

const struct protocol protocol_http1 = {
    .name = "http",
    .begin = http1_begin,
    .end = http1_end,
    .put_head = http1_put_head,
    .put_body = put_raw,
    .next = http1_next,
    .eof = http1_eof,
    .keep_us = http1_keep_us,
};

/* ---- FastCGI ---------------------------------------------------------------------------------------------------- */

static void fastcgi_begin(struct protocol_answer *a, const struct protocol_options *o, bool is_head, uint64_t number)
{
    (void)number;
    fastcgi_response_init(&a->parser.fastcgi, is_head, &o->limits);
    a->head = &a->parser.fastcgi.head;
}

static void fastcgi_end(struct protocol_answer *a)
{
    fastcgi_response_free(&a->parser.fastcgi);
}

static bool fastcgi_put_head(struct buf *out, const struct call *call, const struct protocol_options *o,
                             uint64_t number)
{
    (void)number;
    fastcgi_put_request(out, &call->request, &o->fastcgi, o->keep);
    return true;
}

static void fastcgi_put_body(struct buf *out, struct str piece)
{
    fastcgi_put_stdin(out, piece);
}

static void fastcgi_put_body_end(struct buf *out)
{
    fastcgi_put_stdin(out, STR_NONE);
}

/* Passes the program's error stream on to the log, line by line, bounded for each answer. */
static void fastcgi_log(struct protocol_answer *a)
{
    struct buf *log = &a->parser.fastcgi.log;
    for (size_t at = 0; at < log->len && a->logged < ERROR_LINES_MAX;) {
        const char *line = log->base + at;
        const char *newline = memchr(line, '\n', log->len - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : log->len - at;
        at += len + 1;
        if (len == 0)
            continue;
        a->logged++;
        log_write(LOG_LEVEL_WARNING, "upstream", "%s: stderr: %.*s", a->options->backend,
                  (int)(len < ERROR_LINE_BYTES ? len : ERROR_LINE_BYTES), line);
    }
    buf_clear(log);
}

static enum http1_event fastcgi_next(struct protocol_answer *a, char *bytes, size_t len, size_t *used,
                                     struct str *body_r)
{
    enum http1_event event = fastcgi_response_next(&a->parser.fastcgi, bytes, len, used, body_r);
    if (a->parser.fastcgi.log.len != 0)
        fastcgi_log(a);
    if (event == HTTP1_ERROR)
        a->error = a->parser.fastcgi.error;
    return event;
}

/* FastCGI and native answers say themselves where they end; a closed connection is never an end */
static enum http1_event truncated(struct protocol_answer *a)
{
    a->error = "connection closed before the end of the answer";
    return HTTP1_ERROR;
}

static int64_t keep_forever(const struct protocol_answer *a)
{
    return a->options->keep ? CLOCK_NEVER : 0;
}

const struct protocol protocol_fastcgi = {
    .name = "fastcgi",
    .begin = fastcgi_begin,
    .end = fastcgi_end,
    .put_head = fastcgi_put_head,
    .put_body = fastcgi_put_body,
    .put_body_end = fastcgi_put_body_end,
    .next = fastcgi_next,
    .eof = truncated,
    .keep_us = keep_forever,
};

/* ---- native frames ---------------------------------------------------------------------------------------------- */

static void native_begin(struct protocol_answer *a, const struct protocol_options *o, bool is_head, uint64_t number)
{
    native_response_init(&a->parser.native, is_head, number, &o->limits);
    a->head = &a->parser.native.head;
}

static void native_end(struct protocol_answer *a)
{
    native_response_free(&a->parser.native);
}

static bool native_put_head(struct buf *out, const struct call *call, const struct protocol_options *o, uint64_t number)
{
    (void)o;
    const struct call_request *r = &call->request;
    int64_t left = call->deadline_us == CLOCK_NEVER ? INT64_MAX : call->deadline_us - call->loop->now_us;
    struct frame_request request = {
        .timeout_us = left < 0 ? 0 : left,
        .kind = (enum frame_kind)r->kind,
        .opcode = r->ws_opcode,
        .close_code = r->ws_code,
        .method = r->method,
        .path = r->path,
        .query = r->query,
        .scheme = r->scheme,
        .authority = r->authority,
        .peer = r->peer,
        .id = r->id,
        .connection = r->connection,
        .fields = (const struct frame_field *)r->fields,
        .nfields = r->nfields,
    };
    if (!frame_request_fits(&request))
        return false;
    frame_put_request(out, number, &request, r->body.len);
    return true;
}

static enum http1_event native_next(struct protocol_answer *a, char *bytes, size_t len, size_t *used,
                                    struct str *body_r)
{
    enum http1_event event = native_response_next(&a->parser.native, bytes, len, used, body_r);
    if (event == HTTP1_ERROR) {
        a->error = a->parser.native.error;
        a->failed = a->parser.native.failed;
    }
    return event;
}

const struct protocol protocol_native = {
    .name = "native",
    .idle_is_safe = true,
    .begin = native_begin,
    .end = native_end,
    .put_head = native_put_head,
    .put_body = put_raw,
    .put_cancel = frame_put_cancel,
    .next = native_next,
    .eof = truncated,
    .keep_us = keep_forever,
};
