/* SPDX-License-Identifier: MIT
 *
 * exchange_log: what is written down of a request when its client has its answer, or has gone: one access-log line, and
 * the counters of its outcome. Loop thread.
 */
#include "config.h"

#include "base/clock.h"
#include "config/conf.h"
#include "front/access_log.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange_private.h"
#include "front/generation.h"
#include "front/route.h"

static const char *protocol_name(int version)
{
    return version >= 0x200 ? "HTTP/2" : version == 0x101 ? "HTTP/1.1" : "HTTP/1.0";
}

static struct access_record record_of(const struct arrival *a, int64_t now_us)
{
    const h2o_req_t *req = a->req;
    const struct backend *backend = a->route == NULL ? NULL : a->route->backend;
    return (struct access_record){
        .wall_us = door_wall_us(a->door, a->received_us),
        .id = a->id,
        .peer = str_of(a->conn->peer_text),
        .method = str_of_iovec(req->input.method),
        .target = str_of_iovec(req->input.path),
        .protocol = protocol_name(req->version),
        .route = a->route == NULL ? NULL : a->route->label,
        .backend = backend == NULL ? NULL : backend->conf->name,
        .run = backend == NULL ? NULL : call_class_name((enum call_class)backend->conf->run),
        .upload_us = a->received_us - a->arrived_us,
        .total_us = now_us - a->arrived_us,
    };
}

static void write_record(const struct arrival *a, const struct access_record *r)
{
    enum access_format format = a->generation->conf->log.access.format == CONF_LOG_JSON ? ACCESS_JSON : ACCESS_TEXT;
    access_log_write(a->door->thread->access_ring, format, r, &a->door->stamp);
}

void exchange_log_answer(const struct arrival *a, enum reason reason, int status, size_t bytes)
{
    struct front_thread *thread = a->door->thread;
    if (reason != REASON_NONE)
        door_count(&thread->counters.refused[reason]);
    if (thread->access_ring == NULL)
        return;
    struct access_record r = record_of(a, clock_us());
    r.status = status;
    r.bytes = bytes;
    r.reason = reason;
    r.outcome = access_log_outcome(reason, false);
    write_record(a, &r);
}

void exchange_log_end(const struct exchange *ex, int status)
{
    const struct arrival *a = &ex->a;
    const struct call *call = &ex->d.call;
    struct front_thread *thread = a->door->thread;
    if (a->route->backend != NULL)
        atomic_fetch_add_explicit(&a->route->backend->outcomes[ex->reason], 1, memory_order_relaxed);
    if (ex->reason != REASON_NONE && ex->reason != REASON_ABANDONED && call->started_us == 0)
        door_count(&thread->counters.refused[ex->reason]);
    if (thread->access_ring == NULL)
        return;
    int64_t now_us = clock_us();
    struct access_record r = record_of(a, now_us);
    r.status = status;
    r.bytes = a->req->bytes_sent;
    r.reason = ex->reason;
    r.outcome = access_log_outcome(ex->reason, call->started_us != 0 || reply_begun(&ex->reply));
    if (a->route->backend != NULL) {
        r.worker = call->worker_pid;
        r.attempts = call->attempts;
        r.queue_us = (call->started_us != 0 ? call->started_us : now_us) - a->received_us;
        r.service_us = call->started_us == 0 ? 0 : (call->ended_us != 0 ? call->ended_us : now_us) - call->started_us;
    }
    write_record(a, &r);
}
