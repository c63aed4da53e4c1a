/* SPDX-License-Identifier: MIT
 *
 * ws_door: the WebSocket door: what becomes of a request on a route with `websocket`, from the handshake to the moment
 * when its socket is upgraded and a mode takes over. Part of the exchange; loop thread.
 *
 *     arrival → handshake checked → room on the route → the mode's word (messages in plain format: at once; events: its
 *     OPEN call; bridge and tunnel: the backend's own handshake) → 101 → session
 *
 * While the mode makes up its mind the request waits in an exchange, so a client that leaves is noticed, and the wait is
 * bounded.
 */
#ifndef BULKHEAD_FRONT_WS_DOOR_H
#define BULKHEAD_FRONT_WS_DOOR_H

#include "front/exchange_private.h"
#include "front/ws_handshake.h"
#include "front/ws_session.h"

/* Does this route take the request as a WebSocket's (or refuse it as no good one)? false: it is an ordinary call, which
 * bridge and tunnel let through. `a->route` is set. The request may be gone when this returns true. */
bool ws_door_takes(struct arrival *a);

/* A handshake on its way: what the door and the modes share. Lives until the mode has the socket, or the request is
 * answered or gone. */
struct ws_entry {
    const struct ws_entry_mode *mode;
    struct exchange *exchange; /* NULL once the request is gone */
    struct arrival a;          /* without what was the request's once that is gone; holds its generation */
    struct ws_facts *facts;    /* let go with the entry, unless `open` took it and set it NULL */
    bool is_upgrading;         /* the 101 is on its way */
    void *data;                /* the mode's */
};

struct ws_entry_mode {
    /* Decides: calls ws_entry_accept or ws_entry_refuse, now or later. */
    void (*begin)(struct ws_entry *e);
    /* After accept: the 101 is out, the socket is the mode's, and ws_session_start comes first. `a` as it was, but without
     * its request. The entry goes when this returns. */
    void (*open)(struct ws_entry *e, const struct arrival *a, h2o_socket_t *sock);
    /* The client left, or the 101 could not be written, before `open`: stop what begin began. The entry goes when this
     * returns. */
    void (*gone)(struct ws_entry *e);
};

/* What the client sent, while the request lives (in `begin`): its handshake, found good before, and its Upgrade field. */
void ws_entry_handshake(const struct ws_entry *e, struct ws_handshake *h);
struct str ws_entry_upgrade(const struct ws_entry *e);
/* Answers 101. `fields`: what the backend adds (lower case, end-to-end); `protocol`: the subprotocol, empty: none. For a
 * tunnel, `upgrade` is the protocol's name and no Sec-WebSocket-Accept of ours is sent: NULL base: websocket. */
void ws_entry_accept(struct ws_entry *e, const struct call_field *fields, size_t nfields, struct str protocol,
                     struct str upgrade);
/* Answers with a problem. The entry is gone. */
void ws_entry_refuse(struct ws_entry *e, enum reason reason, const char *detail);
/* Answers with what the backend said instead (a status that is not 101). The entry is gone. */
void ws_entry_answer(struct ws_entry *e, const struct call_response *head, struct str body);

extern const struct ws_entry_mode ws_messages_entry, ws_bridge_entry, ws_tunnel_entry;

#endif
