/* SPDX-License-Identifier: MIT
 *
 * conf_check: see conf_check.h.
 */
#include "config.h"

#include <sys/un.h>

#include "config/conf_address.h"
#include "config/conf_check.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/problems.h"

#define SUN_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
/* the name of a worker's socket below runtime_directory, at its longest, but for the backend's name (at most 32) */
#define WORKER_SOCKET_REST strlen("/bulkhead-4194304-99/.1023.sock")
#define WORKER_SOCKET_NAME ((size_t)32)

struct node *conf_check_first(const struct check *c, const char *list)
{
    const struct node *node = node_member(c->root, list);
    return node == NULL ? NULL : node->first;
}

struct node *conf_check_good(const struct node *object, const char *key)
{
    struct node *member = object->kind == NODE_OBJECT ? node_member(object, key) : NULL;
    return member == NULL || member->bad ? NULL : member;
}

/* ---- keys that exclude each other ------------------------------------------------------------------------------- */

/* How many of the keys are there; *last_r is the last of them. */
static unsigned count_present(const struct node *object, const char *const *keys, struct node **last_r)
{
    unsigned present = 0;
    for (; *keys != NULL; keys++) {
        struct node *member = node_member(object, *keys);
        if (member == NULL)
            continue;
        *last_r = member;
        present++;
    }
    return present;
}

/* "command, module, cgi or proxy" */
static const char *alternatives(const struct check *c, const char *const *keys)
{
    const char *list = keys[0];
    for (size_t i = 1; keys[i] != NULL; i++)
        list = region_printf(c->problems->region, "%s%s%s", list, keys[i + 1] == NULL ? " or " : ", ", keys[i]);
    return list;
}

/* true when exactly one is there and it is good */
static bool check_one_of(const struct check *c, const struct key_object *type, struct node *node)
{
    struct node *last = NULL;
    unsigned present = count_present(node, type->one_of, &last);
    if (present == 0)
        problems_error(c->problems, node, "needs one of %s", alternatives(c, type->one_of));
    else if (present > 1)
        problems_key_error(c->problems, last, "a %s has only one of %s; remove the others", type->name,
                           alternatives(c, type->one_of));
    return present == 1 && !last->bad;
}

static void check_at_most_one(const struct check *c, const struct key_object *type, const struct node *node)
{
    struct node *last = NULL;
    if (count_present(node, type->at_most_one, &last) > 1)
        problems_key_error(c->problems, last, "a %s has at most one of %s; remove the others", type->name,
                           alternatives(c, type->at_most_one));
}

/* ---- keys that mean nothing in this kind of object -------------------------------------------------------------- */

struct kind_word {
    unsigned bit;
    const char *word;
};

static const struct kind_word backend_words[] = {{KEYS_LOOP, "run \"loop\""},
                                                 {KEYS_THREADS, "run \"threads\""},
                                                 {KEYS_WORKERS, "run \"workers\""},
                                                 {KEYS_COMMAND, "command"},
                                                 {KEYS_MODULE, "module"},
                                                 {KEYS_CGI, "cgi"},
                                                 {KEYS_PROXY, "proxy"},
                                                 {KEYS_FASTCGI, "protocol \"fastcgi\""},
                                                 {KEYS_HTTP, "proxy or protocol \"http\""},
                                                 {0, NULL}};
static const struct kind_word route_words[] = {{KEYS_REQUESTS, "ordinary requests (not WebSocket messages)"},
                                               {KEYS_BACKEND, "backend"},
                                               {KEYS_RESPOND, "respond"},
                                               {KEYS_REDIRECT, "redirect"},
                                               {KEYS_FILES, "files"},
                                               {0, NULL}};
static const struct kind_word listener_words[] = {
    {KEYS_TCP, "a TCP address"}, {KEYS_UNIX, "a Unix socket"}, {KEYS_SYSTEMD, "systemd"}, {0, NULL}};

static const struct kind_word websocket_words[] = {{KEYS_MESSAGES, "mode \"messages\""},
                                                   {KEYS_BRIDGE, "mode \"bridge\""},
                                                   {KEYS_TUNNEL, "mode \"tunnel\""},
                                                   {0, NULL}};

/* "workers or threads", of the group in which the key does not fit */
static void append_words(struct buf *out, const struct kind_word *words, unsigned bits)
{
    const char *separator = "";
    for (const struct kind_word *word = words; word->word != NULL; word++)
        if ((word->bit & bits) != 0) {
            buf_printf(out, "%s%s", separator, word->word);
            separator = " or ";
        }
}

