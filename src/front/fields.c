/* SPDX-License-Identifier: MIT
 *
 * fields: see fields.h. A field's name is told by its length first and then by one comparison, so a field that is
 * nobody's business costs a switch. Values are borrowed where they stay as they are; what is composed goes to the
 * caller's text, whose size was computed from the same inputs.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/conf.h"
#include "front/fields.h"

#define REQUEST_ID_MAX 128
/* "t=" seconds "." microseconds; "Forwarded" beside its address and host; separators */
#define TEXT_FIXED 256
/* Host, X-Forwarded-For/-Proto/-Host, Forwarded, Via, X-Request-Id, X-Request-Start, one Cookie */
#define OWN_FIELDS 9

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static struct str lower_copy(const char *name)
{
    struct str s = str_of(mem_strdup(name));
    for (size_t i = 0; i < s.len; i++)
        if (s.base[i] >= 'A' && s.base[i] <= 'Z')
            s.base[i] = (char)(s.base[i] + ('a' - 'A'));
    return s;
}

void fields_rules_init(struct fields_rules *rules, const struct conf_header_rules *conf)
{
    *rules = (struct fields_rules){0};
    size_t nadded = conf->nset + conf->nadd, ndropped = conf->nset + conf->nremove;
    if (nadded + ndropped == 0)
        return;
    rules->added = mem_alloc((nadded + 1) * sizeof(rules->added[0]));
    rules->dropped = mem_alloc((ndropped + 1) * sizeof(rules->dropped[0]));
    for (size_t i = 0; i < nadded; i++) {
        const struct conf_pair *pair = i < conf->nset ? &conf->set[i] : &conf->add[i - conf->nset];
        rules->added[rules->nadded++] = (struct call_field){lower_copy(pair->name), str_of(pair->value)};
    }
    for (size_t i = 0; i < ndropped; i++)
        rules->dropped[rules->ndropped++] =
            lower_copy(i < conf->nset ? conf->set[i].name : conf->remove[i - conf->nset]);
}

void fields_rules_destroy(struct fields_rules *rules)
{
    for (size_t i = 0; i < rules->nadded; i++)
        free(rules->added[i].name.base);
    for (size_t i = 0; i < rules->ndropped; i++)
        free(rules->dropped[i].base);
    mem_free(&rules->added);
    mem_free(&rules->dropped);
}

bool fields_rules_drop(const struct fields_rules *rules, struct str name)
{
    for (size_t i = 0; i < rules->ndropped; i++)
        if (str_eq(rules->dropped[i], name))
            return true;
    return false;
}

/* ---- what a name means ------------------------------------------------------------------------------------------ */

enum kind {
    KIND_PLAIN,
    KIND_HOP,           /* of this connection: never forwarded */
    KIND_CONNECTION,    /* names further ones */
    KIND_COOKIE,        /* HTTP/2 may split it; HTTP/1 knows one */
    KIND_MAX_FORWARDS,  /* counted down where the method says so */
    KIND_OURS,          /* always overwritten */
    KIND_FORWARDED_FOR, /* from here on: a trusted proxy's word is kept */
    KIND_FORWARDED,
    KIND_FORWARDED_PROTO,
    KIND_FORWARDED_HOST,
    KIND_REQUEST_START,
    KIND_FORWARDED_OTHER
};

struct known {
    struct str name;
    enum kind kind;
};

static enum kind among(struct str name, const struct known *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(name.base, known[i].name.base, name.len) == 0)
            return known[i].kind;
    return KIND_PLAIN;
}

#define AMONG(name, ...)                                                                                               \
    among(name, (const struct known[]){__VA_ARGS__}, sizeof((const struct known[]){__VA_ARGS__}) / sizeof(struct known))

