/* SPDX-License-Identifier: MIT
 *
 * test_gate: admission by one gate, over loops that are plain queues: a posted message waits until the test turns the
 * loop, so every interleaving of grant, cancel and release can be set up by hand. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gate/gate.h"

#define SECOND INT64_C(1000000)

struct fake_loop {
    struct loop loop;
    struct list posted;
};

struct fake_call {
    struct gate_ticket ticket;
    char name;
    bool granted, cancelled;
};

/* names of calls in the order in which their callbacks ran, "a" granted, "A" cancelled */
static char events[64];
static int64_t now = SECOND;

static void post(struct loop *loop, struct loop_task *task)
{
    list_append(&((struct fake_loop *)loop)->posted, &task->link);
}

static struct fake_loop *loop_init(struct fake_loop *l)
{
    *l = (struct fake_loop){.loop = {.post = post}};
    list_init(&l->posted);
    return l;
}

static void turn(struct fake_loop *l)
{
    struct list *node;
    while ((node = list_pop(&l->posted)) != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        task->run(task);
    }
}

static void note(char c)
{
    size_t n = strlen(events);
    assert_true(n + 1 < sizeof(events));
    events[n] = c;
    events[n + 1] = '\0';
}

static struct fake_call *call_of(struct gate_ticket *ticket)
{
    return (struct fake_call *)ticket;
}

static void on_granted(struct gate_ticket *ticket)
{
    assert_int_equal(ticket->state, GATE_STATE_RUNNING);
    call_of(ticket)->granted = true;
    note(call_of(ticket)->name);
}

static void on_cancelled(struct gate_ticket *ticket)
{
    assert_int_equal(ticket->state, GATE_STATE_OUT);
    call_of(ticket)->cancelled = true;
    note((char)(call_of(ticket)->name - 'a' + 'A'));
}

static enum gate_verdict enter(struct gate *gate, struct fake_call *call, char name, struct fake_loop *l)
{
    *call = (struct fake_call){.name = name};
    return gate_enter(gate, &call->ticket, &l->loop, on_granted, now);
}

static void release(struct gate *gate, struct fake_call *call)
{
    gate_release(gate, &call->ticket, now);
}

static void assert_counts(struct gate *gate, unsigned running, unsigned waiting)
{
    struct gate_stats stats = gate_stats(gate, now);
    assert_int_equal(stats.running, running);
    assert_int_equal(stats.waiting, waiting);
    assert_int_equal(stats.entered - stats.released, running);
}

static int reset(void **state)
{
    events[0] = '\0';
    now = SECOND;
    return 0;
}

static void test_admits_up_to_the_limit(void **state)
{
    struct fake_loop l;
    struct fake_call calls[3];
    struct gate *gate = gate_create(2, 10);
    loop_init(&l);
    assert_int_equal(enter(gate, &calls[0], 'a', &l), GATE_ENTERED);
    assert_int_equal(enter(gate, &calls[1], 'b', &l), GATE_ENTERED);
    assert_int_equal(enter(gate, &calls[2], 'c', &l), GATE_WAIT);
    assert_counts(gate, 2, 1);
    turn(&l);
    assert_string_equal(events, ""); /* who entered at once is not told again, and the third has no slot yet */
    release(gate, &calls[0]);
    assert_string_equal(events, ""); /* never before the loop turns */
    turn(&l);
    assert_string_equal(events, "c");
    release(gate, &calls[1]);
    release(gate, &calls[2]);
    assert_counts(gate, 0, 0);
    gate_free(&gate);
    assert_null(gate);
}

static void test_first_come_first_served_over_loops(void **state)
{
    struct fake_loop loops[3];
    struct fake_call calls[7];
    struct gate *gate = gate_create(1, 10);
    for (int i = 0; i < 3; i++)
        loop_init(&loops[i]);
    for (int i = 0; i < 7; i++)
        enter(gate, &calls[i], (char)('a' + i), &loops[i % 3]);
    for (int i = 0; i < 7; i++) {
        release(gate, &calls[i]);
        for (int j = 0; j < 3; j++)
            turn(&loops[j]);
    }
    assert_string_equal(events, "bcdefg");
    assert_counts(gate, 0, 0);
    gate_free(&gate);
}

