/* SPDX-License-Identifier: MIT
 *
 * region: see region.h. Blocks grow with use, so that a conf of ten routes costs one and a conf of ten thousand few.
 */
#include "config.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "config/region.h"

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)1024 * 1024)
#define ALIGNMENT 16

struct region_block {
    struct region_block *next;
    size_t size, used;
    _Alignas(ALIGNMENT) char bytes[];
};

static struct region_block *add_block(struct region *r, size_t bytes)
{
    size_t size = r->blocks == NULL ? BLOCK_MIN : r->blocks->size * 2;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (size < bytes)
        size = bytes;
    struct region_block *block = mem_zalloc(sizeof(*block) + size);
    block->size = size;
    block->next = r->blocks;
    r->blocks = block;
    return block;
}

void *region_alloc(struct region *r, size_t bytes)
{
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct region_block *block = r->blocks;
    if (block == NULL || block->size - block->used < rounded)
        block = add_block(r, rounded);
    void *p = block->bytes + block->used;
    block->used += rounded;
    return p;
}

char *region_strdup(struct region *r, struct str s)
{
    char *copy = region_alloc(r, s.len + 1);
    if (s.len != 0)
        memcpy(copy, s.base, s.len);
    return copy;
}

char *region_printf(struct region *r, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = region_alloc(r, len < 0 ? 1 : (size_t)len + 1);
    if (len > 0)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void region_free(struct region *r)
{
    while (r->blocks != NULL) {
        struct region_block *block = r->blocks;
        r->blocks = block->next;
        mem_free(&block);
    }
}