/* all entries of a row have the row's length */
static enum kind kind_by_length(struct str name)
{
    switch (name.len) {
    case 2:
        return AMONG(name, {STR("te"), KIND_HOP});
    case 4:
        return AMONG(name, {STR("host"), KIND_OURS});
    case 6:
        return AMONG(name, {STR("cookie"), KIND_COOKIE}, {STR("expect"), KIND_HOP});
    case 7:
        return AMONG(name, {STR("upgrade"), KIND_HOP}, {STR("trailer"), KIND_HOP});
    case 9:
        return AMONG(name, {STR("forwarded"), KIND_FORWARDED}, {STR("x-real-ip"), KIND_FORWARDED_OTHER});
    case 10:
        return AMONG(name, {STR("connection"), KIND_CONNECTION}, {STR("keep-alive"), KIND_HOP});
    case 12:
        return AMONG(name, {STR("x-request-id"), KIND_OURS}, {STR("max-forwards"), KIND_MAX_FORWARDS});
    case 14:
        return AMONG(name, {STR("content-length"), KIND_OURS}, {STR("http2-settings"), KIND_HOP});
    case 15:
        return AMONG(name, {STR("x-forwarded-for"), KIND_FORWARDED_FOR}, {STR("x-request-start"), KIND_REQUEST_START});
    case 16:
        return AMONG(name, {STR("x-forwarded-host"), KIND_FORWARDED_HOST}, {STR("proxy-connection"), KIND_HOP});
    case 17:
        return AMONG(name, {STR("x-forwarded-proto"), KIND_FORWARDED_PROTO}, {STR("transfer-encoding"), KIND_OURS});
    case 19:
        return AMONG(name, {STR("proxy-authorization"), KIND_HOP});
    default:
        return KIND_PLAIN;
    }
}

static enum kind kind_of(struct str name)
{
    enum kind kind = kind_by_length(name);
    if (kind != KIND_PLAIN)
        return kind;
    if (str_starts(name, STR("x-forwarded-")))
        return KIND_FORWARDED_OTHER;
    return name.len != 0 && memchr(name.base, '_', name.len) != NULL ? KIND_HOP : KIND_PLAIN;
}

bool fields_response_pass(struct str name)
{
    switch (kind_by_length(name)) {
    case KIND_HOP:
    case KIND_CONNECTION:
        return false;
    case KIND_OURS:
        return !str_eq(name, STR("content-length")) && !str_eq(name, STR("transfer-encoding"));
    default:
        return !str_eq(name, STR("date")) && !str_eq(name, STR("server"));
    }
}

/* ---- Connection's tokens ---------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Takes the next token off a comma-separated list. */
static bool next_token(struct str *list, struct str *token_r)
{
    while (list->len != 0 && is_blank(list->base[0]))
        *list = (struct str){list->base + 1, list->len - 1};
    if (list->len == 0)
        return false;
    size_t len = 0;
    while (len < list->len && list->base[len] != ',')
        len++;
    struct str token = {list->base, len};
    *list = (struct str){list->base + len, list->len - len};
    while (token.len != 0 && is_blank(token.base[token.len - 1]))
        token.len--;
    *token_r = token;
    return true;
}

/* a token that can name a field which would otherwise be forwarded */
static bool token_matters(struct str token)
{
    return !str_case_eq(token, STR("keep-alive")) && !str_case_eq(token, STR("close")) &&
           !str_case_eq(token, STR("upgrade"));
}

static bool connection_matters(struct str value)
{
    for (struct str token; next_token(&value, &token);)
        if (token_matters(token))
            return true;
    return false;
}

static bool named_by_connection(const struct fields_request *q, struct str name)
{
    for (size_t i = 0; i < q->nfields; i++) {
        struct str value = q->fields[i].value, token;
        if (kind_by_length(*q->fields[i].name) != KIND_CONNECTION)
            continue;
        while (next_token(&value, &token))
            if (str_case_eq(token, name))
                return true;
    }
    return false;
}

/* ---- composing -------------------------------------------------------------------------------------------------- */

struct build {
    const struct fields_request *q;
    struct call_field *out;
    size_t count;
    char *text; /* where the next composed byte goes */
    bool connection_matters;
    bool has_proto, has_host, has_start;        /* a trusted proxy's is kept */
    unsigned cookies, forwarded_for, forwarded; /* how many came */
};

static void put(struct build *b, struct str name, struct str value)
{
    if (b->q->rules != NULL && b->q->rules->ndropped != 0 && fields_rules_drop(b->q->rules, name))
        return;
    b->out[b->count++] = (struct call_field){name, value};
}

static void add_text(struct build *b, struct str s)
{
    if (s.len != 0)
        memcpy(b->text, s.base, s.len);
    b->text += s.len;
}

static struct str text_since(const struct build *b, char *start)
{
    return (struct str){start, (size_t)(b->text - start)};
}

