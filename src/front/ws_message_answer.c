/* SPDX-License-Identifier: MIT
 *
 * ws_message_answer: what becomes of the answer to a message's call: it is collected, or played as it comes, and sent when
 * its turn has come; and what the client hears when there is none. See ws_messages.h.
 *
 * An executor's callback never ends in an abandoned call: that waits for the connection's chores.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>

#include "base/utf8.h"
#include "config/conf.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/ws_messages.h"
#include "gate/gate.h"

/* how much of a refusal's body is told to the client */
#define REFUSAL_MAX 4096

/* ---- failing ---------------------------------------------------------------------------------------------------- */

void message_fail(struct message *m, enum reason reason, int status, struct str detail)
{
    m->stage = ANSWER_FAILED;
    m->reason = reason;
    m->status = status;
    m->is_complete = true;
    m->is_stalled = false;
    m->played = 0;
    buf_clear(&m->answer);
    buf_append_str(&m->answer, detail);
}

static void fail(struct message *m, enum reason reason, const char *detail)
{
    message_fail(m, reason, reason_status(reason), str_of(detail));
}

static void put_member(struct buf *out, const char *name, struct str value)
{
    buf_append_z(out, ",\"");
    buf_append_z(out, name);
    buf_append_z(out, "\":");
    buf_append_json(out, value);
}

static void put_error(struct message *m, struct buf *out)
{
    buf_append_z(out, "{\"error\":{\"status\":");
    buf_append_u64(out, (uint64_t)m->status);
    put_member(out, "reason", str_of(reason_word(m->reason)));
    put_member(out, "title", str_of(reason_title(m->reason)));
    if (m->answer.len != 0)
        put_member(out, "detail", buf_str(&m->answer));
    put_member(out, "id", m->d.call.request.id);
    if (reason_wants_retry_after(m->reason)) {
        buf_append_z(out, ",\"retry_after\":");
        buf_append_u64(out, gate_retry_after_s(m->d.backend->gate, m->d.call.loop->now_us));
    }
    buf_append_z(out, "}}");
}

static void say_failure(struct message *m)
{
    static __thread struct buf scratch;
    struct messages *c = m->connection;
    if (m->kind == MESSAGE_POLL)
        return; /* the client did not ask */
    if (c->conf->on_error == CONF_WEBSOCKET_CLOSE) {
        messages_close(c, reason_close_code(m->reason), str_of(reason_word(m->reason)), m->reason);
        return;
    }
    buf_clear(&scratch);
    put_error(m, &scratch);
    if (ws_send(&c->ws, WS_TEXT, buf_str(&scratch)))
        m->bytes_out += scratch.len;
}

/* ---- playing events --------------------------------------------------------------------------------------------- */

static void send_message(struct message *m, enum ws_opcode opcode, struct str bytes)
{
    struct messages *c = m->connection;
    if (ws_send(&c->ws, opcode, bytes))
        m->bytes_out += bytes.len;
    else if (!ws_is_closing(&c->ws))
        fail(m, REASON_HANDLER_FAILED, "the text that the backend answered is not UTF-8");
}

static void send_control(struct message *m, bool pong, struct str bytes)
{
    if (bytes.len > WS_CONTROL_MAX)
        fail(m, REASON_HANDLER_FAILED, "the backend sent a ping or pong of more than 125 bytes");
    else
        (void)ws_send_ping(&m->connection->ws, pong, bytes);
}

static void play_close(struct message *m, struct str content)
{
    struct messages *c = m->connection;
    unsigned code;
    struct str words;
    if (!ws_event_get_close(content, &code, &words)) {
        fail(m, REASON_HANDLER_FAILED, "the backend closed with a code that may not be sent");
        return;
    }
    c->by_backend = m->is_complete = m->may_end = true;
    messages_close(c, code == WS_CODE_NONE ? WS_CODE_NO_CODE : code, words, REASON_NONE);
}

static void play_event(struct message *m, enum ws_event_kind kind, struct str content)
{
    switch (kind) {
    case WS_EVENT_TEXT:
    case WS_EVENT_BINARY:
        send_message(m, kind == WS_EVENT_TEXT ? WS_TEXT : WS_BINARY, content);
        return;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        send_control(m, kind == WS_EVENT_PONG, content);
        return;
    case WS_EVENT_CLOSE:
        play_close(m, content);
        return;
    case WS_EVENT_DISCONNECT:
        m->connection->by_backend = m->is_complete = m->may_end = true;
        messages_break(m->connection);
        return;
    case WS_EVENT_OPEN: /* the connection is open already */
    case WS_EVENT_COUNT:
        return;
    }
}

/* Until the bytes are used, there is no room or it has been enough for this turn of the loop; or the answer is found bad,
 * or the connection ends. Returns how many were used. */
