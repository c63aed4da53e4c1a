/* SPDX-License-Identifier: MIT
 *
 * conf_check_unused: finds what stands in a conf and can never take effect. Routes that no request can reach: the same
 * match keys as an earlier route's, or a path below an earlier path_prefix that asks for nothing else; a hash holds what
 * earlier routes take, so that ten thousand routes cost a few look-ups each. It finds the common mistakes, not all.
 */
#include "config.h"

#include "config/conf_check.h"
#include "config/node.h"
#include "config/problems.h"
#include "config/source.h"

struct taken {
    json_t *routes;    /* what is taken, as text → number of the route */
    bool lengths[256]; /* of the path_prefixes in it; longer ones are not looked for */
};

static void append_header(struct buf *key, const struct conf_header_match *match)
{
    buf_printf(key, "\n%s:%s", match->name, match->value == NULL ? "\n" : match->value);
}

/* Two routes with the same key match the same requests. */
static void match_key(const struct conf_route *route, struct buf *key)
{
    buf_clear(key);
    buf_printf(key, "all\n%s\n%s\n%s\n", route->path == NULL ? "" : route->path,
               route->path_prefix == NULL ? "" : route->path_prefix,
               route->path_regex == NULL ? "" : route->path_regex);
    for (size_t i = 0; i < route->nhosts; i++)
        buf_printf(key, "\n@%s", route->hosts[i]);
    for (size_t i = 0; i < route->nmethods; i++)
        buf_printf(key, "\n%s", route->methods[i]);
    for (size_t i = 0; i < route->nheaders; i++)
        append_header(key, &route->headers[i]);
}

static void prefix_key(const char *host, const char *prefix, size_t len, struct buf *key)
{
    buf_clear(key);
    buf_printf(key, "prefix\n%s\n%.*s", host, (int)len, prefix);
}

/* Hosts, if any, and a path_prefix, or nothing at all: takes everything below. */
static bool is_open(const struct conf_route *route)
{
    return route->path == NULL && route->path_regex == NULL && route->nmethods == 0 && route->nheaders == 0;
}

static const json_t *find(const struct taken *taken, struct buf *key)
{
    return json_object_get(taken->routes, buf_z(key));
}

/* the earlier route that takes every path that begins with `path`, for this host ("": for any) */
static const json_t *find_prefix(const struct taken *taken, const char *host, const char *path, struct buf *key)
{
    const json_t *found = NULL;
    size_t len = strlen(path);
    for (size_t n = 0; n <= len && n < sizeof(taken->lengths) && found == NULL; n++)
        if (taken->lengths[n]) {
            prefix_key(host, path, n, key);
            found = find(taken, key);
        }
    return found;
}

static const json_t *find_above(const struct taken *taken, const struct conf_route *route, struct buf *key)
{
    const char *path = route->path != NULL ? route->path : route->path_prefix;
    const json_t *found = find_prefix(taken, "", path == NULL ? "" : path, key);
    if (found != NULL || route->nhosts == 0)
        return found;
    for (size_t i = 0; i < route->nhosts; i++)
        if ((found = find_prefix(taken, route->hosts[i], path == NULL ? "" : path, key)) == NULL)
            return NULL;
    return found;
}

static void take(struct taken *taken, struct buf *key, size_t number)
{
    if (find(taken, key) == NULL)
        json_object_set_new(taken->routes, buf_z(key), json_integer((json_int_t)number));
}

static void take_prefixes(struct taken *taken, const struct conf_route *route, size_t number, struct buf *key)
{
    const char *prefix = route->path_prefix == NULL ? "" : route->path_prefix;
    size_t len = strlen(prefix);
    if (!is_open(route) || len >= sizeof(taken->lengths))
        return;
    taken->lengths[len] = true;
    for (size_t i = 0; i < route->nhosts || i == 0; i++) {
        prefix_key(route->nhosts == 0 ? "" : route->hosts[i], prefix, len, key);
        take(taken, key, number);
    }
}

