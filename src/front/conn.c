/* SPDX-License-Identifier: MIT
 *
 * conn: see conn.h. A conn is found from its socket, whose on_close is ours: the library leaves it alone on accepted
 * sockets.
 */
#include "config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/conn.h"

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "front/generation.h"
#include "front/guard.h"
#include "front/listener.h"
#include "front/peers.h"
#include "front/thread.h"

#define LINGER_US             2000000
#define LINGER_READS_PER_TURN 16

static _Atomic unsigned open_clients, open_admins;

const char *conn_cut_word(enum conn_cut why)
{
    static const char *const words[] = {
#define X(enumerator, word) [enumerator] = word,
        CONN_CUT_TABLE(X)
#undef X
    };
    assert(why < CONN_CUT_COUNT);
    return words[why];
}

unsigned conn_count(bool is_admin)
{
    return atomic_load_explicit(is_admin ? &open_admins : &open_clients, memory_order_relaxed);
}

/* ---- the peer --------------------------------------------------------------------------------------------------- */

static void name_ipv6_peer(struct conn *c, const struct sockaddr_in6 *in6)
{
    c->peer_port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], c->peer_text, sizeof c->peer_text);
    else
        inet_ntop(AF_INET6, &in6->sin6_addr, c->peer_text, sizeof c->peer_text);
}

static void name_peer(struct conn *c)
{
    switch (c->peer.any.sa_family) {
    case AF_INET:
        c->peer_port = ntohs(c->peer.in.sin_port);
        inet_ntop(AF_INET, &c->peer.in.sin_addr, c->peer_text, sizeof c->peer_text);
        break;
    case AF_INET6:
        name_ipv6_peer(c, &c->peer.in6);
        break;
    default:
        c->peer_port = 0;
        strcpy(c->peer_text, "unix:");
        break;
    }
}

/* Proxies that speak for many clients are not limited by address, nor is who has none. */
static bool enter_address(struct conn *c)
{
    const struct conf_limits *limits = &c->thread->generation->conf->limits;
    const struct sockaddr *peer = &c->peer.any;
    if (c->is_admin || c->is_trusted_proxy || limits->connections_per_address <= 0 ||
        (peer->sa_family != AF_INET && peer->sa_family != AF_INET6))
        return true;
    c->counted_per_address = peers_enter(peer, (unsigned)limits->connections_per_address);
    return c->counted_per_address;
}

static bool judge_peer(struct conn *c)
{
    name_peer(c);
    c->is_trusted_proxy = intake_trusts(&c->thread->generation->intake, &c->peer.any);
    if (enter_address(c))
        return true;
    thread_count(&c->thread->counters.connections_refused, 1);
    thread_count(&c->thread->counters.cut[CONN_CUT_ADDRESS], 1);
    log_limited(LOG_LEVEL_WARNING, "front", "%s: %s has reached limits.connections_per_address; connection refused",
                c->listener->name, c->peer_text);
    return false;
}

bool conn_set_peer(struct conn *c, const struct sockaddr_storage *peer, socklen_t len)
{
    memcpy(&c->peer, peer, len < sizeof c->peer ? len : sizeof c->peer);
    return judge_peer(c);
}

/* ---- from accept to close --------------------------------------------------------------------------------------- */

#define CROWDED_BODY                                                                                                   \
    "{\"title\":\"Too many connections from this address\",\"status\":503,\"reason\":\"connections-per-address\"}"
#define CROWDED_BODY_LEN "98"
_Static_assert(sizeof CROWDED_BODY - 1 == 98, "CROWDED_BODY_LEN");

/* Best effort, on a connection that never becomes one; who speaks TLS would not understand it. */
static void refuse(const struct listener *listener, int fd)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\n"
        "Content-Type: application/problem+json\r\n"
        "Proxy-Status: bulkhead; error=connection_limit_reached; details=\"connections-per-address\"\r\n"
        "Content-Length: " CROWDED_BODY_LEN "\r\n\r\n" CROWDED_BODY;
    char scratch[4096];
    if (listener->accept.ssl_ctx == NULL) {
        ssize_t dropped =
            recv(fd, scratch, sizeof scratch, MSG_DONTWAIT); /* unread bytes would turn close into reset */
        ssize_t sent = send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)dropped;
        (void)sent;
    }
    fd_close(&fd);
}

/* The last thing that happens to a conn: it gives back its places in the counts. */
static void forget(struct conn *c)
{
    struct front_thread *thread = c->thread;
    bool is_admin = c->is_admin;
    listener_leave(c->listener);
    if (c->counted_per_address)
        peers_leave(&c->peer.any);
    atomic_fetch_sub_explicit(is_admin ? &open_admins : &open_clients, 1, memory_order_relaxed);
    thread_count(&thread->counters.connections_open, -1);
    c->magic = 0;
    mem_free(&c);
    listener_room(thread, is_admin);
}

static void linger_on(struct conn *c);

/* on_close of every accepted socket: the library, or we, have closed it */
static void on_closed(void *data)
{
    struct conn *c = data;
    assert(c->magic == CONN_MAGIC);
    c->sock = NULL;
    list_unlink(&c->link);
    listener_forget_proxy_line(c);
    if (c->linger != NULL)
        linger_on(c);
    else
        forget(c);
}

