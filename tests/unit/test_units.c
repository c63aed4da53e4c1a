/* SPDX-License-Identifier: MIT
 *
 * Durations and sizes as text, both ways; and the hint for a mistyped word.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/str.h"
#include "config/nearest.h"
#include "config/units.h"

static int64_t duration(const char *text)
{
    int64_t us = -2;
    return units_parse_duration(text, &us) == NULL ? us : -1;
}

static int64_t size(const char *text)
{
    int64_t bytes = -2;
    return units_parse_size(text, &bytes) == NULL ? bytes : -1;
}

static void test_durations(void **state)
{
    assert_int_equal(duration("250ms"), 250000);
    assert_int_equal(duration("5s"), 5000000);
    assert_int_equal(duration("2m"), 120000000);
    assert_int_equal(duration("1h"), 3600000000);
    assert_int_equal(duration("1d"), 86400000000);
    assert_int_equal(duration("0s"), 0);
    assert_int_equal(duration("0030s"), 30000000);
}

static void test_bad_durations(void **state)
{
    static const char *const bad[] = {"",     "5",    "s",  "5 s", " 5s",  "5s ",  "-5s",  "+5s",
                                      "1.5s", "5sec", "5S", "5us", "5m5s", "0x5s", "none", "9223372036855s"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(duration(bad[i]), -1);
    assert_int_equal(duration("9223372036854s"), 9223372036854000000);
    assert_int_equal(duration("99999999999999999999999ms"), -1);
}

static void test_sizes(void **state)
{
    assert_int_equal(size("512B"), 512);
    assert_int_equal(size("64KiB"), 65536);
    assert_int_equal(size("8MiB"), 8388608);
    assert_int_equal(size("1GiB"), 1073741824);
    assert_int_equal(size("0B"), 0);
}

static void test_bad_sizes(void **state)
{
    static const char *const bad[] = {"", "64", "KiB", "64KB", "64kib", "64 KiB", "-1B", "1e3B", "8589934592GiB"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(size(bad[i]), -1);
}

static void test_formatting_is_shortest_and_parses_back(void **state)
{
    static const struct {
        int64_t value;
        const char *text;
    } durations[] = {{0, "0s"},         {1000, "1ms"},      {1500000, "1500ms"}, {60000000, "1m"},
                     {90000000, "90s"}, {7200000000, "2h"}, {86400000000, "1d"}, {90000000000, "25h"}},
      sizes[] = {{0, "0B"},       {1, "1B"},        {1023, "1023B"},   {1024, "1KiB"},
                 {1536, "1536B"}, {65536, "64KiB"}, {3145728, "3MiB"}, {5368709120, "5GiB"}};
    char out[UNITS_TEXT];
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        assert_string_equal(units_format_duration(durations[i].value, out), durations[i].text);
        assert_int_equal(duration(out), durations[i].value);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_string_equal(units_format_size(sizes[i].value, out), sizes[i].text);
        assert_int_equal(size(out), sizes[i].value);
    }
}

/* ---- the nearest word ------------------------------------------------------------------------------------------- */

static const char *nearest(const char *written)
{
    static const char *const words[] = {"loop", "threads", "workers", "queue", "queue_timeout", "timeout", "bind"};
    struct nearest n = {.written = written};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        nearest_offer(&n, words[i]);
    return n.word == NULL ? "" : n.word;
}

static void test_nearest(void **state)
{
    assert_string_equal(nearest("wokers"), "workers");   /* left out */
    assert_string_equal(nearest("workerss"), "workers"); /* too many */
    assert_string_equal(nearest("wrokers"), "workers");  /* swapped */
    assert_string_equal(nearest("lop"), "loop");
    assert_string_equal(nearest("quene"), "queue");
    assert_string_equal(nearest("queue_time_out"), "queue_timeout");
    assert_string_equal(nearest("time"), "");
    assert_string_equal(nearest("processes"), "");
    assert_string_equal(nearest(""), "");
    assert_string_equal(nearest("x"), "");
    assert_string_equal(nearest("a word that is longer than anything that this is meant for"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_bad_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_formatting_is_shortest_and_parses_back),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
