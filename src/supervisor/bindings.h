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

struct bindings {
    const struct conf *conf;    /* borrowed */
    struct endpoint *listeners; /* owned; parallel to conf.listeners */
    struct endpoint admin;      /* ENDPOINT_NONE when the conf has none */
};

/* false with words; bindings_close is fine then too. */
bool bindings_open(struct bindings *b, const struct conf *conf, struct activation *activation, char *error_r,
                   size_t error_size);
/* Idempotent. The Unix sockets' files go too. */
void bindings_close(struct bindings *b);
/* only the files, for the guardian */
void bindings_remove_files(struct bindings *b);
/* "127.0.0.1:8080, unix:/run/x.sock": as bound, for the log */
void bindings_describe(const struct bindings *b, char *out, size_t size);

/* where this socket listens, as a conf would say it */
void bindings_address(int fd, char *out, size_t size);

#endif
