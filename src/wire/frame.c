/* SPDX-License-Identifier: MIT
 *
 * frame: encodes and decodes the frames of frame.h. Every call to a native worker passes here four times (a request and
 * an answer, each written and read), so a head is one reserved run of bytes: a fixed part, the lengths of all fields,
 * then all texts back to back. Nothing is terminated or aligned: lengths are copied out before use. Pure; any thread.
 *
 * The two directions differ in trust. The front checks what a worker sends to the letter, since the texts go into
 * answers to clients: names are tokens, values have no control bytes, what belongs to one connection is dropped. The
 * worker checks lengths, and what belongs to a kind of call: its requests come from the front.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "wire/frame.h"

/* Both structs are copied as they stand; no padding anywhere. */
struct request_part {
    int64_t timeout_us;
    uint32_t method, path, query, scheme, authority, peer, id, connection; /* lengths */
    uint32_t nfields;
    uint8_t kind, opcode;
    uint16_t close_code;
};

struct response_part {
    int64_t content_length;
    uint32_t status;
    uint32_t nfields;
};

struct field_part {
    uint32_t name, value;
};

static_assert(sizeof(struct frame) == FRAME_HEAD_BYTES, "the fixed part is sent as it is in memory");
static_assert(sizeof(struct request_part) == 48 && sizeof(struct response_part) == 16, "no padding crosses the wire");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied in memory order");

#define NO_QUERY UINT32_MAX

/* --- writing ------------------------------------------------------------------------------------------------------ */

static char *put(char *at, const void *bytes, size_t len)
{
    if (len != 0)
        memcpy(at, bytes, len);
    return at + len;
}

static char *put_str(char *at, struct str s)
{
    return put(at, s.base, s.len);
}

static char *put_fixed(char *at, enum frame_type type, uint16_t flags, uint64_t call, size_t head_len,
                       uint64_t body_len)
{
    const struct frame f = {FRAME_VERSION, (uint8_t)type, flags, (uint32_t)head_len, body_len, call};
    return put(at, &f, sizeof(f));
}

static void put_bare(struct buf *out, enum frame_type type, uint16_t flags, uint64_t call, uint64_t body_len)
{
    put_fixed(buf_reserve(out, FRAME_HEAD_BYTES), type, flags, call, 0, body_len);
    out->len += FRAME_HEAD_BYTES;
}

static size_t fields_bytes(const struct frame_field *fields, size_t n)
{
    size_t bytes = n * sizeof(struct field_part);
    for (size_t i = 0; i < n; i++)
        bytes += fields[i].name.len + fields[i].value.len;
    return bytes;
}

static size_t query_bytes(const struct frame_request *r)
{
    return r->query.base == NULL ? 0 : r->query.len;
}

static size_t request_head_bytes(const struct frame_request *r)
{
    return sizeof(struct request_part) + r->method.len + r->path.len + query_bytes(r) + r->scheme.len +
           r->authority.len + r->peer.len + r->id.len + r->connection.len + fields_bytes(r->fields, r->nfields);
}

static size_t response_head_bytes(const struct frame_response *r)
{
    return sizeof(struct response_part) + fields_bytes(r->fields, r->nfields);
}

bool frame_request_fits(const struct frame_request *r)
{
    return r->nfields <= FRAME_FIELDS_MAX && request_head_bytes(r) <= FRAME_HEAD_MAX;
}

bool frame_response_fits(const struct frame_response *r)
{
    return r->nfields <= FRAME_FIELDS_MAX && response_head_bytes(r) <= FRAME_HEAD_MAX;
}

static char *put_lengths(char *at, const struct frame_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct field_part part = {(uint32_t)fields[i].name.len, (uint32_t)fields[i].value.len};
        at = put(at, &part, sizeof(part));
    }
    return at;
}

