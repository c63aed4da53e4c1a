/* SPDX-License-Identifier: MIT
 *
 * push_request: see push_request.h. Strict: a parameter that is not known may be one that was misspelt, and a message
 * cannot be called back.
 */
#include "config.h"

#include "base/lexis.h"
#include "base/utf8.h"
#include "front/push_request.h"
#include "handler/params.h"
#include "wire/ws_code.h"

/* A close frame holds a code of two bytes and this, RFC 6455 §5.5 */
#define REASON_MAX (WS_CONTROL_MAX - 2)

bool push_request_is(struct str path)
{
    return str_eq(path, STR("/ws")) || str_starts(path, STR("/ws/"));
}

static struct str media_type(struct str type)
{
    char *semicolon = type.len == 0 ? NULL : memchr(type.base, ';', type.len);
    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.base);
    while (type.len != 0 && (type.base[type.len - 1] == ' ' || type.base[type.len - 1] == '\t'))
        type.len--;
    return type;
}

static bool starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_case_eq((struct str){s.base, prefix.len}, prefix);
}

static bool ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_case_eq((struct str){s.base + s.len - suffix.len, suffix.len}, suffix);
}

bool push_request_type_is_text(struct str type)
{
    type = media_type(type);
    return type.len == 0 || starts_with(type, STR("text/")) || str_case_eq(type, STR("application/json")) ||
           ends_with(type, STR("+json")) || str_case_eq(type, STR("application/x-www-form-urlencoded"));
}

static const char *read_close(struct push_request *r, struct str value)
{
    int64_t code;
    if (!lexis_length(value, &code) || code > 4999 || !ws_code_is_sendable((unsigned)code))
        return "close must be a code that a close frame may carry: 1000 to 1003, 1007 to 1014 or 3000 to 4999";
    r->closes = true;
    r->code = (unsigned)code;
    return NULL;
}

static const char *read_reason(struct push_request *r, struct str value)
{
    if (value.len > REASON_MAX || !utf8_valid(value.base, value.len) || memchr(value.base, '\0', value.len) != NULL)
        return "reason must be UTF-8 of at most 123 bytes";
    r->reason = value;
    return NULL;
}

static const char *read_limit(struct push_request *r, struct str value)
{
    int64_t limit;
    if (!lexis_length(value, &limit) || limit > PUSH_LIST_MAX)
        return "limit must be a number up to 1000";
    r->limit = (unsigned)limit;
    return NULL;
}

static const char *read_parameter(struct push_request *r, struct str name, struct str value)
{
    if (params_equal(name, STR("close")))
        return read_close(r, value);
    if (params_equal(name, STR("reason")))
        return read_reason(r, value);
    if (params_equal(name, STR("limit")))
        return read_limit(r, value);
    if (!params_equal(name, STR("route")))
        return "unknown parameter; there are route, close, reason and limit";
    r->route = value;
    return NULL;
}

const char *push_request_read(struct push_request *r, struct str path, struct str query, struct str type, char *text)
{
    size_t cursor = 0;
    struct str name, value;
    *r = (struct push_request){.code = WS_CODE_NORMAL,
                               .opcode = push_request_type_is_text(type) ? WS_TEXT : WS_BINARY,
                               .limit = PUSH_LIST_DEFAULT};
    if (path.len > 4)
        r->id = (struct str){path.base + 4, path.len - 4};
    while (params_next(query, &cursor, &name, &value)) {
        struct str decoded = {text, params_decode(text, value)};
        text += value.len;
        const char *wrong = read_parameter(r, name, decoded);
        if (wrong != NULL)
            return wrong;
    }
    if (r->id.len != 0 && r->route.len != 0)
        return "an id and a route: one of them says which WebSockets are meant";
    return r->reason.len != 0 && !r->closes ? "a reason goes with close=CODE" : NULL;
}
