/* SPDX-License-Identifier: MIT
 *
 * file_request: see file_request.h.
 */
#include "config.h"

#include "front/file_request.h"
#include "front/path.h"

bool file_request_name(struct str path, char *out)
{
    while (path.len != 0 && path.base[0] == '/')
        path = (struct str){path.base + 1, path.len - 1};
    size_t len;
    if (!path_decode(path, out, &len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (out[i] == '.' && (i == 0 || out[i - 1] == '/'))
            return false;
    if (len == 0)
        out[len++] = '.';
    out[len] = '\0';
    return true;
}

/* ---- ranges ----------------------------------------------------------------------------------------------------- */

/* Takes digits off the front. false: there is none, or too many to be a size. */
static bool take_number(struct str *s, uint64_t *n_r)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < s->len && s->base[i] >= '0' && s->base[i] <= '9'; i++) {
        if (n > UINT64_MAX / 10 - 1)
            return false;
        n = 10 * n + (uint64_t)(s->base[i] - '0');
    }
    *s = (struct str){s->base + i, s->len - i};
    *n_r = n;
    return i != 0;
}

/* "-n": the last n bytes */
static enum file_range suffix_range(struct str s, uint64_t size, uint64_t *from_r, uint64_t *len_r)
{
    uint64_t n;
    if (!take_number(&s, &n) || s.len != 0)
        return FILE_RANGE_WHOLE;
    if (n == 0 || size == 0)
        return FILE_RANGE_UNSATISFIABLE;
    *len_r = n < size ? n : size;
    *from_r = size - *len_r;
    return FILE_RANGE_PART;
}

enum file_range file_request_range(struct str s, uint64_t size, uint64_t *from_r, uint64_t *len_r)
{
    uint64_t first, last = UINT64_MAX;
    if (!str_starts(s, STR("bytes=")))
        return FILE_RANGE_WHOLE;
    s = (struct str){s.base + 6, s.len - 6};
    if (str_starts(s, STR("-")))
        return suffix_range((struct str){s.base + 1, s.len - 1}, size, from_r, len_r);
    if (!take_number(&s, &first) || !str_starts(s, STR("-")))
        return FILE_RANGE_WHOLE;
    s = (struct str){s.base + 1, s.len - 1};
    if (s.len != 0 && (!take_number(&s, &last) || s.len != 0 || last < first))
        return FILE_RANGE_WHOLE;
    if (first >= size)
        return FILE_RANGE_UNSATISFIABLE;
    if (last >= size)
        last = size - 1;
    *from_r = first;
    *len_r = last - first + 1;
    return FILE_RANGE_PART;
}

/* ---- entity tags ------------------------------------------------------------------------------------------------ */

static struct str skip(struct str s, const char *bytes)
{
    while (s.len != 0 && strchr(bytes, s.base[0]) != NULL)
        s = (struct str){s.base + 1, s.len - 1};
    return s;
}

static bool is_listed(struct str list, struct str etag, bool takes_weak)
{
    for (;;) {
        list = skip(list, " \t,");
        if (list.len == 0)
            return false;
        if (list.base[0] == '*')
            return true;
        bool is_weak = str_starts(list, STR("W/"));
        if (is_weak)
            list = (struct str){list.base + 2, list.len - 2};
        const char *close = list.len < 2 || list.base[0] != '"' ? NULL : memchr(list.base + 1, '"', list.len - 1);
        if (close == NULL)
            return false;
        struct str tag = {list.base, (size_t)(close - list.base) + 1};
        if (str_eq(tag, etag) && (takes_weak || !is_weak))
            return true;
        list = (struct str){list.base + tag.len, list.len - tag.len};
    }
}

bool file_request_etag_listed(struct str list, struct str etag)
{
    return is_listed(list, etag, true);
}

bool file_request_etag_listed_strong(struct str list, struct str etag)
{
    return is_listed(list, etag, false);
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

struct str file_request_type(struct str name)
{
    static const struct {
        const char *extension, *type;
    } table[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"map", "application/json"},
        {"webmanifest", "application/manifest+json"},
        {"xml", "application/xml"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"svg", "image/svg+xml"},
        {"ico", "image/x-icon"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
        {"otf", "font/otf"},
        {"pdf", "application/pdf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"wasm", "application/wasm"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
    };
    const char *dot = name.len == 0 ? NULL : memrchr(name.base, '.', name.len);
    if (dot != NULL) {
        struct str extension = {(char *)dot + 1, name.len - (size_t)(dot + 1 - name.base)};
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
            if (str_case_eq(extension, str_of(table[i].extension)))
                return str_of(table[i].type);
    }
    return STR("application/octet-stream");
}
