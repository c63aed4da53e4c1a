/* SPDX-License-Identifier: MIT
 *
 * host: N threads around `serve`. Each holds at most one connection, which it takes from the listening socket or from
 * host_take. Threads that wait for a connection stand in a row: one polls the listening socket and the stop signal
 * under accept_lock, the others wait for the lock, so that a new connection wakes one thread and a stop wakes all of
 * them in turn.
 *
 * Locks, never held together: `accept_lock` while waiting for and accepting a connection; `lock` for what is shared
 * otherwise (the threads' descriptors, the connections handed over). No call runs under either.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "diag/log.h"
#include "handler/host.h"
#include "handler/serve.h"

/* documented in <bulkhead/handler.h>; enough for deep C libraries, and 1,000 threads fit into 1 GiB of addresses */
#define STACK_BYTES (1024 * 1024)
/* how long to wait after accept(2) found no descriptor or memory */
#define ACCEPT_PAUSE_MS 100

struct host_thread {
    struct host *host;
    pthread_t id;
    struct serve *serve;
    int fd; /* its connection; -1: none. Under host->lock */
};

struct host {
    int listen_fd; /* borrowed; -1: connections are handed over */
    int stop_fd;   /* eventfd: readable once host_stop was called */
    atomic_bool stopping;
    atomic_uint running; /* threads that have not ended */
    pthread_mutex_t accept_lock, lock;
    pthread_cond_t handed_over; /* under lock: something was offered, or stopping */
    int *offered;               /* under lock: connections that no thread has taken yet */
    unsigned noffered, nfree;   /* under lock; nfree: threads without a connection */
    unsigned nthreads;          /* started */
    struct host_thread threads[];
};

/* ---- where connections come from -------------------------------------------------------------------------------- */

/* true: a connection waits. false: time to stop. */
static bool wait_for_connection(struct host *h, int timeout_ms, int events)
{
    struct pollfd fds[2] = {{.fd = h->stop_fd, .events = POLLIN}, {.fd = h->listen_fd, .events = (short)events}};
    while (poll(fds, 2, timeout_ms) < 0)
        if (errno != EINTR)
            return false;
    return fds[0].revents == 0;
}

/* "may accept(2) succeed if tried again?" */
static bool accept_recovers(struct host *h, int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
        return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        log_limited(LOG_LEVEL_ERROR, "handler", "cannot accept the front's connection: %s; trying again",
                    strerror(error));
        return wait_for_connection(h, ACCEPT_PAUSE_MS, 0);
    default:
        log_write(LOG_LEVEL_ERROR, "handler", "cannot accept on the listening socket: %s", strerror(error));
        host_stop(h);
        return false;
    }
}

/* -1: time to stop */
static int accept_connection(struct host *h)
{
    int fd = -1;
    pthread_mutex_lock(&h->accept_lock);
    while (wait_for_connection(h, -1, POLLIN)) {
        fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 || !accept_recovers(h, errno))
            break;
    }
    pthread_mutex_unlock(&h->accept_lock);
    return fd;
}

static int take_offered(struct host *h)
{
    int fd = -1;
    pthread_mutex_lock(&h->lock);
    while (h->noffered == 0 && !atomic_load(&h->stopping))
        pthread_cond_wait(&h->handed_over, &h->lock);
    if (!atomic_load(&h->stopping))
        fd = h->offered[--h->noffered];
    pthread_mutex_unlock(&h->lock);
    return fd;
}

