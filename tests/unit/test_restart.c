/* SPDX-License-Identifier: MIT
 *
 * Restart delays: what fails by itself is slowed down, what a client may have brought down comes back soon.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/restart.h"

#define MS 1000
#define S  1000000

static void failed_starts_double_up_to_a_limit(void **state)
{
    struct restart r = {0};
    int64_t expected = RESTART_DELAY_MIN_US;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(restart_after_failure(&r), expected);
        expected = 2 * expected < RESTART_DELAY_MAX_US ? 2 * expected : RESTART_DELAY_MAX_US;
    }
    assert_int_equal(restart_after_failure(&r), RESTART_DELAY_MAX_US);
}

static void one_success_resets_failed_starts(void **state)
{
    struct restart r = {0};
    for (int i = 0; i < 10; i++)
        restart_after_failure(&r);
    restart_ready(&r);
    assert_int_equal(restart_after_failure(&r), RESTART_DELAY_MIN_US);
}

static void the_first_deaths_of_a_ready_child_cost_nothing(void **state)
{
    struct restart r = {0};
    for (int i = 0; i < RESTART_FREE; i++)
        assert_int_equal(restart_after_death(&r, 5 * MS, 1 * MS), 0);
    assert_int_equal(restart_after_death(&r, 5 * MS, 1 * MS), RESTART_READY_DELAY_US);
}

static void a_thousand_crashes_by_clients_do_not_switch_a_backend_off(void **state)
{
    struct restart r = {0};
    for (int i = 0; i < 1000; i++) {
        restart_ready(&r);
        assert_in_range(restart_after_death(&r, 5 * MS, 1 * MS), 0, RESTART_READY_CEILING_US);
    }
}

static void a_slow_start_is_repeated_at_most_half_of_the_time(void **state)
{
    struct restart r = {0};
    int64_t last = 0;
    for (int i = 0; i < 1000; i++)
        last = restart_after_death(&r, 2 * S, 1 * MS);
    assert_int_equal(last, 2 * S);
    for (int i = 0; i < 1000; i++)
        last = restart_after_death(&r, 3600LL * S, 1 * MS);
    assert_int_equal(last, RESTART_DELAY_MAX_US);
}

static void a_proven_child_starts_anew(void **state)
{
    struct restart r = {0};
    for (int i = 0; i < 100; i++)
        restart_after_death(&r, 5 * MS, 1 * MS);
    assert_int_equal(restart_after_death(&r, 5 * MS, RESTART_PROVEN_US), 0);
    assert_int_equal(restart_after_death(&r, 5 * MS, 1 * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_starts_double_up_to_a_limit),
        cmocka_unit_test(one_success_resets_failed_starts),
        cmocka_unit_test(the_first_deaths_of_a_ready_child_cost_nothing),
        cmocka_unit_test(a_thousand_crashes_by_clients_do_not_switch_a_backend_off),
        cmocka_unit_test(a_slow_start_is_repeated_at_most_half_of_the_time),
        cmocka_unit_test(a_proven_child_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
