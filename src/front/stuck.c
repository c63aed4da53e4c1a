/* SPDX-License-Identifier: MIT
 *
 * stuck: see stuck.h.
 */
#include "config.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/clock.h"
#include "call/call.h"
#include "config/conf.h"
#include "diag/log.h"
#include "executor/executor.h"
#include "front/generation.h"
#include "front/stuck.h"
#include "wire/control.h"

#define REPORTS_PER_SECOND 20
#define SECOND_US          1000000

static struct {
    pthread_mutex_t lock;
    int64_t since_us;
    unsigned count, left_out;
} window = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* true: it may be written. *left_out_r: how many were not before it, to be told. */
static bool pass(unsigned *left_out_r)
{
    int64_t now_us = clock_us();
    *left_out_r = 0;
    pthread_mutex_lock(&window.lock);
    if (now_us - window.since_us >= SECOND_US) {
        *left_out_r = window.left_out;
        window.since_us = now_us;
        window.count = window.left_out = 0;
    }
    bool passed = window.count < REPORTS_PER_SECOND;
    if (passed)
        window.count++;
    else
        window.left_out++;
    pthread_mutex_unlock(&window.lock);
    return passed;
}

/* the id, a line feed, the request line */
static void put_request(struct buf *out, const struct call_request *r)
{
    buf_append_str(out, r->id);
    buf_append_char(out, '\n');
    buf_append_str(out, r->method);
    buf_append_char(out, ' ');
    buf_append_str(out, r->path);
    if (r->query.base == NULL)
        return;
    buf_append_char(out, '?');
    buf_append_str(out, r->query);
}

static void tell_supervisor(const struct backend *b, const struct executor_trace *trace, double age_s,
                            const struct buf *request)
{
    const struct wire_control m = {.type = WIRE_STUCK,
                                   .backend = b->id,
                                   .slot = trace->slot,
                                   .generation = trace->generation,
                                   .pid = trace->pid,
                                   .count = (uint32_t)(age_s * 1000),
                                   .at_us = trace->cpu_us,
                                   .text = buf_str(request)};
    if (generation_tell != NULL)
        generation_tell(&m);
}

static void write_report(const struct backend *b, const struct call *call, double age_s, const struct buf *request)
{
    struct buf line = {0};
    size_t id_len = call->request.id.len;
    buf_append_printable(&line, (struct str){request->base + id_len + 1, request->len - id_len - 1});
    buf_append_z(&line, id_len == 0 ? " (its client has left" : " (request ");
    buf_append_printable(&line, call->request.id);
    log_write(LOG_LEVEL_WARNING, "stuck", "%s: %s) has been running for %.3f s", b->conf->name, buf_z(&line), age_s);
    buf_free(&line);
}

void stuck_report(const struct backend *b, const struct call *call)
{
    const struct executor_ops *ops = b->executor->ops;
    double age_s = (double)(clock_us() - call->started_us) / 1e6;
    struct executor_trace trace;
    struct buf request = {0};
    unsigned left_out;
    if (!pass(&left_out))
        return;
    if (left_out > 0)
        log_write(LOG_LEVEL_WARNING, "stuck", "%u more calls have been running for warn_after", left_out);
    put_request(&request, &call->request);
    if (ops->trace != NULL && ops->trace(b->executor, call, &trace))
        tell_supervisor(b, &trace, age_s, &request);
    else
        write_report(b, call, age_s, &request);
    buf_free(&request);
}
