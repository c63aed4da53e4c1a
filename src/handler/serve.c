/* SPDX-License-Identifier: MIT
 *
 * serve: see serve.h. A request is read straight into one buffer and its head decoded into views of it; a short answer
 * is one frame and one write; a longer one is a head, body frames as the module writes them, and an end. While a call
 * runs the peer sends nothing but a CANCEL for it, so that a look at what is there without taking it tells whether
 * anybody still waits. The host thread that owns it.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "diag/log.h"
#include "handler/serve.h"
#include "wire/frame.h"

/* read at least this much at once: a typical request with a small body */
#define READ_BYTES (16 * 1024)
/* bodies up to this size are copied behind their head: cheaper than a second element for the kernel to look at */
#define COPY_BYTES (16 * 1024)
/* buffers that a large call has left behind are given back */
#define KEEP_BYTES (256 * 1024)
/* "cancelled?" costs a system call at most this often */
#define LOOK_INTERVAL_US 1000
#define ERROR_MAX_BYTES  1024

_Static_assert((int)FRAME_HTTP == (int)CALL_HTTP && (int)FRAME_WS_OPEN == (int)CALL_WS_OPEN &&
                   (int)FRAME_WS_MESSAGE == (int)CALL_WS_MESSAGE && (int)FRAME_WS_CLOSE == (int)CALL_WS_CLOSE &&
                   (int)FRAME_KIND_COUNT == (int)CALL_KIND_COUNT,
               "kinds of frames and calls differ");

struct serve {
    struct module *module;
    const atomic_bool *stopping;
    int fd;
    struct buf in;   /* the running request, and what came behind it */
    size_t in_call;  /* bytes of it that are the running request */
    struct str body; /* the running request's, in there */
    struct buf out;
    uint64_t call; /* the running or last one's number */
    int64_t looked_us;
    bool cancelled; /* the running call */
    bool broken;    /* the connection is of no more use */
    bool answered;  /* the running call's answer is complete */
    struct frame_request request;
    struct frame_field request_fields[FRAME_FIELDS_MAX], response_fields[FRAME_FIELDS_MAX];
    struct module_field module_fields[FRAME_FIELDS_MAX];
};

struct serve *serve_create(struct module *m, const atomic_bool *stopping)
{
    struct serve *s = mem_zalloc(sizeof(*s));
    s->module = m;
    s->stopping = stopping;
    s->fd = -1;
    return s;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* moves past what was sent; returns the elements left */
static size_t advance(struct iovec **iov, size_t n, size_t sent)
{
    while (n != 0 && sent >= (*iov)->iov_len) {
        sent -= (*iov)->iov_len;
        ++*iov;
        n--;
    }
    if (n != 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + sent;
        (*iov)->iov_len -= sent;
    }
    return n;
}

/* one part, the common case, is cheaper without a vector */
static ssize_t send_parts(int fd, struct iovec *parts, size_t n)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = n};
    return n == 1 ? send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL) : sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* the out buffer and, behind it, bytes that need not be copied */
static bool send_out(struct serve *s, struct str behind)
{
    struct iovec parts[2] = {{s->out.base, s->out.len}, {behind.base, behind.len}};
    struct iovec *at = parts;
    size_t n = behind.len == 0 ? 1 : 2;
    while (n != 0 && !s->broken) {
        ssize_t sent = send_parts(s->fd, at, n);
        if (sent >= 0)
            n = advance(&at, n, (size_t)sent);
        else if (errno != EINTR)
            s->broken = true;
    }
    buf_clear(&s->out);
    return !s->broken;
}

static bool send_with_body(struct serve *s, struct str body)
{
    if (body.len > COPY_BYTES)
        return send_out(s, body);
    buf_append_str(&s->out, body);
    return send_out(s, STR_NONE);
}

/* ---- what the module writes ------------------------------------------------------------------------------------- */

static struct frame_response response_of(struct serve *s, int status, const struct module_field *fields, size_t nfields,
                                         int64_t content_length)
{
    assert(nfields <= FRAME_FIELDS_MAX);
    for (size_t i = 0; i < nfields; i++)
        s->response_fields[i] = (struct frame_field){fields[i].name, fields[i].value};
    return (struct frame_response){status, s->response_fields, nfields, content_length};
}

/* The head waits in the out buffer for the first piece of the body, or the end: one write for both. */
static bool on_head(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length)
{
    struct serve *s = arg;
    struct frame_response r = response_of(s, status, fields, nfields, content_length);
    frame_put_response(&s->out, s->call, &r, 0, false);
    return !s->broken;
}

static bool on_body(void *arg, struct str bytes)
{
    struct serve *s = arg;
    frame_put_body(&s->out, s->call, bytes.len);
    return send_with_body(s, bytes);
}

static bool on_whole(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length,
                     struct str body)
{
    struct serve *s = arg;
    struct frame_response r = response_of(s, status, fields, nfields, content_length);
    frame_put_response(&s->out, s->call, &r, body.len, true);
    s->answered = true;
    return send_with_body(s, body);
}

/* ---- "does anybody still wait?" --------------------------------------------------------------------------------- */

static bool is_cancel(const struct serve *s, const char *bytes, size_t len)
{
    struct frame f;
    return frame_get(&f, bytes, len) > 0 && f.type == FRAME_CANCEL && f.call == s->call;
}

