/* SPDX-License-Identifier: MIT
 *
 * hop: see hop.h. The file reads in the order of an exchange: open, send, receive, end; then time limits, and what the
 * owner asks for. The library's sockets are used in their "tell me, don't read" mode: what arrives is read here, with
 * one recv a turn of the loop, into a buffer that all hops of a thread share; the parser copies what it must keep.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "upstream/dial.h"
#include "upstream/h2o_api.h"
#include "upstream/hop.h"

#define READ_BYTES (64 * 1024)
/* request bytes put together for one write, and writes in a turn of the loop */
#define WRITE_BYTES   (32 * 1024)
#define WRITES_A_TURN 8
/* an out buffer larger than this is given back after the exchange */
#define OUT_KEPT_BYTES (8 * 1024)
/* a peer that takes no more request bytes has this long to show that it has closed, or answered */
#define BROKEN_WRITE_US 5000000
/* servers close idle connections when they like; what must not be sent twice goes only on a recently used one */
#define FRESH_US 1000000

static _Thread_local char read_buffer[READ_BYTES];

static void on_due(struct deadline *d);
static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);
static void try_connect(struct hop *h);

/* ---- time ------------------------------------------------------------------------------------------------------- */

static int64_t after(const struct hop *h, int64_t timeout_us)
{
    return timeout_us < 0 || timeout_us == CLOCK_NEVER ? CLOCK_NEVER : h->loop->now_us + timeout_us;
}

/* Moves the time limit; the heap is touched only when the armed deadline would be too late. */
static void set_due(struct hop *h, int64_t at_us)
{
    h->due_us = at_us;
    if (at_us != CLOCK_NEVER && (!deadline_armed(&h->deadline) || at_us < h->deadline.at_us))
        heap_arm(&h->loop->deadlines, &h->deadline, at_us);
}

static void wait_for_bytes(struct hop *h)
{
    int64_t at = CLOCK_NEVER;
    if (!h->stuck && !h->paused)
        at = after(h, h->answered ? h->options->idle_timeout_us : h->options->first_byte_timeout_us);
    if (h->write_broken && !h->paused && at > h->loop->now_us + BROKEN_WRITE_US)
        at = h->loop->now_us + BROKEN_WRITE_US;
    set_due(h, at);
}

/* ---- the end of an exchange ------------------------------------------------------------------------------------- */

static void close_socket(struct hop *h)
{
    if (h->sock != NULL) {
        h2o_socket_close(h->sock);
        h->sock = NULL;
    }
    fd_close(&h->parked_fd);
    if (h->loop != NULL)
        heap_disarm(&h->loop->deadlines, &h->deadline);
    h->watching_write = false;
}

static void drop_exchange(struct hop *h)
{
    if (h->state == HOP_RUNNING)
        h->options->protocol->end(&h->answer);
    if (h->out.capacity > OUT_KEPT_BYTES)
        buf_free(&h->out);
    h->call = NULL;
    h->serial++;
}

static void report(struct hop *h, const struct hop_result *result)
{
    struct call *call = h->call;
    drop_exchange(h);
    close_socket(h);
    h->state = HOP_CLOSED;
    h->options->events->on_end(h, call, result);
}

static void fail_now(struct hop *h, enum hop_outcome outcome, const char *detail)
{
    struct hop_result result = {outcome, detail, h->sent, h->answered};
    report(h, &result);
}

/* For failures found while hop_start is still on the stack */
static void fail_later(struct hop *h, enum hop_outcome outcome, const char *detail)
{
    close_socket(h);
    h->failing.outcome = outcome;
    h->failing.detail = detail;
    h->state = HOP_FAILING;
    set_due(h, h->loop->now_us);
}

static bool request_is_out(const struct hop *h)
{
    return h->body_put && h->out_sent == h->out.len && !h->write_broken;
}

/* Is there anything behind the answer? What was read tells, unless it filled the buffer. */
static bool is_drained(const struct hop *h, size_t used, size_t len)
{
    char c;
    if (used != len)
        return false;
    return len != READ_BYTES || recv(h2o_socket_get_fd(h->sock), &c, 1, MSG_PEEK | MSG_DONTWAIT) == -1;
}

/* How long this connection may wait for its next exchange; 0: not at all. A little less than what the peer promised, as
 * the next request takes its time to get there. */
