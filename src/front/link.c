/* SPDX-License-Identifier: MIT
 *
 * link: see link.h. One poll(2) loop with a tick: every tick that saw all loop threads turn sends a heartbeat, so a
 * loop that hangs, or a stopped process, falls silent and is replaced.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front/link.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/list.h"
#include "call/loop.h"
#include "config/conf.h"
#include "diag/log.h"
#include "diag/writer.h"
#include "front/exchange.h"
#include "front/generation.h"
#include "front/reload.h"
#include "front/steady_clock.h"
#include "front/thread.h"
#include "upstream/ws.h"

#define HEARTBEAT_US  250000
#define DRAIN_LOOK_US 20000
#define QUIET_LOOK_US 20000
/* messages that wait for a supervisor that does not read; it would have to be gone for this to fill */
#define UNSENT_MAX 1024

struct unsent {
    struct list link;
    int fd;
    size_t len;
    char bytes[];
};

static struct {
    int fd;
    pthread_mutex_t lock; /* of what follows; held during sendmsg(2), which does not block */
    struct list unsent;   /* oldest first; while it is not empty nothing overtakes it */
    unsigned count;
} wire = {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
    int64_t heartbeat_at_us, drain_deadline_us;
    bool draining;
    bool awaits_quiet; /* the supervisor is to hear of a paused backend on which calls still run */
    uint64_t *beats;   /* of each loop thread, as of the last heartbeat */
} watch;

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void enqueue_locked(const char *bytes, size_t len, int fd)
{
    if (wire.count == UNSENT_MAX) {
        log_limited(LOG_LEVEL_ERROR, "front", "the supervisor does not read; a message to it is lost");
        fd_close(&fd);
        return;
    }
    struct unsent *u = mem_alloc(sizeof *u + len);
    u->fd = fd;
    u->len = len;
    memcpy(u->bytes, bytes, len);
    list_append(&wire.unsent, &u->link);
    ++wire.count;
}

/* false: the socket is full. A broken socket shows when the main thread reads from it. */
static bool send_now(const char *bytes, size_t len, int fd)
{
    ssize_t sent = fd_send_message(wire.fd, bytes, len, &fd, fd != -1 ? 1 : 0);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
        return false;
    fd_close(&fd);
    return true;
}

static void flush_unsent(void)
{
    pthread_mutex_lock(&wire.lock);
    struct list *node;
    while ((node = list_first(&wire.unsent)) != NULL) {
        struct unsent *u = LIST_ENTRY(node, struct unsent, link);
        if (!send_now(u->bytes, u->len, u->fd))
            break;
        list_unlink(&u->link);
        --wire.count;
        mem_free(&u);
    }
    pthread_mutex_unlock(&wire.lock);
}

void link_send(const struct wire_control *control, int fd)
{
    char bytes[WIRE_CONTROL_MAX];
    struct wire_control cut = *control;
    if (cut.text.len > WIRE_CONTROL_MAX / 2)
        cut.text.len = WIRE_CONTROL_MAX / 2;
    size_t len = wire_control_encode(&cut, bytes, sizeof bytes);
    assert(len != 0);
    pthread_mutex_lock(&wire.lock);
    if (!list_empty(&wire.unsent) || !send_now(bytes, len, fd))
        enqueue_locked(bytes, len, fd);
    pthread_mutex_unlock(&wire.lock);
}

static void tell(const struct wire_control *m)
{
    link_send(m, -1);
}

/* ---- the main thread's own tasks -------------------------------------------------------------------------------- */

static struct {
    struct loop loop;
    pthread_mutex_t lock;
    struct list tasks; /* oldest first */
    int wake;          /* eventfd */
} home = {.lock = PTHREAD_MUTEX_INITIALIZER, .tasks = {&home.tasks, &home.tasks}, .wake = -1};

static void post_home(struct loop *loop, struct loop_task *task)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&home.lock);
    list_append(&home.tasks, &task->link);
    pthread_mutex_unlock(&home.lock);
    ssize_t written = write(home.wake, &one, sizeof one);
    (void)written; /* full means that the thread is being woken already */
}

