/* SPDX-License-Identifier: MIT
 *
 * http1_response: reads a backend's answer. It runs once per forwarded request in the loop thread that owns the
 * connection, so a head that came in one read is parsed where it stands, in one pass; only a head that was split is
 * gathered in `line` first. Body bytes are never copied. Memory: `line` and nothing else, bounded by limits.head_bytes.
 *
 * One leniency: the blank before an absent reason phrase may be absent too ("HTTP/1.1 200"), which servers do send and
 * nobody can read in two ways.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "upstream/response_field.h"
#include "upstream/http1_response.h"

enum state {
    IN_HEAD,
    IN_LENGTH, /* `left` bytes of body to come */
    IN_CHUNKS, /* chunked */
    UNTIL_CLOSE,
    ENDED,
    FAILED
};

#define NAMING_MAX 4 /* Connection fields that name others; nobody sends two */

/* What one head says about its framing and connection */
struct framing {
    bool http_1_0, has_length, has_coding, close, keep_alive, upgrade;
    int64_t length;
    struct str protocol;           /* of the Upgrade fields, the last */
    size_t nprotocols;             /* Upgrade fields */
    struct str naming[NAMING_MAX]; /* values of Connection fields that name others */
    size_t nnaming;
};

void http1_response_init(struct http1_response *r, bool is_head, const struct http1_limits *limits)
{
    r->head = (struct call_response){.content_length = -1};
    r->keep_alive = false;
    r->keep_alive_s = -1;
    r->error = NULL;
    r->limits = *limits;
    r->line = (struct buf){0};
    r->state = IN_HEAD;
    r->upgrade = STR_NONE;
    r->head_request = is_head;
    r->started = r->may_upgrade = false;
    r->interim = 0;
    r->left = 0;
    r->chunked = (struct chunked){0};
    r->scanned = 0;
}

void http1_response_free(struct http1_response *r)
{
    buf_free(&r->line);
}

void http1_response_expect_upgrade(struct http1_response *r)
{
    r->may_upgrade = true;
}

bool http1_response_started(const struct http1_response *r)
{
    return r->started;
}

static enum http1_event fail(struct http1_response *r, const char *error)
{
    r->state = FAILED;
    r->error = error;
    r->keep_alive = false;
    return HTTP1_ERROR;
}

/* --- one head ----------------------------------------------------------------------------------------------------- */

/* How reading a piece of a head went; BAD has set r->error. */
enum progress { MORE, DONE, BAD };

static enum progress bad(struct http1_response *r, const char *error)
{
    r->error = error;
    return BAD;
}

/* CR LF at *at */
static enum progress read_line_end(struct http1_response *r, char **at, const char *end)
{
    if (*at == end || (**at == '\r' && *at + 1 == end))
        return MORE;
    if (**at == '\n')
        return bad(r, "LF without CR");
    if (**at != '\r')
        return bad(r, "control byte in a header line");
    if ((*at)[1] != '\n')
        return bad(r, "CR without LF");
    *at += 2;
    return DONE;
}

/* "HTTP/1.0 nnn" or "HTTP/1.1 nnn", as much of it as is there */
static enum progress match_status(struct http1_response *r, const char *at, const char *end)
{
    static const char pattern[] = "HTTP/1.v ddd";
    for (const char *want = pattern; *want != '\0'; want++, at++) {
        if (at == end)
            return MORE;
        bool fits = *want == 'v' ? (*at & ~1) == '0' : *want == 'd' ? lexis_is(*at, LEXIS_DIGIT) : *at == *want;
        if (!fits)
            return bad(r, want - pattern < 8 ? "the answer does not begin with HTTP/1.1 or HTTP/1.0"
                                             : "malformed status line");
    }
    return DONE;
}

static enum progress read_status_line(struct http1_response *r, char **at, const char *end, struct framing *f)
{
    enum progress p = match_status(r, *at, end);
    if (p != DONE)
        return p;
    const char *s = *at;
    f->http_1_0 = s[7] == '0';
    r->head.status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
    if (r->head.status < 100 || r->head.status > 599)
        return bad(r, "status is not within 100 to 599");
    *at += 12;
    if (*at != end && **at == ' ')
        *at = (char *)lexis_skip_value(*at, end);
    else if (*at != end && lexis_is(**at, LEXIS_VALUE))
        return bad(r, "malformed status line");
    return read_line_end(r, at, end);
}

