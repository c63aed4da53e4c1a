/* SPDX-License-Identifier: MIT
 *
 * loader: reads a conf in a process of its own, because that may take as long as the resolver or a file system likes,
 * and hands it back as text. Bounded by time. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_LOADER_H
#define BULKHEAD_SUPERVISOR_LOADER_H

#include "base/str.h"

struct conf;
struct ev_loop;
struct loader;

/* From the loop, once, unless loader_stop came first; the loader is gone. conf: owned by the callee; NULL: there is none.
 * words: problems, or warnings, a line each; borrowed. */
typedef void (*loader_done_fn)(void *arg, struct conf *conf, struct str words);

/* What may not differ from `running` is a problem (config/conf_change.h). NULL with errno. */
struct loader *loader_start(struct ev_loop *loop, const struct conf *running, loader_done_fn done, void *arg);
/* Ends it. Idempotent. */
void loader_stop(struct loader **loader);

#endif
