/* SPDX-License-Identifier: MIT
 *
 * spin: a handler that computes, as one does that renders or compresses; or that has lost its way.
 *
 * Options: "ms": how much CPU time of its thread to burn, in milliseconds (100);
 *          "check": notice that nobody waits any more, and return (false).
 * Query:   ms=N (at most an hour) or ms=forever, check=0|1: instead of the options for this call.
 * Answer:  200, text: the milliseconds of CPU time it burnt.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bulkhead/handler.h>

#define MS_MAX  3600000
#define FOREVER (-1)

struct spin_settings {
    long ms;
    bool check;
};

static int spin_open(struct bulkhead_options *options, void **state)
{
    struct spin_settings *settings = malloc(sizeof(*settings));
    if (settings == NULL)
        return bulkhead_open_failed(options, "out of memory");
    settings->ms = bulkhead_option_int(options, "ms", 100, 0, MS_MAX);
    settings->check = bulkhead_option_bool(options, "check", false);
    *state = settings;
    return 0;
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* some tens of microseconds that the compiler cannot leave out */
static void compute(volatile uint64_t *seed)
{
    uint64_t x = *seed | 1;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    *seed = x;
}

static int spin(struct bulkhead_call *call, long ms, bool check)
{
    volatile uint64_t seed = 0;
    const int64_t start = cpu_ns();
    while (ms == FOREVER || cpu_ns() - start < ms * 1000000) {
        compute(&seed);
        if (check && bulkhead_cancelled(call))
            return bulkhead_failed(call, "cancelled after %ld ms", (long)((cpu_ns() - start) / 1000000));
    }
    bulkhead_set_header(call, "content-type", "text/plain");
    return bulkhead_printf(call, "%ld\n", (long)((cpu_ns() - start) / 1000000)) ? 0 : -1;
}

static int spin_handle(struct bulkhead_call *call, void *state)
{
    const struct spin_settings *settings = state;
    const char *ms_text = bulkhead_query_value(call, "ms", NULL),
               *check_text = bulkhead_query_value(call, "check", NULL);
    bool check = check_text == NULL ? settings->check : check_text[0] == '1';
    if (ms_text == NULL)
        return spin(call, settings->ms, check);
    if (strcmp(ms_text, "forever") == 0)
        return spin(call, FOREVER, check);
    long ms = strtol(ms_text, NULL, 10);
    if (ms < 0 || ms > MS_MAX)
        return bulkhead_answer(call, 400, "text/plain", "ms: 0 to 3600000, or forever\n", 29);
    return spin(call, ms, check);
}

BULKHEAD_HANDLER(.name = "spin", .handle = spin_handle, .open = spin_open, .close = free);
