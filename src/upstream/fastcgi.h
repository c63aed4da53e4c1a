/* SPDX-License-Identifier: MIT
 *
 * fastcgi: FastCGI 1.0 framing in the Responder role, and the CGI/1.1 variables (RFC 3875 §4.1) that go with it. Pure:
 * the serialiser appends to a buffer; the parser is incremental, strict and allocates only the head buffer.
 */
#ifndef BULKHEAD_UPSTREAM_FASTCGI_H
#define BULKHEAD_UPSTREAM_FASTCGI_H

#include "upstream/http1_response.h"

#define FASTCGI_LOG_MAX 8192

struct fastcgi_params {
    const char *root, *index;
};

/* BEGIN_REQUEST, PARAMS…, empty PARAMS. The body follows as fastcgi_put_stdin pieces and one empty one. */
void fastcgi_put_request(struct buf *out, const struct call_request *request, const struct fastcgi_params *params,
                         bool keep);
void fastcgi_put_stdin(struct buf *out, struct str piece);

struct fastcgi_response {
    struct call_response head;
    const char *error;
    struct buf log; /* STDERR bytes so far; the caller takes and clears them; what is past FASTCGI_LOG_MAX is lost */
    /* private */
    struct http1_limits limits;
    struct buf head_bytes; /* the CGI head so far when it did not come in one record and read */
    struct call_field fields[HTTP1_FIELDS_MAX];
    int state;
    bool head_request, started, stdout_ended;
    unsigned char record[8], end[8]; /* the present record's head; the content of END_REQUEST */
    size_t record_have, end_have, content_left, padding_left;
    uint64_t body_left; /* when Content-Length was given */
    size_t scanned;     /* bytes of head_bytes that hold no end of a head */
};

void fastcgi_response_init(struct fastcgi_response *r, bool is_head, const struct http1_limits *limits);
void fastcgi_response_free(struct fastcgi_response *r);
enum http1_event fastcgi_response_next(struct fastcgi_response *r, char *bytes, size_t len, size_t *used,
                                       struct str *body_r);
bool fastcgi_response_started(const struct fastcgi_response *r);

#endif
