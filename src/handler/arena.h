/* SPDX-License-Identifier: MIT
 *
 * arena: the memory of one call. Small requests come from a block inside the arena itself, so that a typical call
 * allocates nothing; larger ones from blocks that arena_free gives back all at once. Single pieces cannot be freed. One
 * thread.
 */
#ifndef BULKHEAD_HANDLER_ARENA_H
#define BULKHEAD_HANDLER_ARENA_H

#include <stddef.h>

#include "base/str.h"

#define ARENA_INLINE_BYTES 4096

struct arena_block;

/* Not to be cleared as a whole: arena_init sets what must be set, the inline block stays as it is. */
struct arena {
    struct arena_block *blocks;
    char *at;
    size_t room;
    _Alignas(max_align_t) char inline_block[ARENA_INLINE_BYTES];
};

void arena_init(struct arena *a);
/* aligned for any type, not cleared */
void *arena_alloc(struct arena *a, size_t bytes) __attribute__((returns_nonnull));
/* a NUL-terminated copy */
char *arena_text(struct arena *a, struct str s) __attribute__((returns_nonnull));
void arena_free(struct arena *a);

#endif
