/* SPDX-License-Identifier: MIT
 *
 * protocol: the protocols that backends speak (HTTP/1.1, FastCGI, native frames) behind one table of functions, so that
 * the connection (upstream/hop.h) and the executors need not know which one it is. Pure: requests are appended to a
 * buffer, answers are bytes in and events out. The state of one answer belongs to the connection; begin and end bracket
 * its use, and between them nothing but the running answer's memory is held. Loop thread.
 */
#ifndef BULKHEAD_UPSTREAM_PROTOCOL_H
#define BULKHEAD_UPSTREAM_PROTOCOL_H

#include "upstream/fastcgi.h"
#include "upstream/http1_response.h"
#include "upstream/native.h"

/* Frozen; shared by all connections of an executor */
struct protocol_options {
    struct http1_limits limits;
    struct fastcgi_params fastcgi;
    const char *backend; /* name, for messages */
    bool keep;           /* ask for a connection that stays open */
};

struct protocol_answer {
    const struct call_response *head; /* after HTTP1_HEAD, until the next call */
    const char *error;                /* after HTTP1_ERROR */
    bool failed;                      /* HTTP1_ERROR: the handler's own word that it failed, not garbage */
    unsigned logged;                  /* lines of FastCGI's error stream passed on so far */
    const struct protocol_options *options;
    union {
        struct http1_response http1;
        struct fastcgi_response fastcgi;
        struct native_response native;
    } parser;
};

struct protocol {
    const char *name;
    /* the peer is our own and never closes a connection that waits for a request */
    bool idle_is_safe;
    /* `number`: the exchange's number on its connection, from 1 */
    void (*begin)(struct protocol_answer *a, const struct protocol_options *o, bool is_head, uint64_t number);
    void (*end)(struct protocol_answer *a);
    /* false: the request is too large for this protocol; nothing was appended */
    bool (*put_head)(struct buf *out, const struct call *call, const struct protocol_options *o, uint64_t number);
    void (*put_body)(struct buf *out, struct str piece);  /* never empty */
    void (*put_body_end)(struct buf *out);                /* NULL: the head says how long the body is */
    void (*put_cancel)(struct buf *out, uint64_t number); /* NULL: cannot be said */
    /* as http1_response_next and http1_response_eof; HTTP1_ERROR fills `error` and `failed` */
    enum http1_event (*next)(struct protocol_answer *a, char *bytes, size_t len, size_t *used, struct str *body_r);
    enum http1_event (*eof)(struct protocol_answer *a);
    /* after HTTP1_END: how long the peer keeps the connection idle. 0: not at all; CLOCK_NEVER: it did not say */
    int64_t (*keep_us)(const struct protocol_answer *a);
};

extern const struct protocol protocol_http1, protocol_fastcgi, protocol_native;

#endif
