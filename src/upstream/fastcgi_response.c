/* SPDX-License-Identifier: MIT
 *
 * fastcgi_response: reads a FastCGI program's answer: records, in them a CGI head (RFC 3875 §6) and a body. Runs in the
 * loop thread that owns the connection. Record content is handed out where it stands; only a head that is split over
 * records or reads is gathered first. CGI lines may end in LF alone, as its RFC says; all else is as strict as for
 * HTTP. Memory: head_bytes (bounded by limits.head_bytes) and log (FASTCGI_LOG_MAX).
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "upstream/fastcgi.h"
#include "upstream/fastcgi_private.h"
#include "upstream/response_field.h"

enum state {
    IN_HEAD,
    IN_BODY,      /* STDOUT goes to the caller */
    WITHOUT_BODY, /* STDOUT is dropped: HEAD, 204, 304 */
    ENDED,
    FAILED
};

void fastcgi_response_init(struct fastcgi_response *r, bool is_head, const struct http1_limits *limits)
{
    r->head = (struct call_response){.content_length = -1};
    r->error = NULL;
    r->log = r->head_bytes = (struct buf){0};
    r->limits = *limits;
    r->state = IN_HEAD;
    r->head_request = is_head;
    r->started = r->stdout_ended = false;
    r->record_have = r->end_have = r->content_left = r->padding_left = 0;
    r->body_left = 0;
    r->scanned = 0;
}

void fastcgi_response_free(struct fastcgi_response *r)
{
    buf_free(&r->log);
    buf_free(&r->head_bytes);
}

bool fastcgi_response_started(const struct fastcgi_response *r)
{
    return r->started;
}

static enum http1_event fail(struct fastcgi_response *r, const char *error)
{
    r->state = FAILED;
    r->error = error;
    return HTTP1_ERROR;
}

/* --- the CGI head ------------------------------------------------------------------------------------------------- */

/* How reading a piece of a head went; BAD has set r->error. */
enum progress { MORE, DONE, BAD };

static enum progress bad(struct fastcgi_response *r, const char *error)
{
    r->error = error;
    return BAD;
}

/* LF or CR LF at *at */
static enum progress read_line_end(struct fastcgi_response *r, char **at, const char *end)
{
    if (*at != end && **at == '\n') {
        *at += 1;
        return DONE;
    }
    if (*at == end || (**at == '\r' && *at + 1 == end))
        return MORE;
    if (**at != '\r')
        return bad(r, "control byte in a header line");
    if ((*at)[1] != '\n')
        return bad(r, "CR without LF");
    *at += 2;
    return DONE;
}

static enum progress note_status(struct fastcgi_response *r, struct str value)
{
    if (r->head.status != 0)
        return bad(r, "more than one Status");
    struct str digits = {value.base, value.len < 3 ? value.len : 3};
    int64_t status;
    if (digits.len != 3 || !lexis_length(digits, &status) || (value.len > 3 && value.base[3] != ' '))
        return bad(r, "Status is not a three-digit number");
    if (status < 200 || status > 599)
        return bad(r, "Status is not within 200 to 599");
    r->head.status = (int)status;
    return DONE;
}

/* Fields that do not go on. What a program says about connections is about none that it knows. */
static enum progress note_private(struct fastcgi_response *r, const struct call_field *f)
{
    if (str_eq(f->name, STR("status")))
        return note_status(r, f->value);
    if (!str_eq(f->name, STR("content-length")))
        return DONE;
    if (r->head.content_length != -1)
        return bad(r, "more than one Content-Length");
    if (!lexis_length(f->value, &r->head.content_length))
        return bad(r, "Content-Length is not a decimal number below 2^63");
    return DONE;
}

static enum progress read_field(struct fastcgi_response *r, char **at, char *end, struct call_field *f)
{
    switch (response_field_read(at, end, f, &r->error)) {
    case RESPONSE_FIELD_MORE:
        return MORE;
    case RESPONSE_FIELD_BAD:
        return BAD;
    case RESPONSE_FIELD_READ:
        break;
    }
    return read_line_end(r, at, end);
}

/* 200, or 302 where there is a Location, unless the program says otherwise */
static void default_status(struct fastcgi_response *r)
{
    if (r->head.status != 0)
        return;
    r->head.status = 200;
    for (size_t i = 0; i < r->head.nfields; i++)
        if (str_eq(r->fields[i].name, STR("location")))
            r->head.status = 302;
}

static enum progress read_head(struct fastcgi_response *r, char **at, char *end)
{
    size_t room = r->limits.fields < HTTP1_FIELDS_MAX ? r->limits.fields : HTTP1_FIELDS_MAX;
    size_t seen = 0, kept = 0;
    r->head = (struct call_response){.fields = r->fields, .content_length = -1};
    while (*at != end && **at != '\r' && **at != '\n') {
        struct call_field *f = &r->fields[kept];
        if (seen++ == room)
            return bad(r, "more header fields than the limit (limits.response_header_fields)");
        enum progress p = read_field(r, at, end, f);
        if (p == DONE && (lexis_hop_by_hop(f->name) || str_eq(f->name, STR("status"))))
            p = note_private(r, f);
        else
            kept++;
        if (p != DONE)
            return p;
    }
    enum progress p = read_line_end(r, at, end);
    if (p == DONE && seen == 0)
        return bad(r, "the answer begins without a header field");
    r->head.nfields = kept;
    default_status(r);
    return p;
}

