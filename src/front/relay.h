/* SPDX-License-Identifier: MIT
 *
 * relay: two connections, a client's and a backend's, and bytes that pass both ways as they come, until both have ended.
 * What one end does not take waits in a buffer, and while that is full the other end is not read. The end of one side's
 * bytes is passed on behind the last of them, and the other direction goes on: over TLS, which had no such halves before
 * 1.3, the end of the backend's bytes is the end of the client's connection.
 *
 * Memory. While nothing waits a relay holds this struct and its sockets; at most max_unsent and one read a direction.
 *
 * Callbacks run from the loop, never inside a function of this header that the owner calls. Everything is the loop
 * thread's.
 */
#ifndef BULKHEAD_FRONT_RELAY_H
#define BULKHEAD_FRONT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upstream/h2o_api.h"

#include "base/buf.h"
#include "base/heap.h"
#include "call/loop.h"
#include "upstream/ws.h"

struct relay;

/* most bytes read in a turn of the loop, from one end (over TLS: as many as the kernel holds) */
#define RELAY_READ_BYTES (64 * 1024)
/* without a byte, once one side has ended; or idle_timeout if that is shorter */
#define RELAY_HALF_US 60000000
/* for the last bytes, once it has been told to leave */
#define RELAY_LAST_US 5000000
/* for both sides to end as well, once both were told the end: closing earlier could take the last bytes from them */
#define RELAY_LINGER_US 2000000

/* Frozen; borrowed for the relay's life */
struct relay_options {
    size_t max_unsent;       /* bytes that wait, each way */
    int64_t idle_timeout_us; /* without a byte either way; CLOCK_NEVER: none */
};

enum relay_by { RELAY_BY_CLIENT, RELAY_BY_BACKEND, RELAY_BY_US };

/* How it began to end */
struct relay_ending {
    enum relay_by by;
    bool is_broken;  /* a connection broke */
    const char *why; /* in words, static */
    /* the client's end is to be closed although it has not closed its own: bytes of it may be unread, so linger */
    bool client_is_open;
};

struct relay_events {
    /* the counts may have grown */
    void (*on_bytes)(struct relay *r);
    /* The last callback, exactly once; the sockets are closed as soon as it returns. The owner may free the memory. */
    void (*on_end)(struct relay *r, const struct relay_ending *ending);
};

/* private to relay.c */
struct relay_end {
    struct relay *relay;
    h2o_socket_t *sock;
    struct buf out; /* bytes for this end */
    size_t out_sent;
    size_t writing;      /* of them, with the library (TLS); 0: it has none */
    bool reading;        /* the loop says when there is something to read */
    bool watching_write; /* the loop will say when there is room */
    bool full;           /* more than may wait for the other end was read here */
    bool eof;            /* no more bytes come from it */
    bool deaf;           /* it takes no more bytes: it was told the end, or it is broken */
};

struct relay {
    const struct relay_options *options;
    const struct relay_events *events;
    struct loop *loop;
    struct relay_end client, backend;
    struct ws_count count; /* bytes_in: from the client; bytes_out: taken by its socket */
    struct deadline deadline;
    int64_t due_us, last_us; /* last_us: of the last byte */
    int64_t over_us;         /* when it is over, whatever is left; CLOCK_NEVER: not ending */
    bool is_leaving, is_ending;
    struct relay_ending ending;
};

/* Takes the sockets; what they hold as input are bytes of theirs. From here on until on_end the memory must live. */
void relay_open(struct relay *r, struct loop *loop, h2o_socket_t *client, h2o_socket_t *backend,
                const struct relay_options *options, const struct relay_events *events);
/* Nothing more is taken from either side; when what waits has gone both are told the end. on_end comes, `why` in it if
 * this is what ended it. Idempotent. */
void relay_leave(struct relay *r, const char *why);
/* The same at once: what waits is dropped. Idempotent. */
void relay_cut(struct relay *r, const char *why);

#endif
