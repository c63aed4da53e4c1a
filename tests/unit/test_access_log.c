/* SPDX-License-Identifier: MIT
 *
 * test_access_log: a line is one line, valid JSON, and says what happened, whatever a client sent. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front/access_log.h"

static struct access_record full_record(void)
{
    return (struct access_record){.wall_us = INT64_C(1700000000012345),
                                  .id = STR("id-1"),
                                  .peer = STR("192.0.2.7"),
                                  .method = STR("GET"),
                                  .target = STR("/a?b=c"),
                                  .protocol = "HTTP/1.1",
                                  .status = 503,
                                  .bytes = 1234567890123,
                                  .route = "x.conf:12",
                                  .backend = "shop",
                                  .run = "workers",
                                  .worker = 4711,
                                  .attempts = 2,
                                  .reason = REASON_QUEUE_TIMEOUT,
                                  .outcome = "refused",
                                  .upload_us = 1,
                                  .queue_us = 5000000,
                                  .service_us = 0,
                                  .total_us = 5000002};
}

static struct access_stamp stamp = {.second = -1};

/* returns owned; checks the promised bound */
static char *format(enum access_format f, const struct access_record *r)
{
    size_t max = access_log_max(r);
    char *line = mem_zalloc(max + 1);
    size_t len = access_log_format(f, r, &stamp, line);
    assert_true(len <= max);
    assert_true(len > 0 && line[len - 1] == '\n');
    assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
    line[len] = '\0';
    return line;
}

static json_t *parse(const struct access_record *r)
{
    json_error_t error;
    char *line = format(ACCESS_JSON, r);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (object == NULL)
        fail_msg("%s in %s", error.text, line);
    free(line);
    return object;
}

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void test_json_says_everything(void **state)
{
    struct access_record r = full_record();
    json_t *o = parse(&r);
    assert_string_equal(text_of(o, "time"), "2023-11-14T22:13:20.012345Z");
    assert_string_equal(text_of(o, "id"), "id-1");
    assert_string_equal(text_of(o, "peer"), "192.0.2.7");
    assert_string_equal(text_of(o, "path"), "/a?b=c");
    assert_string_equal(text_of(o, "route"), "x.conf:12");
    assert_string_equal(text_of(o, "backend"), "shop");
    assert_string_equal(text_of(o, "class"), "workers");
    assert_string_equal(text_of(o, "outcome"), "refused");
    assert_string_equal(text_of(o, "reason"), "queue-timeout");
    assert_int_equal(json_integer_value(json_object_get(o, "status")), 503);
    assert_int_equal(json_integer_value(json_object_get(o, "bytes")), 1234567890123);
    assert_int_equal(json_integer_value(json_object_get(o, "worker")), 4711);
    assert_int_equal(json_integer_value(json_object_get(o, "attempts")), 2);
    assert_int_equal(json_integer_value(json_object_get(o, "queue_us")), 5000000);
    assert_int_equal(json_integer_value(json_object_get(o, "total_us")), 5000002);
    json_decref(o);
}

static void test_absent_values_are_left_out(void **state)
{
    struct access_record r = full_record();
    r.route = r.backend = r.run = NULL;
    r.worker = 0;
    r.attempts = 0;
    json_t *o = parse(&r);
    assert_null(json_object_get(o, "route"));
    assert_null(json_object_get(o, "backend"));
    assert_null(json_object_get(o, "worker"));
    json_decref(o);
}

static struct access_record closing_record(void)
{
    struct access_record r = full_record();
    r.protocol = "websocket";
    r.method = STR("CLOSE");
    r.status = 1011;
    r.connection = STR("00ab");
    r.bytes_in = UINT64_MAX;
    r.messages_in = UINT64_MAX - 1;
    r.messages_out = 7;
    r.closed_by = "bulkhead";
    r.why = "a call failed";
    return r;
}

static void test_a_websockets_close_says_how_it_was(void **state)
{
    struct access_record r = closing_record();
    char *line = format(ACCESS_JSON, &r);
    assert_non_null(strstr(line, ",\"total_us\":5000002,\"connection\":\"00ab\",\"bytes_in\":18446744073709551615,"
                                 "\"messages_in\":18446744073709551614,\"messages_out\":7,\"by\":\"bulkhead\","
                                 "\"why\":\"a call failed\"}\n"));
    free(line);
    line = format(ACCESS_TEXT, &r);
    assert_non_null(strstr(line, "\"CLOSE /a?b=c websocket\" 1011 "));
    assert_non_null(strstr(line,
                           " total=5000002 id-1 connection=00ab bytes_in=18446744073709551615 "
                           "messages_in=18446744073709551614 messages_out=7 by=bulkhead why=\"a call failed\"\n"));
    free(line);
}

static void test_only_a_close_has_counts_and_an_author(void **state)
{
    struct access_record r = closing_record();
    r.bytes_in = 12;
    r.closed_by = r.why = NULL;
    json_t *o = parse(&r);
    assert_string_equal(text_of(o, "connection"), "00ab");
    assert_int_equal(json_integer_value(json_object_get(o, "bytes_in")), 12);
    assert_null(json_object_get(o, "messages_in"));
    assert_null(json_object_get(o, "by"));
    json_decref(o);
    char *line = format(ACCESS_TEXT, &r);
    assert_non_null(strstr(line, " id-1 connection=00ab bytes_in=12\n"));
    free(line);
}

static void test_a_requests_line_knows_no_websocket(void **state)
{
    struct access_record r = full_record();
    json_t *o = parse(&r);
    assert_null(json_object_get(o, "connection"));
    assert_null(json_object_get(o, "bytes_in"));
    json_decref(o);
}

static void test_hostile_bytes_are_escaped(void **state)
{
    struct access_record r = full_record();
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    r.target = r.method = r.id = r.connection = (struct str){all, sizeof(all)};
    json_t *o = parse(&r);
    assert_non_null(text_of(o, "outcome"));
    json_decref(o);
    free(format(ACCESS_TEXT, &r));
}

static void test_text_line(void **state)
{
    struct access_record r = full_record();
    char *line = format(ACCESS_TEXT, &r);
    assert_string_equal(line, "2023-11-14T22:13:20.012345Z 192.0.2.7 \"GET /a?b=c HTTP/1.1\" 503 1234567890123 refused "
                              "queue-timeout x.conf:12 shop workers worker=4711 attempts=2 upload=1 queue=5000000 "
                              "service=0 total=5000002 id-1\n");
    free(line);
}

static void test_cached_second_follows_the_clock(void **state)
{
    struct access_record r = full_record();
    free(format(ACCESS_TEXT, &r));
    r.wall_us += 60 * INT64_C(1000000);
    char *line = format(ACCESS_TEXT, &r);
    assert_memory_equal(line, "2023-11-14T22:14:20.012345Z", 27);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_says_everything),
        cmocka_unit_test(test_absent_values_are_left_out),
        cmocka_unit_test(test_a_websockets_close_says_how_it_was),
        cmocka_unit_test(test_only_a_close_has_counts_and_an_author),
        cmocka_unit_test(test_a_requests_line_knows_no_websocket),
        cmocka_unit_test(test_hostile_bytes_are_escaped),
        cmocka_unit_test(test_text_line),
        cmocka_unit_test(test_cached_second_follows_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
