/* SPDX-License-Identifier: MIT
 *
 * ws_in: what a peer sends, taken apart. Heads of frames are read and checked here, so that wslay is given one frame at
 * a time, and of that one chunk a call: it unmasks and checks that text is UTF-8, and is left before the owner is called
 * with the bytes. Control frames never reach it, which leaves the limits of 1.1.1 aside: it takes the codes 1012 to 1014
 * for errors, checks a close reason that comes in two reads wrongly, and fails with a close frame that has no code.
 * Messages are put together here, too: wslay takes memory for each fragment, of which there can be one a byte.
 */
#include "config.h"

#include <assert.h>

#include "base/utf8.h"
#include "upstream/ws_head.h"
#include "upstream/ws_private.h"

/* so much time's worth of control frames may come at once */
#define CONTROL_BURST_US 10000000

/* What wslay may read in one call, and what came of it */
struct ws_bite {
    struct str input;
    bool was_read;
    struct str payload; /* in wslay's buffer */
};

/* ---- wslay's side ----------------------------------------------------------------------------------------------- */

ssize_t ws_in_on_read(wslay_event_context_ptr context, uint8_t *space, size_t capacity, int flags, void *arg)
{
    struct ws_bite *bite = ((struct ws *)arg)->bite;
    (void)flags;
    if (bite->was_read || bite->input.len == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = bite->input.len < capacity ? bite->input.len : capacity;
    memcpy(space, bite->input.base, n);
    bite->input.base += n;
    bite->input.len -= n;
    bite->was_read = true;
    return (ssize_t)n;
}

void ws_in_on_chunk(wslay_event_context_ptr context, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *arg)
{
    struct ws_bite *bite = ((struct ws *)arg)->bite;
    (void)context;
    bite->payload = (struct str){(char *)chunk->data, chunk->data_length};
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

static void fail(struct ws *ws, unsigned code, const char *why)
{
    ws->deaf = true;
    ws_end(ws, WS_BY_US, code, why, str_of(why));
}

static void give_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    if (ws->message.len != 0) {
        buf_append_str(&ws->message, bytes);
        bytes = buf_str(&ws->message);
    }
    ws->events->on_message(ws, opcode, bytes);
    buf_clear(&ws->message);
}

static void give_piece(struct ws *ws, enum ws_opcode opcode, bool last, struct str bytes)
{
    bool first = !ws->piece_given;
    ws->piece_given = !last;
    ws->events->on_piece(ws, opcode, first, last, bytes);
}

static void deliver(struct ws *ws, struct str bytes)
{
    enum ws_opcode opcode = ws->opcode;
    bool last = ws->frame_left == 0 && ws->frame_is_last;
    ws->count.bytes_in += bytes.len;
    if (last) {
        ws->count.messages_in++;
        ws->message_us = ws->loop->now_us;
        ws->opcode = 0;
    }
    if (ws->options->relay) {
        if (last || bytes.len != 0)
            give_piece(ws, opcode, last, bytes);
    } else if (last) {
        give_message(ws, opcode, bytes);
    } else {
        buf_append_str(&ws->message, bytes);
    }
}

/* Has wslay read from the input, which begins with a head of that size and goes no further than its frame. */
static size_t feed(struct ws *ws, struct str input, size_t head_size)
{
    struct ws_bite bite = {.input = input};
    ws_out_wake(ws);
    ws->bite = &bite;
    int failed = wslay_event_recv(ws->context);
    ws->bite = NULL;
    size_t used = input.len - bite.input.len;
    assert(failed == 0 && used >= head_size);
    (void)failed;
    ws->frame_left -= used - head_size;
    if (wslay_event_get_read_enabled(ws->context)) {
        deliver(ws, bite.payload);
    } else {
        ws->deaf = true;
        ws->close_queued = true; /* by wslay */
        ws_end(ws, WS_BY_US, WS_CODE_NOT_TEXT, "a text message is not UTF-8", STR_NONE);
    }
    return used;
}

static size_t take_payload(struct ws *ws, struct str input)
{
    if (input.len > ws->frame_left)
        input.len = (size_t)ws->frame_left;
    if (ws->state == WS_OPEN)
        return feed(ws, input, 0);
    ws->frame_left -= input.len;
    return input.len;
}

/* May this frame come now? */
static bool is_in_order(struct ws *ws, const struct ws_head *head)
{
    if (head->opcode == WS_FRAME_CONTINUATION && ws->opcode == 0)
        fail(ws, WS_CODE_PROTOCOL, "a frame continues no message");
    else if (head->opcode != WS_FRAME_CONTINUATION && ws->opcode != 0)
        fail(ws, WS_CODE_PROTOCOL, "a message begins within another");
    else if (head->length > ws->options->max_message - (ws->opcode != 0 ? ws->message_length : 0))
        fail(ws, WS_CODE_TOO_LARGE, "message over the limit");
    return !ws->deaf;
}

static size_t begin_frame(struct ws *ws, const struct ws_head *head, struct str input)
{
    if (ws->state != WS_OPEN) {
        ws->frame_left = head->length;
        return head->size;
    }
    if (!is_in_order(ws, head))
        return head->size;
    if (ws->opcode == 0) {
        ws->opcode = head->opcode;
        ws->message_length = 0;
    }
    ws->message_length += head->length;
    ws->frame_left = head->length;
    ws->frame_is_last = head->fin;
    if (input.len - head->size > head->length)
        input.len = head->size + (size_t)head->length;
    return feed(ws, input, head->size);
}

/* ---- control frames --------------------------------------------------------------------------------------------- */

static bool is_too_frequent(struct ws *ws)
{
    int64_t now = ws->loop->now_us;
    if (ws->options->control_rate == 0)
        return false;
    if (ws->control_us < now)
        ws->control_us = now;
    ws->control_us += 1000000 / ws->options->control_rate;
    return ws->control_us > now + CONTROL_BURST_US;
}

static void take_close(struct ws *ws, struct str payload)
{
    unsigned code = WS_CODE_NO_CODE;
    struct str reason = STR_NONE;
    if (payload.len == 1) {
        fail(ws, WS_CODE_PROTOCOL, "a close frame has half a code");
        return;
    }
    if (payload.len != 0) {
        code = (unsigned)(unsigned char)payload.base[0] << 8 | (unsigned char)payload.base[1];
        reason = (struct str){payload.base + 2, payload.len - 2};
        if (!ws_code_is_sendable(code)) {
            fail(ws, WS_CODE_PROTOCOL, "a close frame has a code that none may carry");
            return;
        }
        if (!utf8_valid(reason.base, reason.len)) {
            fail(ws, WS_CODE_NOT_TEXT, "a close frame's reason is not UTF-8");
            return;
        }
    }
    ws->close_received = true;
    if (ws_end(ws, WS_BY_PEER, code, "the peer closed", reason) && ws->events->on_peer_close != NULL)
        ws->events->on_peer_close(ws, code, reason);
}

static void keep_ping(struct ws *ws, struct str payload)
{
    ws->owes_pong = true;
    buf_clear(&ws->late_ping);
    buf_append_str(&ws->late_ping, payload);
}

static void take_ping(struct ws *ws, struct str payload)
{
    if (is_too_frequent(ws))
        fail(ws, WS_CODE_POLICY, "too many control frames");
    else if (ws->crowded)
        keep_ping(ws, payload);
    else if (ws->state == WS_OPEN)
        ws_out_queue(ws, WS_FRAME_PONG, payload);
}

static void take_pong(struct ws *ws)
{
    if (ws->unanswered != 0)
        ws->unanswered--;
    else if (is_too_frequent(ws))
        fail(ws, WS_CODE_POLICY, "too many control frames");
}

static void take_control(struct ws *ws, const struct ws_head *head, const char *masked)
{
    char payload[WS_CONTROL_MAX];
    for (size_t i = 0; i < head->length; i++)
        payload[i] = masked[i] ^ head->mask[i % sizeof(head->mask)];
    if (head->opcode == WS_FRAME_CLOSE)
        take_close(ws, (struct str){payload, (size_t)head->length});
    else if (head->opcode == WS_FRAME_PING)
        take_ping(ws, (struct str){payload, (size_t)head->length});
    else
        take_pong(ws);
}

/* ---- the stream of frames --------------------------------------------------------------------------------------- */

static bool is_heard(const struct ws *ws)
{
    return ws->state <= WS_CLOSING && !ws->deaf && !ws->close_received;
}

/* Must what comes next wait? Data, for the owner; all, while too much is unsent, unless the owner wants that. */
static bool must_wait(const struct ws *ws, char first)
{
    bool is_data = ws->frame_left != 0 || !ws_opcode_is_control((unsigned char)first);
    bool is_full = ws->crowded && !ws->options->reads_when_full;
    return ws->state == WS_OPEN && (is_full || (ws->held && is_data));
}

/* 0: there must be more for it */
static size_t take_some(struct ws *ws, struct str input)
{
    struct ws_head head;
    const char *why;
    if (ws->frame_left != 0)
        return take_payload(ws, input);
    switch (ws_head_read(input, ws->options->role == WS_SERVER, &head, &why)) {
    case WS_HEAD_MORE:
        return 0;
    case WS_HEAD_BAD:
        fail(ws, WS_CODE_PROTOCOL, why);
        return input.len;
    case WS_HEAD_WHOLE:
        break;
    }
    if (!ws_opcode_is_control(head.opcode))
        return begin_frame(ws, &head, input);
    if (input.len - head.size < head.length)
        return 0;
    take_control(ws, &head, input.base + head.size);
    return head.size + (size_t)head.length;
}

size_t ws_in_take(struct ws *ws, struct str input)
{
    size_t used = 0;
    ws->stopped = false;
    while (used < input.len && is_heard(ws)) {
        if (must_wait(ws, input.base[used])) {
            ws->stopped = true;
            return used;
        }
        size_t n = take_some(ws, (struct str){input.base + used, input.len - used});
        if (n == 0)
            return used;
        used += n;
    }
    return input.len;
}
