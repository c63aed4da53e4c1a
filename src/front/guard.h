/* SPDX-License-Identifier: MIT
 *
 * guard: makes client bytes safe before the library sees them. It defines phr_parse_request and phr_decode_chunked, the
 * two functions of picohttpparser that libh2o calls through its dynamic symbol table, so that the strict parsers
 * (front/strict.h) stand in for the library's lenient ones; the front refuses to start when that is not in effect. A
 * head or a body that breaks a rule reaches our handler as a complete request that carries the verdict, so that the
 * refusal is answered, logged and counted like everything else, and its connection is closed behind it. HTTP/2 requests
 * come decoded; the verdict applies the same rules to their parts. Any loop thread; no memory but a table of refusals.
 */
#ifndef BULKHEAD_FRONT_GUARD_H
#define BULKHEAD_FRONT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/h2o_api.h"

#include "call/reason.h"

struct guard_limits {
    size_t head_bytes, target_bytes, header_fields, max_body, chunk_overhead;
};

/* Process-wide; any thread. Requests that are being read may see some of the new limits already. */
void guard_set_limits(const struct guard_limits *limits);
/* false: the library does not call our parser; the front must not serve */
bool guard_in_effect(void);

/* The verdict on this request: REASON_NONE, or why it must be refused and its connection closed; *detail_r says what
 * was wrong, in words. For HTTP/2 requests this applies the same rules to the decoded parts. Call first thing in the
 * handler. */
enum reason guard_verdict(h2o_req_t *req, const char **detail_r);
/* HTTP/1: whether the connection goes on behind this request, by all its Connection fields. (The library reads the last
 * one only, and takes any option but keep-alive for the end.) Before anything else has a say in it. */
void guard_set_persistence(h2o_req_t *req);

#endif