static void note_keep_alive(struct http1_response *r, struct str value)
{
    static const char timeout[] = "timeout=";
    struct str member;
    while (lexis_list_next(&value, &member)) {
        if (member.len <= sizeof(timeout) - 1 || strncasecmp(member.base, timeout, sizeof(timeout) - 1) != 0)
            continue;
        struct str digits = {member.base + sizeof(timeout) - 1, member.len - (sizeof(timeout) - 1)};
        if (!lexis_length(digits, &r->keep_alive_s))
            r->keep_alive_s = -1;
    }
}

static enum progress note_connection(struct http1_response *r, struct str value, struct framing *f)
{
    struct str rest = value, option;
    bool names = false;
    while (lexis_list_next(&rest, &option)) {
        if (!lexis_is_token(option))
            return bad(r, "a Connection option is not a token");
        if (lexis_word_is(option, STR("close")))
            f->close = true;
        else if (lexis_word_is(option, STR("keep-alive")))
            f->keep_alive = true;
        else
            names = true;
        if (lexis_word_is(option, STR("upgrade")))
            f->upgrade = true;
    }
    if (names && f->nnaming == NAMING_MAX)
        return bad(r, "more than 4 Connection fields that name others");
    if (names)
        f->naming[f->nnaming++] = value;
    return DONE;
}

/* A field that does not go on: what it says about this message and connection. Lengths tell them apart. */
static enum progress note_hop_by_hop(struct http1_response *r, const struct call_field *field, struct framing *f)
{
    switch (field->name.len) {
    case 7:
        if (field->name.base[0] == 'u') {
            f->protocol = field->value;
            f->nprotocols++;
        }
        return DONE;
    case 10:
        if (field->name.base[0] == 'c')
            return note_connection(r, field->value, f);
        note_keep_alive(r, field->value);
        return DONE;
    case 14:
        if (f->has_length)
            return bad(r, "more than one Content-Length");
        if (!lexis_length(field->value, &f->length))
            return bad(r, "Content-Length is not a decimal number below 2^63");
        f->has_length = true;
        return DONE;
    case 17:
        if (f->has_coding)
            return bad(r, "more than one Transfer-Encoding");
        if (!str_case_eq(field->value, STR("chunked")))
            return bad(r, "Transfer-Encoding is not exactly \"chunked\"");
        f->has_coding = true;
        return DONE;
    default:
        return DONE;
    }
}

static enum progress read_field(struct http1_response *r, char **at, char *end, struct call_field *field)
{
    switch (response_field_read(at, end, field, &r->error)) {
    case RESPONSE_FIELD_MORE:
        return MORE;
    case RESPONSE_FIELD_BAD:
        return BAD;
    case RESPONSE_FIELD_READ:
        break;
    }
    return read_line_end(r, at, end);
}

static enum progress read_fields(struct http1_response *r, char **at, char *end, struct framing *f)
{
    size_t room = r->limits.fields < HTTP1_FIELDS_MAX ? r->limits.fields : HTTP1_FIELDS_MAX;
    size_t seen = 0, kept = 0;
    while (*at != end && **at != '\r') {
        struct call_field *field = &r->fields[kept];
        if (seen++ == room)
            return bad(r, "more header fields than the limit (limits.response_header_fields)");
        enum progress p = read_field(r, at, end, field);
        if (p == DONE && lexis_hop_by_hop(field->name))
            p = note_hop_by_hop(r, field, f);
        else
            kept++;
        if (p != DONE)
            return p;
    }
    for (size_t i = 0; i < f->nnaming; i++)
        kept = response_field_drop_named(r->fields, kept, f->naming[i]);
    r->head.fields = r->fields;
    r->head.nfields = kept;
    return read_line_end(r, at, end);
}

