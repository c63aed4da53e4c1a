/* SPDX-License-Identifier: MIT
 *
 * ws_bridge: mode `bridge`: a client's WebSocket goes on as another one, ours, to a backend that speaks WebSocket
 * itself. Both ends are struct ws, so pings, pongs and the closing handshake are each end's own affair, and a backend
 * that blocks does not cost the client its connection: no pong is expected of it, because one that blocks could send
 * none; that it is dead is told by its socket. Read from top to bottom: handshake, open, relay, close, end.
 *
 * Messages pass in the pieces in which they come, and an end whose pieces find no room at the other is held until there
 * is some, so that a bridge holds max_unsent and what one turn of the loop reads, each way. With `reconnect` they pass
 * whole (ws_bridge_reconnect.c). A close carries its code and reason across. Loop thread.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/ws_bridge_private.h"

static bool reconnects(const struct bridge *b)
{
    return b->route->conf->websocket.reconnect;
}

/* ---- made and gone ---------------------------------------------------------------------------------------------- */

static struct bridge *bridge_create(struct ws_entry *e)
{
    struct bridge *b = mem_zalloc(sizeof(*b));
    struct ws_handshake h;
    ws_entry_handshake(e, &h);
    b->entry = e;
    b->loop = &e->a.door->thread->loop;
    b->generation = generation_ref(e->a.generation);
    b->route = e->a.route;
    b->facts = ws_facts_ref(e->facts);
    if (h.protocols.len != 0)
        b->protocols = mem_strdup_str(h.protocols);
    bridge_queue_init(&b->pushed);
    bridge_reconnect_init(b);
    return b;
}

static void bridge_free(struct bridge *b)
{
    assert(!b->client_is_open);
    bridge_undial(b);
    bridge_reconnect_end(b);
    bridge_queue_clear(&b->pushed);
    ws_facts_unref(b->facts);
    generation_unref(b->generation);
    free(b->protocols);
    free(b);
}

/* Both ends are closed. */
static void settle(struct bridge *b)
{
    if (!b->client_is_open && b->state == BRIDGE_ABSENT)
        bridge_free(b);
}

/* ---- handshake -------------------------------------------------------------------------------------------------- */

static bool is_ours_to_say(struct str name)
{
    return str_starts(name, STR("sec-websocket-"));
}

/* The client gets what the backend's 101 said, but for what belongs to the handshake between us. */
static void accept_entry(struct bridge *b, const struct bridge_word *word)
{
    const struct call_response *head = word->head;
    struct call_field *fields = mem_alloc((head->nfields + 1) * sizeof(fields[0]));
    size_t n = 0;
    for (size_t i = 0; i < head->nfields; i++)
        if (!is_ours_to_say(head->fields[i].name))
            fields[n++] = head->fields[i];
    mem_free(&b->protocols);
    if (word->protocol.len != 0)
        b->protocols = mem_strdup_str(word->protocol);
    ws_entry_accept(b->entry, fields, n, word->protocol, STR_NONE);
    free(fields);
}

static void on_first_word(struct bridge *b, const struct bridge_word *word)
{
    struct ws_entry *e = b->entry;
    if (word->sock != NULL) {
        accept_entry(b, word);
        return;
    }
    bridge_free(b);
    if (word->reason == REASON_NONE)
        ws_entry_answer(e, word->head, word->body);
    else
        ws_entry_refuse(e, word->reason, word->detail);
}

static void on_begin(struct ws_entry *e)
{
    struct bridge *b = bridge_create(e);
    const char *detail;
    e->data = b;
    enum reason reason = bridge_dial(b, CLOCK_NEVER, on_first_word, &detail);
    if (reason == REASON_NONE)
        return;
    bridge_free(b);
    ws_entry_refuse(e, reason, detail);
}

static void on_gone(struct ws_entry *e)
{
    bridge_free(e->data);
}

/* ---- open ------------------------------------------------------------------------------------------------------- */

static const struct ws_mode mode;

void bridge_open_backend(struct bridge *b)
{
    assert(b->state == BRIDGE_READY);
    ws_open(&b->backend, b->loop, b->sock, &b->route->backend_end, &bridge_backend_events);
    b->backend.owner = b;
    b->sock = NULL;
    b->state = BRIDGE_OPEN;
    b->opened_us = b->loop->now_us;
}