/* all the client's values of this kind, joined */
static void add_joined(struct build *b, enum kind kind, struct str separator)
{
    bool first = true;
    for (size_t i = 0; i < b->q->nfields; i++) {
        if (kind_by_length(*b->q->fields[i].name) != kind)
            continue;
        if (!first)
            add_text(b, separator);
        add_text(b, b->q->fields[i].value);
        first = false;
    }
}

static void put_plain(struct build *b, struct str name, struct str value)
{
    if (!b->connection_matters || !named_by_connection(b->q, name))
        put(b, name, value);
}

static bool is_number(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.base[i] < '0' || s.base[i] > '9')
            return false;
    return s.len != 0;
}

static bool is_zero(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.base[i] != '0')
            return false;
    return s.len != 0;
}

/* In decimal, so that no number is too large. What is none, or 0, stays. */
static struct str one_less(struct build *b, struct str number)
{
    if (!is_number(number) || is_zero(number))
        return number;
    char *start = b->text, *last = start + number.len - 1;
    add_text(b, number);
    for (; *last == '0'; last--)
        *last = '9';
    --*last;
    while (*start == '0' && start + 1 != b->text)
        start++;
    return text_since(b, start);
}

static void copy_client_field(struct build *b, const struct field *f)
{
    const struct fields_request *q = b->q;
    switch (kind_of(*f->name)) {
    case KIND_PLAIN:
        put_plain(b, *f->name, f->value);
        return;
    case KIND_MAX_FORWARDS:
        put_plain(b, *f->name, q->counts_hops ? one_less(b, f->value) : f->value);
        return;
    case KIND_COOKIE:
        b->cookies++;
        return;
    case KIND_FORWARDED_FOR:
        b->forwarded_for++;
        return;
    case KIND_FORWARDED:
        b->forwarded++;
        return;
    case KIND_FORWARDED_PROTO:
        if (q->is_trusted && !b->has_proto) {
            b->has_proto = true;
            put(b, *f->name, f->value);
        }
        return;
    case KIND_FORWARDED_HOST:
        if (q->is_trusted && !b->has_host) {
            b->has_host = true;
            put(b, *f->name, f->value);
        }
        return;
    case KIND_REQUEST_START:
        if (q->is_trusted && !b->has_start) {
            b->has_start = true;
            put(b, *f->name, f->value);
        }
        return;
    case KIND_FORWARDED_OTHER:
        if (q->is_trusted)
            put(b, *f->name, f->value);
        return;
    case KIND_HOP:
    case KIND_CONNECTION:
    case KIND_OURS:
        return;
    }
}

static void put_cookie(struct build *b)
{
    if (b->cookies == 0)
        return;
    char *start = b->text;
    add_joined(b, KIND_COOKIE, STR("; "));
    put(b, STR("cookie"), text_since(b, start));
}

static bool peer_has_address(const struct fields_request *q)
{
    return q->peer.len != 0 && !str_starts(q->peer, STR("unix:"));
}

static void put_forwarded_for(struct build *b)
{
    char *start = b->text;
    if (b->q->is_trusted && b->forwarded_for != 0)
        add_joined(b, KIND_FORWARDED_FOR, STR(", "));
    if (peer_has_address(b->q)) {
        if (b->text != start)
            add_text(b, STR(", "));
        add_text(b, b->q->peer);
    }
    if (b->text != start)
        put(b, STR("x-forwarded-for"), text_since(b, start));
}

/* a quoted-string of RFC 9110 §5.6.4 */
static void add_quoted(struct build *b, struct str s)
{
    *b->text++ = '"';
    for (size_t i = 0; i < s.len; i++) {
        if (s.base[i] == '"' || s.base[i] == '\\')
            *b->text++ = '\\';
        *b->text++ = s.base[i];
    }
    *b->text++ = '"';
}

/* RFC 7239 §4: an IPv6 address is bracketed and quoted; a peer without an address is "unknown" */
static void add_forwarded_node(struct build *b)
{
    const struct fields_request *q = b->q;
    if (!peer_has_address(q)) {
        add_text(b, STR("unknown"));
    } else if (memchr(q->peer.base, ':', q->peer.len) == NULL) {
        add_text(b, q->peer);
    } else {
        add_text(b, STR("\"["));
        add_text(b, q->peer);
        add_text(b, STR("]\""));
    }
}

