/* SPDX-License-Identifier: MIT
 *
 * ring: bytes from one thread to another: see ring.h. head is stored sequentially consistent, so that a producer that
 * then looks whether the consumer sleeps, and a consumer that says so and then looks at head, cannot both miss.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "diag/ring.h"

#define SIZE_MIN 4096

void ring_init(struct ring *r, size_t bytes)
{
    assert(bytes <= SIZE_MAX / 4);
    *r = (struct ring){.size = SIZE_MIN, .gap_at = UINT64_MAX};
    while (r->size < bytes)
        r->size *= 2;
    r->base = mem_alloc(r->size);
    memset(r->base, 0, r->size); /* all pages now: no producer waits for one later */
}

void ring_destroy(struct ring *r)
{
    mem_free(&r->base);
}

/* the next multiple of size past the position */
static uint64_t lap_end(const struct ring *r, uint64_t position)
{
    return (position | (r->size - 1)) + 1;
}

static char *at(const struct ring *r, uint64_t position)
{
    return r->base + (position & (r->size - 1));
}

char *ring_reserve(struct ring *r, size_t max)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed), start = head;
    if (max > r->size)
        return NULL;
    if (start + max > lap_end(r, start))
        start = lap_end(r, start);
    if (start + max - r->tail_seen > r->size) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (start + max - r->tail_seen > r->size)
            return NULL;
    }
    r->reserved_at = start;
    return at(r, start);
}

void ring_commit(struct ring *r, size_t used)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (used == 0)
        return; /* no gap either: the next run may still fit here */
    if (r->reserved_at != head)
        atomic_store_explicit(&r->gap_at, head, memory_order_relaxed);
    atomic_store(&r->head, r->reserved_at + used);
}

bool ring_over_half(struct ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    return atomic_load(&r->head) - tail > r->size / 2;
}

/* The gap of an earlier lap lies before the position, and one that the producer wrote after `end` was read lies at
 * `end` or past it. */
size_t ring_peek(struct ring *r, uint64_t *position, uint64_t end, char **bytes_r)
{
    uint64_t gap = atomic_load_explicit(&r->gap_at, memory_order_relaxed);
    if (*position == gap && *position < end)
        *position = lap_end(r, *position);
    uint64_t stop = lap_end(r, *position) < end ? lap_end(r, *position) : end;
    if (gap > *position && gap < stop)
        stop = gap;
    *bytes_r = at(r, *position);
    return *position < stop ? (size_t)(stop - *position) : 0;
}

void ring_consume(struct ring *r, uint64_t position)
{
    assert(position <= atomic_load_explicit(&r->head, memory_order_relaxed));
    atomic_store_explicit(&r->tail, position, memory_order_release);
}
