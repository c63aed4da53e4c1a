/* SPDX-License-Identifier: MIT
 *
 * access_log: one line a call, formatted straight into the thread's ring (diag/writer.h): no allocation, no system
 * call, no printf. A full ring drops the line; the writer counts it. JSON lines carry every value under its name; text
 * lines the same values in the order of the table in bulkhead.conf(5). Bytes of the request are escaped, so that a
 * line stays a line and valid JSON whatever a client sent. Pure but for the ring; loop thread.
 *
 * A WebSocket has a line when it opens, which stands for its handshake's request, one when it closes, and, where the
 * route asks for it, one for each message's call. They have the columns of a request's line, with the protocol
 * "websocket" and the methods OPEN, CLOSE, TEXT and BINARY, and their own values behind.
 */
#ifndef BULKHEAD_FRONT_ACCESS_LOG_H
#define BULKHEAD_FRONT_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "call/reason.h"

struct writer_ring;

enum access_format { ACCESS_JSON, ACCESS_TEXT };

struct access_record {
    int64_t wall_us;                     /* when the request had arrived, µs since the epoch */
    struct str id, peer, method, target; /* target: as received, with its query */
    const char *protocol;                /* "HTTP/1.1" */
    int status;                          /* OPEN: 101; CLOSE: the close code, 1005 for none, 1006 for no close at all */
    uint64_t bytes;                      /* of the answer's body */
    const char *route;                   /* file:line; NULL: none */
    const char *backend;                 /* NULL: answered without one */
    const char *run;                     /* execution class; NULL: none */
    pid_t worker;                        /* 0: none */
    unsigned attempts;
    enum reason reason;
    const char *outcome; /* "ok" "refused" "failed" "abandoned" */
    int64_t upload_us, queue_us, service_us, total_us;
    /* a WebSocket's line */
    struct str connection;              /* its id; empty: this is a request's line, and the rest is not used */
    uint64_t bytes_in;                  /* payload from the client; `bytes` is what went to it */
    uint64_t messages_in, messages_out; /* CLOSE */
    const char *closed_by;              /* CLOSE: "client" "bulkhead" "backend" "lost"; NULL: another line */
    const char *why;                    /* CLOSE: in words */
};

/* The text of the second that was printed last; one a thread. */
struct access_stamp {
    int64_t second;
    char text[20]; /* "2026-01-31T23:59:59." */
};

/* has_run: an executor had it */
const char *access_log_outcome(enum reason reason, bool has_run);
/* The most that access_log_format writes for this record */
size_t access_log_max(const struct access_record *record);
/* Writes the line with its newline; returns its length. */
size_t access_log_format(enum access_format format, const struct access_record *record, struct access_stamp *stamp,
                         char *out);
void access_log_write(struct writer_ring *ring, enum access_format format, const struct access_record *record,
                      struct access_stamp *stamp);

#endif
