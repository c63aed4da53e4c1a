/* SPDX-License-Identifier: MIT
 *
 * steady_clock: see steady_clock.h. The shown time is a line: shown = base_shown + (now - base_at) * rate. The main
 * thread replaces the line a few times a second, starting each where the former had arrived, so that the clock never
 * jumps; readers take a consistent copy by the sequence number (odd: being replaced; changed: read again). Acquire and
 * release on the members keep them between the two accesses to the number.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>

#include "front/steady_clock.h"

#include "base/clock.h"

#define RATE_ONE            1000
#define RATE_SMALL          50
#define RATE_LARGE          500
#define LARGE_DIFFERENCE_US (3600 * INT64_C(1000000))
/* below this the clock runs as is; the system's own discipline moves it by less */
#define NO_DIFFERENCE_US 2000

static struct {
    _Atomic unsigned sequence; /* 0: not started */
    _Atomic int64_t base_at_us, base_shown_us, rate;
} line;

static __thread int64_t *report_cell;

static int64_t system_wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* false: not started */
static bool shown_at(int64_t now_us, int64_t *shown_us_r)
{
    unsigned before, after;
    int64_t base_at_us, base_shown_us, rate;
    do {
        before = atomic_load_explicit(&line.sequence, memory_order_acquire);
        if (before == 0)
            return false;
        base_at_us = atomic_load_explicit(&line.base_at_us, memory_order_acquire);
        base_shown_us = atomic_load_explicit(&line.base_shown_us, memory_order_acquire);
        rate = atomic_load_explicit(&line.rate, memory_order_acquire);
        after = atomic_load_explicit(&line.sequence, memory_order_relaxed);
    } while (before != after || before % 2 != 0);
    *shown_us_r = base_shown_us + (now_us - base_at_us) * rate / RATE_ONE;
    return true;
}

static void replace_line(int64_t at_us, int64_t shown_us, int64_t rate)
{
    unsigned sequence = atomic_load_explicit(&line.sequence, memory_order_relaxed);
    atomic_store_explicit(&line.sequence, sequence + 1, memory_order_relaxed);
    atomic_store_explicit(&line.base_at_us, at_us, memory_order_release);
    atomic_store_explicit(&line.base_shown_us, shown_us, memory_order_release);
    atomic_store_explicit(&line.rate, rate, memory_order_release);
    atomic_store_explicit(&line.sequence, sequence + 2, memory_order_release);
}

int64_t steady_clock_rate(int64_t difference_us)
{
    int64_t size = difference_us < 0 ? -difference_us : difference_us;
    if (size < NO_DIFFERENCE_US)
        return RATE_ONE;
    int64_t off = size > LARGE_DIFFERENCE_US ? RATE_LARGE : RATE_SMALL;
    return difference_us < 0 ? RATE_ONE - off : RATE_ONE + off;
}

void steady_clock_start(void)
{
    replace_line(clock_us(), system_wall_us(), RATE_ONE);
}

void steady_clock_adjust(void)
{
    int64_t now_us = clock_us(), shown_us;
    if (shown_at(now_us, &shown_us))
        replace_line(now_us, shown_us, steady_clock_rate(system_wall_us() - shown_us));
}

void steady_clock_report_to(int64_t *cell_us)
{
    report_cell = cell_us;
}

/* Interposed: libh2o calls it through the dynamic symbol table. */
__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    int64_t now_us = clock_us(), shown_us;
    if (report_cell != NULL)
        *report_cell = now_us;
    if (!shown_at(now_us, &shown_us))
        shown_us = system_wall_us();
    tv->tv_sec = shown_us / 1000000;
    tv->tv_usec = shown_us % 1000000;
    return 0;
}

bool steady_clock_in_effect(void)
{
    return dlsym(RTLD_DEFAULT, "gettimeofday") == (void *)gettimeofday;
}
