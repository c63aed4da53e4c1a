/* SPDX-License-Identifier: MIT
 *
 * ws_messages: WebSockets of mode `messages`: every message is a call of the route's backend, and what the backend answers
 * goes back as messages. Private to ws_messages.c (the connection), ws_message_call.c (one message's call),
 * ws_message_answer.c (what comes of its answer) and ws_messages_events.c (the format `events`). Loop thread.
 *
 * Object map: connection → `waiting`: messages taken from the client beyond those that are calls; → `line`: calls in the
 * order of their messages, of which the first one's answer goes out as it comes and the others' wait; → `ending`: calls
 * of which the client has heard all that it will, and whose place is not back yet. A message points to its connection.
 * The connection outlives its socket until both lists of calls are empty.
 *
 * Memory. A connection holds at most: read_ahead and one message waiting; in_flight requests and as many answers, each of
 * max_message and one piece of what the executor reads at once; and what its struct ws holds.
 */
#ifndef BULKHEAD_FRONT_WS_MESSAGES_H
#define BULKHEAD_FRONT_WS_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "call/loop.h"
#include "front/dispatch.h"
#include "front/ws_session.h"
#include "upstream/ws.h"
#include "wire/ws_event.h"

/* One answer may hold as many events as it has room for; its connection's share of a turn of the loop */
#define MESSAGES_EVENTS_A_TURN 256

struct conf_websocket;
struct messages;
struct messages_events;
struct ws_entry;

/* ---- a message -------------------------------------------------------------------------------------------------- */

/* What came from the client, as the body of its call */
struct inbound {
    struct list link; /* messages.waiting */
    int64_t arrived_us;
    enum ws_opcode opcode;
    size_t size; /* the message's */
    struct buf body;
};

enum message_kind {
    MESSAGE_DATA, /* the client's */
    MESSAGE_OPEN, /* events: before the 101 */
    MESSAGE_POLL, /* events: nothing happened for the Keep-Alive-Interval */
    MESSAGE_LAST  /* events: CLOSE or DISCONNECT; nobody hears its answer */
};

enum message_answer {
    ANSWER_AWAITED, /* no head yet */
    ANSWER_WHOLE,   /* the body is one message: collected */
    ANSWER_EVENTS,  /* the body is events: collected until the message is the first in line, then played as they come */
    ANSWER_REFUSAL, /* a status other than 2xx; the beginning of its body is collected */
    ANSWER_FAILED   /* reason, status, and the detail in `answer` */
};

struct message {
    struct dispatch d; /* first: its call's address is what the executor hands us */
    struct list link;  /* connection's line or ending; door.idle_messages while unused */
    struct messages *connection;
    struct inbound *in; /* owned; NULL: no message of the client's */
    enum message_kind kind;
    enum message_answer stage;
    enum ws_opcode opcode; /* WHOLE: of the message to be sent */
    bool is_complete;      /* nothing more will come */
    bool is_stalled;       /* the executor was told that there is no room */
    bool is_finished;      /* the client has heard all; in `ending` */
    bool may_end;          /* it closed the connection: not to be abandoned as long as the socket is there */
    bool is_left;          /* the executor knows that nobody waits for it */
    enum reason reason;
    int status;        /* of the answer; FAILED: what the client is told */
    struct buf answer; /* kept from use to use, as `fields` is */
    size_t played;     /* EVENTS: of `answer` */
    struct ws_event_decoder decoder;
    uint64_t bytes_out; /* of messages sent to the client */
    struct call_field *fields;
    size_t fields_capacity;
    char *meta; /* text of the Meta-* fields; NULL: none */
    char id[WS_CALL_ID_MAX];
    char started[24]; /* X-Request-Start */
};

/* ws_message_call.c */

/* Becomes a call at the end of the connection's line; takes `in`. It may have failed on return, or be gone. */
void message_start(struct messages *c, enum message_kind kind, struct inbound *in);
/* The client has heard all: it leaves the line, is counted and logged, and goes when its place is back. */
void message_finish(struct message *m);
/* Is it running for nothing? */
bool message_is_idle(const struct message *m);
/* Nobody waits for it any more. If it was finished, it may be gone on return. */
void message_abandon(struct message *m);
void inbound_free(struct inbound *in);
struct inbound *inbound_create(size_t size, int64_t arrived_us);

