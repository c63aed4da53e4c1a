/* SPDX-License-Identifier: MIT
 *
 * test_lexis: the bytes of HTTP: the tables against the RFCs' own words, the wide scans against the narrow ones, and the
 * search for the end of a head that comes in pieces.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/lexis.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALPHANUMERIC "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void assert_class(unsigned class, const char *members)
{
    for (int c = 0; c < 256; c++)
        if (lexis_is((char)c, class) != (c != 0 && strchr(members, c) != NULL))
            fail_msg("byte 0x%02x in class 0x%02x: %d", (unsigned)c, class, lexis_is((char)c, class));
}

static void tokens_are_as_in_rfc_9110(void **state)
{
    assert_class(LEXIS_TOKEN, "!#$%&'*+-.^_`|~" ALPHANUMERIC);
}

static void values_are_as_in_rfc_9110(void **state)
{
    for (int c = 0; c < 256; c++)
        assert_int_equal(lexis_is((char)c, LEXIS_VALUE), c == '\t' || (c >= 0x20 && c != 0x7f));
}

static void paths_queries_and_hosts_hold_what_the_table_says(void **state)
{
    assert_class(LEXIS_PATH, "-._~!$&'()*+,;=:@/[]^|" ALPHANUMERIC);
    assert_class(LEXIS_QUERY, "-._~!$&'()*+,;=:@/[]^|%?\\`{}" ALPHANUMERIC);
    assert_class(LEXIS_HOST, "-._~!$&'()*+;=" ALPHANUMERIC);
}

static void digits_are_digits(void **state)
{
    assert_class(LEXIS_DIGIT, "0123456789");
    assert_class(LEXIS_HEX, "0123456789abcdefABCDEF");
    assert_class(LEXIS_UPPER, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static void tokens_fold_to_lower_case_and_others_to_nothing(void **state)
{
    for (int c = 0; c < 256; c++) {
        int want = !lexis_is((char)c, LEXIS_TOKEN) ? 0 : c >= 'A' && c <= 'Z' ? c + 0x20 : c;
        assert_int_equal(lexis_lower_token[c], want);
    }
}

/* every byte at every place of runs of many lengths, at odd and even addresses */
static void the_wide_scan_finds_what_the_table_finds(void **state)
{
    char text[50];
    for (size_t len = 1; len < 40; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, 'x', sizeof(text));
                char *start = text + len % 3, *end = start + len;
                start[at] = (char)c;
                *end = '\0'; /* must not be looked at */
                const char *want = lexis_is((char)c, LEXIS_VALUE) ? end : start + at;
                assert_ptr_equal(lexis_skip_value(start, end), want);
            }
}

static void the_unrolled_scan_stops_at_the_first_stranger(void **state)
{
    const char text[] = "abcdefghijklmnop";
    for (size_t len = 0; len < sizeof(text); len++)
        for (size_t at = 0; at <= len; at++) {
            char copy[sizeof(text)];
            memcpy(copy, text, sizeof(text));
            if (at < len)
                copy[at] = ':';
            assert_ptr_equal(lexis_skip(copy, copy + len, LEXIS_TOKEN), copy + at);
        }
}

static void lengths_are_plain_decimal_numbers(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: none */
    } cases[] = {{"0", 0},
                 {"12", 12},
                 {"00012", 12},
                 {"9223372036854775807", INT64_MAX},
                 {"9223372036854775808", -1},
                 {"92233720368547758070", -1},
                 {"99999999999999999999999999", -1},
                 {"", -1},
                 {"-1", -1},
                 {"+1", -1},
                 {" 1", -1},
                 {"1 ", -1},
                 {"1,1", -1},
                 {"0x1", -1},
                 {"1e3", -1},
                 {"/", -1},
                 {":", -1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t got = -1;
        assert_int_equal(lexis_length(str_of(cases[i].text), &got), cases[i].want != -1);
        assert_int_equal(got, cases[i].want);
    }
}

static void words_are_compared_in_any_case_and_whole(void **state)
{
    assert_true(lexis_word_is(STR("Content-LENGTH"), STR("content-length")));
    assert_false(lexis_word_is(STR("content-lengt"), STR("content-length")));
    assert_false(lexis_word_is(STR("content_length"), STR("content-length")));
    assert_true(lexis_word_is(STR(""), STR("")));
}

