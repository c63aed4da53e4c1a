/* SPDX-License-Identifier: MIT
 *
 * fastcgi_request: writes a request as FastCGI records: which file is the script, the CGI/1.1 variables (RFC 3875
 * §4.1), and the body's records. Pure; any thread. It never looks at the file system: whether the script exists is for
 * the program to say.
 *
 * The script. A path's first segment with the extension of `index` is the script and what follows is PATH_INFO; a path
 * without such a segment names a directory, whose index is the script. So no file with another extension is ever named
 * as a script. (php-cgi itself looks for a shorter script when the named one is missing, unless told
 * cgi.fix_pathinfo=0.)
 */
#include "config.h"

#include <stdio.h>

#include "base/lexis.h"
#include "upstream/fastcgi.h"
#include "upstream/fastcgi_private.h"

/* --- records ------------------------------------------------------------------------------------------------------ */

static void fill_record_head(char *at, enum fastcgi_type type, size_t content_len)
{
    const unsigned char head[FASTCGI_RECORD_HEAD] = {
        FASTCGI_VERSION,           (unsigned char)type, 0, FASTCGI_REQUEST_ID, (unsigned char)(content_len >> 8),
        (unsigned char)content_len};
    memcpy(at, head, sizeof(head));
}

static void put_record_head(struct buf *out, enum fastcgi_type type, size_t content_len)
{
    fill_record_head(buf_reserve(out, FASTCGI_RECORD_HEAD), type, content_len);
    out->len += FASTCGI_RECORD_HEAD;
}

static void put_begin(struct buf *out, bool keep)
{
    const unsigned char content[8] = {0, FASTCGI_RESPONDER, keep ? FASTCGI_KEEP_CONN : 0};
    put_record_head(out, FASTCGI_BEGIN_REQUEST, sizeof(content));
    buf_append(out, content, sizeof(content));
}

/* The content that was appended behind one record head at `start` becomes as many records as it needs. */
static void split_records(struct buf *out, size_t start, enum fastcgi_type type)
{
    size_t content = out->len - start - FASTCGI_RECORD_HEAD;
    size_t extra = content == 0 ? 0 : (content - 1) / FASTCGI_CONTENT_MAX;
    buf_reserve(out, extra * FASTCGI_RECORD_HEAD);
    char *first = out->base + start + FASTCGI_RECORD_HEAD;
    size_t tail = content - extra * FASTCGI_CONTENT_MAX;
    for (size_t i = extra; i > 0; i--) {
        char *to = first + i * (FASTCGI_CONTENT_MAX + FASTCGI_RECORD_HEAD);
        memmove(to, first + i * FASTCGI_CONTENT_MAX, tail);
        fill_record_head(to - FASTCGI_RECORD_HEAD, type, tail);
        tail = FASTCGI_CONTENT_MAX;
    }
    fill_record_head(first - FASTCGI_RECORD_HEAD, type, tail);
    out->len += extra * FASTCGI_RECORD_HEAD;
}

static void put_stdin_record(struct buf *out, struct str content)
{
    put_record_head(out, FASTCGI_STDIN, content.len);
    buf_append_str(out, content);
}

void fastcgi_put_stdin(struct buf *out, struct str piece)
{
    while (piece.len > FASTCGI_CONTENT_MAX) {
        put_stdin_record(out, (struct str){piece.base, FASTCGI_CONTENT_MAX});
        piece = (struct str){piece.base + FASTCGI_CONTENT_MAX, piece.len - FASTCGI_CONTENT_MAX};
    }
    put_stdin_record(out, piece);
}

/* --- variables ---------------------------------------------------------------------------------------------------- */

static char *put_length(char *at, size_t len)
{
    if (len < 128) {
        *at++ = (char)len;
        return at;
    }
    const unsigned char bytes[4] = {(unsigned char)(len >> 24 | 0x80), (unsigned char)(len >> 16),
                                    (unsigned char)(len >> 8), (unsigned char)len};
    memcpy(at, bytes, sizeof(bytes));
    return at + sizeof(bytes);
}

static char *put_bytes(char *at, struct str s)
{
    if (s.len != 0)
        memcpy(at, s.base, s.len);
    return at + s.len;
}

/* name = the parts run together */
static void put_joined(struct buf *out, struct str name, const struct str *parts, size_t n)
{
    size_t value_len = 0;
    for (size_t i = 0; i < n; i++)
        value_len += parts[i].len;
    char *at = buf_reserve(out, 8 + name.len + value_len);
    at = put_length(at, name.len);
    at = put_length(at, value_len);
    at = put_bytes(at, name);
    for (size_t i = 0; i < n; i++)
        at = put_bytes(at, parts[i]);
    out->len = (size_t)(at - out->base);
}

