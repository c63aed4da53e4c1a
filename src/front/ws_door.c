/* SPDX-License-Identifier: MIT
 *
 * ws_door: see ws_door.h. Two things end an entry: a word of the mode (accept, refuse, answer), or the request's going;
 * once the 101 is on its way, only the library's word that it is out, or not.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/lexis.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/ws_counters.h"
#include "front/ws_door.h"

static const struct ws_entry_mode *const modes[CONF_WEBSOCKET_MODE_COUNT] = {
    [CONF_WEBSOCKET_NONE] = NULL,
    [CONF_WEBSOCKET_MESSAGES] = &ws_messages_entry,
    [CONF_WEBSOCKET_BRIDGE] = &ws_bridge_entry,
    [CONF_WEBSOCKET_TUNNEL] = &ws_tunnel_entry,
};

/* ---- an entry: made, and gone ----------------------------------------------------------------------------------- */

static void entry_free(struct ws_entry *e)
{
    if (e->facts != NULL)
        ws_facts_unref(e->facts);
    generation_unref(e->a.generation);
    free(e);
}

static void give_up(struct ws_entry *e)
{
    ws_session_give_up(e->a.route);
    entry_free(e);
}

/* The library lets the request go: the client has left, or the 101 is out. */
static void on_request_gone(struct exchange *ex)
{
    struct ws_entry *e = ex->on_gone_arg;
    e->exchange = NULL;
    e->a.req = NULL;
    e->a.path = e->a.query = e->a.id = STR_NONE;
    if (e->is_upgrading)
        return;
    e->mode->gone(e);
    give_up(e);
}

/* From here on the mode has its say. */
static void enter(struct arrival *a)
{
    struct ws_entry *e = mem_zalloc(sizeof(*e));
    struct exchange *ex = exchange_open(a);
    enum conf_websocket_mode mode = a->route->conf->websocket.mode;
    e->mode = modes[mode];
    e->exchange = ex;
    e->facts = ws_facts_create(&ex->a, mode == CONF_WEBSOCKET_TUNNEL);
    e->a = ex->a;
    generation_ref(e->a.generation);
    ex->on_gone = on_request_gone;
    ex->on_gone_arg = e;
    exchange_expect_departure(ex);
    e->mode->begin(e);
}

/* ---- arrival ---------------------------------------------------------------------------------------------------- */

static void refuse(struct arrival *a, enum reason reason, const char *detail)
{
    ws_count(&a->route->websockets->refused, 1);
    exchange_refuse(a, &(struct problem){.reason = reason, .detail = detail, .backend = a->route->backend->conf->name});
}

static void admit(struct arrival *a)
{
    if (a->door->thread->draining)
        refuse(a, REASON_DRAINING, NULL);
    else if (modes[a->route->conf->websocket.mode] == NULL)
        refuse(a, REASON_INTERNAL, "this mode is not served");
    else if (!ws_session_admit(a->route))
        refuse(a, REASON_WEBSOCKETS_FULL, "websocket.max_connections of this route are open");
    else
        enter(a);
}

static void check_handshake(struct arrival *a)
{
    const h2o_req_t *req = a->req;
    struct ws_handshake h;
    char detail[256];
    enum reason reason =
        req->entity.len != 0
            ? REASON_BAD_REQUEST
            : ws_handshake_check(&h, &a->route->conf->websocket, str_of_iovec(req->input.method), req->version,
                                 fields_of(req), req->headers.size, detail, sizeof(detail));
    if (reason == REASON_NONE)
        admit(a);
    else
        refuse(a, reason, req->entity.len != 0 ? "a WebSocket handshake has no body" : detail);
}

/* the protocol's name, with a version or without */
static bool is_of(struct str protocol, struct str name)
{
    return protocol.len >= name.len && strncasecmp(protocol.base, name.base, name.len) == 0 &&
           (protocol.len == name.len || protocol.base[name.len] == '/');
}

/* These carry HTTP: requests inside of such a tunnel would pass by every rule of the routes. */
static bool carries_http(struct str protocol)
{
    return is_of(protocol, STR("h2c")) || is_of(protocol, STR("http")) || is_of(protocol, STR("tls"));
}

/* A tunnel carries any other protocol, and leaves the handshake to the backend. An upgrade that we do not take makes no
 * difference to a request (RFC 9110 §7.8). */
static bool asks_for_tunnel(const h2o_req_t *req)
{
    struct str rest = str_of_iovec(req->upgrade), protocol;
    if (req->version != 0x101 || req->entity.len != 0 || !str_eq(str_of_iovec(req->input.method), STR("GET")))
        return false;
    bool asks = false;
    for (; lexis_list_next(&rest, &protocol); asks = true)
        if (carries_http(protocol))
            return false;
    return asks;
}

