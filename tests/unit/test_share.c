/* SPDX-License-Identifier: MIT
 *
 * test_share: how much of a backend one connection gets. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/share.h"

static char admitted[32];
static struct share_table *table;
static int backend, other_backend;

struct caller {
    struct share_ticket ticket;
    char name;
    bool leaves_at_once; /* turned away by whatever comes behind its admission */
};

static void on_admitted(struct share_ticket *ticket)
{
    struct caller *c = (struct caller *)ticket;
    size_t n = strlen(admitted);
    admitted[n] = c->name;
    admitted[n + 1] = '\0';
    if (c->leaves_at_once)
        share_leave(table, ticket);
}

static void init(struct caller *c, char name)
{
    *c = (struct caller){.ticket.on_admitted = on_admitted, .name = name};
    list_init(&c->ticket.link);
}

static int setup(void **state)
{
    table = share_table_create();
    admitted[0] = '\0';
    return 0;
}

/* the table asserts that nothing was left behind */
static int teardown(void **state)
{
    share_table_free(&table);
    return 0;
}

static void test_calls_past_the_share_wait_in_order(void **state)
{
    struct caller c[4];
    for (int i = 0; i < 4; i++)
        init(&c[i], (char)('a' + i));
    assert_true(share_enter(table, &c[0].ticket, 1, &backend, 2));
    assert_true(share_enter(table, &c[1].ticket, 1, &backend, 2));
    assert_false(share_enter(table, &c[2].ticket, 1, &backend, 2));
    assert_false(share_enter(table, &c[3].ticket, 1, &backend, 2));
    share_leave(table, &c[1].ticket);
    assert_string_equal(admitted, "c");
    share_leave(table, &c[0].ticket);
    assert_string_equal(admitted, "cd");
    share_leave(table, &c[2].ticket);
    share_leave(table, &c[3].ticket);
}

static void test_other_connections_and_backends_are_not_concerned(void **state)
{
    struct caller c[3];
    for (int i = 0; i < 3; i++)
        init(&c[i], (char)('a' + i));
    assert_true(share_enter(table, &c[0].ticket, 1, &backend, 1));
    assert_true(share_enter(table, &c[1].ticket, 2, &backend, 1));
    assert_true(share_enter(table, &c[2].ticket, 1, &other_backend, 1));
    for (int i = 0; i < 3; i++)
        share_leave(table, &c[i].ticket);
}

static void test_who_leaves_the_line_is_passed_over(void **state)
{
    struct caller c[3];
    for (int i = 0; i < 3; i++)
        init(&c[i], (char)('a' + i));
    share_enter(table, &c[0].ticket, 1, &backend, 1);
    share_enter(table, &c[1].ticket, 1, &backend, 1);
    share_enter(table, &c[2].ticket, 1, &backend, 1);
    share_leave(table, &c[1].ticket);
    share_leave(table, &c[0].ticket);
    assert_string_equal(admitted, "c");
    share_leave(table, &c[2].ticket);
}

static void test_admitted_calls_may_leave_at_once(void **state)
{
    struct caller c[4];
    for (int i = 0; i < 4; i++) {
        init(&c[i], (char)('a' + i));
        c[i].leaves_at_once = i != 3;
        share_enter(table, &c[i].ticket, 1, &backend, 1);
    }
    share_leave(table, &c[0].ticket);
    assert_string_equal(admitted, "bcd");
    share_leave(table, &c[3].ticket);
}

static void test_leaving_twice_is_harmless(void **state)
{
    struct caller c;
    init(&c, 'a');
    share_leave(table, &c.ticket);
    share_enter(table, &c.ticket, 1, &backend, 1);
    share_leave(table, &c.ticket);
    share_leave(table, &c.ticket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_past_the_share_wait_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_connections_and_backends_are_not_concerned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_leaves_the_line_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admitted_calls_may_leave_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaving_twice_is_harmless, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
