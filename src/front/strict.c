/* SPDX-License-Identifier: MIT
 *
 * strict: one pass over a request head, each byte looked up once in a table of classes, values sixteen at a time. It
 * runs for every HTTP/1 request in the loop thread that read it. Every doubt is a refusal: what two readers of the same
 * bytes could understand differently is how requests are smuggled past a front. No memory but the caller's.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "front/strict.h"

struct parse {
    const char *at, *end;
    const struct strict_limits *limits;
    struct strict_head *head;
    struct str authority; /* of an absolute-form target */
    bool https;           /* its scheme */
    bool close, keep_alive;
    const struct strict_field *host, *length, *coding, *expect;
};

static enum strict_result refuse(struct strict_head *head, enum reason reason, const char *detail)
{
    head->reason = reason;
    head->detail = detail;
    return STRICT_REFUSED;
}

static enum strict_result bad(struct parse *p, const char *detail)
{
    return refuse(p->head, REASON_BAD_REQUEST, detail);
}

static struct str span(const char *from, const char *to)
{
    return (struct str){(char *)from, (size_t)(to - from)};
}

static struct str value_of(const struct strict_field *f)
{
    return (struct str){(char *)f->value, f->value_len};
}

/* --- request line ------------------------------------------------------------------------------------------------- */

static enum strict_result read_method(struct parse *p)
{
    const char *start = p->at;
    p->at = lexis_skip(start, p->end, LEXIS_TOKEN);
    struct str method = span(start, p->at);
    if (method.len > STRICT_METHOD_MAX)
        return bad(p, "method longer than 32 bytes");
    if (p->at == p->end)
        return STRICT_INCOMPLETE;
    if (method.len == 0 || *p->at != ' ')
        return bad(p, "request line does not begin with a method and one space");
    p->head->method = method;
    p->at++;
    if (str_eq(method, STR("CONNECT")))
        return refuse(p->head, REASON_METHOD_NOT_ALLOWED, "CONNECT: this server is no forward proxy");
    return STRICT_COMPLETE;
}

#define ESCAPE_LEN 3 /* "%2f" */

/* What is wrong with the escape at `at`, or NULL. "%00" would end the path early in many a backend. */
static const char *escape_problem(const char *at, const char *end)
{
    if (end - at < ESCAPE_LEN || !lexis_is(at[1], LEXIS_HEX) || !lexis_is(at[2], LEXIS_HEX))
        return "'%' in the path is not followed by two hexadecimal digits";
    return at[1] == '0' && at[2] == '0' ? "the path holds an escaped NUL" : NULL;
}

/* over a path and the query behind it, to the first byte that is neither, or a '%' that begins no good escape */
static const char *skip_target(const char *at, const char *end)
{
    at = lexis_skip(at, end, LEXIS_PATH);
    while (at != end && *at == '%' && escape_problem(at, end) == NULL)
        at = lexis_skip(at + ESCAPE_LEN, end, LEXIS_PATH);
    return at != end && *at == '?' ? lexis_skip(at, end, LEXIS_QUERY) : at;
}

/* why skip_target stopped at a byte that does not end the target */
static const char *target_problem(const char *at, const char *end)
{
    if (*at == '%')
        return escape_problem(at, end);
    return *at == '#' ? "the target holds a fragment" : "the target holds a byte that must be escaped";
}

/* "scheme://" at the front of the target, any case: its length, or 0 */
static size_t scheme_len(struct str target, bool *https_r)
{
    static const struct str http = {(char *)"http://", 7}, https = {(char *)"https://", 8};
    *https_r = target.len >= https.len && strncasecmp(target.base, https.base, https.len) == 0;
    if (*https_r)
        return https.len;
    return target.len >= http.len && strncasecmp(target.base, http.base, http.len) == 0 ? http.len : 0;
}

