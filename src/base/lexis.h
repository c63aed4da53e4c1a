/* SPDX-License-Identifier: MIT
 *
 * lexis: the bytes of HTTP: which may stand in a token, a field value or a target, and the few scans that every reader
 * of HTTP text needs (front, upstream and wire read it from three kinds of strangers). RFC 9110 §5.6, RFC 9112 §2.2.
 * Read-only tables and pure functions; any thread.
 */
#ifndef BULKHEAD_BASE_LEXIS_H
#define BULKHEAD_BASE_LEXIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/str.h"

#define LEXIS_TOKEN 0x01u /* tchar */
#define LEXIS_VALUE 0x02u /* field-content: HTAB, SP, VCHAR, obs-text */
#define LEXIS_PATH  0x04u /* what a path may hold unescaped, '%' and '/' included, '?' not: see lexis.c */
#define LEXIS_QUERY 0x08u /* the same for a query, with '%' and '?' */
#define LEXIS_HOST  0x10u /* reg-name without '%' and ',' */
#define LEXIS_DIGIT 0x20u
#define LEXIS_HEX   0x40u
#define LEXIS_UPPER 0x80u

extern const uint8_t lexis_class[256];
/* a tchar in lower case; 0 for what is no tchar: checks and folds a field name in one look-up */
extern const uint8_t lexis_lower_token[256];

static inline bool lexis_is(char c, unsigned classes)
{
    return (lexis_class[(uint8_t)c] & classes) != 0;
}

/* the first byte in [at, end) that is in none of the classes, or end; unrolled, for this is the inner loop of all
 * readers */
static inline const char *lexis_skip(const char *at, const char *end, unsigned classes)
{
    for (; end - at >= 4; at += 4) {
        if (!lexis_is(at[0], classes))
            return at;
        if (!lexis_is(at[1], classes))
            return at + 1;
        if (!lexis_is(at[2], classes))
            return at + 2;
        if (!lexis_is(at[3], classes))
            return at + 3;
    }
    while (at != end && lexis_is(*at, classes))
        at++;
    return at;
}

static inline const char *lexis_skip_blank(const char *at, const char *end)
{
    while (at != end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* lexis_skip(at, end, LEXIS_VALUE), sixteen bytes a step where the processor has them: values are most of a head */
static inline const char *lexis_skip_value(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
        __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control), _mm_cmpeq_epi8(bytes, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#endif
    return lexis_skip(at, end, LEXIS_VALUE);
}

static inline bool lexis_all(struct str s, unsigned classes)
{
    return lexis_skip(s.base, s.base + s.len, classes) == s.base + s.len;
}

static inline bool lexis_is_token(struct str s)
{
    return s.len != 0 && lexis_all(s, LEXIS_TOKEN);
}

static inline bool lexis_is_value(struct str s)
{
    return s.len == 0 || lexis_skip_value(s.base, s.base + s.len) == s.base + s.len;
}

/* `s` (known to hold no control bytes) equals `lower`, which is lower-case letters, digits and '-', in any case. Bit 5
 * folds letters and maps no other byte but a control one to those. */
static inline bool lexis_word_is(struct str s, struct str lower)
{
    if (s.len != lower.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((s.base[i] | 0x20) != lower.base[i])
            return false;
    return true;
}

/* 1*DIGIT that fits int64_t: no sign, no blank, no list. For Content-Length. */
bool lexis_length(struct str digits, int64_t *n_r);

/* The next member of a comma-separated list, blanks trimmed; empty members are passed over (RFC 9110 §5.6.1.2).
 * *rest shrinks; false at the end. */
bool lexis_list_next(struct str *rest, struct str *member_r);

/* Fields that belong to one connection or to the framing of one message and are never passed on as they came; the
 * name is in lower case. What a Connection field names in addition is the caller's. */
bool lexis_hop_by_hop(struct str name);

enum lexis_head { LEXIS_HEAD_MORE, LEXIS_HEAD_COMPLETE, LEXIS_HEAD_BAD };
/* Looks for the empty line that ends a head of CRLF lines, at bytes that were not looked at before: bytes[0..from)
 * were. *end_r: behind that line (COMPLETE), or the offending byte (BAD: a control byte, a CR without LF, a LF without
 * CR). */
enum lexis_head lexis_head_end(const char *bytes, size_t from, size_t len, size_t *end_r);

#endif
