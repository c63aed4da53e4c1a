/* SPDX-License-Identifier: MIT
 *
 * upgrade: see upgrade.h. It reads from top to bottom: open, ask, hear, end. One struct lives from upgrade_start to
 * on_end or upgrade_cancel; it holds the socket until it hands it over. The library's socket is used in its "tell me,
 * don't read" mode: what arrives is read here, one bounded recv a turn of the loop.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lexis.h"
#include "base/mem.h"
#include "upstream/dial.h"
#include "upstream/h2o_api.h"
#include "upstream/http1_request.h"
#include "upstream/upgrade.h"

#define READ_BYTES (16 * 1024)

enum state {
    WAITING,    /* the peer's backlog was full: tries again at the deadline */
    CONNECTING, /* waits for the connection, or the deadline */
    ASKING,     /* waits for the answer, room to write, or the deadline */
    FAILING     /* failed at once: tells so at the deadline, in the next turn of the loop */
};

struct upgrade {
    struct loop *loop;
    struct sockaddr_storage address;
    socklen_t address_len;
    enum state state;
    struct deadline deadline;
    int64_t connect_by_us, pause_us, answer_timeout_us;
    h2o_socket_t *sock;
    struct buf request;
    size_t sent;
    char *protocol;
    struct http1_response answer;
    struct call_response refusal; /* its fields are one block with their text */
    struct buf body;
    struct upgrade_result failing; /* FAILING */
    void (*on_end)(void *arg, const struct upgrade_result *result);
    void *arg;
};

static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void close_socket(struct upgrade *u)
{
    if (u->sock == NULL)
        return;
    h2o_socket_close(u->sock);
    u->sock = NULL;
}

static void dispose(struct upgrade *u)
{
    close_socket(u);
    heap_disarm(&u->loop->deadlines, &u->deadline);
    http1_response_free(&u->answer);
    buf_free(&u->request);
    buf_free(&u->body);
    free((void *)u->refusal.fields);
    free(u->protocol);
    free(u);
}

static void end(struct upgrade *u, const struct upgrade_result *result)
{
    close_socket(u);
    u->on_end(u->arg, result);
    dispose(u);
}

static void fail_now(struct upgrade *u, enum upgrade_outcome outcome, const char *detail)
{
    end(u, &(struct upgrade_result){.outcome = outcome, .detail = detail});
}

/* For failures found while upgrade_start is still on the stack */
static void fail_later(struct upgrade *u, const char *detail)
{
    u->state = FAILING;
    u->failing = (struct upgrade_result){.outcome = UPGRADE_NO_CONNECTION, .detail = detail};
    heap_arm(&u->loop->deadlines, &u->deadline, u->loop->now_us);
}

static void end_refused(struct upgrade *u)
{
    end(u, &(struct upgrade_result){.outcome = UPGRADE_REFUSED, .head = &u->refusal, .body = buf_str(&u->body)});
}

