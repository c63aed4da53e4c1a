/* SPDX-License-Identifier: MIT
 *
 * exchange: the life of one HTTP call, from the library's request to its last byte and its log line. exchange.c reads
 * top to bottom: door → route → gate → executor → outcome → release. Loop thread.
 */
#ifndef BULKHEAD_FRONT_EXCHANGE_H
#define BULKHEAD_FRONT_EXCHANGE_H

#include "upstream/h2o_api.h"

struct front_thread;

/* h2o_handler_t.on_req of the only handler of client listeners; always returns 0 */
int exchange_on_request(h2o_handler_t *self, h2o_req_t *req);
/* the same for the admin listener: /healthz /readyz /status /ws */
int admin_on_request(h2o_handler_t *self, h2o_req_t *req);
/* Once per host, before the contexts exist: requests that the library refuses by itself never reach a handler; this
 * gives their answers our form and their log line. */
void exchange_register_fallback(h2o_hostconf_t *host);
/* per loop thread, after the context exists: departure watcher and the like */
void exchange_thread_init(struct front_thread *thread);
/* every turn of the loop, after h2o_evloop_run */
void exchange_turn(struct front_thread *thread);
/* The front's status page as JSON, for the admin listener and the control socket. Any thread. */
struct buf;
struct generation;
void status_json(struct generation *g, struct buf *out);

#endif
