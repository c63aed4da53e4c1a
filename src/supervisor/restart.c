/* SPDX-License-Identifier: MIT
 *
 * restart: delays: see restart.h. Pure.
 */
#include "config.h"

#include "supervisor/restart.h"

static int64_t doubled(int64_t base, unsigned times, int64_t ceiling)
{
    while (times-- > 0 && base < ceiling)
        base *= 2;
    return base < ceiling ? base : ceiling;
}

void restart_ready(struct restart *r)
{
    r->failures = 0;
}

int64_t restart_after_failure(struct restart *r)
{
    return doubled(RESTART_DELAY_MIN_US, r->failures++, RESTART_DELAY_MAX_US);
}

int64_t restart_after_death(struct restart *r, int64_t start_us, int64_t ready_us)
{
    if (ready_us >= RESTART_PROVEN_US) {
        r->deaths = 0;
        return 0;
    }
    if (r->deaths++ < RESTART_FREE)
        return 0;
    int64_t ceiling = start_us < RESTART_DELAY_MAX_US ? start_us : RESTART_DELAY_MAX_US;
    if (ceiling < RESTART_READY_CEILING_US)
        ceiling = RESTART_READY_CEILING_US;
    return doubled(RESTART_READY_DELAY_US, r->deaths - 1 - RESTART_FREE, ceiling);
}
