/* SPDX-License-Identifier: MIT
 *
 * host: N threads that serve the native protocol (wire/frame.h), each one connection at a time: accept (or take a
 * connection handed to it), read a request, run the module, write the answer, again. A thread that waits holds no lock
 * and no queue: the kernel wakes exactly the one whose connection has a request. bulkhead-worker is this around a
 * listening socket; the front runs it in-process for `in_front` thread backends.
 */
#ifndef BULKHEAD_HANDLER_HOST_H
#define BULKHEAD_HANDLER_HOST_H

#include <stdbool.h>

#include "handler/module.h"

struct host;

/* listen_fd: each thread accepts from it when it holds no connection (borrowed; becomes non-blocking); -1: connections
 * come through host_take. Borrows the module. NULL with errno. */
struct host *host_start(struct module *m, unsigned threads, int listen_fd);
/* Hands a connected stream socket to an idle thread; takes fd when it returns true, and makes it blocking. false when
 * all threads hold a connection; fd stays the caller's. Any thread. */
bool host_take(struct host *h, int fd);
/* No more calls: threads end after their current call. Returns at once; async-signal-safe, any thread, any number of
 * times. */
void host_stop(struct host *h);
/* Waits until the host is to stop: host_stop was called, or every thread has ended since the listening socket is
 * unusable. */
void host_wait(struct host *h);
/* host_wait, then waits for every thread's end, and frees the host. A module that never returns holds it up for ever:
 * whoever cannot wait ends the process instead. */
void host_join(struct host **h);

#endif