bool host_take(struct host *h, int fd)
{
    assert(h->listen_fd == -1);
    if (!fd_set_nonblocking(fd, false))
        return false;
    pthread_mutex_lock(&h->lock);
    bool taken = h->noffered < h->nfree && !atomic_load(&h->stopping);
    if (taken) {
        h->offered[h->noffered++] = fd;
        pthread_cond_signal(&h->handed_over);
    }
    pthread_mutex_unlock(&h->lock);
    return taken;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* From here on host_join can end the thread's wait for a request. false: it is already too late to begin. */
static bool begin_connection(struct host_thread *t, int fd)
{
    pthread_mutex_lock(&t->host->lock);
    bool begin = !atomic_load(&t->host->stopping);
    if (begin)
        t->fd = fd;
    t->host->nfree--;
    pthread_mutex_unlock(&t->host->lock);
    return begin;
}

static void end_connection(struct host_thread *t, int fd)
{
    pthread_mutex_lock(&t->host->lock);
    t->fd = -1;
    t->host->nfree++;
    pthread_mutex_unlock(&t->host->lock);
    fd_close(&fd);
}

static void *run_thread(void *arg)
{
    struct host_thread *t = arg;
    struct host *h = t->host;
    int fd;
    while ((fd = h->listen_fd == -1 ? take_offered(h) : accept_connection(h)) != -1) {
        if (begin_connection(t, fd))
            serve_connection(t->serve, fd);
        end_connection(t, fd);
    }
    /* the last one opens host_join's door, also when an error and not host_stop has ended the threads */
    if (atomic_fetch_sub(&h->running, 1) == 1)
        host_stop(h);
    return NULL;
}

static bool start_thread(struct host *h, struct module *m, const pthread_attr_t *attributes)
{
    struct host_thread *t = &h->threads[h->nthreads];
    char name[16];
    *t = (struct host_thread){.host = h, .fd = -1, .serve = serve_create(m, &h->stopping)};
    atomic_fetch_add(&h->running, 1);
    int error = pthread_create(&t->id, attributes, run_thread, t);
    if (error != 0) {
        log_write(LOG_LEVEL_ERROR, "handler", "cannot start thread %u: %s", h->nthreads + 1, strerror(error));
        atomic_fetch_sub(&h->running, 1);
        serve_free(&t->serve);
        return false;
    }
    snprintf(name, sizeof(name), "handler-%u", h->nthreads);
    pthread_setname_np(t->id, name);
    h->nthreads++;
    return true;
}

/* Signals are the main thread's business, but for those that a fault raises in its own thread: blocked, they would end the
 * process past the handlers of a debugger, a sanitizer or a crash reporter. */
static void block_signals(sigset_t *before_r)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t others;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_BLOCK, &others, before_r);
}

static bool start_threads(struct host *h, struct module *m, unsigned count)
{
    sigset_t before;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    block_signals(&before);
    while (h->nthreads < count && start_thread(h, m, &attributes))
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return h->nthreads == count;
}

static struct host *create(unsigned threads, int listen_fd)
{
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd == -1)
        return NULL;
    struct host *h = mem_zalloc(sizeof(*h) + threads * sizeof(h->threads[0]));
    h->listen_fd = listen_fd;
    h->stop_fd = stop_fd;
    h->offered = mem_alloc(threads * sizeof(h->offered[0]));
    h->nfree = threads;
    pthread_mutex_init(&h->accept_lock, NULL);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->handed_over, NULL);
    return h;
}

struct host *host_start(struct module *m, unsigned threads, int listen_fd)
{
    assert(threads != 0);
    /* somebody else may empty the backlog between poll(2) and accept4(2) */
    if (listen_fd != -1 && !fd_set_nonblocking(listen_fd, true))
        return NULL;
    struct host *h = create(threads, listen_fd);
    if (h != NULL && !start_threads(h, m, threads)) {
        host_stop(h);
        host_join(&h);
        errno = EAGAIN;
    }
    return h;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void host_stop(struct host *h)
{
    int saved = errno;
    const uint64_t one = 1;
    atomic_store(&h->stopping, true);
    /* never full: what counts is that it is readable */
    ssize_t ignored = write(h->stop_fd, &one, sizeof(one));
    (void)ignored;
    errno = saved;
}

void host_wait(struct host *h)
{
    struct pollfd stop = {.fd = h->stop_fd, .events = POLLIN};
    while (poll(&stop, 1, -1) < 0 && errno == EINTR)
        ;
}

/* Threads that wait for a request see the end of their connection; one that runs a call answers it first. */
static void shut_down_connections(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->nthreads; i++)
        if (h->threads[i].fd != -1)
            shutdown(h->threads[i].fd, SHUT_RD);
    pthread_cond_broadcast(&h->handed_over);
    pthread_mutex_unlock(&h->lock);
}

void host_join(struct host **host)
{
    struct host *h = *host;
    if (h == NULL)
        return;
    host_wait(h);
    shut_down_connections(h);
    for (unsigned i = 0; i < h->nthreads; i++) {
        pthread_join(h->threads[i].id, NULL);
        serve_free(&h->threads[i].serve);
    }
    while (h->noffered != 0)
        fd_close(&h->offered[--h->noffered]);
    pthread_cond_destroy(&h->handed_over);
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->accept_lock);
    fd_close(&h->stop_fd);
    mem_free(&h->offered);
    mem_free(host);
}