static void list_members_come_trimmed_and_never_empty(void **state)
{
    static const struct {
        const char *list, *members;
    } cases[] = {{"a", "a|"},           {"a,b", "a|b|"}, {" a , b ", "a|b|"}, {",,a,,\t,b,", "a|b|"},
                 {"a b , c", "a b|c|"}, {"", ""},        {" , ", ""},         {",", ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str rest = str_of(cases[i].list), member;
        char got[64] = "";
        while (lexis_list_next(&rest, &member)) {
            strncat(got, member.base, member.len);
            strcat(got, "|");
        }
        assert_string_equal(got, cases[i].members);
    }
}

static void an_empty_list_needs_no_bytes(void **state)
{
    struct str none = STR_NONE, member;
    assert_false(lexis_list_next(&none, &member));
}

static void hop_by_hop_fields_are_those_of_the_connection(void **state)
{
    const struct str hops[] = {
        STR("te"),         STR("trailer"),        STR("upgrade"),          STR("connection"),
        STR("keep-alive"), STR("content-length"), STR("proxy-connection"), STR("transfer-encoding")};
    const struct str others[] = {STR(""),     STR("ta"),           STR("trailes"),        STR("upgraded"),
                                 STR("host"), STR("content-type"), STR("content-lengtg"), STR("connectiom")};
    for (size_t i = 0; i < COUNT(hops); i++)
        assert_true(lexis_hop_by_hop(hops[i]));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(lexis_hop_by_hop(others[i]));
}

/* --- the end of a head -------------------------------------------------------------------------------------------- */

static const struct head_case {
    const char *name, *text;
    enum lexis_head want;
    size_t end;
} heads[] = {
    {"complete", "a\r\nb\r\n\r\nrest", LEXIS_HEAD_COMPLETE, 8},
    {"shortest", "\r\n\r\n", LEXIS_HEAD_COMPLETE, 4},
    {"no empty line", "a\r\nb\r\n", LEXIS_HEAD_MORE, 0},
    {"half an empty line", "a\r\nb\r\n\r", LEXIS_HEAD_MORE, 0},
    {"nothing", "", LEXIS_HEAD_MORE, 0},
    {"long lines", "0123456789abcdef0123456789abcdef\r\n0123456789abcdef\r\n\r\n", LEXIS_HEAD_COMPLETE, 54},
    {"LF alone", "a\nb", LEXIS_HEAD_BAD, 1},
    {"LF as empty line", "a\r\n\n", LEXIS_HEAD_BAD, 3},
    {"CR alone", "a\rb", LEXIS_HEAD_BAD, 1},
    {"CR twice", "a\r\r\n", LEXIS_HEAD_BAD, 1},
    {"control byte", "a\r\nb\x01", LEXIS_HEAD_BAD, 4},
    {"DEL", "0123456789abcdef\x7f", LEXIS_HEAD_BAD, 16},
};

/* in two pieces, cut at every place: the verdict comes as soon as the bytes for it are there */
static void run_head(void **state)
{
    const struct head_case *c = *state;
    size_t len = strlen(c->text), end = 0;
    for (size_t cut = 0; cut <= len; cut++) {
        enum lexis_head got = lexis_head_end(c->text, 0, cut, &end);
        if (got == LEXIS_HEAD_MORE)
            got = lexis_head_end(c->text, cut, len, &end);
        assert_int_equal(got, c->want);
        if (got != LEXIS_HEAD_MORE)
            assert_int_equal(end, c->end);
    }
}

int main(void)
{
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(tokens_are_as_in_rfc_9110),
        cmocka_unit_test(values_are_as_in_rfc_9110),
        cmocka_unit_test(paths_queries_and_hosts_hold_what_the_table_says),
        cmocka_unit_test(digits_are_digits),
        cmocka_unit_test(tokens_fold_to_lower_case_and_others_to_nothing),
        cmocka_unit_test(the_wide_scan_finds_what_the_table_finds),
        cmocka_unit_test(the_unrolled_scan_stops_at_the_first_stranger),
        cmocka_unit_test(lengths_are_plain_decimal_numbers),
        cmocka_unit_test(words_are_compared_in_any_case_and_whole),
        cmocka_unit_test(list_members_come_trimmed_and_never_empty),
        cmocka_unit_test(an_empty_list_needs_no_bytes),
        cmocka_unit_test(hop_by_hop_fields_are_those_of_the_connection),
    };
    static struct CMUnitTest tests[COUNT(rest) + COUNT(heads)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(rest); i++)
        tests[n++] = rest[i];
    for (size_t i = 0; i < COUNT(heads); i++)
        tests[n++] = (struct CMUnitTest){heads[i].name, run_head, NULL, NULL, (void *)&heads[i]};
    return cmocka_run_group_tests_name("lexis", tests, NULL, NULL);
}
