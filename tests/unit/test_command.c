/* SPDX-License-Identifier: MIT
 *
 * Requests of the control socket: one form is taken, everything else is refused with words.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/command.h"

static bool decode(const char *line, struct wire_request *r, char *error, size_t size)
{
    error[0] = '\0';
    bool taken = wire_request_decode(r, str_of(line), error, size);
    assert_true(taken == (error[0] == '\0'));
    return taken;
}

static void every_command_is_known(void **state)
{
    struct wire_request r;
    char error[200];
    assert_true(decode("{\"command\":\"status\"}", &r, error, sizeof(error)));
    assert_int_equal(r.command, WIRE_COMMAND_STATUS);
    assert_true(decode(" { \"pid\": 12, \"command\" : \"kill\" } ", &r, error, sizeof(error)));
    assert_int_equal(r.command, WIRE_COMMAND_KILL);
    assert_int_equal(r.number, 12);
    assert_true(decode("{\"command\":\"recycle\",\"backend\":\"shop\"}", &r, error, sizeof(error)));
    assert_int_equal(r.command, WIRE_COMMAND_RECYCLE);
    assert_string_equal(r.text, "shop");
    assert_true(decode("{\"command\":\"log-level\",\"level\":\"debug\"}", &r, error, sizeof(error)));
    assert_true(decode("{\"command\":\"drain\"}", &r, error, sizeof(error)));
    assert_int_equal(r.command, WIRE_COMMAND_DRAIN);
}

static void what_is_put_is_taken(void **state)
{
    for (unsigned c = 0; c < WIRE_COMMAND_COUNT; c++) {
        struct wire_request r = {.command = (enum wire_command)c, .number = 77, .text = "a \"b\"\\"}, back;
        struct buf line = {0};
        char error[200];
        bool is_optional;
        wire_request_put(&r, &line);
        assert_int_equal(line.base[line.len - 1], '\n');
        assert_true(wire_request_decode(&back, (struct str){line.base, line.len - 1}, error, sizeof(error)));
        assert_int_equal(back.command, c);
        if (wire_command_number(r.command, &is_optional) != NULL)
            assert_int_equal(back.number, 77);
        if (wire_command_text(r.command) != NULL)
            assert_string_equal(back.text, r.text);
        buf_free(&line);
    }
}

static void a_number_may_be_left_out_where_that_means_something(void **state)
{
    struct wire_request r = {.command = WIRE_COMMAND_PAUSE, .number = -1, .text = "shop"}, back;
    struct buf line = {0};
    char error[200];
    wire_request_put(&r, &line);
    assert_string_equal(buf_z(&line), "{\"command\":\"pause\",\"backend\":\"shop\"}\n");
    assert_true(wire_request_decode(&back, (struct str){line.base, line.len - 1}, error, sizeof(error)));
    assert_int_equal(back.number, -1);
    assert_true(decode("{\"command\":\"pause\",\"backend\":\"shop\",\"hold_ms\":0}", &back, error, sizeof(error)));
    assert_int_equal(back.number, 0);
    buf_free(&line);
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
                               "{\"command\":\"kill\"}",
                               "{\"command\":\"kill\",\"pid\":\"1\"}",
                               "{\"command\":\"kill\",\"pid\":1.5}",
                               "{\"command\":\"kill\",\"pid\":1,\"backend\":\"x\"}",
                               "{\"command\":\"recycle\",\"backend\":1}",
                               "{\"command\":\"recycle\",\"pid\":1}",
                               "{\"command\":\"recycle\",\"backend\":\"a\\u0000b\"}",
                               "{\"command\":\"pause\",\"hold_ms\":1}",
                               "{\"command\":\"pause\",\"backend\":\"x\",\"hold_ms\":-1}",
                               "{\"command\":\"pause\",\"backend\":\"x\",\"hold_ms\":null}",
                               "{\"command\":\"pause\",\"backend\":\"x\",\"size\":1}",
                               "{\"command\":\"resize\",\"backend\":\"x\"}",
                               "{\"command\":\"resize\",\"size\":1}",
                               "{\"command\":\"resize\",\"backend\":\"x\",\"size\":1,\"more\":1}",
                               "{\"command\":\"status\"}{}",
                               "{\"command\":\"status\",\"command\":\"x\"}"};
    struct wire_request r;
    char error[200];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(decode(bad[i], &r, error, sizeof(error)));
    decode("{\"command\":\"stop\"}", &r, error, sizeof(error));
    assert_non_null(strstr(error, "there is: status, kill, recycle, log-level, drain"));
    decode("{\"command\":\"resize\"}", &r, error, sizeof(error));
    assert_string_equal(error, "'resize' needs \"backend\", a string, and \"size\", a whole number, and nothing else");
    decode("{\"command\":\"kill\"}", &r, error, sizeof(error));
    assert_non_null(strstr(error, "'kill' needs \"pid\", a whole number"));
}

static void an_argument_that_is_too_long_is_refused(void **state)
{
    char line[WIRE_ARGUMENT_MAX + 100], name[WIRE_ARGUMENT_MAX + 1], error[200];
    struct wire_request r;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(line, sizeof(line), "{\"command\":\"recycle\",\"backend\":\"%s\"}", name);
    assert_false(decode(line, &r, error, sizeof(error)));
    name[sizeof(name) - 2] = '\0';
    snprintf(line, sizeof(line), "{\"command\":\"recycle\",\"backend\":\"%s\"}", name);
    assert_true(decode(line, &r, error, sizeof(error)));
}

static void words_fit_into_what_the_caller_has(void **state)
{
    char error[10] = "";
    struct wire_request r;
    assert_false(wire_request_decode(&r, STR("{\"command\":\"unheard-of\"}"), error, sizeof(error)));
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
        cmocka_unit_test(every_command_is_known),
        cmocka_unit_test(what_is_put_is_taken),
        cmocka_unit_test(an_argument_that_is_too_long_is_refused),
        cmocka_unit_test(a_number_may_be_left_out_where_that_means_something),
        cmocka_unit_test(everything_else_is_refused_with_words),
        cmocka_unit_test(words_fit_into_what_the_caller_has),
        cmocka_unit_test(only_an_object_may_stand_in_an_answer),
        cmocka_unit_test(folding_leaves_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
