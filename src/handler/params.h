/* SPDX-License-Identifier: MIT
 *
 * params: the parameters of a query string: "a=1&b=x%20y". Pure; any thread.
 */
#ifndef BULKHEAD_HANDLER_PARAMS_H
#define BULKHEAD_HANDLER_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* One pair, still encoded. *cursor starts at 0. Empty pairs ("&&") are passed over. false at the end. */
bool params_next(struct str query, size_t *cursor, struct str *name_r, struct str *value_r);
/* %XX and '+' decoded into out, which must hold encoded.len bytes; returns how many were used. A '%' without two
 * hexadecimal digits stands for itself. */
size_t params_decode(char *out, struct str encoded);
/* the same for a path, in which '+' is no blank */
size_t params_decode_path(char *out, struct str encoded);
/* "does this name, once decoded, equal wanted?" */
bool params_equal(struct str encoded, struct str wanted);

#endif
