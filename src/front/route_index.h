/* SPDX-License-Identifier: MIT
 *
 * route_index: which routes can apply to a path: those that name it whole, and those that name a prefix of it. Routes
 * are numbers here, ascending in every list. Built once and frozen into a few flat arrays, so that a lookup among ten
 * thousand touches little memory: whole paths in an open-addressed hash with tags, prefixes in a compressed radix tree
 * whose siblings lie side by side. Read-only afterwards; any thread.
 */
#ifndef BULKHEAD_FRONT_ROUTE_INDEX_H
#define BULKHEAD_FRONT_ROUTE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct route_index;
struct route_index_builder;

struct route_index_builder *route_index_builder_create(void);
/* Numbers must come in ascending order. The text is borrowed until route_index_freeze. */
void route_index_add_path(struct route_index_builder *b, struct str path, uint32_t number);
void route_index_add_prefix(struct route_index_builder *b, struct str prefix, uint32_t number);
/* Takes the builder. */
struct route_index *route_index_freeze(struct route_index_builder **builder);
void route_index_free(struct route_index **index);

/* A key with its hash, computed once for several indices. */
struct route_key {
    struct str text;
    uint64_t hash;
};
struct route_key route_key(struct str text);

/* Lists that can hold the answer, each with the place up to which it was tried. */
struct route_cursors {
    struct route_cursor {
        const uint32_t *at, *end;
    } * all;
    size_t count;
};

/* the most lists that one lookup can add */
size_t route_index_lists_max(const struct route_index *index);
void route_index_collect(const struct route_index *index, const struct route_key *path, struct route_cursors *cursors);
/* Looks for a whole text only: the first number under it. Used for names that are no paths. */
bool route_index_find(const struct route_index *index, const struct route_key *key, uint32_t *number_r);

#endif