static void test_message_goes_to_the_tickets_own_loop(void **state)
{
    struct fake_loop here, there;
    struct fake_call first, second;
    struct gate *gate = gate_create(1, 1);
    loop_init(&here);
    loop_init(&there);
    enter(gate, &first, 'a', &here);
    enter(gate, &second, 'b', &there);
    release(gate, &first);
    assert_true(list_empty(&here.posted));
    assert_false(list_empty(&there.posted));
    turn(&there);
    release(gate, &second);
    gate_free(&gate);
}

static void test_refuses_past_the_queue(void **state)
{
    struct fake_loop l;
    struct fake_call calls[4];
    struct gate *gate = gate_create(1, 1);
    loop_init(&l);
    assert_int_equal(enter(gate, &calls[0], 'a', &l), GATE_ENTERED);
    assert_int_equal(enter(gate, &calls[1], 'b', &l), GATE_WAIT);
    assert_int_equal(enter(gate, &calls[2], 'c', &l), GATE_FULL);
    assert_int_equal(calls[2].ticket.state, GATE_STATE_OUT);
    assert_int_equal(gate_stats(gate, now).full, 1);
    gate_set_queue(gate, 2);
    assert_int_equal(enter(gate, &calls[3], 'd', &l), GATE_WAIT);
    release(gate, &calls[0]);
    turn(&l);
    release(gate, &calls[1]);
    turn(&l);
    release(gate, &calls[3]);
    assert_string_equal(events, "bd");
    gate_free(&gate);
}

static void test_without_a_queue_refuses_at_the_limit(void **state)
{
    struct fake_loop l;
    struct fake_call calls[2];
    struct gate *gate = gate_create(1, 0);
    loop_init(&l);
    assert_int_equal(enter(gate, &calls[0], 'a', &l), GATE_ENTERED);
    assert_int_equal(enter(gate, &calls[1], 'b', &l), GATE_FULL);
    release(gate, &calls[0]);
    assert_int_equal(enter(gate, &calls[1], 'b', &l), GATE_ENTERED);
    release(gate, &calls[1]);
    gate_free(&gate);
}

static void test_cancel_while_waiting_leaves_the_queue_at_once(void **state)
{
    struct fake_loop l;
    struct fake_call calls[3];
    struct gate *gate = gate_create(1, 2);
    loop_init(&l);
    for (int i = 0; i < 3; i++)
        enter(gate, &calls[i], (char)('a' + i), &l);
    assert_true(gate_cancel(gate, &calls[1].ticket, now, on_cancelled));
    assert_int_equal(calls[1].ticket.state, GATE_STATE_OUT);
    memset(&calls[1], 0xee, sizeof(calls[1])); /* its memory is the caller's again */
    assert_counts(gate, 1, 1);
    release(gate, &calls[0]);
    turn(&l);
    assert_string_equal(events, "c");
    release(gate, &calls[2]);
    assert_counts(gate, 0, 0);
    assert_int_equal(gate_stats(gate, now).cancelled, 1);
    gate_free(&gate);
}

static void test_cancel_while_granted_passes_the_slot_on(void **state)
{
    struct fake_loop here, there;
    struct fake_call calls[3];
    struct gate *gate = gate_create(1, 2);
    loop_init(&here);
    loop_init(&there);
    enter(gate, &calls[0], 'a', &here);
    enter(gate, &calls[1], 'b', &here);
    enter(gate, &calls[2], 'c', &there);
    release(gate, &calls[0]); /* b is granted; its message is under way */
    assert_false(gate_cancel(gate, &calls[1].ticket, now, on_cancelled));
    assert_counts(gate, 1, 0);
    turn(&there);
    assert_string_equal(events, "c"); /* c need not wait for b's loop to turn */
    turn(&here);
    assert_string_equal(events, "cB"); /* and b hears of the end of its wait, not of a grant */
    release(gate, &calls[2]);
    assert_counts(gate, 0, 0);
    gate_free(&gate);
}

