/* SPDX-License-Identifier: MIT
 *
 * progress: a long job that tells how far it is, for a client that would rather not wonder: several messages in answer
 * to one.
 *
 * Options: "steps": the most steps that a job may have (100); "ms": how long a step takes, in milliseconds (100).
 * Message: "N" or "N MS": a job of N steps, of MS milliseconds each (at most a minute) instead of the option's.
 * Replies: {"done":I,"of":N} after each step, then {"result":"finished","ms":TOTAL}; {"error":"…"} to anything else.
 * Request: the same in the body of a POST; the replies are lines. The client sees them one by one if the route has
 *          "buffer": false.
 *
 * The job ends early when nobody waits any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bulkhead/handler.h>

#define MS_MAX         60000
#define STEPS_MAX      1000000
#define LOOK_MS        20
#define TEXT_MAX_BYTES 64

struct progress_settings {
    long steps, ms;
};

struct job {
    long steps, ms;
};

static int progress_open(struct bulkhead_options *options, void **state)
{
    struct progress_settings *settings = malloc(sizeof(*settings));
    if (settings == NULL)
        return bulkhead_open_failed(options, "out of memory");
    settings->steps = bulkhead_option_int(options, "steps", 100, 1, STEPS_MAX);
    settings->ms = bulkhead_option_int(options, "ms", 100, 0, MS_MAX);
    *state = settings;
    return 0;
}

/* ---- replies ---------------------------------------------------------------------------------------------------- */

static bool say(struct bulkhead_call *call, const char *text)
{
    if (bulkhead_kind(call) == BULKHEAD_MESSAGE)
        return bulkhead_send(call, BULKHEAD_TEXT, text, strlen(text));
    return bulkhead_printf(call, "%s\n", text) && bulkhead_flush(call);
}

static int refuse(struct bulkhead_call *call, long steps)
{
    char text[TEXT_MAX_BYTES];
    snprintf(text, sizeof(text), "{\"error\":\"not STEPS or STEPS MS, of at most %ld steps\"}", steps);
    if (bulkhead_kind(call) == BULKHEAD_REQUEST)
        bulkhead_status(call, 400);
    return say(call, text) ? 0 : -1;
}

/* ---- the job ---------------------------------------------------------------------------------------------------- */

static bool parse(struct bulkhead_call *call, const struct progress_settings *settings, struct job *job)
{
    size_t length;
    const char *body = bulkhead_body(call, &length);
    char *text = bulkhead_format(call, "%.*s", length < TEXT_MAX_BYTES ? (int)length : 0, body), *end;
    job->steps = strtol(text, &end, 10);
    job->ms = *end == ' ' ? strtol(end, &end, 10) : settings->ms;
    return *end == '\0' && job->steps >= 1 && job->steps <= settings->steps && job->ms >= 0 && job->ms <= MS_MAX;
}

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0)
        ;
}

/* false: nobody waits any more */
static bool work(struct bulkhead_call *call, long ms)
{
    for (long left = ms; left > 0 && !bulkhead_cancelled(call); left -= LOOK_MS)
        sleep_ms(left < LOOK_MS ? left : LOOK_MS);
    return !bulkhead_cancelled(call);
}

static int run(struct bulkhead_call *call, const struct job *job)
{
    char text[TEXT_MAX_BYTES];
    for (long done = 1; done <= job->steps; done++) {
        snprintf(text, sizeof(text), "{\"done\":%ld,\"of\":%ld}", done, job->steps);
        if (!work(call, job->ms) || !say(call, text))
            return bulkhead_failed(call, "cancelled after %ld of %ld steps", done - 1, job->steps);
    }
    snprintf(text, sizeof(text), "{\"result\":\"finished\",\"ms\":%ld}", job->steps * job->ms);
    return say(call, text) ? 0 : -1;
}

static int progress_handle(struct bulkhead_call *call, void *state)
{
    const struct progress_settings *settings = state;
    enum bulkhead_kind kind = bulkhead_kind(call);
    struct job job;
    if (kind == BULKHEAD_OPEN || kind == BULKHEAD_CLOSE)
        return 0; /* anybody may connect, and nothing is kept of a connection */
    if (kind == BULKHEAD_REQUEST)
        bulkhead_set_header(call, "content-type", "application/x-ndjson");
    return parse(call, settings, &job) ? run(call, &job) : refuse(call, settings->steps);
}

BULKHEAD_HANDLER(.name = "progress", .handle = progress_handle, .open = progress_open, .close = free);
