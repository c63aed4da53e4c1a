/* SPDX-License-Identifier: MIT
 *
 * call: one unit of work: an HTTP request, or a WebSocket message; sub-requests later. A door makes it, a gate
 * admits it, an executor runs it; it ends exactly once with one outcome. A call belongs to one loop thread: every
 * callback below runs there, and nobody else touches it.
 *
 * Memory. The request view is borrowed from the door. While `detached` is false it is valid; when the client leaves
 * during execution the door calls call_detach, after which only `method`, `path` (copied) and the unsent part of `body`
 * (copied) remain, fields are gone, and the executor must not serialise the request again.
 */
#ifndef BULKHEAD_CALL_CALL_H
#define BULKHEAD_CALL_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/str.h"
#include "call/loop.h"
#include "call/reason.h"

enum call_class { CALL_CLASS_LOOP, CALL_CLASS_THREADS, CALL_CLASS_WORKERS, CALL_CLASS_COUNT };
const char *call_class_name(enum call_class c);

struct call_field {
    struct str name; /* lower case */
    struct str value;
};

/* What is asked of a handler. The kinds of WebSocket calls are told apart by a module only; to any other program they
 * are a POST, see front/ws_messages.c. */
enum call_kind { CALL_HTTP, CALL_WS_OPEN, CALL_WS_MESSAGE, CALL_WS_CLOSE, CALL_KIND_COUNT };

struct call_request {
    enum call_kind kind;
    unsigned ws_opcode;    /* CALL_WS_MESSAGE: 1 text, 2 binary */
    unsigned ws_code;      /* CALL_WS_CLOSE: the close code; 1005: none, 1006: the connection broke */
    struct str connection; /* id of the WebSocket connection; empty: CALL_HTTP */
    struct str method;
    struct str path;      /* normalised, origin-form, without the query; what was routed is what is forwarded */
    struct str query;     /* without '?'; base NULL when there was none */
    struct str scheme;    /* "http" or "https" */
    struct str authority; /* Host, as validated */
    struct str id;        /* X-Request-Id, kept or made */
    struct str peer;      /* textual address, "unix:" for Unix sockets */
    /* end-to-end fields plus our own (Host, X-Forwarded-*, Via…): forward all, no others */
    const struct call_field *fields;
    size_t nfields;
    struct str body; /* whole, in memory or mapped */
};

struct call_response {
    int status;                      /* 200..599; interim answers never get here */
    const struct call_field *fields; /* end-to-end only: hop-by-hop and framing fields are gone; validated */
    size_t nfields;
    int64_t content_length; /* -1: not known */
};

/* A copy of the fields with their text, in one block that the caller frees */
struct call_field *call_fields_copy(const struct call_field *fields, size_t nfields);

struct call;

/* What an executor tells whoever made the call. Always on the call's loop, never before executor_start returns.
 * Order: on_head? on_body* on_end on_done, each at most once but on_body. on_end is not called once the call was
 * abandoned; on_done always is, exactly once, when the work has really ended: it is what frees the gate's slot. */
struct call_sink {
    /* the pointers are valid during the callback only */
    void (*on_head)(struct call *call, const struct call_response *head);
    /* returns false when the sink is full: the executor stops reading until executor_resume. May not free the call. */
    bool (*on_body)(struct call *call, struct str bytes);
    /* REASON_NONE: complete. Otherwise failed: before on_head the sink can still answer; after it the answer is cut. */
    void (*on_end)(struct call *call, enum reason reason, const char *detail);
    /* the last callback; the sink may free the call */
    void (*on_done)(struct call *call);
};

struct call {
    uint32_t magic;
    bool detached;
    struct loop *loop;
    const struct call_sink *sink;
    struct call_request request;
    size_t body_sent; /* bytes of request.body that the executor has taken so far */
    int64_t arrived_us, received_us, queued_us, started_us, ended_us; /* monotonic; 0: not reached */
    int64_t deadline_us;                                              /* end of execution; CLOCK_NEVER: none */
    /* set by the executor for log and status */
    pid_t worker_pid;
    unsigned attempts;
    void *executor_data; /* the executor's, from start to on_done */
    void *owned;         /* call_detach's copies */
};

#define CALL_MAGIC 0x63616c6cu

/* The next at most `max` unsent body bytes, and moves the cursor; valid until the executor returns to the loop. */
struct str call_body_take(struct call *call, size_t max);
/* Copies what must outlive the request (see above); idempotent. call_cleanup frees the copies. */
void call_detach(struct call *call);
void call_cleanup(struct call *call);
/* RFC 9110 §9.2.2 */
bool call_method_idempotent(struct str method);

#endif
