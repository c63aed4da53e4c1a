/* SPDX-License-Identifier: MIT
 *
 * ws_bridge_dial: how the backend's end of a bridge comes to be: a berth, a connection, and a WebSocket handshake of our
 * own (RFC 6455 §4.1) that tells the backend what the client's told us. We offer no extension, because frames are taken
 * apart and put together here, and we check the answer as a browser would. Loop thread.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lexis.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/generation.h"
#include "front/path.h"
#include "front/route.h"
#include "front/ws_bridge_private.h"
#include "gate/gate.h"
#include "upstream/upgrade.h"

/* bytes of chunk extensions and trailers in a refusal */
#define CHUNK_OVERHEAD_MAX 8192

/* ---- the berth -------------------------------------------------------------------------------------------------- */

void bridge_unberth(struct bridge *b)
{
    assert(b->state != BRIDGE_ABSENT);
    b->state = BRIDGE_ABSENT;
    b->berth.executor->ops->unberth(&b->berth);
}

void bridge_undial(struct bridge *b)
{
    if (b->state == BRIDGE_DIALING) {
        upgrade_cancel(b->upgrade);
        b->upgrade = NULL;
    } else if (b->state == BRIDGE_READY) {
        h2o_socket_close(b->sock);
        b->sock = NULL;
    } else {
        return;
    }
    bridge_unberth(b);
}

static bool take_berth(struct bridge *b)
{
    const struct backend *backend = b->route->backend;
    struct executor *ex = backend->executor;
    return ex->ops->berth != NULL && ex->ops->berth(ex, backend->conf->bridges, &b->berth);
}