static void put_forwarded(struct build *b)
{
    char *start = b->text;
    if (b->q->is_trusted && b->forwarded != 0) {
        add_joined(b, KIND_FORWARDED, STR(", "));
        add_text(b, STR(", "));
    }
    add_text(b, STR("for="));
    add_forwarded_node(b);
    if (b->q->authority.len != 0) {
        add_text(b, STR(";host="));
        add_quoted(b, b->q->authority);
    }
    add_text(b, STR(";proto="));
    add_text(b, b->q->scheme);
    put(b, STR("forwarded"), text_since(b, start));
}

static void add_digits(struct build *b, uint64_t n, unsigned width)
{
    for (unsigned i = width; i-- > 0; n /= 10)
        b->text[i] = (char)('0' + n % 10);
    b->text += width;
}

/* seconds since the epoch with microseconds: the form that New Relic and others read */
static void put_request_start(struct build *b)
{
    char *start = b->text;
    add_text(b, STR("t="));
    add_digits(b, (uint64_t)b->q->arrived_us / 1000000, 10);
    *b->text++ = '.';
    add_digits(b, (uint64_t)b->q->arrived_us % 1000000, 6);
    put(b, STR("x-request-start"), text_since(b, start));
}

static void put_own_fields(struct build *b)
{
    const struct fields_request *q = b->q;
    put_cookie(b);
    put_forwarded_for(b);
    if (!b->has_proto)
        put(b, STR("x-forwarded-proto"), q->scheme);
    if (!b->has_host && q->authority.len != 0)
        put(b, STR("x-forwarded-host"), q->authority);
    put_forwarded(b);
    put(b, STR("via"), q->via);
    put(b, STR("x-request-id"), q->id);
    if (!b->has_start)
        put_request_start(b);
}

size_t fields_request_count_max(const struct fields_request *q)
{
    return q->nfields + OWN_FIELDS + (q->rules == NULL ? 0 : q->rules->nadded);
}

size_t fields_request_text_max(const struct fields_request *q)
{
    size_t joined = 0;
    for (size_t i = 0; i < q->nfields; i++) {
        enum kind kind = kind_by_length(*q->fields[i].name);
        if (kind == KIND_COOKIE || kind == KIND_FORWARDED_FOR || kind == KIND_FORWARDED || kind == KIND_MAX_FORWARDS)
            joined += q->fields[i].value.len + 2;
    }
    return joined + 2 * q->peer.len + 2 * q->authority.len + q->scheme.len + TEXT_FIXED;
}

size_t fields_request_build(const struct fields_request *q, struct call_field *out, char *text)
{
    struct build b = {.q = q, .out = out, .text = text};
    for (size_t i = 0; i < q->nfields && !b.connection_matters; i++)
        b.connection_matters =
            kind_by_length(*q->fields[i].name) == KIND_CONNECTION && connection_matters(q->fields[i].value);
    if (q->authority.len != 0)
        put(&b, STR("host"), q->authority);
    for (size_t i = 0; i < q->nfields; i++)
        copy_client_field(&b, &q->fields[i]);
    put_own_fields(&b);
    for (size_t i = 0; q->rules != NULL && i < q->rules->nadded; i++)
        b.out[b.count++] = q->rules->added[i];
    assert(b.count <= fields_request_count_max(q));
    return b.count;
}

bool fields_hops_are_spent(const struct field *fields, size_t nfields)
{
    for (size_t i = 0; i < nfields; i++)
        if (kind_by_length(*fields[i].name) == KIND_MAX_FORWARDS)
            return is_zero(fields[i].value);
    return false;
}

/* ---- X-Request-Id ----------------------------------------------------------------------------------------------- */

static bool is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_usable_id(struct str id)
{
    for (size_t i = 0; i < id.len; i++)
        if (!is_token_char((unsigned char)id.base[i]))
            return false;
    return id.len != 0 && id.len <= REQUEST_ID_MAX;
}

struct str fields_request_id(const struct field *fields, size_t nfields)
{
    for (size_t i = 0; i < nfields; i++)
        if (str_eq(*fields[i].name, STR("x-request-id")))
            return is_usable_id(fields[i].value) ? fields[i].value : STR_NONE;
    return STR_NONE;
}
