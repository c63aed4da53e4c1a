/* SPDX-License-Identifier: MIT
 *
 * thread: see thread.h. A turn of a loop: the library polls and runs callbacks, the tasks that this thread posted to
 * itself run (from a timer of the library with no delay, so that what they send still goes out in the same turn),
 * expired deadlines fire, the exchange ends its turn. What the last two send leaves sockets on the library's pending
 * lists, which it does not consider when it computes how long it may sleep: the next turn then polls without waiting.
 *
 * Everything of the library is created in the thread that uses it: its memory recyclers are per thread.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "front/thread.h"

#include "base/clock.h"
#include "base/mem.h"
#include "front/exchange.h"
#include "front/generation.h"
#include "front/link.h"
#include "front/listener.h"
#include "front/setup.h"
#include "front/sockets.h"
#include "front/steady_clock.h"
#include "front/sweep.h"
#include "front/thread_private.h"
#include "front/ws_session.h"

/* longest sleep of a loop: a beat for the heartbeat comes at least this often */
#define WAIT_MAX_MS 200

struct front_thread *front_threads;
unsigned front_nthreads;

static __thread struct front_thread *current;

struct front_thread *thread_current(void)
{
    return current;
}

/* ---- posting ---------------------------------------------------------------------------------------------------- */

/* A zero-delay timer runs in the same turn of the library, and one that is set again by what it runs would never let
 * the turn end: tasks that tasks post wait for the next turn. */
static void arm_local_timer(struct front_thread *thread)
{
    struct front_private *p = thread->p;
    if (!p->local_running && !h2o_timeout_is_linked(&p->local_timer))
        h2o_timeout_link(thread->ctx.loop, &thread->ctx.zero_timeout, &p->local_timer);
}

static void on_local_timer(h2o_timeout_entry_t *entry)
{
    struct front_private *p = current->p;
    struct list batch = {&batch, &batch}, *node;
    while ((node = list_pop(&p->local_tasks)) != NULL)
        list_append(&batch, node);
    p->local_running = true;
    while ((node = list_pop(&batch)) != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        task->run(task);
    }
    p->local_running = false;
}

static void wake(struct front_private *p)
{
    static const uint64_t one = 1;
    ssize_t written = write(p->wake_fd, &one, sizeof one);
    (void)written; /* full means that the thread is being woken already */
}

static void post_remote(struct front_private *p, struct loop_task *task)
{
    struct list *top = atomic_load_explicit(&p->remote_tasks, memory_order_relaxed);
    do {
        task->link.next = top;
    } while (!atomic_compare_exchange_weak_explicit(&p->remote_tasks, &top, &task->link, memory_order_release,
                                                    memory_order_relaxed));
    if (top == NULL)
        wake(p);
}

static void post(struct loop *loop, struct loop_task *task)
{
    struct front_thread *thread = front_thread_of_loop(loop);
    if (thread != current) {
        post_remote(thread->p, task);
        return;
    }
    list_append(&thread->p->local_tasks, &task->link);
    arm_local_timer(thread);
}

/* oldest first */
static struct list *take_remote_tasks(struct front_private *p)
{
    struct list *stack = atomic_exchange_explicit(&p->remote_tasks, NULL, memory_order_acquire), *queue = NULL;
    while (stack != NULL) {
        struct list *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
    struct front_private *p = sock->data;
    uint64_t posts;
    ssize_t got = read(p->wake_fd, &posts, sizeof posts); /* before the tasks are taken, or a wake could be lost */
    (void)got;
    struct list *node = take_remote_tasks(p);
    while (node != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        node = node->next;
        list_init(&task->link);
        task->run(task);
    }
}

/* ---- clients from the control socket --------------------------------------------------------------------------- */

struct newcomer {
    struct loop_task task;
    int fd;
};

static void on_newcomer(struct loop_task *task)
{
    struct newcomer *n = (struct newcomer *)task;
    listener_take(&current->p->control, n->fd);
    mem_free(&n);
}

void thread_serve_admin(int fd)
{
    struct newcomer *n = mem_zalloc(sizeof *n);
    n->task.run = on_newcomer;
    n->fd = fd;
    loop_post(&front_threads[0].loop, &n->task);
}

/* ---- draining --------------------------------------------------------------------------------------------------- */

/* Their leave is spread over this much of the time; the last to leave have the rest for their closing handshake. */
#define LEAVE_PERCENT 80
/* From here on they are cut, a little before the process ends, so that each still has its line in the log. */
#define CUT_PERCENT 95

static void drain_sessions(struct front_thread *thread)
{
    struct front_private *p = thread->p;
    int64_t now_us = thread->loop.now_us, left_us = p->drain_deadline_us - now_us;
    if (left_us < 0)
        left_us = 0;
    p->sessions_deadline_us = now_us + left_us * CUT_PERCENT / 100;
    ws_sessions_leave(thread->door, p->drain_close_code, left_us * LEAVE_PERCENT / 100);
}

static void on_drain(struct loop_task *task)
{
    struct front_thread *thread = current;
    struct front_private *p = thread->p;
    thread->draining = true;
    for (size_t i = 0; i != p->nlisteners; ++i)
        listener_close(p->listeners[i]);
    p->nlisteners = 0;
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind) {
        h2o_context_request_shutdown(p->contexts[kind]);
    }
    drain_sessions(thread);
    sweep_hurry(thread);
}

