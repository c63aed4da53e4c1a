/* SPDX-License-Identifier: MIT
 *
 * buf: a growing run of bytes: see buf.h. The two escaping writers share one scanner, which passes over plain ASCII
 * eight bytes at a time: log lines and status pages are mostly that.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

#define CAPACITY_MIN 256

void buf_free(struct buf *b)
{
    mem_free(&b->base);
    b->len = b->capacity = 0;
}

static void grow(struct buf *b, size_t more)
{
    size_t need;
    bool overflow = __builtin_add_overflow(b->len, more, &need);
    assert(!overflow && need <= SIZE_MAX / 2);
    size_t capacity = b->capacity < CAPACITY_MIN / 2 ? CAPACITY_MIN : b->capacity * 2;
    if (capacity < need)
        capacity = need;
    b->base = mem_realloc(b->base, capacity);
    b->capacity = capacity;
}

char *buf_reserve(struct buf *b, size_t more)
{
    if (b->base == NULL || b->capacity - b->len < more)
        grow(b, more);
    return b->base + b->len;
}

void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), bytes, len);
    b->len += len;
}

void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.base, s.len);
}

void buf_append_z(struct buf *b, const char *z)
{
    buf_append(b, z, strlen(z));
}

void buf_append_char(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}

void buf_append_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    buf_append(b, digits + at, sizeof(digits) - at);
}

void buf_append_i64(struct buf *b, int64_t n)
{
    if (n < 0)
        buf_append_char(b, '-');
    buf_append_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = b->capacity - b->len;
    int len = vsnprintf(b->base == NULL ? NULL : b->base + b->len, b->base == NULL ? 0 : room, format, args);
    va_end(args);
    assert(len >= 0);
    if ((size_t)len >= room) {
        char *at = buf_reserve(b, (size_t)len + 1);
        vsnprintf(at, (size_t)len + 1, format, again);
    }
    va_end(again);
    b->len += (size_t)len;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->base, b->base + n, b->len);
}

const char *buf_z(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return b->base;
}

/* --- escaping ---------------------------------------------------------------------------------------------------- */

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Not 0 if one of the eight bytes is a control character, DEL, '"', '\\' or not ASCII. A borrow may also mark a byte
 * above a marked one, which only sends the caller to look at each. */
static uint64_t marked(uint64_t eight)
{
    uint64_t quote = eight ^ EVERY_BYTE('"'), backslash = eight ^ EVERY_BYTE('\\'), del = eight ^ EVERY_BYTE(0x7f);
    uint64_t low =
        (eight - EVERY_BYTE(0x20)) | (quote - EVERY_BYTE(1)) | (backslash - EVERY_BYTE(1)) | (del - EVERY_BYTE(1));
    return (low | eight) & EVERY_BYTE(0x80);
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static size_t plain_run(const char *s, size_t len)
{
    size_t n = 0;
    for (uint64_t eight; len - n >= sizeof(eight); n += sizeof(eight)) {
        memcpy(&eight, s + n, sizeof(eight));
        if (marked(eight))
            break;
    }
    while (n < len && plain((unsigned char)s[n]))
        n++;
    return n;
}

/* U+0080..U+009F are control characters too, and some terminals act on them. */
static bool is_c1_control(const unsigned char *sequence)
{
    return sequence[0] == 0xc2 && sequence[1] < 0xa0;
}

static void append_hex(struct buf *b, const char *prefix, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    buf_append_z(b, prefix);
    buf_append_char(b, digits[c >> 4]);
    buf_append_char(b, digits[c & 15]);
}

static void append_json_ascii(struct buf *b, unsigned char c)
{
    static const char letters[] = "\"\"\\\\\nn\rr\tt\bb\ff"; /* the character, then what follows the backslash */
    for (const char *pair = letters; *pair != '\0'; pair += 2)
        if ((unsigned char)pair[0] == c) {
            buf_append_char(b, '\\');
            buf_append_char(b, pair[1]);
            return;
        }
    append_hex(b, "\\u00", c);
}

/* appends what is not plain at the front of s; returns how many bytes of s that was */
static size_t append_json_special(struct buf *b, struct str s)
{
    const unsigned char *at = (const unsigned char *)s.base;
    if (at[0] < 0x80) {
        append_json_ascii(b, at[0]);
        return 1;
    }
    size_t n = utf8_sequence(at, s.len);
    if (n == 0)
        buf_append_z(b, "\xef\xbf\xbd");
    else if (is_c1_control(at))
        append_hex(b, "\\u00", at[1]);
    else
        buf_append(b, at, n);
    return n == 0 ? 1 : n;
}

static size_t append_printable_special(struct buf *b, struct str s)
{
    const unsigned char *at = (const unsigned char *)s.base;
    size_t n = at[0] < 0x80 ? 1 : utf8_sequence(at, s.len);
    if (at[0] == '"' || at[0] == '\\' || (n > 1 && !is_c1_control(at))) {
        buf_append(b, at, n);
        return n;
    }
    append_hex(b, "\\x", at[0]);
    return 1;
}

static void append_escaped(struct buf *b, struct str s, size_t (*append_special)(struct buf *b, struct str rest))
{
    while (s.len != 0) {
        size_t n = plain_run(s.base, s.len);
        if (n != 0)
            buf_append(b, s.base, n);
        else
            n = append_special(b, s);
        s.base += n;
        s.len -= n;
    }
}

void buf_append_json(struct buf *b, struct str s)
{
    buf_reserve(b, s.len + 2);
    buf_append_char(b, '"');
    append_escaped(b, s, append_json_special);
    buf_append_char(b, '"');
}

void buf_append_printable(struct buf *b, struct str s)
{
    append_escaped(b, s, append_printable_special);
}
