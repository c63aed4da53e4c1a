/* SPDX-License-Identifier: MIT
 *
 * test_log: the form of records in text and JSON, what is kept out of them, and the limit of one a second. One thread.
 */
#include "config.h"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "diag/log.h"

static struct buf seen;
static int records;

static void sink(const char *line, size_t len)
{
    buf_append(&seen, line, len);
    records++;
}

static int start(void **state)
{
    records = 0;
    buf_clear(&seen);
    log_set_sink(sink);
    log_init("front", LOG_LEVEL_INFO, false);
    return 0;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
    regfree(&re);
}

static void assert_one_line(void)
{
    const char *text = buf_z(&seen);
    assert_ptr_equal(strchr(text, '\n'), text + seen.len - 1);
}

static void test_text_record(void **state)
{
    log_write(LOG_LEVEL_WARNING, "gate", "backend %s is full (%d waiting)", "shop", 40);
    assert_matches(buf_z(&seen), "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z warning "
                                 "front\\[[0-9]+\\] gate: backend shop is full \\(40 waiting\\)\n$");
    assert_int_equal(records, 1);
}

static void test_levels_above_the_set_one_are_left_out(void **state)
{
    log_write(LOG_LEVEL_DEBUG, "gate", "not now");
    assert_int_equal(records, 0);
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    log_set_level(LOG_LEVEL_DEBUG);
    log_write(LOG_LEVEL_DEBUG, "gate", "now");
    assert_int_equal(records, 1);
}

static void test_text_from_outside_cannot_forge_a_line(void **state)
{
    log_write(LOG_LEVEL_INFO, "front", "%s", "GET /\n2026 error\r\t\x1b[2J \x7f \xff \xc2\x9b é \"\\");
    const char *text = strstr(buf_z(&seen), "front: ");
    assert_non_null(text);
    assert_string_equal(text, "front: GET /\\x0a2026 error\\x0d\\x09\\x1b[2J \\x7f \\xff \\xc2\\x9b é \"\\\n");
}

static void test_json_record(void **state)
{
    log_init("front", LOG_LEVEL_INFO, true);
    log_write(LOG_LEVEL_ERROR, "conn", "said \"%s\"", "no\x01\nway\xff");
    json_t *record = json_loads(buf_z(&seen), 0, NULL);
    assert_non_null(record);
    assert_string_equal(json_string_value(json_object_get(record, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(record, "process")), "front");
    assert_int_equal(json_integer_value(json_object_get(record, "pid")), getpid());
    assert_string_equal(json_string_value(json_object_get(record, "room")), "conn");
    assert_string_equal(json_string_value(json_object_get(record, "text")), "said \"no\x01\nway\xef\xbf\xbd\"");
    assert_matches(json_string_value(json_object_get(record, "time")), "^[0-9-]{10}T[0-9:.]{12}Z$");
    json_decref(record);
    assert_one_line();
}

/* the longest texts, each byte of which grows sixfold */
static void test_long_records_are_cut_and_stay_one_line(void **state)
{
    static char text[20000];
    for (size_t len = 1000; len < sizeof(text); len += 500) {
        memset(text, 1, len);
        text[len] = '\0';
        for (int json = 0; json < 2; json++) {
            buf_clear(&seen);
            log_init("front", LOG_LEVEL_INFO, json);
            log_write(LOG_LEVEL_INFO, "a room with a name that nobody would ever give it", "%s", text);
            assert_one_line();
            assert_true(seen.len > 4 * 1000);
            assert_true(seen.len < 60000);
        }
    }
}

static void complain(void)
{
    log_limited(LOG_LEVEL_WARNING, "gate", "full");
}

static void test_limited_records_come_once_a_second_and_say_how_many_were_left_out(void **state)
{
    for (int i = 0; i < 5; i++)
        complain();
    assert_int_equal(records, 1);
    assert_null(strstr(buf_z(&seen), "left out"));
    while (records < 2) /* the limit is on the real clock: at most a second */
        complain();
    assert_matches(buf_z(&seen), "gate: full \\([0-9]+ more like this left out\\)\n$");
    buf_clear(&seen);
    log_write(LOG_LEVEL_INFO, "gate", "another");
    assert_null(strstr(buf_z(&seen), "left out"));
}

static void test_a_limit_that_is_not_logged_leaves_no_count_behind(void **state)
{
    struct log_limit limit = {.last_us = 1, .left_out = 7};
    assert_true(log_limit_pass(&limit));
    log_write(LOG_LEVEL_DEBUG, "gate", "not enabled");
    log_write(LOG_LEVEL_INFO, "gate", "another");
    assert_null(strstr(buf_z(&seen), "left out"));
}

static void test_without_a_sink_a_record_is_one_write_to_stderr(void **state)
{
    int fds[2], saved = dup(STDERR_FILENO);
    char got[512];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    dup2(fds[1], STDERR_FILENO);
    log_set_sink(NULL);
    log_write(LOG_LEVEL_INFO, "gate", "hello");
    dup2(saved, STDERR_FILENO);
    ssize_t n = read(fds[0], got, sizeof(got) - 1);
    assert_true(n > 0);
    got[n] = '\0';
    assert_matches(got, " gate: hello\n$");
    close(saved);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_text_record, start),
        cmocka_unit_test_setup(test_levels_above_the_set_one_are_left_out, start),
        cmocka_unit_test_setup(test_text_from_outside_cannot_forge_a_line, start),
        cmocka_unit_test_setup(test_json_record, start),
        cmocka_unit_test_setup(test_long_records_are_cut_and_stay_one_line, start),
        cmocka_unit_test_setup(test_limited_records_come_once_a_second_and_say_how_many_were_left_out, start),
        cmocka_unit_test_setup(test_a_limit_that_is_not_logged_leaves_no_count_behind, start),
        cmocka_unit_test_setup(test_without_a_sink_a_record_is_one_write_to_stderr, start),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&seen);
    return failed;
}
