/* SPDX-License-Identifier: MIT
 *
 * guardian: the process that outlives the supervisor by a moment: see guardian.h. Records travel over a SOCK_SEQPACKET
 * pair, so that each is whole; a child's own entry always precedes the strike-out, as the supervisor reaps it later.
 * The supervisor's end stays blocking for the children's sake (an entry must not be lost) and is only ever written with
 * MSG_DONTWAIT by the supervisor itself: a guardian that does not read is replaced like one that has died.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>

#include "base/fd.h"
#include "base/mem.h"
#include "diag/log.h"
#include "supervisor/guardian.h"

#define GUARDIAN_FD 3
/* another one is started that much after the last died: not at once, should something kill them all */
#define RESTART_DELAY_S 0.1

enum { ENTER = 1, STRIKE = 2 };

struct record {
    int32_t what;
    int32_t group;
};

struct guardian {
    struct ev_loop *loop;
    ev_child child;
    ev_timer restart;
    int sock;      /* -1: none is running */
    bool renewing; /* it is killed for another to start at once */
    pid_t pid;
    guardian_last_fn last;
    void *arg;
    size_t count, capacity;
    pid_t groups[];
};

static bool book_find(const struct guardian *g, pid_t group, size_t *at_r)
{
    for (size_t i = 0; i < g->count; i++) {
        if (g->groups[i] == group) {
            *at_r = i;
            return true;
        }
    }
    return false;
}

static void book_enter(struct guardian *g, pid_t group)
{
    size_t at;
    if (!book_find(g, group, &at) && g->count < g->capacity)
        g->groups[g->count++] = group;
}

static void book_strike(struct guardian *g, pid_t group)
{
    size_t at;
    if (book_find(g, group, &at))
        g->groups[at] = g->groups[--g->count];
}

/* ---- in the guardian -------------------------------------------------------------------------------------------- */

/* Blocked signals stay blocked for good: a terminal's or service manager's "stop" is meant for the supervisor. */
static void keep_nothing_but(int sock)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setpgid(0, 0);
    prctl(PR_SET_NAME, "bulkhead-guard");
    dup2(sock, GUARDIAN_FD);
    for (int fd = 0; null != -1 && fd < GUARDIAN_FD; fd++)
        dup2(null, fd);
    if (close_range(GUARDIAN_FD + 1, ~0U, 0) == -1) {
        for (int fd = GUARDIAN_FD + 1; fd < 4096; fd++)
            close(fd);
    }
}

static void watch(struct guardian *g)
{
    struct record r;
    for (;;) {
        ssize_t n = recv(GUARDIAN_FD, &r, sizeof(r), 0);
        if (n == 0 || (n == -1 && errno != EINTR))
            return;
        if (n != (ssize_t)sizeof(r) || r.group <= 1)
            continue;
        if (r.what == ENTER)
            book_enter(g, r.group);
        else
            book_strike(g, r.group);
    }
}

static _Noreturn void guardian_main(struct guardian *g, int sock)
{
    keep_nothing_but(sock);
    watch(g);
    for (size_t i = 0; i < g->count; i++)
        kill(-g->groups[i], SIGKILL);
    g->last(g->arg);
    _exit(0);
}

/* ---- in the supervisor ------------------------------------------------------------------------------------------ */

static void on_exit_of_guardian(struct ev_loop *loop, ev_child *w, int events);

static bool start(struct guardian *g)
{
    int pair[2];
    sigset_t all, before;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        guardian_main(g, pair[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    fd_close(&pair[1]);
    if (pid == -1) {
        fd_close(&pair[0]);
        return false;
    }
    g->pid = pid;
    g->sock = pair[0];
    ev_child_init(&g->child, on_exit_of_guardian, pid, 0);
    g->child.data = g;
    ev_child_start(g->loop, &g->child);
    return true;
}

static void restart_later(struct guardian *g)
{
    ev_timer_set(&g->restart, RESTART_DELAY_S, 0.);
    ev_timer_start(g->loop, &g->restart);
}

static void on_restart(struct ev_loop *loop, ev_timer *w, int events)
{
    struct guardian *g = w->data;
    if (start(g))
        return;
    log_limited(LOG_LEVEL_ERROR, "guardian", "cannot start the guardian: %s; trying again", strerror(errno));
    restart_later(g);
}

static void on_exit_of_guardian(struct ev_loop *loop, ev_child *w, int events)
{
    struct guardian *g = w->data;
    ev_child_stop(loop, w);
    if (!g->renewing)
        log_limited(LOG_LEVEL_WARNING, "guardian", "the guardian (pid %ld) has died; starting another", (long)g->pid);
    fd_close(&g->sock);
    g->pid = 0;
    bool at_once = g->renewing;
    g->renewing = false;
    if (!at_once || !start(g))
        restart_later(g);
}

size_t guardian_room(const struct guardian *g)
{
    return g->capacity - g->count;
}

void guardian_renew(struct guardian *g)
{
    if (g->pid == 0)
        return; /* the next one starts in a moment */
    g->renewing = true;
    kill(g->pid, SIGKILL);
}

struct guardian *guardian_start(struct ev_loop *loop, size_t capacity, guardian_last_fn last, void *arg)
{
    struct guardian *g = mem_zalloc(sizeof(*g) + capacity * sizeof(g->groups[0]));
    g->loop = loop;
    g->capacity = capacity;
    g->sock = -1;
    g->last = last;
    g->arg = arg;
    ev_timer_init(&g->restart, on_restart, 0., 0.);
    g->restart.data = g;
    if (!start(g)) {
        int problem = errno;
        mem_free(&g);
        errno = problem;
    }
    return g;
}

/* SIGKILL is answered at once, so the wait is none to speak of; the loop no longer runs. */
void guardian_dismiss(struct guardian **g)
{
    if (*g == NULL)
        return;
    ev_timer_stop((*g)->loop, &(*g)->restart);
    ev_child_stop((*g)->loop, &(*g)->child);
    if ((*g)->pid != 0) {
        kill((*g)->pid, SIGKILL);
        while (waitpid((*g)->pid, NULL, 0) == -1 && errno == EINTR)
            ;
    }
    fd_close(&(*g)->sock);
    mem_free(g);
}

int guardian_socket(const struct guardian *g)
{
    return g->sock;
}

void guardian_register(int sock, pid_t group)
{
    const struct record r = {ENTER, (int32_t)group};
    ssize_t ignored;
    do /* without a guardian the supervisor's own book is the entry: the next one inherits it */
        ignored = send(sock, &r, sizeof(r), MSG_NOSIGNAL);
    while (ignored == -1 && errno == EINTR);
}

void guardian_add(struct guardian *g, pid_t group)
{
    assert(g->count < g->capacity);
    book_enter(g, group);
}

void guardian_remove(struct guardian *g, pid_t group)
{
    const struct record r = {STRIKE, (int32_t)group};
    book_strike(g, group);
    if (g->sock != -1 && send(g->sock, &r, sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) == -1 && g->pid != 0)
        kill(g->pid, SIGKILL); /* it does not read: on_exit_of_guardian starts one that inherits the book */
}

pid_t guardian_pid(const struct guardian *g)
{
    return g->pid;
}

size_t guardian_count(const struct guardian *g)
{
    return g->count;
}
