/* SPDX-License-Identifier: MIT
 *
 * notify: see notify.h. sd_notify(3) opens a socket that blocks for every message. So that it never has to, a socket of
 * our own is connected to the manager's: the kernel calls it writable while the manager's queue has room.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <ev.h>
#include <systemd/sd-daemon.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "diag/log.h"
#include "supervisor/notify.h"

#define TEXT_MAX   512
#define STATUS_MAX (TEXT_MAX - sizeof("STATUS="))
/* between two status lines */
#define CALM_S 1.
/* signs of life in the time in which one is wanted: one that comes late, or not for a moment, does no harm */
#define WATCHDOG_SIGNS 4

struct message {
    struct message *next;
    int fd; /* owned; -1: none */
    char text[];
};

struct notify {
    struct ev_loop *loop;
    const struct notify_source *source;
    void *arg;
    int sock; /* connected to the manager's, only ever asked whether there is room */
    ev_io room;
    ev_timer calm; /* running: a status line has just been sent */
    ev_timer watchdog;
    int64_t watchdog_us;
    bool changed; /* while calm: there may be another line to send */
    char status[TEXT_MAX];
    struct message *head, **tail;
};

/* ---- the manager's socket --------------------------------------------------------------------------------------- */

/* A path, or with '@' a name in the abstract namespace (unix(7)). */
static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(address.sun_path)) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    memcpy(address.sun_path, name, len);
    if (*name == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*name == '/'));
    if (fd != -1 && connect(fd, (const struct sockaddr *)&address, size) == -1)
        fd_close(&fd);
    return fd;
}

/* A socket that nobody has any more takes everything. */
static bool has_room(const struct notify *n)
{
    struct pollfd p = {.fd = n->sock, .events = POLLOUT};
    return poll(&p, 1, 0) == 1;
}

static void send_now(const char *text, int fd)
{
    int result = fd == -1 ? sd_notify(0, text) : sd_pid_notify_with_fds(0, 0, text, &fd, 1);
    if (result < 0)
        log_limited(LOG_LEVEL_WARNING, "notify", "cannot tell the service manager '%.*s': %s",
                    (int)strcspn(text, "\n="), text, strerror(-result));
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void keep(struct notify *n, const char *text, int fd)
{
    size_t size = strlen(text) + 1;
    struct message *m = mem_alloc(sizeof(*m) + size);
    m->next = NULL;
    m->fd = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    memcpy(m->text, text, size);
    *n->tail = m;
    n->tail = &m->next;
    ev_io_start(n->loop, &n->room);
}

static void drop_first(struct notify *n)
{
    struct message *m = n->head;
    n->head = m->next;
    if (n->head == NULL)
        n->tail = &n->head;
    fd_close(&m->fd);
    free(m);
}

static void tell(struct notify *n, const char *text, int fd)
{
    if (n->head == NULL && has_room(n))
        send_now(text, fd);
    else
        keep(n, text, fd);
}

static void on_room(struct ev_loop *loop, ev_io *w, int events)
{
    struct notify *n = w->data;
    while (n->head != NULL && has_room(n)) {
        send_now(n->head->text, n->head->fd);
        drop_first(n);
    }
    if (n->head == NULL)
        ev_io_stop(loop, w);
}

/* ---- status and watchdog ----------------------------------------------------------------------------------------- */

/* false: there was no room for it */
static bool send_status(struct notify *n)
{
    struct buf words = {0}, line = {0};
    char text[TEXT_MAX];
    if (n->head != NULL || !has_room(n))
        return false;
    n->source->put_status(n->arg, &words);
    buf_append_printable(&line, buf_str(&words)); /* words of workers are in it: no message of theirs is to be */
    snprintf(text, sizeof(text), "STATUS=%.*s", (int)(line.len < STATUS_MAX ? line.len : STATUS_MAX), line.base);
    buf_free(&words);
    buf_free(&line);
    if (strcmp(text, n->status) != 0)
        send_now(strcpy(n->status, text), -1);
    return true;
}

static void on_calm_over(struct ev_loop *loop, ev_timer *w, int events)
{
    struct notify *n = w->data;
    ev_timer_stop(loop, w);
    if (n->changed)
        notify_changed(n);
}

void notify_changed(struct notify *n)
{
    if (n == NULL)
        return;
    n->changed = ev_is_active(&n->calm) || !send_status(n);
    if (ev_is_active(&n->calm))
        return;
    ev_now_update(n->loop);
    ev_timer_again(n->loop, &n->calm);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int events)
{
    struct notify *n = w->data;
    if (n->source->is_alive(n->arg) && n->head == NULL && has_room(n))
        send_now("WATCHDOG=1", -1);
}

/* ---- for the owner ----------------------------------------------------------------------------------------------- */

static void start_watchdog(struct notify *n)
{
    uint64_t us;
    if (sd_watchdog_enabled(0, &us) <= 0)
        return;
    n->watchdog_us = (int64_t)us;
    ev_timer_set(&n->watchdog, 0., (double)us / 1e6 / WATCHDOG_SIGNS);
    ev_timer_start(n->loop, &n->watchdog);
}

struct notify *notify_start(struct ev_loop *loop, const struct notify_source *source, void *arg)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || *name == '\0')
        return NULL;
    int sock = connect_to(name);
    if (sock == -1) {
        log_write(LOG_LEVEL_WARNING, "notify", "the service manager's socket '%s' (NOTIFY_SOCKET) cannot be used: %s",
                  name, strerror(errno));
        return NULL;
    }
    struct notify *n = mem_zalloc(sizeof(*n));
    *n = (struct notify){.loop = loop, .source = source, .arg = arg, .sock = sock};
    n->tail = &n->head;
    ev_io_init(&n->room, on_room, sock, EV_WRITE);
    ev_timer_init(&n->calm, on_calm_over, 0., CALM_S);
    ev_init(&n->watchdog, on_watchdog);
    n->room.data = n->calm.data = n->watchdog.data = n;
    start_watchdog(n);
    return n;
}

void notify_stop(struct notify **n)
{
    struct notify *dead = *n;
    if (dead == NULL)
        return;
    ev_io_stop(dead->loop, &dead->room);
    ev_timer_stop(dead->loop, &dead->calm);
    ev_timer_stop(dead->loop, &dead->watchdog);
    while (dead->head != NULL)
        drop_first(dead);
    fd_close(&dead->sock);
    free(dead);
    *n = NULL;
}

int64_t notify_watchdog_us(const struct notify *n)
{
    return n == NULL ? 0 : n->watchdog_us;
}

void notify_ready(struct notify *n)
{
    if (n != NULL)
        tell(n, "READY=1", -1);
    notify_changed(n);
}

/* MONOTONIC_USEC: what Type=notify-reload of later versions asks for */
void notify_reloading(struct notify *n)
{
    char text[64];
    if (n == NULL)
        return;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_us());
    tell(n, text, -1);
    notify_changed(n);
}

void notify_stopping(struct notify *n)
{
    if (n != NULL)
        tell(n, "STOPPING=1", -1);
    notify_changed(n);
}

void notify_extend(struct notify *n, int64_t within_us)
{
    char text[64];
    snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)within_us);
    if (n != NULL)
        tell(n, text, -1);
}

void notify_keep(struct notify *n, const char *name, int fd)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    if (n != NULL)
        tell(n, text, fd);
}

void notify_forget(struct notify *n, const char *name)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    if (n != NULL)
        tell(n, text, -1);
}
