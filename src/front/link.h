/* SPDX-License-Identifier: MIT
 *
 * link: the front's end of the socketpair to its supervisor (wire/control.h). The main thread reads and obeys; any
 * thread may send. A send never blocks: what the socket does not take waits in a bounded queue. The end of the
 * socketpair, or a message that breaks the contract, ends the process at once: without a supervisor nobody would ever
 * stop it.
 */
#ifndef BULKHEAD_FRONT_LINK_H
#define BULKHEAD_FRONT_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fd.h"
#include "wire/control.h"

struct generation;
struct setup;
struct writer;

struct link_message {
    struct wire_control control; /* its text points into `bytes` */
    int fds[FD_PASS_MAX];        /* the receiver's to close */
    size_t nfds;
    char bytes[WIRE_CONTROL_MAX];
};

/* false: fd is not such a socket */
bool link_init(int fd);
/* Main thread: waits for the next message. */
void link_receive(struct link_message *message_r);
/* closes the descriptors of a message that nobody took (those made -1 were) */
void link_discard_fds(struct link_message *message);
/* Any thread. fd travels along when it is not -1, and is closed. */
void link_send(const struct wire_control *control, int fd);
/* Where lines go; borrowed. */
struct link_logs {
    struct writer *own, *access; /* access: NULL: none */
};
/* Main thread, from the moment that the loops serve: obeys until the end. Takes the generation. */
void link_run(struct setup *setup, struct generation *generation, const struct link_logs *logs)
    __attribute__((noreturn));

#endif
