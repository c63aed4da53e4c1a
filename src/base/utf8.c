/* SPDX-License-Identifier: MIT
 *
 * utf8: see utf8.h. Most text is ASCII: eight bytes of that are passed over at a time.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

size_t utf8_sequence(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;
    unsigned char lowest = 0x80, highest = 0xbf;
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len < n)
        return 0;
    if (s[0] == 0xe0)
        lowest = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        highest = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        lowest = 0x90; /* overlong */
    else if (s[0] == 0xf4)
        highest = 0x8f; /* past U+10FFFF */
    if (s[1] < lowest || s[1] > highest)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool is_ascii(const char *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof(word));
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool utf8_valid(const void *bytes, size_t len)
{
    const char *s = bytes;
    for (size_t n; len != 0; s += n, len -= n)
        if ((n = len >= 8 && is_ascii(s) ? 8 : utf8_sequence(s, len)) == 0)
            return false;
    return true;
}