static void check_tunnel(struct arrival *a)
{
    char detail[256];
    if (ws_handshake_allows_origin(&a->route->conf->websocket, fields_of(a->req), a->req->headers.size, detail,
                                   sizeof(detail)))
        admit(a);
    else
        refuse(a, REASON_ORIGIN, detail);
}

bool ws_door_takes(struct arrival *a)
{
    enum conf_websocket_mode mode = a->route->conf->websocket.mode;
    if (mode == CONF_WEBSOCKET_TUNNEL) {
        if (!asks_for_tunnel(a->req))
            return false;
        check_tunnel(a);
        return true;
    }
    if (ws_handshake_is_asked(str_of_iovec(a->req->upgrade))) {
        check_handshake(a);
        return true;
    }
    if (mode == CONF_WEBSOCKET_BRIDGE)
        return false;
    refuse(a, REASON_UPGRADE_REQUIRED, "only WebSocket handshakes are served here");
    return true;
}

struct str ws_entry_upgrade(const struct ws_entry *e)
{
    return str_of_iovec(e->exchange->a.req->upgrade);
}

/* Once more what check_handshake found; the entry is too long-lived for it to be kept. */
void ws_entry_handshake(const struct ws_entry *e, struct ws_handshake *h)
{
    const h2o_req_t *req = e->exchange->a.req;
    char detail[256];
    enum reason reason = ws_handshake_check(h, &e->a.route->conf->websocket, str_of_iovec(req->input.method),
                                            req->version, fields_of(req), req->headers.size, detail, sizeof(detail));
    assert(reason == REASON_NONE);
    (void)reason;
}

/* ---- the mode's word -------------------------------------------------------------------------------------------- */

/* The request is answered without an upgrade: what comes of its going is nobody's business any more. */
static struct exchange *part(struct ws_entry *e)
{
    struct exchange *ex = e->exchange;
    assert(ex != NULL && !e->is_upgrading);
    ex->on_gone = NULL;
    ws_count(&e->a.route->websockets->refused, 1);
    give_up(e);
    return ex;
}

void ws_entry_refuse(struct ws_entry *e, enum reason reason, const char *detail)
{
    exchange_fail(part(e), reason, detail);
}

void ws_entry_answer(struct ws_entry *e, const struct call_response *head, struct str body)
{
    struct exchange *ex = part(e);
    const struct fields_rules *rules = &ex->a.route->response_rules;
    struct call_response whole = *head;
    whole.content_length = (int64_t)body.len;
    departure_forget(&ex->departure, ex->a.door);
    reply_head(&ex->reply, &whole, rules);
    (void)reply_body(&ex->reply, body);
    reply_complete(&ex->reply);
}

/* on_request_gone has run */
static void on_upgraded(void *arg, h2o_socket_t *sock, size_t request_bytes)
{
    struct ws_entry *e = arg;
    assert(e->exchange == NULL);
    if (sock == NULL) {
        e->mode->gone(e);
        give_up(e);
        return;
    }
    h2o_buffer_consume(&sock->input, request_bytes);
    e->mode->open(e, &e->a, sock);
    entry_free(e);
}

static void put_field(h2o_req_t *req, struct str name, struct str value)
{
    h2o_header_t field = reply_header(&req->pool, name, value);
    h2o_vector_reserve(&req->pool, &req->res.headers, req->res.headers.size + 1);
    req->res.headers.entries[req->res.headers.size++] = field;
}

/* RFC 6455 §4.2.2; the fields are written out before h2o_http1_upgrade returns */
void ws_entry_accept(struct ws_entry *e, const struct call_field *fields, size_t nfields, struct str protocol,
                     struct str upgrade)
{
    struct exchange *ex = e->exchange;
    h2o_req_t *req = ex->a.req;
    struct ws_handshake h;
    char accept[WS_ACCEPT_LENGTH];
    departure_forget(&ex->departure, ex->a.door);
    departure_release(ex->a.conn);
    req->res.status = 101;
    req->res.reason = "Switching Protocols";
    put_field(req, STR("upgrade"), upgrade.base == NULL ? STR("websocket") : upgrade);
    if (upgrade.base == NULL) {
        ws_entry_handshake(e, &h);
        ws_handshake_accept(h.key, accept);
        put_field(req, STR("sec-websocket-accept"), (struct str){accept, sizeof(accept)});
    }
    if (protocol.len != 0)
        put_field(req, STR("sec-websocket-protocol"), protocol);
    struct call_response head = {.status = 101, .fields = fields, .nfields = nfields, .content_length = -1};
    reply_fields(req, &head, &ex->a.route->response_rules);
    e->is_upgrading = ex->is_upgraded = ex->is_answered = true;
    h2o_http1_upgrade(req, NULL, 0, on_upgraded, e);
}
