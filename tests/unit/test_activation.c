/* SPDX-License-Identifier: MIT
 *
 * Sockets that a service manager hands over: which variables count, and how names find descriptors.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/activation.h"

#define OWN 4711

static struct activation a;

static void names_find_descriptors_in_order(void **state)
{
    activation_parse(&a, OWN, "4711", "3", "http:admin:http");
    assert_int_equal(a.count, 3);
    assert_int_equal(activation_take(&a, "http"), 3);
    assert_int_equal(activation_take(&a, "http"), 5);
    assert_int_equal(activation_take(&a, "http"), -1);
    assert_int_equal(activation_take(&a, "admin"), 4);
    assert_int_equal(activation_take(&a, "other"), -1);
}

static void what_is_meant_for_another_process_is_ignored(void **state)
{
    const char *const pids[] = {"4712", "", "x", "-4711", "4711x", NULL};
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        activation_parse(&a, OWN, pids[i], "1", "http");
        assert_int_equal(a.count, 0);
    }
}

static void odd_counts_give_nothing_or_the_limit(void **state)
{
    const char *const none[] = {"0", "-1", "", "1x", "99999999999999999999", NULL};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        activation_parse(&a, OWN, "4711", none[i], "http");
        assert_int_equal(a.count, 0);
    }
    activation_parse(&a, OWN, "4711", "1000000", "http");
    assert_int_equal(a.count, ACTIVATION_FDS_MAX);
}

static void names_may_be_missing_or_too_long(void **state)
{
    char longest[300];
    memset(longest, 'n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    activation_parse(&a, OWN, "4711", "3", "::");
    assert_string_equal(a.fds[2].name, "unknown");
    activation_parse(&a, OWN, "4711", "2", NULL);
    assert_string_equal(a.fds[1].name, "unknown");
    activation_parse(&a, OWN, "4711", "1", longest);
    assert_int_equal(strlen(a.fds[0].name), sizeof(a.fds[0].name) - 1);
}

static void messages_list_the_names(void **state)
{
    char names[16];
    activation_parse(&a, OWN, "4711", "2", "http:admin");
    activation_names(&a, names, sizeof(names));
    assert_string_equal(names, "http, admin");
    activation_parse(&a, OWN, "4711", "3", "longer:than:this");
    activation_names(&a, names, 8);
    assert_string_equal(names, "longer,");
    activation_parse(&a, OWN, NULL, NULL, NULL);
    activation_names(&a, names, sizeof(names));
    assert_string_equal(names, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_find_descriptors_in_order),
        cmocka_unit_test(what_is_meant_for_another_process_is_ignored),
        cmocka_unit_test(odd_counts_give_nothing_or_the_limit),
        cmocka_unit_test(names_may_be_missing_or_too_long),
        cmocka_unit_test(messages_list_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
