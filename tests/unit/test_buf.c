/* SPDX-License-Identifier: MIT
 *
 * test_buf: growing, numbers, and text made safe for JSON and for a line; JSON is read back by jansson.
 */
#include "config.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"

static void test_a_zeroed_buffer_is_empty_and_usable(void **state)
{
    struct buf b = {0};
    assert_string_equal(buf_z(&b), "");
    assert_int_equal(b.len, 0);
    buf_append(&b, NULL, 0);
    buf_append_str(&b, STR_NONE);
    assert_int_equal(b.len, 0);
    buf_free(&b);
    buf_free(&b);
    assert_null(b.base);
}

static void test_bytes_are_kept_while_it_grows(void **state)
{
    struct buf b = {0};
    for (int i = 0; i < 100000; i++)
        buf_append_char(&b, (char)i);
    assert_int_equal(b.len, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(b.base[i], (char)i);
    buf_consume(&b, 99999);
    assert_int_equal(b.len, 1);
    assert_int_equal(b.base[0], (char)99999);
    buf_consume(&b, 1);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void test_reserved_room_is_there(void **state)
{
    struct buf b = {0};
    buf_append_z(&b, "head");
    memset(buf_reserve(&b, 10000), 'x', 10000);
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.base, "headx", 5);
    buf_free(&b);
}

static void test_numbers(void **state)
{
    const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 123456789, INT64_MAX, INT64_MIN, INT32_MIN};
    char expected[64];
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct buf b = {0};
        buf_append_i64(&b, numbers[i]);
        buf_append_char(&b, ' ');
        buf_append_u64(&b, (uint64_t)numbers[i]);
        snprintf(expected, sizeof(expected), "%" PRId64 " %" PRIu64, numbers[i], (uint64_t)numbers[i]);
        assert_string_equal(buf_z(&b), expected);
        buf_free(&b);
    }
}

/* every length around the point where the buffer has to grow */
static void test_printf_grows_as_needed(void **state)
{
    char text[1200];
    for (int len = 0; len < (int)sizeof(text) - 1; len++) {
        struct buf b = {0};
        memset(text, 'y', (size_t)len);
        text[len] = '\0';
        buf_append_char(&b, '<');
        buf_printf(&b, "%s>%d", text, len);
        assert_int_equal(b.len, 2 + len + snprintf(NULL, 0, "%d", len));
        assert_memory_equal(b.base + 1, text, (size_t)len);
        buf_free(&b);
    }
}

static void assert_json(struct str in, const char *expected)
{
    struct buf b = {0};
    buf_append_json(&b, in);
    assert_string_equal(buf_z(&b), expected);
    buf_free(&b);
}

static void test_json_escapes(void **state)
{
    assert_json(STR(""), "\"\"");
    assert_json(STR_NONE, "\"\"");
    assert_json(STR("plain text, rather long, with spaces"), "\"plain text, rather long, with spaces\"");
    assert_json(STR("\"\\/"), "\"\\\"\\\\/\"");
    assert_json(STR("\n\r\t\b\f"), "\"\\n\\r\\t\\b\\f\"");
    assert_json(STR("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\\u007f\"");
    assert_json(STR("é€😀"), "\"é€😀\"");
    assert_json(STR("\xc2\x80\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009f\xc2\xa0\""); /* C1 controls, then a no-break space */
}

#define R "\xef\xbf\xbd"

static void test_json_replaces_what_is_no_utf8(void **state)
{
    assert_json(STR("a\x80z"), "\"a" R "z\"");                    /* a continuation alone */
    assert_json(STR("\xc3"), "\"" R "\"");                        /* cut */
    assert_json(STR("\xe2\x82"), "\"" R R "\"");                  /* cut */
    assert_json(STR("\xf0\x9f\x98"), "\"" R R R "\"");            /* cut */
    assert_json(STR("\xc0\xaf"), "\"" R R "\"");                  /* overlong '/' */
    assert_json(STR("\xe0\x80\xaf"), "\"" R R R "\"");            /* overlong '/' */
    assert_json(STR("\xed\xa0\x80"), "\"" R R R "\"");            /* a surrogate */
    assert_json(STR("\xf4\x90\x80\x80"), "\"" R R R R "\"");      /* past U+10FFFF */
    assert_json(STR("\xff\xfe"), "\"" R R "\"");                  /* never in UTF-8 */
    assert_json(STR("\xc3\"x"), "\"" R "\\\"x\"");                /* must not swallow the quote */
    assert_json(STR("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\""); /* U+10FFFF itself */
}

/* a special byte at each place of a longer text: the fast path looks at eight bytes at once */
static void test_json_sees_a_special_byte_anywhere(void **state)
{
    const char special[] = {0x00, 0x1f, '"', '\\', 0x7f, (char)0x80, (char)0xff};
    for (size_t len = 1; len < 40; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t i = 0; i < sizeof(special); i++) {
                char text[40];
                memset(text, '!', len); /* next to '"': a borrow would show */
                text[at] = special[i];
                struct buf b = {0};
                buf_append_json(&b, (struct str){text, len});
                assert_true(b.len > len + 2);
                for (size_t j = 0; j < b.len; j++)
                    assert_true((unsigned char)b.base[j] >= 0x20 && b.base[j] != 0x7f);
                buf_free(&b);
            }
}

static void test_random_bytes_make_json_that_can_be_read(void **state)
{
    unsigned seed = 3;
    for (int i = 0; i < 20000; i++) {
        char text[50];
        size_t len = (size_t)rand_r(&seed) % sizeof(text);
        for (size_t j = 0; j < len; j++)
            text[j] = (char)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) : 'a' + rand_r(&seed) % 26);
        struct buf b = {0};
        buf_append_json(&b, (struct str){text, len});
        json_t *back = json_loadb(b.base, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(back);
        json_decref(back);
        buf_free(&b);
    }
}

static void assert_printable(struct str in, const char *expected)
{
    struct buf b = {0};
    buf_append_printable(&b, in);
    assert_string_equal(buf_z(&b), expected);
    buf_free(&b);
}

static void test_printable(void **state)
{
    assert_printable(STR(""), "");
    assert_printable(STR("GET /é \"x\" \\"), "GET /é \"x\" \\");
    assert_printable(STR("a\r\nb\0c"), "a\\x0d\\x0ab\\x00c");
    assert_printable(STR("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
    assert_printable(STR("\xc2\x9b\xff\xc3"), "\\xc2\\x9b\\xff\\xc3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_zeroed_buffer_is_empty_and_usable),
        cmocka_unit_test(test_bytes_are_kept_while_it_grows),
        cmocka_unit_test(test_reserved_room_is_there),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_printf_grows_as_needed),
        cmocka_unit_test(test_json_escapes),
        cmocka_unit_test(test_json_replaces_what_is_no_utf8),
        cmocka_unit_test(test_json_sees_a_special_byte_anywhere),
        cmocka_unit_test(test_random_bytes_make_json_that_can_be_read),
        cmocka_unit_test(test_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
