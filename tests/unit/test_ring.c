/* SPDX-License-Identifier: MIT
 *
 * test_ring: runs of bytes through a ring, one thread playing both sides; the end of the memory and the gap before it
 * are what can go wrong. Two real threads use it in test_writer.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diag/ring.h"

#define SIZE 4096

/* a run of `len` bytes of the letter, or false */
static bool put(struct ring *r, char letter, size_t len)
{
    char *room = ring_reserve(r, len);
    if (room == NULL)
        return false;
    memset(room, letter, len);
    ring_commit(r, len);
    return true;
}

/* takes what can be seen now, at most max bytes; returns how many */
static size_t take(struct ring *r, char *to, size_t max)
{
    uint64_t position = atomic_load(&r->tail), end = ring_head(r);
    size_t len, n = 0;
    char *bytes;
    while (n < max && (len = ring_peek(r, &position, end, &bytes)) != 0) {
        if (len > max - n)
            len = max - n;
        memcpy(to + n, bytes, len);
        n += len;
        position += len;
        ring_consume(r, position);
    }
    return n;
}

static void test_bytes_come_out_as_they_went_in(void **state)
{
    struct ring r;
    char out[16];
    ring_init(&r, SIZE);
    assert_int_equal(take(&r, out, sizeof(out)), 0);
    assert_true(put(&r, 'a', 3));
    assert_true(put(&r, 'b', 2));
    assert_int_equal(take(&r, out, sizeof(out)), 5);
    assert_memory_equal(out, "aaabb", 5);
    assert_int_equal(take(&r, out, sizeof(out)), 0);
    ring_destroy(&r);
}

static void test_size_is_rounded_up_and_filled_to_the_last_byte(void **state)
{
    struct ring r;
    static char out[2 * SIZE];
    ring_init(&r, SIZE + 1);
    assert_int_equal(r.size, 2 * SIZE);
    for (int i = 0; i < 4; i++)
        assert_true(put(&r, (char)('a' + i), SIZE / 2));
    assert_false(put(&r, 'e', 1));
    assert_int_equal(take(&r, out, sizeof(out)), 2 * SIZE);
    assert_int_equal(out[2 * SIZE - 1], 'd');
    assert_true(put(&r, 'e', 1)); /* the next lap begins without a gap */
    assert_int_equal(take(&r, out, sizeof(out)), 1);
    assert_int_equal(out[0], 'e');
    ring_destroy(&r);
}

static void test_a_run_that_does_not_fit_before_the_end_starts_over(void **state)
{
    struct ring r;
    static char out[SIZE];
    ring_init(&r, SIZE);
    assert_true(put(&r, 'a', SIZE - 100));
    assert_int_equal(take(&r, out, SIZE - 200), SIZE - 200);
    assert_true(put(&r, 'b', 200)); /* leaves a gap of 100 */
    assert_int_equal(take(&r, out, SIZE), 300);
    assert_int_equal(out[99], 'a');
    assert_int_equal(out[100], 'b');
    assert_int_equal(out[299], 'b');
    ring_destroy(&r);
}

static void test_a_reservation_that_is_not_used_leaves_nothing(void **state)
{
    struct ring r;
    static char out[SIZE];
    ring_init(&r, SIZE);
    assert_true(put(&r, 'a', SIZE - 100));
    assert_int_equal(take(&r, out, SIZE - 200), SIZE - 200);
    assert_non_null(ring_reserve(&r, 200)); /* would start over */
    ring_commit(&r, 0);
    assert_true(put(&r, 'b', 50)); /* fits before the end after all */
    assert_int_equal(take(&r, out, SIZE), 150);
    assert_int_equal(out[149], 'b');
    ring_destroy(&r);
}

static void test_a_full_ring_refuses_until_bytes_are_consumed(void **state)
{
    struct ring r;
    static char out[SIZE];
    ring_init(&r, SIZE);
    assert_false(put(&r, 'x', SIZE + 1));
    assert_true(put(&r, 'a', SIZE - 10));
    assert_true(ring_over_half(&r));
    assert_false(put(&r, 'b', 11));
    assert_int_equal(take(&r, out, 100), 100);
    assert_true(put(&r, 'b', 11));
    assert_int_equal(take(&r, out, SIZE), SIZE - 110 + 11);
    assert_false(ring_over_half(&r));
    ring_destroy(&r);
}

/* what ring_head returned before a gap appeared must not let the consumer run into it */
static void test_an_older_head_stops_before_the_gap(void **state)
{
    struct ring r;
    static char out[SIZE];
    char *bytes;
    ring_init(&r, SIZE);
    assert_true(put(&r, 'a', SIZE - 100));
    assert_int_equal(take(&r, out, SIZE - 200), SIZE - 200);
    uint64_t position = atomic_load(&r.tail), end = ring_head(&r);
    assert_true(put(&r, 'b', 200));
    assert_int_equal(ring_peek(&r, &position, end, &bytes), 100);
    position += 100;
    assert_int_equal(ring_peek(&r, &position, end, &bytes), 0);
    ring_consume(&r, position);
    assert_int_equal(take(&r, out, SIZE), 200);
    ring_destroy(&r);
}

static void test_random_runs_keep_their_order(void **state)
{
    struct ring r;
    static char out[SIZE];
    unsigned seed = 7;
    unsigned char written = 0, read = 0;
    ring_init(&r, SIZE);
    for (int i = 0; i < 200000; i++) {
        size_t len = (size_t)rand_r(&seed) % 700 + 1;
        char *room = rand_r(&seed) % 2 ? ring_reserve(&r, len) : NULL;
        if (room != NULL) {
            size_t used = (size_t)rand_r(&seed) % (len + 1);
            for (size_t j = 0; j < used; j++)
                room[j] = (char)written++;
            ring_commit(&r, used);
        }
        size_t n = take(&r, out, (size_t)rand_r(&seed) % 500);
        for (size_t j = 0; j < n; j++)
            assert_int_equal((unsigned char)out[j], read++);
    }
    ring_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_out_as_they_went_in),
        cmocka_unit_test(test_size_is_rounded_up_and_filled_to_the_last_byte),
        cmocka_unit_test(test_a_run_that_does_not_fit_before_the_end_starts_over),
        cmocka_unit_test(test_a_reservation_that_is_not_used_leaves_nothing),
        cmocka_unit_test(test_a_full_ring_refuses_until_bytes_are_consumed),
        cmocka_unit_test(test_an_older_head_stops_before_the_gap),
        cmocka_unit_test(test_random_runs_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
