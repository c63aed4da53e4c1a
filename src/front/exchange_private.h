/* SPDX-License-Identifier: MIT
 *
 * exchange_private: what the parts of the HTTP door share about one request: how it arrived, and, when it is not
 * answered on the spot, the exchange that carries it from the gate to its last byte. Only exchange.c moves an
 * exchange's state. Loop thread.
 */
#ifndef BULKHEAD_FRONT_EXCHANGE_PRIVATE_H
#define BULKHEAD_FRONT_EXCHANGE_PRIVATE_H

#include "upstream/h2o_api.h"

#include "call/call.h"
#include "front/departure.h"
#include "front/problem.h"
#include "front/reply.h"
#include "front/share.h"
#include "gate/gate.h"

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

enum exchange_state {
    EXCHANGE_SHARED,    /* waits in its connection's line (share.waiting); `deadline`: queue_timeout, or admitted */
    EXCHANGE_QUEUED,    /* waits in gate.waiting; `deadline`: queue_timeout */
    EXCHANGE_CANCELLED, /* left the gate's queue while it was being granted; on_cancelled comes from the gate */
    EXCHANGE_RUNNING,   /* the executor has the call; `deadline`: timeout; on_done comes from the executor */
    EXCHANGE_ENDED      /* holds no place anywhere; waits for the library to let the request go */
};

struct exchange_guard;

struct exchange {
    struct call call; /* first: the executor hands us its address */
    struct list idle; /* on door.idle while unused */
    struct arrival a;
    struct exchange_guard *guard; /* in the request's pool */
    enum exchange_state state;
    enum reason reason;
    struct gate_ticket ticket;
    struct share_ticket share;
    struct deadline deadline;
    int64_t queue_deadline_us;
    struct departure departure;
    struct reply reply;
    void *body_copy;  /* HTTP/2 frees a body before it tells us that the request goes */
    bool has_ended;   /* on_end came */
    bool is_answered; /* by reply_now: a problem, not what the executor says */
    unsigned pins;    /* how many functions on the stack work on it: not to be recycled below them */
};

/* Answers at once, logs, counts, and ends the request. Nothing of `a` may be used afterwards. */
void exchange_refuse(struct arrival *a, const struct problem *p);
void exchange_answer(struct arrival *a, const struct reply_whole *answer);
/* An exchange for a request that is answered in pieces without a backend (a file); its state is ENDED. */
struct exchange *exchange_open(struct arrival *a);
/* exchange_log.c: of a request that was answered on the spot; of one whose exchange has just lost its request */
void exchange_log_answer(const struct arrival *a, enum reason reason, int status, size_t bytes);
void exchange_log_end(const struct exchange *ex, int status);
/* the request's id, made when the client sent none */
struct str exchange_id(struct arrival *a);

#endif
