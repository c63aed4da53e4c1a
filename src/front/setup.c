/* SPDX-License-Identifier: MIT
 *
 * setup: see setup.h.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/setup.h"

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/cidr.h"
#include "front/exchange.h"
#include "front/guard.h"
#include "front/tls.h"

/* added to the sum of our own limits where the library has a timer for the same: it is the second line, not the first
 */
#define LIBRARY_SLACK_US (60 * INT64_C(1000000))
/* The kernel ends a connection whose peer acknowledges nothing. The sweep is to be first, because it counts what it
 * ends; the kernel's limit is for what the library has closed and what is still on its way. */
#define KERNEL_SLACK_US (5 * INT64_C(1000000))
/* idle time after which the kernel probes whether a silent client is still there */
#define KEEPALIVE_IDLE_S      60
#define ADMIN_CONNECTIONS_MIN 16
#define ADMIN_CONNECTIONS_MAX 256

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

/* 80 % of the descriptors for clients, the rest for backends, files and the admin listener, which has a small share of
 * its own so that it answers when clients have used up theirs. */
static void set_connection_limits(struct setup *setup)
{
    struct rlimit files;
    unsigned descriptors = 1024;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < INT32_MAX)
        descriptors = (unsigned)files.rlim_cur;
    unsigned share = descriptors / 32;
    setup->admin_connections = share < ADMIN_CONNECTIONS_MIN   ? ADMIN_CONNECTIONS_MIN
                               : share > ADMIN_CONNECTIONS_MAX ? ADMIN_CONNECTIONS_MAX
                                                               : share;
    unsigned most = (unsigned)((uint64_t)descriptors * 8 / 10);
    int64_t wanted = setup->conf->limits.connections;
    setup->connections = wanted > 0 && wanted < most ? (unsigned)wanted : most;
}

/* Request bodies are collected in the library's socket buffers, whose capacity doubles from 8 KiB; one that would get
 * to `threshold` moves to an unlinked file. So at most body_memory bytes of a body, rounded up to a power of two, are
 * on the heap. */
static bool set_spool(const struct conf *conf, char *error, size_t error_size)
{
    static char template[4096];
    size_t threshold = 8192;
    int len = snprintf(template, sizeof template, "%s/bulkhead-body-XXXXXX", conf->spool_directory);
    if (len < 0 || (size_t)len >= sizeof template || access(conf->spool_directory, W_OK | X_OK) != 0) {
        snprintf(error, error_size, "spool_directory %s: %s", conf->spool_directory,
                 (size_t)len >= sizeof template ? "name too long" : strerror(errno));
        return false;
    }
    while (threshold < (size_t)conf->limits.body_memory)
        threshold *= 2;
    h2o_socket_buffer_mmap_settings.threshold = threshold * 2;
    strcpy(h2o_socket_buffer_mmap_settings.fn_template, template);
    return true;
}

static bool set_trusted(struct setup *setup, char *error, size_t error_size)
{
    const struct conf *conf = setup->conf;
    setup->trusted = mem_alloc(conf->ntrusted_proxies * sizeof *setup->trusted);
    for (size_t i = 0; i != conf->ntrusted_proxies; ++i) {
        if (!cidr_parse(conf->trusted_proxies[i], &setup->trusted[i])) {
            snprintf(error, error_size, "trusted_proxies: \"%s\" is neither an address nor a CIDR range",
                     conf->trusted_proxies[i]);
            return false;
        }
    }
    setup->ntrusted = conf->ntrusted_proxies;
    return true;
}

/* ---- the library ------------------------------------------------------------------------------------------------ */

static uint64_t to_ms(int64_t us)
{
    return us < 0 ? UINT64_C(365) * 86400 * 1000 : (uint64_t)(us + 999) / 1000;
}

