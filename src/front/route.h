/* SPDX-License-Identifier: MIT
 *
 * route: a rule of the conf as the exchange uses it: its backend found, its overrides resolved, its fixed answer ready
 * to send. Compiled with its generation on the main thread, read-only afterwards, freed with it.
 */
#ifndef BULKHEAD_FRONT_ROUTE_H
#define BULKHEAD_FRONT_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/h2o_api.h"

#include "base/str.h"
#include "config/conf.h"
#include "front/fields.h"
#include "upstream/ws.h"

struct backend;
struct ws_counters;

struct route {
    const struct conf_route *conf;
    struct backend *backend;              /* NULL: answered without one */
    const char *label;                    /* the conf's name of it, for the log; borrowed */
    int64_t timeout_us, queue_timeout_us; /* CLOCK_NEVER: none */
    uint64_t max_body;
    struct str strip_prefix;
    struct fields_rules request_rules, response_rules;
    struct ws_counters *websockets; /* a reference; NULL: the route has no `websocket` */
    char *rule;                     /* of those that have: what it says, to compare it by (conf_change_rule) */
    struct ws_options client_end;   /* of messages and bridge: what the client's end of a WebSocket is bound to */
    struct ws_options backend_end;  /* of bridge */
    /* respond, redirect: the fields as they go out; names and values live here */
    h2o_header_t *headers;
    h2o_iovec_t *names;
    size_t nheaders;
    struct str body;
};

void route_init(struct route *route, const struct conf *conf, const struct conf_route *rule, struct backend *backend);
void route_destroy(struct route *route);
/* It is what `before` was in another conf, to the same backend: their WebSockets are counted together. */
bool route_is_heir(const struct route *route, const struct route *before);
void route_inherit(struct route *route, const struct route *before);
/* Expands a redirect's target: $path, $query (with its '?', empty when there is none), $host. Returns owned. */
char *route_redirect_target(const struct route *route, struct str path, struct str query, struct str host);

#endif