static void on_open(struct ws_entry *e, const struct arrival *a, h2o_socket_t *sock)
{
    struct bridge *b = e->data;
    b->entry = NULL;
    b->session.count = &b->client.count;
    ws_session_start(&b->session, &mode, a, e->facts);
    e->facts = NULL;
    b->client_is_open = true;
    ws_open(&b->client, b->loop, sock, &b->route->client_end, &bridge_client_events);
    b->client.owner = b;
    bridge_open_backend(b);
}

const struct ws_entry_mode ws_bridge_entry = {.begin = on_begin, .open = on_open, .gone = on_gone};

/* ---- relay ------------------------------------------------------------------------------------------------------ */

/* What an end that is closing does not take any more is dropped: it would come too late. */
static void relay_piece(struct ws *from, struct ws *to, enum ws_opcode opcode, bool last, struct str bytes)
{
    (void)ws_send_piece(to, opcode, last, bytes);
    if (!ws_has_room(to))
        ws_hold(from);
}

static void on_client_piece(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes)
{
    struct bridge *b = ws->owner;
    (void)first;
    ws_session_count(&b->session);
    if (b->state == BRIDGE_OPEN)
        relay_piece(ws, &b->backend, opcode, last, bytes);
}

static void on_client_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    struct bridge *b = ws->owner;
    ws_session_count(&b->session);
    bridge_forward(b, opcode, bytes);
}

static void send_pushed(struct bridge *b)
{
    const struct bridge_parcel *p;
    while ((p = bridge_queue_first(&b->pushed)) != NULL) {
        (void)ws_send(&b->client, p->opcode, (struct str){(char *)p->bytes, p->len});
        bridge_queue_drop_first(&b->pushed);
    }
}

static void on_backend_piece(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes)
{
    struct bridge *b = ws->owner;
    (void)first;
    if (!b->client_is_open)
        return;
    relay_piece(ws, &b->client, opcode, last, bytes);
    b->in_message = !last;
    if (last)
        send_pushed(b);
    ws_session_count(&b->session);
}

static void on_backend_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    struct bridge *b = ws->owner;
    if (!b->client_is_open)
        return;
    (void)ws_send(&b->client, opcode, bytes);
    ws_session_count(&b->session);
    if (!ws_has_room(&b->client))
        ws_hold(ws);
}

static void on_client_room(struct ws *ws)
{
    struct bridge *b = ws->owner;
    if (b->state == BRIDGE_OPEN)
        ws_release(&b->backend);
}

static void on_backend_room(struct ws *ws)
{
    struct bridge *b = ws->owner;
    if (reconnects(b))
        bridge_pump(b);
    else if (b->client_is_open)
        ws_release(&b->client);
}

/* ---- close ------------------------------------------------------------------------------------------------------ */

void bridge_close_client(struct bridge *b, unsigned code, struct str text, enum reason reason, const char *why)
{
    if (ws_is_closing(&b->client))
        return;
    b->reason = reason;
    b->why = why;
    ws_close(&b->client, code, text);
}

static void close_backend(struct bridge *b, unsigned code, struct str text)
{
    bridge_flush(b);
    if (b->state == BRIDGE_OPEN)
        ws_close(&b->backend, code, text);
    else
        bridge_undial(b);
    bridge_reconnect_end(b);
}

static void on_client_close(struct ws *ws, unsigned code, struct str text)
{
    close_backend(ws->owner, code, text);
}

/* A server that goes away says so with one of these (RFC 6455 §7.4.1, IANA): no word of the app's to the client. */
static bool is_farewell(unsigned code)
{
    return code == WS_CODE_GOING_AWAY || code == WS_CODE_RESTART;
}

static void on_backend_close(struct ws *ws, unsigned code, struct str text)
{
    struct bridge *b = ws->owner;
    if (!b->client_is_open || (reconnects(b) && is_farewell(code)))
        return;
    b->by_backend = !ws_is_closing(&b->client);
    bridge_close_client(b, code, text, REASON_NONE, "the backend closed");
}

