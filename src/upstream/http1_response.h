/* SPDX-License-Identifier: MIT
 *
 * http1_response: a strict, incremental parser for a backend's HTTP/1 answer (RFC 9112). Pure: bytes in, events out; no
 * allocation but the head buffer; nothing a backend sends can make it do more than fail. It accepts what RFC 9112 makes
 * unambiguous and nothing else: CRLF line ends, token names, no folding, no NUL or bare CR, Content-Length of digits only and
 * once, Transfer-Encoding exactly "chunked" (any case), never both. Interim answers (1xx but 101) are skipped and counted;
 * a 101 is an error, unless the request asked for an upgrade (RFC 9110 §7.8) and http1_response_expect_upgrade said so.
 */
#ifndef BULKHEAD_UPSTREAM_HTTP1_RESPONSE_H
#define BULKHEAD_UPSTREAM_HTTP1_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "call/call.h"
#include "upstream/chunked.h"

#define HTTP1_FIELDS_MAX 128

enum http1_event {
    HTTP1_MORE, /* everything was consumed; feed more bytes */
    HTTP1_HEAD, /* response->head is valid until the next call */
    HTTP1_BODY, /* *body_r is a piece of the body, a view into the input */
    HTTP1_END,  /* complete; *used says where the answer ended; bytes behind it are not its own */
    HTTP1_ERROR /* response->error says what; nothing further may be fed */
};

struct http1_limits {
    size_t head_bytes, fields, interim, chunk_overhead;
};

struct http1_response {
    struct call_response head; /* end-to-end fields only; names lower-cased */
    bool keep_alive;           /* the connection may be used again after END */
    int64_t keep_alive_s;      /* `timeout` of a Keep-Alive field, -1 when absent */
    const char *error;         /* static text */
    struct str upgrade;        /* of a 101: what the connection speaks now; valid as long as `head` */
    /* private */
    struct http1_limits limits;
    struct buf line; /* the head so far when it did not come in one piece */
    struct call_field fields[HTTP1_FIELDS_MAX];
    int state;
    bool head_request, started, may_upgrade;
    size_t interim;
    uint64_t left; /* bytes of a body of known length still to come */
    struct chunked chunked;
    size_t scanned; /* bytes of `line` that hold no end of a head */
};

/* is_head: the request was HEAD, so no body follows whatever the fields say */
void http1_response_init(struct http1_response *r, bool is_head, const struct http1_limits *limits);
void http1_response_free(struct http1_response *r);
/* From here on a 101 is a final answer without a body, when it is an unambiguous one: HTTP/1.1, `upgrade` among its
 * Connection options, exactly one Upgrade field with one protocol in it. What is behind its end is not HTTP any more. */
void http1_response_expect_upgrade(struct http1_response *r);
/* Consumes from bytes[*used..len) and moves *used. Call until HTTP1_MORE, HTTP1_END or HTTP1_ERROR. */
enum http1_event http1_response_next(struct http1_response *r, char *bytes, size_t len, size_t *used,
                                     struct str *body_r);
/* The peer closed: HTTP1_END for a body that ends by close, else HTTP1_ERROR ("truncated"), also before any byte. */
enum http1_event http1_response_eof(struct http1_response *r);
/* true once any byte of a final or interim answer was fed: then a request must not be retried */
bool http1_response_started(const struct http1_response *r);

#endif
