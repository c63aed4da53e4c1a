/* SPDX-License-Identifier: MIT
 *
 * bindings: the listening sockets of a conf, all bound before anything is started and kept open while fronts come and
 * go. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_BINDINGS_H
#define BULKHEAD_SUPERVISOR_BINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/endpoint.h"

struct conf;
struct activation;
struct notify;

struct bindings {
    const struct conf *conf;    /* borrowed */
    size_t nlisteners;          /* the conf's */
    struct endpoint *listeners; /* owned; parallel to conf.listeners */
    struct endpoint admin;      /* ENDPOINT_NONE when the conf has none */
};

/* Sockets that the service manager has kept for these addresses are taken, others of its keeping given up. false with
 * words; bindings_close is fine then too. */
bool bindings_open(struct bindings *b, const struct conf *conf, struct activation *activation, struct notify *notify,
                   char *error_r, size_t error_size);
/* The sockets of the next conf: those of `current` whose addresses it has, which go on, and new ones. bindings_leave ends
 * the one or the other of the two. false with words; bindings_leave(next, current) is fine then too. */
bool bindings_open_beside(struct bindings *next, const struct conf *conf, const struct bindings *current, char *error_r,
                          size_t error_size);
/* Closes what `b` has and `other` has not; notify: where it may be kept, NULL: it is not yet. */
void bindings_leave(struct bindings *b, const struct bindings *other, struct notify *notify);
/* has the service manager keep them for the next start (supervisor/store.h) */
void bindings_keep(const struct bindings *b, struct notify *notify);
/* Idempotent. The Unix sockets' files go too. */
void bindings_close(struct bindings *b);
/* only the files, for the guardian */
void bindings_remove_files(struct bindings *b);
/* "127.0.0.1:8080, unix:/run/x.sock": as bound, for the log */
void bindings_describe(const struct bindings *b, char *out, size_t size);

#endif
