/* SPDX-License-Identifier: MIT
 *
 * ws: see ws.h. This file has the life of a connection: what the loop says of its socket and of time, the end, and what
 * the owner asks for. Every callback of the loop sets `busy`, does its work, and ends with settle(), which writes, moves
 * the state, watches what must be watched, and is the only one to say that the connection is closed. Functions that the
 * owner calls do the same without calling it back (ws_poke); what is then left to say, a deadline of "now" brings.
 *
 * Clear text is read here, with one recv a turn into a buffer that the thread's connections share; TLS is read by the
 * library. What cannot be taken yet stays in the socket's own input buffer either way.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "upstream/farewell.h"
#include "upstream/h2o_api.h"
#include "upstream/ws_head.h"
#include "upstream/ws_private.h"

/* the longest beginning of a frame that is kept while reading goes on */
#define KEPT_MAX (WS_HEAD_MAX + WS_CONTROL_MAX)
/* What TLS may hold: the library reads until the kernel has no more. Linux doubles the number for its own needs. */
#define TLS_RECEIVE_BYTES (32 * 1024)
/* what is sent within a turn of the loop waits for more to be written with it, up to here */
#define TOGETHER_BYTES (16 * 1024)
/* the most that a peer gets to take our last words, or to close its end */
#define LINGER_US 2000000

_Static_assert(sizeof(struct ws) <= 320, "an idle connection is to cost little");

static _Thread_local char read_buffer[KEPT_MAX + WS_READ_BYTES];

static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);
static void on_written(h2o_socket_t *sock, const char *err);
static void on_due(struct deadline *d);

/* ---- time ------------------------------------------------------------------------------------------------------- */

