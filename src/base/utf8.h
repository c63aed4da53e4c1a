/* SPDX-License-Identifier: MIT
 *
 * utf8: well-formed UTF-8. Pure; any thread.
 */
#ifndef BULKHEAD_BASE_UTF8_H
#define BULKHEAD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the well-formed sequence at s, 1 to 4 bytes; 0: there is none in the len >= 1 bytes (Unicode 15, table
 * 3-7: no overlong forms, no surrogates, nothing past U+10FFFF) */
size_t utf8_sequence(const void *s, size_t len);
bool utf8_valid(const void *s, size_t len);

#endif
