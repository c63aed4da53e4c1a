/* SPDX-License-Identifier: MIT
 *
 * ws_log: see ws_log.h.
 */
#include "config.h"

#include "base/clock.h"
#include "config/conf.h"
#include "front/access_log.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/ws_counters.h"
#include "front/ws_log.h"
#include "front/ws_session.h"

static bool is_logged(const struct ws_session *s)
{
    return s->door->thread->access_ring != NULL;
}

/* Fills in what all lines of a WebSocket share. */
static void write_line(const struct ws_session *s, struct access_record *r)
{
    struct door *door = s->door;
    const struct backend *backend = s->route->backend;
    char id[WS_ID_LENGTH];
    ws_session_id(s, id);
    if (r->id.len == 0)
        r->id = s->facts->request_id;
    r->connection = (struct str){id, sizeof(id)};
    r->peer = s->facts->peer;
    r->target = s->facts->target;
    r->protocol = "websocket";
    r->route = s->route->label;
    r->backend = backend->conf->name;
    r->run = call_class_name((enum call_class)backend->conf->run);
    enum access_format format = s->generation->conf->log.access.format == CONF_LOG_JSON ? ACCESS_JSON : ACCESS_TEXT;
    access_log_write(door->thread->access_ring, format, r, &door->stamp);
}

void ws_log_open(const struct ws_session *s)
{
    if (!is_logged(s))
        return;
    struct access_record r = {
        .wall_us = door_wall_us(s->door, s->opened_us), .method = STR("OPEN"), .status = 101, .outcome = "ok"};
    write_line(s, &r);
}

void ws_log_close(const struct ws_session *s, const struct ws_session_end *end)
{
    if (!is_logged(s))
        return;
    int64_t now_us = clock_us();
    struct access_record r = {.wall_us = door_wall_us(s->door, now_us),
                              .method = STR("CLOSE"),
                              .status = (int)end->code,
                              .bytes = end->count.bytes_out,
                              .bytes_in = end->count.bytes_in,
                              .messages_in = end->count.messages_in,
                              .messages_out = end->count.messages_out,
                              .reason = end->reason,
                              .outcome = end->reason == REASON_NONE ? "ok" : "failed",
                              .total_us = now_us - s->opened_us,
                              .closed_by = ws_closed_word(ws_session_closed_by(end)),
                              .why = end->why};
    write_line(s, &r);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void count_message(const struct ws_session *s, enum reason reason)
{
    atomic_fetch_add_explicit(&s->route->backend->outcomes[reason], 1, memory_order_relaxed);
    if (reason != REASON_NONE && reason != REASON_ABANDONED)
        ws_count(&s->route->websockets->errors, 1);
}

void ws_log_message(const struct ws_session *s, const struct ws_log_call *m)
{
    const struct call *call = m->call;
    count_message(s, m->reason);
    if (!s->route->conf->websocket.log_messages || !is_logged(s))
        return;
    int64_t now_us = clock_us(), ended_us = call->ended_us != 0 ? call->ended_us : now_us;
    bool has_run = call->started_us != 0;
    struct access_record r = {
        .wall_us = door_wall_us(s->door, call->received_us),
        .id = m->id,
        .method = m->opcode == WS_TEXT ? STR("TEXT") : STR("BINARY"),
        .status = m->status,
        .bytes = m->bytes_out,
        .bytes_in = m->bytes_in,
        .worker = call->worker_pid,
        .attempts = call->attempts,
        .reason = m->reason,
        .outcome = access_log_outcome(m->reason, has_run),
        .queue_us = (has_run ? call->started_us : now_us) - call->received_us,
        .service_us = has_run ? ended_us - call->started_us : 0,
        .total_us = now_us - call->arrived_us,
    };
    write_line(s, &r);
}
