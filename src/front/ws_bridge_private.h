/* SPDX-License-Identifier: MIT
 *
 * ws_bridge_private: what the parts of mode `bridge` share about one bridged WebSocket: its two ends, the berth that its
 * backend's end has, and what waits in between. ws_bridge.c is its life, ws_bridge_dial.c how a backend's end comes to
 * be, ws_bridge_reconnect.c what `reconnect` adds. Loop thread.
 *
 * Object map: session (its first member) → bridge → client, backend (struct ws), berth → executor. A bridge holds its
 * generation, and with it route and executor, until both ends are closed: the backend's may outlive the session by
 * BACKEND_CLOSE_TIMEOUT_US of route.c.
 */
#ifndef BULKHEAD_FRONT_WS_BRIDGE_PRIVATE_H
#define BULKHEAD_FRONT_WS_BRIDGE_PRIVATE_H

#include "base/heap.h"
#include "base/list.h"
#include "front/ws_berth.h"
#include "front/ws_door.h"
#include "front/ws_handshake.h"
#include "front/ws_session.h"

struct bridge;
struct upgrade;

/* The backend's end */
enum bridge_state {
    BRIDGE_ABSENT,  /* none: before the handshake, after the end, or until `again` */
    BRIDGE_DIALING, /* waits for bridge.upgrade; holds a berth */
    BRIDGE_READY,   /* connected, waits for the client's 101; holds a berth and `sock` */
    BRIDGE_OPEN     /* `backend` is in use, until its on_closed; holds a berth */
};

/* What became of a handshake with the backend; all of it is valid during the callback. */
struct bridge_word {
    h2o_socket_t *sock;               /* connected: the callee's; NULL: not */
    enum reason reason;               /* not connected: why not; NONE: `head` and `body` are the backend's answer */
    const char *detail;               /* in words, static; NULL: none */
    const struct call_response *head; /* of the 101, with Sec-WebSocket-*; or of the refusal */
    struct str protocol;              /* the subprotocol that it chose; empty: none */
    struct str body;
};

/* A whole message that waits for its connection */
struct bridge_parcel {
    struct list link;
    enum ws_opcode opcode;
    size_t len;
    char bytes[];
};

struct bridge_queue {
    struct list parcels;
    size_t bytes;
};

struct bridge {
    struct ws_session session; /* first */
    struct ws client, backend;
    struct loop *loop;
    struct generation *generation;
    const struct route *route;
    struct ws_facts *facts;
    struct ws_entry *entry; /* until the client's end is open */
    char *protocols;        /* offered to the backend; once the client has its 101: the one that was chosen, or none */

    enum bridge_state state;
    struct ws_berth berth;
    struct upgrade *upgrade;
    char key[WS_KEY_LENGTH];
    int64_t within_us; /* for each server that is asked */
    void (*on_word)(struct bridge *b, const struct bridge_word *word);
    h2o_socket_t *sock;

    bool client_is_open;
    bool in_message;            /* the client has a part of a message */
    struct bridge_queue pushed; /* for the client, when that message is whole */

    /* why we close the client's end; by_backend: because the backend closed its own */
    const char *why;
    enum reason reason;
    bool by_backend;

    /* reconnect: messages for the backend, the first of which it may be getting now */
    struct bridge_queue waiting;
    bool first_is_sent;
    uint64_t first_from; /* what the kernel had taken for the backend before */
    struct deadline again, give_up;
    int64_t pause_us, opened_us; /* before the next attempt; when this backend's end was opened */
    int64_t until_us;            /* how long the search that began last may go on; 0: there was none */
};

extern const struct ws_events bridge_client_events, bridge_backend_events;

/* ws_bridge.c */
/* The backend's end begins: takes b->sock. */
void bridge_open_backend(struct bridge *b);
/* Begins to close the client's end, unless that has begun. `why` is static. */
void bridge_close_client(struct bridge *b, unsigned code, struct str text, enum reason reason, const char *why);

/* ws_bridge_dial.c */
/* Takes a berth and asks for a WebSocket. NONE: on_word comes later, once, unless bridge_undial comes first; else why
 * not, with words in *detail_r or NULL. */
enum reason bridge_dial(struct bridge *b, int64_t within_us,
                        void (*on_word)(struct bridge *b, const struct bridge_word *word), const char **detail_r);
/* Ends DIALING and READY; gives back the berth. Idempotent. */
void bridge_undial(struct bridge *b);
/* The backend's end is no more: the berth goes back. */
void bridge_unberth(struct bridge *b);

/* ws_bridge_queue.c */
void bridge_queue_init(struct bridge_queue *q);
void bridge_queue_put(struct bridge_queue *q, enum ws_opcode opcode, struct str bytes);
/* NULL: it is empty */
const struct bridge_parcel *bridge_queue_first(const struct bridge_queue *q);
void bridge_queue_drop_first(struct bridge_queue *q);
void bridge_queue_clear(struct bridge_queue *q);

/* ws_bridge_reconnect.c */
void bridge_reconnect_init(struct bridge *b);
/* A message of the client for the backend. Copies. */
void bridge_forward(struct bridge *b, enum ws_opcode opcode, struct str bytes);
/* The backend's end is open, or took all that it was given. */
void bridge_pump(struct bridge *b);
/* The client closes: what waits goes out at once, if there is a backend. */
void bridge_flush(struct bridge *b);
/* The backend's end broke: another is sought. */
void bridge_reconnect(struct bridge *b);
/* No more of that: attempts end, what waits is dropped. Idempotent. */
void bridge_reconnect_end(struct bridge *b);

#endif
