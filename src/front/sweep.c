/* SPDX-License-Identifier: MIT
 *
 * sweep: see sweep.h. A round first lets the library name the requests that it knows, which tells what each connection
 * is doing, then judges all connections of the thread, also those without a request. Nothing here closes a socket:
 * shutdown(2) makes the library see the end and clean up by itself.
 */
#include "config.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "front/sweep.h"

#include "base/clock.h"
#include "config/conf.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/listener.h"
#include "front/thread.h"
#include "front/thread_private.h"
#include "front/ws_session.h"

#define PERIOD_US          1000000
#define PERIOD_DRAINING_US 50000
/* While draining, a client that has been silent for so long is not about to send its next request, which would come too
 * late if we closed; one that does gets its answer, and leaves with that. */
#define DRAINING_IDLE_US 500000
/* On an HTTP/2 connection control frames are acknowledged too, so only this many bytes count as progress of answers. */
#define HTTP2_PROGRESS_BYTES 16384
/* More than this of unaccounted bytes a round, for so many rounds in a row, is a flood of control frames: about 4,000
 * of them a second. */
#define FLOOD_BYTES  65536
#define FLOOD_ROUNDS 3

/* ---- what each connection is doing ------------------------------------------------------------------------------- */

static void see(struct conn *c, enum conn_state state, uint64_t sent)
{
    if (c->sweep.round != c->thread->p->sweep_round) {
        c->sweep.round = c->thread->p->sweep_round;
        c->sweep.seen = state;
        c->sweep.seen_sent = sent;
        c->sweep.arriving_us = 0;
        return;
    }
    if (state > c->sweep.seen)
        c->sweep.seen = state;
    c->sweep.seen_sent += sent;
}

/* on the library's clock, which does not jump (front/steady_clock.h) */
static int64_t elapsed_us(h2o_req_t *req, const struct timeval *since)
{
    const struct timeval *now = h2o_get_timestamp(req->conn->ctx, NULL, NULL);
    return (int64_t)(now->tv_sec - since->tv_sec) * 1000000 + (now->tv_usec - since->tv_usec);
}

static void note_arriving(struct conn *c, int64_t elapsed)
{
    if (elapsed > c->sweep.arriving_us)
        c->sweep.arriving_us = elapsed;
}

static int on_http1_request(h2o_req_t *req, void *arg)
{
    struct conn *c = conn_of(req);
    if (req->version == 0) {
        see(c, c->sock->input->size == 0 ? CONN_STATE_IDLE : CONN_STATE_HEAD, 0);
        note_arriving(c, elapsed_us(req, &req->timestamps.request_begin_at));
    } else if (req->timestamps.response_start_at.tv_sec != 0 || h2o_socket_is_writing(c->sock)) {
        see(c, CONN_STATE_WRITING, req->bytes_sent); /* or a 101, which the library does not count as a response */
    } else if (req->pathconf != NULL) {
        see(c, CONN_STATE_RUNNING, 0);
    } else {
        see(c, CONN_STATE_BODY, 0);
        note_arriving(c, elapsed_us(req, &req->timestamps.request_body_begin_at));
    }
    return 0;
}

/* A stream whose head has come but which has neither a body nor been handed to us is still uploading. */
static bool is_uploading(const h2o_req_t *req)
{
    return req->pathconf == NULL && req->entity.base == NULL && req->timestamps.request_body_begin_at.tv_sec != 0;
}

static int on_http2_stream(h2o_req_t *req, void *arg)
{
    struct conn *c = conn_of(req);
    c->is_http2 = true;
    if (req->timestamps.response_start_at.tv_sec != 0) {
        see(c, CONN_STATE_WRITING, req->bytes_sent);
    } else if (is_uploading(req)) {
        see(c, CONN_STATE_BODY, 0);
        note_arriving(c, elapsed_us(req, &req->timestamps.request_body_begin_at));
    } else {
        see(c, CONN_STATE_RUNNING, 0);
    }
    return 0;
}

/* ---- is the client taking its answer? ---------------------------------------------------------------------------- */

/* TCP tells how much the peer has acknowledged. A Unix socket only tells how much is unread, which at least changes as
 * the peer reads. */
static bool bytes_were_taken(struct conn *c)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int fd = h2o_socket_get_fd(c->sock), unread = 0;
    uint64_t before = c->sweep.acked;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
        if (info.tcpi_bytes_acked < before + (c->is_http2 ? HTTP2_PROGRESS_BYTES : 1))
            return false;
        c->sweep.acked = info.tcpi_bytes_acked;
        return true;
    }
    (void)ioctl(fd, SIOCOUTQ, &unread);
    c->sweep.acked = (uint64_t)unread;
    return c->sweep.acked != before;
}

static bool has_progressed(struct conn *c)
{
    bool more_was_sent = c->sweep.sent != c->sweep.seen_sent;
    c->sweep.sent = c->sweep.seen_sent;
    return bytes_were_taken(c) || more_was_sent;
}

