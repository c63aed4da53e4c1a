/* SPDX-License-Identifier: MIT
 *
 * Comments and trailing commas become blanks and nothing else moves; what is no text is told so.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/jsonc.h"

static void expect(const char *text, const char *blanked)
{
    size_t at, len = strlen(text);
    const char *what;
    char *copy = mem_strdup(text);
    assert_true(jsonc_blank(copy, len, &at, &what));
    assert_string_equal(copy, blanked);
    mem_free(&copy);
}

static void test_plain_json_stays(void **state)
{
    expect("", "");
    expect("{\"a\": [1, 2, {}], \"b\": null}\n", "{\"a\": [1, 2, {}], \"b\": null}\n");
}

static void test_comments(void **state)
{
    expect("1 // x\n2", "1     \n2");
    expect("1 // x", "1     ");
    expect("/* a\r\n\tb */1", "    \r\n     1");
    expect("/**/1/***/", "    1     ");
    expect("/* // */ 1 // /* \n2", "         1       \n2");
    expect("// \xc3\xa9\n1", "     \n1");
}

static void test_strings_are_left_alone(void **state)
{
    expect("\"// no\" // yes", "\"// no\"       ");
    expect("\"/* no */\"", "\"/* no */\"");
    expect("\"\\\"// no\"", "\"\\\"// no\"");
    expect("\"\\\\\"// yes", "\"\\\\\"      ");
    expect("[\"a,]\", \"b\",]", "[\"a,]\", \"b\" ]");
}

static void test_trailing_commas(void **state)
{
    expect("[1,]", "[1 ]");
    expect("[1 , ]", "[1   ]");
    expect("{\"a\": [1,],}", "{\"a\": [1 ] }");
    expect("[1, // last\n]", "[1         \n]");
    expect("[1 /* , */ , /* ] */ ]", "[1                   ]");
}

/* what is no trailing comma is left for the parser to refuse */
static void test_other_commas_stay(void **state)
{
    expect("[,]", "[,]");
    expect("{,}", "{,}");
    expect("[1,,]", "[1,,]");
    expect("{\"a\":,}", "{\"a\":,}");
    expect(",]", ",]");
}

static void test_a_slash_alone_stays(void **state)
{
    expect("[1 / 2]", "[1 / 2]");
    expect("/", "/");
}

static void test_a_string_without_end_stops_at_its_line(void **state)
{
    expect("\"a // b\n1 // c", "\"a // b\n1     ");
    expect("\"a\\", "\"a\\");
}

static void test_a_comment_without_end(void **state)
{
    static const char *const texts[] = {"1 /* x", "1 /*", "1 /*/", "1 /* // */ /* *"};
    static const size_t places[] = {2, 2, 2, 11};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t at;
        const char *what;
        char *copy = mem_strdup(texts[i]);
        assert_false(jsonc_blank(copy, strlen(copy), &at, &what));
        assert_int_equal(at, places[i]);
        mem_free(&copy);
    }
}

static void expect_text(const char *text, size_t len, const char *word, size_t place)
{
    size_t at = 0;
    const char *what = "";
    assert_int_equal(jsonc_check_text(text, len, &at, &what), word == NULL);
    if (word == NULL)
        return;
    assert_non_null(strstr(what, word));
    assert_int_equal(at, place);
}

static void test_text(void **state)
{
    expect_text("", 0, NULL, 0);
    expect_text("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10, NULL, 0);
    expect_text("\xef\xbb\xbf{}", 5, "byte order mark", 0);
    expect_text("\xff\xfe{\0", 4, "UTF-16", 0);
    expect_text("\xfe\xff\0{", 4, "UTF-16", 0);
    expect_text("ab\0", 3, "NUL", 2);
    expect_text("ab\xe9", 3, "UTF-8", 2);
    expect_text("\xc0\x80", 2, "UTF-8", 0);         /* overlong */
    expect_text("a\xed\xa0\x80", 4, "UTF-8", 1);    /* a surrogate */
    expect_text("\xf4\x90\x80\x80", 4, "UTF-8", 0); /* past the last code point */
    expect_text("\xe2\x82", 2, "UTF-8", 0);         /* cut off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_json_stays),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_strings_are_left_alone),
        cmocka_unit_test(test_trailing_commas),
        cmocka_unit_test(test_other_commas_stay),
        cmocka_unit_test(test_a_slash_alone_stays),
        cmocka_unit_test(test_a_string_without_end_stops_at_its_line),
        cmocka_unit_test(test_a_comment_without_end),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
