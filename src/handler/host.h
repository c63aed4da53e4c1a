/* SPDX-License-Identifier: MIT
 *
 * host: N threads that serve the native protocol (wire/frame.h), each one connection at a time: accept (or take a
 * connection handed to it), read a request, run the module, write the answer, again. A thread that waits holds no lock and no queue: the
 * kernel wakes exactly the one whose connection has a request. bulkhead-worker is this around a listening socket; the
 * front runs it in-process for `in_front` thread backends.
 */
#ifndef BULKHEAD_HANDLER_HOST_H
#define BULKHEAD_HANDLER_HOST_H

#include <stdbool.h>

#include "handler/module.h"

struct host;

/* listen_fd: each thread accepts from it; -1: connections come through host_take. Borrows the module. */
struct host *host_start(struct module *m, unsigned threads, int listen_fd);
/* Hands a connected stream socket to an idle thread; takes fd. false when all threads hold a connection. Any thread. */
bool host_take(struct host *h, int fd);
/* blocks until every thread has ended (listening socket closed or fatal error): bulkhead-worker's main thread */
void host_join(struct host **h);

#endif
