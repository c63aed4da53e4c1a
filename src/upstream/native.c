/* SPDX-License-Identifier: MIT
 *
 * native: a worker's frames, one after another: the fixed part, then the head, then the body. Parts that lie whole in
 * the input are looked at where they are; only torn ones are copied together. Every event leaves the parser ready for
 * the next call, so views handed out stay valid until then.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "upstream/native.h"

enum native_state {
    NATIVE_FIXED,   /* waits for a frame's fixed part */
    NATIVE_HEAD,    /* waits for a response head */
    NATIVE_BODY,    /* body bytes of the frame are still to come */
    NATIVE_MESSAGE, /* waits for the words of FRAME_FAIL */
    NATIVE_OVER     /* complete or broken: nothing may be fed any more */
};

/* frame fields are handed out as call fields where they are */
_Static_assert(sizeof(struct frame_field) == sizeof(struct call_field), "fields of frames and calls differ");
_Static_assert(offsetof(struct frame_field, value) == offsetof(struct call_field, value),
               "fields of frames and calls differ");

void native_response_init(struct native_response *r, bool is_head, uint64_t call, const struct http1_limits *limits)
{
    r->head = (struct call_response){.content_length = -1};
    r->error = NULL;
    r->failed = false;
    r->limits = *limits;
    r->call = call;
    r->state = NATIVE_FIXED;
    r->head_request = is_head;
    r->have_head = r->without_body = r->held_used = false;
    r->held = (struct buf){0};
    r->body_left = r->body_seen = 0;
}

void native_response_free(struct native_response *r)
{
    buf_free(&r->held);
}

static enum http1_event broken(struct native_response *r, const char *error)
{
    r->state = NATIVE_OVER;
    r->error = error;
    return HTTP1_ERROR;
}

/* The next `need` bytes in one piece, or NULL when they are not all there yet (then all input was taken). */
static char *gather(struct native_response *r, char *bytes, size_t len, size_t *used, size_t need)
{
    if (r->held_used) {
        buf_clear(&r->held);
        r->held_used = false;
    }
    size_t have = len - *used;
    if (r->held.len == 0 && have >= need) {
        char *whole = bytes + *used;
        *used += need;
        return whole;
    }
    size_t take = need - r->held.len;
    if (take > have)
        take = have;
    if (take != 0)
        buf_append(&r->held, bytes + *used, take);
    *used += take;
    if (r->held.len < need)
        return NULL;
    r->held_used = true;
    return r->held.base;
}

/* The frame's body bytes come next, unless they are more than the head allows. */
static bool enter_body(struct native_response *r)
{
    r->state = NATIVE_BODY;
    return r->without_body || r->head.content_length < 0 ||
           r->body_left <= (uint64_t)r->head.content_length - r->body_seen;
}

static enum http1_event take_head(struct native_response *r, const char *bytes)
{
    struct frame_response decoded;
    if (!frame_get_response(&decoded, r->fields, bytes, r->frame.head_len))
        return broken(r, "malformed head in a native frame");
    if (decoded.nfields > r->limits.fields)
        return broken(r, "too many header fields");
    r->head.status = decoded.status;
    r->head.fields = (const struct call_field *)r->fields;
    r->head.nfields = decoded.nfields;
    r->head.content_length = decoded.content_length;
    r->without_body = r->head_request || decoded.status == 204 || decoded.status == 304;
    r->have_head = true;
    if (!enter_body(r))
        return broken(r, "body longer than its declared length");
    return HTTP1_HEAD;
}

/* The body bytes of a frame are through: the next frame, or the end. */
static enum http1_event frame_over(struct native_response *r)
{
    bool last = r->frame.type == FRAME_END || (r->frame.flags & FRAME_LAST) != 0;
    if (!last) {
        r->state = NATIVE_FIXED;
        return HTTP1_MORE;
    }
    if (!r->without_body && r->head.content_length >= 0 && r->body_seen != (uint64_t)r->head.content_length)
        return broken(r, "body shorter than its declared length");
    r->state = NATIVE_OVER;
    return HTTP1_END;
}

