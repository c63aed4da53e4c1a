/* SPDX-License-Identifier: MIT
 *
 * departure: notices that an HTTP/1 client has left while its call waits or runs. The library does not read a
 * connection meanwhile, so nobody else would. A private epoll reports the peer's FIN or reset without touching the
 * bytes. Most calls end before it could matter, so a client is watched only after DEPARTURE_AFTER_US; until then its
 * call stands in a queue, which costs two pointers.
 *
 * A FIN counts as having left: a client that half-closes its connection behind a request (and is not answered within
 * DEPARTURE_AFTER_US) is not told from one that closed it. HTTP/2 connections are read all the time and need none of
 * this. Part of the exchange; loop thread.
 */
#ifndef BULKHEAD_FRONT_DEPARTURE_H
#define BULKHEAD_FRONT_DEPARTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define DEPARTURE_AFTER_US 2000

struct door;

struct departure {
    struct list young; /* on door.young until the watch begins */
    int fd;            /* in the epoll; -1: not watched */
    int client_fd;     /* whom to watch */
    int64_t watch_at_us;
    /* The client has left; not watched any more. May end the request. */
    void (*on_departed)(struct departure *d);
};

/* Makes the door's epoll and puts it into the loop. */
void departure_thread_init(struct door *door);
static inline void departure_init(struct departure *d)
{
    list_init(&d->young);
    d->fd = d->client_fd = -1;
}
/* From DEPARTURE_AFTER_US on, until departure_forget. */
void departure_expect(struct departure *d, struct door *door, int client_fd);
/* Must come before the library can close the client's descriptor: a reused number would report for the wrong call. */
void departure_forget(struct departure *d, struct door *door);
/* Asks once, now: has this client left? */
bool departure_check(int client_fd);

#endif
