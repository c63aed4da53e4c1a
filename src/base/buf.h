/* SPDX-License-Identifier: MIT
 *
 * buf: a growing run of bytes that its holder owns. buf_free gives the memory back; a zeroed struct is an empty buffer.
 * No locks.
 */
#ifndef BULKHEAD_BASE_BUF_H
#define BULKHEAD_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct buf {
    char *base;
    size_t len, capacity;
};

void buf_free(struct buf *b);
/* room for `more` further bytes behind len; returns where they go */
char *buf_reserve(struct buf *b, size_t more);
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_append_str(struct buf *b, struct str s);
void buf_append_z(struct buf *b, const char *z);
void buf_append_char(struct buf *b, char c);
void buf_append_u64(struct buf *b, uint64_t n);
void buf_append_i64(struct buf *b, int64_t n);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* appends the text as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD */
void buf_append_json(struct buf *b, struct str s);
/* appends the text as one printable line: control characters and bytes that are no UTF-8 become \xNN */
void buf_append_printable(struct buf *b, struct str s);
/* drops n bytes at the front */
void buf_consume(struct buf *b, size_t n);
/* a NUL behind the bytes (not counted in len) */
const char *buf_z(struct buf *b);

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->base, b->len};
}

#endif
