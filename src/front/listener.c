/* SPDX-License-Identifier: MIT
 *
 * listener: see listener.h. The PROXY line is read here and not by the library, whose parser takes a missing one for
 * HTTP.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/listener.h"

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "front/conn.h"
#include "front/generation.h"
#include "front/proxy_line.h"
#include "front/setup.h"
#include "front/sockets.h"
#include "front/thread.h"
#include "front/thread_private.h"

#define ACCEPTS_PER_TURN 16
#define PAUSE_US         100000

/* ---- the PROXY line --------------------------------------------------------------------------------------------- */

struct conn_proxy_line {
    struct deadline deadline;
    struct conn *conn;
    size_t len;
    char bytes[PROXY_LINE_MAX];
};

void listener_forget_proxy_line(struct conn *c)
{
    if (c->proxy_line != NULL)
        heap_disarm(&c->thread->loop.deadlines, &c->proxy_line->deadline);
    mem_free(&c->proxy_line);
}

static void refuse_proxy_line(struct conn *c)
{
    thread_count(&c->thread->counters.cut[CONN_CUT_PROXY_LINE], 1);
    log_limited(LOG_LEVEL_WARNING, "front", "%s: connection from %s without a valid PROXY line", c->listener->name,
                c->peer_text);
    h2o_socket_close(c->sock);
}

static void on_proxy_line_late(struct deadline *d)
{
    refuse_proxy_line(((struct conn_proxy_line *)d)->conn);
}

static void speak_http(struct conn *c)
{
    h2o_accept((h2o_accept_ctx_t *)&c->listener->accept, c->sock);
}

/* Takes bytes of the line out of the socket, up to its end and not beyond. 1: whole; 0: more to come; -1: it never will
 * be. */