/* ws_message_answer.c */

extern const struct call_sink message_sink;
/* First in line, and there is room: sends what there is. true: that was all of it, and it has left the line. */
bool message_deliver(struct message *m);
/* detail: in words; may be empty. Sent when its turn comes. */
void message_fail(struct message *m, enum reason reason, int status, struct str detail);

/* ---- a connection ----------------------------------------------------------------------------------------------- */

enum messages_state {
    MESSAGES_OPENING, /* events: the OPEN call decides, or the 101 is on its way; no socket yet */
    MESSAGES_OPEN,    /* the socket is open, or closing */
    MESSAGES_PARTED   /* the socket is gone; waits for its calls to end */
};

struct messages {
    struct ws_session super;
    struct ws ws;
    enum messages_state state;
    const struct conf_websocket *conf;
    const struct route *route;
    struct generation *generation; /* a reference, as facts is: calls outlive the session's */
    struct ws_facts *facts;
    struct list waiting, line, ending;
    size_t waiting_bytes;
    unsigned in_line;
    uint64_t calls; /* made so far, without OPEN */
    /* What must not be done inside of an executor's callback: calls are abandoned; or waits for the next turn of the
     * loop: more events are played. */
    struct loop_task chores;
    bool chores_posted;
    unsigned events_left; /* how many may be played before the chores */
    bool is_over;         /* no answer can reach the client any more: every call is to be abandoned */
    bool by_backend;      /* it asked for the end */
    enum reason reason;
    unsigned leave_code;            /* close with it when the calls have been answered; 0: stay */
    struct messages_events *events; /* NULL: format plain */
};

/* Sends what can be sent, makes calls of what waits as far as may be, and holds the socket or lets it go on. */
void messages_pump(struct messages *c);
/* Can the client still be told anything? */
bool messages_is_talking(const struct messages *c);
/* Closes behind what was sent; every call is abandoned soon. */
void messages_close(struct messages *c, unsigned code, struct str words, enum reason reason);
/* The same without a word */
void messages_break(struct messages *c);
/* Calls that run for nothing are abandoned in a moment; with is_over, all of them. */
void messages_schedule(struct messages *c);
/* Frees it if nothing is left to wait for. */
void messages_settle(struct messages *c);
bool messages_is_native(const struct messages *c);
struct messages *messages_create(const struct arrival *a, struct ws_facts *facts);
/* The client is gone: no call is wanted any more. Settles later. */
void messages_part(struct messages *c);

/* ---- ws_messages_events.c: all of them for connections with `events` only ---------------------------------------- */

struct messages_events *messages_events_create(struct messages *c);
void messages_events_free(struct messages_events *ev);
/* The OPEN call before the 101 */
void messages_events_begin(struct ws_entry *e);
void messages_events_gone(struct messages *c);
/* OPEN's head is to be kept; its call has ended, or failed. */
void messages_events_keep_head(struct messages *c, const struct call_response *head);
void messages_events_opened(struct message *m);
/* Keep-Alive-Interval and Set-Meta-* of an answer */
void messages_events_heed(struct messages *c, const struct call_response *head);
/* How many fields messages_events_put adds at most; writes what the format adds to a call's, and returns how many. */
size_t messages_events_count_max(const struct messages *c);
size_t messages_events_put(struct message *m, struct call_field *fields);
/* Nothing is going on: the next word of ours is due after the Keep-Alive-Interval. Something is: it is not. */
void messages_events_rest(struct messages *c);
void messages_events_stir(struct messages *c);
/* No socket any more, or never one */
void messages_events_part(struct messages *c);
/* How it ended */
void messages_events_note_end(struct messages *c, unsigned code, struct str reason);
/* The last call, if the backend is to have one. */
void messages_events_say_last(struct messages *c);

#endif
