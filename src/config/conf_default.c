/* SPDX-License-Identifier: MIT
 *
 * conf_default: see conf_default.h.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "config/conf.h"
#include "config/conf_default.h"
#include "config/conf_read.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/paths.h"
#include "config/source.h"
#include "config/units.h"

#define SOCKET_NAME "control.sock"
#define WARN_AFTER  (5 * UNITS_S)
#define TUNNEL_IDLE (5 * UNITS_M)
#define QUEUE_MAX   ((unsigned)keys_find(&keys_backend, "queue")->max)

/* an absolute file name in the environment; of a list separated by ':' the first */
static const char *environment_path(struct region *region, const char *variable)
{
    const char *value = getenv(variable);
    if (value == NULL || value[0] != '/' || !utf8_valid(value, strlen(value)))
        return NULL;
    return region_strdup(region, (struct str){(char *)value, strcspn(value, ":")});
}

const char *conf_default_control(struct region *region)
{
    const char *runtime = environment_path(region, "RUNTIME_DIRECTORY");
    if (runtime != NULL)
        return region_printf(region, "%s/" SOCKET_NAME, runtime);
    if (geteuid() == 0)
        return "/run/bulkhead/" SOCKET_NAME;
    const char *of_user = environment_path(region, "XDG_RUNTIME_DIR");
    if (of_user != NULL)
        return region_printf(region, "%s/bulkhead/" SOCKET_NAME, of_user);
    return region_printf(region, "/tmp/bulkhead-%u/" SOCKET_NAME, (unsigned)geteuid());
}

static const char *directory_of(struct region *region, const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash == NULL || slash == file ? 1 : (size_t)(slash - file);
    return region_strdup(region, (struct str){(char *)file, len});
}

static void default_directories(struct conf *conf, struct region *region)
{
    if (conf->control == NULL)
        conf->control = conf_default_control(region);
    if (conf->runtime_directory == NULL)
        conf->runtime_directory = directory_of(region, conf->control);
    if (conf->spool_directory == NULL)
        conf->spool_directory = environment_path(region, "TMPDIR");
    if (conf->spool_directory == NULL)
        conf->spool_directory = "/var/tmp";
}

static unsigned online_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 1024 ? 1024 : (unsigned)n;
}

static enum conf_what what_of(const struct conf_backend *backend)
{
    if (backend->command != NULL)
        return CONF_WHAT_COMMAND;
    if (backend->module != NULL)
        return CONF_WHAT_MODULE;
    return backend->cgi != NULL ? CONF_WHAT_CGI : CONF_WHAT_PROXY;
}

static void default_backend(struct conf_backend *backend, const char *directory)
{
    backend->what = what_of(backend);
    if (backend->workers == CONF_READ_UNSET)
        backend->workers = online_cpus();
    if (backend->run == CONF_RUN_THREADS)
        backend->limit = backend->threads;
    else if (backend->run == CONF_RUN_WORKERS)
        backend->limit = backend->workers * backend->concurrency;
    if (backend->queue == CONF_READ_UNSET)
        backend->queue = backend->limit < QUEUE_MAX / 10 ? 10 * backend->limit : QUEUE_MAX;
    if (backend->warn_after < 0)
        backend->warn_after = backend->timeout < WARN_AFTER ? backend->timeout : WARN_AFTER;
    if (backend->directory == NULL && backend->run != CONF_RUN_LOOP)
        backend->directory = directory;
}

static void default_listener(struct conf_listener *listener)
{
    if (listener->systemd != NULL && listener->bind == NULL)
        listener->kind = CONF_BIND_SYSTEMD;
}

/* the key that is there says what serves the route; conf_check refuses none and several */
static enum conf_route_action action_of(const struct node *node)
{
    for (unsigned i = 0; i < CONF_ROUTE_COUNT; i++)
        if (node->kind == NODE_OBJECT && node_member(node, keys_route.one_of[i]) != NULL)
            return (enum conf_route_action)i;
    return CONF_ROUTE_BACKEND;
}

/* "none" means none where it stands */
static void default_websocket(struct conf_websocket *websocket, const struct node *route)
{
    const struct node *node = route->kind == NODE_OBJECT ? node_member(route, "websocket") : NULL;
    bool is_given = node != NULL && node->kind == NODE_OBJECT && node_member(node, "idle_timeout") != NULL;
    if (websocket->mode == CONF_WEBSOCKET_TUNNEL && !is_given)
        websocket->idle_timeout = TUNNEL_IDLE;
}

/* most routes are in the file of the one before */
static void note_file(struct conf *conf, size_t i, const char *name, struct region *region)
{
    bool same = i != 0 && strcmp(conf->routes[i - 1].file, name) == 0;
    conf->routes[i].file = same ? conf->routes[i - 1].file : region_strdup(region, str_of(name));
}

static void default_name(struct conf_route *route, struct region *region)
{
    if (route->name != NULL)
        return;
    const char *slash = strrchr(route->file, '/');
    route->name = region_printf(region, "%s:%u", slash != NULL ? slash + 1 : route->file, route->line);
}

void conf_default(struct conf *conf, struct node *root, struct region *region)
{
    default_directories(conf, region);
    if (conf->admin != NULL)
        default_listener(conf->admin);
    for (size_t i = 0; i < conf->nlisteners; i++)
        default_listener(&conf->listeners[i]);
    const char *directory = region_strdup(region, str_of(root->source->directory));
    for (size_t i = 0; i < conf->nbackends; i++)
        default_backend(&conf->backends[i], directory);
    const struct node *node = conf->nroutes == 0 ? NULL : node_member(root, "routes")->first;
    for (size_t i = 0; i < conf->nroutes && node != NULL; i++, node = node->next) {
        conf->routes[i].action = action_of(node);
        default_websocket(&conf->routes[i].websocket, node);
        conf->routes[i].line = source_line(node->source, node->at);
        note_file(conf, i, node->source->name, region);
        default_name(&conf->routes[i], region);
    }
}