static void test_cancel_of_the_last_granted_frees_the_slot(void **state)
{
    struct fake_loop l;
    struct fake_call calls[3];
    struct gate *gate = gate_create(1, 2);
    loop_init(&l);
    enter(gate, &calls[0], 'a', &l);
    enter(gate, &calls[1], 'b', &l);
    release(gate, &calls[0]);
    assert_false(gate_cancel(gate, &calls[1].ticket, now, on_cancelled));
    assert_counts(gate, 0, 0);
    assert_int_equal(enter(gate, &calls[2], 'c', &l), GATE_ENTERED);
    release(gate, &calls[2]);
    gate_free(&gate); /* the message still to come does not need the gate */
    turn(&l);
    assert_string_equal(events, "B");
}

static void test_a_ticket_may_enter_again_after_its_message(void **state)
{
    struct fake_loop l;
    struct fake_call calls[2];
    struct gate *gate = gate_create(1, 2);
    loop_init(&l);
    enter(gate, &calls[0], 'a', &l);
    enter(gate, &calls[1], 'b', &l);
    release(gate, &calls[0]);
    assert_false(gate_cancel(gate, &calls[1].ticket, now, on_cancelled));
    turn(&l);
    assert_int_equal(gate_enter(gate, &calls[1].ticket, &l.loop, on_granted, now), GATE_ENTERED);
    release(gate, &calls[1]);
    gate_free(&gate);
}

static void test_raising_the_limit_admits_waiting_calls_in_order(void **state)
{
    struct fake_loop l;
    struct fake_call calls[5];
    struct gate *gate = gate_create(0, 10);
    loop_init(&l);
    for (int i = 0; i < 5; i++)
        assert_int_equal(enter(gate, &calls[i], (char)('a' + i), &l), GATE_WAIT);
    gate_resize(gate, 3, now);
    assert_counts(gate, 3, 2);
    turn(&l);
    assert_string_equal(events, "abc");
    gate_resize(gate, 10, now);
    turn(&l);
    assert_string_equal(events, "abcde");
    for (int i = 0; i < 5; i++)
        release(gate, &calls[i]);
    assert_counts(gate, 0, 0);
    gate_free(&gate);
}

static void test_lowering_the_limit_stops_admissions_until_it_is_met(void **state)
{
    struct fake_loop l;
    struct fake_call calls[5];
    struct gate *gate = gate_create(3, 10);
    loop_init(&l);
    for (int i = 0; i < 4; i++)
        enter(gate, &calls[i], (char)('a' + i), &l);
    gate_resize(gate, 1, now);
    assert_counts(gate, 3, 1);
    release(gate, &calls[0]);
    release(gate, &calls[1]);
    turn(&l);
    assert_string_equal(events, "");
    assert_int_equal(enter(gate, &calls[4], 'e', &l), GATE_WAIT);
    release(gate, &calls[2]);
    turn(&l);
    assert_string_equal(events, "d");
    gate_resize(gate, 0, now);
    release(gate, &calls[3]);
    turn(&l);
    assert_string_equal(events, "d"); /* nobody enters a gate without slots */
    assert_counts(gate, 0, 1);
    gate_resize(gate, 1, now);
    turn(&l);
    assert_string_equal(events, "de");
    release(gate, &calls[4]);
    gate_free(&gate);
}

static struct gate *asked;

static void post_and_ask(struct loop *loop, struct loop_task *task)
{
    gate_stats(asked, now); /* takes the gate's lock */
    post(loop, task);
}

