/* SPDX-License-Identifier: MIT
 *
 * listener: a listening socket as one loop thread sees it. All threads (and, during a replacement, two fronts) accept
 * from the same socket, each through a descriptor of its own; who is late gets nothing. Accepts are bounded per turn.
 * Pauses: at the limit on connections until one of this thread's has gone, and for a moment when the process or the
 * system is out of descriptors. Loop thread.
 */
#ifndef BULKHEAD_FRONT_LISTENER_H
#define BULKHEAD_FRONT_LISTENER_H

#include <stdbool.h>

#include "upstream/h2o_api.h"

#include "base/heap.h"

struct conf_listener;
struct conn;
struct front_thread;
struct setup_listener;

struct listener {
    const struct conf_listener *conf;
    const char *name; /* for messages */
    struct front_thread *thread;
    bool is_admin;
    bool paused;
    h2o_socket_t *sock;      /* NULL: closed */
    h2o_accept_ctx_t accept; /* outlives its connections: never freed */
    struct deadline resume;  /* ends a pause, whatever else might */
};

/* On `thread`, from what the set-up holds. false: no descriptor for it (errno). */
bool listener_open(struct listener *listener, struct front_thread *thread, const struct setup_listener *setup);
void listener_close(struct listener *listener);
/* A listener of admin connections that others accept. */
void listener_open_unbound(struct listener *listener, struct front_thread *thread);
/* Serves a connected socket as if `listener`, one without a socket, had accepted it; takes fd. Refused when the places for
 * admin connections are taken. */
void listener_take(struct listener *listener, int fd);
/* A connection has gone: accept again if that was what the listeners of its kind were waiting for. */
void listener_room(struct front_thread *thread, bool is_admin);
/* Frees what waiting for a PROXY line took; the connection is going. NULL is fine. */
void listener_forget_proxy_line(struct conn *c);

#endif