static struct loop_task *next_task(void)
{
    pthread_mutex_lock(&home.lock);
    struct list *node = list_pop(&home.tasks);
    pthread_mutex_unlock(&home.lock);
    return node == NULL ? NULL : LIST_ENTRY(node, struct loop_task, link);
}

static void run_tasks(void)
{
    uint64_t posts;
    struct loop_task *task;
    ssize_t got = read(home.wake, &posts, sizeof posts); /* before the tasks are taken, or a wake could be lost */
    (void)got;
    while ((task = next_task()) != NULL)
        task->run(task);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

bool link_init(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        return false;
    wire.fd = fd;
    list_init(&wire.unsent);
    return fd_set_cloexec(fd, true) && fd_set_nonblocking(fd, true);
}

void link_discard_fds(struct link_message *message)
{
    for (size_t i = 0; i != message->nfds; ++i)
        fd_close(&message->fds[i]);
    message->nfds = 0;
}

/* false: nothing there just now */
static bool receive(struct link_message *m)
{
    ssize_t len = fd_receive_message(wire.fd, m->bytes, sizeof m->bytes, m->fds, &m->nfds);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (len <= 0)
        _exit(0); /* the supervisor is gone; its own words, if any, have been said */
    if (!wire_control_decode(&m->control, m->bytes, (size_t)len)) {
        log_write(LOG_LEVEL_ERROR, "front", "the supervisor sent a message that this version does not understand");
        _exit(1);
    }
    return true;
}

void link_receive(struct link_message *message_r)
{
    while (!receive(message_r)) {
        struct pollfd p = {.fd = wire.fd, .events = POLLIN};
        (void)poll(&p, 1, -1); /* ends at the latest when the supervisor does */
    }
}

/* ---- obeying ---------------------------------------------------------------------------------------------------- */

static void answer_status(struct generation *generation, uint32_t number)
{
    struct buf json = {NULL};
    status_json(generation, &json);
    int fd = fd_memory("status", json.base, json.len);
    if (fd == -1)
        log_write(LOG_LEVEL_ERROR, "front", "status: %s", strerror(errno));
    else
        link_send(&(struct wire_control){.type = WIRE_STATUS, .count = number}, fd);
    buf_free(&json);
}

static void drain(int64_t within_us, unsigned why)
{
    if (watch.draining)
        return;
    watch.draining = true;
    watch.drain_deadline_us = clock_us() + within_us;
    thread_drain_all(watch.drain_deadline_us, why == WIRE_DRAIN_STOP ? WS_CODE_GOING_AWAY : WS_CODE_RESTART);
}

/* fd 2 as well: what does not pass through the log, as the last words of an assertion, goes there */
static void reopen(struct link_message *m, const struct link_logs *logs)
{
    bool is_own = m->control.slot == WIRE_LOG_OWN;
    struct writer *writer = is_own ? logs->own : logs->access;
    if (writer == NULL || m->nfds != 1)
        return;
    if (!writer_set_fd(writer, m->fds[0]) || (is_own && dup2(m->fds[0], STDERR_FILENO) == -1))
        log_write(LOG_LEVEL_ERROR, "front", "%s: %s; still writing to the former file", is_own ? "log" : "access log",
                  strerror(errno));
    else if (is_own)
        log_look_at_stderr();
}

static void take_admin_client(struct link_message *m)
{
    if (m->nfds != 1)
        return;
    thread_serve_admin(m->fds[0]);
    m->fds[0] = -1;
}

static void obey_about_backend(const struct wire_control *c)
{
    char text[WIRE_CONTROL_MAX];
    memcpy(text, c->text.base != NULL ? c->text.base : "", c->text.len);
    text[c->text.len] = '\0';
    switch (c->type) {
    case WIRE_GRANT:
        generation_grant(c->backend, c->slot, c->generation, c->pid, c->count, text);
        break;
    case WIRE_RECALL:
        generation_recall(c->backend, c->slot, c->generation);
        break;
    case WIRE_LOST:
        generation_lost(c->backend, c->slot, c->generation, text);
        break;
    case WIRE_WORKER:
        generation_worker(c->backend, c->slot, c->generation, c->pid, text, c->count);
        break;
    case WIRE_PAUSE:
        if (c->count != 0)
            generation_pause(c->backend, c->at_us);
        else
            generation_resume(c->backend);
        watch.awaits_quiet = true;
        break;
    case WIRE_RESIZE:
        generation_resize(c->backend, c->count);
        break;
    default:
        generation_down(c->backend, c->count != 0, text);
        break;
    }
}

static void obey(struct link_message *m, const struct link_logs *logs)
{
    const struct wire_control *c = &m->control;
    switch (c->type) {
    case WIRE_GRANT:
    case WIRE_RECALL:
    case WIRE_LOST:
    case WIRE_WORKER:
    case WIRE_DOWN:
    case WIRE_PAUSE:
    case WIRE_RESIZE:
        obey_about_backend(c);
        break;
    case WIRE_STATUS_ASK:
        answer_status(reload_current(), c->count);
        break;
    case WIRE_DRAIN:
        drain(c->at_us, c->count);
        break;
    case WIRE_LEAVE:
        thread_leave_all();
        break;
    case WIRE_LOG_LEVEL:
        if (c->count < LOG_LEVEL_COUNT)
            log_set_level((enum log_level)c->count);
        break;
    case WIRE_REOPEN:
        reopen(m, logs);
        break;
    case WIRE_ADMIN_CLIENT:
        take_admin_client(m);
        break;
    default:
        reload_obey(m);
        break;
    }
    link_discard_fds(m);
}

/* ---- the tick --------------------------------------------------------------------------------------------------- */

static bool all_loops_turned(void)
{
    bool all = true;
    for (unsigned i = 0; i != front_nthreads; ++i) {
        uint64_t beats = atomic_load_explicit(&front_threads[i].beats, memory_order_relaxed);
        all = all && beats != watch.beats[i];
    }
    return all;
}

static void beat(int64_t now_us)
{
    if (now_us < watch.heartbeat_at_us)
        return;
    watch.heartbeat_at_us = now_us + HEARTBEAT_US;
    steady_clock_adjust();
    if (!all_loops_turned())
        return;
    for (unsigned i = 0; i != front_nthreads; ++i)
        watch.beats[i] = atomic_load_explicit(&front_threads[i].beats, memory_order_relaxed);
    link_send(&(struct wire_control){.type = WIRE_HEARTBEAT}, -1);
}

static void end_when_drained(struct writer *access, int64_t now_us)
{
    if (!thread_all_drained() && now_us < watch.drain_deadline_us)
        return;
    if (access != NULL)
        writer_stop(&access);
    link_send(&(struct wire_control){.type = WIRE_DRAINED}, -1);
    _exit(0);
}

static void wait_for_news(int64_t now_us)
{
    struct pollfd p[2] = {{.fd = wire.fd, .events = POLLIN}, {.fd = home.wake, .events = POLLIN}};
    int64_t until_us = watch.heartbeat_at_us;
    if (watch.draining && until_us > now_us + DRAIN_LOOK_US)
        until_us = now_us + DRAIN_LOOK_US;
    if (watch.awaits_quiet && until_us > now_us + QUIET_LOOK_US)
        until_us = now_us + QUIET_LOOK_US;
    pthread_mutex_lock(&wire.lock);
    if (!list_empty(&wire.unsent))
        p[0].events |= POLLOUT;
    pthread_mutex_unlock(&wire.lock);
    (void)poll(p, 2, until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000));
}

static void create_home(void)
{
    home.loop.post = post_home;
    home.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (home.wake == -1) {
        log_write(LOG_LEVEL_ERROR, "front", "eventfd: %s", strerror(errno));
        _exit(1);
    }
    generation_home = &home.loop;
}

void link_run(struct setup *setup, struct generation *generation, const struct link_logs *logs)
{
    static struct link_message message;
    create_home();
    reload_init(setup, generation, &home.loop);
    generation_tell = tell;
    watch.beats = mem_zalloc(front_nthreads * sizeof *watch.beats);
    watch.heartbeat_at_us = clock_us() + HEARTBEAT_US;
    for (;;) {
        wait_for_news(clock_us());
        while (receive(&message))
            obey(&message, logs);
        run_tasks();
        if (watch.awaits_quiet)
            watch.awaits_quiet = generation_tell_quiet(reload_current());
        flush_unsent();
        beat(clock_us());
        if (watch.draining)
            end_when_drained(logs->access, clock_us());
    }
}
