/* SPDX-License-Identifier: MIT
 *
 * field: one header field of a backend's answer, as HTTP/1 and CGI write it. Pure; views into the caller's bytes, whose
 * names are folded to lower case in place.
 */
#ifndef BULKHEAD_UPSTREAM_FIELD_H
#define BULKHEAD_UPSTREAM_FIELD_H

#include "call/call.h"

enum field_result { FIELD_MORE, FIELD_READ, FIELD_BAD };

/* Reads name ":" blanks value from *at and leaves *at on the byte that ends the value, of which the caller decides
 * whether it is a line end. FIELD_MORE: the bytes end before that. FIELD_BAD: *error_r says why. */
enum field_result field_read(char **at, char *end, struct call_field *f, const char **error_r);

/* Takes the fields that this Connection value names out of fields[0..n); returns how many are left. */
size_t field_drop_named(struct call_field *fields, size_t n, struct str connection);

#endif
