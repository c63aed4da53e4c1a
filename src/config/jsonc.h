/* SPDX-License-Identifier: MIT
 *
 * jsonc: makes JSON out of JSON with comments and trailing commas, without moving anything: what is no JSON becomes
 * blanks in place, so that an offset into the result is an offset into the file. Says first whether the bytes are text
 * at all. Does not check JSON itself: that is the parser's. Pure; any thread.
 */
#ifndef BULKHEAD_CONFIG_JSONC_H
#define BULKHEAD_CONFIG_JSONC_H

#include <stdbool.h>
#include <stddef.h>

/* false: *what_r says what is wrong at offset *at_r: a byte order mark, a NUL, bytes that are no UTF-8 */
bool jsonc_check_text(const char *text, size_t len, size_t *at_r, const char **what_r);
/* Blanks `//` and block comments, and commas before a closing bracket. false: as above, for a comment without end. */
bool jsonc_blank(char *text, size_t len, size_t *at_r, const char **what_r);

#endif
