/* SPDX-License-Identifier: MIT
 *
 * ws: one end of a WebSocket connection (RFC 6455) on a loop thread's h2o socket, in either role: messages in and out
 * through wslay, pings answered and sent, the closing handshake, time limits, and backpressure both ways. The front's
 * end towards a client and its end towards a backend that speaks WebSocket itself are the same thing. It knows neither
 * routes nor calls: its owner does.
 *
 * Memory. A connection on which nothing is happening holds this struct and its socket: wslay's context (8 KiB) exists
 * only while a frame or a message is on its way. Input is cut at the ends of frames before wslay sees it, so that
 * holding back takes effect exactly there. At any time a connection holds at most: one message in assembly
 * (max_message), what was read and not yet taken apart (WS_READ_BYTES), and what is unsent: max_unsent plus the one
 * ws_send that went past it.
 *
 * Time. One lazy deadline a connection. A peer is alive as long as anything arrives from it, or it takes bytes of ours;
 * while reading is held by us, silence does not count against it, only what it does not take.
 *
 * Callbacks run from the loop, never inside a function of this header that the owner calls. Everything is the loop
 * thread's.
 */
#ifndef BULKHEAD_UPSTREAM_WS_H
#define BULKHEAD_UPSTREAM_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/str.h"
#include "call/loop.h"
#include "wire/ws_code.h"

struct st_h2o_socket_t;
struct ws;

/* most bytes read in a turn of the loop, from one connection */
#define WS_READ_BYTES (16 * 1024)

enum ws_role { WS_SERVER, WS_CLIENT };
enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2 }; /* as on the wire, RFC 6455 §11.8 */

/* Frozen; borrowed for the connection's life. Times in µs; CLOCK_NEVER: none. */
struct ws_options {
    enum ws_role role;
    bool relay;            /* messages arrive in pieces (on_piece), else whole (on_message) */
    uint64_t max_message;  /* bytes of an arriving message; past it: closed with 1009 */
    size_t max_unsent;     /* bytes for the peer; from here on ws_has_room says no, until half of them have gone; and
                              meanwhile nothing is read from the peer, unless: */
    bool reads_when_full;  /* an end that is relayed to another: the owner holds it when the other end has no room, and
                              two ends that each wait for the other would stand still. Of the pings that arrive while
                              there is no room only the last is answered (RFC 6455 §5.5.3) */
    unsigned control_rate; /* control frames a second that may arrive, ten seconds' worth at once; past it: 1008. 0: no
                              limit */
    int64_t ping_interval_us; /* of silence, after which a ping is sent */
    int64_t pong_timeout_us;  /* of further silence, after which the peer is lost */
    int64_t idle_timeout_us;  /* without a message either way, or one being worked on: closed with 1000 */
    int64_t close_timeout_us; /* for the closing handshake; then the socket is closed */
};

enum ws_by { WS_BY_PEER, WS_BY_US, WS_BY_NOBODY };
struct ws_ending {
    unsigned code;     /* of the close frame that began the end; WS_CODE_NO_CODE, WS_CODE_LOST */
    enum ws_by by;     /* who began it; WS_BY_NOBODY: the connection broke, or its peer fell silent */
    const char *why;   /* in words, static: "the peer closed", "no pong", "idle", "message over the limit", … */
    struct str reason; /* text of that close frame; valid during the callback */
};

struct ws_events {
    /* A whole message. The bytes are valid during the callback. Any function below may be called but ws_free. */
    void (*on_message)(struct ws *ws, enum ws_opcode opcode, struct str bytes);
    /* relay: the next piece of a message; `last` may come with no bytes. The same holds. */
    void (*on_piece)(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes);
    /* ws_has_room said no, and now there is */
    void (*on_room)(struct ws *ws);
    /* The peer closes: its close frame has come, and none of ours is on its way; that goes out by itself, with the same
     * code, behind what is queued. Nothing more can be sent. May be NULL. */
    void (*on_peer_close)(struct ws *ws, unsigned code, struct str reason);
    /* The last callback, exactly once: the socket is closed. The owner may free the memory. */
    void (*on_closed)(struct ws *ws, const struct ws_ending *ending);
};

struct ws_count {
    uint64_t messages_in, messages_out, bytes_in, bytes_out; /* payload of data messages */
};

struct wslay_event_context;
struct ws_bite;
struct ws_goodbye;
struct ws_stream;

enum ws_state {
    WS_OPEN,    /* messages both ways */
    WS_CLOSING, /* our close frame goes out behind what is queued; waits for that, and for the peer's, until close_us */
    WS_LINGERING, /* nothing is left to say: waits until close_us for the peer's end, so that it gets what was said */
    WS_OVER,      /* waits for the next turn of the loop, to say so */
    WS_STATE_COUNT
};