static bool piece_says_no_window(h2o_iovec_t piece)
{
    static const char key[] = "\"flowOut\": ";
    size_t at = h2o_strstr(piece.base, piece.len, key, sizeof key - 1);
    return at != SIZE_MAX && strtoll(piece.base + at + sizeof key - 1, NULL, 10) <= 0;
}

/* HTTP/2: has the client closed its windows? The library keeps them to itself, but tells them in words. The words are
 * in the memory of the request, so this is asked only about connections that seem to be stuck. */
static int find_closed_window(h2o_req_t *req, void *arg)
{
    struct conn *c = arg;
    if (conn_of(req) != c || req->timestamps.response_start_at.tv_sec == 0)
        return 0;
    h2o_http2_debug_state_t *windows = req->conn->callbacks->get_debug_state(req, 0);
    bool closed = windows->conn_flow_out <= 0;
    for (size_t i = 0; i != windows->json.size; ++i)
        closed = closed || piece_says_no_window(windows->json.entries[i]);
    return closed ? 1 : -1; /* ends the enumeration */
}

static bool client_holds_up(struct conn *c)
{
    if (h2o_socket_is_writing(c->sock))
        return true;
    h2o_context_t *ctx = c->listener->accept.ctx;
    return c->is_http2 && ctx->globalconf->http2.callbacks.foreach_request(ctx, find_closed_window, c) == 1;
}

/* ---- HTTP/2: is the client busy with nothing? -------------------------------------------------------------------- */

/* The library answers PING and SETTINGS frames as fast as they come, and says nothing of them. What shows is that many
 * bytes arrive which are neither requests nor the window updates that answers need (13 bytes for 16 KiB at worst, some
 * more with TLS). */
static void judge_flood(struct conn *c)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(h2o_socket_get_fd(c->sock), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return; /* a Unix socket: whoever is there is of this machine */
    uint64_t received = info.tcpi_bytes_received - c->sweep.received;
    uint64_t accounted = FLOOD_BYTES + (info.tcpi_bytes_acked - c->sweep.answered) / 8 +
                         (c->http2_request_bytes - c->sweep.request_bytes);
    bool is_uploading_now = c->sweep.round == c->thread->p->sweep_round && c->sweep.arriving_us != 0;
    c->sweep.received = info.tcpi_bytes_received;
    c->sweep.answered = info.tcpi_bytes_acked;
    c->sweep.request_bytes = c->http2_request_bytes;
    c->sweep.flooded = received > accounted && !is_uploading_now ? c->sweep.flooded + 1 : 0;
    if (c->sweep.flooded == FLOOD_ROUNDS)
        conn_cut(c, CONN_CUT_GLITCHES);
}

/* ---- judgement -------------------------------------------------------------------------------------------------- */

#define TIMEOUT_BODY     "{\"title\":\"The request did not arrive in time\",\"status\":408,\"reason\":\"client-timeout\"}"
#define TIMEOUT_BODY_LEN "85"
_Static_assert(sizeof TIMEOUT_BODY - 1 == 85, "TIMEOUT_BODY_LEN");

/* The answer that HTTP has for it, where it can still be read as one: HTTP/1 in clear text, with nothing else on its
 * way. */
