/* SPDX-License-Identifier: MIT
 *
 * test_params: query strings as clients really send them.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "handler/params.h"

/* "name=value;" for each pair, encoded as they came */
static void assert_pairs(const char *query, const char *expected)
{
    struct buf out = {0};
    struct str name, value;
    for (size_t cursor = 0; params_next(str_of(query), &cursor, &name, &value);)
        buf_printf(&out, "%.*s=%.*s;", STR_ARG(name), STR_ARG(value));
    assert_string_equal(buf_z(&out), expected);
    buf_free(&out);
}

static void assert_decoded(const char *encoded, const char *expected, size_t len)
{
    char out[64];
    assert_int_equal(params_decode(out, str_of(encoded)), len);
    assert_memory_equal(out, expected, len);
}

static void pairs_are_split(void **state)
{
    assert_pairs("a=1&b=2", "a=1;b=2;");
    assert_pairs("a=1&a=2", "a=1;a=2;");
    assert_pairs("a=x=y", "a=x=y;");
    assert_pairs("flag&a=1", "flag=;a=1;");
    assert_pairs("=1", "=1;");
    assert_pairs("a=", "a=;");
}

static void empty_pairs_are_passed_over(void **state)
{
    assert_pairs("", "");
    assert_pairs("&", "");
    assert_pairs("&&a=1&&b&", "a=1;b=;");
}

static void no_query_has_no_pairs(void **state)
{
    size_t cursor = 0;
    struct str name, value;
    assert_false(params_next(STR_NONE, &cursor, &name, &value));
}

static void bytes_are_decoded(void **state)
{
    assert_decoded("a%20b+c", "a b c", 5);
    assert_decoded("%e4%E4%c3%a4", "\xe4\xe4\xc3\xa4", 4);
    assert_decoded("%00x", "\0x", 2);
    assert_decoded("%2525", "%25", 3);
}

static void malformed_escapes_stand_for_themselves(void **state)
{
    assert_decoded("%", "%", 1);
    assert_decoded("100%", "100%", 4);
    assert_decoded("%4", "%4", 2);
    assert_decoded("%zz%4g", "%zz%4g", 6);
}

static void plus_is_no_blank_in_a_path(void **state)
{
    char out[8];
    assert_int_equal(params_decode_path(out, STR("a+b%20c")), 5);
    assert_memory_equal(out, "a+b c", 5);
}

static void names_are_compared_decoded(void **state)
{
    assert_true(params_equal(STR("n%61me"), STR("name")));
    assert_true(params_equal(STR("a+b"), STR("a b")));
    assert_false(params_equal(STR("nam"), STR("name")));
    assert_false(params_equal(STR("names"), STR("name")));
    assert_true(params_equal(STR(""), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_split),
        cmocka_unit_test(empty_pairs_are_passed_over),
        cmocka_unit_test(no_query_has_no_pairs),
        cmocka_unit_test(bytes_are_decoded),
        cmocka_unit_test(malformed_escapes_stand_for_themselves),
        cmocka_unit_test(plus_is_no_blank_in_a_path),
        cmocka_unit_test(names_are_compared_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
