/* SPDX-License-Identifier: MIT
 *
 * guardian: sees to it that nothing outlives the supervisor, however that dies: a forked process that only waits for
 * the end of a socket of the supervisor's. It has the process group of every child in its book; at end of file it kills
 * them all, with what they have started, removes the sockets and the runtime directory, and goes. It holds nothing else
 * open. What it knows at its birth it has inherited in memory; children enter themselves (guardian_register), the
 * supervisor strikes them out. Should it die itself, another is forked, which inherits the book as it is. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_GUARDIAN_H
#define BULKHEAD_SUPERVISOR_GUARDIAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ev_loop;
struct guardian;

/* what is left to be done when nobody else can; runs in the guardian */
typedef void (*guardian_last_fn)(void *arg);

/* capacity: the most groups at a time. NULL with errno. */
struct guardian *guardian_start(struct ev_loop *loop, size_t capacity, guardian_last_fn last, void *arg);
/* How many more groups there may be */
size_t guardian_room(const struct guardian *g);
/* What `last` will look at is another now: one that knows takes the place of it. */
void guardian_renew(struct guardian *g);
/* Dismisses it without its doing anything: the caller has done all that there was to do, and is about to exit. */
void guardian_dismiss(struct guardian **g);

/* for spawn_fds; changes when a new guardian is started */
int guardian_socket(const struct guardian *g);
/* In a child, before it runs anything: enters its group. Async-signal-safe. */
void guardian_register(int sock, pid_t group);
/* In the supervisor: the group is in the book that the next guardian inherits. */
void guardian_add(struct guardian *g, pid_t group);
/* The group has been killed by the supervisor. */
void guardian_remove(struct guardian *g, pid_t group);
/* for tests and the status page */
pid_t guardian_pid(const struct guardian *g);
size_t guardian_count(const struct guardian *g);

#endif