static void test_messages_are_posted_without_the_lock(void **state)
{
    struct fake_loop l;
    struct fake_call calls[4];
    struct gate *gate = asked = gate_create(1, 3);
    loop_init(&l);
    l.loop.post = post_and_ask;
    for (int i = 0; i < 4; i++)
        enter(gate, &calls[i], (char)('a' + i), &l);
    alarm(10); /* a gate that locks itself out would wait for ever */
    release(gate, &calls[0]);
    gate_cancel(gate, &calls[1].ticket, now, on_cancelled);
    gate_resize(gate, 2, now);
    alarm(0);
    turn(&l);
    assert_string_equal(events, "Bcd");
    release(gate, &calls[2]);
    release(gate, &calls[3]);
    gate_free(&gate);
}

static void test_oldest_waiting_age(void **state)
{
    struct fake_loop l;
    struct fake_call calls[3];
    struct gate *gate = gate_create(1, 10);
    loop_init(&l);
    enter(gate, &calls[0], 'a', &l);
    assert_int_equal(gate_stats(gate, now + SECOND).oldest_waiting_us, 0);
    enter(gate, &calls[1], 'b', &l);
    assert_true(gate_stats(gate, now).oldest_waiting_us > 0);
    now += SECOND;
    enter(gate, &calls[2], 'c', &l);
    assert_int_equal(gate_stats(gate, now + SECOND).oldest_waiting_us, 2 * SECOND);
    gate_cancel(gate, &calls[1].ticket, now, on_cancelled);
    assert_int_equal(gate_stats(gate, now + SECOND).oldest_waiting_us, SECOND);
    gate_cancel(gate, &calls[2].ticket, now, on_cancelled);
    release(gate, &calls[0]);
    gate_free(&gate);
}

/* `served` calls through a saturated gate of one slot, one every `each_us` */
static void serve(struct gate *gate, struct fake_loop *l, int served, int64_t each_us)
{
    struct fake_call running, next;
    assert_int_equal(enter(gate, &running, 'a', l), GATE_ENTERED);
    for (int i = 0; i < served; i++) {
        now += each_us;
        release(gate, &running);
        if (i + 1 < served)
            assert_int_equal(enter(gate, &next, 'a', l), GATE_ENTERED);
        running = next;
    }
}

static void test_retry_after_is_the_drain_time_of_the_queue(void **state)
{
    struct fake_loop l;
    struct fake_call running, waiting[9];
    struct gate *gate = gate_create(1, 9);
    loop_init(&l);
    serve(gate, &l, 50, 500000);
    assert_int_equal(gate_retry_after_s(gate, now), 1); /* idle: half a second, rounded up */
    enter(gate, &running, 'a', &l);
    for (int i = 0; i < 9; i++)
        enter(gate, &waiting[i], 'b', &l);
    assert_int_equal(gate_retry_after_s(gate, now), 5); /* (9 + 1) * 0.5 s */
    for (int i = 0; i < 9; i++)
        gate_cancel(gate, &waiting[i].ticket, now, on_cancelled);
    release(gate, &running);
    gate_free(&gate);
}

static void test_retry_after_does_not_count_idle_time(void **state)
{
    struct fake_loop l;
    struct gate *gate = gate_create(1, 9);
    loop_init(&l);
    serve(gate, &l, 50, 100000);
    now += 3600 * SECOND;
    serve(gate, &l, 1, 100000);
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    gate_free(&gate);
}

static void test_retry_after_before_any_release(void **state)
{
    struct fake_loop l;
    struct fake_call running, waiting;
    struct gate *gate = gate_create(1, 9);
    loop_init(&l);
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    enter(gate, &running, 'a', &l);
    enter(gate, &waiting, 'b', &l);
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    now += 4 * SECOND; /* a slot takes 4 s at least: two calls, 8 s */
    assert_int_equal(gate_retry_after_s(gate, now), 8);
    now += 3600 * SECOND;
    assert_int_equal(gate_retry_after_s(gate, now), 60);
    gate_cancel(gate, &waiting.ticket, now, on_cancelled);
    release(gate, &running);
    gate_free(&gate);
}

