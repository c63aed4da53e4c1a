/* SPDX-License-Identifier: MIT
 *
 * expand: environment variables in the strings of a conf file: ${NAME} is replaced, $${ stands for ${ itself, any other
 * $ is left alone. The environment must not change meanwhile.
 */
#ifndef BULKHEAD_CONFIG_EXPAND_H
#define BULKHEAD_CONFIG_EXPAND_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/region.h"

struct expand_result {
    const char *text;    /* NULL: see problem */
    const char *problem; /* in the region */
    bool replaced;       /* there was a variable */
};

/* text may be returned as it is */
struct expand_result expand_variables(struct region *region, const char *text);
/* the opposite: appends text so that expanding it yields text */
void expand_escape(const char *text, struct buf *out);

#endif
