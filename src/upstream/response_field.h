/* SPDX-License-Identifier: MIT
 *
 * response_field: one header field of a backend's answer, as HTTP/1 and CGI write it. Pure; views into the caller's
 * bytes, whose names are folded to lower case in place.
 */
#ifndef BULKHEAD_UPSTREAM_RESPONSE_FIELD_H
#define BULKHEAD_UPSTREAM_RESPONSE_FIELD_H

#include "call/call.h"

enum response_field { RESPONSE_FIELD_MORE, RESPONSE_FIELD_READ, RESPONSE_FIELD_BAD };

/* Reads name ":" blanks value from *at and leaves *at on the byte that ends the value, of which the caller decides
 * whether it is a line end. RESPONSE_FIELD_MORE: the bytes end before that. RESPONSE_FIELD_BAD: *error_r says why. */
enum response_field response_field_read(char **at, char *end, struct call_field *f, const char **error_r);

/* Takes the fields that this Connection value names out of fields[0..n); returns how many are left. */
size_t response_field_drop_named(struct call_field *fields, size_t n, struct str connection);

#endif
