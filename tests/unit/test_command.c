/* SPDX-License-Identifier: MIT
 *
 * Requests of the control socket: one form is taken, everything else is refused with words.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/command.h"

static bool decode(const char *line, char *error, size_t size)
{
    enum wire_command c = WIRE_COMMAND_COUNT;
    error[0] = '\0';
    bool taken = wire_command_decode(&c, str_of(line), error, size);
    assert_int_equal(c, taken ? WIRE_COMMAND_STATUS : WIRE_COMMAND_COUNT);
    assert_true(taken == (error[0] == '\0'));
    return taken;
}

static void status_is_known(void **state)
{
    char error[200];
    assert_true(decode("{\"command\":\"status\"}", error, sizeof(error)));
    assert_true(decode(" { \"command\" : \"status\" } ", error, sizeof(error)));
}

static void everything_else_is_refused_with_words(void **state)
{
    const char *const bad[] = {"",
                               "status",
                               "[]",
                               "{}",
                               "null",
                               "{\"command\":1}",
                               "{\"command\":\"stop\"}",
                               "{\"command\":\"status\",\"more\":1}",
                               "{\"command\":\"status\"}{}",
                               "{\"command\":\"status\",\"command\":\"x\"}"};
    char error[200];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(decode(bad[i], error, sizeof(error)));
    assert_non_null(strstr((decode("{\"command\":\"stop\"}", error, sizeof(error)), error), "there is: status"));
}

static void words_fit_into_what_the_caller_has(void **state)
{
    char error[10] = "";
    enum wire_command c;
    assert_false(wire_command_decode(&c, STR("{\"command\":\"unheard-of\"}"), error, sizeof(error)));
    assert_int_equal(strlen(error), sizeof(error) - 1);
}

static void only_an_object_may_stand_in_an_answer(void **state)
{
    assert_true(wire_command_is_object(STR("{\"a\":[1,2]}")));
    assert_false(wire_command_is_object(STR("[1]")));
    assert_false(wire_command_is_object(STR("{\"a\":")));
    assert_false(wire_command_is_object(STR("")));
}

static void folding_leaves_one_line(void **state)
{
    char json[] = "{\r\n \"a\": 1\n}";
    wire_command_fold(json, strlen(json));
    assert_string_equal(json, "{   \"a\": 1 }");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_is_known),
        cmocka_unit_test(everything_else_is_refused_with_words),
        cmocka_unit_test(words_fit_into_what_the_caller_has),
        cmocka_unit_test(only_an_object_may_stand_in_an_answer),
        cmocka_unit_test(folding_leaves_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
