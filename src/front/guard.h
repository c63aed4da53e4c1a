/* SPDX-License-Identifier: MIT
 *
 * guard: makes client bytes safe before the library sees them. It provides phr_parse_request and phr_decode_chunked,
 * the two functions of picohttpparser that libh2o calls through its dynamic symbol table, so the executable's
 * definitions replace the library's lax ones (guide §1, "symbol interposition"; front start-up refuses to run when the
 * interposition is not in effect). The request parser applies THREATS.md "Requests" to the raw head. A head that breaks a
 * rule is turned into a synthetic request that carries the verdict, so that the refusal is answered by our own handler with a
 * reason, logged and counted, and the connection is closed behind it. The parser itself is pure and fuzzed.
 */
#ifndef BULKHEAD_FRONT_GUARD_H
#define BULKHEAD_FRONT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/h2o_api.h"

#include "call/reason.h"

struct guard_limits { size_t head_bytes, target_bytes, header_fields, max_body, chunk_overhead; };

/* Process-wide; set before serving and at reload (plain words, read by all loops). */
void guard_set_limits(const struct guard_limits *limits);
/* false: the library does not call our parser; the front must not serve */
bool guard_in_effect(void);

/* The verdict on this request: REASON_NONE, or why it must be refused and its connection closed; *detail_r says what was wrong, in words. For
 * HTTP/2 requests this applies the same rules to the decoded parts. Call first thing in the handler. */
enum reason guard_verdict(h2o_req_t *req, const char **detail_r);

#endif