static enum progress read_head(struct http1_response *r, char **at, char *end, struct framing *f)
{
    *f = (struct framing){0};
    enum progress p = read_status_line(r, at, end, f);
    return p == DONE ? read_fields(r, at, end, f) : p;
}

/* --- from bytes to heads ------------------------------------------------------------------------------------------ */

static enum progress over_head_limit(struct http1_response *r)
{
    return bad(r, "response head over the limit (limits.response_head_bytes)");
}

/* the head where it stands in the input, when all of it is there; otherwise what is there goes to `line` */
static enum progress take_head_in_place(struct http1_response *r, char *bytes, size_t len, size_t *used,
                                        struct framing *f)
{
    char *at = bytes + *used;
    size_t there = len - *used;
    bool all = there < r->limits.head_bytes;
    enum progress p = read_head(r, &at, bytes + *used + (all ? there : r->limits.head_bytes), f);
    if (p == MORE && !all)
        return over_head_limit(r);
    if (p == MORE) {
        buf_append(&r->line, bytes + *used, there);
        r->scanned = there;
        *used = len;
    } else if (p == DONE) {
        *used = (size_t)(at - bytes);
    }
    return p;
}

/* A head that came in pieces is parsed once its end is there; until then each new byte is only looked at for that. */
static enum progress take_head_gathered(struct http1_response *r, const char *bytes, size_t len, size_t *used,
                                        struct framing *f)
{
    size_t had = r->line.len, room = r->limits.head_bytes - had;
    size_t n = len - *used < room ? len - *used : room;
    buf_append(&r->line, bytes + *used, n);
    size_t end;
    enum lexis_head found = lexis_head_end(r->line.base, r->scanned, r->line.len, &end);
    if (found == LEXIS_HEAD_MORE) {
        r->scanned = r->line.len;
        *used += n;
        return r->line.len < r->limits.head_bytes ? MORE : over_head_limit(r);
    }
    if (found == LEXIS_HEAD_BAD)
        end = r->line.len; /* the parse finds the byte again, or an earlier mistake */
    char *at = r->line.base;
    enum progress p = read_head(r, &at, r->line.base + end, f);
    if (p == MORE || (p == DONE && at != r->line.base + end))
        return bad(r, "malformed head");
    if (p == DONE)
        *used += end - had;
    return p;
}

