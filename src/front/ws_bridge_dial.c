/* SPDX-License-Identifier: MIT
 *
 * ws_bridge_dial: how the backend's end of a bridge comes to be: a berth, a connection, and a WebSocket handshake of our
 * own (RFC 6455 §4.1) that tells the backend what the client's told us. We offer no extension, because frames are taken
 * apart and put together here, and we check the answer as a browser would. Loop thread.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/lexis.h"
#include "front/ws_bridge_private.h"

/* ---- the berth -------------------------------------------------------------------------------------------------- */

void bridge_unberth(struct bridge *b)
{
    assert(b->state != BRIDGE_ABSENT);
    b->state = BRIDGE_ABSENT;
    ws_berth_leave(&b->berth);
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

static void ask(struct bridge *b);

/* Nothing was sent: another server, if there is one, may be there. */
static bool ask_another(struct bridge *b)
{
    if (!ws_berth_take_another(&b->berth)) {
        b->state = BRIDGE_ABSENT;
        return false;
    }
    ask(b);
    return true;
}

static void on_upgrade_end(void *arg, const struct upgrade_result *result)
{
    struct bridge *b = arg;
    struct bridge_word word = {.sock = result->sock,
                               .reason = ws_berth_judge(&b->berth, result->outcome),
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

static void ask(struct bridge *b)
{
    struct call_field fields[3] = {
        {STR("sec-websocket-key"), {b->key, sizeof(b->key)}},
        {STR("sec-websocket-version"), STR("13")},
        {STR("sec-websocket-protocol"), str_of(b->protocols)},
    };
    b->upgrade = ws_berth_ask(&b->berth, b->facts, fields, b->protocols != NULL ? 3 : 2, STR("websocket"), b->within_us,
                              on_upgrade_end, b);
}

enum reason bridge_dial(struct bridge *b, int64_t within_us,
                        void (*on_word)(struct bridge *b, const struct bridge_word *word), const char **detail_r)
{
    assert(b->state == BRIDGE_ABSENT);
    enum reason reason = ws_berth_take(&b->berth, b->loop, b->generation, b->route, detail_r);
    if (reason != REASON_NONE)
        return reason;
    b->state = BRIDGE_DIALING;
    b->on_word = on_word;
    b->within_us = within_us;
    ws_handshake_make_key(b->key);
    ask(b);
    return REASON_NONE;
}
