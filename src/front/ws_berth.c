/* SPDX-License-Identifier: MIT
 *
 * ws_berth: see ws_berth.h.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/conf.h"
#include "front/generation.h"
#include "front/path.h"
#include "front/route.h"
#include "front/ws_berth.h"
#include "front/ws_session.h"
#include "gate/gate.h"

/* bytes of chunk extensions and trailers in a refusal */
#define CHUNK_OVERHEAD_MAX 8192

/* Nobody is there, or everybody has as many as `bridges` says. */
static enum reason why_none(const struct ws_berth *b, const char **detail_r)
{
    struct backend *backend = b->route->backend;
    if (atomic_load_explicit(&backend->is_down, memory_order_relaxed) ||
        gate_stats(backend->gate, b->loop->now_us).limit == 0)
        return REASON_BACKEND_DOWN;
    *detail_r = "as many as `bridges` of the backend allows are open";
    return REASON_WEBSOCKETS_FULL;
}

static bool take(struct ws_berth *b)
{
    const struct backend *backend = b->route->backend;
    const struct executor_ops *ops = backend->executor->ops;
    b->is_taken = ops->berth != NULL && ops->berth(backend->executor, backend->conf->bridges, &b->place);
    return b->is_taken;
}

enum reason ws_berth_take(struct ws_berth *b, struct loop *loop, const struct generation *generation,
                          const struct route *route, const char **detail_r)
{
    *b = (struct ws_berth){.route = route, .generation = generation, .loop = loop};
    *detail_r = NULL;
    return take(b) ? REASON_NONE : why_none(b, detail_r);
}

bool ws_berth_take_another(struct ws_berth *b)
{
    b->place.refused = true;
    ws_berth_leave(b);
    return ++b->refusals < b->route->backend->conf->nproxy && take(b);
}

void ws_berth_leave(struct ws_berth *b)
{
    if (!b->is_taken)
        return;
    b->is_taken = false;
    b->place.executor->ops->unberth(&b->place);
}

static int64_t at_most(int64_t limit_us, int64_t within_us)
{
    return limit_us < 0 || limit_us > within_us ? within_us : limit_us;
}

struct upgrade *ws_berth_ask(struct ws_berth *b, const struct ws_facts *facts, const struct call_field *more,
                             size_t nmore, struct str protocol, int64_t within_us,
                             void (*on_end)(void *arg, const struct upgrade_result *result), void *arg)
{
    const struct conf_limits *limits = &b->generation->conf->limits;
    struct upgrade_options options = {
        .address = (const struct sockaddr *)&b->place.address,
        .address_len = b->place.address_len,
        .limits = {.head_bytes = (size_t)limits->response_head_bytes,
                   .fields = (size_t)limits->response_header_fields,
                   .interim = (size_t)limits->response_interim,
                   .chunk_overhead = CHUNK_OVERHEAD_MAX},
        .connect_timeout_us = at_most(b->route->backend->conf->connect_timeout, within_us),
        .answer_timeout_us = at_most(b->route->timeout_us, within_us),
    };
    struct call_field *fields = mem_alloc((facts->nfields + nmore + 1) * sizeof(fields[0]));
    memcpy(fields, facts->fields, facts->nfields * sizeof(fields[0]));
    if (nmore != 0)
        memcpy(fields + facts->nfields, more, nmore * sizeof(fields[0]));
    struct call_request request = {.method = STR("GET"),
                                   .path = path_strip(facts->path, b->route->strip_prefix),
                                   .query = facts->query,
                                   .scheme = facts->scheme,
                                   .authority = facts->authority,
                                   .peer = facts->peer,
                                   .fields = fields,
                                   .nfields = facts->nfields + nmore};
    struct upgrade *u = upgrade_start(b->loop, &options, &request, protocol, on_end, arg);
    free(fields);
    return u;
}

enum reason ws_berth_judge(const struct ws_berth *b, enum upgrade_outcome outcome)
{
    switch (outcome) {
    case UPGRADE_NO_CONNECTION:
        return b->place.worker_pid != 0 ? REASON_WORKER_LOST : REASON_UPSTREAM_REFUSED;
    case UPGRADE_TIMEOUT:
        return REASON_DEADLINE;
    case UPGRADE_RESET:
        return ws_berth_lost(b);
    case UPGRADE_GARBAGE:
        return REASON_UPSTREAM_GARBAGE;
    case UPGRADE_DONE:
    case UPGRADE_REFUSED:
        break;
    }
    return REASON_NONE;
}

enum reason ws_berth_lost(const struct ws_berth *b)
{
    return b->place.worker_pid != 0 ? REASON_WORKER_LOST : REASON_UPSTREAM_RESET;
}
