/* SPDX-License-Identifier: MIT
 *
 * jitter: a number moved by up to a tenth either way, so that what began together does not end together. The same seed
 * gives the same number. Pure.
 */
#ifndef BULKHEAD_BASE_JITTER_H
#define BULKHEAD_BASE_JITTER_H

#include <stdint.h>

/* the finalizer of the generator splitmix64: neighbouring seeds end far apart */
static inline uint64_t jitter_mix(uint64_t seed)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ seed >> 27) * UINT64_C(0x94d049bb133111eb);
    return seed ^ seed >> 31;
}

/* around: not negative. At least 1, but 0 for 0. */
static inline int64_t jitter(int64_t around, uint64_t seed)
{
    int64_t tenth = around / 10;
    int64_t moved = around - tenth + (int64_t)(jitter_mix(seed) % (uint64_t)(2 * tenth + 1));
    return moved;
}

#endif
