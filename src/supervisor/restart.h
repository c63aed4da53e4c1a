/* SPDX-License-Identifier: MIT
 *
 * restart: how long to wait before a child that has ended is started again. Two kinds of end are told apart. A child
 * that never became ready fails by itself: its delay doubles from RESTART_DELAY_MIN_US to RESTART_DELAY_MAX_US, one
 * success resets it. A child that was ready may have been brought down by a client's request, and a client must not be
 * able to switch a backend off: the first ends are made good at once, later ones after a delay that stays small, or at
 * most as long as the start itself takes, so that no more than half of the time goes into starting. Pure. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_RESTART_H
#define BULKHEAD_SUPERVISOR_RESTART_H

#include <stdint.h>

#define RESTART_DELAY_MIN_US 100000
#define RESTART_DELAY_MAX_US 30000000
/* ready for that long: proven; earlier ends are forgotten */
#define RESTART_PROVEN_US 10000000
/* ends of a ready child that are made good at once */
#define RESTART_FREE             3
#define RESTART_READY_DELAY_US   10000
#define RESTART_READY_CEILING_US 50000

struct restart {
    unsigned failures; /* starts in a row that did not get ready */
    unsigned deaths;   /* ends in a row soon after getting ready */
};

/* it became ready */
void restart_ready(struct restart *r);
/* These return the delay in µs. It ended, or was stopped for being slow, before it was ready: */
int64_t restart_after_failure(struct restart *r);
/* it ended of itself, start_us after which it had been ready, ready_us after that: */
int64_t restart_after_death(struct restart *r, int64_t start_us, int64_t ready_us);

#endif
