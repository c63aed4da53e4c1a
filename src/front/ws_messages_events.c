/* SPDX-License-Identifier: MIT
 *
 * ws_messages_events: what the format `events` adds to a connection of mode `messages` (WebSocket-over-HTTP, as Pushpin
 * and the GRIP libraries speak it): the OPEN call that decides on the handshake, the last call that tells of the end, the
 * values that a backend attaches to a connection (Set-Meta-*, Meta-*), and calls without events when nothing happened for
 * the Keep-Alive-Interval. Native modules hear of OPEN and the end out of band. See ws_messages.h.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/lexis.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "front/door.h"
#include "front/route.h"
#include "front/ws_door.h"
#include "front/ws_messages.h"

/* of one connection */
#define META_MAX       32
#define META_BYTES_MAX (8 * 1024)
/* seconds */
#define KEEP_ALIVE_MAX 86400

struct meta {
    struct str name, value; /* "meta-…"; both in `name`'s block */
};

struct messages_events {
    struct messages *connection;
    struct ws_entry *entry; /* while the OPEN call decides, and the 101 is on its way */
    char *offered, *protocol;
    struct call_response head; /* OPEN's, in one block with its text */
    bool owes_last;            /* the backend knows of the connection, and not yet of its end */
    bool is_parting;           /* counted in door.parting */
    unsigned code;
    size_t reason_len;
    char reason[WS_CONTROL_MAX];
    int64_t keep_alive_us; /* 0: none */
    struct deadline rest;
    struct meta *meta;
    size_t nmeta, meta_bytes;
};

static void on_rest(struct deadline *d);

struct messages_events *messages_events_create(struct messages *c)
{
    struct messages_events *ev = mem_zalloc(sizeof(*ev));
    ev->connection = c;
    ev->rest.on_expired = on_rest;
    return ev;
}

static void forget_head(struct messages_events *ev)
{
    free((void *)ev->head.fields);
    ev->head = (struct call_response){0};
}

void messages_events_free(struct messages_events *ev)
{
    assert(!deadline_armed(&ev->rest));
    if (ev->is_parting)
        ev->connection->super.door->parting--;
    for (size_t i = 0; i < ev->nmeta; i++)
        free(ev->meta[i].name.base);
    free(ev->meta);
    free(ev->offered);
    free(ev->protocol);
    forget_head(ev);
    free(ev);
}

/* ---- OPEN ------------------------------------------------------------------------------------------------------- */

static struct inbound *event_body(const struct messages *c, enum ws_event_kind kind)
{
    struct inbound *in = inbound_create(0, c->super.door->thread->loop.now_us);
    in->opcode = WS_TEXT;
    if (!messages_is_native(c))
        ws_event_put(&in->body, kind, STR_NONE);
    return in;
}

void messages_events_begin(struct ws_entry *e)
{
    struct messages *c = messages_create(&e->a, e->facts);
    struct messages_events *ev = c->events;
    struct ws_handshake h;
    ws_entry_handshake(e, &h);
    ws_session_name(&c->super, e->a.door);
    e->data = c;
    ev->entry = e;
    ev->offered = mem_strdup_str(h.protocols);
    ev->protocol = mem_strdup_str(h.protocol);
    message_start(c, MESSAGE_OPEN, event_body(c, WS_EVENT_OPEN));
}

void messages_events_keep_head(struct messages *c, const struct call_response *head)
{
    forget_head(c->events);
    c->events->head = *head;
    c->events->head.fields = call_fields_copy(head->fields, head->nfields);
}

/* The handshake is not accepted: the connection ends before it began. */
static struct ws_entry *give_up(struct messages *c)
{
    struct ws_entry *e = c->events->entry;
    c->events->entry = NULL;
    c->events->owes_last = false;
    messages_part(c);
    return e;
}

static void refuse(struct messages *c, enum reason reason, const char *detail)
{
    ws_entry_refuse(give_up(c), reason, detail);
}

static bool begins_with_open(const struct message *m)
{
    struct ws_event_decoder d;
    enum ws_event_kind kind;
    struct str content;
    const char *why;
    size_t used = 0;
    if (m->stage != ANSWER_EVENTS)
        return false;
    ws_event_decoder_init(&d, m->decoder.max);
    bool begins =
        ws_event_next(&d, buf_str(&m->answer), &used, &kind, &content, &why) == WS_EVENT_GOT && kind == WS_EVENT_OPEN;
    ws_event_decoder_free(&d);
    return begins;
}