static enum strict_result take_absolute_form(struct parse *p, const char *start)
{
    const char *end = p->at, *authority = start + scheme_len(span(start, end), &p->https);
    if (authority == start)
        return bad(p, "the target is neither a path nor an http or https URL");
    const char *path = authority;
    while (path != end && *path != '/' && *path != '?')
        path++;
    p->authority = span(authority, path);
    if (path == end) {
        p->head->target = STR("/");
        return STRICT_COMPLETE;
    }
    if (*path == '?') /* would have to be rewritten to "/?…", and a view cannot; no known client sends it */
        return bad(p, "absolute-form target with a query but no path");
    const char *stop = skip_target(path, end);
    if (stop != end)
        return bad(p, target_problem(stop, end));
    p->head->target = span(path, end);
    return STRICT_COMPLETE;
}

/* [start, p->at) ends with a blank behind it */
static enum strict_result take_target(struct parse *p, const char *start)
{
    if (*start != '/' && !(p->at - start == 1 && *start == '*'))
        return take_absolute_form(p, start);
    p->head->target = span(start, p->at);
    if (*start == '*' && !str_eq(p->head->method, STR("OPTIONS")))
        return bad(p, "target '*' with a method other than OPTIONS");
    return STRICT_COMPLETE;
}

static enum strict_result read_target(struct parse *p)
{
    const char *start = p->at, *end = p->end;
    if (start == end)
        return STRICT_INCOMPLETE;
    p->at = *start == '/' ? skip_target(start, end) : lexis_skip(start, end, LEXIS_QUERY);
    if ((size_t)(p->at - start) > p->limits->target_bytes)
        return refuse(p->head, REASON_TARGET_TOO_LONG, "request target over the limit (limits.target_bytes)");
    if (p->at == end || (*p->at == '%' && end - p->at < ESCAPE_LEN))
        return STRICT_INCOMPLETE;
    if (p->at == start)
        return bad(p, "no target behind the method");
    if (*p->at == '\r' || *p->at == '\n')
        return bad(p, "request line without a version");
    if (*p->at != ' ')
        return bad(p, target_problem(p->at, end));
    enum strict_result r = take_target(p, start);
    p->at++;
    return r;
}

/* Not "HTTP/1.0" or "HTTP/1.1" and CR LF, or not all of it yet. */
static enum strict_result odd_version(struct parse *p)
{
    static const char pattern[] = "HTTP/0.0\r\n";
    for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
        if (p->at + i == p->end)
            return STRICT_INCOMPLETE;
        bool fits = pattern[i] == '0' ? lexis_is(p->at[i], LEXIS_DIGIT) : p->at[i] == pattern[i];
        if (!fits)
            return bad(p, i < 8 ? "request line does not end with HTTP/1.1 or HTTP/1.0"
                                : "request line does not end with CR LF");
    }
    if (p->at[5] != '1')
        return refuse(p->head, REASON_VERSION, "HTTP version is neither 1.1 nor 1.0");
    /* RFC 9110 §2.5: a higher minor version is processed as the highest one that is known */
    p->head->minor = 1;
    p->at += 10;
    return STRICT_COMPLETE;
}

