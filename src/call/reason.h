/* SPDX-License-Identifier: MIT
 *
 * reason: one word for why a call was refused or failed; the same word in response, log, counter and close reason.
 * The table is the only place where words and HTTP statuses meet. Any thread.
 */
#ifndef BULKHEAD_CALL_REASON_H
#define BULKHEAD_CALL_REASON_H

#include <stdbool.h>

/* X(enumerator, word, HTTP status, RFC 9209 Proxy-Status error type or NULL, title) */
#define REASON_TABLE(X)                                                                                                \
    X(REASON_NONE, "", 0, NULL, "")                                                                                    \
    X(REASON_NO_ROUTE, "no-route", 404, "destination_not_found", "No route matches this request")                     \
    X(REASON_NOT_FOUND, "not-found", 404, NULL, "Nothing is found here")                                               \
    X(REASON_METHOD_NOT_ALLOWED, "method-not-allowed", 405, NULL, "Method not allowed")                                \
    X(REASON_PRECONDITION, "precondition-failed", 412, NULL, "The file is not what the request asked for it to be")    \
    X(REASON_BODY_TOO_LARGE, "body-too-large", 413, "http_request_error", "Request body over the limit")               \
    X(REASON_HEAD_TOO_LARGE, "head-too-large", 431, "http_request_error", "Request header fields over the limit")      \
    X(REASON_TARGET_TOO_LONG, "target-too-long", 414, "http_request_error", "Request target over the limit")           \
    X(REASON_BAD_REQUEST, "bad-request", 400, "http_request_error", "Malformed request")                               \
    X(REASON_EXPECTATION, "expectation-failed", 417, "http_request_error", "Expectation not supported")                \
    X(REASON_UPGRADE_REQUIRED, "upgrade-required", 426, "http_request_error", "This address speaks WebSocket")         \
    X(REASON_ORIGIN, "origin-not-allowed", 403, "http_request_denied", "Pages of this origin may not connect here")    \
    X(REASON_WEBSOCKETS_FULL, "websockets-full", 503, "connection_limit_reached", "Too many WebSockets are open here") \
    X(REASON_VERSION, "version-not-supported", 505, "http_request_error", "HTTP version not supported")                \
    X(REASON_CLIENT_TIMEOUT, "client-timeout", 408, "http_request_error", "The request did not arrive in time")        \
    X(REASON_QUEUE_FULL, "queue-full", 503, "connection_limit_reached", "The queue of this backend is full")           \
    X(REASON_QUEUE_TIMEOUT, "queue-timeout", 503, "connection_limit_reached", "Waited too long for this backend")      \
    X(REASON_DEADLINE, "deadline", 504, "http_response_timeout", "The backend did not answer in time")                 \
    X(REASON_WORKER_LOST, "worker-lost", 502, "connection_terminated", "The worker died while serving this request")   \
    X(REASON_BACKEND_DOWN, "backend-down", 503, "destination_unavailable", "No worker of this backend is up")          \
    X(REASON_UPSTREAM_REFUSED, "upstream-refused", 502, "connection_refused", "The upstream refused the connection")   \
    X(REASON_UPSTREAM_RESET, "upstream-reset", 502, "connection_terminated", "The upstream closed the connection")     \
    X(REASON_UPSTREAM_GARBAGE, "upstream-garbage", 502, "http_protocol_error", "The upstream's answer is not HTTP")    \
    X(REASON_ANSWER_TOO_LARGE, "answer-too-large", 502, "http_response_body_size", "The answer is over the limit")      \
    X(REASON_HANDLER_FAILED, "handler-failed", 500, "proxy_internal_error", "The handler failed")                      \
    X(REASON_DRAINING, "draining", 503, "destination_unavailable", "This server is going down")                        \
    X(REASON_INTERNAL, "internal", 500, "proxy_internal_error", "Internal error")                                      \
    X(REASON_ABANDONED, "abandoned", 499, NULL, "The client left")

enum reason {
#define X(enumerator, word, status, type, title) enumerator,
    REASON_TABLE(X)
#undef X
    REASON_COUNT
};

const char *reason_word(enum reason r);
int reason_status(enum reason r);
const char *reason_title(enum reason r);
const char *reason_proxy_status(enum reason r); /* NULL where none applies */
/* 503 reasons carry Retry-After */
bool reason_wants_retry_after(enum reason r);
/* the close code of RFC 6455 §7.4 that says the same on a WebSocket; 1000 for NONE */
unsigned reason_close_code(enum reason r);

#endif