static void test_clocks_of_two_loops_may_differ(void **state)
{
    struct fake_loop l;
    struct fake_call running, waiting;
    struct gate *gate = gate_create(1, 9);
    loop_init(&l);
    enter(gate, &running, 'a', &l);
    enter(gate, &waiting, 'b', &l);
    now -= SECOND / 2; /* the other loop took its time half a second ago */
    assert_true(gate_stats(gate, now).oldest_waiting_us > 0);
    release(gate, &running);
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    turn(&l);
    release(gate, &waiting);
    gate_free(&gate);
}

static void test_gates_beside_each_other_share_a_bound(void **state)
{
    struct fake_loop l;
    struct fake_call calls[6];
    struct gate *old = gate_create(2, 10), *new = gate_create_beside(old, 3, 10, 3);
    loop_init(&l);
    assert_int_equal(enter(old, &calls[0], 'a', &l), GATE_ENTERED);
    assert_int_equal(enter(old, &calls[1], 'b', &l), GATE_ENTERED);
    assert_int_equal(enter(new, &calls[2], 'c', &l), GATE_ENTERED);
    assert_int_equal(enter(new, &calls[3], 'd', &l), GATE_WAIT);
    assert_int_equal(enter(old, &calls[4], 'e', &l), GATE_WAIT);
    release(new, &calls[2]);
    turn(&l);
    assert_string_equal(events, "d"); /* the old one is at its own limit */
    release(old, &calls[0]);
    turn(&l);
    assert_string_equal(events, "de"); /* a place in both: the old one first */
    release(old, &calls[1]);
    release(old, &calls[4]);
    assert_counts(old, 0, 0);
    assert_int_equal(enter(new, &calls[0], 'f', &l), GATE_ENTERED);
    assert_int_equal(enter(new, &calls[1], 'g', &l), GATE_ENTERED);
    assert_int_equal(enter(old, &calls[2], 'h', &l), GATE_WAIT);
    assert_int_equal(enter(new, &calls[4], 'i', &l), GATE_WAIT);
    assert_true(gate_cancel(old, &calls[2].ticket, now, on_cancelled));
    release(new, &calls[0]);
    turn(&l);
    assert_string_equal(events, "dei");
    release(new, &calls[1]);
    release(new, &calls[3]);
    release(new, &calls[4]);
    gate_free(&old);
    gate_free(&new);
}

static void test_the_bound_goes_with_the_gate_beside(void **state)
{
    struct fake_loop l;
    struct fake_call calls[3];
    struct gate *old = gate_create(1, 10), *new = gate_create_beside(old, 2, 10, 1);
    loop_init(&l);
    enter(new, &calls[0], 'a', &l);
    assert_int_equal(enter(new, &calls[1], 'b', &l), GATE_WAIT);
    gate_free(&old);
    turn(&l);
    assert_string_equal(events, "b");
    assert_int_equal(enter(new, &calls[2], 'c', &l), GATE_WAIT);
    release(new, &calls[0]);
    release(new, &calls[1]);
    turn(&l);
    release(new, &calls[2]);
    gate_free(&new);
}

static void test_a_paused_gate_holds_those_who_come(void **state)
{
    struct fake_loop l;
    struct fake_call calls[4];
    struct gate *gate = gate_create(2, 2);
    loop_init(&l);
    assert_int_equal(enter(gate, &calls[0], 'a', &l), GATE_ENTERED);
    gate_pause(gate, 7 * SECOND);
    assert_true(gate_stats(gate, now).is_paused);
    assert_true(gate_hold_us(gate) == 7 * SECOND);
    assert_int_equal(enter(gate, &calls[1], 'b', &l), GATE_WAIT);
    release(gate, &calls[0]);
    turn(&l);
    assert_string_equal(events, "");
    assert_int_equal(gate_stats(gate, now).running_together, 0);
    assert_int_equal(enter(gate, &calls[2], 'c', &l), GATE_WAIT);
    assert_int_equal(enter(gate, &calls[3], 'd', &l), GATE_FULL);
    gate_resize(gate, 3, now);
    turn(&l);
    assert_string_equal(events, "");
    gate_resume(gate, now);
    turn(&l);
    assert_string_equal(events, "bc");
    assert_true(gate_hold_us(gate) == -1);
    assert_int_equal(enter(gate, &calls[3], 'd', &l), GATE_ENTERED);
    for (unsigned i = 1; i < 4; i++)
        release(gate, &calls[i]);
    gate_free(&gate);
}