/* The backend broke a rule, and its end was closed for it. */
static void tell_fault(struct bridge *b, const struct ws_ending *ending)
{
    enum reason reason = ending->code == WS_CODE_TOO_LARGE ? REASON_ANSWER_TOO_LARGE : REASON_UPSTREAM_GARBAGE;
    bridge_close_client(b, reason_close_code(reason), str_of(reason_word(reason)), reason,
                        reason == REASON_ANSWER_TOO_LARGE ? "a message of the backend was over max_message"
                                                          : "the backend broke the rules of WebSocket");
}

static void on_backend_closed(struct ws *ws, const struct ws_ending *ending)
{
    struct bridge *b = ws->owner;
    enum reason lost = ws_berth_lost(&b->berth);
    bridge_unberth(b);
    if (!b->client_is_open)
        settle(b);
    else if (ws_is_closing(&b->client))
        return;
    else if (ending->by == WS_BY_US)
        tell_fault(b, ending);
    else if (reconnects(b))
        bridge_reconnect(b);
    else
        bridge_close_client(b, WS_CODE_RESTART, STR("backend lost"), lost, "the backend's connection was lost");
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void end_session(struct bridge *b, const struct ws_ending *ending)
{
    bool is_ours = ending->by == WS_BY_US;
    struct ws_session_end end = {.code = ending->code, .by = ending->by, .why = ending->why, .count = b->client.count};
    if (is_ours && b->why != NULL) {
        end.by_backend = b->by_backend;
        end.reason = b->reason;
        end.why = b->why;
    } else {
        end.reason = ws_session_fault(ending);
    }
    ws_session_end(&b->session, &end);
}

static void on_client_closed(struct ws *ws, const struct ws_ending *ending)
{
    struct bridge *b = ws->owner;
    b->client_is_open = false;
    end_session(b, ending);
    bridge_queue_clear(&b->pushed);
    close_backend(b, WS_CODE_GOING_AWAY, STR("the client is gone"));
    settle(b);
}

const struct ws_events bridge_client_events = {.on_message = on_client_message,
                                               .on_piece = on_client_piece,
                                               .on_room = on_client_room,
                                               .on_peer_close = on_client_close,
                                               .on_closed = on_client_closed};
const struct ws_events bridge_backend_events = {.on_message = on_backend_message,
                                                .on_piece = on_backend_piece,
                                                .on_room = on_backend_room,
                                                .on_peer_close = on_backend_close,
                                                .on_closed = on_backend_closed};

/* ---- what the operator's side wants ----------------------------------------------------------------------------- */

static struct bridge *bridge_of(struct ws_session *s)
{
    return (struct bridge *)s; /* `session` is the first member */
}

/* Between two messages of the backend's, never in one */
static enum ws_pushed push(struct ws_session *s, enum ws_opcode opcode, struct str bytes)
{
    struct bridge *b = bridge_of(s);
    if (ws_is_closing(&b->client))
        return WS_PUSH_CLOSING;
    if (!ws_has_room(&b->client) || b->pushed.bytes >= b->route->client_end.max_unsent)
        return WS_PUSH_FULL;
    if (b->in_message)
        bridge_queue_put(&b->pushed, opcode, bytes);
    else if (!ws_send(&b->client, opcode, bytes))
        return WS_PUSH_CLOSING;
    ws_session_count(&b->session);
    return WS_PUSHED;
}

/* At once: a backend that blocks within a message would keep its client here for as long as it likes. */
static void leave(struct ws_session *s, unsigned code, const char *reason)
{
    struct bridge *b = bridge_of(s);
    bridge_close_client(b, code, str_of(reason), REASON_NONE, "told to go");
    close_backend(b, WS_CODE_GOING_AWAY, str_of(reason));
}

static void cut(struct ws_session *s)
{
    struct bridge *b = bridge_of(s);
    ws_abort(&b->client);
    if (b->state == BRIDGE_OPEN)
        ws_abort(&b->backend);
}

static void move(struct ws_session *s, struct generation *generation, const struct route *route)
{
    struct bridge *b = (struct bridge *)s;
    struct generation *before = b->generation;
    b->generation = generation_ref(generation);
    b->route = b->berth.route = route;
    b->berth.generation = generation;
    b->client.options = &route->client_end;
    b->backend.options = &route->backend_end;
    generation_unref(before);
}

static const struct ws_mode mode = {.name = "bridge", .push = push, .leave = leave, .cut = cut, .move = move};