void frame_put_request(struct buf *out, uint64_t call, const struct frame_request *r, uint64_t body_len)
{
    const struct request_part part = {
        r->timeout_us,
        (uint32_t)r->method.len,
        (uint32_t)r->path.len,
        r->query.base == NULL ? NO_QUERY : (uint32_t)r->query.len,
        (uint32_t)r->scheme.len,
        (uint32_t)r->authority.len,
        (uint32_t)r->peer.len,
        (uint32_t)r->id.len,
        (uint32_t)r->connection.len,
        (uint32_t)r->nfields,
        (uint8_t)r->kind,
        (uint8_t)r->opcode,
        (uint16_t)r->close_code,
    };
    size_t head_len = request_head_bytes(r);
    assert(r->nfields <= FRAME_FIELDS_MAX && head_len <= FRAME_HEAD_MAX);

    char *at = buf_reserve(out, FRAME_HEAD_BYTES + head_len);
    at = put_fixed(at, FRAME_REQUEST, 0, call, head_len, body_len);
    at = put(at, &part, sizeof(part));
    at = put_lengths(at, r->fields, r->nfields);
    at = put_str(at, r->method);
    at = put_str(at, r->path);
    at = put(at, r->query.base, query_bytes(r));
    at = put_str(at, r->scheme);
    at = put_str(at, r->authority);
    at = put_str(at, r->peer);
    at = put_str(at, r->id);
    at = put_str(at, r->connection);
    for (size_t i = 0; i < r->nfields; i++)
        at = put_str(put_str(at, r->fields[i].name), r->fields[i].value);
    out->len = (size_t)(at - out->base);
}

void frame_put_cancel(struct buf *out, uint64_t call)
{
    put_bare(out, FRAME_CANCEL, 0, call, 0);
}

/* what is no tchar goes out as it is: the front refuses it */
static char *put_lower(char *at, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t folded = lexis_lower_token[(uint8_t)name.base[i]];
        *at++ = folded != 0 ? (char)folded : name.base[i];
    }
    return at;
}

void frame_put_response(struct buf *out, uint64_t call, const struct frame_response *r, uint64_t body_len, bool last)
{
    const struct response_part part = {r->content_length, (uint32_t)r->status, (uint32_t)r->nfields};
    size_t head_len = response_head_bytes(r);
    assert(r->nfields <= FRAME_FIELDS_MAX && head_len <= FRAME_HEAD_MAX);

    char *at = buf_reserve(out, FRAME_HEAD_BYTES + head_len);
    at = put_fixed(at, FRAME_HEAD, last ? FRAME_LAST : 0, call, head_len, body_len);
    at = put(at, &part, sizeof(part));
    at = put_lengths(at, r->fields, r->nfields);
    for (size_t i = 0; i < r->nfields; i++)
        at = put_str(put_lower(at, r->fields[i].name), r->fields[i].value);
    out->len = (size_t)(at - out->base);
}

void frame_put_body(struct buf *out, uint64_t call, uint64_t body_len)
{
    put_bare(out, FRAME_BODY, 0, call, body_len);
}

void frame_put_end(struct buf *out, uint64_t call)
{
    put_bare(out, FRAME_END, FRAME_LAST, call, 0);
}