static void put_variable(struct buf *out, struct str name, struct str value)
{
    put_joined(out, name, &value, 1);
}

/* --- the script --------------------------------------------------------------------------------------------------- */

struct script {
    struct str name;  /* of the script, or its directory */
    struct str slash; /* between directory and index, where the path has none */
    struct str index; /* empty when `name` is the script */
    struct str path_info;
};

/* ".php" of "index.php"; empty when there is none */
static struct str extension_of(struct str file)
{
    for (size_t i = file.len; i > 1; i--)
        if (file.base[i - 1] == '.')
            return (struct str){file.base + i - 1, file.len - (i - 1)};
    return STR_NONE;
}

static bool ends_with(const char *start, const char *end, struct str suffix)
{
    return (size_t)(end - start) > suffix.len && memcmp(end - suffix.len, suffix.base, suffix.len) == 0;
}

static struct script find_script(struct str path, struct str index)
{
    struct str extension = extension_of(index);
    char *end = path.base + path.len;
    for (char *segment = path.base + 1; extension.len != 0 && segment < end;) {
        char *slash = memchr(segment, '/', (size_t)(end - segment));
        char *stop = slash != NULL ? slash : end;
        if (ends_with(segment, stop, extension))
            return (struct script){.name = {path.base, (size_t)(stop - path.base)},
                                   .path_info = {stop, (size_t)(end - stop)}};
        segment = stop + 1;
    }
    if (index.len == 0)
        return (struct script){.name = path};
    return (struct script){.name = path, .slash = end[-1] == '/' ? STR_NONE : STR("/"), .index = index};
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* no segment is "." or ".." */
static bool segments_are_plain(struct str path)
{
    const char *end = path.base + path.len;
    for (const char *segment = path.base + 1; segment <= end;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        const char *stop = slash != NULL ? slash : end;
        size_t len = (size_t)(stop - segment);
        if ((len == 1 && segment[0] == '.') || (len == 2 && segment[0] == '.' && segment[1] == '.'))
            return false;
        segment = stop + 1;
    }
    return true;
}

/* CGI names scripts without percent-escapes. Escapes that would make another path of it (a slash, a NUL, dot segments)
 * leave the whole path as it is, under which no file will be found. The result is `path` or in `scratch`. */
static struct str unescape(struct str path, struct buf *scratch)
{
    if (path.len == 0 || memchr(path.base, '%', path.len) == NULL)
        return path;
    const char *at = path.base, *end = at + path.len;
    char *to = buf_reserve(scratch, path.len);
    while (at != end) {
        char c = *at++;
        if (c == '%' && end - at >= 2 && lexis_is(at[0], LEXIS_HEX) && lexis_is(at[1], LEXIS_HEX)) {
            c = (char)(hex_value(at[0]) << 4 | hex_value(at[1]));
            at += 2;
            if (c == '/' || c == '\0')
                return path;
        }
        *to++ = c;
    }
    struct str plain = {scratch->base, (size_t)(to - scratch->base)};
    return segments_are_plain(plain) ? plain : path;
}

static void put_script(struct buf *out, struct str path, const struct fastcgi_params *params)
{
    struct buf scratch = {0};
    struct str root = str_of(params->root), plain = unescape(path, &scratch);
    while (root.len != 0 && root.base[root.len - 1] == '/')
        root.len--;
    struct script s = find_script(plain, str_of(params->index));
    const struct str file[] = {root, s.name, s.slash, s.index};
    put_joined(out, STR("SCRIPT_FILENAME"), file, 4);
    put_joined(out, STR("SCRIPT_NAME"), file + 1, 3);
    if (s.path_info.len != 0)
        put_variable(out, STR("PATH_INFO"), s.path_info);
    put_variable(out, STR("DOCUMENT_ROOT"), root);
    put_variable(out, STR("DOCUMENT_URI"), plain);
    buf_free(&scratch);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static void put_target(struct buf *out, const struct call_request *r)
{
    const struct str target[] = {r->path, r->query.base != NULL ? STR("?") : STR_NONE, r->query};
    put_joined(out, STR("REQUEST_URI"), target, 3);
    put_variable(out, STR("QUERY_STRING"), r->query);
}

/* Host as validated: a name, an address, or an address in brackets, and perhaps a port */
static void put_server(struct buf *out, const struct call_request *r)
{
    bool https = str_eq(r->scheme, STR("https"));
    struct str host = r->authority, port = https ? STR("443") : STR("80");
    for (size_t i = host.len; i > 0 && host.base[i - 1] != ']'; i--) {
        if (host.base[i - 1] != ':')
            continue;
        if (i != host.len)
            port = (struct str){host.base + i, host.len - i};
        host.len = i - 1;
        break;
    }
    put_variable(out, STR("SERVER_NAME"), host);
    put_variable(out, STR("SERVER_PORT"), port);
    put_variable(out, STR("REQUEST_SCHEME"), https ? STR("https") : STR("http"));
    if (https)
        put_variable(out, STR("HTTPS"), STR("on"));
}

static void put_content(struct buf *out, const struct call_request *r)
{
    char digits[24];
    if (r->body.len != 0 || str_eq(r->method, STR("POST")) || str_eq(r->method, STR("PUT"))) {
        int n = snprintf(digits, sizeof(digits), "%zu", r->body.len);
        put_variable(out, STR("CONTENT_LENGTH"), (struct str){digits, (size_t)n});
    }
    for (size_t i = 0; i < r->nfields; i++)
        if (str_eq(r->fields[i].name, STR("content-type"))) {
            put_variable(out, STR("CONTENT_TYPE"), r->fields[i].value);
            break;
        }
}

/* Not as HTTP_*: what has a variable of its own, what would set the program's proxy (HTTP_PROXY), and names with '_',
 * which cannot be told from those with '-' behind the translation. */
static bool has_variable(struct str name)
{
    return !str_eq(name, STR("content-type")) && !str_eq(name, STR("content-length")) && !str_eq(name, STR("proxy")) &&
           memchr(name.base, '_', name.len) == NULL;
}

static bool came_before(const struct call_field *fields, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (str_eq(fields[j].name, fields[i].name))
            return true;
    return false;
}

/* "HTTP_" and the name in upper case, '-' as '_' */
static void put_field_name(struct buf *name, struct str field)
{
    buf_clear(name);
    char *at = put_bytes(buf_reserve(name, 5 + field.len), STR("HTTP_"));
    for (size_t i = 0; i < field.len; i++) {
        char c = field.base[i];
        *at++ = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
    }
    name->len = (size_t)(at - name->base);
}

/* all values of fields[i] and those behind it that have its name, as one (RFC 3875 §4.1.18) */
static void put_field(struct buf *out, const struct call_field *fields, size_t n, size_t i, struct buf *name)
{
    struct str separator = str_eq(fields[i].name, STR("cookie")) ? STR("; ") : STR(", ");
    struct buf joined = {0};
    struct str value = fields[i].value;
    for (size_t j = i + 1; j < n; j++) {
        if (!str_eq(fields[j].name, fields[i].name))
            continue;
        if (joined.len == 0)
            buf_append_str(&joined, value);
        buf_append_str(&joined, separator);
        buf_append_str(&joined, fields[j].value);
        value = buf_str(&joined);
    }
    put_field_name(name, fields[i].name);
    put_variable(out, buf_str(name), value);
    buf_free(&joined);
}

static void put_fields(struct buf *out, const struct call_field *fields, size_t n)
{
    struct buf name = {0};
    for (size_t i = 0; i < n; i++)
        if (fields[i].name.len != 0 && has_variable(fields[i].name) && !came_before(fields, i))
            put_field(out, fields, n, i, &name);
    buf_free(&name);
}

void fastcgi_put_request(struct buf *out, const struct call_request *request, const struct fastcgi_params *params,
                         bool keep)
{
    put_begin(out, keep);
    size_t start = out->len;
    put_record_head(out, FASTCGI_PARAMS, 0); /* filled in by split_records */
    put_variable(out, STR("GATEWAY_INTERFACE"), STR("CGI/1.1"));
    put_variable(out, STR("SERVER_SOFTWARE"), STR("bulkhead"));
    put_variable(out, STR("SERVER_PROTOCOL"), STR("HTTP/1.1"));
    put_variable(out, STR("REQUEST_METHOD"), request->method);
    put_variable(out, STR("REMOTE_ADDR"), request->peer);
    put_variable(out, STR("REDIRECT_STATUS"), STR("200")); /* php-cgi serves nothing without it */
    put_target(out, request);
    put_script(out, request->path, params);
    put_server(out, request);
    put_content(out, request);
    put_fields(out, request->fields, request->nfields);
    split_records(out, start, FASTCGI_PARAMS);
    put_record_head(out, FASTCGI_PARAMS, 0);
}
