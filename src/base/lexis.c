/* SPDX-License-Identifier: MIT
 *
 * lexis: the tables of lexis.h, and the scans that are too long to be inline. Any thread.
 */
#include "config.h"

#include "base/lexis.h"

#define T LEXIS_TOKEN
#define V LEXIS_VALUE
#define P LEXIS_PATH
#define Q LEXIS_QUERY
#define H LEXIS_HOST

/* Targets: RFC 3986 allows unreserved, sub-delims, ':' '@' '/' '%' in a path, and '?' in a query. Browsers follow the
 * WHATWG URL standard and also leave [ ] ^ | in a path, and \ ` { } in a query, as they are; refusing those would cut
 * off applications that work today. What no browser sends raw ( " < > # and bytes that are not ASCII) is refused, and
 * so is '\' in a path, which some backends take for '/'. A host may hold no ',' although RFC 3986 lets it: in Host it
 * means that somebody on the way joined two fields. */
#define ALNUM (T | V | P | Q | H)
const uint8_t lexis_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | P | Q | H,
    ['"'] = V,
    ['#'] = T | V,
    ['$'] = T | V | P | Q | H,
    ['%'] = T | V | Q,
    ['&'] = T | V | P | Q | H,
    ['\''] = T | V | P | Q | H,
    ['('] = V | P | Q | H,
    [')'] = V | P | Q | H,
    ['*'] = T | V | P | Q | H,
    ['+'] = T | V | P | Q | H,
    [','] = V | P | Q,
    ['-'] = T | V | P | Q | H,
    ['.'] = T | V | P | Q | H,
    ['/'] = V | P | Q,
    ['0' ... '9'] = ALNUM | LEXIS_DIGIT | LEXIS_HEX,
    [':'] = V | P | Q,
    [';'] = V | P | Q | H,
    ['<'] = V,
    ['='] = V | P | Q | H,
    ['>'] = V,
    ['?'] = V | Q,
    ['@'] = V | P | Q,
    ['A' ... 'F'] = ALNUM | LEXIS_HEX | LEXIS_UPPER,
    ['G' ... 'Z'] = ALNUM | LEXIS_UPPER,
    ['['] = V | P | Q,
    ['\\'] = V | Q,
    [']'] = V | P | Q,
    ['^'] = T | V | P | Q,
    ['_'] = T | V | P | Q | H,
    ['`'] = T | V | Q,
    ['a' ... 'f'] = ALNUM | LEXIS_HEX,
    ['g' ... 'z'] = ALNUM,
    ['{'] = V | Q,
    ['|'] = T | V | P | Q,
    ['}'] = V | Q,
    ['~'] = T | V | P | Q | H,
    [0x80 ... 0xff] = V,
};

#define SAME(c) [c] = c
#define FOLD(c) [c] = c, [c - 0x20] = c
const uint8_t lexis_lower_token[256] = {
    SAME('!'), SAME('#'), SAME('$'), SAME('%'), SAME('&'), SAME('\''), SAME('*'), SAME('+'), SAME('-'),
    SAME('.'), SAME('0'), SAME('1'), SAME('2'), SAME('3'), SAME('4'),  SAME('5'), SAME('6'), SAME('7'),
    SAME('8'), SAME('9'), SAME('^'), SAME('_'), SAME('`'), SAME('|'),  SAME('~'), FOLD('a'), FOLD('b'),
    FOLD('c'), FOLD('d'), FOLD('e'), FOLD('f'), FOLD('g'), FOLD('h'),  FOLD('i'), FOLD('j'), FOLD('k'),
    FOLD('l'), FOLD('m'), FOLD('n'), FOLD('o'), FOLD('p'), FOLD('q'),  FOLD('r'), FOLD('s'), FOLD('t'),
    FOLD('u'), FOLD('v'), FOLD('w'), FOLD('x'), FOLD('y'), FOLD('z'),
};

bool lexis_length(struct str digits, int64_t *n_r)
{
    if (digits.len == 0)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned)(uint8_t)digits.base[i] - '0';
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *n_r = (int64_t)n;
    return true;
}

bool lexis_list_next(struct str *rest, struct str *member_r)
{
    if (rest->len == 0)
        return false;
    const char *at = rest->base, *end = rest->base + rest->len;
    while (at != end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    if (at == end)
        return false;
    const char *stop = memchr(at, ',', (size_t)(end - at));
    if (stop == NULL)
        stop = end;
    *rest = (struct str){(char *)stop, (size_t)(end - stop)};
    while (stop[-1] == ' ' || stop[-1] == '\t')
        stop--;
    *member_r = (struct str){(char *)at, (size_t)(stop - at)};
    return true;
}

bool lexis_hop_by_hop(struct str name)
{
    switch (name.len) {
    case 2:
        return memcmp(name.base, "te", 2) == 0;
    case 7:
        return memcmp(name.base, "trailer", 7) == 0 || memcmp(name.base, "upgrade", 7) == 0;
    case 10:
        return memcmp(name.base, "connection", 10) == 0 || memcmp(name.base, "keep-alive", 10) == 0;
    case 14:
        return memcmp(name.base, "content-length", 14) == 0;
    case 16:
        return memcmp(name.base, "proxy-connection", 16) == 0;
    case 17:
        return memcmp(name.base, "transfer-encoding", 17) == 0;
    default:
        return false;
    }
}

/* Every LF that is passed has a CR before it, so a LF two bytes before another one means an empty line between them. */
enum lexis_head lexis_head_end(const char *bytes, size_t from, size_t len, size_t *end_r)
{
    const char *end = bytes + len, *at = bytes + from;
    /* a CR that was the last byte then is judged by the LF that must be next now */
    if (from != 0 && at != end && at[-1] == '\r')
        at--;
    for (;;) {
        at = lexis_skip_value(at, end);
        if (at == end || (*at == '\r' && at + 1 == end))
            return LEXIS_HEAD_MORE;
        if (*at != '\r' || at[1] != '\n') {
            *end_r = (size_t)(at - bytes);
            return LEXIS_HEAD_BAD;
        }
        at += 2;
        if (at - bytes >= 4 && at[-3] == '\n') {
            *end_r = (size_t)(at - bytes);
            return LEXIS_HEAD_COMPLETE;
        }
    }
}
