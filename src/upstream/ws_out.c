/* SPDX-License-Identifier: MIT
 *
 * ws_out: what a peer is sent. wslay holds whole messages, puts control frames between them, and writes frames into
 * `out` as far as one write goes. Messages that are sent in pieces wait in streams of their own, from which wslay takes
 * a frame at a time. Our close frame is given to wslay only when all else has gone: it would let it pass the data.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "upstream/h2o_api.h"
#include "upstream/ws_head.h"
#include "upstream/ws_private.h"

/* bytes put together for one write, and writes in a turn of the loop */
#define WRITE_BYTES   (32 * 1024)
#define WRITES_A_TURN 8
/* what wslay and the allocator need to keep one message queued */
#define MESSAGE_COST 128
/* as much as getrandom(2) gives without ever being interrupted */
#define MASK_BYTES 256

/* A message that is sent in pieces */
struct ws_stream {
    struct ws_stream *next;
    struct buf bytes;
    size_t taken;  /* of them, by wslay */
    bool complete; /* the last piece is here */
};

/* ---- wslay's side ----------------------------------------------------------------------------------------------- */

static ssize_t on_write(wslay_event_context_ptr context, const uint8_t *bytes, size_t len, int flags, void *arg)
{
    struct ws *ws = arg;
    (void)flags;
    if (ws->out.len >= WRITE_BYTES) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = len < WRITE_BYTES - ws->out.len ? len : WRITE_BYTES - ws->out.len;
    buf_append(&ws->out, bytes, n);
    return (ssize_t)n;
}

/* Nobody may guess a mask: RFC 6455 §5.3, §10.3 */
static int on_mask(wslay_event_context_ptr context, uint8_t *mask, size_t len, void *arg)
{
    static _Thread_local uint8_t random[MASK_BYTES];
    static _Thread_local size_t left;
    (void)context, (void)arg;
    if (left < len) {
        ssize_t n = getrandom(random, sizeof(random), 0);
        assert(n == sizeof(random));
        (void)n;
        left = sizeof(random);
    }
    left -= len;
    memcpy(mask, random + left, len);
    return 0;
}

static ssize_t on_stream(wslay_event_context_ptr context, uint8_t *space, size_t capacity,
                         const union wslay_event_msg_source *source, int *eof_r, void *arg)
{
    struct ws *ws = arg;
    struct ws_stream *s = source->data;
    size_t n = s->bytes.len - s->taken < capacity ? s->bytes.len - s->taken : capacity;
    (void)context;
    assert(s == ws->streams);
    if (n != 0)
        memcpy(space, s->bytes.base + s->taken, n);
    s->taken += n;
    ws->stream_bytes -= n;
    if (s->taken == s->bytes.len) {
        s->taken = 0;
        buf_clear(&s->bytes);
        if (s->complete) {
            *eof_r = 1;
            ws->streams = s->next;
            buf_free(&s->bytes);
            free(s);
        }
    }
    return (ssize_t)n;
}

static void must(int failed)
{
    if (failed)
        abort(); /* no memory, as anywhere else (base/mem.h); wslay is asked nothing that it could refuse */
}

void ws_out_wake(struct ws *ws)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = ws_in_on_read,
        .send_callback = on_write,
        .genmask_callback = on_mask,
        .on_frame_recv_chunk_callback = ws_in_on_chunk,
    };
    if (ws->context != NULL)
        return;
    if (ws->options->role == WS_SERVER)
        must(wslay_event_context_server_init(&ws->context, &callbacks, ws));
    else
        must(wslay_event_context_client_init(&ws->context, &callbacks, ws));
    /* messages are put together and measured in ws_in.c */
    wslay_event_config_set_no_buffering(ws->context, 1);
    wslay_event_config_set_max_recv_msg_length(ws->context, UINT64_MAX);
}

/* ---- what waits ------------------------------------------------------------------------------------------------- */

/* Is a message under way whose next piece is not here? */
static bool is_starved(const struct ws *ws)
{
    const struct ws_stream *s = ws->streams;
    return s != NULL && !s->complete && s->bytes.len == 0;
}

static size_t queued_messages(const struct ws *ws)
{
    return wslay_event_get_queued_msg_count(ws->context) - (is_starved(ws) ? 1 : 0);
}

size_t ws_unsent(const struct ws *ws)
{
    size_t queued = 0;
    if (ws->context != NULL)
        queued = wslay_event_get_queued_msg_length(ws->context) + queued_messages(ws) * MESSAGE_COST;
    return queued + ws->stream_bytes + ws->out.len - ws->out_sent;
}

/* Outside of a callback there is no need to say so: what is queued is written before the owner can ask. */
static void note_crowd(struct ws *ws)
{
    if (ws->busy && !ws_has_room(ws))
        ws->crowded = true;
}

void ws_out_queue(struct ws *ws, unsigned opcode, struct str bytes)
{
    const struct wslay_event_msg message = {(uint8_t)opcode, (const uint8_t *)bytes.base, bytes.len};
    ws_out_wake(ws);
    must(wslay_event_queue_msg(ws->context, &message));
    note_crowd(ws);
}

static struct ws_stream *last_stream(const struct ws *ws)
{
    struct ws_stream *s = ws->streams;
    while (s != NULL && s->next != NULL)
        s = s->next;
    return s;
}

