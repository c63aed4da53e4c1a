/* SPDX-License-Identifier: MIT
 *
 * setup: see setup.h.
 */
#include "config.h"

#include <stdint.h>

#include "front/setup.h"

#include "base/mem.h"
#include "config/conf.h"
#include "front/exchange.h"
#include "front/guard.h"
#include "front/library_spool.h"

/* added to the sum of our own limits where the library has a timer for the same: it is the second line, not the first
 */
#define LIBRARY_SLACK_US (60 * INT64_C(1000000))

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* of any request; a message for a WebSocket comes as the body of one to the admin listener */
static int64_t greatest_body(const struct conf *conf)
{
    int64_t max = conf->limits.max_body;
    for (size_t i = 0; i != conf->nroutes; ++i) {
        const struct conf_route *route = &conf->routes[i];
        if (route->max_body > max)
            max = route->max_body;
        if (route->websocket.mode != CONF_WEBSOCKET_NONE && route->websocket.max_message > max)
            max = route->websocket.max_message;
    }
    return max;
}

static void set_guard_limits(const struct conf *conf)
{
    const struct conf_limits *limits = &conf->limits;
    guard_set_limits(&(struct guard_limits){
        .head_bytes = (size_t)limits->head_bytes,
        .target_bytes = (size_t)limits->target_bytes,
        .header_fields = (size_t)limits->header_fields,
        .max_body = (size_t)greatest_body(conf),
        .chunk_overhead = (size_t)limits->chunk_overhead,
    });
}

/* ---- the library ------------------------------------------------------------------------------------------------ */

static uint64_t to_ms(int64_t us)
{
    return us < 0 ? UINT64_C(365) * 86400 * 1000 : (uint64_t)(us + 999) / 1000;
}

/* one more than the guard's, so that the refusal and its words are ours */
static size_t library_body_max(const struct conf *conf)
{
    return (size_t)greatest_body(conf) + 1;
}

static uint64_t handshake_ms(const struct conf *conf)
{
    return to_ms(conf->limits.tls_handshake_timeout);
}

static uint64_t request_ms(const struct conf *conf)
{
    const struct conf_limits *limits = &conf->limits;
    return to_ms(limits->idle_timeout + limits->head_timeout + limits->body_timeout + LIBRARY_SLACK_US);
}

static uint64_t idle_ms(const struct conf *conf)
{
    return to_ms(conf->limits.idle_timeout);
}

static void set_library_limits(h2o_globalconf_t *library, const struct conf *conf, enum setup_kind kind)
{
    library->server_name = h2o_iovec_init(H2O_STRLIT("bulkhead"));
    library->max_request_entity_size = library_body_max(conf);
    library->handshake_timeout = handshake_ms(conf);
    library->http1.upgrade_to_http2 = kind == SETUP_KIND_CLIENT_HTTP2;
    library->http1.req_timeout = request_ms(conf);
    library->http2.idle_timeout = idle_ms(conf);
    library->http2.max_concurrent_requests_per_connection = (size_t)conf->limits.http2_handlers;
}

static h2o_globalconf_t *create_library(const struct conf *conf, enum setup_kind kind)
{
    h2o_globalconf_t *library = mem_alloc(sizeof *library);
    h2o_config_init(library);
    set_library_limits(library, conf, kind);
    h2o_hostconf_t *host = h2o_config_register_host(library, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    host->http2.push_preload = 0;
    host->fallback_path.error_log.emit_request_errors = 0;
    exchange_register_fallback(host);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    path->error_log.emit_request_errors = 0;
    h2o_handler_t *handler = h2o_create_handler(path, sizeof *handler);
    handler->on_req = kind == SETUP_KIND_ADMIN ? admin_on_request : exchange_on_request;
    return library;
}

/* ---- for all loops ---------------------------------------------------------------------------------------------- */

struct setup *setup_create(const struct conf *conf, char *error, size_t error_size)
{
    if (!library_spool_set(conf, error, error_size))
        return NULL;
    struct setup *setup = mem_zalloc(sizeof *setup);
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind)
        setup->library[kind] = create_library(conf, (enum setup_kind)kind);
    set_guard_limits(conf);
    return setup;
}

void setup_adapt(struct setup *setup, const struct conf *conf)
{
    set_guard_limits(conf);
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind)
        __atomic_store_n(&setup->library[kind]->max_request_entity_size, library_body_max(conf), __ATOMIC_RELAXED);
}

void setup_adapt_context(h2o_context_t *context, const struct conf *conf)
{
    context->handshake_timeout.timeout = handshake_ms(conf);
    context->http1.req_timeout.timeout = request_ms(conf);
    context->http2.idle_timeout.timeout = idle_ms(conf);
}
