/* SPDX-License-Identifier: MIT
 *
 * path: see path.h. Two passes: bytes (escapes), then segments (dots), the second in place. A table says which bytes
 * may stand as they are; a path of such bytes without a dot behind a slash needs neither pass.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "front/path.h"

enum path_byte {
    PATH_BYTE_PLAIN,    /* stands for itself */
    PATH_BYTE_PERCENT,  /* begins an escape */
    PATH_BYTE_ENCODE,   /* must be escaped */
    PATH_BYTE_FORBIDDEN /* no request target may hold it */
};

static enum path_byte classify(unsigned char c)
{
    if (c == '%')
        return PATH_BYTE_PERCENT;
    if (c <= 0x20 || c == 0x7f || c == '#')
        return PATH_BYTE_FORBIDDEN;
    return c > 0x7f ? PATH_BYTE_ENCODE : PATH_BYTE_PLAIN;
}

static bool is_unreserved(unsigned c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static char *put_escape(char *out, unsigned c)
{
    static const char digits[] = "0123456789ABCDEF";
    *out++ = '%';
    *out++ = digits[c >> 4];
    *out++ = digits[c & 15];
    return out;
}

void path_split(struct str target, struct str *path_r, struct str *query_r)
{
    char *mark = target.len == 0 ? NULL : memchr(target.base, '?', target.len);
    *path_r = target;
    *query_r = STR_NONE;
    if (mark == NULL)
        return;
    path_r->len = (size_t)(mark - target.base);
    *query_r = (struct str){mark + 1, target.len - path_r->len - 1};
}

bool path_is_normal(struct str path)
{
    if (path.len == 0 || path.base[0] != '/')
        return false;
    char before = 0;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.base[i];
        /* a dot behind a slash may be a hidden file's; the slow way finds out */
        if (classify(c) != PATH_BYTE_PLAIN || (c == '.' && before == '/'))
            return false;
        before = (char)c;
    }
    return true;
}

/* One escape at in[0..left). Returns the next place to write, or NULL with *why_r. */
static char *copy_escape(const char *in, size_t left, char *out, const char **why_r)
{
    int high = left >= 3 ? hex_value(in[1]) : -1;
    int low = left >= 3 ? hex_value(in[2]) : -1;
    if (high < 0 || low < 0) {
        *why_r = "the path has a '%' that is not followed by two hexadecimal digits";
        return NULL;
    }
    unsigned c = (unsigned)(high << 4 | low);
    if (c < 0x20 || c == 0x7f) {
        *why_r = "the path has an encoded control character";
        return NULL;
    }
    if (is_unreserved(c)) {
        *out++ = (char)c;
        return out;
    }
    return put_escape(out, c);
}

static bool copy_bytes(struct str path, char *out, size_t *len_r, const char **why_r)
{
    char *at = out;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.base[i];
        switch (classify(c)) {
        case PATH_BYTE_PLAIN:
            *at++ = (char)c;
            break;
        case PATH_BYTE_ENCODE:
            at = put_escape(at, c);
            break;
        case PATH_BYTE_PERCENT:
            at = copy_escape(path.base + i, path.len - i, at, why_r);
            if (at == NULL)
                return false;
            i += 2;
            break;
        case PATH_BYTE_FORBIDDEN:
            *why_r = "the path has a control character, a blank or a '#'";
            return false;
        }
    }
    *len_r = (size_t)(at - out);
    return true;
}

/* RFC 3986 §5.2.4 on bytes[0..*len), in place: the writer never overtakes the reader. */
static bool resolve_dots(char *bytes, size_t *len, const char **why_r)
{
    size_t in = 0, out = 0;
    while (in < *len) {
        /* bytes[in] is a slash: a segment is the slash and what follows up to the next */
        size_t end = in + 1;
        while (end < *len && bytes[end] != '/')
            end++;
        size_t segment = end - in - 1;
        bool last = end == *len;
        bool one = segment == 1 && bytes[in + 1] == '.';
        bool two = segment == 2 && bytes[in + 1] == '.' && bytes[in + 2] == '.';
        if (two) {
            if (out == 0) {
                *why_r = "the path climbs above its root";
                return false;
            }
            do
                out--;
            while (bytes[out] != '/');
        }
        if (one || two) {
            if (last)
                bytes[out++] = '/';
        } else {
            memmove(bytes + out, bytes + in, end - in);
            out += end - in;
        }
        in = end;
    }
    *len = out;
    return true;
}

bool path_normalise(struct str path, char *out, struct str *normal_r, const char **why_r)
{
    size_t len = 0;
    if (path.len == 0 || path.base[0] != '/') {
        *why_r = "the path does not begin with '/'";
        return false;
    }
    if (!copy_bytes(path, out, &len, why_r) || !resolve_dots(out, &len, why_r))
        return false;
    *normal_r = (struct str){out, len};
    return true;
}

struct str path_strip(struct str path, struct str prefix)
{
    if (!str_starts(path, prefix))
        return path;
    struct str rest = {path.base + prefix.len, path.len - prefix.len};
    if (rest.len != 0 && rest.base[0] == '/')
        return rest;
    /* "/api/" taken off "/api/x": the slash that ended the prefix begins the rest */
    if (prefix.len != 0 && prefix.base[prefix.len - 1] == '/')
        return (struct str){rest.base - 1, rest.len + 1};
    return rest.len == 0 ? STR("/") : path;
}

bool path_decode(struct str path, char *out, size_t *len_r)
{
    char *at = out;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.base[i];
        if (c == '%' && path.len - i >= 3) {
            c = (char)(hex_value(path.base[i + 1]) << 4 | hex_value(path.base[i + 2]));
            if (c == '/' || c == '\0')
                return false;
            i += 2;
        }
        *at++ = c;
    }
    *len_r = (size_t)(at - out);
    return true;
}
