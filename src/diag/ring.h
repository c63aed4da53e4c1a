/* SPDX-License-Identifier: MIT
 *
 * ring: a bounded queue of bytes from one producer thread to one consumer thread, without locks. The producer reserves
 * a run of bytes, fills it in place and commits what it used; runs are never split, so what does not fit before the end
 * of the memory starts over at the beginning and leaves a gap that the consumer skips. The ring owns its memory.
 *
 * Positions only ever grow; position & mask is the place in memory. Invariants: tail <= head <= tail + size; the gap,
 * if there is one ahead of the consumer, begins at gap_at and ends at the next multiple of size.
 */
#ifndef BULKHEAD_DIAG_RING_H
#define BULKHEAD_DIAG_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    char *base;
    size_t size; /* a power of two */
    /* the producer's */
    alignas(64) _Atomic uint64_t head; /* written by the producer: end of what is committed */
    _Atomic uint64_t gap_at;           /* written by the producer before the head that is past the gap */
    uint64_t reserved_at, tail_seen;
    /* the consumer's */
    alignas(64) _Atomic uint64_t tail; /* written by the consumer: end of what is consumed */
};

void ring_init(struct ring *r, size_t bytes);
void ring_destroy(struct ring *r);

/* Producer. A run of max bytes, or NULL when there is no room; an empty ring takes half its size at least. */
char *ring_reserve(struct ring *r, size_t max);
/* Producer. The first `used` bytes of the run may be consumed now. */
void ring_commit(struct ring *r, size_t used);
/* Producer or consumer; the other side may be moving. */
bool ring_over_half(struct ring *r);

static inline uint64_t ring_head(struct ring *r)
{
    return atomic_load(&r->head);
}

/* Consumer. The run of bytes that starts at or (past a gap) behind *position and ends at `end` at most, where end is a
 * head that ring_head has returned. Moves *position over the gap. Returns the length; 0: there is nothing before end.
 */
size_t ring_peek(struct ring *r, uint64_t *position, uint64_t end, char **bytes_r);
/* Consumer. Everything before this position has been dealt with. */
void ring_consume(struct ring *r, uint64_t position);

#endif