static bool look(const struct serve *s)
{
    char bytes[FRAME_HEAD_BYTES];
    if (s->in.len > s->in_call)
        return is_cancel(s, s->in.base + s->in_call, s->in.len - s->in_call);
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        return is_cancel(s, bytes, (size_t)n);
    if (n == 0)
        return !atomic_load(s->stopping);
    return errno != EAGAIN && errno != EINTR;
}

static bool on_cancelled(void *arg)
{
    struct serve *s = arg;
    int64_t now = clock_us();
    if (!s->cancelled && now - s->looked_us >= LOOK_INTERVAL_US) {
        s->looked_us = now;
        s->cancelled = look(s);
    }
    return s->cancelled;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool fill(struct serve *s, size_t need)
{
    size_t room = need > READ_BYTES ? need : READ_BYTES;
    char *at = buf_reserve(&s->in, room);
    ssize_t n;
    do
        n = recv(s->fd, at, room, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    s->in.len += (size_t)n;
    return true;
}

/* always -1, for find_request */
static int garbage(const char *what)
{
    log_limited(LOG_LEVEL_ERROR, "handler", "the front broke the protocol (%s); closing its connection", what);
    return -1;
}

static int check_request(struct serve *s, const struct frame *f, size_t *need_r)
{
    if (f->type != FRAME_REQUEST || f->call <= s->call)
        return garbage("no request where one must be");
    if (f->body_len > SERVE_BODY_MAX)
        return garbage("a request body over 1 GiB");
    size_t whole = FRAME_HEAD_BYTES + f->head_len + (size_t)f->body_len;
    if (s->in.len < whole) {
        *need_r = whole - s->in.len;
        return 0;
    }
    s->call = f->call;
    s->in_call = whole;
    s->body = (struct str){s->in.base + whole - f->body_len, (size_t)f->body_len};
    if (!frame_get_request(&s->request, s->request_fields, s->in.base + FRAME_HEAD_BYTES, f->head_len))
        return garbage("a malformed request head");
    return 1;
}

/* 1: a whole request lies at the buffer's start; 0: *need_r more bytes are missing; -1: the connection is of no use */
static int find_request(struct serve *s, size_t *need_r)
{
    struct frame f;
    int got;
    while ((got = frame_get(&f, s->in.base, s->in.len)) > 0 && f.type == FRAME_CANCEL) {
        if (f.call > s->call || f.head_len != 0 || f.body_len != 0)
            return garbage("a cancel of no call");
        buf_consume(&s->in, FRAME_HEAD_BYTES); /* too late: its call has been answered */
    }
    if (got > 0)
        return check_request(s, &f, need_r);
    if (got < 0)
        return garbage("no frame");
    *need_r = FRAME_HEAD_BYTES - s->in.len;
    return 0;
}

static bool read_request(struct serve *s)
{
    int found;
    size_t need = 0;
    while ((found = find_request(s, &need)) == 0)
        if (!fill(s, need))
            return false;
    return found > 0;
}

/* ---- a call ----------------------------------------------------------------------------------------------------- */

static int64_t deadline_of(int64_t now, int64_t timeout_us)
{
    int64_t at;
    return __builtin_add_overflow(now, timeout_us, &at) ? CLOCK_NEVER : at;
}

static struct module_request request_of(struct serve *s)
{
    const struct frame_request *r = &s->request;
    for (size_t i = 0; i < r->nfields; i++)
        s->module_fields[i] = (struct module_field){r->fields[i].name, r->fields[i].value};
    return (struct module_request){
        .kind = (enum call_kind)r->kind,
        .opcode = r->opcode,
        .close_code = r->close_code,
        .connection = r->connection,
        .method = r->method,
        .path = r->path,
        .query = r->query,
        .scheme = r->scheme,
        .authority = r->authority,
        .peer = r->peer,
        .id = r->id,
        .fields = s->module_fields,
        .nfields = r->nfields,
        .body = s->body,
        .deadline_us = deadline_of(s->looked_us, r->timeout_us),
        .cancelled = on_cancelled,
        .arg = s,
    };
}

/* false: the connection is of no more use */
static bool run_call(struct serve *s)
{
    static const struct module_writer calls = {.head = on_head, .body = on_body, .whole = on_whole};
    struct module_writer writer = calls;
    char error[ERROR_MAX_BYTES];
    writer.arg = s;
    s->cancelled = s->answered = false;
    s->looked_us = clock_us();
    struct module_request request = request_of(s);
    bool ok = module_handle(s->module, &request, &writer, error, sizeof(error));
    if (s->broken || s->answered)
        return !s->broken;
    if (ok)
        frame_put_end(&s->out, s->call);
    else
        frame_put_fail(&s->out, s->call, str_of(error));
    return send_out(s, STR_NONE);
}

static void forget_call(struct serve *s)
{
    buf_consume(&s->in, s->in_call);
    s->in_call = 0;
    if (s->in.len == 0 && s->in.capacity > KEEP_BYTES)
        buf_free(&s->in);
    if (s->out.capacity > KEEP_BYTES)
        buf_free(&s->out);
}

void serve_connection(struct serve *s, int fd)
{
    s->fd = fd;
    s->call = 0;
    s->broken = false;
    while (read_request(s) && run_call(s))
        forget_call(s);
    buf_clear(&s->in);
    buf_clear(&s->out);
    s->in_call = 0;
    forget_call(s);
    s->fd = -1;
}

void serve_free(struct serve **serve)
{
    if (*serve == NULL)
        return;
    buf_free(&(*serve)->in);
    buf_free(&(*serve)->out);
    mem_free(serve);
}
