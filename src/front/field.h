/* SPDX-License-Identifier: MIT
 *
 * field: a request's header field as the library hands it to us, for the parts of the door that are kept free of the
 * library's header. The layout equals h2o_header_t's (exchange.c asserts it), so arrays are passed as they are. Any thread.
 */
#ifndef BULKHEAD_FRONT_FIELD_H
#define BULKHEAD_FRONT_FIELD_H

#include "base/str.h"

struct field {
    const struct str *name;    /* lower case */
    const char *original_name; /* as received, same length; may be NULL */
    struct str value;
};

#endif
