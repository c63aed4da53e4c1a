/* SPDX-License-Identifier: MIT
 *
 * serve: one thread's end of the native protocol (wire/frame.h): requests of one connection, one after the other, run
 * by a module, with blocking reads and writes. A typical call costs two system calls: one read, one write. Belongs to
 * one host thread, as do all its buffers, which it keeps from call to call.
 */
#ifndef BULKHEAD_HANDLER_SERVE_H
#define BULKHEAD_HANDLER_SERVE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "handler/module.h"

/* A request body larger than this costs the connection: it is held in memory here. */
#define SERVE_BODY_MAX (1024u * 1024 * 1024)

struct serve;

/* Borrows both for its life. stopping: once true, the end of the connection's input no longer means that the client
 * left: it is the host that has shut it down to end this thread after its call. */
struct serve *serve_create(struct module *m, const atomic_bool *stopping);
/* Serves until the peer closes, breaks the protocol or stops reading. fd is borrowed and must be blocking. What wakes
 * it when nobody answers: the end of the peer (its process or its deadline closes the connection), or a shutdown(2) of
 * fd. */
void serve_connection(struct serve *s, int fd);
void serve_free(struct serve **s);

#endif
