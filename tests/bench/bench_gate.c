/* SPDX-License-Identifier: MIT
 *
 * bench_gate: what admission costs a call, in nanoseconds, without a loop around it:
 *
 *   uncontended  enter + release of a gate with a free slot, one thread
 *   queued       the same through the queue: enter (waits), the release before it, grant, message, release
 *   cancelled    enter (waits) + cancel, with a thousand others waiting
 *   contended    enter + release by several threads at once, each on its own CPU if there are enough
 *
 * usage: bench_gate [threads]
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gate/gate.h"

#define ROUNDS  3000000
#define WAITING 1000

/* a loop that is a plain queue, turned by hand */
struct queue_loop {
    struct loop loop;
    struct list posted;
};

static void post(struct loop *loop, struct loop_task *task)
{
    list_append(&((struct queue_loop *)loop)->posted, &task->link);
}

static void turn(struct queue_loop *l)
{
    struct list *node;
    while ((node = list_pop(&l->posted)) != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        task->run(task);
    }
}

static void on_message(struct gate_ticket *ticket)
{
}

static void report(const char *what, int64_t started_us, int rounds)
{
    printf("%-12s %7.1f ns\n", what, (double)(clock_us() - started_us) * 1000 / rounds);
}

static void pass(struct gate *gate, struct gate_ticket *ticket, struct loop *loop, int64_t now_us)
{
    if (gate_enter(gate, ticket, loop, on_message, now_us) != GATE_ENTERED)
        abort();
    gate_release(gate, ticket, now_us);
}

static void bench_uncontended(struct queue_loop *l)
{
    struct gate *gate = gate_create(8, 80);
    struct gate_ticket ticket = {0};
    int64_t started_us = clock_us();
    for (int i = 0; i < ROUNDS; i++)
        pass(gate, &ticket, &l->loop, started_us + i);
    report("uncontended", started_us, ROUNDS);
    gate_free(&gate);
}

static void bench_queued(struct queue_loop *l)
{
    struct gate *gate = gate_create(1, 1);
    struct gate_ticket tickets[2] = {0};
    int64_t started_us = clock_us();
    gate_enter(gate, &tickets[0], &l->loop, on_message, started_us);
    for (int i = 0; i < ROUNDS; i++) {
        struct gate_ticket *running = &tickets[i % 2], *next = &tickets[(i + 1) % 2];
        if (gate_enter(gate, next, &l->loop, on_message, started_us + i) != GATE_WAIT)
            abort();
        gate_release(gate, running, started_us + i);
        turn(l);
    }
    report("queued", started_us, ROUNDS);
    gate_release(gate, &tickets[ROUNDS % 2], started_us + ROUNDS);
    gate_free(&gate);
}

static void bench_cancelled(struct queue_loop *l)
{
    struct gate *gate = gate_create(0, WAITING + 1);
    struct gate_ticket *waiting = mem_zalloc(WAITING * sizeof(*waiting)), ticket = {0};
    int64_t started_us = clock_us();
    for (int i = 0; i < WAITING; i++)
        gate_enter(gate, &waiting[i], &l->loop, on_message, started_us);
    for (int i = 0; i < ROUNDS; i++) {
        gate_enter(gate, &ticket, &l->loop, on_message, started_us + i);
        gate_cancel(gate, &ticket, started_us + i, on_message);
    }
    report("cancelled", started_us, ROUNDS);
    for (int i = 0; i < WAITING; i++)
        gate_cancel(gate, &waiting[i], started_us, on_message);
    gate_free(&gate);
    mem_free(&waiting);
}

static void *pass_often(void *arg)
{
    struct gate *gate = arg;
    struct queue_loop l = {.loop.post = post};
    struct gate_ticket ticket = {0};
    list_init(&l.posted);
    for (int i = 0; i < ROUNDS; i++)
        pass(gate, &ticket, &l.loop, i + 1);
    return NULL;
}

static void bench_contended(unsigned threads)
{
    struct gate *gate = gate_create(threads, threads);
    pthread_t *ids = mem_zalloc(threads * sizeof(*ids));
    int64_t started_us = clock_us();
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, pass_often, gate) != 0)
            abort();
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    printf("%u threads: ", threads);
    report("contended", started_us, ROUNDS);
    gate_free(&gate);
    mem_free(&ids);
}

static void *do_nothing(void *arg)
{
    return NULL;
}

/* Locks are cheaper in a process that never had a second thread; the front always has one. */
static void leave_single_threaded_mode(void)
{
    pthread_t id;
    if (pthread_create(&id, NULL, do_nothing, NULL) != 0)
        abort();
    pthread_join(id, NULL);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    struct queue_loop l = {.loop.post = post};
    list_init(&l.posted);
    if (threads < 1 || threads > 64) {
        fprintf(stderr, "usage: bench_gate [threads]   (1 to 64; default 2)\n");
        return 2;
    }
    leave_single_threaded_mode();
    bench_uncontended(&l);
    bench_queued(&l);
    bench_cancelled(&l);
    bench_contended((unsigned)threads);
    return 0;
}
