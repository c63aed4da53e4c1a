/* SPDX-License-Identifier: MIT
 *
 * region: memory that is given back all at once. The conf tree lives in one for its whole life; the notes of a parse
 * live in another that ends with the parse. Memory comes zeroed. One thread at a time.
 */
#ifndef BULKHEAD_CONFIG_REGION_H
#define BULKHEAD_CONFIG_REGION_H

#include <stddef.h>

#include "base/str.h"

struct region_block;

struct region {
    struct region_block *blocks; /* the newest first */
};

void *region_alloc(struct region *r, size_t bytes) __attribute__((returns_nonnull));
char *region_strdup(struct region *r, struct str s) __attribute__((returns_nonnull));
char *region_printf(struct region *r, const char *format, ...) __attribute__((returns_nonnull, format(printf, 2, 3)));
void region_free(struct region *r);

#endif
