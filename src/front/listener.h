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
#include <sys/types.h>

#include "upstream/h2o_api.h"

#include "base/heap.h"

struct conn;
struct front_thread;
struct sockets_entry;

struct listener {
    char *name; /* for messages */
    struct front_thread *thread;
    bool is_admin, proxy_protocol;
    bool paused;
    bool retired;            /* goes with its last connection */
    unsigned conns;          /* that it accepted and that are still there: they use `accept` */
    ino_t socket;            /* as in struct sockets_entry */
    h2o_socket_t *sock;      /* NULL: closed */
    h2o_accept_ctx_t accept; /* its ssl_ctx: a reference */
    struct deadline resume;  /* ends a pause, whatever else might */
};

/* On `thread`; takes the descriptor that the entry has for it. */
struct listener *listener_open(struct front_thread *thread, struct sockets_entry *entry);
/* Does it listen there, in the same way but for its certificates? */
bool listener_is(const struct listener *listener, const struct sockets_entry *entry);
/* It is so: its next connections are made with the entry's certificates. */
void listener_renew(struct listener *listener, const struct sockets_entry *entry);
/* Accepts no more. */
void listener_close(struct listener *listener);
/* Accepts who waits, and then no more; frees it with the last of its connections, perhaps at once. */
void listener_retire(struct listener *listener);
/* A connection of it comes; one goes, after which it may be gone as well. */
void listener_enter(struct listener *listener);
void listener_leave(struct listener *listener);
/* A listener of admin connections that others accept. It stays. */
void listener_open_unbound(struct listener *listener, struct front_thread *thread);
/* Serves a connected socket as if `listener`, one without a socket, had accepted it; takes fd. Refused when the places for
 * admin connections are taken. */
void listener_take(struct listener *listener, int fd);
/* A connection has gone: accept again if that was what the listeners of its kind were waiting for. */
void listener_room(struct front_thread *thread, bool is_admin);
/* Frees what waiting for a PROXY line took; the connection is going. NULL is fine. */
void listener_forget_proxy_line(struct conn *c);

#endif
