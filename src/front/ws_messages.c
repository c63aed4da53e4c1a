/* SPDX-License-Identifier: MIT
 *
 * ws_messages: a connection of mode `messages`: what its client sends waits here until it may become a call, answers go
 * out in the order of the messages, and the socket is held while too much waits. See ws_messages.h.
 *
 * What wakes what waits: a message in `waiting` the end of a call in line (message_finish), or room for the client
 * (on_room); an answer in line the end of the one before it; a call in line its gate, its executor, or its time limits; a
 * connection that leaves the last answer in line; one whose socket is gone the last call's on_out.
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
#include "front/ws_door.h"
#include "front/ws_messages.h"

static void on_chores(struct loop_task *task);

static struct messages *messages_of_ws(struct ws *ws)
{
    return LIST_ENTRY(ws, struct messages, ws);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct messages *messages_create(const struct arrival *a, struct ws_facts *facts)
{
    struct messages *c = mem_zalloc(sizeof(*c));
    c->route = a->route;
    c->conf = &a->route->conf->websocket;
    c->generation = generation_ref(a->generation);
    c->facts = ws_facts_ref(facts);
    c->chores.run = on_chores;
    c->events_left = MESSAGES_EVENTS_A_TURN;
    list_init(&c->chores.link);
    list_init(&c->waiting);
    list_init(&c->line);
    list_init(&c->ending);
    if (c->conf->format == CONF_WEBSOCKET_EVENTS)
        c->events = messages_events_create(c);
    return c;
}

static void messages_free(struct messages *c)
{
    if (c->events != NULL)
        messages_events_free(c->events);
    ws_facts_unref(c->facts);
    generation_unref(c->generation);
    free(c);
}

static bool is_settled(const struct messages *c)
{
    return c->state == MESSAGES_PARTED && !c->chores_posted && list_empty(&c->line) && list_empty(&c->ending);
}

void messages_settle(struct messages *c)
{
    if (!is_settled(c))
        return;
    if (c->events != NULL)
        messages_events_say_last(c);
    if (is_settled(c))
        messages_free(c);
}

bool messages_is_native(const struct messages *c)
{
    return c->route->backend->conf->what == CONF_WHAT_MODULE;
}

bool messages_is_talking(const struct messages *c)
{
    return c->state == MESSAGES_OPEN && !c->is_over && !ws_is_closing(&c->ws);
}

static void drop_waiting(struct messages *c)
{
    for (struct list *node; (node = list_pop(&c->waiting)) != NULL;)
        inbound_free(LIST_ENTRY(node, struct inbound, link));
    c->waiting_bytes = 0;
}

/* ---- chores ----------------------------------------------------------------------------------------------------- */

void messages_schedule(struct messages *c)
{
    if (c->chores_posted)
        return;
    c->chores_posted = true;
    loop_post(&c->super.door->thread->loop, &c->chores);
}

static struct message *first_idle(struct messages *c)
{
    for (struct list *node = c->line.next; node != &c->line; node = node->next) {
        struct message *m = LIST_ENTRY(node, struct message, link);
        if (message_is_idle(m))
            return m;
    }
    return NULL;
}

/* Each may be gone when it has been told. */
static void abandon_ending(struct messages *c)
{
    struct list batch, *node;
    list_init(&batch);
    while ((node = list_pop(&c->ending)) != NULL)
        list_append(&batch, node);
    while ((node = list_pop(&batch)) != NULL) {
        list_append(&c->ending, node);
        message_abandon(LIST_ENTRY(node, struct message, link));
    }
}

/* Nobody hears of them any more. */
static void drop_all(struct messages *c)
{
    drop_waiting(c);
    for (struct list *node; (node = list_first(&c->line)) != NULL;)
        message_finish(LIST_ENTRY(node, struct message, link));
}

