/* SPDX-License-Identifier: MIT
 *
 * file_request: how a request's words about a file are read: which file below the root it names, whether the client's
 * copy is still good, which part it wants, and what type a name stands for. Pure; any thread.
 */
#ifndef BULKHEAD_FRONT_FILE_REQUEST_H
#define BULKHEAD_FRONT_FILE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Turns a normal path (already without its route's prefix) into a relative file name in out (path.len + 2 bytes,
 * NUL-terminated; "." for the root itself). false: no file may have that name: an encoded slash, a NUL, or a segment
 * that begins with a dot. */
bool file_request_name(struct str path, char *out);

enum file_range { FILE_RANGE_WHOLE, FILE_RANGE_PART, FILE_RANGE_UNSATISFIABLE };
/* One range of a Range field against a file of `size` bytes. Anything but one well-formed byte range is the whole file,
 * as RFC 9110 §14.2 allows. */
enum file_range file_request_range(struct str range, uint64_t size, uint64_t *from_r, uint64_t *len_r);

/* Is etag (with its quotes) in the list of an If-None-Match field? Weak comparison; "*" matches. */
bool file_request_etag_listed(struct str list, struct str etag);
/* The same for an If-Match field: what the client calls weak does not match. */
bool file_request_etag_listed_strong(struct str list, struct str etag);

/* "text/css; charset=utf-8" for "site.css"; application/octet-stream for what is not known */
struct str file_request_type(struct str name);

#endif
