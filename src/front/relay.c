/* SPDX-License-Identifier: MIT
 *
 * relay: see relay.h. Every callback of the loop does its work and ends with settle(), which writes, passes ends on,
 * sees whether all is over, and watches what must be watched; it alone ends the relay. What the owner asks for, a
 * deadline of "now" brings.
 *
 * Clear text is read here, with one recv a turn into a buffer that the thread's relays share, and usually written at
 * once: it is kept only when the other end is slower. TLS is read and written by the library.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "front/relay.h"
#include "upstream/farewell.h"

/* one write of TLS */
#define TLS_WRITE_BYTES (64 * 1024)
/* What TLS may hold: the library reads until the kernel has no more. Linux doubles the number for its own needs. */
#define TLS_RECEIVE_BYTES (32 * 1024)

static _Thread_local char read_buffer[RELAY_READ_BYTES];

static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);
static void on_written(h2o_socket_t *sock, const char *err);

static struct relay_end *other(const struct relay_end *e)
{
    struct relay *r = e->relay;
    return e == &r->client ? &r->backend : &r->client;
}

static bool is_tls(const struct relay_end *e)
{
    return e->sock->ssl != NULL;
}

static size_t unsent(const struct relay_end *e)
{
    return e->out.len - e->out_sent;
}

/* What comes is read for its end only. */
static bool drops_input(const struct relay *r)
{
    return r->is_leaving || (r->client.deaf && r->backend.deaf);
}

/* ---- how it ends ------------------------------------------------------------------------------------------------ */

static void begin_end(struct relay *r, enum relay_by by, bool is_broken, const char *why)
{
    if (r->is_ending)
        return;
    r->is_ending = true;
    r->ending = (struct relay_ending){.by = by, .is_broken = is_broken, .why = why};
}

static void drop_output(struct relay_end *e)
{
    e->deaf = true;
    e->writing = e->out_sent = 0;
    buf_free(&e->out);
}

/* A Unix socket, unlike TCP, knows when its peer has not only ended but gone: nothing can be told it any more. */
static bool has_gone(const struct relay_end *e)
{
    struct pollfd state = {h2o_socket_get_fd(e->sock), 0, 0};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
}

static void reached_end(struct relay_end *e)
{
    bool is_client = e == &e->relay->client;
    e->eof = true;
    if (has_gone(e))
        drop_output(e);
    begin_end(e->relay, is_client ? RELAY_BY_CLIENT : RELAY_BY_BACKEND, false,
              is_client ? "the client closed" : "the backend closed");
}

/* Nothing comes from it that could still be read? Then it is over at once; else reading will tell. */
static void broke(struct relay_end *e, bool for_reading)
{
    bool is_client = e == &e->relay->client;
    drop_output(e);
    e->eof = e->eof || for_reading;
    begin_end(e->relay, is_client ? RELAY_BY_CLIENT : RELAY_BY_BACKEND, true,
              is_client ? "the client's connection broke" : "the backend's connection broke");
}

/* Is nobody left who will say anything, or hear it? */
static bool is_over(const struct relay *r)
{
    return r->loop->now_us >= r->over_us || (r->client.eof && r->client.deaf && r->backend.eof && r->backend.deaf);
}