/* The connection counts as waiting for its chores until they are done, so nothing that they end can free it. */
static void on_chores(struct loop_task *task)
{
    struct messages *c = LIST_ENTRY(task, struct messages, chores);
    if (c->is_over)
        drop_all(c);
    for (struct message *m; (m = first_idle(c)) != NULL;)
        message_abandon(m);
    abandon_ending(c);
    c->chores_posted = false;
    c->events_left = MESSAGES_EVENTS_A_TURN;
    messages_pump(c);
    messages_settle(c);
}

/* ---- answers out, calls in -------------------------------------------------------------------------------------- */

/* The answers whose turn it is */
static void advance(struct messages *c)
{
    for (struct list *node; (node = list_first(&c->line)) != NULL && messages_is_talking(c) && ws_has_room(&c->ws);)
        if (!message_deliver(LIST_ENTRY(node, struct message, link)))
            return;
}

/* A client that takes nothing makes no calls, so that no answers pile up for it. */
static bool may_call(const struct messages *c)
{
    return messages_is_talking(c) && c->leave_code == 0 && c->in_line < c->conf->in_flight && ws_has_room(&c->ws);
}

static struct inbound *next_waiting(struct messages *c)
{
    struct list *node = list_pop(&c->waiting);
    if (node == NULL)
        return NULL;
    struct inbound *in = LIST_ENTRY(node, struct inbound, link);
    c->waiting_bytes -= in->size + sizeof(*in);
    return in;
}

static void call_next(struct messages *c)
{
    if (c->events != NULL)
        messages_events_stir(c);
    message_start(c, MESSAGE_DATA, next_waiting(c));
    advance(c); /* it may have failed at once */
}

static void hold_or_release(struct messages *c)
{
    if (c->leave_code != 0 || c->waiting_bytes >= (size_t)c->conf->read_ahead)
        ws_hold(&c->ws);
    else
        ws_release(&c->ws);
}

void messages_pump(struct messages *c)
{
    if (!messages_is_talking(c))
        return;
    advance(c);
    while (!list_empty(&c->waiting) && may_call(c))
        call_next(c);
    ws_session_count(&c->super);
    if (!messages_is_talking(c))
        return;
    hold_or_release(c);
    bool is_working = !list_empty(&c->line) || !list_empty(&c->waiting);
    ws_set_working(&c->ws, is_working);
    if (is_working)
        return;
    if (c->leave_code != 0)
        messages_close(c, c->leave_code, str_of(c->super.leave_reason), REASON_NONE);
    else if (c->events != NULL)
        messages_events_rest(c);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void be_over(struct messages *c)
{
    c->is_over = true;
    messages_schedule(c);
}

void messages_close(struct messages *c, unsigned code, struct str words, enum reason reason)
{
    if (!messages_is_talking(c))
        return;
    c->reason = reason;
    ws_close(&c->ws, code, words);
    be_over(c);
}

void messages_break(struct messages *c)
{
    if (!messages_is_talking(c))
        return;
    ws_abort(&c->ws);
    be_over(c);
}

void messages_part(struct messages *c)
{
    c->state = MESSAGES_PARTED;
    if (c->events != NULL)
        messages_events_part(c);
    be_over(c);
}

/* what a close code of the connection's own says, where nobody else gave a reason */
static enum reason reason_of(const struct messages *c, const struct ws_ending *ending)
{
    return c->reason != REASON_NONE || c->by_backend ? c->reason : ws_session_fault(ending);
}

/* ---- the socket's word ------------------------------------------------------------------------------------------ */

static struct inbound *take(const struct messages *c, enum ws_opcode opcode, struct str bytes)
{
    struct inbound *in = inbound_create(bytes.len, c->super.door->thread->loop.now_us);
    in->opcode = opcode;
    if (c->events != NULL && !messages_is_native(c))
        ws_event_put(&in->body, opcode == WS_TEXT ? WS_EVENT_TEXT : WS_EVENT_BINARY, bytes);
    else
        buf_append(&in->body, bytes.base, bytes.len);
    return in;
}

static void on_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    struct messages *c = messages_of_ws(ws);
    if (!messages_is_talking(c) || c->leave_code != 0)
        return;
    struct inbound *in = take(c, opcode, bytes);
    list_append(&c->waiting, &in->link);
    c->waiting_bytes += in->size + sizeof(*in);
    messages_pump(c);
}

