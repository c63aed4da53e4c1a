/* SPDX-License-Identifier: MIT
 *
 * frame: the native protocol between the front and bulkhead-worker: binary frames over a Unix stream socket, one call at
 * a time per connection. Pure: bytes in, views out. All numbers are little-endian, as both ends are one machine.
 *
 * front → worker: REQUEST (head, then body_len bytes of body behind it); CANCEL (the client has left: the handler may look).
 * worker → front: HEAD, then BODY*, then END; or FAIL at any time before END. A short answer is one HEAD frame with
 * FRAME_LAST set whose payload holds head and body together. Every frame names its call; an answer to another call than
 * the running one is garbage and costs the connection.
 */
#ifndef BULKHEAD_WIRE_FRAME_H
#define BULKHEAD_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define FRAME_VERSION    2
#define FRAME_HEAD_BYTES 24
#define FRAME_HEAD_MAX   (96 * 1024) /* a request's or response's head part */
#define FRAME_FIELDS_MAX 128
#define FRAME_FAIL_MAX   1024

enum frame_type { FRAME_REQUEST = 1, FRAME_CANCEL, FRAME_HEAD = 16, FRAME_BODY, FRAME_END, FRAME_FAIL, FRAME_TYPE_END };
#define FRAME_LAST 1u /* flag: the call ends with this frame; END and FAIL always have it, HEAD may */

struct frame {
    uint8_t version, type;
    uint16_t flags;
    uint32_t head_len; /* bytes of structured head behind the fixed part */
    uint64_t body_len; /* bytes of raw body behind the head */
    uint64_t call;     /* the call's number on this connection, from 1 */
};

struct frame_field {
    struct str name, value;
};

/* What is asked of the handler: the values of enum call_kind, which this room does not know. */
enum frame_kind { FRAME_HTTP, FRAME_WS_OPEN, FRAME_WS_MESSAGE, FRAME_WS_CLOSE, FRAME_KIND_COUNT };

struct frame_request {
    int64_t timeout_us; /* time left for execution; INT64_MAX: none */
    enum frame_kind kind;
    unsigned opcode;     /* FRAME_WS_MESSAGE: 1 text, 2 binary; else 0 */
    unsigned close_code; /* FRAME_WS_CLOSE: 1000..4999; else 0 */
    struct str method, path, query /* base NULL: none */, scheme, authority, peer, id;
    struct str connection; /* empty for FRAME_HTTP, and only then */
    const struct frame_field *fields;
    size_t nfields;
};

struct frame_response {
    int status;
    const struct frame_field *fields;
    size_t nfields;
    int64_t content_length; /* -1: not known (body in pieces) */
};

/* Appends the fixed part and the head; the caller appends or writes body_len body bytes behind it. The head must
 * fit: FRAME_FIELDS_MAX fields and FRAME_HEAD_MAX bytes. */
bool frame_request_fits(const struct frame_request *r);
bool frame_response_fits(const struct frame_response *r);
void frame_put_request(struct buf *out, uint64_t call, const struct frame_request *r, uint64_t body_len);
void frame_put_cancel(struct buf *out, uint64_t call);
void frame_put_response(struct buf *out, uint64_t call, const struct frame_response *r, uint64_t body_len, bool last);
void frame_put_body(struct buf *out, uint64_t call, uint64_t body_len);
void frame_put_end(struct buf *out, uint64_t call);
/* the message is the head part of the frame: head_len bytes of text, cut at FRAME_FAIL_MAX */
void frame_put_fail(struct buf *out, uint64_t call, struct str message);

/* 1: frame_r filled; 0: needs FRAME_HEAD_BYTES; -1: garbage (version, type, flags or lengths) */
int frame_get(struct frame *frame_r, const char *bytes, size_t len);
/* Decode a head of frame->head_len bytes; views into it. fields must hold FRAME_FIELDS_MAX. false: garbage.
 * Of a request, lengths and what goes with its kind are checked.
 * A response is checked as a stranger's: status 200..599, lower-case token names, no control bytes in values; hop-by-hop
 * fields and Content-Length are dropped. Names are lower-cased by frame_put_response. */
bool frame_get_request(struct frame_request *r, struct frame_field *fields, const char *head, size_t head_len);
bool frame_get_response(struct frame_response *r, struct frame_field *fields, const char *head, size_t head_len);

#endif
