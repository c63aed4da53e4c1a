/* SPDX-License-Identifier: MIT
 *
 * upgrade: asks a backend to turn a fresh HTTP/1.1 connection into something else (RFC 9110 §7.8): connects, sends the
 * GET, reads one strict answer head, and hands over the socket, or what the backend said instead. Our own client, since
 * a backend's bytes are a stranger's. One loop thread.
 */
#ifndef BULKHEAD_UPSTREAM_UPGRADE_H
#define BULKHEAD_UPSTREAM_UPGRADE_H

#include "base/buf.h"
#include "call/call.h"
#include "upstream/http1_response.h"

struct st_h2o_socket_t;
struct upgrade;

/* a refusal's body is read up to here; of one that is longer only the head is told, without Content-Type and
 * Content-Encoding, and `body` is empty */
#define UPGRADE_BODY_MAX (64 * 1024)

enum upgrade_outcome {
    UPGRADE_DONE,          /* 101: `sock` is the caller's, with what came behind the head as its input */
    UPGRADE_REFUSED,       /* another status, 200..599: `head` and `body` are the answer */
    UPGRADE_NO_CONNECTION, /* refused, or not within the connect timeout */
    UPGRADE_TIMEOUT,       /* no whole answer within the answer timeout */
    UPGRADE_RESET,         /* closed before the end of the answer */
    UPGRADE_GARBAGE        /* no HTTP/1.1, or a 101 that is not about the protocol that was asked for */
};

struct upgrade_result {
    enum upgrade_outcome outcome;
    const char *detail;           /* in words; NULL for DONE and REFUSED */
    struct st_h2o_socket_t *sock; /* in the library's "tell me, don't read" mode, reading stopped, no callbacks set */
    /* DONE: the fields of the 101 but Connection and Upgrade, hop-by-hop ones dropped; `protocol`: its Upgrade field.
     * REFUSED: as of any answer. Valid during the callback. */
    const struct call_response *head;
    struct str protocol;
    struct str body;
};

struct upgrade_options {
    const struct sockaddr *address; /* copied */
    socklen_t address_len;
    struct http1_limits limits;
    /* until connected; from then on until the end of the answer. Below 0 or CLOCK_NEVER: none */
    int64_t connect_timeout_us, answer_timeout_us;
};

/* `request`: method GET, no body, end-to-end fields, among them Host and what the protocol wants (Sec-WebSocket-Key…);
 * `protocol` is the Upgrade field, of whose protocols the backend takes one. Both are copied. on_end comes exactly once, never before this returns, unless
 * upgrade_cancel comes first; the upgrade is gone when it returns. */
struct upgrade *upgrade_start(struct loop *loop, const struct upgrade_options *options,
                              const struct call_request *request, struct str protocol,
                              void (*on_end)(void *arg, const struct upgrade_result *result), void *arg);
/* No on_end comes any more; closes the connection. */
void upgrade_cancel(struct upgrade *u);

#endif
