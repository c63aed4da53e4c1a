/* SPDX-License-Identifier: MIT
 *
 * params: splitting and decoding of application/x-www-form-urlencoded text. Lenient, as browsers are: what cannot be
 * decoded stands for itself. Pure; any thread.
 */
#include "config.h"

#include <stdint.h>

#include "handler/params.h"

bool params_next(struct str query, size_t *cursor, struct str *name_r, struct str *value_r)
{
    while (*cursor < query.len && query.base[*cursor] == '&')
        ++*cursor;
    if (*cursor >= query.len)
        return false;
    char *start = query.base + *cursor;
    size_t left = query.len - *cursor;
    char *ampersand = memchr(start, '&', left);
    size_t pair_len = ampersand == NULL ? left : (size_t)(ampersand - start);
    char *equals = memchr(start, '=', pair_len);
    size_t name_len = equals == NULL ? pair_len : (size_t)(equals - start);
    *name_r = (struct str){start, name_len};
    *value_r = equals == NULL ? (struct str){start + pair_len, 0} : (struct str){equals + 1, pair_len - name_len - 1};
    *cursor += pair_len;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* the byte at *at, and moves *at behind it; plus: what '+' stands for */
static char decode_byte(struct str encoded, size_t *at, char plus)
{
    char c = encoded.base[*at];
    if (c == '%' && encoded.len - *at > 2) {
        int high = hex_digit(encoded.base[*at + 1]), low = hex_digit(encoded.base[*at + 2]);
        if (high >= 0 && low >= 0) {
            *at += 3;
            return (char)(uint8_t)(high << 4 | low);
        }
    }
    ++*at;
    return c == '+' ? plus : c;
}

size_t params_decode(char *out, struct str encoded)
{
    size_t used = 0;
    for (size_t at = 0; at < encoded.len;)
        out[used++] = decode_byte(encoded, &at, ' ');
    return used;
}

size_t params_decode_path(char *out, struct str encoded)
{
    size_t used = 0;
    for (size_t at = 0; at < encoded.len;)
        out[used++] = decode_byte(encoded, &at, '+');
    return used;
}

bool params_equal(struct str encoded, struct str wanted)
{
    size_t used = 0;
    for (size_t at = 0; at < encoded.len; used++)
        if (used == wanted.len || decode_byte(encoded, &at, ' ') != wanted.base[used])
            return false;
    return used == wanted.len;
}