static int64_t keep_for_us(const struct hop *h)
{
    int64_t peers = h->options->protocol->keep_us(&h->answer);
    int64_t ours = h->options->keep_alive_us < 0 ? CLOCK_NEVER : h->options->keep_alive_us;
    if (peers != CLOCK_NEVER)
        peers -= peers / 8;
    return peers < ours ? peers : ours;
}

static void complete(struct hop *h, bool drained)
{
    int64_t keep_us = drained && !h->stuck && request_is_out(h) ? keep_for_us(h) : 0;
    struct hop_result result = {HOP_COMPLETE, NULL, h->sent, h->answered};
    if (keep_us == 0) {
        report(h, &result);
        return;
    }
    struct call *call = h->call;
    drop_exchange(h);
    h->state = HOP_IDLE;
    if (h->paused)
        h2o_socket_read_start(h->sock, on_readable);
    h->idle_since_us = h->loop->now_us;
    h->keep_until_us = after(h, keep_us);
    set_due(h, h->keep_until_us);
    h->options->events->on_end(h, call, &result);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* Puts the next part of the request behind what is still unsent. */
static void refill(struct hop *h)
{
    const struct protocol *p = h->options->protocol;
    if (h->out_sent == h->out.len) {
        buf_clear(&h->out);
        h->out_sent = 0;
    }
    if (!h->body_put && h->out.len < WRITE_BYTES) {
        struct call *call = h->call;
        if (call->body_sent < call->request.body.len)
            p->put_body(&h->out, call_body_take(call, WRITE_BYTES - h->out.len));
        if (call->body_sent == call->request.body.len) {
            if (p->put_body_end != NULL)
                p->put_body_end(&h->out);
            h->body_put = true;
        }
    }
    if (h->body_put && h->cancel_wanted && !h->cancel_put) {
        p->put_cancel(&h->out, h->number);
        h->cancel_put = true;
    }
}

/* The peer takes no more. It may have answered before it closed, so reading goes on for a short while. */
static void stop_writing(struct hop *h)
{
    h->write_broken = true;
    wait_for_bytes(h);
}

/* One write; true: all that was there has gone. */
static bool write_once(struct hop *h)
{
    ssize_t n;
    do {
        n = send(h2o_socket_get_fd(h->sock), h->out.base + h->out_sent, h->out.len - h->out_sent,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        if (errno != EAGAIN)
            stop_writing(h);
        return false;
    }
    h->sent = true;
    h->out_sent += (size_t)n;
    return h->out_sent == h->out.len;
}

/* Writes until the request is out, the socket is full, or it has been enough for this turn of the loop. */
static void pump(struct hop *h)
{
    if (h->watching_write || h->write_broken)
        return;
    wait_for_bytes(h);
    for (int i = 0; i < WRITES_A_TURN; i++) {
        refill(h);
        if (h->out_sent == h->out.len)
            return;
        if (!write_once(h))
            break;
        if (h->body_put && (!h->cancel_wanted || h->cancel_put))
            return;
    }
    if (!h->write_broken) {
        h->watching_write = true;
        h2o_socket_notify_write(h->sock, on_writable);
    }
}

static void begin_exchange(struct hop *h)
{
    const struct protocol *p = h->options->protocol;
    const struct protocol_options *o = &h->options->protocol_options;
    h->number++;
    buf_clear(&h->out);
    h->out_sent = 0;
    if (!p->put_head(&h->out, h->call, o, h->number)) {
        fail_later(h, HOP_TOO_LARGE, "the request's head is too large for the protocol of its backend");
        return;
    }
    h->state = HOP_RUNNING;
    h->answer.error = NULL;
    h->answer.failed = false;
    h->answer.logged = 0;
    h->answer.options = o;
    p->begin(&h->answer, o, str_eq(h->call->request.method, STR("HEAD")), h->number);
    pump(h);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void adopt(struct hop *h, int fd)
{
    h2o_context_t *context = h->loop->h2o;
    h->sock = h2o_evloop_socket_create(context->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h->sock->data = h;
}

static void connected(struct hop *h)
{
    h->number = 0;
    h2o_socket_read_start(h->sock, on_readable);
    begin_exchange(h);
}

static void on_connected(struct hop *h)
{
    int error = dial_result(h2o_socket_get_fd(h->sock));
    if (error == 0)
        connected(h);
    else
        fail_now(h, HOP_REFUSED, strerrordesc_np(error));
}

/* A socket whose connection is made (*pending_r: or under way); -1 with errno. */
static int open_socket(const struct hop_target *t, bool *pending_r)
{
    *pending_r = false;
    if (t->connect == NULL)
        return dial_open(t->address, t->address_len, pending_r);
    int fd = t->connect(t->arg);
    if (fd == -1)
        errno = EAGAIN;
    return fd;
}

/* What passes is waited for; anything else is a refusal. */
static void not_connected(struct hop *h, int error)
{
    if (!dial_error_passes(error)) {
        fail_later(h, HOP_REFUSED, strerrordesc_np(error));
        return;
    }
    if (h->loop->now_us >= h->connect_by_us) {
        fail_later(h, HOP_CONNECT_TIMEOUT, error == EAGAIN ? "its backlog stayed full" : strerrordesc_np(error));
        return;
    }
    h->state = HOP_WAITING;
    int64_t next = h->loop->now_us + h->connect_delay_us;
    set_due(h, next < h->connect_by_us ? next : h->connect_by_us);
    if (h->connect_delay_us < DIAL_PAUSE_MAX_US)
        h->connect_delay_us *= 2;
}

static void try_connect(struct hop *h)
{
    bool pending;
    int fd = open_socket(h->target, &pending);
    if (fd == -1) {
        not_connected(h, errno);
        return;
    }
    adopt(h, fd);
    if (!pending) {
        connected(h);
        return;
    }
    h->state = HOP_CONNECTING;
    set_due(h, after(h, h->options->connect_timeout_us));
    h->watching_write = true;
    h2o_socket_notify_write(h->sock, on_writable);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct hop *h = sock->data;
    (void)err; /* the library reports errors of its own writes here; it made none */
    h->watching_write = false;
    if (h->state == HOP_CONNECTING)
        on_connected(h);
    else if (h->state == HOP_RUNNING)
        pump(h);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static void pause_reading(struct hop *h)
{
    if (h->paused)
        return;
    h->paused = true;
    h2o_socket_read_stop(h->sock);
}

/* What was read goes to the sink whole, also when the sink says in the middle of it that it is full: the excess is less
 * than one read. The sink may abandon the call in any callback; the serial tells. */
static void feed(struct hop *h, size_t len)
{
    const struct protocol *p = h->options->protocol;
    struct call *call = h->call;
    uint64_t serial = h->serial;
    size_t used = 0;
    h->answered = true;
    for (;;) {
        struct str piece;
        switch (p->next(&h->answer, read_buffer, len, &used, &piece)) {
        case HTTP1_MORE:
            wait_for_bytes(h);
            return;
        case HTTP1_HEAD:
            if (!h->discard)
                call->sink->on_head(call, h->answer.head);
            break;
        case HTTP1_BODY:
            if (!h->discard && !call->sink->on_body(call, piece) && h->serial == serial && !h->discard)
                pause_reading(h);
            break;
        case HTTP1_END:
            complete(h, is_drained(h, used, len));
            return;
        case HTTP1_ERROR:
            fail_now(h, h->answer.failed ? HOP_FAILED : HOP_GARBAGE, h->answer.error);
            return;
        }
        if (h->serial != serial)
            return;
    }
}

static void on_eof(struct hop *h, const char *how)
{
    if (h->answered && h->options->protocol->eof(&h->answer) == HTTP1_END)
        complete(h, false);
    else
        fail_now(h, HOP_RESET, h->answered ? "the connection was closed in the middle of the answer" : how);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct hop *h = sock->data;
    (void)err; /* nothing was read on our behalf */
    ssize_t n = recv(h2o_socket_get_fd(sock), read_buffer, READ_BYTES, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (h->state == HOP_IDLE) {
        /* closed, or bytes that nobody asked for */
        hop_close(h);
        h->options->events->on_idle_closed(h);
    } else if (n > 0) {
        feed(h, (size_t)n);
    } else {
        on_eof(h, n == 0 ? "the connection was closed without an answer" : "the connection was reset");
    }
}

/* ---- time limits ------------------------------------------------------------------------------------------------ */

static void time_is_over(struct hop *h)
{
    switch (h->state) {
    case HOP_WAITING:
        try_connect(h);
        break;
    case HOP_CONNECTING:
        fail_now(h, HOP_CONNECT_TIMEOUT, "no connection within the connect timeout");
        break;
    case HOP_RUNNING:
        if (h->write_broken)
            fail_now(h, HOP_RESET, "the connection takes no more bytes of the request");
        else
            h->options->events->on_timeout(h, h->call,
                                           h->answered ? "no byte of the answer within the idle timeout"
                                                       : "no answer within the first-byte timeout");
        break;
    case HOP_FAILING:
        fail_now(h, h->failing.outcome, h->failing.detail);
        break;
    case HOP_IDLE:
        hop_close(h);
        h->options->events->on_idle_closed(h);
        break;
    default:
        assert(!"a hop without descriptor and call has no time limit");
    }
}

static void on_due(struct deadline *d)
{
    struct hop *h = (struct hop *)((char *)d - offsetof(struct hop, deadline));
    if (h->due_us == CLOCK_NEVER)
        return;
    if (h->loop->now_us < h->due_us) {
        heap_arm(&h->loop->deadlines, &h->deadline, h->due_us);
        return;
    }
    h->due_us = CLOCK_NEVER;
    time_is_over(h);
}

/* ---- what the owner asks for ------------------------------------------------------------------------------------ */

void hop_init(struct hop *h, const struct hop_options *options)
{
    h->options = options;
    h->state = HOP_CLOSED;
    h->loop = NULL;
    h->sock = NULL;
    h->parked_fd = -1;
    h->call = NULL;
    h->serial = h->number = 0;
    h->deadline = (struct deadline){.on_expired = on_due};
    h->due_us = CLOCK_NEVER;
    h->out = (struct buf){0};
    h->watching_write = false;
}

/* May this request go out on the kept connection? */
static bool is_fit(const struct hop *h, const struct call *call)
{
    char c;
    int64_t now = call->loop->now_us;
    if (!hop_is_kept(h) || now >= h->keep_until_us)
        return false;
    if (h->state == HOP_PARKED && recv(h->parked_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) != -1)
        return false;
    return h->options->protocol->idle_is_safe || now - h->idle_since_us <= FRESH_US ||
           call_method_idempotent(call->request.method);
}

static void unpark(struct hop *h)
{
    adopt(h, h->parked_fd);
    h->parked_fd = -1;
    h2o_socket_read_start(h->sock, on_readable);
}

void hop_start(struct hop *h, struct call *call, const struct hop_target *target)
{
    assert(h->state == HOP_CLOSED || hop_is_kept(h));
    assert(h->state != HOP_IDLE || h->loop == call->loop);
    assert(!call->detached);
    if (hop_is_kept(h) && !is_fit(h, call))
        hop_close(h);
    h->loop = call->loop;
    h->call = call;
    h->target = target;
    h->serial++;
    h->body_put = h->cancel_wanted = h->cancel_put = h->write_broken = h->sent = false;
    h->answered = h->discard = h->stuck = h->paused = false;
    if (hop_is_kept(h)) {
        if (h->state == HOP_PARKED)
            unpark(h);
        begin_exchange(h);
        return;
    }
    int64_t by = after(h, h->options->connect_timeout_us);
    h->connect_by_us = by == CLOCK_NEVER ? h->loop->now_us + DIAL_WAIT_US : by;
    h->connect_delay_us = DIAL_PAUSE_MIN_US;
    try_connect(h);
}

void hop_resume(struct hop *h)
{
    if (h->state != HOP_RUNNING || !h->paused)
        return;
    h->paused = false;
    h2o_socket_read_start(h->sock, on_readable);
    wait_for_bytes(h);
}

void hop_discard(struct hop *h, bool stuck)
{
    h->discard = true;
    h->stuck = h->stuck || stuck;
    if (h->state != HOP_RUNNING)
        return;
    hop_resume(h);
    if (h->options->protocol->put_cancel != NULL && !h->cancel_wanted) {
        h->cancel_wanted = true;
        pump(h);
    }
    wait_for_bytes(h);
}

void hop_close(struct hop *h)
{
    if (h->state == HOP_CLOSED)
        return;
    drop_exchange(h);
    close_socket(h);
    h->state = HOP_CLOSED;
}

void hop_park(struct hop *h)
{
    assert(h->state == HOP_IDLE);
    h2o_socket_export_t out;
    int failed = h2o_socket_export(h->sock, &out);
    assert(failed == 0);
    (void)failed;
    h->sock = NULL;
    h->parked_fd = out.fd;
    heap_disarm(&h->loop->deadlines, &h->deadline);
    h->due_us = CLOCK_NEVER;
    h->state = HOP_PARKED;
}

void hop_free(struct hop *h)
{
    assert(h->state == HOP_CLOSED);
    buf_free(&h->out);
}