static void finish(struct relay *r)
{
    h2o_socket_t *client = r->client.sock, *backend = r->backend.sock;
    drop_output(&r->client);
    drop_output(&r->backend);
    heap_disarm(&r->loop->deadlines, &r->deadline);
    r->events->on_end(r, &r->ending);
    farewell(client, false);
    farewell(backend, false);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void watch_write(struct relay_end *e)
{
    if (e->watching_write || e->writing != 0)
        return;
    e->watching_write = true;
    h2o_socket_notify_write(e->sock, on_writable);
}

static void count_sent(struct relay_end *e, size_t n)
{
    struct relay *r = e->relay;
    r->last_us = r->loop->now_us;
    if (e == &r->client)
        r->count.bytes_out += n;
}

/* One write; returns how much the socket took. */
static size_t send_now(struct relay_end *e, struct str bytes)
{
    ssize_t n;
    do {
        n = send(h2o_socket_get_fd(e->sock), bytes.base, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        if (errno != EAGAIN)
            broke(e, false);
        return 0;
    }
    count_sent(e, (size_t)n);
    return (size_t)n;
}

static void sent(struct relay_end *e, size_t n)
{
    e->out_sent += n;
    if (unsent(e) == 0) {
        e->out_sent = 0;
        buf_free(&e->out);
    }
}

static void write_tls(struct relay_end *e)
{
    size_t n = unsent(e) < TLS_WRITE_BYTES ? unsent(e) : TLS_WRITE_BYTES;
    h2o_iovec_t bytes = {e->out.base + e->out_sent, n};
    e->writing = n;
    h2o_socket_write(e->sock, &bytes, 1, on_written);
}

static void pump(struct relay_end *e)
{
    if (unsent(e) == 0 || e->watching_write || e->writing != 0)
        return;
    if (is_tls(e)) {
        write_tls(e);
        return;
    }
    sent(e, send_now(e, (struct str){e->out.base + e->out_sent, unsent(e)}));
    if (unsent(e) != 0)
        watch_write(e);
}

/* Bytes of the other end: what the socket does not take now is kept. */
static void give(struct relay_end *e, struct str bytes)
{
    if (e->deaf || drops_input(e->relay))
        return;
    if (unsent(e) == 0 && !is_tls(e) && !e->watching_write) {
        size_t n = send_now(e, bytes);
        bytes = (struct str){bytes.base + n, bytes.len - n};
    }
    if (bytes.len == 0 || e->deaf)
        return;
    if (e->out_sent != 0 && e->writing == 0) {
        buf_consume(&e->out, e->out_sent);
        e->out_sent = 0;
    }
    buf_append_str(&e->out, bytes);
}

/* Behind the last byte: that this was all. TLS has no half of a connection to close; it is closed when all has gone. */
static void pass_end(struct relay_end *e)
{
    bool no_more = other(e)->eof || e->relay->is_leaving;
    if (e->deaf || !no_more || unsent(e) != 0)
        return;
    e->deaf = true;
    if (is_tls(e)) {
        e->relay->ending.client_is_open = !e->eof;
        e->eof = true;
        return;
    }
    shutdown(h2o_socket_get_fd(e->sock), SHUT_WR);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void took(struct relay_end *e, struct str bytes)
{
    struct relay *r = e->relay;
    if (e == &r->client)
        r->count.bytes_in += bytes.len;
    r->last_us = r->loop->now_us;
    give(other(e), bytes);
}

static void take_input(struct relay_end *e)
{
    h2o_buffer_t *input = e->sock->input;
    if (input->size == 0)
        return;
    took(e, (struct str){input->bytes, input->size});
    h2o_buffer_consume(&e->sock->input, input->size);
}

static void read_tls(struct relay_end *e, const char *err)
{
    take_input(e);
    if (err == NULL)
        return;
    if (err == h2o_socket_error_closed)
        reached_end(e);
    else
        broke(e, true);
}

static void read_clear(struct relay_end *e)
{
    size_t limit = e->relay->options->max_unsent, waiting = unsent(other(e));
    size_t room = drops_input(e->relay) || limit - waiting > RELAY_READ_BYTES ? RELAY_READ_BYTES : limit - waiting;
    assert(room != 0);
    ssize_t n = recv(h2o_socket_get_fd(e->sock), read_buffer, room, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        took(e, (struct str){read_buffer, (size_t)n});
    else if (n == 0)
        reached_end(e);
    else
        broke(e, true);
}

static bool wants_to_read(struct relay_end *e)
{
    size_t waiting = unsent(other(e)), limit = e->relay->options->max_unsent;
    if (waiting >= limit)
        e->full = true;
    else if (waiting <= limit / 2)
        e->full = false;
    if (e->eof)
        return false;
    return drops_input(e->relay) || (!e->full && !other(e)->deaf);
}

static void watch_input(struct relay_end *e)
{
    bool wanted = wants_to_read(e);
    if (wanted == e->reading)
        return;
    e->reading = wanted;
    if (wanted)
        h2o_socket_read_start(e->sock, on_readable);
    else
        h2o_socket_read_stop(e->sock);
}

/* ---- after every event ------------------------------------------------------------------------------------------ */

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

static int64_t later(int64_t since_us, int64_t timeout_us)
{
    return timeout_us == CLOCK_NEVER ? CLOCK_NEVER : since_us + timeout_us;
}

static int64_t idle_due(const struct relay *r)
{
    int64_t timeout_us = r->options->idle_timeout_us;
    return later(r->last_us, r->is_ending ? earlier(timeout_us, RELAY_HALF_US) : timeout_us);
}

/* The heap is touched only when the armed deadline would be too late. */
static void set_due(struct relay *r)
{
    r->due_us = earlier(idle_due(r), r->over_us);
    if (r->due_us != CLOCK_NEVER && (!deadline_armed(&r->deadline) || r->due_us < r->deadline.at_us))
        heap_arm(&r->loop->deadlines, &r->deadline, r->due_us);
}

static void settle_end(struct relay_end *e)
{
    pump(e);
    pass_end(e);
}

/* The relay may be gone afterwards. */
static void settle(struct relay *r)
{
    settle_end(&r->client);
    settle_end(&r->backend);
    r->events->on_bytes(r);
    if (is_over(r)) {
        finish(r);
        return;
    }
    if (r->client.deaf && r->backend.deaf)
        r->over_us = earlier(r->over_us, r->loop->now_us + RELAY_LINGER_US);
    watch_input(&r->client);
    watch_input(&r->backend);
    set_due(r);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct relay_end *e = sock->data;
    if (is_tls(e))
        read_tls(e, err);
    else
        read_clear(e);
    settle(e->relay);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct relay_end *e = sock->data;
    (void)err; /* nothing was written on our behalf */
    e->watching_write = false;
    settle(e->relay);
}

/* The library calls this in the same turn when the socket has taken all at once: what comes next waits for the next. */
static void on_written(h2o_socket_t *sock, const char *err)
{
    struct relay_end *e = sock->data;
    size_t n = e->writing;
    e->writing = 0;
    h2o_api_poll_anew(sock);
    if (err != NULL) {
        broke(e, false);
    } else if (!e->deaf) {
        count_sent(e, n);
        sent(e, n);
        if (unsent(e) != 0)
            watch_write(e);
    }
    settle(e->relay);
}

static void on_due(struct deadline *d)
{
    struct relay *r = (struct relay *)((char *)d - offsetof(struct relay, deadline));
    if (r->loop->now_us >= idle_due(r) && r->over_us == CLOCK_NEVER) {
        begin_end(r, RELAY_BY_US, false, "idle");
        r->over_us = r->loop->now_us;
    }
    settle(r);
}

/* ---- what the owner asks for ------------------------------------------------------------------------------------ */

static void end_init(struct relay_end *e, struct relay *r, h2o_socket_t *sock)
{
    *e = (struct relay_end){.relay = r, .sock = sock};
    sock->data = e;
    h2o_socket_read_stop(sock);
    h2o_socket_dont_read(sock, sock->ssl == NULL);
    if (sock->ssl != NULL)
        setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_RCVBUF, &(int){TLS_RECEIVE_BYTES}, sizeof(int));
}

static void settle_soon(struct relay *r)
{
    heap_arm(&r->loop->deadlines, &r->deadline, r->loop->now_us);
}

void relay_open(struct relay *r, struct loop *loop, h2o_socket_t *client, h2o_socket_t *backend,
                const struct relay_options *options, const struct relay_events *events)
{
    *r = (struct relay){.options = options,
                        .events = events,
                        .loop = loop,
                        .deadline = {.on_expired = on_due},
                        .last_us = loop->now_us,
                        .over_us = CLOCK_NEVER};
    end_init(&r->client, r, client);
    end_init(&r->backend, r, backend);
    take_input(&r->client);
    take_input(&r->backend);
    settle_soon(r);
}

void relay_leave(struct relay *r, const char *why)
{
    if (r->is_leaving)
        return;
    begin_end(r, RELAY_BY_US, false, why);
    r->is_leaving = true;
    r->over_us = earlier(r->over_us, r->loop->now_us + RELAY_LAST_US);
    settle_soon(r);
}

void relay_cut(struct relay *r, const char *why)
{
    begin_end(r, RELAY_BY_US, false, why);
    r->over_us = r->loop->now_us;
    settle_soon(r);
}