static void on_room(struct ws *ws)
{
    messages_pump(messages_of_ws(ws));
}

/* Nothing can be said any more, so nobody needs what still runs. */
static void on_peer_close(struct ws *ws, unsigned code, struct str reason)
{
    (void)code;
    (void)reason;
    be_over(messages_of_ws(ws));
}

static void on_closed(struct ws *ws, const struct ws_ending *ending)
{
    struct messages *c = messages_of_ws(ws);
    struct ws_session_end end = {.code = ending->code,
                                 .by = ending->by,
                                 .by_backend = c->by_backend,
                                 .reason = reason_of(c, ending),
                                 .why = c->by_backend ? "the backend closed" : ending->why,
                                 .count = ws->count};
    drop_all(c);
    if (c->events != NULL)
        messages_events_note_end(c, ending->code, ending->reason);
    ws_session_end(&c->super, &end);
    messages_part(c);
}

static const struct ws_events socket_events = {
    .on_message = on_message, .on_room = on_room, .on_peer_close = on_peer_close, .on_closed = on_closed};

/* ---- the mode --------------------------------------------------------------------------------------------------- */

static struct messages *messages_of(struct ws_session *s)
{
    return (struct messages *)s; /* `super` is the first member */
}

static enum ws_pushed push(struct ws_session *s, enum ws_opcode opcode, struct str bytes)
{
    struct messages *c = messages_of(s);
    if (!messages_is_talking(c))
        return WS_PUSH_CLOSING;
    if (!ws_has_room(&c->ws))
        return WS_PUSH_FULL;
    return ws_send(&c->ws, opcode, bytes) ? WS_PUSHED : WS_PUSH_CLOSING;
}

/* What runs is answered; what waits is not begun: to its client, it is as if it had not arrived. */
static void leave(struct ws_session *s, unsigned code, const char *reason)
{
    struct messages *c = messages_of(s);
    if (c->leave_code != 0 || !messages_is_talking(c))
        return;
    c->leave_code = code;
    (void)reason; /* super.leave_reason */
    drop_waiting(c);
    messages_pump(c);
}

static void cut(struct ws_session *s)
{
    ws_abort(&messages_of(s)->ws);
}

static void move(struct ws_session *s, struct generation *generation, const struct route *route)
{
    struct messages *c = (struct messages *)s;
    struct generation *before = c->generation;
    c->generation = generation_ref(generation);
    c->route = route;
    c->conf = &route->conf->websocket;
    c->ws.options = &route->client_end;
    generation_unref(before);
}

static const struct ws_mode mode = {.name = "messages", .push = push, .leave = leave, .cut = cut, .move = move};

/* ---- the way in ------------------------------------------------------------------------------------------------- */

static void begin(struct ws_entry *e)
{
    struct ws_handshake h;
    if (e->a.route->conf->websocket.format == CONF_WEBSOCKET_EVENTS) {
        messages_events_begin(e);
        return;
    }
    ws_entry_handshake(e, &h);
    ws_entry_accept(e, NULL, 0, h.protocol, STR_NONE);
}

static void open(struct ws_entry *e, const struct arrival *a, h2o_socket_t *sock)
{
    struct messages *c = e->data != NULL ? e->data : messages_create(a, e->facts);
    struct ws_facts *facts = e->facts;
    e->facts = NULL;
    c->state = MESSAGES_OPEN;
    c->super.count = &c->ws.count;
    ws_session_start(&c->super, &mode, a, facts);
    ws_open(&c->ws, &a->door->thread->loop, sock, &c->route->client_end, &socket_events);
    messages_pump(c);
}

static void gone(struct ws_entry *e)
{
    if (e->data != NULL)
        messages_events_gone(e->data);
}

const struct ws_entry_mode ws_messages_entry = {.begin = begin, .open = open, .gone = gone};