/* What the backend says to the front, or about a body that the client does not get, is not for the client. */
static bool is_for_client(struct str name)
{
    return !str_starts(name, STR("content-")) && !str_starts(name, STR("sec-websocket-")) &&
           !str_starts(name, STR("set-meta-")) && !str_eq(name, STR("keep-alive-interval"));
}

static struct str chosen_protocol(const struct messages_events *ev)
{
    for (size_t i = 0; i < ev->head.nfields; i++)
        if (str_eq(ev->head.fields[i].name, STR("sec-websocket-protocol")))
            return ev->head.fields[i].value;
    return str_of(ev->protocol);
}

static void accept_handshake(struct messages *c)
{
    struct messages_events *ev = c->events;
    struct str protocol = chosen_protocol(ev);
    if (protocol.len != 0 && !ws_handshake_offers(str_of(ev->offered), protocol)) {
        refuse(c, REASON_HANDLER_FAILED, "the backend chose a Sec-WebSocket-Protocol that the client did not offer");
        return;
    }
    struct call_field *fields = (struct call_field *)ev->head.fields;
    size_t n = 0;
    for (size_t i = 0; i < ev->head.nfields; i++)
        if (is_for_client(fields[i].name))
            fields[n++] = fields[i];
    ws_entry_accept(ev->entry, fields, n, protocol, STR_NONE);
}

/* Whatever events follow OPEN in the answer are played when the socket is open. */
void messages_events_opened(struct message *m)
{
    struct messages *c = m->connection;
    struct messages_events *ev = c->events;
    if (ev->entry == NULL)
        return;
    if (m->stage == ANSWER_FAILED)
        refuse(c, m->reason, m->answer.len == 0 ? NULL : buf_z(&m->answer));
    else if (m->stage == ANSWER_REFUSAL)
        ws_entry_answer(give_up(c), &ev->head, buf_str(&m->answer));
    else if (!messages_is_native(c) && !begins_with_open(m))
        refuse(c, REASON_HANDLER_FAILED, "the backend's answer to OPEN does not begin with the event OPEN");
    else
        accept_handshake(c);
}

