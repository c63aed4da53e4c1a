/* SPDX-License-Identifier: MIT
 *
 * heap: the deadlines of one loop, in an intrusive binary heap on the monotonic clock (base/clock.h). A deadline is
 * part of the object that waits; arming, moving and disarming are O(log n), "is it armed?" O(1). One heap belongs to
 * one thread. A fired deadline is disarmed before its callback runs; the callback may free the object, and arm or
 * disarm any other deadline of the same heap.
 */
#ifndef BULKHEAD_BASE_HEAP_H
#define BULKHEAD_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadline;
typedef void (*deadline_fn)(struct deadline *d);

struct deadline {
    int64_t at_us;
    size_t index; /* 0: not armed; otherwise the heap's own note of its place */
    deadline_fn on_expired;
};

struct heap {
    struct deadline **slots; /* slots[0] unused */
    size_t count, capacity;
    struct deadline **due; /* heap_expire's batch: those still to fire in this call; disarmed ones become NULL */
    size_t due_count, due_capacity;
};

void heap_init(struct heap *h);
void heap_destroy(struct heap *h);
/* (re)arms at at_us; an armed deadline moves */
void heap_arm(struct heap *h, struct deadline *d, int64_t at_us);
/* no-op when not armed */
void heap_disarm(struct heap *h, struct deadline *d);
static inline bool deadline_armed(const struct deadline *d)
{
    return d->index != 0;
}
/* CLOCK_NEVER when empty */
int64_t heap_next_us(const struct heap *h);
/* fires all that are due at now_us, in order of time; those armed by callbacks for a time <= now_us wait for the next
 * call, so that a callback that re-arms itself cannot stall the loop. Returns how many fired. */
size_t heap_expire(struct heap *h, int64_t now_us);

#endif
