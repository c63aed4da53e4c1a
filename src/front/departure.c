/* SPDX-License-Identifier: MIT
 *
 * departure: see departure.h. One private epoll a thread, nested in the loop's own as a foreign descriptor; a client's
 * descriptor is in it for EPOLLRDHUP alone, so that pipelined requests behind the current one do not wake anybody.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "diag/log.h"
#include "front/conn.h"
#include "front/departure.h"
#include "front/door.h"
#include "front/sweep.h"

#define EVENTS_MAX 64

static void unwatch(struct departure *d, struct door *door)
{
    if (d->fd != -1)
        (void)epoll_ctl(door->watch_epoll, EPOLL_CTL_DEL, d->fd, NULL);
    d->fd = -1;
}

static void watch(struct departure *d, struct door *door)
{
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = d};
    int fd = h2o_socket_get_fd(d->conn->sock);
    if (epoll_ctl(door->watch_epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        d->fd = fd;
    else
        log_limited(LOG_LEVEL_WARNING, "front", "cannot watch a client for its departure: %s", strerror(errno));
}

/* One event at a time: answering one departure can end other calls, whose events must not be looked at any more. The
 * epoll is level-triggered, so what is left comes again. */
static void on_ready(h2o_socket_t *sock, const char *err)
{
    struct door *door = sock->data;
    for (unsigned i = 0; i < EVENTS_MAX; i++) {
        struct epoll_event event;
        if (epoll_wait(door->watch_epoll, &event, 1, 0) != 1)
            return;
        struct departure *d = event.data.ptr;
        departure_forget(d, door);
        d->on_departed(d);
    }
}

static void on_young_due(struct deadline *deadline)
{
    struct door *door = LIST_ENTRY(deadline, struct door, young_due);
    struct loop *loop = &door->thread->loop;
    for (struct list *node; (node = list_first(&door->young)) != NULL;) {
        struct departure *d = LIST_ENTRY(node, struct departure, young);
        if (d->watch_at_us > loop->now_us) {
            heap_arm(&loop->deadlines, &door->young_due, d->watch_at_us);
            return;
        }
        list_unlink(&d->young);
        watch(d, door);
    }
}

void departure_thread_init(struct door *door)
{
    list_init(&door->young);
    door->young_due = (struct deadline){.on_expired = on_young_due};
    door->watch_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (door->watch_epoll == -1) {
        log_write(LOG_LEVEL_ERROR, "front", "cannot create an epoll: %s; raise the limit of open files",
                  strerror(errno));
        abort();
    }
    door->watch = h2o_evloop_socket_create(door->thread->ctx.loop, door->watch_epoll, H2O_SOCKET_FLAG_DONT_READ);
    door->watch->data = door;
    h2o_socket_read_start(door->watch, on_ready);
}

/* The deadline stays armed when the queue runs empty: it fires at most every DEPARTURE_AFTER_US for any number of
 * calls. */
static void watch_soon(struct departure *d, struct door *door)
{
    struct loop *loop = &door->thread->loop;
    d->watch_at_us = loop->now_us + DEPARTURE_AFTER_US;
    list_append(&door->young, &d->young);
    if (!deadline_armed(&door->young_due))
        heap_arm(&loop->deadlines, &door->young_due, d->watch_at_us);
}

/* The client sends, or has closed. What it sends stays in the kernel until the library reads again. */
static void on_client_event(h2o_socket_t *sock, const char *err)
{
    struct conn *conn = sock->on_close.data;
    assert(conn->magic == CONN_MAGIC);
    h2o_socket_read_stop(sock);
    if (conn->departure != NULL)
        watch_soon(conn->departure, conn->thread->door);
}

/* The library has just stopped reading, but has not told the kernel yet: it does so at the end of its turn, and finds
 * nothing changed. It is told not to read itself, as what it parsed lies in the buffer that it would read into. */
void departure_expect(struct departure *d, struct conn *conn)
{
    assert(d->conn == NULL && conn->departure == NULL);
    if (sweep_has_ended(conn))
        return; /* the end that the kernel would tell of is ours */
    d->conn = conn;
    conn->departure = d;
    conn->is_unread = true;
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_client_event);
}

void departure_forget(struct departure *d, struct door *door)
{
    list_unlink(&d->young);
    unwatch(d, door);
    if (d->conn != NULL)
        d->conn->departure = NULL;
    d->conn = NULL;
}

void departure_release(struct conn *conn)
{
    if (!conn->is_unread)
        return;
    conn->is_unread = false;
    h2o_socket_read_stop(conn->sock);
    h2o_socket_dont_read(conn->sock, 0);
}

bool departure_check(const struct conn *conn)
{
    if (sweep_has_ended(conn))
        return false;
    struct pollfd p = {.fd = h2o_socket_get_fd(conn->sock), .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