static struct ws_stream *open_stream(struct ws *ws, enum ws_opcode opcode, struct ws_stream *behind)
{
    struct ws_stream *s = mem_zalloc(sizeof(*s));
    const struct wslay_event_fragmented_msg message = {(uint8_t)opcode, {.data = s}, on_stream};
    ws_out_wake(ws);
    must(wslay_event_queue_fragmented_msg(ws->context, &message));
    if (behind != NULL)
        behind->next = s;
    else
        ws->streams = s;
    return s;
}

static void append_to_stream(struct ws *ws, struct ws_stream *s, struct str bytes)
{
    if (s->taken > s->bytes.len / 2) {
        buf_consume(&s->bytes, s->taken);
        s->taken = 0;
    }
    buf_append_str(&s->bytes, bytes);
    ws->stream_bytes += bytes.len;
}

static bool is_streaming(const struct ws *ws)
{
    const struct ws_stream *s = last_stream(ws);
    return s != NULL && !s->complete;
}

static void count_message(struct ws *ws, bool whole, size_t bytes)
{
    ws->count.bytes_out += bytes;
    ws->count.messages_out += whole;
    if (whole)
        ws->message_us = ws->loop->now_us;
}

/* ---- what the owner sends --------------------------------------------------------------------------------------- */

bool ws_send(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    assert(!is_streaming(ws));
    if (ws->state != WS_OPEN || (opcode == WS_TEXT && !utf8_valid(bytes.base, bytes.len)))
        return false;
    count_message(ws, true, bytes.len);
    ws_out_queue(ws, opcode, bytes);
    ws_write_soon(ws);
    return true;
}

bool ws_send_piece(struct ws *ws, enum ws_opcode opcode, bool last, struct str bytes)
{
    if (ws->state != WS_OPEN)
        return false;
    count_message(ws, last, bytes.len);
    struct ws_stream *s = last_stream(ws);
    bool is_first = s == NULL || s->complete;
    if (is_first && last) {
        ws_out_queue(ws, opcode, bytes);
    } else {
        if (is_first)
            s = open_stream(ws, opcode, s);
        append_to_stream(ws, s, bytes);
        s->complete = last;
        note_crowd(ws);
    }
    ws_write_soon(ws);
    return true;
}

bool ws_send_ping(struct ws *ws, bool pong, struct str bytes)
{
    assert(bytes.len <= WS_CONTROL_MAX);
    if (ws->state != WS_OPEN)
        return false;
    if (!pong && ws->unanswered != UINT8_MAX)
        ws->unanswered++;
    ws_out_queue(ws, pong ? WS_FRAME_PONG : WS_FRAME_PING, bytes);
    ws_write_soon(ws);
    return true;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void queue_close(struct ws *ws)
{
    const struct ws_ending *e = &ws->goodbye->ending;
    struct str reason = e->by == WS_BY_US ? e->reason : STR_NONE;
    uint16_t code = e->code == WS_CODE_NO_CODE ? 0 : (uint16_t)e->code;
    ws_out_wake(ws);
    must(wslay_event_queue_close(ws->context, code, (const uint8_t *)reason.base, reason.len));
    ws->close_queued = true;
}

/* Fills `out`, once it is empty, with what comes next. */
static void fill(struct ws *ws)
{
    if (ws->out_sent != ws->out.len)
        return;
    buf_clear(&ws->out);
    ws->out_sent = 0;
    if (ws->context != NULL)
        must(wslay_event_send(ws->context));
    if (ws->state == WS_CLOSING && !ws->close_queued && (ws->context == NULL || queued_messages(ws) == 0)) {
        queue_close(ws);
        must(wslay_event_send(ws->context));
    }
}

/* true: all of `out` has gone */
static bool write_once(struct ws *ws)
{
    ssize_t n;
    do {
        n = send(h2o_socket_get_fd(ws->sock), ws->out.base + ws->out_sent, ws->out.len - ws->out_sent,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        if (errno != EAGAIN)
            ws_write_failed(ws);
        return false;
    }
    ws->out_sent += (size_t)n;
    ws->taken += (size_t)n;
    return ws->out_sent == ws->out.len;
}

void ws_out_pump(struct ws *ws)
{
    if (ws->state > WS_CLOSING || ws->watching_write || ws->writing || ws->write_broken)
        return;
    for (int i = 0; i < WRITES_A_TURN; i++) {
        fill(ws);
        if (ws->out.len == 0)
            return;
        if (ws->sock->ssl != NULL) {
            ws_write_tls(ws);
            return;
        }
        if (!write_once(ws))
            break;
    }
    if (!ws->write_broken)
        ws_watch_write(ws);
}

bool ws_out_is_done(const struct ws *ws)
{
    if (ws->write_broken)
        return true;
    return ws->close_queued && wslay_event_get_close_sent(ws->context) && ws->out_sent == ws->out.len && !ws->writing;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

void ws_out_sleep(struct ws *ws)
{
    if (ws->opcode == 0)
        buf_free(&ws->message);
    if (ws->state != WS_OPEN || ws->opcode != 0 || ws->streams != NULL || ws->writing || ws_unsent(ws) != 0)
        return;
    ws_out_free(ws);
}

void ws_out_free(struct ws *ws)
{
    wslay_event_context_free(ws->context);
    ws->context = NULL;
    while (ws->streams != NULL) {
        struct ws_stream *s = ws->streams;
        ws->streams = s->next;
        buf_free(&s->bytes);
        free(s);
    }
    ws->stream_bytes = 0;
    buf_free(&ws->message);
    buf_free(&ws->late_ping);
    buf_free(&ws->out);
    ws->out_sent = 0;
}