static void say_timeout(struct conn *c)
{
    static const char answer[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        "Proxy-Status: bulkhead; error=http_request_error; details=\"client-timeout\"\r\n"
        "Content-Length: " TIMEOUT_BODY_LEN "\r\n\r\n" TIMEOUT_BODY;
    if (c->is_tls || c->is_http2 || h2o_socket_is_writing(c->sock))
        return;
    /* a client that cannot even take this learns by the close */
    if (send(h2o_socket_get_fd(c->sock), answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        thread_count(&c->thread->counters.responses_by_class[4], 1);
}

static void refuse_late(struct conn *c, enum conn_cut why)
{
    if (c->is_cut)
        return;
    thread_count(&c->thread->counters.refused[REASON_CLIENT_TIMEOUT], 1);
    say_timeout(c);
    conn_cut(c, why);
}

/* Ends our reading only: a request that has just arrived is still served, and then the connection closes. */
static void end_idle(struct conn *c, enum conn_cut why)
{
    if (c->sweep.ended || c->is_cut)
        return;
    c->sweep.ended = true;
    thread_count(&c->thread->counters.cut[why], 1);
    shutdown(h2o_socket_get_fd(c->sock), SHUT_RD);
}

static bool longer_than(int64_t elapsed, int64_t limit_us)
{
    return limit_us >= 0 && elapsed > limit_us;
}

static void judge_writing(struct conn *c, int64_t now_us, int64_t limit_us)
{
    if (has_progressed(c))
        c->sweep.since_us = now_us;
    if (!longer_than(now_us - c->sweep.since_us, limit_us))
        return;
    if (client_holds_up(c))
        conn_cut(c, CONN_CUT_WRITE);
    else
        c->sweep.since_us = now_us; /* it is the backend that has nothing more to say just now */
}

static void judge_quiet(struct conn *c, int64_t elapsed, const struct conf_limits *limits)
{
    bool had_requests = c->is_http2 || c->requests != 0;
    if (longer_than(elapsed, limits->idle_timeout)) {
        if (had_requests && c->is_http2)
            end_idle(c, CONN_CUT_IDLE);
        else
            conn_cut(c, had_requests ? CONN_CUT_WRITE : CONN_CUT_HANDSHAKE);
    }
}

static void judge(struct conn *c, int64_t now_us)
{
    if (c->is_upgraded)
        return;
    const struct conf_limits *limits = &c->thread->generation->conf->limits;
    enum conn_state state = c->sweep.round == c->thread->p->sweep_round ? c->sweep.seen : CONN_STATE_QUIET;
    if (state != c->sweep.state || (c->requests != c->sweep.requests && !(c->is_http2 && state == CONN_STATE_WRITING)))
        c->sweep.since_us = now_us;
    c->sweep.state = state;
    c->sweep.requests = c->requests;
    int64_t elapsed = now_us - c->sweep.since_us;
    if (c->is_http2 || state == CONN_STATE_QUIET)
        judge_flood(c);
    /* of an HTTP/2 connection, which does many things at a time, the longest upload counts whatever the rest is doing
     */
    if (c->is_http2 && state != CONN_STATE_QUIET && longer_than(c->sweep.arriving_us, limits->body_timeout))
        refuse_late(c, CONN_CUT_BODY);
    switch (state) {
    case CONN_STATE_QUIET:
        judge_quiet(c, elapsed, limits);
        break;
    case CONN_STATE_IDLE:
        if (c->thread->draining && elapsed >= DRAINING_IDLE_US)
            end_idle(c, CONN_CUT_DRAIN);
        else if (longer_than(elapsed, limits->idle_timeout))
            end_idle(c, CONN_CUT_IDLE);
        break;
    case CONN_STATE_HEAD:
        if (longer_than(c->sweep.arriving_us, limits->head_timeout))
            refuse_late(c, CONN_CUT_HEAD);
        break;
    case CONN_STATE_BODY:
        if (longer_than(c->sweep.arriving_us, limits->body_timeout))
            refuse_late(c, CONN_CUT_BODY);
        break;
    case CONN_STATE_WRITING:
        judge_writing(c, now_us, limits->write_timeout);
        break;
    case CONN_STATE_RUNNING:
    case CONN_STATE_COUNT:
        break;
    }
}

/* shutdown(2) only, so no conn leaves the list meanwhile */
static void sweep_round(struct front_thread *thread)
{
    int64_t now_us = thread->loop.now_us;
    ++thread->p->sweep_round;
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind) {
        h2o_context_t *ctx = thread->p->contexts[kind];
        if (ctx == NULL)
            continue;
        ctx->globalconf->http1.callbacks.foreach_request(ctx, on_http1_request, NULL);
        ctx->globalconf->http2.callbacks.foreach_request(ctx, on_http2_stream, NULL);
    }
    for (struct list *node = thread->conns.next; node != &thread->conns; node = node->next)
        judge(LIST_ENTRY(node, struct conn, link), now_us);
}

static void cut_all(struct front_thread *thread)
{
    for (struct list *node = thread->conns.next; node != &thread->conns; node = node->next)
        conn_cut(LIST_ENTRY(node, struct conn, link), CONN_CUT_DRAIN);
}

static void on_sweep(struct deadline *d)
{
    struct front_private *p = (struct front_private *)((char *)d - offsetof(struct front_private, sweep));
    struct front_thread *thread = thread_current();
    sweep_round(thread);
    bool over = thread->draining && thread->loop.now_us >= p->drain_deadline_us;
    if (thread->draining && thread->loop.now_us >= p->sessions_deadline_us)
        ws_sessions_cut(thread->door);
    if (over)
        cut_all(thread);
    if (thread->draining && list_empty(&thread->conns) && (thread->door->parting == 0 || over))
        atomic_store_explicit(&p->drained, true, memory_order_release);
    heap_arm(&thread->loop.deadlines, &p->sweep,
             thread->loop.now_us + (thread->draining ? PERIOD_DRAINING_US : PERIOD_US));
}

void sweep_start(struct front_thread *thread)
{
    thread->p->sweep.on_expired = on_sweep;
    heap_arm(&thread->loop.deadlines, &thread->p->sweep, thread->loop.now_us + PERIOD_US);
}

void sweep_hurry(struct front_thread *thread)
{
    heap_arm(&thread->loop.deadlines, &thread->p->sweep, thread->loop.now_us);
}
