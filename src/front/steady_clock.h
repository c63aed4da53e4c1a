/* SPDX-License-Identifier: MIT
 *
 * steady_clock: the wall clock that libh2o sees. The library times everything with gettimeofday(2): a backward step of
 * the system's clock would freeze its timers for the size of the step (HTTP/2 writes included, they are armed with a
 * delay of zero), a forward step would fire them all. The executable therefore defines gettimeofday itself:
 * CLOCK_MONOTONIC plus an offset taken at start, which follows the system's clock by running a little faster or slower,
 * never by stepping.
 *
 * Rates: 5 % off while the difference is at most an hour, 50 % beyond. A difference of a second is gone in 20 s, one of
 * an hour in 20 hours, and one of a day in two days; the Date field and nothing else is wrong meanwhile. Timers of the
 * library are off by as much, which is harmless: none of them enforces a limit alone (front/sweep.h). Logs use the
 * system's clock directly.
 *
 * steady_clock_start and _adjust: main thread. gettimeofday: any thread, lock-free.
 */
#ifndef BULKHEAD_FRONT_STEADY_CLOCK_H
#define BULKHEAD_FRONT_STEADY_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the offset. Before it gettimeofday gives the system's clock. */
void steady_clock_start(void);
/* Chooses the rate by the present difference; call a few times a second. */
void steady_clock_adjust(void);
/* From now on every gettimeofday on the calling thread also stores the monotonic time, in µs, in *cell_us. The
 * library's loop reads its clock as it returns from epoll_wait and before it runs callbacks: that is how a loop's
 * cached time is fresh. */
void steady_clock_report_to(int64_t *cell_us);
/* false: somebody else's gettimeofday is in the dynamic symbol table; the front must not serve */
bool steady_clock_in_effect(void);

/* The pure part, for tests: how fast to run (parts per thousand of real time, 1000 = as is) at this difference (wanted
 * - shown). */
int64_t steady_clock_rate(int64_t difference_us);

#endif
