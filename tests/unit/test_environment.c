/* SPDX-License-Identifier: MIT
 *
 * A child's environment: inherited, less what was the supervisor's, plus what is set.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/environment.h"

static char *const inherited[] = {(char *)"HOME=/root",
                                  (char *)"LISTEN_FDS=3",
                                  (char *)"LISTEN_FDSX=kept",
                                  (char *)"NOTIFY_SOCKET=/n",
                                  (char *)"BULKHEAD_BACKEND=outer",
                                  (char *)"EMPTY=",
                                  NULL};

static void what_was_meant_for_the_supervisor_is_left_out(void **state)
{
    struct environment e;
    environment_init(&e, inherited);
    assert_string_equal(environment_get(&e, "HOME"), "/root");
    assert_string_equal(environment_get(&e, "EMPTY"), "");
    assert_string_equal(environment_get(&e, "LISTEN_FDSX"), "kept");
    assert_null(environment_get(&e, "LISTEN_FDS"));
    assert_null(environment_get(&e, "NOTIFY_SOCKET"));
    assert_null(environment_get(&e, "BULKHEAD_BACKEND"));
    environment_free(&e);
}

static void setting_replaces_or_adds(void **state)
{
    struct environment e;
    environment_init(&e, inherited);
    environment_set(&e, "HOME", "/elsewhere");
    environment_set(&e, "HOM", "another");
    assert_int_equal(e.count, 4);
    assert_string_equal(environment_get(&e, "HOME"), "/elsewhere");
    assert_string_equal(environment_get(&e, "HOM"), "another");
    environment_free(&e);
}

static void the_array_stays_terminated_and_values_writable(void **state)
{
    struct environment e;
    char *const none[] = {NULL};
    char name[16];
    environment_init(&e, none);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "N%d", i);
        strcpy(environment_set(&e, name, "0000"), "42");
    }
    assert_null(e.vars[200]);
    assert_string_equal(e.vars[199], "N199=42");
    environment_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_meant_for_the_supervisor_is_left_out),
        cmocka_unit_test(setting_replaces_or_adds),
        cmocka_unit_test(the_array_stays_terminated_and_values_writable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
