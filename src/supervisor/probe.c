/* SPDX-License-Identifier: MIT
 *
 * probe: the accept probe: see probe.h. The listening socket's open file, and with it O_NONBLOCK, is shared with the
 * worker: it is switched for the moment of a drain only, and only when something waits there, at which time no live
 * worker sleeps in accept(2).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/probe.h"

/* far above any backlog: a bound for the loop below, should somebody keep connecting */
#define DRAIN_MAX 65536

static bool is_waiting(const struct endpoint *endpoint)
{
    struct pollfd p = {.fd = endpoint->fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

static void try_to_connect(struct probe *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, p->endpoint->path, sizeof(address.sun_path));
    p->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->connection == -1 || connect(p->connection, (struct sockaddr *)&address, sizeof(address)) == -1)
        fd_close(&p->connection); /* a full backlog, no descriptor: the next look tries again */
}

static void succeed(struct probe *p)
{
    probe_stop(p);
    p->on_accepted(p);
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

static void ask_again_later(struct probe *p)
{
    ev_io_stop(p->loop, &p->answer);
    fd_close(&p->connection);
    p->timer.repeat = PROBE_AGAIN_S;
    ev_timer_again(p->loop, &p->timer);
}

/* The request fits any socket buffer. */
static bool send_question(struct probe *p)
{
    char request[4096];
    int len = snprintf(request, sizeof(request),
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bulkhead/" PACKAGE_VERSION
                       " (ready_path)\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                       p->target);
    return len > 0 && (size_t)len < sizeof(request) &&
           send(p->connection, request, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) == len;
}

static void ask(struct probe *p)
{
    ev_timer_stop(p->loop, &p->timer);
    p->status_len = 0;
    p->last_status = 0;
    if (!send_question(p)) {
        ask_again_later(p);
        return;
    }
    ev_io_set(&p->answer, p->connection, EV_READ);
    ev_io_start(p->loop, &p->answer);
}

/* 0: that is no status line of HTTP/1 */
static int status_of(const char *line)
{
    if (strncmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' || strspn(line + 9, "0123456789") != 3)
        return 0;
    return (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

static void judge(struct probe *p)
{
    if (p->last_status >= 200 && p->last_status <= 299)
        succeed(p);
    else
        ask_again_later(p);
}

/* The rest of the answer is taken too, for a moment, so that the worker can write it in peace. */
static void take_status(struct probe *p, const char *bytes, size_t len)
{
    size_t room = sizeof(p->status) - 1 - p->status_len;
    size_t n = len < room ? len : room;
    if (room == 0)
        return;
    memcpy(p->status + p->status_len, bytes, n);
    p->status_len += n;
    if (n < room)
        return;
    p->status[sizeof(p->status) - 1] = '\0';
    p->last_status = status_of(p->status);
    p->timer.repeat = PROBE_AGAIN_S;
    ev_timer_again(p->loop, &p->timer);
}

static void on_answer(struct ev_loop *loop, ev_io *w, int events)
{
    struct probe *p = w->data;
    char bytes[4096];
    ssize_t n = recv(p->connection, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        take_status(p, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        judge(p);
}

/* ---- the look --------------------------------------------------------------------------------------------------- */

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
    struct probe *p = w->data;
    if (ev_is_active(&p->answer)) {
        judge(p);
        return;
    }
    if (p->connection == -1)
        try_to_connect(p);
    if (p->connection != -1 && !is_waiting(p->endpoint)) {
        if (p->target == NULL)
            succeed(p);
        else
            ask(p);
        return;
    }
    w->repeat = w->repeat * PROBE_GROWTH < PROBE_LAST_S ? w->repeat * PROBE_GROWTH : PROBE_LAST_S;
    ev_timer_again(loop, w);
}

void probe_init(struct probe *p, struct ev_loop *loop, const struct endpoint *endpoint, const char *target,
                probe_accepted_fn on_accepted)
{
    *p = (struct probe){
        .loop = loop, .endpoint = endpoint, .target = target, .on_accepted = on_accepted, .connection = -1};
    ev_timer_init(&p->timer, on_look, 0., 0.);
    ev_init(&p->answer, on_answer);
    p->timer.data = p->answer.data = p;
}

void probe_start(struct probe *p)
{
    probe_stop(p);
    p->last_status = 0;
    try_to_connect(p);
    p->timer.repeat = PROBE_FIRST_S;
    ev_timer_again(p->loop, &p->timer);
}

void probe_stop(struct probe *p)
{
    ev_timer_stop(p->loop, &p->timer);
    ev_io_stop(p->loop, &p->answer);
    fd_close(&p->connection);
}

void probe_drain_backlog(const struct endpoint *endpoint)
{
    if (!is_waiting(endpoint))
        return;
    int flags = fcntl(endpoint->fd, F_GETFL);
    if (flags == -1 || fcntl(endpoint->fd, F_SETFL, flags | O_NONBLOCK) == -1)
        return;
    for (int i = 0; i < DRAIN_MAX; i++) {
        int fd = accept4(endpoint->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd == -1 && errno != EINTR && errno != ECONNABORTED)
            break;
        fd_close(&fd);
    }
    fcntl(endpoint->fd, F_SETFL, flags);
}
