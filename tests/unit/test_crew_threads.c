/* SPDX-License-Identifier: MIT
 *
 * test_crew_threads: a crew shared by two loop threads while a third grants and takes away its workers: every call ends
 * exactly once, and what was bridged to a worker is given back whenever that was. Built for the thread sanitizer and the address sanitizer.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "executor/crew.h"
#include "rig.h"

#define OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LOOPS   2
#define WORKERS 3
#define CALLS   3000 /* a loop */
#define AT_ONCE 4    /* a loop; more than there are workers, so that calls wait in line, too */
#define BERTHS  8    /* a loop */

/* A worker that serves one connection after another until its socket is shut down. */
struct worker {
    struct backend backend;
    atomic_bool over;
};

static struct executor *ex;
static _Atomic unsigned slots;
static atomic_int kills;
static atomic_bool crew_freed;

static void on_slots(struct executor *unused, unsigned n, void *arg)
{
    (void)unused;
    (void)arg;
    atomic_store(&slots, n);
}

static void on_kill(struct executor *unused, unsigned slot, uint32_t generation, const char *why, void *arg)
{
    (void)unused;
    (void)arg;
    (void)why;
    atomic_fetch_add(&kills, 1);
    crew_lost(ex, slot, generation, "killed"); /* from within: the supervisor could not be faster */
}

static void serve(struct backend *b)
{
    struct worker *w = (struct worker *)b;
    for (;;) {
        int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd == -1 || atomic_load(&w->over)) {
            fd_close(&fd);
            return;
        }
        for (int n = 1; backend_read_request(b, fd); n++) {
            backend_say(fd, OK);
            if (n % 50 == 0)
                break; /* closes between calls now and then */
        }
        close(fd);
    }
}

static void worker_start(struct worker *w, unsigned slot, uint32_t generation)
{
    atomic_store(&w->over, false);
    backend_start(&w->backend, serve);
    crew_grant(ex, slot, generation, getpid(), 1, w->backend.path);
}

static void worker_end(struct worker *w)
{
    atomic_store(&w->over, true);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)!connect(fd, (struct sockaddr *)&w->backend.address, w->backend.address_len);
    close(fd);
    backend_stop(&w->backend);
}

static void worker_stop(struct worker *w, unsigned slot, uint32_t generation)
{
    crew_lost(ex, slot, generation, "recycled");
    worker_end(w);
}

struct thread {
    pthread_t pthread;
    struct rig rig;
    unsigned id;
    int answered, lost, abandoned, berthed;
    struct executor_berth berths[BERTHS];
    bool holds[BERTHS];
    atomic_bool done;
};

/* Gives back what the last round of this place took, and takes another. */
static void change_berth(struct thread *t, int n)
{
    int i = n % BERTHS;
    if (t->holds[i])
        ex->ops->unberth(&t->berths[i]);
    t->holds[i] = ex->ops->berth(ex, BERTHS, &t->berths[i]);
    t->berthed += t->holds[i] ? 1 : 0;
}

/* Some of them when the crew is gone already. */
static void give_berths_back(struct thread *t)
{
    for (int i = 0; i < BERTHS; i++)
        if (t->holds[i])
            t->berths[i].executor->ops->unberth(&t->berths[i]);
}

static void begin(struct thread *t, struct probe *p, int n)
{
    probe_init(p, &t->rig, ex, n % 3 == 0 ? "POST" : "GET", "/x");
    probe_start(p);
    if (n % 17 == 0)
        probe_abandon(p, EXECUTOR_CLIENT_LEFT);
    if (n % 101 == 0)
        probe_abandon(p, EXECUTOR_DEADLINE);
}

static void count(struct thread *t, struct probe *p)
{
    if (p->ends == 0)
        t->abandoned++;
    else if (p->reason == REASON_NONE)
        t->answered++;
    else
        t->lost++;
    probe_free(p);
}

static void *loop_main(void *arg)
{
    struct thread *t = arg;
    struct probe calls[AT_ONCE];
    bool running[AT_ONCE] = {false};
    int begun = 0, ended = 0;
    rig_init(&t->rig, t->id);
    while (ended < CALLS) {
        for (int i = 0; i < AT_ONCE; i++) {
            if (running[i] && calls[i].dones != 0) {
                count(t, &calls[i]);
                running[i] = false;
                ended++;
            }
            if (!running[i] && begun < CALLS) {
                change_berth(t, begun);
                begin(t, &calls[i], begun++);
                running[i] = true;
            }
        }
        rig_turn(&t->rig, 10);
    }
    atomic_store(&t->done, true);
    while (!atomic_load(&crew_freed))
        rig_turn(&t->rig, 10);
    give_berths_back(t);
    rig_skip(&t->rig, 1000000); /* seats that rest are given back when they have rested */
    rig_destroy(&t->rig);
    return NULL;
}

static void calls_end_once_while_workers_come_and_go(void **state)
{
    static struct thread threads[LOOPS];
    static struct worker workers[WORKERS];
    uint32_t generation[WORKERS];
    struct crew_options options = {
        .backend = "shop",
        .run = CALL_CLASS_WORKERS,
        .protocol = CREW_HTTP,
        .loops = LOOPS,
        .connect_timeout_us = 2000000,
        .first_byte_timeout_us = 3000000,
        .idle_timeout_us = 3000000,
        .keep_alive_us = 60000000,
        .response_head_max = 65536,
        .response_fields_max = 100,
        .response_interim_max = 10,
    };
    (void)state;
    ex = crew_create(&options);
    ex->on_slots = on_slots;
    ex->kill_worker = on_kill;
    for (unsigned i = 0; i < WORKERS; i++)
        worker_start(&workers[i], i, generation[i] = 1);
    for (unsigned i = 0; i < LOOPS; i++) {
        threads[i].id = i;
        pthread_create(&threads[i].pthread, NULL, loop_main, &threads[i]);
    }
    for (unsigned i = 0; !atomic_load(&threads[0].done) || !atomic_load(&threads[1].done); i = (i + 1) % WORKERS) {
        worker_stop(&workers[i], i, generation[i]);
        worker_start(&workers[i], i, ++generation[i]);
        usleep(2000); /* the pace of the changes, not a synchronisation */
    }
    int answered = 0;
    ex->ops->free(ex);
    atomic_store(&crew_freed, true);
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(threads[i].pthread, NULL);
        assert_int_equal(threads[i].answered + threads[i].lost + threads[i].abandoned, CALLS);
        assert_true(threads[i].berthed > 0);
        answered += threads[i].answered;
    }
    assert_true(answered > CALLS); /* of 2 * CALLS; the rest was abandoned, or on a worker that was taken away */
    for (unsigned i = 0; i < WORKERS; i++)
        worker_end(&workers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_end_once_while_workers_come_and_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
