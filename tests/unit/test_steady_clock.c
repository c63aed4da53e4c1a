/* SPDX-License-Identifier: MIT
 *
 * Tests of front/steady_clock: the clock that the library sees never jumps, whatever the system's clock does, and finds
 * back to it at a bounded rate. The system's clocks are played by this program.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "front/steady_clock.h"

#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)
#define TICK   (SECOND / 4)

static int64_t mono_us = 1000 * SECOND, wall_us = INT64_C(1700000000) * SECOND;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int64_t us = id == CLOCK_REALTIME ? wall_us : mono_us;
    ts->tv_sec = us / SECOND;
    ts->tv_nsec = us % SECOND * 1000;
    return 0;
}

static int64_t shown_us(void)
{
    struct timeval tv;
    assert_int_equal(gettimeofday(&tv, NULL), 0);
    return tv.tv_sec * SECOND + tv.tv_usec;
}

static void pass(int64_t us)
{
    mono_us += us;
    wall_us += us;
}

static int64_t difference(void)
{
    int64_t d = wall_us - shown_us();
    return d < 0 ? -d : d;
}

/* Lets time pass with the ticks that the main thread makes. Fails when the clock runs slower than half or faster than
 * one and a half of real time anywhere. */
static void run(int64_t us)
{
    for (int64_t passed = 0; passed < us; passed += TICK) {
        int64_t before = shown_us();
        steady_clock_adjust();
        pass(TICK);
        int64_t went = shown_us() - before;
        assert_in_range(went, TICK / 2, TICK + TICK / 2);
    }
}

static int settle(void **state)
{
    steady_clock_start();
    return 0;
}

static void test_it_shows_the_time_at_start(void **state)
{
    assert_int_equal(shown_us(), wall_us);
    run(10 * SECOND);
    assert_int_equal(shown_us(), wall_us);
}

static void test_a_step_back_neither_stops_nor_turns_it(void **state)
{
    wall_us -= 10 * SECOND;
    assert_true(difference() == 10 * SECOND);
    run(100 * SECOND);
    assert_true(difference() > 4 * SECOND);
    run(110 * SECOND);
    assert_true(difference() < 20000);
}

static void test_a_step_forward_is_made_up_slowly(void **state)
{
    wall_us += 10 * SECOND;
    assert_true(difference() == 10 * SECOND);
    run(210 * SECOND);
    assert_true(difference() < 20000);
}

static void test_a_step_of_days_is_made_up_in_days(void **state)
{
    wall_us += 24 * HOUR;
    run(46 * HOUR);
    assert_true(difference() <= HOUR);
    run(21 * HOUR);
    assert_true(difference() < 20000);
}

static void test_a_thread_gets_the_monotonic_time_with_every_look(void **state)
{
    int64_t cell = 0;
    steady_clock_report_to(&cell);
    shown_us();
    assert_true(cell == mono_us);
    pass(SECOND);
    shown_us();
    assert_true(cell == mono_us);
    steady_clock_report_to(NULL);
}

static void test_small_differences_are_left_alone(void **state)
{
    assert_int_equal(steady_clock_rate(0), 1000);
    assert_int_equal(steady_clock_rate(1000), 1000);
    assert_int_equal(steady_clock_rate(-1000), 1000);
    assert_int_equal(steady_clock_rate(SECOND), 1050);
    assert_int_equal(steady_clock_rate(-SECOND), 950);
    assert_int_equal(steady_clock_rate(2 * HOUR), 1500);
    assert_int_equal(steady_clock_rate(-2 * HOUR), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_it_shows_the_time_at_start, settle),
        cmocka_unit_test_setup(test_a_step_back_neither_stops_nor_turns_it, settle),
        cmocka_unit_test_setup(test_a_step_forward_is_made_up_slowly, settle),
        cmocka_unit_test_setup(test_a_step_of_days_is_made_up_in_days, settle),
        cmocka_unit_test_setup(test_a_thread_gets_the_monotonic_time_with_every_look, settle),
        cmocka_unit_test(test_small_differences_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
