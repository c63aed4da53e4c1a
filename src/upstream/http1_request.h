/* SPDX-License-Identifier: MIT
 *
 * http1_request: serialises a call's request for an HTTP/1.1 backend: request line from the normalised path and query, the fields
 * given (already stripped of hop-by-hop ones by the door), and our own framing. Pure.
 */
#ifndef BULKHEAD_UPSTREAM_HTTP1_REQUEST_H
#define BULKHEAD_UPSTREAM_HTTP1_REQUEST_H

#include "base/buf.h"
#include "call/call.h"

/* Appends the head; Content-Length is written when there is a body or the method is POST, PUT or PATCH. No body. */
void http1_request_put(struct buf *out, const struct call_request *request, bool close);

#endif
