/* SPDX-License-Identifier: MIT
 *
 * ws_message_call: a message's call, from the moment when it may be made to the moment when its place is back: its
 * request is put together from the handshake's and the message, it goes through gate and executor (dispatch.c), and it is
 * counted and logged when its client has heard all. See ws_messages.h.
 */
#include "config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/path.h"
#include "front/route.h"
#include "front/ws_log.h"
#include "front/ws_messages.h"

/* messages kept for reuse by a thread, and what each may keep of its buffers */
#define IDLE_MAX   256
#define ANSWER_MAX (16 * 1024)
/* Content-Type and Connection-Id */
#define OWN_FIELDS 2

/* ---- what came from the client ---------------------------------------------------------------------------------- */

struct inbound *inbound_create(size_t size, int64_t arrived_us)
{
    struct inbound *in = mem_zalloc(sizeof(*in));
    list_init(&in->link);
    in->size = size;
    in->arrived_us = arrived_us;
    return in;
}

void inbound_free(struct inbound *in)
{
    if (in == NULL)
        return;
    buf_free(&in->body);
    free(in);
}

/* ---- a message: made, and recycled ------------------------------------------------------------------------------ */

static const struct dispatch_events dispatch_events;

static struct message *take_idle(struct door *door)
{
    struct list *node = list_pop(&door->idle_messages);
    if (node == NULL)
        return mem_zalloc(sizeof(struct message));
    door->nidle_messages--;
    return LIST_ENTRY(node, struct message, link);
}

/* everything but what is kept from use to use */
static void reset(struct message *m, struct messages *c, enum message_kind kind, struct inbound *in)
{
    dispatch_init(&m->d, &c->super.door->thread->loop, c->route->backend, &dispatch_events);
    m->d.call.sink = &message_sink;
    m->connection = c;
    m->kind = kind;
    m->in = in;
    m->stage = ANSWER_AWAITED;
    m->opcode = in == NULL ? WS_TEXT : in->opcode;
    m->is_complete = m->is_stalled = m->is_finished = m->may_end = m->is_left = false;
    m->reason = REASON_NONE;
    m->status = 0;
    m->bytes_out = 0;
    m->played = 0;
    list_init(&m->link);
    ws_event_decoder_init(&m->decoder, (size_t)c->conf->max_message);
}

static void recycle(struct message *m)
{
    struct door *door = m->connection->super.door;
    list_unlink(&m->link);
    inbound_free(m->in);
    m->in = NULL;
    mem_free(&m->meta);
    ws_event_decoder_free(&m->decoder);
    call_cleanup(&m->d.call);
    if (m->answer.capacity > ANSWER_MAX)
        buf_free(&m->answer);
    buf_clear(&m->answer);
    if (door->nidle_messages < IDLE_MAX) {
        list_append(&door->idle_messages, &m->link);
        door->nidle_messages++;
        return;
    }
    buf_free(&m->answer);
    free(m->fields);
    free(m);
}

/* ---- its request ------------------------------------------------------------------------------------------------ */

static void put_id(struct message *m, uint64_t number)
{
    char digits[20];
    size_t n = sizeof(digits), at = WS_ID_LENGTH;
    ws_session_id(&m->connection->super, m->id);
    m->id[at++] = '-';
    do
        digits[--n] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(m->id + at, digits + n, sizeof(digits) - n);
    at += sizeof(digits) - n;
    m->d.call.request.id = (struct str){m->id, at};
    m->d.call.request.connection = (struct str){m->id, WS_ID_LENGTH};
}

/* the form of fields.c */
static struct str put_started(struct message *m)
{
    uint64_t us = (uint64_t)door_wall_us(m->connection->super.door, m->d.call.arrived_us), n = us / 1000000;
    char *at = m->started;
    memcpy(at, "t=", 2);
    for (unsigned i = 10; i-- > 0; n /= 10)
        at[2 + i] = (char)('0' + n % 10);
    at[12] = '.';
    n = us % 1000000;
    for (unsigned i = 6; i-- > 0; n /= 10)
        at[13 + i] = (char)('0' + n % 10);
    return (struct str){at, 19};
}

