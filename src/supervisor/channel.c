/* SPDX-License-Identifier: MIT
 *
 * channel: a bounded queue before a non-blocking socket: see channel.h.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "supervisor/channel.h"

/* messages taken in one turn of the loop: a front that talks without end does not keep it from the rest */
#define MESSAGES_A_TURN 64

struct channel_entry {
    struct channel_entry *next;
    int fd; /* -1: none; owned */
    size_t len;
    char bytes[];
};

static void break_off(struct channel *c, const char *why)
{
    if (c->why != NULL)
        return;
    c->why = why;
    ev_io_stop(c->loop, &c->readable);
    ev_io_stop(c->loop, &c->writable);
    ev_timer_set(&c->broken, 0., 0.);
    ev_timer_start(c->loop, &c->broken);
}

static void on_broken(struct ev_loop *loop, ev_timer *w, int events)
{
    struct channel *c = w->data;
    const char *why = c->why;
    ev_timer_stop(loop, w);
    c->on_broken(c, why);
}

static void enqueue(struct channel *c, const char *bytes, size_t len, int fd)
{
    struct channel_entry *e = mem_alloc(sizeof(*e) + len);
    *e = (struct channel_entry){.len = len, .fd = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    memcpy(e->bytes, bytes, len);
    *c->tail = e;
    c->tail = &e->next;
    c->queued++;
    c->queued_bytes += len;
    if (fd != -1 && e->fd == -1)
        break_off(c, "out of descriptors");
    ev_io_start(c->loop, &c->writable);
}

static void drop_head(struct channel *c)
{
    struct channel_entry *e = c->head;
    c->head = e->next;
    if (c->head == NULL)
        c->tail = &c->head;
    c->queued--;
    c->queued_bytes -= e->len;
    fd_close(&e->fd);
    free(e);
}

/* 1: sent; 0: not now; -1: never */
static int try_to_send(struct channel *c, const char *bytes, size_t len, int fd)
{
    if (fd_send_message(c->fd, bytes, len, &fd, fd == -1 ? 0 : 1) != -1)
        return 1;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct channel *c = w->data;
    int sent = 1;
    while (c->head != NULL && (sent = try_to_send(c, c->head->bytes, c->head->len, c->head->fd)) == 1)
        drop_head(c);
    if (sent == -1)
        break_off(c, "it does not take messages");
    if (c->head == NULL)
        ev_io_stop(loop, w);
}

void channel_send(struct channel *c, const struct wire_control *m, int fd)
{
    char bytes[WIRE_CONTROL_MAX];
    if (c->fd == -1 || c->why != NULL)
        return;
    size_t len = wire_control_encode(m, bytes, sizeof(bytes));
    assert(len != 0); /* texts of ours are paths and reasons */
    int sent = c->head == NULL ? try_to_send(c, bytes, len, fd) : 0;
    if (sent == -1)
        break_off(c, "it does not take messages");
    else if (sent == 0 && (c->queued >= CHANNEL_MESSAGES_MAX || c->queued_bytes + len > CHANNEL_BYTES_MAX))
        break_off(c, "too many messages wait for it");
    else if (sent == 0)
        enqueue(c, bytes, len, fd);
}

/* false when there is nothing more to read now */
static bool receive(struct channel *c)
{
    char bytes[WIRE_CONTROL_MAX];
    int fds[FD_PASS_MAX];
    size_t nfds;
    struct wire_control m;
    ssize_t len = fd_receive_message(c->fd, bytes, sizeof(bytes), fds, &nfds);
    if (len == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (len <= 0)
        break_off(c, len == 0 ? "" : "its messages cannot be received");
    else if (!wire_control_decode(&m, bytes, (size_t)len))
        break_off(c, "it sent a malformed message");
    else
        c->on_message(c, &m, fds, nfds);
    for (size_t i = 0; i < nfds; i++)
        fd_close(&fds[i]);
    return c->fd != -1 && c->why == NULL;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct channel *c = w->data;
    for (int i = 0; i < MESSAGES_A_TURN && receive(c); i++)
        ;
}

void channel_init(struct channel *c, struct ev_loop *loop, channel_message_fn on_message, channel_broken_fn broken)
{
    *c = (struct channel){.loop = loop, .fd = -1, .on_message = on_message, .on_broken = broken};
    c->tail = &c->head;
    ev_io_init(&c->readable, on_readable, -1, EV_READ);
    ev_io_init(&c->writable, on_writable, -1, EV_WRITE);
    ev_timer_init(&c->broken, on_broken, 0., 0.);
    c->readable.data = c->writable.data = c->broken.data = c;
}

void channel_open(struct channel *c, int fd)
{
    assert(c->fd == -1);
    c->fd = fd;
    c->why = NULL;
    fd_set_nonblocking(fd, true);
    ev_io_set(&c->readable, fd, EV_READ);
    ev_io_set(&c->writable, fd, EV_WRITE);
    ev_io_start(c->loop, &c->readable);
}

void channel_close(struct channel *c)
{
    ev_io_stop(c->loop, &c->readable);
    ev_io_stop(c->loop, &c->writable);
    ev_timer_stop(c->loop, &c->broken);
    while (c->head != NULL)
        drop_head(c);
    fd_close(&c->fd);
}