static enum progress over_head_limit(struct fastcgi_response *r)
{
    return bad(r, "response head over the limit (limits.response_head_bytes)");
}

/* behind the line end at `at`, or NULL */
static const char *line_end(const char *at, const char *end)
{
    if (at != end && *at == '\n')
        return at + 1;
    return end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? at + 2 : NULL;
}

/* Behind the empty line that ends the head, looking at bytes[from..len) for the first time; 0: not there yet */
static size_t head_end(const char *bytes, size_t from, size_t len)
{
    const char *end = bytes + len;
    /* the line end before an empty line may be among the bytes of before, a CR behind it too */
    const char *at = from <= 2 ? bytes : bytes + from - 2;
    const char *behind = from <= 2 ? line_end(at, end) : NULL;
    while (behind == NULL && (at = memchr(at, '\n', (size_t)(end - at))) != NULL)
        behind = line_end(++at, end);
    return behind == NULL ? 0 : (size_t)(behind - bytes);
}

static enum progress take_head_in_place(struct fastcgi_response *r, struct str *piece)
{
    char *at = piece->base;
    bool all = piece->len < r->limits.head_bytes;
    enum progress p = read_head(r, &at, piece->base + (all ? piece->len : r->limits.head_bytes));
    if (p == MORE && !all)
        return over_head_limit(r);
    if (p == MORE) {
        buf_append_str(&r->head_bytes, *piece);
        r->scanned = piece->len;
        piece->len = 0;
    } else if (p == DONE) {
        piece->len -= (size_t)(at - piece->base);
        piece->base = at;
    }
    return p;
}

static enum progress take_head_gathered(struct fastcgi_response *r, struct str *piece)
{
    struct buf *b = &r->head_bytes;
    size_t had = b->len, room = r->limits.head_bytes - had;
    size_t n = piece->len < room ? piece->len : room;
    buf_append(b, piece->base, n);
    size_t end = head_end(b->base, r->scanned, b->len);
    if (end == 0) {
        r->scanned = b->len;
        piece->len = 0;
        return b->len < r->limits.head_bytes ? MORE : over_head_limit(r);
    }
    char *at = b->base;
    enum progress p = read_head(r, &at, b->base + end);
    if (p == MORE || (p == DONE && at != b->base + end))
        return bad(r, "malformed head");
    if (p == DONE) {
        piece->base += end - had;
        piece->len -= end - had;
    }
    return p;
}

