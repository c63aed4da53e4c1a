/* SPDX-License-Identifier: MIT
 *
 * arena: a bump allocator over one inline block and a list of larger ones. The thread that serves the call.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "handler/arena.h"

#define ARENA_BLOCK_BYTES (32 * 1024)
/* past this a piece gets a block of its own, so that it does not waste the rest of a shared one */
#define ARENA_LARGE_BYTES (8 * 1024)

struct arena_block {
    struct arena_block *next;
    _Alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a)
{
    a->blocks = NULL;
    a->at = a->inline_block;
    a->room = sizeof(a->inline_block);
}

static char *add_block(struct arena *a, size_t bytes)
{
    struct arena_block *block = mem_alloc(sizeof(*block) + bytes);
    block->next = a->blocks;
    a->blocks = block;
    return block->bytes;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    const size_t unit = _Alignof(max_align_t);
    /* no object is larger than this, so neither the rounding nor the block's head can overflow */
    if (bytes > PTRDIFF_MAX - ARENA_BLOCK_BYTES)
        abort();
    bytes = (bytes + unit - 1) / unit * unit;
    if (bytes > a->room) {
        if (bytes > ARENA_LARGE_BYTES)
            return add_block(a, bytes);
        a->at = add_block(a, ARENA_BLOCK_BYTES);
        a->room = ARENA_BLOCK_BYTES;
    }
    char *piece = a->at;
    a->at += bytes;
    a->room -= bytes;
    return piece;
}

char *arena_text(struct arena *a, struct str s)
{
    assert(s.len < PTRDIFF_MAX);
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len != 0)
        memcpy(copy, s.base, s.len);
    copy[s.len] = '\0';
    return copy;
}

void arena_free(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
    arena_init(a);
}
