/* SPDX-License-Identifier: MIT
 *
 * setup: what all loop threads share and nobody changes while they serve: the conf's listeners with their descriptors
 * and TLS contexts, the library's own configuration, the trusted proxies, and the limits on connections. Built by the
 * main thread before the threads start. The library's configuration is minimal on purpose (one host, one path, one
 * handler of ours), because it cannot be changed under live connections; routes and backends are in the generation,
 * which can.
 */
#ifndef BULKHEAD_FRONT_SETUP_H
#define BULKHEAD_FRONT_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/h2o_api.h"

struct cidr;
struct conf;
struct conf_listener;

/* Each kind of listener has a library configuration, and a context of it on each loop, of its own. */
enum setup_kind {
    SETUP_KIND_CLIENT,       /* HTTP/1 only */
    SETUP_KIND_CLIENT_HTTP2, /* both, also without TLS (prior knowledge) */
    SETUP_KIND_ADMIN,
    SETUP_KIND_COUNT
};

struct setup_listener {
    const struct conf_listener *conf;
    enum setup_kind kind;
    int fd;       /* listening; owned; -1 once it is closed */
    SSL_CTX *tls; /* NULL: clear text; owned */
};

struct setup {
    const struct conf *conf;
    struct setup_listener *listeners;
    size_t nlisteners;
    h2o_globalconf_t *library[SETUP_KIND_COUNT]; /* NULL: no listener of this kind */
    struct cidr *trusted;
    size_t ntrusted;
    unsigned connections, admin_connections; /* at once, in this process */
};

/* Borrows conf for its life. fds: parallel to conf->listeners, then, at conf->nlisteners, the admin listener's (-1:
 * none); taken when this succeeds. NULL with a message otherwise. Also sets what is process-wide: the guard's limits,
 * where bodies are spooled. */
struct setup *setup_create(const struct conf *conf, const int *fds, char *error, size_t error_size);

/* Once every loop has its own copies of the listening sockets: an address is free when they have closed them. */
void setup_close_sockets(struct setup *setup);

#endif