static enum http1_event next_head(struct fastcgi_response *r, struct str *piece)
{
    switch (r->head_bytes.len == 0 ? take_head_in_place(r, piece) : take_head_gathered(r, piece)) {
    case MORE:
        return HTTP1_MORE;
    case BAD:
        return fail(r, r->error);
    case DONE:
        break;
    }
    bool bodiless = r->head_request || r->head.status == 204 || r->head.status == 304;
    r->state = bodiless ? WITHOUT_BODY : IN_BODY;
    if (r->head.status == 204)
        r->head.content_length = 0;
    if (r->head.content_length > 0)
        r->body_left = (uint64_t)r->head.content_length;
    return HTTP1_HEAD;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static enum fastcgi_type record_type(const struct fastcgi_response *r)
{
    return (enum fastcgi_type)r->record[1];
}

/* NULL, or what is wrong with the record head that is complete now */
static const char *record_problem(const struct fastcgi_response *r)
{
    if (r->record[0] != FASTCGI_VERSION)
        return "record is not FastCGI version 1";
    unsigned id = (unsigned)r->record[2] << 8 | r->record[3];
    switch (record_type(r)) {
    case FASTCGI_STDOUT:
        if (r->stdout_ended && r->content_left != 0)
            return "output behind the end of output";
        break;
    case FASTCGI_STDERR:
        break;
    case FASTCGI_END_REQUEST:
        if (r->content_left != sizeof(r->end))
            return "END_REQUEST record of an odd length";
        break;
    case FASTCGI_GET_VALUES_RESULT:
    case FASTCGI_UNKNOWN_TYPE:
        return id == 0 ? NULL : "management record with a request id";
    default:
        return "record of a type that no program may send";
    }
    return id == FASTCGI_REQUEST_ID ? NULL : "record of another request";
}

/* true once the record's head is complete */
static bool take_record_head(struct fastcgi_response *r, const char *bytes, size_t len, size_t *used)
{
    size_t n = sizeof(r->record) - r->record_have;
    if (n > len - *used)
        n = len - *used;
    memcpy(r->record + r->record_have, bytes + *used, n);
    r->record_have += n;
    *used += n;
    if (r->record_have < sizeof(r->record))
        return false;
    r->content_left = (size_t)r->record[4] << 8 | r->record[5];
    r->padding_left = r->record[6];
    return true;
}

static enum http1_event take_output(struct fastcgi_response *r, struct str *piece, struct str *body_r)
{
    if (r->state == IN_HEAD)
        return next_head(r, piece);
    *body_r = *piece;
    if (r->state == IN_BODY && r->head.content_length != -1) {
        if (r->body_left == 0)
            return fail(r, "more body than the Content-Length");
        if (body_r->len > r->body_left)
            body_r->len = (size_t)r->body_left;
        r->body_left -= body_r->len;
    }
    piece->base += body_r->len;
    piece->len -= body_r->len;
    return r->state == IN_BODY ? HTTP1_BODY : HTTP1_MORE;
}

static void take_log(struct fastcgi_response *r, struct str piece)
{
    size_t room = FASTCGI_LOG_MAX - r->log.len;
    buf_append(&r->log, piece.base, piece.len < room ? piece.len : room);
}

/* Consumes some of the record's content; HTTP1_MORE when there is nothing to tell. */
static enum http1_event take_content(struct fastcgi_response *r, char *bytes, size_t len, size_t *used,
                                     struct str *body_r)
{
    size_t n = len - *used < r->content_left ? len - *used : r->content_left;
    struct str piece = {bytes + *used, n};
    enum http1_event event = HTTP1_MORE;
    switch (record_type(r)) {
    case FASTCGI_STDOUT:
        event = take_output(r, &piece, body_r);
        n -= piece.len; /* what is left is for the next turn */
        break;
    case FASTCGI_STDERR:
        take_log(r, piece);
        break;
    case FASTCGI_END_REQUEST:
        memcpy(r->end + r->end_have, piece.base, n);
        r->end_have += n;
        break;
    default:
        break; /* management records tell nothing that was asked */
    }
    *used += n;
    r->content_left -= n;
    return event;
}

static enum http1_event on_end_request(struct fastcgi_response *r)
{
    static const char *const refusals[] = {NULL, "the program serves one connection at a time (CANT_MPX_CONN)",
                                           "the program is overloaded (OVERLOADED)",
                                           "the program is no responder (UNKNOWN_ROLE)"};
    unsigned protocol_status = r->end[4];
    if (protocol_status >= sizeof(refusals) / sizeof(refusals[0]))
        return fail(r, "END_REQUEST with an unknown protocol status");
    if (protocol_status != 0)
        return fail(r, refusals[protocol_status]);
    bool failed = (r->end[0] | r->end[1] | r->end[2] | r->end[3]) != 0;
    if (r->state == IN_HEAD)
        return fail(r, failed ? "the program exited with a failure before a complete head"
                              : "the request ended before a complete head");
    if (r->state == IN_BODY && r->body_left != 0)
        return fail(r, "truncated: less body than the Content-Length");
    /* an exit status cannot take back a body that came whole; without a length, nobody knows that it did */
    if (failed && r->state == IN_BODY && r->head.content_length == -1)
        return fail(r, "the program exited with a failure");
    r->state = ENDED;
    return HTTP1_END;
}

/* The present record is consumed, padding included. */
static enum http1_event on_record_end(struct fastcgi_response *r)
{
    r->record_have = 0;
    if (record_type(r) == FASTCGI_END_REQUEST)
        return on_end_request(r);
    size_t content = (size_t)r->record[4] << 8 | r->record[5];
    if (record_type(r) == FASTCGI_STDOUT && content == 0)
        r->stdout_ended = true;
    return HTTP1_MORE;
}

static enum http1_event next_record(struct fastcgi_response *r, const char *bytes, size_t len, size_t *used)
{
    if (!take_record_head(r, bytes, len, used))
        return HTTP1_MORE;
    const char *problem = record_problem(r);
    return problem == NULL ? HTTP1_MORE : fail(r, problem);
}

static enum http1_event skip_padding(struct fastcgi_response *r, size_t len, size_t *used)
{
    size_t n = len - *used < r->padding_left ? len - *used : r->padding_left;
    *used += n;
    r->padding_left -= n;
    return HTTP1_MORE;
}

static bool at_record_end(const struct fastcgi_response *r)
{
    return r->record_have == sizeof(r->record) && r->content_left == 0 && r->padding_left == 0;
}

enum http1_event fastcgi_response_next(struct fastcgi_response *r, char *bytes, size_t len, size_t *used,
                                       struct str *body_r)
{
    assert(*used <= len);
    r->started |= *used != len;
    while (r->state != ENDED && r->state != FAILED) {
        enum http1_event event;
        if (at_record_end(r))
            event = on_record_end(r);
        else if (*used == len)
            return HTTP1_MORE;
        else if (r->record_have < sizeof(r->record))
            event = next_record(r, bytes, len, used);
        else if (r->content_left != 0)
            event = take_content(r, bytes, len, used, body_r);
        else
            event = skip_padding(r, len, used);
        if (event != HTTP1_MORE)
            return event;
    }
    return r->state == ENDED ? HTTP1_END : HTTP1_ERROR;
}
