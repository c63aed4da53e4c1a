/* SPDX-License-Identifier: MIT
 *
 * str: a borrowed run of bytes, not NUL-terminated. It owns nothing: whoever hands one out says how long it lives.
 * The layout equals h2o_iovec_t's, so that the front can pass arrays of either. Any thread.
 */
#ifndef BULKHEAD_BASE_STR_H
#define BULKHEAD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct str {
    char *base;
    size_t len;
};

#define STR(literal) ((struct str){(char *)(literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
/* for printf's "%.*s" */
#define STR_ARG(s) (int)(s).len, (s).base

static inline struct str str_of(const char *z)
{
    return z == NULL ? STR_NONE : (struct str){(char *)z, strlen(z)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* ASCII case-insensitive; for field names, hosts and tokens */
static inline bool str_case_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.base, b.base, a.len) == 0);
}

/* A copy at *at, which moves behind it: for several strings in one block of memory. What has no base has none. */
static inline struct str str_keep(char **at, struct str s)
{
    if (s.base == NULL)
        return STR_NONE;
    struct str kept = {*at, s.len};
    memcpy(kept.base, s.base, s.len);
    *at += s.len;
    return kept;
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.base, prefix.base, prefix.len) == 0);
}

#endif
