/* SPDX-License-Identifier: MIT
 *
 * test_heap: deadlines fire at their time, in order, once; and what callbacks may do to other deadlines meanwhile. A
 * random run is compared with a model that is too simple to be wrong.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/heap.h"

static struct heap heap;

struct waiter {
    struct deadline deadline; /* first: the deadline is cast back */
    char name;
    void (*action)(struct waiter *self);
    struct waiter *other;
    int64_t again_us;
};

static char fired[64];

static void on_expired(struct deadline *d)
{
    struct waiter *w = (struct waiter *)d;
    size_t n = strlen(fired);
    assert_false(deadline_armed(d));
    fired[n] = w->name;
    fired[n + 1] = '\0';
    if (w->action != NULL)
        w->action(w);
}

static struct waiter waiter(char name)
{
    return (struct waiter){.deadline.on_expired = on_expired, .name = name};
}

static int set_up(void **state)
{
    heap_init(&heap);
    fired[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    heap_destroy(&heap);
    return 0;
}

static void test_an_empty_heap_never_fires(void **state)
{
    assert_int_equal(heap_next_us(&heap), CLOCK_NEVER);
    assert_int_equal(heap_expire(&heap, INT64_MAX), 0);
}

static void test_deadlines_fire_in_order_of_time_and_not_early(void **state)
{
    struct waiter a = waiter('a'), b = waiter('b'), c = waiter('c');
    heap_arm(&heap, &c.deadline, 30);
    heap_arm(&heap, &a.deadline, 10);
    heap_arm(&heap, &b.deadline, 20);
    assert_int_equal(heap_next_us(&heap), 10);
    assert_int_equal(heap_expire(&heap, 9), 0);
    assert_int_equal(heap_expire(&heap, 20), 2);
    assert_string_equal(fired, "ab");
    assert_int_equal(heap_expire(&heap, 100), 1);
    assert_string_equal(fired, "abc");
    assert_int_equal(heap_next_us(&heap), CLOCK_NEVER);
}

static void test_arming_again_moves(void **state)
{
    struct waiter a = waiter('a'), b = waiter('b');
    heap_arm(&heap, &a.deadline, 10);
    heap_arm(&heap, &b.deadline, 20);
    heap_arm(&heap, &a.deadline, 30);
    assert_int_equal(heap_next_us(&heap), 20);
    heap_arm(&heap, &a.deadline, 5);
    assert_int_equal(heap_next_us(&heap), 5);
    assert_int_equal(heap_expire(&heap, 100), 2);
    assert_string_equal(fired, "ab");
}

static void test_disarming_is_idempotent(void **state)
{
    struct waiter a = waiter('a');
    heap_disarm(&heap, &a.deadline);
    heap_arm(&heap, &a.deadline, 10);
    assert_true(deadline_armed(&a.deadline));
    heap_disarm(&heap, &a.deadline);
    heap_disarm(&heap, &a.deadline);
    assert_false(deadline_armed(&a.deadline));
    assert_int_equal(heap_expire(&heap, 100), 0);
}

static void disarm_other(struct waiter *self)
{
    heap_disarm(&heap, &self->other->deadline);
    assert_false(deadline_armed(&self->other->deadline));
}

static void test_a_callback_disarms_one_that_is_due_in_the_same_turn(void **state)
{
    struct waiter a = waiter('a'), b = waiter('b'), c = waiter('c');
    a.action = disarm_other;
    a.other = &b;
    heap_arm(&heap, &a.deadline, 10);
    heap_arm(&heap, &b.deadline, 11);
    heap_arm(&heap, &c.deadline, 12);
    assert_int_equal(heap_expire(&heap, 20), 2);
    assert_string_equal(fired, "ac");
}

static void free_both(struct waiter *self)
{
    heap_disarm(&heap, &self->other->deadline);
    free(self->other);
    free(self);
}

static void test_a_callback_frees_its_object_and_another_that_is_due(void **state)
{
    struct waiter *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b)), c = waiter('c');
    *a = waiter('a');
    *b = waiter('b');
    a->action = free_both;
    a->other = b;
    heap_arm(&heap, &a->deadline, 10);
    heap_arm(&heap, &b->deadline, 11);
    heap_arm(&heap, &c.deadline, 12);
    assert_int_equal(heap_expire(&heap, 20), 2);
    assert_string_equal(fired, "ac");
}

