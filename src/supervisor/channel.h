/* SPDX-License-Identifier: MIT
 *
 * channel: the supervisor's end of the socket pair to the front: messages of wire/control.h, never waiting: what the
 * front does not take at once is kept in order, up to a bound; past it, or on anything malformed, the channel is
 * broken, and its owner ends that front. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_CHANNEL_H
#define BULKHEAD_SUPERVISOR_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "wire/control.h"

#define CHANNEL_MESSAGES_MAX 16384
#define CHANNEL_BYTES_MAX    (8 * 1024 * 1024)

struct channel;

/* From the loop only. Descriptors that the callee wants to keep it takes by setting them to -1; the rest is closed
 * behind it. It may close the channel. */
typedef void (*channel_message_fn)(struct channel *c, const struct wire_control *m, int *fds, size_t nfds);
/* From the loop only, once: nothing can be sent or received any more. why: borrowed; empty when the other end was just
 * closed, as by a process that ends. */
typedef void (*channel_broken_fn)(struct channel *c, const char *why);

struct channel_entry;

struct channel {
    struct ev_loop *loop;
    int fd; /* -1: closed */
    ev_io readable, writable;
    ev_timer broken; /* so that a sender is not called back out of its own call */
    const char *why;
    struct channel_entry *head, **tail;
    size_t queued, queued_bytes;
    channel_message_fn on_message;
    channel_broken_fn on_broken;
};

void channel_init(struct channel *c, struct ev_loop *loop, channel_message_fn on_message, channel_broken_fn on_broken);
/* takes fd, one end of a SOCK_SEQPACKET pair */
void channel_open(struct channel *c, int fd);
/* idempotent; what is queued is dropped */
void channel_close(struct channel *c);
/* fd: -1 or one to pass, which stays the caller's. A closed or broken channel swallows it. */
void channel_send(struct channel *c, const struct wire_control *m, int fd);

#endif