static size_t play(struct message *m, struct str bytes)
{
    struct messages *c = m->connection;
    enum ws_event_kind kind;
    struct str content;
    const char *why;
    size_t used = 0;
    while (m->stage == ANSWER_EVENTS && messages_is_talking(c) && ws_has_room(&c->ws) && c->events_left != 0) {
        enum ws_event_result result = ws_event_next(&m->decoder, bytes, &used, &kind, &content, &why);
        if (result == WS_EVENT_MORE)
            break;
        c->events_left--;
        if (result == WS_EVENT_BAD)
            fail(m, REASON_HANDLER_FAILED, why);
        else
            play_event(m, kind, content);
    }
    return used;
}

static struct str rest_of(const struct message *m)
{
    struct str all = buf_str(&m->answer);
    return m->played == 0 ? all : (struct str){all.base + m->played, all.len - m->played};
}

/* Events are here whose turn has not come. */
static bool has_rest(const struct message *m)
{
    return m->stage == ANSWER_EVENTS && m->played != m->answer.len && messages_is_talking(m->connection);
}

/* What waits for room is woken by on_room; what waits for the next turn, by the chores. */
static void play_on_later(struct message *m)
{
    if (m->connection->events_left == 0)
        messages_schedule(m->connection);
}

/* It is the client that does not take what is here: the time of the work stands still. */
static void await_client(struct message *m)
{
    const struct messages *c = m->connection;
    if (m->is_stalled && !ws_has_room(&c->ws))
        dispatch_hold(&m->d, m->d.call.loop->now_us + c->generation->conf->limits.write_timeout);
}

/* ---- delivery --------------------------------------------------------------------------------------------------- */

static void deliver_events(struct message *m)
{
    size_t used = play(m, rest_of(m));
    if (m->stage != ANSWER_EVENTS)
        return; /* a failure's detail has taken their place */
    m->played += used;
    if (used != 0)
        await_client(m);
    if (has_rest(m)) {
        play_on_later(m);
        return;
    }
    m->played = 0;
    buf_clear(&m->answer);
    if (m->is_complete && !ws_event_is_complete(&m->decoder))
        fail(m, REASON_HANDLER_FAILED, "the backend's answer ends in the middle of an event");
}

static void deliver_whole(struct message *m)
{
    if (!m->is_complete || m->answer.len == 0)
        return;
    send_message(m, m->opcode, buf_str(&m->answer));
}

bool message_deliver(struct message *m)
{
    const struct messages *c = m->connection;
    if (m->stage == ANSWER_EVENTS)
        deliver_events(m);
    else if (m->stage == ANSWER_WHOLE)
        deliver_whole(m);
    if (has_rest(m))
        return false;
    if (m->is_complete) {
        if (m->stage == ANSWER_FAILED)
            say_failure(m);
        message_finish(m);
        return true;
    }
    if (m->is_stalled && messages_is_talking(c) && ws_has_room(&c->ws)) {
        m->is_stalled = false;
        dispatch_resume(&m->d); /* the rest may come, and the message be gone, before this returns */
    }
    return false;
}

/* ---- the executor's word ---------------------------------------------------------------------------------------- */

static struct message *message_of(struct call *call)
{
    assert(call->magic == CALL_MAGIC);
    return (struct message *)call; /* the first member of its first member */
}

static bool is_wanted(const struct message *m)
{
    if (m->is_complete || m->is_finished)
        return false;
    return m->kind == MESSAGE_OPEN || m->kind == MESSAGE_LAST || messages_is_talking(m->connection);
}

static bool is_first(const struct message *m)
{
    return m->connection->state == MESSAGES_OPEN && list_first(&m->connection->line) == &m->link;
}

static struct str type_of(const struct call_response *head)
{
    for (size_t i = 0; i < head->nfields; i++)
        if (str_eq(head->fields[i].name, STR("content-type"))) {
            struct str type = head->fields[i].value;
            const char *end = type.len == 0 ? NULL : memchr(type.base, ';', type.len);
            if (end != NULL)
                type.len = (size_t)(end - type.base);
            while (type.len != 0 && (type.base[type.len - 1] == ' ' || type.base[type.len - 1] == '\t'))
                type.len--;
            return type;
        }
    return STR_NONE;
}

static bool starts_case(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_case_eq((struct str){s.base, prefix.len}, prefix);
}

static bool ends_case(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_case_eq((struct str){s.base + s.len - suffix.len, suffix.len}, suffix);
}

static bool is_text(struct str type)
{
    return starts_case(type, STR("text/")) || str_case_eq(type, STR("application/json")) ||
           ends_case(type, STR("+json"));
}