/* Nobody is there, or everybody has as many as `bridges` says. */
static enum reason why_no_berth(const struct bridge *b)
{
    struct backend *backend = b->route->backend;
    bool is_down = atomic_load_explicit(&backend->is_down, memory_order_relaxed) ||
                   gate_stats(backend->gate, b->loop->now_us).limit == 0;
    return is_down ? REASON_BACKEND_DOWN : REASON_WEBSOCKETS_FULL;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* The field's only occurrence; base NULL: none. false: there are several. */
static bool find_single(const struct call_response *head, struct str name, struct str *value_r)
{
    *value_r = STR_NONE;
    for (size_t i = 0; i < head->nfields; i++) {
        if (!str_eq(head->fields[i].name, name))
            continue;
        if (value_r->base != NULL)
            return false;
        *value_r = head->fields[i].value;
    }
    return true;
}

static bool was_offered(const struct bridge *b, struct str protocol)
{
    struct str rest = str_of(b->protocols), offered;
    while (lexis_list_next(&rest, &offered))
        if (str_eq(offered, protocol))
            return true;
    return false;
}

/* Is this 101 an answer to our handshake? RFC 6455 §4.1, what a client checks. NULL: yes; else what is wrong. */
static const char *fault_of(const struct bridge *b, const struct call_response *head, struct str *protocol_r)
{
    char expected[WS_ACCEPT_LENGTH];
    struct str accept, extensions;
    ws_handshake_accept((struct str){(char *)b->key, sizeof(b->key)}, expected);
    if (!find_single(head, STR("sec-websocket-accept"), &accept) ||
        !str_eq(accept, (struct str){expected, sizeof(expected)}))
        return "its Sec-WebSocket-Accept does not fit our key";
    if (!find_single(head, STR("sec-websocket-extensions"), &extensions) || extensions.len != 0)
        return "it chose an extension, and none was offered";
    if (!find_single(head, STR("sec-websocket-protocol"), protocol_r))
        return "it chose several subprotocols";
    if (protocol_r->base != NULL && !was_offered(b, *protocol_r))
        return "it chose a subprotocol that was not offered";
    return NULL;
}

static enum reason reason_of(const struct bridge *b, enum upgrade_outcome outcome)
{
    switch (outcome) {
    case UPGRADE_NO_CONNECTION:
        return REASON_UPSTREAM_REFUSED;
    case UPGRADE_TIMEOUT:
        return REASON_DEADLINE;
    case UPGRADE_RESET:
        return b->berth.worker_pid != 0 ? REASON_WORKER_LOST : REASON_UPSTREAM_RESET;
    case UPGRADE_GARBAGE:
        return REASON_UPSTREAM_GARBAGE;
    case UPGRADE_DONE:
    case UPGRADE_REFUSED:
        break;
    }
    return REASON_NONE;
}

static void ask(struct bridge *b);

/* Nothing was sent: another server, if there is one, may be there. */
static bool ask_another(struct bridge *b)
{
    b->berth.refused = true;
    bridge_unberth(b);
    if (++b->refusals >= b->route->backend->conf->nproxy || !take_berth(b))
        return false;
    b->state = BRIDGE_DIALING;
    ask(b);
    return true;
}

static void on_upgrade_end(void *arg, const struct upgrade_result *result)
{
    struct bridge *b = arg;
    struct bridge_word word = {.sock = result->sock,
                               .reason = reason_of(b, result->outcome),
                               .detail = result->detail,
                               .head = result->head,
                               .body = result->body};
    b->upgrade = NULL;
    if (result->outcome == UPGRADE_NO_CONNECTION && ask_another(b))
        return;
    if (word.sock != NULL && (word.detail = fault_of(b, word.head, &word.protocol)) != NULL) {
        h2o_socket_close(word.sock);
        word.sock = NULL;
        word.reason = REASON_UPSTREAM_GARBAGE;
    }
    if (word.sock != NULL)
        b->state = BRIDGE_READY;
    else if (b->state != BRIDGE_ABSENT)
        bridge_unberth(b);
    b->sock = word.sock;
    b->on_word(b, &word);
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

static int64_t at_most(int64_t limit_us, int64_t within_us)
{
    return limit_us < 0 || limit_us > within_us ? within_us : limit_us;
}

static void ask(struct bridge *b)
{
    const struct backend *backend = b->route->backend;
    const struct conf_limits *limits = &b->generation->conf->limits;
    const struct ws_facts *facts = b->facts;
    struct upgrade_options options = {
        .address = (const struct sockaddr *)&b->berth.address,
        .address_len = b->berth.address_len,
        .limits = {.head_bytes = (size_t)limits->response_head_bytes,
                   .fields = (size_t)limits->response_header_fields,
                   .interim = (size_t)limits->response_interim,
                   .chunk_overhead = CHUNK_OVERHEAD_MAX},
        .connect_timeout_us = at_most(backend->conf->connect_timeout, b->within_us),
        .answer_timeout_us = at_most(b->route->timeout_us, b->within_us),
    };
    size_t n = facts->nfields;
    struct call_field *fields = mem_alloc((n + 3) * sizeof(fields[0]));
    memcpy(fields, facts->fields, n * sizeof(fields[0]));
    fields[n++] = (struct call_field){STR("sec-websocket-key"), {b->key, sizeof(b->key)}};
    fields[n++] = (struct call_field){STR("sec-websocket-version"), STR("13")};
    if (b->protocols != NULL)
        fields[n++] = (struct call_field){STR("sec-websocket-protocol"), str_of(b->protocols)};
    struct call_request request = {.method = STR("GET"),
                                   .path = path_strip(facts->path, b->route->strip_prefix),
                                   .query = facts->query,
                                   .scheme = facts->scheme,
                                   .authority = facts->authority,
                                   .peer = facts->peer,
                                   .fields = fields,
                                   .nfields = n};
    b->upgrade = upgrade_start(b->loop, &options, &request, STR("websocket"), on_upgrade_end, b);
    free(fields);
}

enum reason bridge_dial(struct bridge *b, int64_t within_us,
                        void (*on_word)(struct bridge *b, const struct bridge_word *word))
{
    assert(b->state == BRIDGE_ABSENT);
    if (!take_berth(b))
        return why_no_berth(b);
    b->state = BRIDGE_DIALING;
    b->on_word = on_word;
    b->within_us = within_us;
    b->refusals = 0;
    ws_handshake_make_key(b->key);
    ask(b);
    return REASON_NONE;
}
