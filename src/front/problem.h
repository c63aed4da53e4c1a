/* SPDX-License-Identifier: MIT
 *
 * problem: the answers that say what went wrong: application/problem+json (RFC 9457), or a short page where the client
 * asks for HTML; always with Proxy-Status (RFC 9209) and, for a 503, Retry-After. The reason word is the same in the answer,
 * the log and the counters. Loop thread.
 */
#ifndef BULKHEAD_FRONT_PROBLEM_H
#define BULKHEAD_FRONT_PROBLEM_H

#include <stdbool.h>

#include "upstream/h2o_api.h"

#include "base/buf.h"
#include "call/reason.h"
#include "front/reply.h"

struct door;

struct problem {
    enum reason reason;
    const char *detail;     /* in words; NULL: the reason's title says it all */
    const char *backend;    /* NULL: none was involved */
    struct str id;          /* request id; empty: none */
    const char *allow;      /* for 405 */
    unsigned retry_after_s; /* 0: none */
    bool close;             /* the connection ends behind the answer */
};

/* The documents, appended to out. Pure. */
void problem_put_json(const struct problem *p, struct buf *out);
void problem_put_html(const struct problem *p, struct buf *out);
/* Does this Accept field ask for a page rather than a document? Pure. */
bool problem_wants_html(struct str accept);
/* The answer, composed into the request's pool: for who must know it before it is sent. */
struct reply_whole problem_answer(h2o_req_t *req, const struct problem *p);
/* Answers the request; nothing may have been sent for it. The request may be gone on return. */
void problem_send(h2o_req_t *req, struct door *door, const struct problem *p);
/* The library's own refusals (413, 417, …) pass through this path's filters: gives them our form. `on_refused` is told of
 * each, for log and counters. */
typedef void (*problem_refused_fn)(h2o_req_t *req, enum reason reason, size_t body_bytes);
void problem_shape_library_errors(h2o_pathconf_t *path, problem_refused_fn on_refused);

#endif