static _Atomic bool is_leaving;

void thread_leave_all(void)
{
    atomic_store(&is_leaving, true);
}

bool thread_is_leaving(void)
{
    return atomic_load_explicit(&is_leaving, memory_order_relaxed);
}

void thread_drain_all(int64_t deadline_us, unsigned close_code)
{
    thread_leave_all();
    for (unsigned i = 0; i != front_nthreads; ++i) {
        struct front_private *p = front_threads[i].p;
        if (atomic_exchange(&p->drain_asked, true))
            continue;
        p->drain_deadline_us = deadline_us;
        p->drain_close_code = close_code;
        p->drain_task.run = on_drain;
        loop_post(&front_threads[i].loop, &p->drain_task);
    }
}

bool thread_all_drained(void)
{
    for (unsigned i = 0; i != front_nthreads; ++i) {
        if (!atomic_load_explicit(&front_threads[i].p->drained, memory_order_acquire))
            return false;
    }
    return true;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static int32_t wait_ms(const struct front_thread *thread)
{
    const h2o_evloop_t *loop = thread->ctx.loop;
    if (loop->_pending_as_server != NULL || loop->_pending_as_client != NULL)
        return 0;
    int64_t next_us = heap_next_us(&thread->loop.deadlines);
    if (next_us == CLOCK_NEVER)
        return WAIT_MAX_MS;
    int64_t wait_us = next_us - clock_us();
    return wait_us <= 0 ? 0 : wait_us >= WAIT_MAX_MS * 1000 ? WAIT_MAX_MS : (int32_t)((wait_us + 999) / 1000);
}

static void turn(struct front_thread *thread)
{
    if (!list_empty(&thread->p->local_tasks))
        arm_local_timer(thread);
    /* -1 (a signal): nothing was lost, the next turn does it */
    (void)h2o_evloop_run(thread->ctx.loop, wait_ms(thread));
    thread->loop.now_us = clock_us();
    heap_expire(&thread->loop.deadlines, thread->loop.now_us);
    exchange_turn(thread);
    atomic_fetch_add_explicit(&thread->beats, 1, memory_order_relaxed);
}

/* what fails of a thread's set-up has no remedy there */
static void die(const struct front_thread *thread, const char *what)
{
    char why[256];
    snprintf(why, sizeof why, "loop thread %u: %s: %s", thread->index, what, strerror(errno));
    link_send(&(struct wire_control){.type = WIRE_FAILED, .text = str_of(why)}, -1);
    _exit(1);
}

static void create_contexts(struct front_thread *thread)
{
    const struct setup *setup = thread->p->setup;
    h2o_evloop_t *loop = h2o_evloop_create();
    /* The library would begin each connection's input with two reads' worth of room, and a request that waits keeps it. One
     * holds nearly every head; longer ones grow. The prototype is the thread's own. */
    h2o_socket_buffer_prototype._initial_buf.capacity = H2O_SOCKET_INITIAL_INPUT_BUFFER_SIZE;
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind) {
        thread->p->contexts[kind] = kind == SETUP_KIND_CLIENT ? &thread->ctx : mem_alloc(sizeof(h2o_context_t));
        h2o_context_init(thread->p->contexts[kind], loop, setup->library[kind]);
    }
    thread->globalconf = setup->library[SETUP_KIND_CLIENT];
    thread->loop.h2o = &thread->ctx;
}

static void create_wake(struct front_thread *thread)
{
    struct front_private *p = thread->p;
    p->wake = h2o_evloop_socket_create(thread->ctx.loop, p->wake_fd, H2O_SOCKET_FLAG_DONT_READ);
    p->wake->data = p;
    h2o_socket_read_start(p->wake, on_wake);
}