/* A route may say what its messages are: request_headers that set Content-Type. */
static bool has_own_type(const struct route *route)
{
    for (size_t i = 0; i < route->request_rules.nadded; i++)
        if (str_eq(route->request_rules.added[i].name, STR("content-type")))
            return true;
    return false;
}

static struct str type_of(const struct message *m)
{
    if (m->connection->events != NULL && !messages_is_native(m->connection))
        return STR(WS_EVENT_TYPE);
    return m->opcode == WS_TEXT ? STR("text/plain; charset=utf-8") : STR("application/octet-stream");
}

/* What the handshake said of itself is not true of a message; and an answer that was compressed for the handshake's
 * client would be of no use to it. */
static bool is_of_handshake(struct str name, bool own_type, bool events)
{
    switch (name.len) {
    case 6:
        return events && str_eq(name, STR("accept"));
    case 12:
        return !own_type && str_eq(name, STR("content-type"));
    case 15:
        return str_eq(name, STR("accept-encoding"));
    case 16:
        return str_eq(name, STR("content-encoding"));
    default:
        return false;
    }
}

static void put_fields(struct message *m)
{
    const struct messages *c = m->connection;
    const struct ws_facts *facts = c->facts;
    bool events = c->events != NULL && !messages_is_native(c), own_type = !events && has_own_type(c->route);
    size_t most = facts->nfields + OWN_FIELDS + (c->events == NULL ? 0 : messages_events_count_max(c)), n = 0;
    if (m->fields_capacity < most) {
        m->fields = mem_realloc(m->fields, most * sizeof(m->fields[0]));
        m->fields_capacity = most;
    }
    for (size_t i = 0; i < facts->nfields; i++) {
        struct call_field f = facts->fields[i];
        if (is_of_handshake(f.name, own_type, events))
            continue;
        if (f.name.len == 12 && str_eq(f.name, STR("x-request-id")))
            f.value = m->d.call.request.id;
        else if (f.name.len == 15 && str_eq(f.name, STR("x-request-start")))
            f.value = put_started(m);
        m->fields[n++] = f;
    }
    if (!own_type)
        m->fields[n++] = (struct call_field){STR("content-type"), type_of(m)};
    m->fields[n++] = (struct call_field){STR("connection-id"), m->d.call.request.connection};
    if (c->events != NULL)
        n += messages_events_put(m, m->fields + n);
    m->d.call.request.fields = m->fields;
    m->d.call.request.nfields = n;
}

static void put_request(struct message *m)
{
    static const enum call_kind kinds[] = {[MESSAGE_DATA] = CALL_WS_MESSAGE,
                                           [MESSAGE_OPEN] = CALL_WS_OPEN,
                                           [MESSAGE_POLL] = CALL_WS_MESSAGE,
                                           [MESSAGE_LAST] = CALL_WS_CLOSE};
    const struct messages *c = m->connection;
    struct call_request *r = &m->d.call.request;
    r->kind = kinds[m->kind];
    if (r->kind == CALL_WS_MESSAGE)
        r->ws_opcode = m->opcode;
    r->method = STR("POST");
    r->path = path_strip(c->facts->path, c->route->strip_prefix);
    r->query = c->facts->query;
    r->scheme = c->facts->scheme;
    r->authority = c->facts->authority;
    r->peer = c->facts->peer;
    if (m->in != NULL)
        r->body = buf_str(&m->in->body);
    put_fields(m);
}

/* ---- its way ---------------------------------------------------------------------------------------------------- */

static struct message *message_of(struct dispatch *d)
{
    return (struct message *)d; /* `d` is the first member */
}

static void run(struct message *m)
{
    put_request(m);
    dispatch_run(&m->d, m->connection->route->timeout_us);
}