struct ws {
    const struct ws_options *options;
    const struct ws_events *events;
    struct loop *loop;
    struct st_h2o_socket_t *sock;
    void *owner; /* the owner's */
    struct ws_count count;
    /* the rest is ws.c's, ws_in.c's and ws_out.c's */
    struct wslay_event_context *context; /* NULL: nothing is on its way */
    struct ws_goodbye *goodbye;          /* how it ends; NULL: not known yet */
    /* time: `deadline` is armed at or before due_us */
    struct deadline deadline;
    int64_t due_us;
    int64_t check_us;   /* of silence, or of the answer to the ping */
    int64_t message_us; /* the last message either way */
    int64_t control_us; /* control frames that came, each with its share of a second: so far they reach */
    int64_t close_us;
    uint64_t acked; /* bytes of ours that the peer had taken at the last check */
    /* coming in */
    uint64_t frame_left;     /* payload bytes still to come of the data frame that has begun */
    uint64_t message_length; /* of the message that has begun, as far as its frames say */
    struct buf message;      /* its bytes */
    struct buf late_ping;    /* the last that came while it was crowded, if owes_pong */
    struct ws_bite *bite;    /* while wslay reads */
    /* going out */
    struct buf out; /* frames */
    size_t out_sent;
    int64_t written_us;        /* the turn of the loop in which the owner last sent something */
    uint64_t taken;            /* bytes that the kernel has taken */
    struct ws_stream *streams; /* messages sent in pieces */
    size_t stream_bytes;
    uint8_t state;      /* enum ws_state */
    uint8_t opcode;     /* of the message that has begun; 0: none has */
    uint8_t unanswered; /* pings of ours */
    bool frame_is_last; /* of its message */
    bool piece_given;   /* relay: a piece of this message was */
    bool held;          /* by the owner */
    bool is_working;    /* the owner, on a message */
    bool crowded;       /* too much is unsent, until half of it has gone */
    bool owes_pong;
    bool stopped;        /* input was left untaken, as data is held or it is crowded */
    bool work;           /* there is input to take in the next turn */
    bool deaf;           /* the peer broke the rules: nothing more of it is heard */
    bool eof;            /* nothing more comes */
    bool close_received; /* the peer's close frame */
    bool close_queued;   /* ours, at wslay */
    bool pinged;         /* check_us waits for the answer */
    bool backlogged;     /* at the last check, bytes were on their way to the peer */
    bool put_off;        /* something is to be written at the end of this turn */
    bool busy;           /* in a callback of the loop, which ends with settling all */
    bool reading;        /* the loop watches for input */
    bool watching_write; /* the loop will say when there is room */
    bool writing;        /* TLS: the library is */
    bool write_broken;   /* the peer takes no more; it may have sent a close frame before */
};

/* Takes the socket; what it holds as input is taken for bytes of the peer. A message that must be sent first can be
 * sent at once. From here on until on_closed the memory must live. */
void ws_open(struct ws *ws, struct loop *loop, struct st_h2o_socket_t *sock, const struct ws_options *options,
             const struct ws_events *events);
/* Queues a copy. false: the connection is closing, or the text is not UTF-8. Never refused for want of room: who does not
 * ask ws_has_room answers for what it queues. */
bool ws_send(struct ws *ws, enum ws_opcode opcode, struct str bytes);
/* The next piece of a message; pieces of two messages cannot be mixed, and ws_send must wait for `last`. */
bool ws_send_piece(struct ws *ws, enum ws_opcode opcode, bool last, struct str bytes);
/* At most WS_CONTROL_MAX bytes. `pong`: an unsolicited one. */
bool ws_send_ping(struct ws *ws, bool pong, struct str bytes);
/* What is held for the peer: bytes queued and not yet taken by the kernel (a message counts whole until its last byte
 * is), and for each message what it costs to keep it. 0: all has gone. */
size_t ws_unsent(const struct ws *ws);
/* Bytes, of frames' heads as well, that the kernel has taken so far; still true in on_closed. */
static inline uint64_t ws_taken(const struct ws *ws)
{
    return ws->taken;
}
static inline bool ws_has_room(const struct ws *ws)
{
    return !ws->crowded && ws_unsent(ws) < ws->options->max_unsent;
}
/* Holds data back: no on_message and no on_piece until ws_release; control frames are handled up to the data frame that
 * comes next. Idempotent, and may be called in on_message: what is behind that message stays unread. */
void ws_hold(struct ws *ws);
void ws_release(struct ws *ws);
/* Messages of the peer are being worked on, or no more: until then it is not idle. Idempotent. */
void ws_set_working(struct ws *ws, bool is_working);
/* Begins the closing handshake behind what is queued; data that still arrives is dropped. on_closed comes. Idempotent:
 * the first code counts. code WS_CODE_NO_CODE: a close frame without one. reason is cut at 123 bytes, on a character. */
void ws_close(struct ws *ws, unsigned code, struct str reason);
/* Breaks the connection without a word; on_closed comes in the next turn. Idempotent. */
void ws_abort(struct ws *ws);
/* closing or closed: nothing can be sent */
bool ws_is_closing(const struct ws *ws);

#endif