static void set_library_limits(h2o_globalconf_t *library, const struct conf *conf, enum setup_kind kind)
{
    const struct conf_limits *limits = &conf->limits;
    library->server_name = h2o_iovec_init(H2O_STRLIT("bulkhead"));
    /* one more than the guard's, so that the refusal and its words are ours */
    library->max_request_entity_size = (size_t)greatest_body(conf) + 1;
    library->handshake_timeout = to_ms(limits->tls_handshake_timeout);
    library->http1.upgrade_to_http2 = kind == SETUP_KIND_CLIENT_HTTP2;
    library->http1.req_timeout =
        to_ms(limits->idle_timeout + limits->head_timeout + limits->body_timeout + LIBRARY_SLACK_US);
    library->http2.idle_timeout = to_ms(limits->idle_timeout);
    library->http2.max_concurrent_requests_per_connection = (size_t)limits->http2_handlers;
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

/* ---- listeners -------------------------------------------------------------------------------------------------- */

/* Accepted sockets inherit these from the listening one, which saves their system calls on every connection. */
static void set_socket_options(int fd, const struct conf *conf)
{
    int domain = 0, on = 1, idle_s = KEEPALIVE_IDLE_S;
    socklen_t len = sizeof domain;
    unsigned unacknowledged_ms = (unsigned)to_ms(conf->limits.write_timeout + KERNEL_SLACK_US);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || (domain != AF_INET && domain != AF_INET6))
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    if (conf->limits.write_timeout > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static bool add_listener(struct setup *setup, const struct conf_listener *conf, bool is_admin, int fd, char *error,
                         size_t error_size)
{
    const char *name = conf->bind != NULL ? conf->bind : conf->systemd;
    struct setup_listener *listener = &setup->listeners[setup->nlisteners];
    if (fd == -1) {
        snprintf(error, error_size, "listener %s: no socket was handed over", name);
        return false;
    }
    *listener = (struct setup_listener){.conf = conf, .fd = fd};
    listener->kind = is_admin ? SETUP_KIND_ADMIN : conf->http2 ? SETUP_KIND_CLIENT_HTTP2 : SETUP_KIND_CLIENT;
    if (conf->ncertificates != 0) {
        char why[512];
        listener->tls = tls_context_create(conf, why, sizeof why);
        if (listener->tls == NULL) {
            snprintf(error, error_size, "listener %s: %s", name, why);
            return false;
        }
    }
    if (setup->library[listener->kind] == NULL)
        setup->library[listener->kind] = create_library(setup->conf, listener->kind);
    set_socket_options(fd, setup->conf);
    ++setup->nlisteners;
    return true;
}

static bool add_listeners(struct setup *setup, const int *fds, char *error, size_t error_size)
{
    const struct conf *conf = setup->conf;
    setup->listeners = mem_alloc((conf->nlisteners + 1) * sizeof *setup->listeners);
    for (size_t i = 0; i != conf->nlisteners; ++i) {
        if (!add_listener(setup, &conf->listeners[i], false, fds[i], error, error_size))
            return false;
    }
    if (conf->admin != NULL && !add_listener(setup, conf->admin, true, fds[conf->nlisteners], error, error_size))
        return false;
    /* every loop has contexts of these kinds, listener or not: the first is the one that the rooms below use, and admin
     * clients also come by the control socket */
    if (setup->library[SETUP_KIND_CLIENT] == NULL)
        setup->library[SETUP_KIND_CLIENT] = create_library(conf, SETUP_KIND_CLIENT);
    if (setup->library[SETUP_KIND_ADMIN] == NULL)
        setup->library[SETUP_KIND_ADMIN] = create_library(conf, SETUP_KIND_ADMIN);
    return true;
}

/* Of a set-up that failed; the descriptors stay the caller's. */
static void discard(struct setup *setup)
{
    for (size_t i = 0; i != setup->nlisteners; ++i)
        SSL_CTX_free(setup->listeners[i].tls);
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind) {
        if (setup->library[kind] != NULL)
            h2o_config_dispose(setup->library[kind]);
        mem_free(&setup->library[kind]);
    }
    mem_free(&setup->listeners);
    mem_free(&setup->trusted);
    mem_free(&setup);
}

struct setup *setup_create(const struct conf *conf, const int *fds, char *error, size_t error_size)
{
    struct setup *setup = mem_zalloc(sizeof *setup);
    setup->conf = conf;
    set_connection_limits(setup);
    if (!set_trusted(setup, error, error_size) || !set_spool(conf, error, error_size) ||
        !add_listeners(setup, fds, error, error_size)) {
        discard(setup);
        return NULL;
    }
    set_guard_limits(conf);
    return setup;
}

void setup_close_sockets(struct setup *setup)
{
    for (size_t i = 0; i != setup->nlisteners; ++i)
        fd_close(&setup->listeners[i].fd);
}