static enum strict_result read_version(struct parse *p)
{
    const char *at = p->at;
    if (p->end - at < 10 || memcmp(at, "HTTP/1.", 7) != 0 || (at[7] & ~1) != '0' || at[8] != '\r' || at[9] != '\n')
        return odd_version(p);
    p->head->minor = at[7] - '0';
    p->at += 10;
    return STRICT_COMPLETE;
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

static enum strict_result note_connection(struct parse *p, struct str options)
{
    if (lexis_word_is(options, STR("keep-alive"))) { /* most there are */
        p->keep_alive = true;
        return STRICT_COMPLETE;
    }
    struct str option;
    while (lexis_list_next(&options, &option)) {
        if (!lexis_is_token(option))
            return bad(p, "a Connection option is not a token");
        p->close |= lexis_word_is(option, STR("close"));
        p->keep_alive |= lexis_word_is(option, STR("keep-alive"));
    }
    return STRICT_COMPLETE;
}

static enum strict_result note_once(struct parse *p, const struct strict_field **slot, const struct strict_field *f,
                                    const char *repeated)
{
    if (*slot != NULL)
        return bad(p, repeated);
    *slot = f;
    return STRICT_COMPLETE;
}

/* The five fields that decide how the message is read; their lengths differ. */
static enum strict_result note_field(struct parse *p, const struct strict_field *f)
{
    struct str name = {(char *)f->name, f->name_len};
    switch (name.len) {
    case 4:
        if (lexis_word_is(name, STR("host")))
            return note_once(p, &p->host, f, "more than one Host");
        break;
    case 6:
        if (lexis_word_is(name, STR("expect")))
            return note_once(p, &p->expect, f, "more than one Expect");
        break;
    case 10:
        if (lexis_word_is(name, STR("connection")))
            return note_connection(p, value_of(f));
        break;
    case 14:
        if (lexis_word_is(name, STR("content-length")))
            return note_once(p, &p->length, f, "more than one Content-Length");
        break;
    case 17:
        if (lexis_word_is(name, STR("transfer-encoding")))
            return note_once(p, &p->coding, f, "more than one Transfer-Encoding");
        break;
    default:
        break;
    }
    return STRICT_COMPLETE;
}

/* the byte where a colon should have been */
static enum strict_result bad_name(struct parse *p, bool empty)
{
    if (*p->at == ' ' || *p->at == '\t')
        return bad(p, empty ? "a line begins with white space (folded fields are not accepted)"
                            : "white space between a field name and its colon");
    if (*p->at == '\n')
        return bad(p, "LF without CR");
    return bad(p, *p->at == ':' ? "empty field name" : "a field name is not a token");
}

static enum strict_result bad_value(struct parse *p)
{
    switch (*p->at) {
    case '\n':
        return bad(p, "LF without CR");
    case '\r':
        return bad(p, "CR without LF");
    case '\0':
        return bad(p, "a field value holds NUL");
    default:
        return bad(p, "a field value holds a control byte");
    }
}

static enum strict_result read_field(struct parse *p, struct strict_field *f)
{
    const char *end = p->end;
    f->name = p->at;
    p->at = lexis_skip(p->at, end, LEXIS_TOKEN);
    if (p->at == end)
        return STRICT_INCOMPLETE;
    f->name_len = (size_t)(p->at - f->name);
    if (*p->at != ':' || f->name_len == 0)
        return bad_name(p, f->name_len == 0);
    f->value = lexis_skip_blank(p->at + 1, end);
    p->at = lexis_skip_value(f->value, end);
    if (p->at == end || (*p->at == '\r' && p->at + 1 == end))
        return STRICT_INCOMPLETE;
    if (*p->at != '\r' || p->at[1] != '\n')
        return bad_value(p);
    const char *value_end = p->at;
    while (value_end != f->value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    f->value_len = (size_t)(value_end - f->value);
    p->at += 2;
    return note_field(p, f);
}

static enum strict_result read_fields(struct parse *p)
{
    struct strict_head *head = p->head;
    size_t room = head->capacity < p->limits->header_fields ? head->capacity : p->limits->header_fields;
    for (;;) {
        if (p->at == p->end || (*p->at == '\r' && p->at + 1 == p->end))
            return STRICT_INCOMPLETE;
        if (*p->at == '\r') {
            if (p->at[1] != '\n')
                return bad(p, "CR without LF");
            p->at += 2;
            return STRICT_COMPLETE;
        }
        if (head->nfields == room)
            return refuse(head, REASON_HEAD_TOO_LARGE, "more header fields than the limit (limits.header_fields)");
        enum strict_result r = read_field(p, &head->fields[head->nfields]);
        if (r != STRICT_COMPLETE)
            return r;
        head->nfields++;
    }
}

/* --- what the fields say together --------------------------------------------------------------------------------- */

static const char *skip_ip_literal(const char *at, const char *end)
{
    const char *start = ++at;
    while (at != end && (lexis_is(*at, LEXIS_HEX) || *at == ':' || *at == '.'))
        at++;
    return at != start && at != end && *at == ']' ? at + 1 : NULL;
}

static const char *skip_reg_name(const char *at, const char *end)
{
    for (;;) {
        at = lexis_skip(at, end, LEXIS_HOST);
        if (at == end || *at != '%')
            return at;
        if (end - at < 3 || !lexis_is(at[1], LEXIS_HEX) || !lexis_is(at[2], LEXIS_HEX))
            return NULL;
        at += 3;
    }
}

/* *DIGIT up to 65535 (an empty port is the scheme's own: RFC 3986 §3.2.3) */
static bool is_port(struct str port)
{
    unsigned n = 0;
    for (size_t i = 0; i < port.len; i++)
        n = n * 10 + (unsigned)(port.base[i] - '0');
    return port.len <= 5 && lexis_all(port, LEXIS_DIGIT) && n <= UINT16_MAX;
}

/* uri-host [":" port] (RFC 9110 §7.2). *port_r: behind the colon, empty when there is none */
static bool split_authority(struct str authority, struct str *host_r, struct str *port_r)
{
    const char *at = authority.base, *end = at + authority.len;
    if (at == end)
        return false;
    at = *at == '[' ? skip_ip_literal(at, end) : skip_reg_name(at, end);
    if (at == NULL || at == authority.base)
        return false;
    *host_r = span(authority.base, at);
    *port_r = at == end ? STR_NONE : span(at + 1, end);
    return at == end || (*at == ':' && is_port(*port_r));
}

static struct str port_or_default(struct str port, bool https)
{
    if (port.len != 0)
        return port;
    return https ? STR("443") : STR("80");
}

static enum strict_result check_host(struct parse *p)
{
    if (p->host == NULL)
        return p->head->minor == 0 && p->authority.base == NULL ? STRICT_COMPLETE : bad(p, "no Host");
    struct str host, port;
    if (!split_authority(value_of(p->host), &host, &port))
        return bad(p, "Host is not a name or address with an optional port");
    if (p->authority.base == NULL)
        return STRICT_COMPLETE;
    struct str target_host, target_port;
    if (!split_authority(p->authority, &target_host, &target_port))
        return bad(p, "the target's authority is not a name or address with an optional port");
    if (!str_case_eq(host, target_host) ||
        !str_eq(port_or_default(port, p->https), port_or_default(target_port, p->https)))
        return bad(p, "Host and the target's authority differ");
    return STRICT_COMPLETE;
}

static enum strict_result check_framing(struct parse *p)
{
    struct strict_head *head = p->head;
    if (p->coding != NULL) {
        if (p->length != NULL)
            return bad(p, "both Content-Length and Transfer-Encoding");
        if (head->minor == 0)
            return bad(p, "Transfer-Encoding on HTTP/1.0");
        if (!str_case_eq(value_of(p->coding), STR("chunked")))
            return bad(p, "Transfer-Encoding is not exactly \"chunked\"");
        head->chunked = true;
    } else if (p->length != NULL && !lexis_length(value_of(p->length), &head->content_length)) {
        return bad(p, "Content-Length is not a decimal number below 2^63");
    }
    return STRICT_COMPLETE;
}

static enum strict_result check_expect(struct parse *p)
{
    if (p->expect == NULL)
        return STRICT_COMPLETE;
    if (!str_case_eq(value_of(p->expect), STR("100-continue")))
        return refuse(p->head, REASON_EXPECTATION, "Expect is not \"100-continue\"");
    if (p->head->minor == 0) {
        size_t at = (size_t)(p->expect - p->head->fields);
        p->head->nfields--;
        memmove(&p->head->fields[at], &p->head->fields[at + 1], (p->head->nfields - at) * sizeof(p->head->fields[0]));
    }
    return STRICT_COMPLETE;
}

/* malformed before too large before unsupported, so that the answer does not depend on the order of fields */
static enum strict_result check_fields(struct parse *p)
{
    enum strict_result r = check_host(p);
    if (r == STRICT_COMPLETE)
        r = check_framing(p);
    if (r == STRICT_COMPLETE && p->head->content_length > 0 && (uint64_t)p->head->content_length > p->limits->max_body)
        r = refuse(p->head, REASON_BODY_TOO_LARGE, "Content-Length over the limit (max_body)");
    if (r == STRICT_COMPLETE)
        r = check_expect(p);
    p->head->persistent = !p->close && (p->head->minor == 1 || p->keep_alive);
    return r;
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static size_t skip_empty_lines(const char *buf, size_t len)
{
    size_t at = 0;
    while (at < 2 * STRICT_EMPTY_LINES_MAX && len - at >= 2 && buf[at] == '\r' && buf[at + 1] == '\n')
        at += 2;
    return at;
}

static enum strict_result parse_whole(struct parse *p)
{
    enum strict_result r = read_method(p);
    if (r == STRICT_COMPLETE)
        r = read_target(p);
    if (r == STRICT_COMPLETE)
        r = read_version(p);
    if (r == STRICT_COMPLETE)
        r = read_fields(p);
    if (r == STRICT_COMPLETE)
        r = check_fields(p);
    return r;
}

/* True when nothing but the end of the head is to be looked for. A parse is due while the method may be incomplete,
 * when the request line must have been complete (to tell a target that is too long), and at the end. */
static bool scan_is_enough(const char *head, size_t len, size_t last_len, const struct strict_limits *limits)
{
    size_t line_max = STRICT_METHOD_MAX + 1 + limits->target_bytes + sizeof(" HTTP/1.1\r\n");
    if (last_len <= STRICT_METHOD_MAX + 1 || (last_len <= line_max && len > line_max))
        return false;
    size_t end;
    return lexis_head_end(head, last_len, len, &end) == LEXIS_HEAD_MORE;
}

static void head_reset(struct strict_head *head)
{
    head->nfields = 0;
    head->bytes = 0;
    head->method = head->target = STR_NONE;
    head->minor = 1;
    head->chunked = head->persistent = false;
    head->content_length = -1;
    head->reason = REASON_NONE;
    head->detail = NULL;
}

enum strict_result strict_head_parse(const char *buf, size_t len, size_t last_len, const struct strict_limits *limits,
                                     struct strict_head *head)
{
    assert(last_len <= len);
    head_reset(head);
    size_t start = skip_empty_lines(buf, len);
    const char *at = buf + start;
    size_t scope = len - start < limits->head_bytes ? len - start : limits->head_bytes;
    last_len = last_len < start ? 0 : last_len - start;