static int take_proxy_bytes(struct conn_proxy_line *line, int fd)
{
    char *at = line->bytes + line->len;
    size_t room = sizeof line->bytes - line->len;
    ssize_t seen = recv(fd, at, room, MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (seen == 0)
        return -1;
    const char *end = memchr(at, '\n', (size_t)seen);
    size_t mine = end != NULL ? (size_t)(end - at) + 1 : (size_t)seen;
    if (recv(fd, at, mine, MSG_DONTWAIT) != (ssize_t)mine)
        return -1;
    line->len += mine;
    if (end != NULL)
        return 1;
    return line->len < sizeof line->bytes ? 0 : -1;
}

static void on_proxy_bytes(h2o_socket_t *sock, const char *err)
{
    struct conn *c = sock->on_close.data;
    struct conn_proxy_line *line = c->proxy_line;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    int whole = err == NULL ? take_proxy_bytes(line, h2o_socket_get_fd(sock)) : -1;
    if (whole == 0)
        return;
    if (whole < 0 || !proxy_line_parse(line->bytes, line->len, &peer, &peer_len)) {
        refuse_proxy_line(c);
        return;
    }
    listener_forget_proxy_line(c);
    h2o_socket_read_stop(sock);
    h2o_socket_dont_read(sock, 0);
    if (peer_len != 0) {
        h2o_socket_setpeername(sock, (struct sockaddr *)&peer, peer_len);
        if (!conn_set_peer(c, &peer, peer_len)) {
            h2o_socket_close(sock);
            return;
        }
    }
    speak_http(c);
}

static void await_proxy_line(struct conn *c)
{
    struct conn_proxy_line *line = mem_zalloc(sizeof *line);
    line->conn = c;
    line->deadline.on_expired = on_proxy_line_late;
    c->proxy_line = line;
    heap_arm(&c->thread->loop.deadlines, &line->deadline,
             c->thread->loop.now_us + c->thread->generation->conf->limits.tls_handshake_timeout);
    h2o_socket_dont_read(c->sock, 1);
    h2o_socket_read_start(c->sock, on_proxy_bytes);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void on_acceptable(h2o_socket_t *sock, const char *err);

static bool is_full(const struct listener *listener)
{
    const struct intake *intake = &listener->thread->generation->intake;
    return conn_count(listener->is_admin) >= (listener->is_admin ? intake->admin_connections : intake->connections);
}

static void pause_accepting(struct listener *listener)
{
    if (!listener->paused)
        h2o_socket_read_stop(listener->sock);
    listener->paused = true;
    heap_arm(&listener->thread->loop.deadlines, &listener->resume, listener->thread->loop.now_us + PAUSE_US);
}

static void resume_accepting(struct listener *listener)
{
    listener->paused = false;
    heap_disarm(&listener->thread->loop.deadlines, &listener->resume);
    h2o_socket_read_start(listener->sock, on_acceptable);
}

static void on_pause_over(struct deadline *d)
{
    struct listener *listener = (struct listener *)((char *)d - offsetof(struct listener, resume));
    if (is_full(listener))
        pause_accepting(listener);
    else
        resume_accepting(listener);
}

void listener_room(struct front_thread *thread, bool is_admin)
{
    for (size_t i = 0; i != thread->p->nlisteners; ++i) {
        struct listener *listener = thread->p->listeners[i];
        if (listener->is_admin == is_admin && listener->paused && !is_full(listener))
            resume_accepting(listener);
    }
}

static void welcome(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct conn *c = conn_create(listener, fd, peer);
    if (c == NULL)
        return;
    if (listener->proxy_protocol)
        await_proxy_line(c);
    else
        speak_http(c);
}

/* true: there may be more */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t peer_len = sizeof peer;
    int fd =
        accept4(h2o_socket_get_fd(listener->sock), (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(listener, fd, &peer);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        log_limited(LOG_LEVEL_ERROR, "front", "%s: cannot accept: %s; trying again in %d ms", listener->name,
                    strerror(errno), PAUSE_US / 1000);
        pause_accepting(listener);
        return false;
    default: /* the client has already gone, in one of many ways */
        return true;
    }
}

static void on_acceptable(h2o_socket_t *sock, const char *err)
{
    struct listener *listener = sock->data;
    for (int n = 0; n != ACCEPTS_PER_TURN; ++n) {
        if (is_full(listener)) {
            log_limited(LOG_LEVEL_WARNING, "front", "%s: %u connections open, the limit; further ones wait",
                        listener->name, conn_count(listener->is_admin));
            pause_accepting(listener);
            return;
        }
        if (!accept_one(listener))
            return;
    }
}

struct listener *listener_open(struct front_thread *thread, struct sockets_entry *entry)
{
    h2o_context_t *ctx = thread->p->contexts[entry->kind];
    struct listener *listener = mem_zalloc(sizeof *listener);
    *listener = (struct listener){.name = mem_strdup(entry->name),
                                  .thread = thread,
                                  .is_admin = entry->kind == SETUP_KIND_ADMIN,
                                  .proxy_protocol = entry->proxy_protocol,
                                  .socket = entry->socket,
                                  .accept = {.ctx = ctx, .hosts = ctx->globalconf->hosts},
                                  .resume = {.on_expired = on_pause_over}};
    listener_renew(listener, entry);
    listener->sock = h2o_evloop_socket_create(thread->ctx.loop, entry->fds[thread->index], H2O_SOCKET_FLAG_DONT_READ);
    entry->fds[thread->index] = -1;
    listener->sock->data = listener;
    h2o_socket_read_start(listener->sock, on_acceptable);
    return listener;
}

bool listener_is(const struct listener *listener, const struct sockets_entry *entry)
{
    return listener->socket == entry->socket && listener->proxy_protocol == entry->proxy_protocol &&
           listener->accept.ctx == listener->thread->p->contexts[entry->kind];
}

void listener_renew(struct listener *listener, const struct sockets_entry *entry)
{
    if (entry->tls != NULL)
        SSL_CTX_up_ref(entry->tls);
    SSL_CTX_free(listener->accept.ssl_ctx);
    listener->accept.ssl_ctx = entry->tls;
}

void listener_open_unbound(struct listener *listener, struct front_thread *thread)
{
    static char name[] = "control socket";
    h2o_context_t *ctx = thread->p->contexts[SETUP_KIND_ADMIN];
    *listener = (struct listener){.name = name, .thread = thread, .is_admin = true};
    listener->accept = (h2o_accept_ctx_t){.ctx = ctx, .hosts = ctx->globalconf->hosts};
}

void listener_take(struct listener *listener, int fd)
{
    const struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    if (!is_full(listener)) {
        welcome(listener, fd, &peer);
        return;
    }
    log_limited(LOG_LEVEL_WARNING, "front", "%s: %u admin connections open, the limit; a client was turned away",
                listener->name, conn_count(true));
    fd_close(&fd);
}

void listener_close(struct listener *listener)
{
    heap_disarm(&listener->thread->loop.deadlines, &listener->resume);
    if (listener->sock != NULL)
        h2o_socket_close(listener->sock);
    listener->sock = NULL;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void free_when_empty(struct listener *listener)
{
    if (!listener->retired || listener->conns != 0)
        return;
    SSL_CTX_free(listener->accept.ssl_ctx);
    mem_free(&listener->name);
    mem_free(&listener);
}

void listener_retire(struct listener *listener)
{
    while (listener->sock != NULL && !is_full(listener) && accept_one(listener))
        ;
    listener_close(listener);
    listener->retired = true;
    free_when_empty(listener);
}

void listener_enter(struct listener *listener)
{
    ++listener->conns;
}

void listener_leave(struct listener *listener)
{
    --listener->conns;
    free_when_empty(listener);
}
