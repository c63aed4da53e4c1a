/* SPDX-License-Identifier: MIT
 *
 * control_server: clients of the control socket: see control_server.h. Each is in one of four states, each with its
 * time limit: it is to say what it speaks, it is to send a line, the front is to answer, or it is to take its answer. A
 * client past its limit is closed; a front past its limit is done without. In a fifth, what it has asked for takes its
 * time; there it is only looked at whether it is still there, and not all may be in it.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/mem.h"
#include "diag/log.h"
#include "supervisor/control_server.h"
#include "wire/command.h"

#define CLIENT_TIMEOUT_S 5.
#define FRONT_TIMEOUT_S  1.
/* no descriptor for a client: tried again after that */
#define ACCEPT_PAUSE_S 0.1

#define NO_FRONT_BODY     "{\"title\":\"No front serves at the moment\",\"status\":503,\"reason\":\"draining\"}"
#define NO_FRONT_BODY_LEN "74"
_Static_assert(sizeof(NO_FRONT_BODY) - 1 == 74, "NO_FRONT_BODY_LEN");

enum client_state {
    CLIENT_NEW,     /* for its first byte: JSON or HTTP? */
    CLIENT_READING, /* for its request's line */
    CLIENT_ASKING,  /* for the front's answer */
    CLIENT_HELD,    /* for what it has asked for to be done; without limit */
    CLIENT_WRITING  /* for it to take the answer */
};

struct control_client {
    struct list link; /* in server->clients */
    struct control_server *server;
    enum client_state state;
    bool is_last_answer; /* the connection ends behind it */
    int fd;
    uint32_t number; /* of the question to the front */
    ev_io readable, writable;
    ev_timer timer;
    struct buf in, out;
};

struct control_server {
    struct ev_loop *loop;
    const struct control_handler *handler;
    void *arg;
    struct list clients;
    unsigned count;
    uint32_t asked;
    ev_io acceptable;
    ev_timer pause;
};

static void client_close(struct control_client *c)
{
    struct control_server *server = c->server;
    ev_io_stop(server->loop, &c->readable);
    ev_io_stop(server->loop, &c->writable);
    ev_timer_stop(server->loop, &c->timer);
    list_unlink(&c->link);
    server->count--;
    fd_close(&c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
    if (!ev_is_active(&server->pause))
        ev_io_start(server->loop, &server->acceptable);
}

static void set_state(struct control_client *c, enum client_state state)
{
    struct ev_loop *loop = c->server->loop;
    c->state = state;
    c->timer.repeat = state == CLIENT_HELD ? 0. : state == CLIENT_ASKING ? FRONT_TIMEOUT_S : CLIENT_TIMEOUT_S;
    ev_timer_again(loop, &c->timer);
    ev_io_stop(loop, &c->readable);
    ev_io_stop(loop, &c->writable);
    if (state == CLIENT_NEW || state == CLIENT_READING || state == CLIENT_HELD)
        ev_io_start(loop, &c->readable);
    else if (state == CLIENT_WRITING)
        ev_io_start(loop, &c->writable);
}

static void answer_status(struct control_client *c, struct str front)
{
    struct control_server *server = c->server;
    server->handler->put_status(server->arg, &c->out, front);
    buf_append_char(&c->out, '\n');
    set_state(c, CLIENT_WRITING);
}

static void answer_error(struct control_client *c, const char *words)
{
    buf_append_z(&c->out, "{\"error\":");
    buf_append_json(&c->out, str_of(words));
    buf_append_z(&c->out, "}\n");
    set_state(c, CLIENT_WRITING);
}

static unsigned count_held(const struct control_server *server)
{
    unsigned held = 0;
    for (const struct list *l = server->clients.next; l != &server->clients; l = l->next)
        held += LIST_ENTRY(l, struct control_client, link)->state == CLIENT_HELD;
    return held;
}

static void hold(struct control_client *c)
{
    if (count_held(c->server) < CONTROL_HELD_MAX) {
        set_state(c, CLIENT_HELD);
        return;
    }
    c->is_last_answer = true;
    answer_error(c, "it is under way; too many wait already to be told when it is done");
}

static void obey(struct control_client *c, const struct wire_request *request)
{
    struct control_server *server = c->server;
    if (!server->handler->obey(server->arg, request, c->number, &c->out)) {
        hold(c);
        return;
    }
    buf_append_char(&c->out, '\n');
    set_state(c, CLIENT_WRITING);
}

static void serve_request(struct control_client *c, struct str line)
{
    struct control_server *server = c->server;
    struct wire_request request;
    char words[256];
    if (!wire_request_decode(&request, line, words, sizeof(words))) {
        answer_error(c, words);
        return;
    }
    c->number = ++server->asked;
    if (request.command != WIRE_COMMAND_STATUS) {
        obey(c, &request);
        return;
    }
    set_state(c, CLIENT_ASKING);
    if (!server->handler->ask_front(server->arg, c->number))
        answer_status(c, STR_NONE);
}

/* Looks for a whole line in what has come; false when the client is gone for having sent too long a one. */
static bool serve_line(struct control_client *c)
{
    char *newline = c->in.len == 0 ? NULL : memchr(c->in.base, '\n', c->in.len);
    if (newline != NULL) {
        size_t len = (size_t)(newline - c->in.base);
        serve_request(c, (struct str){c->in.base, len});
        buf_consume(&c->in, len + 1);
        return true;
    }
    if (c->in.len < WIRE_COMMAND_MAX)
        return true;
    client_close(c);
    return false;
}

/* What it has sent so far is taken first: a socket that is closed with bytes unread resets its peer. */
static void refuse_http(struct control_client *c)
{
    char scratch[WIRE_COMMAND_MAX];
    ssize_t dropped = recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    (void)dropped;
    buf_append_z(&c->out, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
                          "Content-Type: application/problem+json\r\nContent-Length: " NO_FRONT_BODY_LEN
                          "\r\n\r\n" NO_FRONT_BODY);
    c->is_last_answer = true;
    set_state(c, CLIENT_WRITING);
}

static void serve_http(struct control_client *c)
{
    struct control_server *server = c->server;
    if (server->handler->pass_client(server->arg, c->fd))
        client_close(c);
    else
        refuse_http(c);
}

/* Methods of HTTP begin with a capital letter, lines of ours with '{' or white space. */
static void find_out_language(struct control_client *c)
{
    char first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 1 && first >= 'A' && first <= 'Z')
        serve_http(c);
    else
        set_state(c, CLIENT_READING);
}