static void arm_again(struct waiter *self)
{
    heap_arm(&heap, &self->deadline, self->again_us);
}

static void test_a_callback_that_arms_itself_waits_for_the_next_call(void **state)
{
    struct waiter a = waiter('a');
    a.action = arm_again;
    a.again_us = 5; /* overdue already */
    heap_arm(&heap, &a.deadline, 10);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(heap_expire(&heap, 20), 1);
        assert_int_equal(strlen(fired), i);
    }
    heap_disarm(&heap, &a.deadline);
}

static void arm_other(struct waiter *self)
{
    heap_arm(&heap, &self->other->deadline, self->again_us);
}

static void test_a_callback_moves_one_that_is_due_in_the_same_turn(void **state)
{
    struct waiter a = waiter('a'), b = waiter('b');
    a.action = arm_other;
    a.other = &b;
    a.again_us = 50;
    heap_arm(&heap, &a.deadline, 10);
    heap_arm(&heap, &b.deadline, 11);
    assert_int_equal(heap_expire(&heap, 20), 1);
    assert_string_equal(fired, "a");
    assert_int_equal(heap_next_us(&heap), 50);
    assert_int_equal(heap_expire(&heap, 50), 1);
    assert_string_equal(fired, "ab");
}

/* --- against a model --------------------------------------------------------------------------------------------- */

#define MODEL 300

struct modelled {
    struct deadline deadline;
    int64_t due_us; /* -1: not armed */
};

static struct modelled modelled[MODEL];
static int64_t now_us, last_us;
static size_t model_fired;

static void on_modelled(struct deadline *d)
{
    struct modelled *m = (struct modelled *)d;
    assert_true(m->due_us >= 0 && m->due_us <= now_us);
    assert_true(m->due_us >= last_us); /* in order */
    last_us = m->due_us;
    m->due_us = -1;
    model_fired++;
}

static void step(unsigned *seed)
{
    struct modelled *m = &modelled[(unsigned)rand_r(seed) % MODEL];
    if (rand_r(seed) % 3 != 0) {
        m->due_us = now_us + rand_r(seed) % 1000;
        heap_arm(&heap, &m->deadline, m->due_us);
    } else {
        m->due_us = -1;
        heap_disarm(&heap, &m->deadline);
    }
}

static void check_against_model(void)
{
    int64_t next = CLOCK_NEVER;
    for (size_t i = 0; i < MODEL; i++) {
        assert_int_equal(deadline_armed(&modelled[i].deadline), modelled[i].due_us >= 0);
        if (modelled[i].due_us >= 0 && modelled[i].due_us < next)
            next = modelled[i].due_us;
    }
    assert_int_equal(heap_next_us(&heap), next);
}

static void test_random_operations_agree_with_the_model(void **state)
{
    unsigned seed = 1;
    for (size_t i = 0; i < MODEL; i++)
        modelled[i] = (struct modelled){.deadline.on_expired = on_modelled, .due_us = -1};
    for (int round = 0; round < 3000; round++) {
        for (int i = 0; i < 20; i++)
            step(&seed);
        check_against_model();
        now_us += rand_r(&seed) % 200;
        last_us = model_fired = 0;
        size_t expired = heap_expire(&heap, now_us);
        assert_int_equal(expired, model_fired);
        check_against_model();
        assert_true(heap_next_us(&heap) > now_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_empty_heap_never_fires, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadlines_fire_in_order_of_time_and_not_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arming_again_moves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disarming_is_idempotent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_callback_disarms_one_that_is_due_in_the_same_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_callback_frees_its_object_and_another_that_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_callback_that_arms_itself_waits_for_the_next_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_callback_moves_one_that_is_due_in_the_same_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_operations_agree_with_the_model, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