/* One of `before`, which it leaves, or a new one. */
static struct listener *take_listener(struct front_thread *thread, struct listener **before, size_t nbefore,
                                      struct sockets_entry *entry)
{
    for (size_t i = 0; i != nbefore; ++i) {
        struct listener *listener = before[i];
        if (listener == NULL || !listener_is(listener, entry))
            continue;
        listener_renew(listener, entry);
        before[i] = NULL;
        return listener;
    }
    return listener_open(thread, entry);
}

/* All that there are to be: the conf's, of which those that are there already go on, and no others. */
static void take_sockets(struct front_thread *thread, struct sockets *sockets)
{
    struct front_private *p = thread->p;
    struct listener **before = p->listeners;
    size_t nbefore = p->nlisteners;
    p->listeners = mem_zalloc((sockets->count + 1) * sizeof(struct listener *));
    for (size_t i = 0; i != sockets->count; ++i)
        p->listeners[i] = take_listener(thread, before, nbefore, &sockets->entries[i]);
    p->nlisteners = sockets->count;
    for (size_t i = 0; i != nbefore; ++i) {
        if (before[i] != NULL)
            listener_retire(before[i]);
    }
    mem_free(&before);
}

static pthread_barrier_t all_serving;

static void *thread_main(void *arg)
{
    struct front_thread *thread = arg;
    char name[16];
    current = thread;
    snprintf(name, sizeof name, "loop/%u", thread->index);
    pthread_setname_np(pthread_self(), name);
    thread->loop.now_us = clock_us();
    steady_clock_report_to(&thread->loop.now_us);
    create_contexts(thread);
    create_wake(thread);
    exchange_thread_init(thread);
    sweep_start(thread);
    listener_open_unbound(&thread->p->control, thread);
    take_sockets(thread, thread->p->sockets);
    thread->p->sockets = NULL;
    pthread_barrier_wait(&all_serving);
    for (;;)
        turn(thread);
    return NULL;
}

/* What other threads may touch from the first moment on. */
static void prepare(struct front_thread *thread, const struct setup *setup, struct generation *generation,
                    struct sockets *sockets)
{
    struct front_private *p = mem_zalloc(sizeof *p);
    thread->p = p;
    thread->loop.id = thread->index;
    thread->loop.post = post;
    thread->loop.now_us = clock_us();
    heap_init(&thread->loop.deadlines);
    list_init(&thread->conns);
    thread->generation = generation_ref(generation);
    p->setup = setup;
    p->sockets = sockets;
    list_init(&p->local_tasks);
    p->local_timer.cb = on_local_timer;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd == -1)
        die(thread, "eventfd");
}

/* Signals are the main thread's. */
static void start(struct front_thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->p->id, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        errno = failed;
        die(thread, "pthread_create");
    }
}

void thread_start_all(const struct setup *setup, struct generation *generation, struct sockets *sockets, unsigned count,
                      struct writer_ring **access_rings)
{
    assert(front_threads == NULL && count != 0);
    struct front_thread *threads = mem_zalloc(count * sizeof *threads);
    pthread_barrier_init(&all_serving, NULL, count + 1);
    for (unsigned i = 0; i != count; ++i) {
        threads[i].index = i;
        threads[i].count = count;
        threads[i].access_ring = access_rings != NULL ? access_rings[i] : NULL;
        prepare(&threads[i], setup, generation, sockets);
    }
    front_threads = threads;
    front_nthreads = count;
    for (unsigned i = 0; i != count; ++i)
        start(&threads[i]);
    pthread_barrier_wait(&all_serving);
}

/* ---- another conf ----------------------------------------------------------------------------------------------- */

static struct {
    struct generation *generation;
    struct sockets *sockets;
    struct loop *home;
    struct loop_task *done;
    _Atomic unsigned left; /* loops that have not gone over yet */
} swap;

static void on_swap(struct loop_task *task)
{
    struct front_thread *thread = current;
    struct generation *before = thread->generation;
    thread->generation = generation_ref(swap.generation);
    if (!thread->draining)
        take_sockets(thread, swap.sockets);
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; ++kind)
        setup_adapt_context(thread->p->contexts[kind], swap.generation->conf);
    ws_sessions_renew(thread->door);
    generation_unref(before);
    if (atomic_fetch_sub(&swap.left, 1) == 1)
        loop_post(swap.home, swap.done);
}

void thread_swap_all(struct generation *generation, struct sockets *sockets, struct loop *home, struct loop_task *done)
{
    assert(atomic_load(&swap.left) == 0);
    swap.generation = generation;
    swap.sockets = sockets;
    swap.home = home;
    swap.done = done;
    atomic_store(&swap.left, front_nthreads);
    for (unsigned i = 0; i != front_nthreads; ++i) {
        front_threads[i].p->swap_task.run = on_swap;
        loop_post(&front_threads[i].loop, &front_threads[i].p->swap_task);
    }
}