static unsigned unfit_bits(const struct key *key, unsigned kind)
{
    unsigned low = key->fits & 0x0fu;
    return low != 0 && (low & kind) == 0 ? low : key->fits & ~0x0fu;
}

static void check_fits(const struct check *c, const struct key_object *type, struct node *node, const void *object,
                       const struct kind_word *words)
{
    unsigned kind = type->kind(object);
    for (struct node *member = node->first; member != NULL; member = member->next) {
        const struct key *key = keys_find(type, member->key);
        if (key == NULL || keys_fits(key, kind))
            continue;
        struct buf list = {0};
        append_words(&list, words, unfit_bits(key, kind));
        problems_key_error(c->problems, member, "goes with %s only; remove it", buf_z(&list));
        buf_free(&list);
    }
}

/* ---- listeners -------------------------------------------------------------------------------------------------- */

static void check_listener(const struct check *c, const struct conf_listener *listener, struct node *node)
{
    if (node->kind == NODE_OBJECT && check_one_of(c, &keys_listener, node))
        check_fits(c, &keys_listener, node, listener, listener_words);
}

static bool same_place(const struct conf_listener *a, const struct conf_listener *b)
{
    if (a->systemd != NULL && b->systemd != NULL)
        return strcmp(a->systemd, b->systemd) == 0;
    return a->bind != NULL && b->bind != NULL && conf_address_overlap(a, b);
}

static void check_overlap(const struct check *c, const struct conf_listener *listener, struct node *node,
                          size_t nothers)
{
    for (size_t i = 0; i < nothers; i++)
        if (same_place(listener, &c->conf->listeners[i])) {
            struct node *where = conf_check_good(node, "bind");
            problems_error(c->problems, where == NULL ? node : where,
                           "this address is taken by the listener \"%s\" already; give each one its own",
                           listener->bind == NULL ? listener->systemd : c->conf->listeners[i].bind);
            return;
        }
}

static void check_listeners(const struct check *c)
{
    const struct conf *conf = c->conf;
    struct node *node = conf_check_first(c, "listeners");
    for (size_t i = 0; i < conf->nlisteners && node != NULL; i++, node = node->next) {
        check_listener(c, &conf->listeners[i], node);
        check_overlap(c, &conf->listeners[i], node, i);
    }
    node = node_member(c->root, "admin");
    if (conf->admin == NULL || node == NULL)
        return;
    check_listener(c, conf->admin, node);
    check_overlap(c, conf->admin, node, conf->nlisteners);
}

/* ---- backends --------------------------------------------------------------------------------------------------- */

static bool check_backend_run(const struct check *c, const struct conf_backend *backend, struct node *node)
{
    static const struct {
        unsigned fits;
        const char *words;
    } runs[CONF_WHAT_COUNT] = {
        [CONF_WHAT_COMMAND] = {1u << CONF_RUN_WORKERS, "\"workers\""},
        [CONF_WHAT_MODULE] = {1u << CONF_RUN_LOOP | 1u << CONF_RUN_THREADS | 1u << CONF_RUN_WORKERS, ""},
        [CONF_WHAT_CGI] = {1u << CONF_RUN_THREADS, "\"threads\""},
        [CONF_WHAT_PROXY] = {1u << CONF_RUN_LOOP, "\"loop\""},
    };
    struct node *run = conf_check_good(node, "run");
    if (run == NULL)
        return false;
    if ((runs[backend->what].fits & 1u << backend->run) != 0)
        return true;
    problems_error(c->problems, run, "must be %s for a backend with %s (is %s)", runs[backend->what].words,
                   keys_backend.one_of[backend->what], node_describe(run, c->problems->region));
    return false;
}

static bool fits_socket(const struct check *c, const struct conf_backend *backend)
{
    size_t name = strlen(backend->name) < WORKER_SOCKET_NAME ? strlen(backend->name) : WORKER_SOCKET_NAME;
    return strlen(c->conf->runtime_directory) + name + WORKER_SOCKET_REST <= SUN_PATH_MAX;
}

static void check_backend_socket(const struct check *c, const struct conf_backend *backend, struct node *node)
{
    if (backend->run != CONF_RUN_LOOP && !fits_socket(c, backend))
        problems_error(c->problems, node,
                       "the path of its workers' sockets below \"%s\" would exceed the %zu bytes that a Unix socket "
                       "may have; choose a shorter runtime_directory or name",
                       c->conf->runtime_directory, SUN_PATH_MAX);
}