static void test_a_pause_holds_for_gates_beside_each_other(void **state)
{
    struct fake_loop l;
    struct fake_call calls[2];
    struct gate *old = gate_create(1, 2);
    gate_pause(old, -1);
    struct gate *new = gate_create_beside(old, 1, 2, 2);
    loop_init(&l);
    assert_int_equal(enter(new, &calls[0], 'a', &l), GATE_WAIT);
    assert_int_equal(enter(old, &calls[1], 'b', &l), GATE_WAIT);
    gate_resume(new, now);
    turn(&l);
    assert_string_equal(events, "ba");
    release(new, &calls[0]);
    release(old, &calls[1]);
    gate_free(&old);
    gate_free(&new);
}

static void test_a_pause_does_not_look_like_a_slow_backend(void **state)
{
    struct fake_loop l;
    struct fake_call calls[2];
    struct gate *gate = gate_create(1, 5);
    loop_init(&l);
    enter(gate, &calls[0], 'a', &l);
    gate_pause(gate, -1);
    enter(gate, &calls[1], 'b', &l);
    now += 50 * SECOND;
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    release(gate, &calls[0]);
    assert_int_equal(gate_retry_after_s(gate, now), 1);
    gate_resume(gate, now);
    turn(&l);
    release(gate, &calls[1]);
    gate_free(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_paused_gate_holds_those_who_come, reset),
        cmocka_unit_test_setup(test_a_pause_holds_for_gates_beside_each_other, reset),
        cmocka_unit_test_setup(test_a_pause_does_not_look_like_a_slow_backend, reset),
        cmocka_unit_test_setup(test_admits_up_to_the_limit, reset),
        cmocka_unit_test_setup(test_first_come_first_served_over_loops, reset),
        cmocka_unit_test_setup(test_message_goes_to_the_tickets_own_loop, reset),
        cmocka_unit_test_setup(test_refuses_past_the_queue, reset),
        cmocka_unit_test_setup(test_without_a_queue_refuses_at_the_limit, reset),
        cmocka_unit_test_setup(test_cancel_while_waiting_leaves_the_queue_at_once, reset),
        cmocka_unit_test_setup(test_cancel_while_granted_passes_the_slot_on, reset),
        cmocka_unit_test_setup(test_cancel_of_the_last_granted_frees_the_slot, reset),
        cmocka_unit_test_setup(test_a_ticket_may_enter_again_after_its_message, reset),
        cmocka_unit_test_setup(test_raising_the_limit_admits_waiting_calls_in_order, reset),
        cmocka_unit_test_setup(test_lowering_the_limit_stops_admissions_until_it_is_met, reset),
        cmocka_unit_test_setup(test_messages_are_posted_without_the_lock, reset),
        cmocka_unit_test_setup(test_oldest_waiting_age, reset),
        cmocka_unit_test_setup(test_retry_after_is_the_drain_time_of_the_queue, reset),
        cmocka_unit_test_setup(test_retry_after_does_not_count_idle_time, reset),
        cmocka_unit_test_setup(test_retry_after_before_any_release, reset),
        cmocka_unit_test_setup(test_clocks_of_two_loops_may_differ, reset),
        cmocka_unit_test_setup(test_gates_beside_each_other_share_a_bound, reset),
        cmocka_unit_test_setup(test_the_bound_goes_with_the_gate_beside, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
