/* SPDX-License-Identifier: MIT
 *
 * sleep: a handler that blocks, as one does that waits for a database or a device.
 *
 * Options: "ms": how long, in milliseconds (100); "check": notice that nobody waits any more, and return (false).
 * Query:   ms=N, check=0|1: instead of the options for this call. At most an hour.
 * Answer:  200, text: the milliseconds it slept.
 */
#include <stdlib.h>
#include <time.h>

#include <bulkhead/handler.h>

#define MS_MAX  3600000
#define STEP_MS 20

struct sleep_settings {
    long ms;
    bool check;
};

static int sleep_open(struct bulkhead_options *options, void **state)
{
    struct sleep_settings *settings = malloc(sizeof(*settings));
    if (settings == NULL)
        return bulkhead_open_failed(options, "out of memory");
    settings->ms = bulkhead_option_int(options, "ms", 100, 0, MS_MAX);
    settings->check = bulkhead_option_bool(options, "check", false);
    *state = settings;
    return 0;
}

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0)
        ;
}

static int sleep_handle(struct bulkhead_call *call, void *state)
{
    const struct sleep_settings *settings = state;
    const char *ms_text = bulkhead_query_value(call, "ms", NULL),
               *check_text = bulkhead_query_value(call, "check", NULL);
    long ms = ms_text == NULL ? settings->ms : strtol(ms_text, NULL, 10);
    bool check = check_text == NULL ? settings->check : check_text[0] == '1';
    if (ms < 0 || ms > MS_MAX)
        return bulkhead_answer(call, 400, "text/plain", "ms: 0 to 3600000\n", 17);
    for (long left = ms; left > 0;) {
        long step = check && left > STEP_MS ? STEP_MS : left;
        sleep_ms(step);
        left -= step;
        if (check && bulkhead_cancelled(call))
            return bulkhead_failed(call, "cancelled after %ld of %ld ms", ms - left, ms);
    }
    bulkhead_set_header(call, "content-type", "text/plain");
    return bulkhead_printf(call, "%ld\n", ms) ? 0 : -1;
}

BULKHEAD_HANDLER(.name = "sleep", .handle = sleep_handle, .open = sleep_open, .close = free);
