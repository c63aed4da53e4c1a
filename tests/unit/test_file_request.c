/* SPDX-License-Identifier: MIT
 *
 * test_file_request: what a request's words about a file mean. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/file_request.h"

static const char *name(const char *path)
{
    static char out[64];
    return file_request_name(str_of(path), out) ? out : "!";
}

static void test_names_below_the_root(void **state)
{
    assert_string_equal(name("a/b.txt"), "a/b.txt");
    assert_string_equal(name("/a"), "a");
    assert_string_equal(name("//etc/passwd"), "etc/passwd");
    assert_string_equal(name(""), ".");
    assert_string_equal(name("/"), ".");
    assert_string_equal(name("a%20b"), "a b");
    assert_string_equal(name("dir/"), "dir/");
}

static void test_hidden_and_impossible_names_are_refused(void **state)
{
    assert_string_equal(name(".git/config"), "!");
    assert_string_equal(name("a/.hidden"), "!");
    assert_string_equal(name("a/../b"), "!");
    assert_string_equal(name("a%2Fb"), "!");
    assert_string_equal(name("a%00b"), "!");
}

/* "from+len", "whole" or "none" */
static const char *range(const char *field, uint64_t size)
{
    static char out[64];
    uint64_t from = 0, len = 0;
    switch (file_request_range(str_of(field), size, &from, &len)) {
    case FILE_RANGE_WHOLE:
        return "whole";
    case FILE_RANGE_UNSATISFIABLE:
        return "none";
    case FILE_RANGE_PART:
        break;
    }
    snprintf(out, sizeof(out), "%llu+%llu", (unsigned long long)from, (unsigned long long)len);
    return out;
}

static void test_single_ranges(void **state)
{
    assert_string_equal(range("bytes=0-9", 100), "0+10");
    assert_string_equal(range("bytes=90-", 100), "90+10");
    assert_string_equal(range("bytes=-5", 100), "95+5");
    assert_string_equal(range("bytes=-500", 100), "0+100");
    assert_string_equal(range("bytes=99-1000", 100), "99+1");
    assert_string_equal(range("bytes=0-18446744073709551615", 100), "whole");
}

static void test_ranges_behind_the_end(void **state)
{
    assert_string_equal(range("bytes=100-", 100), "none");
    assert_string_equal(range("bytes=-0", 100), "none");
    assert_string_equal(range("bytes=0-0", 0), "none");
    assert_string_equal(range("bytes=-1", 0), "none");
}

static void test_odd_ranges_mean_the_whole(void **state)
{
    static const char *const odd[] = {"bytes=0-1,3-4",
                                      "bytes=9-2",
                                      "bytes=",
                                      "bytes=-",
                                      "bytes=a-b",
                                      "lines=1-2",
                                      "bytes = 0-1",
                                      "bytes=1",
                                      "",
                                      "bytes=1-2x",
                                      "bytes=--1",
                                      "bytes=0-1 ",
                                      "bytes=99999999999999999999999-"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_string_equal(range(odd[i], 100), "whole");
}

static void test_etag_lists(void **state)
{
    struct str tag = STR("\"x-1\"");
    assert_true(file_request_etag_listed(STR("\"x-1\""), tag));
    assert_true(file_request_etag_listed(STR("\"a\", W/\"x-1\""), tag));
    assert_true(file_request_etag_listed(STR("*"), tag));
    assert_true(file_request_etag_listed(STR("\"a,b\" ,\"x-1\""), tag));
    assert_false(file_request_etag_listed(STR("\"x-10\""), tag));
    assert_false(file_request_etag_listed(STR("x-1"), tag));
    assert_false(file_request_etag_listed(STR("\"x-1"), tag));
    assert_false(file_request_etag_listed(STR(""), tag));
}

static void test_weak_tags_do_not_match_strongly(void **state)
{
    struct str tag = STR("\"x-1\"");
    assert_true(file_request_etag_listed_strong(STR("\"x-1\""), tag));
    assert_true(file_request_etag_listed_strong(STR("W/\"x-1\", \"x-1\""), tag));
    assert_true(file_request_etag_listed_strong(STR("*"), tag));
    assert_false(file_request_etag_listed_strong(STR("W/\"x-1\""), tag));
    assert_false(file_request_etag_listed_strong(STR("\"a\", W/\"x-1\""), tag));
}

static void test_types(void **state)
{
    assert_true(str_eq(file_request_type(STR("a/site.CSS")), STR("text/css; charset=utf-8")));
    assert_true(str_eq(file_request_type(STR("a.min.js")), STR("text/javascript; charset=utf-8")));
    assert_true(str_eq(file_request_type(STR("README")), STR("application/octet-stream")));
    assert_true(str_eq(file_request_type(STR("a.")), STR("application/octet-stream")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_below_the_root),
        cmocka_unit_test(test_hidden_and_impossible_names_are_refused),
        cmocka_unit_test(test_single_ranges),
        cmocka_unit_test(test_ranges_behind_the_end),
        cmocka_unit_test(test_odd_ranges_mean_the_whole),
        cmocka_unit_test(test_etag_lists),
        cmocka_unit_test(test_weak_tags_do_not_match_strongly),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