void messages_events_gone(struct messages *c)
{
    c->events->entry = NULL;
    messages_events_note_end(c, WS_CODE_LOST, STR_NONE);
    messages_part(c);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void messages_events_note_end(struct messages *c, unsigned code, struct str reason)
{
    struct messages_events *ev = c->events;
    ev->code = code;
    ev->reason_len = reason.len < sizeof(ev->reason) ? reason.len : sizeof(ev->reason);
    if (ev->reason_len != 0)
        memcpy(ev->reason, reason.base, ev->reason_len);
}

void messages_events_part(struct messages *c)
{
    struct messages_events *ev = c->events;
    messages_events_stir(c);
    ev->entry = NULL;
    if (ev->owes_last && !ev->is_parting) {
        ev->is_parting = true;
        c->super.door->parting++;
    }
}

static struct inbound *last_body(const struct messages *c)
{
    const struct messages_events *ev = c->events;
    struct str reason = {(char *)ev->reason, ev->reason_len};
    if (!messages_is_native(c) && ev->code == WS_CODE_LOST)
        return event_body(c, WS_EVENT_DISCONNECT);
    struct inbound *in = inbound_create(0, c->super.door->thread->loop.now_us);
    in->opcode = WS_TEXT;
    if (messages_is_native(c))
        buf_append_str(&in->body, reason);
    else
        ws_event_put_close(&in->body, ev->code == WS_CODE_NO_CODE ? WS_CODE_NONE : ev->code, reason);
    return in;
}

void messages_events_say_last(struct messages *c)
{
    if (!c->events->owes_last)
        return;
    c->events->owes_last = false;
    c->is_over = false;
    message_start(c, MESSAGE_LAST, last_body(c));
}

/* ---- Set-Meta-* ------------------------------------------------------------------------------------------------- */

static size_t meta_find(const struct messages_events *ev, struct str name)
{
    size_t i = 0;
    while (i < ev->nmeta && !str_eq(ev->meta[i].name, name))
        i++;
    return i;
}

static void meta_remove(struct messages_events *ev, size_t i)
{
    if (i == ev->nmeta)
        return;
    ev->meta_bytes -= ev->meta[i].name.len + ev->meta[i].value.len;
    free(ev->meta[i].name.base);
    memmove(&ev->meta[i], &ev->meta[i + 1], (--ev->nmeta - i) * sizeof(ev->meta[0]));
}

/* name: "meta-…". An empty value takes it away. */
static void meta_set(struct messages_events *ev, struct str name, struct str value)
{
    meta_remove(ev, meta_find(ev, name));
    if (value.len == 0)
        return;
    if (ev->nmeta == META_MAX || ev->meta_bytes + name.len + value.len > META_BYTES_MAX) {
        log_limited(
            LOG_LEVEL_WARNING, "front",
            "route %s: a backend attaches more than %d values or %d bytes to a WebSocket by Set-Meta-*; the rest "
            "is dropped",
            ev->connection->route->label, META_MAX, META_BYTES_MAX);
        return;
    }
    if (ev->meta == NULL)
        ev->meta = mem_alloc(META_MAX * sizeof(ev->meta[0]));
    char *at = mem_alloc(name.len + value.len);
    struct meta *m = &ev->meta[ev->nmeta++];
    m->name = str_keep(&at, name);
    m->value = str_keep(&at, value);
    ev->meta_bytes += name.len + value.len;
}

void messages_events_heed(struct messages *c, const struct call_response *head)
{
    struct messages_events *ev = c->events;
    for (size_t i = 0; i < head->nfields; i++) {
        struct str name = head->fields[i].name, value = head->fields[i].value;
        int64_t seconds;
        if (str_starts(name, STR("set-meta-")))
            meta_set(ev, (struct str){name.base + 4, name.len - 4}, value);
        else if (str_eq(name, STR("keep-alive-interval")) && lexis_length(value, &seconds))
            ev->keep_alive_us = (seconds < KEEP_ALIVE_MAX ? seconds : KEEP_ALIVE_MAX) * 1000000;
    }
}

/* ---- fields of a call ------------------------------------------------------------------------------------------- */

size_t messages_events_count_max(const struct messages *c)
{
    return 2 + c->events->nmeta;
}

/* Copies: an answer to another call may change the values while this one runs. */
static size_t put_meta(struct message *m, struct call_field *fields)
{
    const struct messages_events *ev = m->connection->events;
    if (ev->nmeta == 0)
        return 0;
    char *at = m->meta = mem_alloc(ev->meta_bytes);
    for (size_t i = 0; i < ev->nmeta; i++)
        fields[i] = (struct call_field){str_keep(&at, ev->meta[i].name), str_keep(&at, ev->meta[i].value)};
    return ev->nmeta;
}

size_t messages_events_put(struct message *m, struct call_field *fields)
{
    struct messages *c = m->connection;
    struct messages_events *ev = c->events;
    size_t n = 0;
    if (!messages_is_native(c))
        fields[n++] = (struct call_field){STR("accept"), STR(WS_EVENT_TYPE)};
    if (m->kind == MESSAGE_OPEN && ev->offered[0] != '\0')
        fields[n++] = (struct call_field){STR("sec-websocket-protocol"), str_of(ev->offered)};
    if (m->kind == MESSAGE_OPEN)
        ev->owes_last = true; /* it knows of the connection from here on */
    if (m->kind == MESSAGE_LAST)
        m->d.call.request.ws_code = ev->code;
    return n + put_meta(m, fields + n);
}

/* ---- Keep-Alive-Interval ---------------------------------------------------------------------------------------- */

static struct heap *deadlines_of(const struct messages *c)
{
    return &c->super.door->thread->loop.deadlines;
}

void messages_events_rest(struct messages *c)
{
    struct messages_events *ev = c->events;
    if (ev->keep_alive_us != 0 && !deadline_armed(&ev->rest) && !messages_is_native(c))
        heap_arm(deadlines_of(c), &ev->rest, c->super.door->thread->loop.now_us + ev->keep_alive_us);
}

void messages_events_stir(struct messages *c)
{
    heap_disarm(deadlines_of(c), &c->events->rest);
}

/* A client that takes nothing has no calls made for it; its connection's own time limits apply. */
static void on_rest(struct deadline *d)
{
    struct messages *c = LIST_ENTRY(d, struct messages_events, rest)->connection;
    if (messages_is_talking(c) && c->leave_code == 0 && ws_has_room(&c->ws))
        message_start(c, MESSAGE_POLL, NULL);
    messages_pump(c);
}
