/* SPDX-License-Identifier: MIT
 *
 * dial: opens a connection to a backend without waiting for it, and knows which failures pass by themselves (connect(2):
 * a Unix socket whose backlog is full refuses at once with EAGAIN). Who waits, and for how long, is the caller's. Any
 * thread.
 */
#ifndef BULKHEAD_UPSTREAM_DIAL_H
#define BULKHEAD_UPSTREAM_DIAL_H

#include <stdbool.h>
#include <sys/socket.h>

/* after a failure that passes: first and longest pause before the next attempt, doubled in between, and the bound of all
 * attempts where the configuration has none */
#define DIAL_PAUSE_MIN_US 1000
#define DIAL_PAUSE_MAX_US 16000
#define DIAL_WAIT_US      5000000

/* A non-blocking, close-on-exec socket whose connection is made, or (*pending_r) under way: it is writable when that is
 * over. -1 with errno. */
int dial_open(const struct sockaddr *address, socklen_t address_len, bool *pending_r);
/* how a connection that was under way ended: 0, or an errno */
int dial_result(int fd);
/* a full backlog, a lack of descriptors: try again after a pause */
bool dial_error_passes(int error);

#endif
