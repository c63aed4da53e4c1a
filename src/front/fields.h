/* SPDX-License-Identifier: MIT
 *
 * fields: which header fields a backend gets to see, and which of its fields a client does. Towards a backend go the
 * client's end-to-end fields, re-made from parsed parts, and our own: Host, Via, X-Request-Id, X-Request-Start,
 * X-Forwarded-For/-Proto/-Host and Forwarded (RFC 7239). What a client sends under those names is overwritten, unless
 * it is a trusted proxy: then its word on the way before it is kept and ours appended. Pure: the caller gives the
 * memory; any thread.
 *
 * Never forwarded: hop-by-hop fields (the fixed list and what Connection names), Expect, names with an underscore (CGI
 * and WSGI cannot tell them from the same name with a hyphen, so they could forge any of ours), and from an untrusted
 * peer everything that begins with "x-forwarded-", and X-Real-IP.
 */
#ifndef BULKHEAD_FRONT_FIELDS_H
#define BULKHEAD_FRONT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call/call.h"
#include "front/field.h"

struct conf_header_rules;

/* A route's request_headers or response_headers, ready for use: names in lower case. Read-only, any thread. */
struct fields_rules {
    struct call_field *added; /* `set` and `add` together */
    size_t nadded;
    struct str *dropped; /* `set` and `remove` together */
    size_t ndropped;
};

void fields_rules_init(struct fields_rules *rules, const struct conf_header_rules *conf);
void fields_rules_destroy(struct fields_rules *rules);
bool fields_rules_drop(const struct fields_rules *rules, struct str name);

struct fields_request {
    const struct field *fields; /* the client's */
    size_t nfields;
    struct str authority, scheme, peer;
    struct str via;     /* "1.1 bulkhead", by the client's protocol */
    struct str id;      /* X-Request-Id, kept or made */
    int64_t arrived_us; /* wall clock, µs since the epoch */
    bool is_trusted;    /* the peer is a trusted proxy */
    bool counts_hops;   /* the method is one whose Max-Forwards is counted down */
    const struct fields_rules *rules;
};

/* upper bounds for what fields_request_build writes: fields, and bytes of text */
size_t fields_request_count_max(const struct fields_request *q);
size_t fields_request_text_max(const struct fields_request *q);
/* Returns how many fields were written. Values point into the client's fields, q's strings, the rules, or text. */
size_t fields_request_build(const struct fields_request *q, struct call_field *out, char *text);

/* Max-Forwards is 0: this is as far as the request wanted to go. */
bool fields_hops_are_spent(const struct field *fields, size_t nfields);
/* The client's X-Request-Id when it is one and usable (1..128 bytes of a token's characters); else nothing. */
struct str fields_request_id(const struct field *fields, size_t nfields);
/* May a backend's field go to the client? Not when it is ours or the library's to say: connection, framing, date,
 * server. */
bool fields_response_pass(struct str name);

#endif
