/* SPDX-License-Identifier: MIT
 *
 * clock: CLOCK_MONOTONIC in microseconds. Every deadline and every measured time in bulkhead is on this clock; the wall
 * clock is only ever printed. Any thread.
 */
#ifndef BULKHEAD_BASE_CLOCK_H
#define BULKHEAD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER INT64_MAX

static inline int64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#endif