static void check_reachable(const struct check *c)
{
    struct taken taken = {.routes = json_object()};
    struct buf key = {0};
    struct node *node = conf_check_first(c, "routes");
    for (size_t i = 0; i < c->conf->nroutes && node != NULL; i++, node = node->next) {
        const struct conf_route *route = &c->conf->routes[i];
        const json_t *earlier = find_above(&taken, route, &key);
        match_key(route, &key);
        if (earlier == NULL)
            earlier = find(&taken, &key);
        if (earlier != NULL) {
            const struct conf_route *first = &c->conf->routes[json_integer_value(earlier)];
            problems_warning(c->problems, node,
                             "no request reaches this route: the one at %s:%u takes them; move it up or remove it",
                             first->file, first->line);
            continue;
        }
        take(&taken, &key, i);
        take_prefixes(&taken, route, i, &key);
    }
    buf_free(&key);
    json_decref(taken.routes);
}

static void check_strip_prefix(const struct check *c, const struct conf_route *route, const struct node *node)
{
    struct node *strip = conf_check_good(node, "strip_prefix");
    const char *path = route->path != NULL ? route->path : route->path_prefix;
    if (strip == NULL || path == NULL)
        return;
    size_t path_len = strlen(path), strip_len = strlen(route->strip_prefix);
    size_t common = route->path != NULL || strip_len < path_len ? strip_len : path_len;
    if (strncmp(path, route->strip_prefix, common) != 0)
        problems_warning(c->problems, strip, "never happens: no path that this route matches begins with it");
}

static bool takes_method(const struct conf_route *route, const char *method)
{
    for (size_t i = 0; i < route->nmethods; i++)
        if (strcmp(route->methods[i], method) == 0)
            return true;
    return route->nmethods == 0;
}

static void check_websocket(const struct check *c, const struct conf_route *route, const struct node *node)
{
    struct node *websocket = conf_check_good(node, "websocket");
    if (websocket == NULL)
        return;
    if (!takes_method(route, "GET"))
        problems_warning(c->problems, websocket,
                         "never happens: a handshake is a GET request, and methods has no \"GET\"; add it");
    struct node *reconnect_timeout = conf_check_good(websocket, "reconnect_timeout");
    if (reconnect_timeout != NULL && !route->websocket.reconnect)
        problems_warning(c->problems, reconnect_timeout, "has no effect without \"reconnect\": true");
}

static void check_warn_after(const struct check *c, const struct conf_backend *backend, const struct node *node)
{
    struct node *warn_after = conf_check_good(node, "warn_after");
    if (warn_after != NULL && backend->warn_after > backend->timeout)
        problems_warning(c->problems, warn_after, "never happens: the timeout comes first; make it less than timeout");
}

/* The hard limit is the one that is left. */
static void check_memory_limits(const struct check *c, const struct conf_backend *backend, const struct node *node)
{
    struct node *soft = conf_check_good(node, "memory_limit");
    if (soft != NULL && backend->memory_limit_hard >= 0 && backend->memory_limit >= backend->memory_limit_hard)
        problems_warning(c->problems, soft,
                         "never happens: memory_limit_hard comes first; make it less than memory_limit_hard");
}

static void check_backends_used(const struct check *c)
{
    const struct conf *conf = c->conf;
    struct node *node = conf_check_first(c, "backends");
    for (size_t i = 0; i < conf->nbackends && node != NULL; i++, node = node->next) {
        bool used = false;
        for (size_t k = 0; k < conf->nroutes && !used; k++)
            used = conf->routes[k].action == CONF_ROUTE_BACKEND && conf->routes[k].backend == i;
        if (!used)
            problems_warning(c->problems, node, "no route leads to this backend");
    }
}

void conf_check_unused(const struct check *c)
{
    check_reachable(c);
    check_backends_used(c);
    const struct node *node = conf_check_first(c, "routes");
    for (size_t i = 0; i < c->conf->nroutes && node != NULL; i++, node = node->next) {
        check_strip_prefix(c, &c->conf->routes[i], node);
        check_websocket(c, &c->conf->routes[i], node);
    }
    node = conf_check_first(c, "backends");
    for (size_t i = 0; i < c->conf->nbackends && node != NULL; i++, node = node->next) {
        check_warn_after(c, &c->conf->backends[i], node);
        check_memory_limits(c, &c->conf->backends[i], node);
    }
}
