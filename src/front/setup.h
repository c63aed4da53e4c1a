/* SPDX-License-Identifier: MIT
 *
 * setup: the library's own configuration, which all loop threads share for the life of the process, whatever conf is in
 * force. It is minimal on purpose (for each kind of listener one host, one path, one handler of ours), because it
 * cannot be changed under live connections; routes and backends are in the generation, listeners in the sockets, and
 * both can. The few limits that the library has beside ours follow the conf.
 */
#ifndef BULKHEAD_FRONT_SETUP_H
#define BULKHEAD_FRONT_SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/h2o_api.h"

struct conf;

/* Each kind of listener has a library configuration, and a context of it on each loop, of its own. */
enum setup_kind {
    SETUP_KIND_CLIENT,       /* HTTP/1 only */
    SETUP_KIND_CLIENT_HTTP2, /* both, also without TLS (prior knowledge) */
    SETUP_KIND_ADMIN,
    SETUP_KIND_COUNT
};

struct setup {
    h2o_globalconf_t *library[SETUP_KIND_COUNT];
};

/* Main thread, once. NULL with a message. Also sets what is process-wide: the guard's limits, where bodies are spooled. */
struct setup *setup_create(const struct conf *conf, char *error, size_t error_size);
/* Main thread: limits as this conf has them; requests that are being read may see some of them already. */
void setup_adapt(struct setup *setup, const struct conf *conf);
/* The loop thread of the context: its time limits as this conf has them. */
void setup_adapt_context(h2o_context_t *context, const struct conf *conf);

#endif
