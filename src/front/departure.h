/* SPDX-License-Identifier: MIT
 *
 * departure: notices that an HTTP/1 client has left while its call waits or runs. The library stops reading a
 * connection meanwhile; here it is kept in the loop's epoll, but with nobody reading it. As long as the client is
 * silent, which is nearly always, that costs nothing: the library turns reading off and on again within one turn and
 * need not tell the kernel either time. When the connection becomes readable (the client has left, or pipelines, or
 * both), it is taken out of the loop and, DEPARTURE_AFTER_US later, put into a private epoll that reports nothing but
 * a FIN or a reset.
 *
 * A FIN counts as having left: a client that half-closes its connection behind a request (and is not answered within
 * DEPARTURE_AFTER_US of that) is not told from one that closed it. HTTP/2 connections are read all the time and need
 * none of this. Part of the exchange; loop thread.
 */
#ifndef BULKHEAD_FRONT_DEPARTURE_H
#define BULKHEAD_FRONT_DEPARTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define DEPARTURE_AFTER_US 2000

struct conn;
struct door;

struct departure {
    struct conn *conn; /* whose departure is waited for; conn->departure points back; NULL: nobody's */
    struct list young; /* on door.young between the first event and the watch */
    int fd;            /* in the private epoll; -1: not watched */
    int64_t watch_at_us;
    /* The client has left; not watched any more. May end the request. */
    void (*on_departed)(struct departure *d);
};

/* Makes the door's epoll and puts it into the loop. */
void departure_thread_init(struct door *door);
static inline void departure_init(struct departure *d)
{
    d->conn = NULL;
    list_init(&d->young);
    d->fd = -1;
}
/* The connection's request is with us: on_departed comes if its client leaves, until departure_forget. */
void departure_expect(struct departure *d, struct conn *conn);
/* Nobody wants to know any more. Must come before the library can close the client's descriptor: a reused number would
 * report for the wrong call. */
void departure_forget(struct departure *d, struct door *door);
/* The library lets the request go and is about to read again, or to close: gives reading back to it. Idempotent. */
void departure_release(struct conn *conn);
/* Asks once, now: has this client left? */
bool departure_check(const struct conn *conn);

#endif
