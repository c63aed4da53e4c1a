/* SPDX-License-Identifier: MIT
 *
 * chunked: the framing of a chunked body (RFC 9112 §7.1), one byte of framing or one run of data at a time, from either
 * side: a backend's answer and a client's request. Strict: CRLF only, at most 16 hexadecimal digits, extensions and
 * trailers by their grammar and within a budget, no white space that the grammar calls bad. Extensions and trailers are
 * dropped. Pure; a zeroed struct is the start of a body; no memory but the struct.
 */
#ifndef BULKHEAD_UPSTREAM_CHUNKED_H
#define BULKHEAD_UPSTREAM_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* 16 bytes, and `left` and `library_flag` where they are, because libh2o keeps the state of a request's body in a
 * zeroed block of that size and sets one byte behind the first word (see front/strict.h). */
struct chunked {
    uint64_t left;        /* bytes of the present chunk's data still to come */
    uint8_t library_flag; /* not ours */
    uint8_t digits;       /* of the size being read */
    uint8_t state;
    uint8_t problem;
    uint32_t overhead; /* bytes of extensions and trailers so far */
};

enum chunked_event {
    CHUNKED_MORE, /* all was consumed */
    CHUNKED_DATA, /* *data_r is a run of the body, consumed */
    CHUNKED_END,  /* the body is complete; nothing behind it was consumed */
    CHUNKED_ERROR /* chunked_problem says what; for good */
};

/* Consumes from bytes[*used..len) and moves *used. Call until it is not CHUNKED_DATA. */
enum chunked_event chunked_next(struct chunked *c, size_t overhead_max, const char *bytes, size_t len, size_t *used,
                                struct str *data_r);
/* static text */
const char *chunked_problem(const struct chunked *c);

#endif
