/* SPDX-License-Identifier: MIT
 *
 * path: the one normalisation of a request's path. What comes out is what is routed, what file serving opens and what a
 * backend receives, so that no two of them can read a path differently. Pure: bytes in, bytes out; any thread.
 *
 * The rules: an escape of an unreserved character is decoded, once; every other escape stays, in capitals (so %2F never
 * becomes a separator); bytes above 0x7f become escapes; "." and ".." segments are resolved afterwards, so encoded ones
 * count. Refused: broken escapes, escapes of control characters, raw control characters and blanks, '#', and a path
 * that climbs above its root. Repeated slashes are kept: they mean something to some backends.
 */
#ifndef BULKHEAD_FRONT_PATH_H
#define BULKHEAD_FRONT_PATH_H

#include <stdbool.h>

#include "base/str.h"

/* bytes that path_normalise may write for a path of this length */
#define PATH_NORMAL_MAX(len) (3 * (len) + 1)

/* Cuts an origin-form target at its '?'. *query_r has a null base when there is none. */
void path_split(struct str target, struct str *path_r, struct str *query_r);
/* true: the path is normal as it stands and path_normalise would return the same bytes */
bool path_is_normal(struct str path);
/* Writes the normal form to out (PATH_NORMAL_MAX bytes). false: to be refused with 400; *why_r says why (static). */
bool path_normalise(struct str path, char *out, struct str *normal_r, const char **why_r);
/* The path behind a prefix that is taken off before forwarding: always begins with '/'. Borrows from path. */
struct str path_strip(struct str path, struct str prefix);
/* Decodes all escapes of a normal path into out (path.len bytes at least), for opening a file. false: an encoded slash
 * or a NUL is in it, which no file name can hold. */
bool path_decode(struct str path, char *out, size_t *len_r);

#endif
