/* SPDX-License-Identifier: MIT
 *
 * notify: what the service manager that started this process is told (sd_notify(3)): that it serves, in one line what
 * it is doing, that it is alive, that it stops and what time that takes, and which listening sockets are to be kept for
 * the next start. Its own environment says whether there is one; without one every function does nothing (n is NULL).
 *
 * Never waits, as sd_notify(3) does while the manager's queue is full: messages are kept in order until there is room.
 * Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_NOTIFY_H
#define BULKHEAD_SUPERVISOR_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct ev_loop;
struct notify;

/* Both from the loop, and out of notify_changed. */
struct notify_source {
    void (*put_status)(void *arg, struct buf *out); /* one line for a human; what is not printable is escaped later */
    bool (*is_alive)(void *arg);                    /* false: the watchdog gets nothing now */
};

/* NULL when nobody is to be told. source and arg: borrowed until notify_stop. */
struct notify *notify_start(struct ev_loop *loop, const struct notify_source *source, void *arg);
/* nulls *n; what has not been taken by then is dropped */
void notify_stop(struct notify **n);
/* how often the manager wants to hear that this process is alive; 0: never */
int64_t notify_watchdog_us(const struct notify *n);
/* The start, or the reload, is over. */
void notify_ready(struct notify *n);
/* A reload has begun; notify_ready ends it, whatever came of it. */
void notify_reloading(struct notify *n);
/* The status line may have become another; at most one a second is sent, the last one always. */
void notify_changed(struct notify *n);
/* The stop has begun. */
void notify_stopping(struct notify *n);
/* The start or stop that is under way may take that long from now, whatever the manager's own limit. */
void notify_extend(struct notify *n, int64_t within_us);
/* fd, which stays the caller's, is to be handed over at the next start under that name (sd_listen_fds(3)): at most 255
 * printable ASCII characters without ':'. One that is kept already is not kept twice. */
void notify_keep(struct notify *n, const char *name, int fd);
/* whatever is kept under that name is to be forgotten */
void notify_forget(struct notify *n, const char *name);

#endif