struct conn *conn_create(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct front_thread *thread = listener->thread;
    struct conn *c = mem_zalloc(sizeof *c);
    c->magic = CONN_MAGIC;
    c->thread = thread;
    c->listener = listener;
    memcpy(&c->peer, peer, sizeof c->peer);
    c->is_admin = listener->is_admin;
    c->is_tls = listener->accept.ssl_ctx != NULL;
    c->sweep.since_us = thread->loop.now_us;
    list_init(&c->link);
    thread_count(&thread->counters.connections_accepted, 1);
    if (listener->proxy_protocol) {
        name_peer(c); /* judged when the line has come */
    } else if (!judge_peer(c)) {
        refuse(listener, fd);
        mem_free(&c);
        return NULL;
    }
    atomic_fetch_add_explicit(c->is_admin ? &open_admins : &open_clients, 1, memory_order_relaxed);
    thread_count(&thread->counters.connections_open, 1);
    listener_enter(listener);
    list_append(&thread->conns, &c->link);
    c->sock = h2o_evloop_socket_create(thread->ctx.loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    c->sock->on_close.cb = on_closed;
    c->sock->on_close.data = c;
    return c;
}

struct conn *conn_of(h2o_req_t *req)
{
    struct conn *c = req->conn->callbacks->get_socket(req->conn)->on_close.data;
    assert(c->magic == CONN_MAGIC);
    return c;
}

void conn_cut(struct conn *c, enum conn_cut why)
{
    if (c->is_cut)
        return;
    c->is_cut = true;
    thread_count(&c->thread->counters.cut[why], 1);
    shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

void conn_request_begin(struct conn *c, h2o_req_t *req)
{
    const struct conf_limits *limits = &c->thread->generation->conf->limits;
    ++c->requests;
    ++c->active;
    if (req->version >= 0x200) {
        c->is_http2 = true;
        c->http2_request_bytes += (uint64_t)limits->head_bytes + req->entity.len;
        return;
    }
    guard_set_persistence(req);
    int64_t most = limits->requests_per_connection;
    if (c->thread->draining || (most > 0 && c->requests >= (uint64_t)most))
        req->http1_is_persistent = 0;
}

void conn_request_end(struct conn *c, bool reset)
{
    assert(c->active != 0);
    --c->active;
    if (!c->is_http2)
        return;
    if (!reset) {
        if (c->glitches != 0)
            --c->glitches;
        return;
    }
    if (++c->glitches <= (unsigned)c->thread->generation->conf->limits.http2_glitches || c->is_cut)
        return;
    log_limited(LOG_LEVEL_WARNING, "front",
                "%s: connection from %s cut: it reset %u HTTP/2 requests (limits.http2_glitches)", c->listener->name,
                c->peer_text, c->glitches);
    conn_cut(c, CONN_CUT_GLITCHES);
}

/* ---- lingering -------------------------------------------------------------------------------------------------- */

/* A second descriptor of the same connection keeps it open beyond the library's close(2). */
struct conn_linger {
    struct deadline deadline;
    struct conn *conn;
    int fd; /* until `sock` owns it */
    h2o_socket_t *sock;
};

void conn_linger(struct conn *c)
{
    if (c->linger != NULL || c->is_cut)
        return;
    int fd = fcntl(h2o_socket_get_fd(c->sock), F_DUPFD_CLOEXEC, 0);
    if (fd == -1)
        return; /* a courtesy only */
    c->linger = mem_zalloc(sizeof *c->linger);
    c->linger->conn = c;
    c->linger->fd = fd;
}

static void end_linger(struct conn_linger *linger)
{
    struct conn *c = linger->conn;
    heap_disarm(&c->thread->loop.deadlines, &linger->deadline);
    h2o_socket_close(linger->sock);
    mem_free(&c->linger);
    forget(c);
}

static void on_linger_over(struct deadline *d)
{
    end_linger((struct conn_linger *)d);
}

static void on_linger_readable(h2o_socket_t *sock, const char *err)
{
    struct conn_linger *linger = sock->data;
    char scratch[16384];
    for (int n = 0; n != LINGER_READS_PER_TURN; ++n) {
        ssize_t dropped = recv(h2o_socket_get_fd(sock), scratch, sizeof scratch, MSG_DONTWAIT);
        if (dropped > 0)
            continue;
        if (dropped < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        end_linger(linger);
        return;
    }
}

/* The library has closed its descriptor: tell the client that this was all, and read until it has understood. */
static void linger_on(struct conn *c)
{
    struct conn_linger *linger = c->linger;
    shutdown(linger->fd, SHUT_WR);
    linger->sock = h2o_evloop_socket_create(c->thread->ctx.loop, linger->fd, H2O_SOCKET_FLAG_DONT_READ);
    linger->fd = -1;
    linger->sock->data = linger;
    linger->deadline.on_expired = on_linger_over;
    heap_arm(&c->thread->loop.deadlines, &linger->deadline, c->thread->loop.now_us + LINGER_US);
    h2o_socket_read_start(linger->sock, on_linger_readable);
}
