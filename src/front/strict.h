/* SPDX-License-Identifier: MIT
 *
 * strict: what a client may send as HTTP/1 (RFC 9112, read narrowly): the parser of request heads and the decoder of
 * chunked bodies that stand in for the library's lenient ones. Pure: bytes in, views out, no state but the caller's, no
 * memory, no h2o. Any thread. It does not answer, log or count, and knows neither routes nor HTTP/2.
 */
#ifndef BULKHEAD_FRONT_STRICT_H
#define BULKHEAD_FRONT_STRICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "call/reason.h"
#include "upstream/chunked.h"

#define STRICT_METHOD_MAX      32
#define STRICT_EMPTY_LINES_MAX 2 /* before a request line; RFC 9112 §2.2 asks for one */

struct strict_limits {
    size_t head_bytes, target_bytes, header_fields;
    size_t max_body; /* of a Content-Length; SIZE_MAX: none */
};

/* laid out as picohttpparser's phr_header, so that the library's array can be filled directly */
struct strict_field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

enum strict_result { STRICT_COMPLETE, STRICT_INCOMPLETE, STRICT_REFUSED };

/* Views into the head that was parsed. After a refusal they hold what had been understood by then (method and target
 * may be empty), for the log. */
struct strict_head {
    struct strict_field *fields; /* the caller's array, with room for min(capacity, limits->header_fields) */
    size_t capacity;

    size_t nfields;
    size_t bytes; /* of the whole head, empty lines before it included */
    struct str method;
    struct str target; /* origin-form, or "*"; of an absolute-form target the part behind the authority */
    int minor;         /* HTTP/1.<minor>: 0 or 1 */
    bool chunked;
    bool persistent;        /* by version and all Connection fields; close wins */
    int64_t content_length; /* -1: none given */
    enum reason reason;     /* of a refusal */
    const char *detail;     /* static text */
};

/* buf[0..len) is what has arrived of this head, of which [0..last_len) had been given before and was incomplete (0 at
 * first). Bytes that can make no head are refused as soon as they are seen, and what was scanned once is not scanned
 * again until the head is complete, so that a sender of single bytes costs no more than twice its bytes. On HTTP/1.0 an
 * Expect: 100-continue is left out of the fields, as RFC 9110 §10.1.1 has it ignored. */
enum strict_result strict_head_parse(const char *buf, size_t len, size_t last_len, const struct strict_limits *limits,
                                     struct strict_head *head);

/* Decodes a chunked body in place: buf[0..*bufsz) is new input; afterwards buf[0..*bufsz) is body. Returns -2 when more
 * must come, -1 when it is malformed (chunked_problem says why), or how many bytes behind the body's end have been
 * moved up to buf[*bufsz..). The state is zeroed before the first call. overhead_max: bytes of extensions and trailers.
 */
ssize_t strict_chunked_decode(struct chunked *c, size_t overhead_max, char *buf, size_t *bufsz);

/* For HTTP/2, whose requests come in parts. A target: NULL when it is a well-formed path with an optional query, or why it is not
 * (static text). */
const char *strict_target_problem(struct str target);
/* uri-host [":" port] (RFC 9110 §7.2) */
bool strict_is_authority(struct str authority);

#endif