static void expect_message(struct message *m, const struct call_response *head)
{
    struct str type = type_of(head);
    if (str_case_eq(type, STR(WS_EVENT_TYPE))) {
        m->stage = ANSWER_EVENTS;
        return;
    }
    m->stage = ANSWER_WHOLE;
    if (type.len != 0)
        m->opcode = is_text(type) ? WS_TEXT : WS_BINARY;
}

static void on_head(struct call *call, const struct call_response *head)
{
    struct message *m = message_of(call);
    struct messages *c = m->connection;
    if (!is_wanted(m))
        return;
    m->status = head->status;
    if (c->events != NULL && m->kind == MESSAGE_OPEN)
        messages_events_keep_head(c, head);
    if (head->status < 200 || head->status > 299) {
        m->stage = ANSWER_REFUSAL;
        return;
    }
    if (c->events != NULL)
        messages_events_heed(c, head);
    expect_message(m, head);
}

static bool fits(const struct message *m, size_t more)
{
    return more <= (size_t)m->connection->conf->max_message - m->answer.len;
}

/* The rest is of no use to anybody. */
static void fail_large(struct message *m)
{
    struct messages *c = m->connection;
    fail(m, REASON_ANSWER_TOO_LARGE, "the answer is over the route's websocket.max_message");
    messages_schedule(c);
    if (m->kind == MESSAGE_OPEN)
        messages_events_opened(m);
    else
        messages_pump(c);
}

/* Events of the first in line go out as far as that goes now, and the executor waits while some are left. */
static void play_at_once(struct message *m, struct str bytes)
{
    struct messages *c = m->connection;
    size_t used = play(m, bytes);
    if (m->is_complete) {
        messages_pump(c);
        return;
    }
    if (!messages_is_talking(c))
        return;
    buf_append(&m->answer, bytes.base + used, bytes.len - used);
    m->is_stalled = has_rest(m) || !ws_has_room(&c->ws);
    await_client(m);
    if (has_rest(m))
        play_on_later(m);
}

/* The others' are kept for their turn. */
static bool take_events(struct message *m, struct str bytes)
{
    const struct messages *c = m->connection;
    if (is_first(m) && !has_rest(m)) {
        play_at_once(m, bytes);
    } else {
        buf_append_str(&m->answer, bytes);
        m->is_stalled = m->answer.len - m->played >= (size_t)c->conf->max_message;
    }
    return !m->is_stalled;
}

static void take_beginning(struct message *m, struct str bytes)
{
    size_t room = REFUSAL_MAX - m->answer.len;
    buf_append(&m->answer, bytes.base, bytes.len < room ? bytes.len : room);
}

static bool on_body(struct call *call, struct str bytes)
{
    struct message *m = message_of(call);
    if (!is_wanted(m) || m->kind == MESSAGE_LAST)
        return true;
    if (m->stage == ANSWER_EVENTS && m->kind != MESSAGE_OPEN)
        return take_events(m, bytes);
    if (m->stage == ANSWER_REFUSAL && m->kind != MESSAGE_OPEN)
        take_beginning(m, bytes);
    else if (fits(m, bytes.len))
        buf_append_str(&m->answer, bytes);
    else
        fail_large(m);
    return true;
}

/* What the backend says of a request that it does not like is the client's business; of its own trouble it is not. */
static void fail_refused(struct message *m)
{
    struct str words = buf_str(&m->answer);
    bool is_told = m->status >= 400 && m->status <= 499 && words.len != 0 && utf8_valid(words.base, words.len);
    char detail[48];
    if (is_told) {
        m->stage = ANSWER_FAILED;
        m->reason = REASON_HANDLER_FAILED;
        return;
    }
    int len = snprintf(detail, sizeof(detail), "the backend answered %d", m->status);
    message_fail(m, REASON_HANDLER_FAILED, m->status, (struct str){detail, (size_t)len});
}

static void on_end(struct call *call, enum reason reason, const char *detail)
{
    struct message *m = message_of(call);
    bool wanted = is_wanted(m);
    dispatch_note_end(&m->d);
    if (!wanted)
        return;
    m->is_complete = true;
    if (reason == REASON_NONE && m->stage == ANSWER_AWAITED)
        fail(m, REASON_INTERNAL, "the executor ended without an answer");
    else if (reason != REASON_NONE)
        fail(m, reason, detail);
    else if (m->stage == ANSWER_REFUSAL && m->kind != MESSAGE_OPEN)
        fail_refused(m);
    if (m->kind == MESSAGE_OPEN)
        messages_events_opened(m);
    else if (m->kind == MESSAGE_LAST)
        message_finish(m);
    else
        messages_pump(m->connection);
}

const struct call_sink message_sink = {on_head, on_body, on_end, dispatch_on_done};
