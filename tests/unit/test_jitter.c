/* SPDX-License-Identifier: MIT
 *
 * Numbers move by a tenth at most, whatever the seed, and do move.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/jitter.h"

static void it_stays_within_a_tenth_and_reaches_both_ends(void **state)
{
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t seed = 0; seed < 10000; seed++) {
        int64_t moved = jitter(1000, seed);
        assert_in_range(moved, 900, 1100);
        least = moved < least ? moved : least;
        most = moved > most ? moved : most;
    }
    assert_int_equal(least, 900);
    assert_int_equal(most, 1100);
}

static void small_numbers_stay_what_they_are(void **state)
{
    for (int64_t n = 0; n < 10; n++)
        assert_int_equal(jitter(n, 12345), n);
}

static void the_greatest_number_does_not_overflow(void **state)
{
    for (uint64_t seed = 0; seed < 100; seed++)
        assert_true(jitter(INT64_MAX / 11 * 10, seed) > 0);
}

static void one_seed_gives_one_number(void **state)
{
    assert_int_equal(jitter(1000000, 7), jitter(1000000, 7));
    assert_int_not_equal(jitter(1000000, 7), jitter(1000000, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stays_within_a_tenth_and_reaches_both_ends),
        cmocka_unit_test(small_numbers_stay_what_they_are),
        cmocka_unit_test(the_greatest_number_does_not_overflow),
        cmocka_unit_test(one_seed_gives_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
