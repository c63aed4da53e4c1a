/* SPDX-License-Identifier: MIT
 *
 * test_gate_threads: one gate between four real threads, each a loop with a locked queue of messages. The threads
 * enter, cancel, release and resize at random; at the end everything must have come back. Meant to be run under
 * ThreadSanitizer too. While the limit is constant the threads also count the slots that are really held.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "gate/gate.h"

#define THREADS    4
#define OPERATIONS 50000 /* per thread */
#define CALLS      16    /* per thread, at once */
#define LIMIT      6
#define QUEUE      30

struct thread {
    struct loop loop; /* first: the loop is cast back */
    pthread_t id;
    pthread_mutex_t lock; /* guards `posted` */
    pthread_cond_t came;
    struct list posted;
    struct gate *gate;
    unsigned seed;
    bool resizes;
    struct stress_call {
        struct gate_ticket ticket;
        struct thread *thread;
        enum { FREE, WAITING, RUNNING, LEAVING } state;
    } calls[CALLS];
    unsigned pending; /* calls not FREE */
    unsigned long grants, late_cancels;
};

static atomic_int held, most_held;

static void took_slot(void)
{
    int n = atomic_fetch_add(&held, 1) + 1, most = atomic_load(&most_held);
    while (n > most && !atomic_compare_exchange_weak(&most_held, &most, n))
        ;
}

static void post(struct loop *loop, struct loop_task *task)
{
    struct thread *t = (struct thread *)loop;
    pthread_mutex_lock(&t->lock);
    list_append(&t->posted, &task->link);
    pthread_cond_signal(&t->came);
    pthread_mutex_unlock(&t->lock);
}

static void run_posted(struct thread *t, bool wait)
{
    struct list *node;
    pthread_mutex_lock(&t->lock);
    while (wait && list_empty(&t->posted))
        pthread_cond_wait(&t->came, &t->lock);
    while ((node = list_pop(&t->posted)) != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        pthread_mutex_unlock(&t->lock);
        task->run(task);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

static void set_free(struct stress_call *call)
{
    call->state = FREE;
    call->thread->pending--;
}

static void on_granted(struct gate_ticket *ticket)
{
    struct stress_call *call = (struct stress_call *)ticket;
    if (call->state != WAITING)
        abort(); /* cmocka's assertions are for the test's own thread */
    call->state = RUNNING;
    call->thread->grants++;
    took_slot();
}

static void on_cancelled(struct gate_ticket *ticket)
{
    struct stress_call *call = (struct stress_call *)ticket;
    if (call->state != LEAVING)
        abort();
    call->thread->late_cancels++;
    set_free(call);
}

static void enter(struct thread *t, struct stress_call *call)
{
    enum gate_verdict verdict = gate_enter(t->gate, &call->ticket, &t->loop, on_granted, clock_us());
    if (verdict == GATE_FULL)
        return;
    t->pending++;
    call->state = verdict == GATE_ENTERED ? RUNNING : WAITING;
    if (verdict == GATE_ENTERED)
        took_slot();
}

static void cancel(struct thread *t, struct stress_call *call)
{
    call->state = LEAVING;
    if (gate_cancel(t->gate, &call->ticket, clock_us(), on_cancelled))
        set_free(call);
}

static void release(struct thread *t, struct stress_call *call)
{
    atomic_fetch_sub(&held, 1);
    gate_release(t->gate, &call->ticket, clock_us());
    set_free(call);
}

static void step(struct thread *t)
{
    struct stress_call *call = &t->calls[(unsigned)rand_r(&t->seed) % CALLS];
    int dice = rand_r(&t->seed) % 64;
    if (t->resizes && dice == 0)
        gate_resize(t->gate, (unsigned)rand_r(&t->seed) % (LIMIT + 1), clock_us());
    else if (call->state == FREE)
        enter(t, call);
    else if (call->state == WAITING && dice < 16)
        cancel(t, call);
    else if (call->state == RUNNING)
        release(t, call);
    if (dice < 32)
        run_posted(t, false);
}

static void finish(struct thread *t)
{
    if (t->resizes)
        gate_resize(t->gate, LIMIT, clock_us());
    while (t->pending != 0) {
        bool waits = true;
        for (int i = 0; i < CALLS; i++)
            if (t->calls[i].state == RUNNING) {
                release(t, &t->calls[i]);
                waits = false;
            }
        if (t->pending != 0)
            run_posted(t, waits);
    }
}

static void *run(void *arg)
{
    struct thread *t = arg;
    for (int i = 0; i < OPERATIONS; i++)
        step(t);
    finish(t);
    return NULL;
}

static void start(struct thread *t, struct gate *gate, unsigned index, bool resizes)
{
    *t = (struct thread){.loop = {.id = index, .post = post}, .gate = gate, .seed = index + 1, .resizes = resizes};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->came, NULL);
    list_init(&t->posted);
    for (int i = 0; i < CALLS; i++)
        t->calls[i].thread = t;
    assert_int_equal(pthread_create(&t->id, NULL, run, t), 0);
}

static void stress(bool resizes)
{
    static struct thread threads[THREADS];
    struct gate *gate = gate_create(LIMIT, QUEUE);
    unsigned long grants = 0, late_cancels = 0;
    atomic_store(&held, 0);
    atomic_store(&most_held, 0);
    for (unsigned i = 0; i < THREADS; i++)
        start(&threads[i], gate, i, resizes);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        assert_true(list_empty(&threads[i].posted));
        grants += threads[i].grants;
        late_cancels += threads[i].late_cancels;
    }
    struct gate_stats stats = gate_stats(gate, clock_us());
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.entered, stats.released);
    assert_int_equal(atomic_load(&held), 0);
    assert_true(grants > 0 && late_cancels > 0); /* the interesting ways were taken */
    assert_true(atomic_load(&most_held) <= LIMIT);
    gate_free(&gate);
}

static void test_four_loops_never_hold_more_than_the_limit(void **state)
{
    stress(false);
}

static void test_four_loops_with_a_changing_limit_lose_nothing(void **state)
{
    stress(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_loops_never_hold_more_than_the_limit),
        cmocka_unit_test(test_four_loops_with_a_changing_limit_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
