/* SPDX-License-Identifier: MIT
 *
 * exchange_private: what the parts of the HTTP door share about one request: how it arrived, and, when it is not
 * answered on the spot, the exchange that carries it from the gate to its last byte. Loop thread.
 */
#ifndef BULKHEAD_FRONT_EXCHANGE_PRIVATE_H
#define BULKHEAD_FRONT_EXCHANGE_PRIVATE_H

#include "upstream/h2o_api.h"

#include "call/call.h"
#include "front/departure.h"
#include "front/dispatch.h"
#include "front/fields.h"
#include "front/problem.h"
#include "front/reply.h"
#include "front/share.h"

struct conn;
struct door;
struct generation;
struct route;

/* A request as parsed, found safe, and routed. It lives on the stack of the handler, and in an exchange if there is
 * one. */
struct arrival {
    h2o_req_t *req; /* in an exchange: NULL once the library has let it go */
    struct conn *conn;
    struct door *door;
    struct generation *generation;
    const struct route *route; /* NULL: none yet */
    struct str path, query;    /* normalised; as received */
    struct str id;             /* X-Request-Id; empty: not needed yet */
    int64_t arrived_us, received_us;
};

struct exchange_guard;

struct exchange {
    struct dispatch d; /* first: its call's address is what the executor hands us */
    struct list idle;  /* on door.idle while unused */
    struct arrival a;
    struct exchange_guard *guard; /* in the request's pool */
    enum reason reason;
    /* HTTP/2: waits in its connection's line while share.share is set and it does not hold; `line`: queue_timeout, or
     * admitted */
    struct share_ticket share;
    struct deadline line;
    int64_t queue_until_us;
    struct departure departure;
    struct reply reply;
    /* Who waits for somebody (exchange_open) hears once that no answer is wanted any more: the client has left, or the
     * library lets the request go. NULL: nobody. */
    void (*on_gone)(struct exchange *ex);
    void *on_gone_arg;
    void *body_copy;  /* HTTP/2 frees a body before it tells us that the request goes */
    bool is_upgraded; /* to be: its session (ws_session.c) writes the log's line */
    bool is_answered; /* by reply_now: a problem, not what the executor says */
    unsigned pins;    /* how many functions on the stack work on it: not to be recycled below them */
};

/* Answers at once, logs, counts, and ends the request. Nothing of `a` may be used afterwards. */
void exchange_refuse(struct arrival *a, const struct problem *p);
void exchange_answer(struct arrival *a, const struct reply_whole *answer);
/* The request becomes a call of its route's backend. Nothing of `a` may be used afterwards. */
void exchange_call(struct arrival *a);
/* An exchange for a request that is answered in pieces without a gate (a file), or waits for somebody (on_gone). */
struct exchange *exchange_open(struct arrival *a);
/* HTTP/1: notice from now on that the client leaves; the request is then ended, and goes. */
void exchange_expect_departure(struct exchange *ex);
/* Answers one that is not begun: with a problem; with a whole answer. The request, and the exchange, may be gone. */
void exchange_fail(struct exchange *ex, enum reason reason, const char *detail);
void exchange_finish(struct exchange *ex, const struct reply_whole *answer);
/* What towards a backend the fields of the request become, and how much memory that takes. */
void exchange_describe(struct arrival *a, struct fields_request *q);
/* RFC 9110 §7.6.2: OPTIONS and TRACE are counted down on their way */
bool exchange_counts_hops(const h2o_req_t *req);
/* exchange_log.c: of a request that was answered on the spot; of one whose exchange has just lost its request */
void exchange_log_answer(const struct arrival *a, enum reason reason, int status, size_t bytes);
void exchange_log_end(const struct exchange *ex, int status);
/* the request's id, made when the client sent none */
struct str exchange_id(struct arrival *a);

static inline struct str str_of_iovec(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

static inline const struct field *fields_of(const h2o_req_t *req)
{
    return (const struct field *)req->headers.entries;
}

static inline bool exchange_is_http1(const h2o_req_t *req)
{
    return req->version < 0x200;
}

_Static_assert(sizeof(struct field) == sizeof(h2o_header_t), "fields are passed as the library holds them");
_Static_assert(offsetof(struct field, name) == offsetof(h2o_header_t, name), "same");
_Static_assert(offsetof(struct field, value) == offsetof(h2o_header_t, value), "same");
_Static_assert(sizeof(struct str) == sizeof(h2o_iovec_t), "strings are passed as the library holds them");

#endif