static void end_done(struct upgrade *u, const char *behind, size_t len)
{
    h2o_socket_t *sock = u->sock;
    u->sock = NULL;
    h2o_socket_read_stop(sock);
    sock->data = NULL;
    if (len != 0) {
        h2o_buffer_reserve(&sock->input, len);
        memcpy(sock->input->bytes + sock->input->size, behind, len);
        sock->input->size += len;
    }
    end(u, &(struct upgrade_result){
               .outcome = UPGRADE_DONE, .sock = sock, .head = &u->answer.head, .protocol = u->answer.upgrade});
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int64_t after(const struct upgrade *u, int64_t timeout_us)
{
    return timeout_us < 0 || timeout_us == CLOCK_NEVER ? CLOCK_NEVER : u->loop->now_us + timeout_us;
}

static void set_due(struct upgrade *u, int64_t at_us)
{
    if (at_us == CLOCK_NEVER)
        heap_disarm(&u->loop->deadlines, &u->deadline);
    else
        heap_arm(&u->loop->deadlines, &u->deadline, at_us);
}

/* Writes until the request is out or the socket is full. A peer that takes no more may have answered all the same. */
static void pump(struct upgrade *u)
{
    while (u->sent != u->request.len) {
        ssize_t n = send(h2o_socket_get_fd(u->sock), u->request.base + u->sent, u->request.len - u->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1) {
            if (errno == EAGAIN)
                h2o_socket_notify_write(u->sock, on_writable);
            return;
        }
        u->sent += (size_t)n;
    }
}

static void connected(struct upgrade *u)
{
    u->state = ASKING;
    set_due(u, after(u, u->answer_timeout_us));
    h2o_socket_read_start(u->sock, on_readable);
    pump(u);
}

static void not_connected(struct upgrade *u, int error)
{
    if (!dial_error_passes(error)) {
        fail_later(u, strerrordesc_np(error));
        return;
    }
    int64_t by = u->connect_by_us;
    if (u->loop->now_us >= by) {
        fail_later(u, error == EAGAIN ? "its backlog stayed full" : strerrordesc_np(error));
        return;
    }
    u->state = WAITING;
    int64_t next = u->loop->now_us + u->pause_us;
    set_due(u, next < by ? next : by);
    if (u->pause_us < DIAL_PAUSE_MAX_US)
        u->pause_us *= 2;
}

static void try_connect(struct upgrade *u)
{
    bool pending;
    int fd = dial_open((const struct sockaddr *)&u->address, u->address_len, &pending);
    if (fd == -1) {
        not_connected(u, errno);
        return;
    }
    h2o_context_t *context = u->loop->h2o;
    u->sock = h2o_evloop_socket_create(context->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    u->sock->data = u;
    if (!pending) {
        connected(u);
        return;
    }
    u->state = CONNECTING;
    set_due(u, u->connect_by_us);
    h2o_socket_notify_write(u->sock, on_writable);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct upgrade *u = sock->data;
    (void)err; /* the library reports errors of its own writes here; it made none */
    if (u->state == ASKING) {
        pump(u);
        return;
    }
    int error = dial_result(h2o_socket_get_fd(sock));
    if (error == 0)
        connected(u);
    else
        fail_now(u, UPGRADE_NO_CONNECTION, strerrordesc_np(error));
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* The parser's head goes with its next call; the body is still to come. */
static void keep_head(struct upgrade *u)
{
    u->refusal = u->answer.head;
    u->refusal.fields = call_fields_copy(u->answer.head.fields, u->answer.head.nfields);
}

/* Half a body would be a lie, and no body is none of that type. */
static void refuse_without_body(struct upgrade *u)
{
    struct call_field *fields = (struct call_field *)u->refusal.fields;
    size_t kept = 0;
    for (size_t i = 0; i < u->refusal.nfields; i++)
        if (!str_eq(fields[i].name, STR("content-type")) && !str_eq(fields[i].name, STR("content-encoding")))
            fields[kept++] = fields[i];
    u->refusal.nfields = kept;
    u->refusal.content_length = 0;
    buf_clear(&u->body);
    end_refused(u);
}

static bool was_asked_for(const struct upgrade *u)
{
    struct str rest = str_of(u->protocol), asked;
    while (lexis_list_next(&rest, &asked))
        if (str_case_eq(u->answer.upgrade, asked))
            return true;
    return false;
}

static void on_switched(struct upgrade *u, const char *behind, size_t len)
{
    if (!was_asked_for(u))
        fail_now(u, UPGRADE_GARBAGE, "it upgraded to another protocol than the one that was asked for");
    else if (u->sent != u->request.len)
        fail_now(u, UPGRADE_GARBAGE, "it upgraded before it had read the request");
    else
        end_done(u, behind, len);
}

static void feed(struct upgrade *u, char *bytes, size_t len)
{
    size_t used = 0;
    for (;;) {
        struct str piece;
        switch (http1_response_next(&u->answer, bytes, len, &used, &piece)) {
        case HTTP1_MORE:
            return;
        case HTTP1_HEAD:
            if (u->answer.head.status == 101) {
                on_switched(u, bytes + used, len - used);
                return;
            }
            keep_head(u);
            break;
        case HTTP1_BODY:
            if (piece.len > UPGRADE_BODY_MAX - u->body.len) {
                refuse_without_body(u);
                return;
            }
            buf_append_str(&u->body, piece);
            break;
        case HTTP1_END:
            end_refused(u);
            return;
        case HTTP1_ERROR:
            fail_now(u, UPGRADE_GARBAGE, u->answer.error);
            return;
        }
    }
}

static void on_eof(struct upgrade *u, bool broken)
{
    bool started = http1_response_started(&u->answer);
    if (!broken && started && http1_response_eof(&u->answer) == HTTP1_END)
        end_refused(u);
    else
        fail_now(u, UPGRADE_RESET,
                 started  ? "the connection was closed in the middle of the answer"
                 : broken ? "the connection was reset"
                          : "the connection was closed without an answer");
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct upgrade *u = sock->data;
    char bytes[READ_BYTES];
    (void)err; /* nothing was read on our behalf */
    ssize_t n = recv(h2o_socket_get_fd(sock), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        feed(u, bytes, (size_t)n);
    else
        on_eof(u, n == -1);
}

/* ---- time limits ------------------------------------------------------------------------------------------------ */

static void on_due(struct deadline *d)
{
    struct upgrade *u = (struct upgrade *)((char *)d - offsetof(struct upgrade, deadline));
    switch (u->state) {
    case WAITING:
        try_connect(u);
        break;
    case CONNECTING:
        fail_now(u, UPGRADE_NO_CONNECTION, "no connection within the connect timeout");
        break;
    case ASKING:
        fail_now(u, UPGRADE_TIMEOUT, "no whole answer to the upgrade within the timeout");
        break;
    case FAILING:
        end(u, &u->failing);
        break;
    }
}

/* ---- what the owner asks for ------------------------------------------------------------------------------------ */

static void put_request(struct buf *out, const struct call_request *request, struct str protocol)
{
    struct call_request asking = *request;
    size_t n = request->nfields;
    struct call_field *fields = mem_alloc((n + 2) * sizeof(*fields));
    if (n != 0)
        memcpy(fields, request->fields, n * sizeof(*fields));
    fields[n] = (struct call_field){STR("connection"), STR("Upgrade")};
    fields[n + 1] = (struct call_field){STR("upgrade"), protocol};
    asking.fields = fields;
    asking.nfields = n + 2;
    http1_request_put(out, &asking, false);
    free(fields);
}

struct upgrade *upgrade_start(struct loop *loop, const struct upgrade_options *o, const struct call_request *request,
                              struct str protocol, void (*on_end)(void *arg, const struct upgrade_result *result),
                              void *arg)
{
    assert(o->address_len <= sizeof(((struct upgrade *)0)->address) && request->body.len == 0);
    struct upgrade *u = mem_zalloc(sizeof(*u));
    u->loop = loop;
    memcpy(&u->address, o->address, o->address_len);
    u->address_len = o->address_len;
    u->deadline.on_expired = on_due;
    u->pause_us = DIAL_PAUSE_MIN_US;
    u->answer_timeout_us = o->answer_timeout_us;
    u->protocol = mem_strdup_str(protocol);
    put_request(&u->request, request, protocol);
    http1_response_init(&u->answer, false, &o->limits);
    http1_response_expect_upgrade(&u->answer);
    u->on_end = on_end;
    u->arg = arg;
    int64_t by = after(u, o->connect_timeout_us);
    u->connect_by_us = by == CLOCK_NEVER ? loop->now_us + DIAL_WAIT_US : by;
    try_connect(u);
    return u;
}

void upgrade_cancel(struct upgrade *u)
{
    dispose(u);
}
