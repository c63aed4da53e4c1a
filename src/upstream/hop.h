/* SPDX-License-Identifier: MIT
 *
 * hop: one connection to a backend, on a loop thread's h2o socket, with one exchange at a time: it opens (when there is
 * no kept connection that is fit), sends the request while already listening for the answer, hands the answer to the
 * call's sink, and tells its owner how it ended. Failed exchanges are not repeated here and reasons are not chosen
 * here: that is for the owner (executor/), who also owns the memory. The connection's own copy of the request's bytes
 * means that the request may vanish at any time (call_detach). Reads go into one buffer per thread, so that an idle or
 * waiting connection holds next to nothing, and a fast backend gets one bounded read a turn of the loop. Time limits
 * are lazy: one deadline stays armed across exchanges and compares times when it fires.
 *
 * A hop belongs to the loop of the call that it runs, or of its last call while it is idle; only a parked one (a bare
 * descriptor) belongs to nobody and may be started on another loop, or closed, by any thread.
 */
#ifndef BULKHEAD_UPSTREAM_HOP_H
#define BULKHEAD_UPSTREAM_HOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "call/call.h"
#include "upstream/protocol.h"

struct hop;
struct st_h2o_socket_t;

enum hop_state {
    HOP_CLOSED,     /* no descriptor */
    HOP_WAITING,    /* has a call; the peer's backlog was full: tries again at due_us */
    HOP_CONNECTING, /* has a call; waits for the connection until due_us */
    HOP_RUNNING,    /* has a call; waits for bytes, room to write, or due_us */
    HOP_FAILING,    /* has a call; failed at once: tells so in the next turn of the loop */
    HOP_IDLE,       /* connected, watched for the peer's close, until due_us */
    HOP_PARKED,     /* connected, a bare descriptor on no loop */
    HOP_STATE_COUNT
};

enum hop_outcome {
    HOP_COMPLETE,
    HOP_REFUSED,         /* could not connect */
    HOP_CONNECT_TIMEOUT, /* could not connect in time */
    HOP_RESET,           /* closed or reset before the end of the answer */
    HOP_GARBAGE,         /* the answer breaks the protocol */
    HOP_FAILED,          /* the handler said that it failed */
    HOP_TOO_LARGE,       /* the request does not fit the protocol */
    HOP_OUTCOME_COUNT
};

struct hop_result {
    enum hop_outcome outcome;
    const char *detail; /* in words; valid during the callback */
    bool sent;          /* bytes of the request left this process */
    bool answered;      /* a byte of an answer was seen */
};

/* On the hop's loop, never before hop_start returns. The hop is idle or closed again when on_end and on_idle_closed
 * run: they may start, park, close or free it. */
struct hop_events {
    void (*on_end)(struct hop *hop, struct call *call, const struct hop_result *result);
    /* First byte or next byte is late. Must call hop_close (which ends the exchange without on_end) or hop_discard with
     * stuck = true. */
    void (*on_timeout)(struct hop *hop, struct call *call, const char *detail);
    /* a kept connection was closed by the peer, or its time was over */
    void (*on_idle_closed)(struct hop *hop);
};

/* Frozen; borrowed for the hop's life. Times in µs; below 0 or CLOCK_NEVER: none. */
struct hop_options {
    const struct protocol *protocol;
    struct protocol_options protocol_options;
    int64_t connect_timeout_us, first_byte_timeout_us, idle_timeout_us, keep_alive_us;
    const struct hop_events *events;
};

/* Where to connect to: an address, or a function that returns a connected non-blocking socket (or -1: try again) */
struct hop_target {
    const struct sockaddr *address;
    socklen_t address_len;
    int (*connect)(void *arg);
    void *arg;
};

struct hop {
    const struct hop_options *options;
    enum hop_state state;
    struct loop *loop;
    struct st_h2o_socket_t *sock;
    int parked_fd;
    struct call *call;
    const struct hop_target *target;
    uint64_t serial; /* changes whenever an exchange begins or the hop is closed */
    uint64_t number; /* exchanges on this connection */
    /* time limits: `deadline` is armed at or before due_us; what due_us means is the state's */
    struct deadline deadline;
    int64_t due_us, connect_by_us, connect_delay_us;
    int64_t idle_since_us, keep_until_us;
    /* the request on its way */
    struct buf out;
    size_t out_sent;
    bool body_put, cancel_wanted, cancel_put;
    bool watching_write; /* the loop will say when there is room */
    bool write_broken;   /* the peer takes no more; it may have answered all the same */
    bool sent;
    /* the answer on its way */
    struct protocol_answer answer;
    bool answered, discard, stuck, paused;
    struct {
        enum hop_outcome outcome;
        const char *detail;
    } failing; /* what on_end will say: HOP_FAILING */
};

void hop_init(struct hop *hop, const struct hop_options *options);
/* Runs the call on the kept connection where that is safe, else on a new one to `target` (borrowed until the end). The
 * hop must be closed, idle on the call's loop, or parked. Ends with exactly one on_end, unless hop_close comes first.
 */
void hop_start(struct hop *hop, struct call *call, const struct hop_target *target);
/* The sink has room again */
void hop_resume(struct hop *hop);
/* Nobody wants the answer any more: it is read and thrown away, the peer told where the protocol can say so. stuck:
 * wait for it without a time limit, and do not keep the connection. */
void hop_discard(struct hop *hop, bool stuck);
/* Closes the connection; an exchange in progress ends without on_end. Idempotent. On the hop's loop, or any thread when
 * parked or closed. */
void hop_close(struct hop *hop);
/* idle → parked */
void hop_park(struct hop *hop);
/* gives back what a closed hop holds */
void hop_free(struct hop *hop);

/* has bytes of the request left this process? */
static inline bool hop_has_sent(const struct hop *hop)
{
    return hop->sent;
}

/* is the sink full, so that nothing is read? */
static inline bool hop_is_paused(const struct hop *hop)
{
    return hop->state == HOP_RUNNING && hop->paused;
}

/* is there a connection to use again? */
static inline bool hop_is_kept(const struct hop *hop)
{
    return hop->state == HOP_IDLE || hop->state == HOP_PARKED;
}

#endif