    struct parse p = {.at = at, .end = at + scope, .limits = limits, .head = head};
    enum strict_result r = STRICT_INCOMPLETE;
    if (at == p.end || (scope == 1 && *at == '\r' && start < 2 * STRICT_EMPTY_LINES_MAX))
        return STRICT_INCOMPLETE; /* empty lines so far, or half of one */
    if (last_len > scope || !scan_is_enough(at, scope, last_len, limits))
        r = parse_whole(&p);
    if (r == STRICT_INCOMPLETE && len - start > limits->head_bytes)
        return refuse(head, REASON_HEAD_TOO_LARGE, "request head over the limit (limits.head_bytes)");
    if (r == STRICT_COMPLETE)
        head->bytes = (size_t)(p.at - buf);
    return r;
}

/* --- the parts of an HTTP/2 request ------------------------------------------------------------------------------- */

const char *strict_target_problem(struct str target)
{
    const char *end = target.base + target.len;
    if (target.len == 0 || *target.base != '/')
        return "the target is not a path";
    const char *stop = skip_target(target.base, end);
    return stop == end ? NULL : target_problem(stop, end);
}

bool strict_is_authority(struct str authority)
{
    struct str host, port;
    return split_authority(authority, &host, &port);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

ssize_t strict_chunked_decode(struct chunked *c, size_t overhead_max, char *buf, size_t *bufsz)
{
    size_t used = 0, kept = 0, len = *bufsz;
    struct str run;
    enum chunked_event event;
    while ((event = chunked_next(c, overhead_max, buf, len, &used, &run)) == CHUNKED_DATA) {
        memmove(buf + kept, run.base, run.len);
        kept += run.len;
    }
    *bufsz = kept;
    if (event == CHUNKED_MORE)
        return -2;
    if (event == CHUNKED_ERROR)
        return -1;
    memmove(buf + kept, buf + used, len - used);
    return (ssize_t)(len - used);
}