static int64_t later(int64_t since_us, int64_t timeout_us)
{
    return timeout_us == CLOCK_NEVER ? CLOCK_NEVER : since_us + timeout_us;
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

/* Moves the time limit; the heap is touched only when the armed deadline would be too late. */
static void set_due(struct ws *ws, int64_t at_us)
{
    ws->due_us = at_us;
    if (at_us != CLOCK_NEVER && (!deadline_armed(&ws->deadline) || at_us < ws->deadline.at_us))
        heap_arm(&ws->loop->deadlines, &ws->deadline, at_us);
}

/* While data is held nobody is idle, nor while the last message may be the one that is being worked on. */
static int64_t idle_due(const struct ws *ws)
{
    return ws->held || ws->is_working ? CLOCK_NEVER : later(ws->message_us, ws->options->idle_timeout_us);
}

static int64_t next_due(const struct ws *ws)
{
    if (ws->work || ws->put_off || ws->state == WS_OVER)
        return ws->loop->now_us;
    return ws->state == WS_OPEN ? earlier(ws->check_us, idle_due(ws)) : ws->close_us;
}

static void heard(struct ws *ws)
{
    ws->check_us = later(ws->loop->now_us, ws->options->ping_interval_us);
    ws->pinged = false;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* as much of the text as a close frame holds, cut between characters; nothing of what is not UTF-8 */
static struct str cut_reason(struct str text)
{
    if (!utf8_valid(text.base, text.len))
        return STR_NONE;
    if (text.len > WS_REASON_MAX) {
        text.len = WS_REASON_MAX;
        while ((text.base[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    return text;
}

bool ws_end(struct ws *ws, enum ws_by by, unsigned code, const char *why, struct str reason)
{
    if (ws->goodbye != NULL)
        return false;
    struct ws_goodbye *g = ws->goodbye = mem_alloc(sizeof(*g));
    reason = cut_reason(reason);
    if (reason.len != 0)
        memcpy(g->text, reason.base, reason.len);
    g->ending = (struct ws_ending){code, by, why, {g->text, reason.len}};
    if (ws->state == WS_OPEN) {
        ws->state = WS_CLOSING;
        ws->close_us = later(ws->loop->now_us, ws->options->close_timeout_us);
    }
    ws->work |= ws->stopped; /* nothing has to wait any more */
    return true;
}

static void lose(struct ws *ws, const char *why)
{
    ws_end(ws, WS_BY_NOBODY, WS_CODE_LOST, why, STR_NONE);
    ws->state = WS_OVER;
}

/* The peer may have closed: its close frame is looked for in what it had sent before, and all else dropped. */
void ws_write_failed(struct ws *ws)
{
    ws->write_broken = true;
    ws->out_sent = ws->out.len;
    if (ws->state != WS_OPEN)
        return;
    ws->state = WS_CLOSING;
    ws->close_us = ws->loop->now_us + LINGER_US;
    ws->work |= ws->stopped;
}

/* no more bytes, by their end (NULL) or for another reason */
static void no_more(struct ws *ws, const char *why)
{
    ws->eof = true;
    if (!ws->close_received || ws->state != WS_CLOSING)
        lose(ws, why != NULL ? why : "the connection was closed without a close frame");
}

/* The close frame must reach the peer: bytes of it that nobody had read would make the kernel reset the connection, and
 * a reset can overtake what was written. */
static void linger(struct ws *ws)
{
    ws->state = WS_LINGERING;
    ws->close_us = earlier(ws->close_us, ws->loop->now_us + LINGER_US);
    if (ws->deaf || ws->options->role == WS_SERVER)
        shutdown(h2o_socket_get_fd(ws->sock), SHUT_WR);
}

static bool is_drained(const struct ws *ws)
{
    char c;
    return ws->sock->input->size == 0 && recv(h2o_socket_get_fd(ws->sock), &c, 1, MSG_PEEK | MSG_DONTWAIT) == -1 &&
           errno == EAGAIN;
}

/* Our close frame has gone. RFC 6455 §7.1.1: with both, the server closes at once, and the client waits for it. */
static void close_has_gone(struct ws *ws)
{
    if (!ws->close_received && !ws->deaf)
        return;
    if (ws->eof || ws->write_broken)
        ws->state = WS_OVER;
    else if (ws->options->role == WS_SERVER && !ws->deaf && is_drained(ws))
        ws->state = WS_OVER;
    else
        linger(ws);
}

static void finish(struct ws *ws)
{
    struct ws_goodbye *goodbye = ws->goodbye;
    farewell(ws->sock, goodbye->ending.code == WS_CODE_LOST);
    ws->sock = NULL;
    ws_out_free(ws);
    heap_disarm(&ws->loop->deadlines, &ws->deadline);
    ws->goodbye = NULL;
    ws->events->on_closed(ws, &goodbye->ending);
    free(goodbye);
}

/* ---- after every event ------------------------------------------------------------------------------------------ */

void ws_watch_write(struct ws *ws)
{
    ws->watching_write = true;
    h2o_socket_notify_write(ws->sock, on_writable);
}

void ws_write_tls(struct ws *ws)
{
    h2o_iovec_t bytes = {ws->out.base + ws->out_sent, ws->out.len - ws->out_sent};
    ws->writing = true;
    h2o_socket_write(ws->sock, &bytes, 1, on_written);
}

static void write_on(struct ws *ws)
{
    ws->put_off = false;
    ws_out_pump(ws);
    if (ws->state == WS_CLOSING && ws_out_is_done(ws))
        close_has_gone(ws);
    if (ws->state == WS_OPEN && !ws_has_room(ws))
        ws->crowded = true;
}

static bool has_room_again(const struct ws *ws)
{
    return ws->state == WS_OPEN && ws->crowded && ws_unsent(ws) <= ws->options->max_unsent / 2;
}

static bool wants_to_read(const struct ws *ws)
{
    if (ws->work)
        return false;
    switch (ws->state) {
    case WS_OPEN:
        return !ws->stopped && (!ws->crowded || ws->options->reads_when_full);
    case WS_CLOSING:
        return !ws->eof && !ws->deaf && !ws->close_received;
    case WS_LINGERING:
        return true;
    default:
        return false;
    }
}

static void watch_input(struct ws *ws)
{
    bool wanted = wants_to_read(ws);
    if (wanted == ws->reading)
        return;
    ws->reading = wanted;
    if (wanted) {
        h2o_socket_read_start(ws->sock, on_readable);
        heard(ws); /* the peer could not be until now */
    } else {
        h2o_socket_read_stop(ws->sock);
    }
}

/* Sees what there is to wait for. */
static void arrange(struct ws *ws)
{
    watch_input(ws);
    if (has_room_again(ws) && !ws->watching_write && !ws->writing)
        ws_watch_write(ws); /* on_room comes from there */
    ws_out_sleep(ws);
    set_due(ws, next_due(ws));
}

void ws_poke(struct ws *ws)
{
    if (ws->busy)
        return;
    write_on(ws);
    arrange(ws);
}

void ws_write_soon(struct ws *ws)
{
    int64_t now_us = ws->loop->now_us;
    size_t unsent = ws_unsent(ws);
    if (ws->busy)
        return;
    if (ws->written_us != now_us || unsent > TOGETHER_BYTES || unsent > ws->options->max_unsent / 2) {
        ws->written_us = now_us;
        ws_poke(ws);
    } else {
        ws->put_off = true;
        set_due(ws, now_us);
    }
}

static void end_crowd(struct ws *ws)
{
    ws->crowded = false;
    ws->work |= ws->stopped;
    if (ws->owes_pong)
        ws_out_queue(ws, WS_FRAME_PONG, buf_str(&ws->late_ping));
    ws->owes_pong = false;
}

/* Ends every callback of the loop; the connection may be gone afterwards. */
static void settle(struct ws *ws)
{
    write_on(ws);
    if (has_room_again(ws)) {
        end_crowd(ws);
        ws->events->on_room(ws);
        write_on(ws);
    }
    ws->busy = false;
    if (ws->state == WS_OVER)
        finish(ws);
    else
        arrange(ws);
}

/* ---- what the socket says --------------------------------------------------------------------------------------- */

static void keep(struct ws *ws, struct str bytes)
{
    if (bytes.len == 0)
        return;
    memcpy(h2o_buffer_reserve(&ws->sock->input, bytes.len).base, bytes.base, bytes.len);
    ws->sock->input->size += bytes.len;
}

/* Takes what it can of the socket's own buffer. */
static void take_kept(struct ws *ws)
{
    h2o_buffer_t *input = ws->sock->input;
    char rest[KEPT_MAX];
    if (input->size == 0)
        return;
    h2o_buffer_consume(&ws->sock->input, ws_in_take(ws, (struct str){input->bytes, input->size}));
    input = ws->sock->input;
    if (ws->stopped || input->size == 0 || input->capacity <= 2 * WS_READ_BYTES)
        return;
    /* TLS was read into a large buffer, of which the beginning of a frame would keep all */
    struct str few = {rest, input->size};
    assert(few.len <= sizeof(rest));
    memcpy(rest, input->bytes, few.len);
    h2o_buffer_consume(&ws->sock->input, few.len);
    keep(ws, few);
}

static void read_tls(struct ws *ws, const char *err)
{
    if (err == NULL)
        heard(ws);
    take_kept(ws);
    if (err != NULL)
        no_more(ws, err == h2o_socket_error_closed ? NULL : "the connection was reset, or its TLS is broken");
}

static void read_clear(struct ws *ws)
{
    char *fresh = read_buffer + KEPT_MAX;
    size_t kept = ws->sock->input->size;
    assert(kept <= KEPT_MAX);
    ssize_t n = recv(h2o_socket_get_fd(ws->sock), fresh, WS_READ_BYTES - kept, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        no_more(ws, n == 0 ? NULL : "the connection was reset");
        return;
    }
    heard(ws);
    struct str input = {fresh - kept, kept + (size_t)n};
    if (kept != 0) {
        memcpy(input.base, ws->sock->input->bytes, kept);
        h2o_buffer_consume(&ws->sock->input, kept);
    }
    size_t used = ws_in_take(ws, input);
    keep(ws, (struct str){input.base + used, input.len - used});
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct ws *ws = sock->data;
    ws->busy = true;
    if (sock->ssl != NULL)
        read_tls(ws, err);
    else
        read_clear(ws);
    settle(ws);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct ws *ws = sock->data;
    (void)err; /* nothing was written on our behalf */
    ws->busy = true;
    ws->watching_write = false;
    settle(ws);
}

/* The library calls this in the same turn when the socket has taken all at once: what comes next waits for the next. */
static void on_written(h2o_socket_t *sock, const char *err)
{
    struct ws *ws = sock->data;
    ws->busy = true;
    ws->writing = false;
    h2o_api_poll_anew(sock);
    if (err != NULL) {
        ws_write_failed(ws);
    } else {
        ws->taken += ws->out.len;
        ws->out_sent = ws->out.len;
        if (ws->crowded || ws_unsent(ws) != 0 || ws->state != WS_OPEN)
            ws_watch_write(ws);
    }
    settle(ws);
}

/* ---- what time says --------------------------------------------------------------------------------------------- */

/* bytes that were written and that the peer's end has not acknowledged: tcp(7), unix(7) */
static unsigned on_their_way(const struct ws *ws)
{
    int bytes = 0;
    return ioctl(h2o_socket_get_fd(ws->sock), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (unsigned)bytes : 0;
}

/* A peer that has not been heard for a while: it is asked, and what it takes is measured, as behind much that is on its
 * way to it the ping takes its time. */
static void ask(struct ws *ws)
{
    unsigned waiting = on_their_way(ws);
    ws->backlogged = waiting != 0;
    ws->acked = ws->taken - waiting;
    if (ws_unsent(ws) == 0)
        ws_send_ping(ws, false, STR_NONE);
    ws->pinged = ws->options->pong_timeout_us != CLOCK_NEVER;
    ws->check_us = later(ws->loop->now_us, ws->pinged ? ws->options->pong_timeout_us : ws->options->ping_interval_us);
}

static bool takes_bytes(const struct ws *ws)
{
    return ws->backlogged && (int64_t)(ws->taken - on_their_way(ws) - ws->acked) > 0;
}

static void check(struct ws *ws)
{
    bool is_stuck = ws_unsent(ws) != 0;
    if (!ws->pinged)
        ask(ws);
    else if (takes_bytes(ws) || (!ws->reading && !is_stuck))
        heard(ws);
    else
        lose(ws, is_stuck ? "the peer takes no bytes" : "no pong");
}

static void act(struct ws *ws)
{
    int64_t now = ws->loop->now_us;
    if (ws->work) {
        ws->work = false;
        take_kept(ws);
    }
    if (ws->state == WS_OPEN) {
        if (now >= idle_due(ws))
            ws_end(ws, WS_BY_US, WS_CODE_NORMAL, "idle", STR("idle"));
        else if (now >= ws->check_us)
            check(ws);
    } else if (now >= ws->close_us) {
        lose(ws, "the connection was reset");
    }
}

static void on_due(struct deadline *d)
{
    struct ws *ws = (struct ws *)((char *)d - offsetof(struct ws, deadline));
    if (ws->due_us == CLOCK_NEVER)
        return;
    if (ws->loop->now_us < ws->due_us) {
        heap_arm(&ws->loop->deadlines, &ws->deadline, ws->due_us);
        return;
    }
    ws->busy = true;
    act(ws);
    settle(ws);
}

/* ---- what the owner asks for ------------------------------------------------------------------------------------ */

void ws_open(struct ws *ws, struct loop *loop, struct st_h2o_socket_t *sock, const struct ws_options *options,
             const struct ws_events *events)
{
    *ws = (struct ws){.options = options,
                      .events = events,
                      .loop = loop,
                      .sock = sock,
                      .owner = ws->owner,
                      .deadline = {.on_expired = on_due},
                      .message_us = loop->now_us};
    sock->data = ws;
    h2o_socket_read_stop(sock);
    h2o_socket_dont_read(sock, sock->ssl == NULL);
    if (sock->ssl != NULL)
        setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_RCVBUF, &(int){TLS_RECEIVE_BYTES}, sizeof(int));
    heard(ws);
    if (sock->input->size != 0)
        ws->work = ws->stopped = true;
    arrange(ws);
}

void ws_hold(struct ws *ws)
{
    ws->held = true;
}

void ws_release(struct ws *ws)
{
    if (!ws->held)
        return;
    ws->held = false;
    ws->message_us = ws->loop->now_us;
    ws->work |= ws->stopped;
    ws_poke(ws);
}

void ws_set_working(struct ws *ws, bool is_working)
{
    if (ws->is_working == is_working)
        return;
    ws->is_working = is_working;
    ws->message_us = ws->loop->now_us;
    ws_poke(ws);
}

void ws_close(struct ws *ws, unsigned code, struct str reason)
{
    assert(code == WS_CODE_NO_CODE || ws_code_is_sendable(code));
    if (ws->state != WS_OPEN)
        return;
    ws_end(ws, WS_BY_US, code, "we closed", code == WS_CODE_NO_CODE ? STR_NONE : reason);
    ws_poke(ws);
}

void ws_abort(struct ws *ws)
{
    if (ws->state == WS_OVER)
        return;
    ws_end(ws, WS_BY_US, WS_CODE_LOST, "we broke the connection", STR_NONE);
    ws->state = WS_OVER;
    ws_poke(ws);
}

bool ws_is_closing(const struct ws *ws)
{
    return ws->state != WS_OPEN;
}
