/* SPDX-License-Identifier: MIT
 *
 * test_path: what the one normalisation makes of a path, and what it refuses. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "front/path.h"

/* the normal form, or "!" for a refusal */
static const char *normal(const char *path)
{
    static char out[PATH_NORMAL_MAX(512) + 1];
    struct str s = {(char *)path, strlen(path)}, result;
    const char *why = NULL;
    if (!path_normalise(s, out, &result, &why)) {
        assert_non_null(why);
        return "!";
    }
    assert_true(result.len <= PATH_NORMAL_MAX(s.len));
    out[result.len] = '\0';
    return out;
}

static void test_plain_path_stays(void **state)
{
    static const char *const paths[] = {"/", "/a", "/a/b.c", "/a//b", "/a.b/c..d/e", "/~u/(x)/$&+,;=:@!*'", "/a/"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_string_equal(normal(paths[i]), paths[i]);
        assert_true(path_is_normal(str_of(paths[i])));
    }
}

static void test_unreserved_escapes_are_decoded_once(void **state)
{
    assert_string_equal(normal("/%61%62"), "/ab");
    assert_string_equal(normal("/%7Eu"), "/~u");
    assert_string_equal(normal("/%2561"), "/%2561"); /* %25 stays, so nobody decodes it a second time */
}

static void test_other_escapes_stay_in_capitals(void **state)
{
    assert_string_equal(normal("/a%2fb"), "/a%2Fb");
    assert_string_equal(normal("/a%20b%c3%a9"), "/a%20b%C3%A9");
}

static void test_bytes_above_ascii_become_escapes(void **state)
{
    assert_string_equal(normal("/\xc3\xa9"), "/%C3%A9");
}

static void test_dot_segments_are_resolved(void **state)
{
    assert_string_equal(normal("/a/./b"), "/a/b");
    assert_string_equal(normal("/a/../b"), "/b");
    assert_string_equal(normal("/a/b/.."), "/a/");
    assert_string_equal(normal("/a/b/."), "/a/b/");
    assert_string_equal(normal("/a//../b"), "/a/b");
    assert_string_equal(normal("/."), "/");
    assert_string_equal(normal("/a/.."), "/");
    assert_string_equal(normal("/a/...b/.c"), "/a/...b/.c");
}

static void test_encoded_dot_segments_count(void **state)
{
    assert_string_equal(normal("/a/%2e%2E/b"), "/b");
    assert_string_equal(normal("/a/.%2e/b"), "/b");
    assert_string_equal(normal("/a%2F..%2Fb"), "/a%2F..%2Fb"); /* no separators, so no segment of dots */
}

static void test_climbing_above_the_root_is_refused(void **state)
{
    assert_string_equal(normal("/.."), "!");
    assert_string_equal(normal("/../a"), "!");
    assert_string_equal(normal("/a/../../b"), "!");
    assert_string_equal(normal("/%2e%2e/a"), "!");
}

static void test_broken_escapes_are_refused(void **state)
{
    assert_string_equal(normal("/%"), "!");
    assert_string_equal(normal("/%4"), "!");
    assert_string_equal(normal("/%4g"), "!");
    assert_string_equal(normal("/%zz"), "!");
}

static void test_controls_and_blanks_are_refused(void **state)
{
    assert_string_equal(normal("/a%00b"), "!");
    assert_string_equal(normal("/a%0d%0ab"), "!");
    assert_string_equal(normal("/a%7f"), "!");
    assert_string_equal(normal("/a b"), "!");
    assert_string_equal(normal("/a\tb"), "!");
    assert_string_equal(normal("/a#b"), "!");
}

static void test_path_must_begin_with_a_slash(void **state)
{
    assert_string_equal(normal(""), "!");
    assert_string_equal(normal("a"), "!");
    assert_string_equal(normal("*"), "!");
    assert_string_equal(normal("%2Fa"), "!");
}

/* random paths: normalising is idempotent, and the fast check agrees with it */
static void test_normal_form_is_a_fixed_point(void **state)
{
    static const char alphabet[] = "/./..%2eaF%2f~\xc3";
    srandom(1);
    for (unsigned round = 0; round < 200000; round++) {
        char path[24] = "/", out[PATH_NORMAL_MAX(24)], again[PATH_NORMAL_MAX(3 * 24)];
        size_t len = 1 + (size_t)random() % (sizeof(path) - 1);
        for (size_t i = 1; i < len; i++)
            path[i] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
        struct str raw = {path, len}, once, twice;
        const char *why;
        if (!path_normalise(raw, out, &once, &why))
            continue;
        assert_true(path_normalise(once, again, &twice, &why));
        assert_true(str_eq(once, twice));
        if (path_is_normal(raw))
            assert_true(str_eq(raw, once));
    }
}

static void test_split_keeps_an_empty_query(void **state)
{
    struct str path, query;
    path_split(STR("/a?b?c"), &path, &query);
    assert_true(str_eq(path, STR("/a")) && str_eq(query, STR("b?c")));
    path_split(STR("/a?"), &path, &query);
    assert_true(query.base != NULL && query.len == 0);
    path_split(STR("/a"), &path, &query);
    assert_null(query.base);
}

static void test_strip_leaves_a_slash(void **state)
{
    assert_true(str_eq(path_strip(STR("/api/x"), STR("/api")), STR("/x")));
    assert_true(str_eq(path_strip(STR("/api/x"), STR("/api/")), STR("/x")));
    assert_true(str_eq(path_strip(STR("/api"), STR("/api")), STR("/")));
    assert_true(str_eq(path_strip(STR("/apix"), STR("/api")), STR("/apix")));
    assert_true(str_eq(path_strip(STR("/other"), STR("/api")), STR("/other")));
    assert_true(str_eq(path_strip(STR("/x"), STR("")), STR("/x")));
}

static void test_decoding_for_a_file_name(void **state)
{
    char out[32];
    size_t len;
    assert_true(path_decode(STR("/a%20b"), out, &len));
    assert_true(str_eq((struct str){out, len}, STR("/a b")));
    assert_false(path_decode(STR("/a%2Fb"), out, &len));
    assert_false(path_decode(STR("/a%00b"), out, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_path_stays),
        cmocka_unit_test(test_unreserved_escapes_are_decoded_once),
        cmocka_unit_test(test_other_escapes_stay_in_capitals),
        cmocka_unit_test(test_bytes_above_ascii_become_escapes),
        cmocka_unit_test(test_dot_segments_are_resolved),
        cmocka_unit_test(test_encoded_dot_segments_count),
        cmocka_unit_test(test_climbing_above_the_root_is_refused),
        cmocka_unit_test(test_broken_escapes_are_refused),
        cmocka_unit_test(test_controls_and_blanks_are_refused),
        cmocka_unit_test(test_path_must_begin_with_a_slash),
        cmocka_unit_test(test_normal_form_is_a_fixed_point),
        cmocka_unit_test(test_split_keeps_an_empty_query),
        cmocka_unit_test(test_strip_leaves_a_slash),
        cmocka_unit_test(test_decoding_for_a_file_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