static void read_line(struct control_client *c)
{
    ssize_t n = read(c->fd, buf_reserve(&c->in, WIRE_COMMAND_MAX), WIRE_COMMAND_MAX - c->in.len);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->in.len += (size_t)n;
    if (c->state == CLIENT_READING)
        serve_line(c);
    else if (c->in.len == WIRE_COMMAND_MAX)
        client_close(c);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct control_client *c = w->data;
    if (c->state == CLIENT_NEW)
        find_out_language(c);
    else
        read_line(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct control_client *c = w->data;
    ssize_t n = send(c->fd, c->out.base, c->out.len, MSG_NOSIGNAL);
    if (n == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    buf_consume(&c->out, (size_t)n);
    if (c->out.len > 0)
        return;
    if (c->is_last_answer) {
        client_close(c);
        return;
    }
    set_state(c, CLIENT_READING);
    serve_line(c); /* it may have sent the next one already */
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
    struct control_client *c = w->data;
    if (c->state == CLIENT_ASKING)
        answer_status(c, STR_NONE);
    else
        client_close(c);
}

static struct control_client *find_client(struct control_server *server, enum client_state state, uint32_t number)
{
    for (struct list *l = server->clients.next; l != &server->clients; l = l->next) {
        struct control_client *c = LIST_ENTRY(l, struct control_client, link);
        if (c->state == state && c->number == number)
            return c;
    }
    return NULL;
}

void control_server_answer(struct control_server *server, uint32_t number, struct str front)
{
    struct control_client *c = find_client(server, CLIENT_ASKING, number);
    if (c != NULL)
        answer_status(c, front);
}

bool control_server_is_held(struct control_server *server, uint32_t number)
{
    return find_client(server, CLIENT_HELD, number) != NULL;
}

void control_server_conclude(struct control_server *server, uint32_t number, struct str answer)
{
    struct control_client *c = find_client(server, CLIENT_HELD, number);
    if (c == NULL)
        return;
    buf_append_str(&c->out, answer);
    buf_append_char(&c->out, '\n');
    set_state(c, CLIENT_WRITING);
}

static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid()))
        return true;
    log_limited(LOG_LEVEL_WARNING, "supervisor", "control socket: a client of another user was turned away");
    return false;
}

static void client_open(struct control_server *server, int fd)
{
    struct control_client *c = mem_zalloc(sizeof(*c));
    c->server = server;
    c->fd = fd;
    ev_io_init(&c->readable, on_readable, fd, EV_READ);
    ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
    ev_timer_init(&c->timer, on_timeout, 0., 0.);
    c->readable.data = c->writable.data = c->timer.data = c;
    list_append(&server->clients, &c->link);
    if (++server->count == CONTROL_CLIENTS_MAX)
        ev_io_stop(server->loop, &server->acceptable); /* the rest waits in the backlog */
    set_state(c, CLIENT_NEW);
}

static void on_acceptable(struct ev_loop *loop, ev_io *w, int events)
{
    struct control_server *server = w->data;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd != -1 && is_allowed(fd)) {
        client_open(server, fd);
    } else if (fd == -1 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        ev_io_stop(loop, w);
        ev_timer_again(loop, &server->pause);
    } else {
        fd_close(&fd);
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *w, int events)
{
    struct control_server *server = w->data;
    ev_timer_stop(loop, w);
    if (server->count < CONTROL_CLIENTS_MAX)
        ev_io_start(loop, &server->acceptable);
}

struct control_server *control_server_start(struct ev_loop *loop, int fd, const struct control_handler *handler,
                                            void *arg)
{
    struct control_server *server = mem_zalloc(sizeof(*server));
    server->loop = loop;
    server->handler = handler;
    server->arg = arg;
    list_init(&server->clients);
    ev_io_init(&server->acceptable, on_acceptable, fd, EV_READ);
    ev_timer_init(&server->pause, on_pause_over, 0., ACCEPT_PAUSE_S);
    server->acceptable.data = server->pause.data = server;
    ev_io_start(loop, &server->acceptable);
    return server;
}

void control_server_stop(struct control_server **server)
{
    struct control_server *s = *server;
    if (s == NULL)
        return;
    while (!list_empty(&s->clients)) {
        struct control_client *c = LIST_ENTRY(s->clients.next, struct control_client, link);
        ssize_t ignored = c->out.len > 0 ? send(c->fd, c->out.base, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        (void)ignored;
        client_close(c);
    }
    ev_io_stop(s->loop, &s->acceptable);
    ev_timer_stop(s->loop, &s->pause);
    mem_free(server);
}
