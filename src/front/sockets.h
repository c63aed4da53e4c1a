/* SPDX-License-Identifier: MIT
 *
 * sockets: the listening sockets of one conf, as the loop threads are to take them over: each with its TLS context, and
 * with a descriptor for each loop. Two confs may have a socket in common; it is the socket that tells, not the
 * descriptor. Built off the loops; while they take theirs, each touches its own descriptors only.
 */
#ifndef BULKHEAD_FRONT_SOCKETS_H
#define BULKHEAD_FRONT_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "front/setup.h"

struct conf;

struct sockets_entry {
    char *name; /* as configured, for messages */
    enum setup_kind kind;
    bool proxy_protocol;
    ino_t socket; /* its number in the kernel, which no other open socket has */
    SSL_CTX *tls; /* NULL: clear text; owned */
    int *fds;     /* by loop; -1: taken */
};

struct sockets {
    struct sockets_entry *entries;
    size_t count;
    unsigned loops;
};

/* fds: parallel to conf->listeners, then, at conf->nlisteners, the admin listener's; borrowed. NULL with a message:
 * a certificate cannot be used, there are no descriptors left, a socket is missing. */
struct sockets *sockets_create(const struct conf *conf, const int *fds, unsigned loops, char *error, size_t error_size);
/* Before the loops take them: what connections inherit from the sockets, as this conf has it. */
void sockets_set_options(const struct sockets *sockets, const struct conf *conf);
/* What nobody has taken is closed. */
void sockets_free(struct sockets **sockets);

#endif