static enum http1_event take_body(struct native_response *r, char *bytes, size_t len, size_t *used, struct str *body_r)
{
    size_t piece = len - *used;
    if (piece > r->body_left)
        piece = (size_t)r->body_left;
    *body_r = (struct str){bytes + *used, piece};
    *used += piece;
    r->body_left -= piece;
    r->body_seen += piece;
    return piece == 0 || r->without_body ? HTTP1_MORE : HTTP1_BODY;
}

/* The words of a failure, cut to what a log line bears. */
static enum http1_event take_message(struct native_response *r, const char *bytes)
{
    size_t n = r->frame.head_len < NATIVE_MESSAGE_MAX ? r->frame.head_len : NATIVE_MESSAGE_MAX - 1;
    for (size_t i = 0; i < n; i++)
        r->message[i] = lexis_is(bytes[i], LEXIS_VALUE) ? bytes[i] : ' ';
    r->message[n] = '\0';
    r->failed = true;
    return broken(r, n == 0 ? "the handler failed" : r->message);
}

static const char *misplaced(const struct native_response *r)
{
    const struct frame *f = &r->frame;
    if (f->call != r->call)
        return "frame of another call";
    switch (f->type) {
    case FRAME_HEAD:
        if (r->have_head)
            return "second head in a native answer";
        return f->head_len > r->limits.head_bytes ? "response head over the limit" : NULL;
    case FRAME_BODY:
    case FRAME_END:
        return r->have_head ? NULL : "native answer without a head";
    case FRAME_FAIL:
        return NULL;
    default:
        return "frame of a type that workers do not send";
    }
}

static enum http1_event take_fixed(struct native_response *r, const char *bytes)
{
    if (frame_get(&r->frame, bytes, FRAME_HEAD_BYTES) != 1)
        return broken(r, "not a native frame");
    const char *wrong = misplaced(r);
    if (wrong != NULL)
        return broken(r, wrong);
    r->body_left = r->frame.body_len;
    switch (r->frame.type) {
    case FRAME_HEAD:
        r->state = NATIVE_HEAD;
        break;
    case FRAME_FAIL:
        r->state = NATIVE_MESSAGE;
        break;
    default:
        if (!enter_body(r))
            return broken(r, "body longer than its declared length");
        break;
    }
    return HTTP1_MORE;
}

/* One step; HTTP1_MORE means "look again while input is left or nothing more is awaited". */
static enum http1_event step(struct native_response *r, char *bytes, size_t len, size_t *used, struct str *body_r)
{
    char *part;
    switch (r->state) {
    case NATIVE_FIXED:
        part = gather(r, bytes, len, used, FRAME_HEAD_BYTES);
        return part == NULL ? HTTP1_MORE : take_fixed(r, part);
    case NATIVE_HEAD:
        part = gather(r, bytes, len, used, r->frame.head_len);
        return part == NULL ? HTTP1_MORE : take_head(r, part);
    case NATIVE_BODY:
        return r->body_left == 0 ? frame_over(r) : take_body(r, bytes, len, used, body_r);
    case NATIVE_MESSAGE:
        part = gather(r, bytes, len, used, r->frame.head_len);
        return part == NULL ? HTTP1_MORE : take_message(r, part);
    default:
        return broken(r, "bytes behind the end of the answer");
    }
}

enum http1_event native_response_next(struct native_response *r, char *bytes, size_t len, size_t *used,
                                      struct str *body_r)
{
    assert(r->state != NATIVE_OVER);
    for (;;) {
        enum http1_event event = step(r, bytes, len, used, body_r);
        if (event != HTTP1_MORE)
            return event;
        bool needs_no_input =
            (r->state == NATIVE_BODY && r->body_left == 0) || (r->state == NATIVE_MESSAGE && r->frame.head_len == 0);
        if (*used == len && !needs_no_input)
            return HTTP1_MORE;
    }
}
