/* SPDX-License-Identifier: MIT
 *
 * route: see route.h. What can be computed once is computed here, so that a fixed answer costs no composition at all.
 */
#include "config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/conf_change.h"
#include "front/route.h"
#include "front/ws_counters.h"

/* for a client to answer a close frame */
#define CLOSE_TIMEOUT_US 5000000
/* for a backend, which may be busy, to take what the client sent before it left, and to answer */
#define BACKEND_CLOSE_TIMEOUT_US 10000000

static int64_t limit_of(int64_t of_route, int64_t of_backend)
{
    int64_t us = of_route != -1 ? of_route : of_backend;
    return us < 0 ? CLOCK_NEVER : us;
}

/* The library knows the fields that it has tokens for by address, not by text. */
static void add_header(struct route *r, struct str name, struct str value)
{
    const h2o_token_t *token = h2o_lookup_token(name.base, name.len);
    h2o_header_t *h = &r->headers[r->nheaders];
    r->names[r->nheaders] = h2o_iovec_init(name.base, name.len);
    *h = (h2o_header_t){
        token != NULL ? (h2o_iovec_t *)&token->buf : &r->names[r->nheaders], NULL, {value.base, value.len}};
    r->nheaders++;
}

static void compile_answer(struct route *r)
{
    const struct conf_route *c = r->conf;
    r->headers = mem_zalloc((r->response_rules.nadded + 1) * sizeof(r->headers[0]));
    r->names = mem_zalloc((r->response_rules.nadded + 1) * sizeof(r->names[0]));
    if (c->action == CONF_ROUTE_RESPOND) {
        r->body = str_of(c->respond.body);
        bool has_type = !fields_rules_drop(&r->response_rules, STR("content-type"));
        if (r->body.len != 0 && has_type)
            add_header(r, STR("content-type"),
                       c->respond.content_type == NULL ? STR("text/plain; charset=utf-8")
                                                       : str_of(c->respond.content_type));
    }
    for (size_t i = 0; i < r->response_rules.nadded; i++)
        add_header(r, r->response_rules.added[i].name, r->response_rules.added[i].value);
}

static int64_t time_of(int64_t us)
{
    return us < 0 ? CLOCK_NEVER : us;
}

static struct ws_options client_end(const struct conf_websocket *c)
{
    return (struct ws_options){.role = WS_SERVER,
                               .relay = c->mode == CONF_WEBSOCKET_BRIDGE && !c->reconnect,
                               .max_message = (uint64_t)c->max_message,
                               .max_unsent = (size_t)c->max_unsent,
                               .reads_when_full = c->mode == CONF_WEBSOCKET_BRIDGE,
                               .control_rate = c->control_frames,
                               .ping_interval_us = time_of(c->ping_interval),
                               .pong_timeout_us = time_of(c->pong_timeout),
                               .idle_timeout_us = time_of(c->idle_timeout),
                               .close_timeout_us = CLOSE_TIMEOUT_US};
}

/* No pong is waited for: a backend that blocks could send none. A worker is not even pinged; to a server elsewhere pings
 * keep the connection alive, and have the kernel find out that it is not. With `reconnect` a backend is given one
 * message at a time. */
static struct ws_options backend_end(const struct conf_websocket *c, bool is_proxied)
{
    return (struct ws_options){.role = WS_CLIENT,
                               .relay = !c->reconnect,
                               .max_message = (uint64_t)c->max_message,
                               .max_unsent = c->reconnect ? 1 : (size_t)c->max_unsent,
                               .reads_when_full = true,
                               .control_rate = c->control_frames,
                               .ping_interval_us = is_proxied ? time_of(c->ping_interval) : CLOCK_NEVER,
                               .pong_timeout_us = CLOCK_NEVER,
                               .idle_timeout_us = CLOCK_NEVER,
                               .close_timeout_us = BACKEND_CLOSE_TIMEOUT_US};
}

void route_init(struct route *r, const struct conf *conf, const struct conf_route *rule, struct backend *backend)
{
    const struct conf_backend *b = rule->action == CONF_ROUTE_BACKEND ? &conf->backends[rule->backend] : NULL;
    *r = (struct route){.conf = rule, .backend = backend, .label = rule->name};
    r->timeout_us = b == NULL ? CLOCK_NEVER : limit_of(rule->timeout, b->timeout);
    r->queue_timeout_us = b == NULL ? CLOCK_NEVER : limit_of(rule->queue_timeout, b->queue_timeout);
    int64_t max_body = rule->max_body != -1 ? rule->max_body : conf->limits.max_body;
    r->max_body = max_body < 0 ? UINT64_MAX : (uint64_t)max_body;
    r->strip_prefix = str_of(rule->strip_prefix);
    fields_rules_init(&r->request_rules, &rule->request_headers);
    fields_rules_init(&r->response_rules, &rule->response_headers);
    if (rule->websocket.mode != CONF_WEBSOCKET_NONE) {
        r->websockets = mem_zalloc(sizeof(*r->websockets));
        atomic_init(&r->websockets->references, 1);
        r->rule = conf_change_rule(conf, (size_t)(rule - conf->routes));
        r->client_end = client_end(&rule->websocket);
        r->backend_end = backend_end(&rule->websocket, b != NULL && b->what == CONF_WHAT_PROXY);
    }
    if (rule->action == CONF_ROUTE_RESPOND || rule->action == CONF_ROUTE_REDIRECT)
        compile_answer(r);
}

static void drop_counters(struct route *r)
{
    if (r->websockets != NULL && atomic_fetch_sub(&r->websockets->references, 1) == 1)
        free(r->websockets);
    r->websockets = NULL;
}

bool route_is_heir(const struct route *r, const struct route *before)
{
    return r->websockets != NULL && before->websockets != NULL && r->backend == before->backend &&
           strcmp(r->rule, before->rule) == 0;
}

void route_inherit(struct route *r, const struct route *before)
{
    drop_counters(r);
    r->websockets = before->websockets;
    atomic_fetch_add(&r->websockets->references, 1);
}

void route_destroy(struct route *r)
{
    drop_counters(r);
    mem_free(&r->rule);
    mem_free(&r->headers);
    mem_free(&r->names);
    fields_rules_destroy(&r->request_rules);
    fields_rules_destroy(&r->response_rules);
}

/* "//other.example" at the beginning of a Location names another host: leave one slash of what the client sent */
static struct str without_extra_slashes(struct str path)
{
    while (path.len > 1 && path.base[0] == '/' && (path.base[1] == '/' || path.base[1] == '\\'))
        path = (struct str){path.base + 1, path.len - 1};
    return path;
}

char *route_redirect_target(const struct route *r, struct str path, struct str query, struct str host)
{
    struct buf out = {0};
    for (const char *p = r->conf->redirect.to; *p != '\0';) {
        if (strncmp(p, "$path", 5) == 0) {
            buf_append_str(&out, out.len == 0 ? without_extra_slashes(path) : path);
            p += 5;
        } else if (strncmp(p, "$query", 6) == 0) {
            if (query.base != NULL) {
                buf_append_char(&out, '?');
                buf_append_str(&out, query);
            }
            p += 6;
        } else if (strncmp(p, "$host", 5) == 0) {
            buf_append_str(&out, host);
            p += 5;
        } else {
            buf_append_char(&out, *p++);
        }
    }
    buf_append_char(&out, '\0');
    return out.base;
}
