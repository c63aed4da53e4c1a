/* SPDX-License-Identifier: MIT
 *
 * http1_request: writes a request's head for an HTTP/1.1 backend. Once per forwarded request, so: sizes first, one
 * reservation, copies. What it is given was made safe before: the method is a token, path and query hold no blanks or
 * controls, names are tokens and values have no line ends; nothing is escaped or checked here. Pure; any thread.
 */
#include "config.h"

#include "upstream/http1_request.h"

#define VERSION " HTTP/1.1\r\n"
#define CLOSE   "connection: close\r\n"
#define LENGTH  "content-length: "
#define DIGITS  20 /* of a uint64_t */

static char *put(char *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static char *put_str(char *at, struct str s)
{
    return s.len == 0 ? at : put(at, s.base, s.len);
}

static char *put_decimal(char *at, uint64_t n)
{
    char digits[DIGITS];
    size_t first = DIGITS;
    do {
        digits[--first] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    return put(at, digits + first, DIGITS - first);
}

/* An absent body of these methods is announced as empty (RFC 9110 §8.6): some servers answer 411 otherwise. */
static bool expects_body(struct str method)
{
    switch (method.len) {
    case 3:
        return memcmp(method.base, "PUT", 3) == 0;
    case 4:
        return memcmp(method.base, "POST", 4) == 0;
    case 5:
        return memcmp(method.base, "PATCH", 5) == 0;
    default:
        return false;
    }
}

static size_t size_at_most(const struct call_request *r)
{
    size_t n = r->method.len + 1 + r->path.len + 1 + r->query.len + sizeof(VERSION) + sizeof(CLOSE) + sizeof(LENGTH) +
               DIGITS + sizeof("\r\n\r\n");
    for (size_t i = 0; i < r->nfields; i++)
        n += r->fields[i].name.len + r->fields[i].value.len + sizeof(": \r\n");
    return n;
}

static char *put_request_line(char *at, const struct call_request *r)
{
    at = put_str(at, r->method);
    *at++ = ' ';
    at = put_str(at, r->path);
    if (r->query.base != NULL) {
        *at++ = '?';
        at = put_str(at, r->query);
    }
    return put(at, VERSION, sizeof(VERSION) - 1);
}

static char *put_fields(char *at, const struct call_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        at = put_str(at, fields[i].name);
        at = put(at, ": ", 2);
        at = put_str(at, fields[i].value);
        at = put(at, "\r\n", 2);
    }
    return at;
}

void http1_request_put(struct buf *out, const struct call_request *request, bool close)
{
    char *at = buf_reserve(out, size_at_most(request));
    at = put_request_line(at, request);
    at = put_fields(at, request->fields, request->nfields);
    if (request->body.len != 0 || expects_body(request->method)) {
        at = put(at, LENGTH, sizeof(LENGTH) - 1);
        at = put_decimal(at, request->body.len);
        at = put(at, "\r\n", 2);
    }
    if (close)
        at = put(at, CLOSE, sizeof(CLOSE) - 1);
    at = put(at, "\r\n", 2);
    out->len = (size_t)(at - out->base);
}