/* The next head that is not an interim one */
static enum progress take_head(struct http1_response *r, char *bytes, size_t len, size_t *used, struct framing *f)
{
    for (;;) {
        if (*used == len)
            return MORE;
        r->started = true;
        enum progress p =
            r->line.len == 0 ? take_head_in_place(r, bytes, len, used, f) : take_head_gathered(r, bytes, len, used, f);
        if (p != DONE || r->head.status >= 200)
            return p;
        if (r->head.status == 101)
            return r->may_upgrade ? DONE : bad(r, "unexpected upgrade (101)");
        if (++r->interim > r->limits.interim)
            return bad(r, "more interim answers than the limit (limits.response_interim)");
        buf_clear(&r->line);
    }
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

static bool never_has_body(const struct http1_response *r)
{
    return r->head_request || r->head.status == 204 || r->head.status == 304;
}

/* RFC 9112 §6.3. Bytes that a bodiless answer announces may come all the same: after a 204 with a length the connection
 * cannot be trusted to be at its end (a HEAD's or a 304's length is that of what they stand for). */
static enum http1_event enter_body(struct http1_response *r, const struct framing *f)
{
    if (f->has_length && f->has_coding)
        return fail(r, "both Content-Length and Transfer-Encoding");
    if (f->has_coding && f->http_1_0)
        return fail(r, "Transfer-Encoding on HTTP/1.0");
    r->keep_alive = !f->close && (!f->http_1_0 || f->keep_alive);
    r->head.content_length = f->has_length ? f->length : -1;
    if (r->head.status == 204 && (f->has_coding || r->head.content_length > 0))
        r->keep_alive = false;
    if (r->head.status == 204)
        r->head.content_length = 0;
    if (never_has_body(r)) {
        r->state = ENDED;
    } else if (f->has_coding) {
        r->state = IN_CHUNKS;
    } else if (f->has_length) {
        r->left = (uint64_t)f->length;
        r->state = r->left == 0 ? ENDED : IN_LENGTH;
    } else {
        r->keep_alive = false;
        r->state = UNTIL_CLOSE;
    }
    return HTTP1_HEAD;
}

/* A protocol is a token, or two with a slash (RFC 9110 §7.8); whatever else is in there makes it ambiguous. */
static bool is_protocol(struct str s)
{
    char *slash = memchr(s.base, '/', s.len);
    size_t name = slash == NULL ? s.len : (size_t)(slash - s.base);
    return lexis_is_token((struct str){s.base, name}) &&
           (slash == NULL || lexis_is_token((struct str){slash + 1, s.len - name - 1}));
}

static enum http1_event enter_upgrade(struct http1_response *r, const struct framing *f)
{
    if (f->http_1_0)
        return fail(r, "upgrade (101) in HTTP/1.0");
    if (!f->upgrade)
        return fail(r, "upgrade (101) without \"upgrade\" in Connection");
    if (f->nprotocols != 1 || !is_protocol(f->protocol))
        return fail(r, "upgrade (101) without exactly one protocol in Upgrade");
    r->upgrade = f->protocol;
    r->head.content_length = 0;
    r->state = ENDED;
    return HTTP1_HEAD;
}

static enum http1_event next_head(struct http1_response *r, char *bytes, size_t len, size_t *used)
{
    struct framing f;
    switch (take_head(r, bytes, len, used, &f)) {
    case MORE:
        return HTTP1_MORE;
    case BAD:
        return fail(r, r->error);
    case DONE:
        break;
    }
    return r->head.status == 101 ? enter_upgrade(r, &f) : enter_body(r, &f);
}

static enum http1_event next_run(char *bytes, size_t n, size_t *used, struct str *body_r)
{
    if (n == 0)
        return HTTP1_MORE;
    *body_r = (struct str){bytes + *used, n};
    *used += n;
    return HTTP1_BODY;
}

static enum http1_event next_of_length(struct http1_response *r, char *bytes, size_t len, size_t *used,
                                       struct str *body_r)
{
    size_t n = len - *used < r->left ? len - *used : (size_t)r->left;
    r->left -= n;
    if (r->left == 0)
        r->state = ENDED;
    return next_run(bytes, n, used, body_r);
}

static enum http1_event next_chunk(struct http1_response *r, char *bytes, size_t len, size_t *used, struct str *body_r)
{
    switch (chunked_next(&r->chunked, r->limits.chunk_overhead, bytes, len, used, body_r)) {
    case CHUNKED_MORE:
        return HTTP1_MORE;
    case CHUNKED_DATA:
        return HTTP1_BODY;
    case CHUNKED_END:
        r->state = ENDED;
        return HTTP1_END;
    case CHUNKED_ERROR:
        break;
    }
    return fail(r, chunked_problem(&r->chunked));
}

enum http1_event http1_response_next(struct http1_response *r, char *bytes, size_t len, size_t *used,
                                     struct str *body_r)
{
    assert(*used <= len);
    switch ((enum state)r->state) {
    case IN_HEAD:
        return next_head(r, bytes, len, used);
    case IN_LENGTH:
        return next_of_length(r, bytes, len, used, body_r);
    case IN_CHUNKS:
        return next_chunk(r, bytes, len, used, body_r);
    case UNTIL_CLOSE:
        return next_run(bytes, len - *used, used, body_r);
    case ENDED:
        return HTTP1_END;
    case FAILED:
        break;
    }
    return HTTP1_ERROR;
}

enum http1_event http1_response_eof(struct http1_response *r)
{
    switch ((enum state)r->state) {
    case UNTIL_CLOSE:
    case ENDED:
        r->state = ENDED;
        return HTTP1_END;
    case FAILED:
        return HTTP1_ERROR;
    default:
        return fail(r, r->started ? "truncated: closed before the end of the answer" : "closed without an answer");
    }
}