void frame_put_fail(struct buf *out, uint64_t call, struct str message)
{
    if (message.len > FRAME_FAIL_MAX)
        message.len = FRAME_FAIL_MAX;
    char *at = buf_reserve(out, FRAME_HEAD_BYTES + message.len);
    at = put_str(put_fixed(at, FRAME_FAIL, FRAME_LAST, call, message.len, 0), message);
    out->len = (size_t)(at - out->base);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* What each type may say in its fixed part. HEAD alone may or may not be the last. */
static bool fixed_part_valid(const struct frame *f)
{
    if (f->version != FRAME_VERSION || f->call == 0 || f->body_len > INT64_MAX)
        return false;
    switch (f->type) {
    case FRAME_REQUEST:
        return f->flags == 0 && f->head_len >= sizeof(struct request_part) && f->head_len <= FRAME_HEAD_MAX;
    case FRAME_HEAD:
        return (f->flags & ~FRAME_LAST) == 0 && f->head_len >= sizeof(struct response_part) &&
               f->head_len <= FRAME_HEAD_MAX;
    case FRAME_BODY:
        return f->flags == 0 && f->head_len == 0;
    case FRAME_CANCEL:
        return f->flags == 0 && f->head_len == 0 && f->body_len == 0;
    case FRAME_END:
        return f->flags == FRAME_LAST && f->head_len == 0 && f->body_len == 0;
    case FRAME_FAIL:
        return f->flags == FRAME_LAST && f->head_len <= FRAME_FAIL_MAX && f->body_len == 0;
    default:
        return false;
    }
}

int frame_get(struct frame *frame_r, const char *bytes, size_t len)
{
    if (len < FRAME_HEAD_BYTES)
        return 0;
    memcpy(frame_r, bytes, FRAME_HEAD_BYTES);
    return fixed_part_valid(frame_r) ? 1 : -1;
}

/* The texts of a head, in order. One that claims more than is left makes `bad` true and is empty. */
struct reader {
    const char *at, *end;
    bool bad;
};

static struct str take(struct reader *r, size_t len)
{
    if (len > (size_t)(r->end - r->at)) {
        r->bad = true;
        return STR_NONE;
    }
    struct str s = {(char *)r->at, len};
    r->at += len;
    return s;
}

/* the lengths of n fields, which stand at the reader's place; NULL when there are not so many */
static const char *take_lengths(struct reader *r, uint32_t n)
{
    if (n > FRAME_FIELDS_MAX)
        return NULL;
    struct str lengths = take(r, n * sizeof(struct field_part));
    return r->bad ? NULL : lengths.base;
}

static struct frame_field take_field(struct reader *r, const char *lengths, size_t i)
{
    struct field_part part;
    memcpy(&part, lengths + i * sizeof(part), sizeof(part));
    struct frame_field f;
    f.name = take(r, part.name);
    f.value = take(r, part.value);
    return f;
}

/* a member that does not go with the kind is zero */
static bool kind_valid(const struct request_part *part)
{
    bool is_message = part->kind == FRAME_WS_MESSAGE, is_close = part->kind == FRAME_WS_CLOSE;
    return part->kind < FRAME_KIND_COUNT && (part->connection == 0) == (part->kind == FRAME_HTTP) &&
           (is_message ? part->opcode == 1 || part->opcode == 2 : part->opcode == 0) &&
           (is_close ? part->close_code >= 1000 && part->close_code <= 4999 : part->close_code == 0);
}

bool frame_get_request(struct frame_request *r, struct frame_field *fields, const char *head, size_t head_len)
{
    struct request_part part;
    if (head_len < sizeof(part))
        return false;
    memcpy(&part, head, sizeof(part));
    struct reader in = {head + sizeof(part), head + head_len, false};
    const char *lengths = take_lengths(&in, part.nfields);
    if (lengths == NULL || !kind_valid(&part))
        return false;
    r->timeout_us = part.timeout_us;
    r->kind = (enum frame_kind)part.kind;
    r->opcode = part.opcode;
    r->close_code = part.close_code;
    r->method = take(&in, part.method);
    r->path = take(&in, part.path);
    r->query = part.query == NO_QUERY ? STR_NONE : take(&in, part.query);
    r->scheme = take(&in, part.scheme);
    r->authority = take(&in, part.authority);
    r->peer = take(&in, part.peer);
    r->id = take(&in, part.id);
    r->connection = take(&in, part.connection);
    for (uint32_t i = 0; i < part.nfields; i++)
        fields[i] = take_field(&in, lengths, i);
    r->fields = fields;
    r->nfields = part.nfields;
    return !in.bad && in.at == in.end && r->method.len != 0 && r->path.len != 0;
}

static bool name_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = (uint8_t)name.base[i];
        if (c == 0 || lexis_lower_token[c] != c)
            return false;
    }
    return name.len != 0;
}

bool frame_get_response(struct frame_response *r, struct frame_field *fields, const char *head, size_t head_len)
{
    struct response_part part;
    if (head_len < sizeof(part))
        return false;
    memcpy(&part, head, sizeof(part));
    struct reader in = {head + sizeof(part), head + head_len, false};
    const char *lengths = take_lengths(&in, part.nfields);
    if (lengths == NULL || part.status < 200 || part.status > 599 || part.content_length < -1)
        return false;
    size_t n = 0;
    for (uint32_t i = 0; i < part.nfields; i++) {
        struct frame_field f = take_field(&in, lengths, i);
        if (in.bad || !name_valid(f.name) || !lexis_is_value(f.value))
            return false;
        if (!lexis_hop_by_hop(f.name))
            fields[n++] = f;
    }
    *r = (struct frame_response){(int)part.status, fields, n, part.content_length};
    return in.at == in.end;
}
