/* SPDX-License-Identifier: MIT
 *
 * ws_handshake: is this request a WebSocket handshake, and is it one that we accept? RFC 6455 §4.2.1, with the Origin
 * allow-list and the choice of a subprotocol. Pure but for the digest. Loop thread.
 */
#ifndef BULKHEAD_FRONT_WS_HANDSHAKE_H
#define BULKHEAD_FRONT_WS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "call/reason.h"
#include "front/fields.h"

struct conf_websocket;

/* base64 of a SHA-1, RFC 6455 §4.2.2 */
#define WS_ACCEPT_LENGTH 28

struct ws_handshake {
    struct str key;       /* Sec-WebSocket-Key */
    struct str protocols; /* Sec-WebSocket-Protocol as offered, joined; empty: none */
    struct str protocol;  /* the one that we choose by the conf's list; empty: none */
    char joined[1024];    /* what `protocols` points to when they came in several fields */
};

/* Does the request ask for an upgrade to `websocket`? `upgrade` is the request's Upgrade field (the library takes it out
 * of the fields), empty: none. */
bool ws_handshake_is_asked(struct str upgrade);
/* NONE, and *h filled in; else why not (BAD_REQUEST, UPGRADE_REQUIRED for a version other than 13, ORIGIN), with
 * words in *detail_r. version: HTTP's, 0x101 or it is refused; method: GET or it is refused. */
enum reason ws_handshake_check(struct ws_handshake *h, const struct conf_websocket *conf, struct str method,
                               int version, const struct field *fields, size_t nfields, char *detail,
                               size_t detail_size);
/* Is the protocol one of the list, a Sec-WebSocket-Protocol field? */
bool ws_handshake_offers(struct str list, struct str protocol);
/* The Origin alone, of what is a handshake of another kind. false: REASON_ORIGIN, with words in *detail. */
bool ws_handshake_allows_origin(const struct conf_websocket *conf, const struct field *fields, size_t nfields,
                                char *detail, size_t detail_size);
/* Sec-WebSocket-Accept for a key, or for the key that we sent as a client */
void ws_handshake_accept(struct str key, char out[WS_ACCEPT_LENGTH]);
/* A fresh key for a handshake of our own: 24 characters */
#define WS_KEY_LENGTH 24
void ws_handshake_make_key(char out[WS_KEY_LENGTH]);

#endif
