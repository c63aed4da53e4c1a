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
#include <string.h>
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

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
    struct probe *p = w->data;
    if (p->connection == -1)
        try_to_connect(p);
    if (p->connection != -1 && !is_waiting(p->endpoint)) {
        probe_stop(p);
        p->on_accepted(p);
        return;
    }
    w->repeat = w->repeat * PROBE_GROWTH < PROBE_LAST_S ? w->repeat * PROBE_GROWTH : PROBE_LAST_S;
    ev_timer_again(loop, w);
}

void probe_init(struct probe *p, struct ev_loop *loop, const struct endpoint *endpoint, probe_accepted_fn on_accepted)
{
    *p = (struct probe){.loop = loop, .endpoint = endpoint, .on_accepted = on_accepted, .connection = -1};
    ev_timer_init(&p->timer, on_look, 0., 0.);
    p->timer.data = p;
}

void probe_start(struct probe *p)
{
    probe_stop(p);
    try_to_connect(p);
    p->timer.repeat = PROBE_FIRST_S;
    ev_timer_again(p->loop, &p->timer);
}

void probe_stop(struct probe *p)
{
    ev_timer_stop(p->loop, &p->timer);
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
