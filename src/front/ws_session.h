/* SPDX-License-Identifier: MIT
 *
 * ws_session: an upgraded connection, whatever its mode: its place in the thread's registry, its id, what is remembered
 * of its handshake, its counts, its log lines, and how it takes leave. A mode (ws_messages.c, ws_bridge.c, ws_tunnel.c)
 * embeds it as its first member and brings the functions below. While its socket is open `conn` is, too; not later.
 * Loop thread; only ws_push.c reaches a registry from another thread, by posting.
 *
 * Object map: door → sessions (by number) → conn, generation, route. The client's socket belongs to the mode (its
 * struct ws, or the bare socket of a tunnel); its on_close still is conn's.
 */
#ifndef BULKHEAD_FRONT_WS_SESSION_H
#define BULKHEAD_FRONT_WS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/list.h"
#include "call/call.h"
#include "front/exchange_private.h"
#include "front/ws_counters.h"
#include "upstream/ws.h"

struct conn;
struct door;
struct generation;
struct route;
struct ws_session;

/* "0a" thread, 16 random, then the number, all hexadecimal */
#define WS_ID_LENGTH 34

/* What the backend is told of the handshake with every message: one block of memory. Strings as in call_request; the
 * fields are end-to-end ones with ours (fields_request_build), without Sec-WebSocket-*. Counted: a session holds one
 * reference, and a mode another if its calls outlive the session. */
struct ws_facts {
    unsigned references;
    struct str path, query, scheme, authority, peer;
    struct str target; /* as the client sent it, for the log */
    const struct call_field *fields;
    size_t nfields;
    struct str request_id; /* the handshake's */
};

enum ws_pushed { WS_PUSHED, WS_PUSH_FULL /* too much unsent */, WS_PUSH_CLOSING };

struct ws_mode {
    const char *name; /* "messages" "bridge" "tunnel" */
    /* a message from the operator's side; tunnels have no messages: NULL */
    enum ws_pushed (*push)(struct ws_session *s, enum ws_opcode opcode, struct str bytes);
    /* Say goodbye when what runs has been answered: no new calls. Called once, by ws_session_leave. reason: valid until
     * ws_session_end. A tunnel is closed without a code. */
    void (*leave)(struct ws_session *s, unsigned code, const char *reason);
    /* Now, without waiting for anything. */
    void (*cut)(struct ws_session *s);
    /* Another conf, whose `route` is the same rule to the same backend, takes the place of its own: what the mode holds
     * of the former one is exchanged. The session's own members come afterwards. */
    void (*move)(struct ws_session *s, struct generation *generation, const struct route *route);
};

struct ws_session {
    const struct ws_mode *mode;
    struct door *door;
    struct conn *conn;
    struct generation *generation; /* held */
    const struct route *route;
    uint64_t number;
    UT_hash_handle hh;            /* in door->sessions, by number */
    struct ws_facts *facts;       /* a reference */
    const struct ws_count *count; /* the mode's, as it grows: set before ws_session_start, as &ws->count */
    struct ws_count counted;      /* what of it the route's counters have */
    int64_t opened_us;
    struct deadline leaving; /* when this one's turn comes to leave */
    char *leave_reason;      /* it was told to leave; NULL: not yet */
};

/* How one ended, for log line and counters */
struct ws_session_end {
    unsigned code;
    enum ws_by by;
    bool by_backend;       /* it was the backend that closed (by is WS_BY_US then, on the wire) */
    enum reason reason;    /* why we closed it; NONE: nothing went wrong */
    const char *why;       /* in words */
    struct ws_count count; /* a tunnel: bytes only */
};

/* May one more be opened on this route? Counts it at once; every true needs one ws_session_start or ws_session_give_up. */
bool ws_session_admit(const struct route *route);
void ws_session_give_up(const struct route *route);
/* Copies of the request what a mode will need; call it before the upgrade, while the request lives. with_handshake:
 * Sec-WebSocket-* as well, for a tunnel. */
struct ws_facts *ws_facts_create(struct arrival *a, bool with_handshake);
struct ws_facts *ws_facts_ref(struct ws_facts *facts);
void ws_facts_unref(struct ws_facts *facts);
/* Gives it its door and its number, for a mode whose backend must know the id before the connection is open;
 * ws_session_start does so otherwise: `number` must be 0 then. */
void ws_session_name(struct ws_session *s, struct door *door);
/* Into the registry; takes the facts, and its own reference of the generation. Logs the opening. */
void ws_session_start(struct ws_session *s, const struct ws_mode *mode, const struct arrival *a,
                      struct ws_facts *facts);
/* Why ws.c closed a client by itself: what the client did; NONE: nothing that has a reason, or somebody else closed */
enum reason ws_session_fault(const struct ws_ending *ending);
/* Out of it: counts, logs, gives back what the session holds; the conn is told that its socket goes. The mode frees its
 * memory. */
void ws_session_end(struct ws_session *s, const struct ws_session_end *end);
/* Brings the route's counters up to date, as after each message; cheap. */
void ws_session_count(struct ws_session *s);
/* Has the mode take leave with this close code and reason. Idempotent: the first words count. */
void ws_session_leave(struct ws_session *s, unsigned code, struct str reason);
enum ws_closed ws_session_closed_by(const struct ws_session_end *end);
/* the id as text, WS_ID_LENGTH bytes */
void ws_session_id(const struct ws_session *s, char out[WS_ID_LENGTH]);
/* "<id>-<n>" for the n-th message's call */
#define WS_CALL_ID_MAX (WS_ID_LENGTH + 21)

/* Any session with this id on this thread; NULL: none. */
struct ws_session *ws_session_find(struct door *door, struct str id);
/* Which thread an id belongs to; false: no id of this process. */
bool ws_session_thread(struct str id, unsigned *thread_r);
/* Draining: each leaves in its turn, with this code, spread over at most `within_us`. Idempotent. */
void ws_sessions_leave(struct door *door, unsigned code, int64_t within_us);
/* The thread serves another conf: sessions whose route is in it as it was go on there; the others leave with
 * WS_CODE_RESTART, each in its turn. */
void ws_sessions_renew(struct door *door);
/* The drain's deadline: all at once. */
void ws_sessions_cut(struct door *door);

#endif
