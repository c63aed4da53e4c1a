/* SPDX-License-Identifier: MIT
 *
 * ws_tunnel: mode `tunnel`: the backend may upgrade the connection to whatever it was asked for, with the client's own
 * handshake and its own answer to it, and from then on bytes pass both ways (relay.c), which nobody here looks into.
 * Read from top to bottom: handshake, open, end. Loop thread.
 *
 * Object map: session (its first member) → tunnel → relay → both sockets; berth → executor. It holds its generation, and
 * with it route and executor.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/relay.h"
#include "front/route.h"
#include "front/ws_berth.h"
#include "front/ws_door.h"
#include "front/ws_session.h"

struct tunnel {
    struct ws_session session; /* first */
    struct relay relay;
    struct relay_options options;
    struct ws_berth berth;
    struct generation *generation;
    struct ws_entry *entry;  /* until the client's end is open */
    struct upgrade *upgrade; /* the backend is being asked; NULL: it has answered */
    h2o_socket_t *backend;   /* it has agreed, and the client's 101 is on its way; else NULL */
};

/* ---- made and gone ---------------------------------------------------------------------------------------------- */

static void tunnel_free(struct tunnel *t)
{
    if (t->upgrade != NULL)
        upgrade_cancel(t->upgrade);
    if (t->backend != NULL)
        h2o_socket_close(t->backend);
    ws_berth_leave(&t->berth);
    generation_unref(t->generation);
    free(t);
}

/* ---- handshake -------------------------------------------------------------------------------------------------- */

static void ask(struct tunnel *t);

static void on_answer(void *arg, const struct upgrade_result *result)
{
    struct tunnel *t = arg;
    struct ws_entry *e = t->entry;
    t->upgrade = NULL;
    if (result->outcome == UPGRADE_DONE) {
        t->backend = result->sock;
        ws_entry_accept(e, result->head->fields, result->head->nfields, STR_NONE, result->protocol);
        return;
    }
    enum reason reason = ws_berth_judge(&t->berth, result->outcome);
    if (result->outcome == UPGRADE_NO_CONNECTION && ws_berth_take_another(&t->berth)) {
        ask(t);
        return;
    }
    tunnel_free(t);
    if (reason == REASON_NONE)
        ws_entry_answer(e, result->head, result->body);
    else
        ws_entry_refuse(e, reason, result->detail);
}

static void ask(struct tunnel *t)
{
    struct ws_entry *e = t->entry;
    t->upgrade = ws_berth_ask(&t->berth, e->facts, NULL, 0, ws_entry_upgrade(e), CLOCK_NEVER, on_answer, t);
}

static void on_begin(struct ws_entry *e)
{
    struct tunnel *t = mem_zalloc(sizeof(*t));
    const struct ws_options *limits = &e->a.route->client_end;
    const char *detail;
    enum reason reason = ws_berth_take(&t->berth, &e->a.door->thread->loop, e->a.generation, e->a.route, &detail);
    if (reason != REASON_NONE) {
        free(t);
        ws_entry_refuse(e, reason, detail);
        return;
    }
    t->entry = e;
    t->generation = generation_ref(e->a.generation);
    t->options = (struct relay_options){limits->max_unsent, limits->idle_timeout_us};
    e->data = t;
    ask(t);
}

static void on_gone(struct ws_entry *e)
{
    tunnel_free(e->data);
}

/* ---- open ------------------------------------------------------------------------------------------------------- */

static const struct ws_mode mode;
static const struct relay_events events;

static void on_open(struct ws_entry *e, const struct arrival *a, h2o_socket_t *sock)
{
    struct tunnel *t = e->data;
    h2o_socket_t *backend = t->backend;
    t->entry = NULL;
    t->backend = NULL;
    t->session.count = &t->relay.count;
    ws_session_start(&t->session, &mode, a, e->facts);
    e->facts = NULL;
    relay_open(&t->relay, t->berth.loop, sock, backend, &t->options, &events);
}

const struct ws_entry_mode ws_tunnel_entry = {.begin = on_begin, .open = on_open, .gone = on_gone};

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static struct tunnel *tunnel_of_relay(struct relay *r)
{
    return (struct tunnel *)((char *)r - offsetof(struct tunnel, relay));
}

static void on_bytes(struct relay *r)
{
    ws_session_count(&tunnel_of_relay(r)->session);
}

static void on_end(struct relay *r, const struct relay_ending *ending)
{
    struct tunnel *t = tunnel_of_relay(r);
    struct ws_session_end end = {.by = WS_BY_US, .why = ending->why, .count = r->count};
    if (ending->by == RELAY_BY_CLIENT)
        end.by = ending->is_broken ? WS_BY_NOBODY : WS_BY_PEER;
    end.by_backend = ending->by == RELAY_BY_BACKEND;
    if (end.by_backend && ending->is_broken)
        end.reason = ws_berth_lost(&t->berth);
    if (ending->client_is_open)
        conn_linger(t->session.conn);
    ws_session_end(&t->session, &end);
    tunnel_free(t);
}

static const struct relay_events events = {.on_bytes = on_bytes, .on_end = on_end};

/* ---- what the operator's side wants ----------------------------------------------------------------------------- */

static struct tunnel *tunnel_of(struct ws_session *s)
{
    return (struct tunnel *)s; /* `session` is the first member */
}

static void leave(struct ws_session *s, unsigned code, const char *reason)
{
    (void)code, (void)reason; /* nothing can be said in a protocol that we do not know */
    relay_leave(&tunnel_of(s)->relay, "told to go");
}

static void cut(struct ws_session *s)
{
    relay_cut(&tunnel_of(s)->relay, "told to go");
}

static void move(struct ws_session *s, struct generation *generation, const struct route *route)
{
    struct tunnel *t = tunnel_of(s);
    struct generation *before = t->generation;
    t->generation = generation_ref(generation);
    t->berth.route = route;
    t->berth.generation = generation;
    generation_unref(before);
}

static const struct ws_mode mode = {.name = "tunnel", .leave = leave, .cut = cut, .move = move};
