/* SPDX-License-Identifier: MIT
 *
 * handover: a conf as the supervisor hands it over, in several messages: its text, the ids of its backends, its
 * listening sockets. Collected here by the main thread until it is whole, and then made into what serves: a generation
 * and sockets. Knows nothing of what is in force.
 */
#ifndef BULKHEAD_FRONT_HANDOVER_H
#define BULKHEAD_FRONT_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct handover;
struct link_message;

enum handover_state {
    HANDOVER_MORE,  /* to come */
    HANDOVER_WHOLE, /* WIRE_CONF_END has come */
    HANDOVER_BAD    /* it breaks the protocol */
};

/* One message, WIRE_CONF of which is the first and begins it; takes what descriptors it needs. *error: static words. */
enum handover_state handover_take(struct handover **h, struct link_message *message, const char **error);
/* Closes what is still in it. NULL is fine. */
void handover_free(struct handover **h);

uint32_t handover_generation(const struct handover *h);
/* Of one that is whole, off the loops. NULL with a message. Owned. */
struct conf *handover_conf(struct handover *h, char *error, size_t error_size);
/* The sockets, as sockets_create takes them for this conf; stay the handover's. */
const int *handover_sockets(struct handover *h, const struct conf *conf);
/* Parallel to conf->backends. NULL: one of them has no id. */
const uint32_t *handover_backends(const struct handover *h, const struct conf *conf);

#endif