/* A call fails without the executor's help. Of OPEN it is told at once, of messages in their turn. */
static void fail(struct message *m, enum reason reason)
{
    message_fail(m, reason, reason_status(reason), STR_NONE);
    if (m->kind == MESSAGE_OPEN)
        messages_events_opened(m);
    else if (m->kind == MESSAGE_LAST)
        message_finish(m);
}

void message_start(struct messages *c, enum message_kind kind, struct inbound *in)
{
    struct message *m = take_idle(c->super.door);
    int64_t queue_timeout_us = c->route->queue_timeout_us, now_us = clock_us();
    reset(m, c, kind, in);
    list_append(&c->line, &m->link);
    c->in_line++;
    put_id(m, kind == MESSAGE_OPEN ? 0 : ++c->calls);
    m->d.call.arrived_us = in == NULL ? now_us : in->arrived_us;
    m->d.call.received_us = now_us;
    switch (dispatch_enter(&m->d, queue_timeout_us == CLOCK_NEVER ? CLOCK_NEVER : now_us + queue_timeout_us)) {
    case DISPATCH_ENTERS:
        run(m);
        break;
    case DISPATCH_WAITS:
        break;
    case DISPATCH_FULL:
        fail(m, REASON_QUEUE_FULL);
        break;
    case DISPATCH_DOWN:
        fail(m, REASON_BACKEND_DOWN);
        break;
    }
}

static void on_granted(struct dispatch *d)
{
    run(message_of(d));
}

static void on_timeout(struct dispatch *d, enum reason reason)
{
    struct message *m = message_of(d);
    struct messages *c = m->connection;
    if (m->is_complete)
        return; /* the answer was whole before the work ended */
    fail(m, reason);
    messages_pump(c);
    messages_settle(c);
}

/* Who has not heard all still needs the answer that is here. */
static void on_out(struct dispatch *d)
{
    struct message *m = message_of(d);
    struct messages *c = m->connection;
    if (m->is_finished)
        recycle(m);
    messages_pump(c);
    messages_settle(c);
}

static const struct dispatch_events dispatch_events = {on_granted, on_timeout, on_out};

/* ---- its end ---------------------------------------------------------------------------------------------------- */

/* What is no message of the client's is only counted; a handshake that is refused has its request's line for that. */
static void note_outcome(const struct message *m)
{
    const struct messages *c = m->connection;
    if (m->kind == MESSAGE_DATA) {
        struct ws_log_call line = {.id = m->d.call.request.id,
                                   .opcode = m->in->opcode,
                                   .bytes_in = m->in->size,
                                   .bytes_out = m->bytes_out,
                                   .status = m->status,
                                   .reason = m->reason,
                                   .call = &m->d.call};
        ws_log_message(&c->super, &line);
    } else if (m->kind != MESSAGE_OPEN || c->state == MESSAGES_OPEN) {
        atomic_fetch_add_explicit(&m->d.backend->outcomes[m->reason], 1, memory_order_relaxed);
    }
}

void message_finish(struct message *m)
{
    struct messages *c = m->connection;
    if (!m->is_complete)
        m->reason = REASON_ABANDONED;
    note_outcome(m);
    m->is_complete = m->is_finished = true;
    list_unlink(&m->link);
    c->in_line--;
    list_append(&c->ending, &m->link);
    if (m->d.state == DISPATCH_OUT)
        recycle(m);
    else if (!m->d.has_ended)
        messages_schedule(c);
}

static bool may_go_on(const struct message *m)
{
    return m->may_end && m->connection->state == MESSAGES_OPEN;
}

bool message_is_idle(const struct message *m)
{
    return m->is_complete && !m->is_left && !may_go_on(m) && m->d.state == DISPATCH_RUNNING && !m->d.has_ended;
}

void message_abandon(struct message *m)
{
    bool comes_out = m->d.state == DISPATCH_RUNNING; /* on_out, perhaps at once */
    if (may_go_on(m))
        return;
    m->is_left = true;
    dispatch_leave(&m->d);
    if (!comes_out && m->d.state == DISPATCH_OUT)
        recycle(m);
}
