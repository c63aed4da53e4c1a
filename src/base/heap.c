/* SPDX-License-Identifier: MIT
 *
 * heap: a binary heap of deadlines: see heap.h. slots[1] is the earliest; the parent of slots[i] is slots[i / 2].
 * heap_expire first moves all that are due to the `due` batch, in order of time, and then fires them one by one: what
 * callbacks arm goes to the heap and so waits for the next call, and what callbacks disarm leaves a gap in the batch.
 */
#include "config.h"

#include <assert.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"

/* set in deadline.index while the deadline is in the `due` batch; the other bits are its place there */
#define IN_BATCH (~(SIZE_MAX >> 1))

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_destroy(struct heap *h)
{
    mem_free(&h->slots);
    mem_free(&h->due);
    heap_init(h);
}

static void place(struct heap *h, size_t i, struct deadline *d)
{
    h->slots[i] = d;
    d->index = i;
}

static void sift_up(struct heap *h, size_t i, struct deadline *d)
{
    for (; i > 1 && h->slots[i / 2]->at_us > d->at_us; i /= 2)
        place(h, i, h->slots[i / 2]);
    place(h, i, d);
}

static void sift_down(struct heap *h, size_t i, struct deadline *d)
{
    size_t child;
    while ((child = 2 * i) <= h->count) {
        if (child < h->count && h->slots[child + 1]->at_us < h->slots[child]->at_us)
            child++;
        if (h->slots[child]->at_us >= d->at_us)
            break;
        place(h, i, h->slots[child]);
        i = child;
    }
    place(h, i, d);
}

/* puts d where its time belongs, starting from the hole at i */
static void settle(struct heap *h, size_t i, struct deadline *d)
{
    if (i > 1 && h->slots[i / 2]->at_us > d->at_us)
        sift_up(h, i, d);
    else
        sift_down(h, i, d);
}

/* slots[0] is unused, so `capacity` deadlines take one place more */
static void grow_slots(struct heap *h)
{
    h->capacity = h->capacity == 0 ? 63 : h->capacity * 2 + 1;
    h->slots = mem_realloc(h->slots, (h->capacity + 1) * sizeof(*h->slots));
}

static void batch_append(struct heap *h, struct deadline *d)
{
    if (h->due_count == h->due_capacity) {
        h->due_capacity = h->due_capacity == 0 ? 16 : h->due_capacity * 2;
        h->due = mem_realloc(h->due, h->due_capacity * sizeof(*h->due));
    }
    d->index = IN_BATCH | h->due_count;
    h->due[h->due_count++] = d;
}

void heap_arm(struct heap *h, struct deadline *d, int64_t at_us)
{
    assert(d->on_expired != NULL);
    if (d->index & IN_BATCH)
        heap_disarm(h, d);
    d->at_us = at_us;
    if (d->index == 0) {
        if (h->count == h->capacity)
            grow_slots(h);
        sift_up(h, ++h->count, d);
    } else {
        assert(h->slots[d->index] == d);
        settle(h, d->index, d);
    }
}

void heap_disarm(struct heap *h, struct deadline *d)
{
    size_t i = d->index;
    if (i == 0)
        return;
    d->index = 0;
    if (i & IN_BATCH) {
        assert(h->due[i & ~IN_BATCH] == d);
        h->due[i & ~IN_BATCH] = NULL;
        return;
    }
    assert(i <= h->count && h->slots[i] == d);
    struct deadline *last = h->slots[h->count--];
    if (last != d)
        settle(h, i, last);
}

int64_t heap_next_us(const struct heap *h)
{
    return h->count == 0 ? CLOCK_NEVER : h->slots[1]->at_us;
}

size_t heap_expire(struct heap *h, int64_t now_us)
{
    assert(h->due_count == 0); /* not from within a callback */
    while (h->count != 0 && h->slots[1]->at_us <= now_us) {
        struct deadline *d = h->slots[1];
        heap_disarm(h, d);
        batch_append(h, d);
    }
    size_t fired = 0;
    for (size_t i = 0; i < h->due_count; i++) {
        struct deadline *d = h->due[i];
        if (d == NULL)
            continue;
        d->index = 0;
        d->on_expired(d);
        fired++;
    }
    h->due_count = 0;
    return fired;
}
