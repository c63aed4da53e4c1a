/* SPDX-License-Identifier: MIT
 *
 * store: listening sockets that the service manager keeps while bulkhead is restarted (FDSTORE=1 of sd_notify(3)), so
 * that clients who come in between wait instead of being refused. They come back among those of socket activation,
 * under names that follow from the address. TCP only: the file of a Unix socket would have to be kept with it; a socket
 * unit does that. Boot. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_STORE_H
#define BULKHEAD_SUPERVISOR_STORE_H

#include <stdbool.h>

#include "supervisor/endpoint.h"

struct activation;
struct conf_listener;
struct notify;

/* The socket that was kept for this listener, as if it had just been opened; false: there is none that fits. */
bool store_take(struct endpoint *e, const struct conf_listener *l, struct activation *activation);
/* Gives up what was kept and has not been taken. Their addresses are free when this returns. */
void store_discard(struct activation *activation, struct notify *notify);
/* Nobody is to wait there any more: refused from now on, and not kept; no-op for what was not to be kept */
void store_forget(const struct endpoint *e, const struct conf_listener *l, struct notify *notify);
/* no-op for what is not to be kept */
void store_keep(const struct endpoint *e, const struct conf_listener *l, struct notify *notify);

#endif