static void check_backends(const struct check *c)
{
    struct node *node = conf_check_first(c, "backends");
    for (size_t i = 0; i < c->conf->nbackends && node != NULL; i++, node = node->next) {
        const struct conf_backend *backend = &c->conf->backends[i];
        if (node->kind != NODE_OBJECT)
            continue;
        if (check_one_of(c, &keys_backend, node) && check_backend_run(c, backend, node))
            check_fits(c, &keys_backend, node, backend, backend_words);
        check_backend_socket(c, backend, node);
    }
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

static void check_route_redirect(const struct check *c, const struct conf_route *route, const struct node *node)
{
    const struct node *redirect = conf_check_good(node, "redirect");
    struct node *status = redirect == NULL ? NULL : conf_check_good(redirect, "status");
    int value = route->redirect.status;
    if (status != NULL && value > 303 && value < 307)
        problems_error(c->problems, status, "must be 301, 302, 303, 307 or 308 (is %d)", value);
}

/* A bridge or tunnel passes on a handshake, and then a connection: not a call. */
static void check_websocket_backend(const struct check *c, const struct conf_route *route, const struct node *node,
                                    struct node *mode)
{
    const struct node *name = conf_check_good(node, "backend");
    if (name == NULL || route->websocket.mode == CONF_WEBSOCKET_MESSAGES)
        return;
    const struct conf_backend *backend = &c->conf->backends[route->backend];
    if ((keys_backend.kind(backend) & KEYS_HTTP) == 0)
        problems_error(c->problems, mode,
                       "%s needs a backend that speaks HTTP itself, proxy or a command with protocol \"http\" (\"%s\" "
                       "has %s); choose \"messages\", which makes each message a call",
                       node_describe(mode, c->problems->region), backend->name,
                       backend->what == CONF_WHAT_COMMAND ? "protocol \"fastcgi\""
                                                          : keys_backend.one_of[backend->what]);
}

static void check_route_websocket(const struct check *c, const struct conf_route *route, const struct node *node)
{
    struct node *websocket = conf_check_good(node, "websocket");
    if (websocket == NULL || route->websocket.mode == CONF_WEBSOCKET_NONE)
        return;
    struct node *mode = websocket;
    if (websocket->kind == NODE_OBJECT) {
        check_fits(c, &keys_websocket, websocket, &route->websocket, websocket_words);
        mode = node_member(websocket, "mode");
    }
    check_websocket_backend(c, route, node, mode);
}

static void check_each_route(const struct check *c)
{
    struct node *node = conf_check_first(c, "routes");
    for (size_t i = 0; i < c->conf->nroutes && node != NULL; i++, node = node->next) {
        const struct conf_route *route = &c->conf->routes[i];
        if (node->kind != NODE_OBJECT)
            continue;
        if (check_one_of(c, &keys_route, node))
            check_fits(c, &keys_route, node, route, route_words);
        check_at_most_one(c, &keys_route, node);
        check_route_redirect(c, route, node);
        check_route_websocket(c, route, node);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static void check_control(const struct check *c)
{
    size_t len = strlen(c->conf->control);
    struct node *control = conf_check_good(c->root, "control");
    if (len > SUN_PATH_MAX)
        problems_error(c->problems, control == NULL ? c->root : control,
                       "the path of the control socket has %zu bytes, a Unix socket at most %zu; choose a shorter one",
                       len, SUN_PATH_MAX);
}

static void check_at_most(const struct check *c, const char *key, int64_t value, const char *other, int64_t bound)
{
    const struct node *limits = node_member(c->root, "limits");
    if (limits == NULL || value <= bound)
        return;
    struct node *node = conf_check_good(limits, key);
    if (node == NULL)
        node = conf_check_good(limits, other);
    if (node != NULL)
        problems_error(c->problems, node, "limits.%s must not exceed limits.%s (%lld against %lld)", key, other,
                       (long long)value, (long long)bound);
}

static void check_limits(const struct check *c)
{
    const struct conf_limits *limits = &c->conf->limits;
    check_at_most(c, "target_bytes", limits->target_bytes, "head_bytes", limits->head_bytes);
    check_at_most(c, "http2_handlers", limits->http2_handlers, "http2_streams", limits->http2_streams);
}

void conf_check(const struct check *c)
{
    check_listeners(c);
    check_backends(c);
    check_each_route(c);
    check_control(c);
    check_limits(c);
}
