/* SPDX-License-Identifier: MIT
 *
 * native: the front's side of the native frames (wire/frame.h): an incremental, strict parser for a worker's answer,
 * with the same events as the HTTP/1 parser. A worker is as untrusted as a client: what a head may hold is checked by
 * wire/frame, the order of frames and the length of the body here. Pure; it allocates only to piece together what came
 * in several reads.
 */
#ifndef BULKHEAD_UPSTREAM_NATIVE_H
#define BULKHEAD_UPSTREAM_NATIVE_H

#include "upstream/http1_response.h"
#include "wire/frame.h"

#define NATIVE_MESSAGE_MAX 256

struct native_response {
    struct call_response head; /* end-to-end fields only; names lower-cased */
    const char *error;         /* static text, or the handler's message when `failed` */
    bool failed;               /* HTTP1_ERROR because the handler said so (FRAME_FAIL) */
    /* private */
    struct http1_limits limits;
    uint64_t call;
    int state;
    bool head_request, have_head, without_body;
    bool held_used; /* `held` was handed out: start over with the next part */
    struct buf held;
    struct frame frame;
    uint64_t body_left; /* of this frame */
    uint64_t body_seen;
    char message[NATIVE_MESSAGE_MAX];
    struct frame_field fields[FRAME_FIELDS_MAX];
};

/* call: the number that the answer's frames must bear */
void native_response_init(struct native_response *r, bool is_head, uint64_t call, const struct http1_limits *limits);
void native_response_free(struct native_response *r);
/* as http1_response_next; an answer never ends by the closing of the connection */
enum http1_event native_response_next(struct native_response *r, char *bytes, size_t len, size_t *used,
                                      struct str *body_r);

#endif
