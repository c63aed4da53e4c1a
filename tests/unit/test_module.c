/* SPDX-License-Identifier: MIT
 *
 * test_module: loading of modules, their options, and what a call may read and write. The modules are real shared
 * objects: probe.c, and the sample handler echo. One thread.
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
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "handler/module.h"

#include "capture.h"

#define PROBE "tests/unit/probe.so"

static bool always(void *arg)
{
    ++*(unsigned *)arg;
    return true;
}

/* STR() as an initializer */
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        (char *)(literal), sizeof(literal) - 1                                                                         \
    }

static const struct module_field fields[] = {
    {TEXT("host"), TEXT("example.org")},
    {TEXT("x-probe"), TEXT("1")},
    {TEXT("x-probe"), TEXT("2")},
};

static struct module_request request_for(const char *method, const char *path, const char *query)
{
    return (struct module_request){
        .method = str_of(method),
        .path = str_of(path),
        .query = str_of(query),
        .scheme = STR("https"),
        .authority = STR("example.org"),
        .peer = STR("192.0.2.1"),
        .id = STR("id-1"),
        .fields = fields,
        .nfields = sizeof(fields) / sizeof(fields[0]),
        .body = STR("the body"),
        .deadline_us = CLOCK_NEVER,
    };
}

static struct capture ask(const char *method, const char *path)
{
    struct capture a = {0};
    struct module *m = capture_open(PROBE, NULL);
    struct module_request request = request_for(method, path, NULL);
    capture_call(&a, m, &request);
    module_close(&m);
    return a;
}

/* nothing of the answer may have come out, and the message must hold these words */
static void assert_fails(const char *path, const char *words)
{
    struct capture a = ask("GET", path);
    assert_false(a.ok);
    assert_int_equal(a.heads + a.bodies + a.wholes, 0);
    capture_assert_words(a.error, words);
    capture_free(&a);
}

/* ---- loading ---------------------------------------------------------------------------------------------------- */

static void assert_not_opened(const char *path, const char *options, const char *words)
{
    char error[1024] = "";
    assert_null(module_open(path, options, error, sizeof(error)));
    capture_assert_words(error, words);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    assert_not_opened("tests/unit/nothing.so", NULL, "tests/unit/nothing.so");
}

static void a_library_without_an_entry_is_refused(void **state)
{
    assert_not_opened("tests/unit/probe_bare.so", NULL, "not a handler module");
}

static void a_module_of_another_version_is_refused(void **state)
{
    assert_not_opened("tests/unit/probe_other.so", NULL, "built for version 99 of the handler interface");
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void assert_found(const char *options)
{
    struct module *m = capture_open(PROBE, options);
    module_close(&m);
}

static void absent_options_have_their_fallback(void **state)
{
    assert_found("{\"expect\": \"none 7 0.5 1 - 0\"}");
    assert_found("{\"expect\": \"none 7 0.5 1 - 0\", \"string\": null, \"int\": null, \"inner\": null}");
    assert_found("");
    assert_found(NULL);
}

static void options_are_found_by_type(void **state)
{
    assert_found("{\"expect\": \"s 9 2.5 0 none 0\", \"string\": \"s\", \"int\": 9, \"double\": 2.5, \"bool\": false, "
                 "\"inner\": {}}");
    assert_found("{\"expect\": \"none 7 3 1 x 1\", \"double\": 3, \"inner\": {\"string\": \"x\"}}");
}

static void an_option_of_another_type_is_refused(void **state)
{
    assert_not_opened(PROBE, "{\"string\": 1}", "options.string: must be a string, is an integer");
    assert_not_opened(PROBE, "{\"int\": 1.5}", "options.int: must be an integer, is a number");
    assert_not_opened(PROBE, "{\"double\": \"1\"}", "options.double: must be a number, is a string");
    assert_not_opened(PROBE, "{\"bool\": 1}", "options.bool: must be true or false, is an integer");
    assert_not_opened(PROBE, "{\"inner\": []}", "options.inner: must be an object, is an array");
    assert_not_opened(PROBE, "{\"inner\": {\"string\": {}}}", "options.inner.string: must be a string, is an object");
}

static void an_option_out_of_range_is_refused(void **state)
{
    assert_not_opened(PROBE, "{\"int\": 0}", "options.int: 0 is out of range (1 to 9)");
    assert_not_opened(PROBE, "{\"int\": 10}", "options.int: 10 is out of range (1 to 9)");
    assert_not_opened(PROBE, "{\"double\": 10.5}", "options.double: 10.5 is out of range (0 to 10)");
}

static void an_option_that_nobody_asked_for_is_refused(void **state)
{
    assert_not_opened(PROBE, "{\"strin\": \"x\"}", "options.strin: unknown option; this module takes \"meet\"");
    assert_not_opened(PROBE, "{\"inner\": {\"x\": 1}}", "options.inner.x: unknown option");
    assert_not_opened("contrib/handlers/echo.so", "{\"x\": 1}", "options.x: unknown option; this module takes none");
}

static void the_raw_text_answers_for_all_names(void **state)
{
    assert_not_opened(PROBE, "{\"json\": true, \"other\": [1]}", ": {\"json\":true,\"other\":[1]}");
}

static void options_that_are_no_object_are_refused(void **state)
{
    assert_not_opened(PROBE, "[1]", "must be a JSON object");
    assert_not_opened(PROBE, "{\"a\": 1,}", "options: line 1, column");
    assert_not_opened(PROBE, "{\"a\": 1, \"a\": 2}", "duplicate");
}

static void a_failed_open_without_a_message_has_one(void **state)
{
    assert_not_opened(PROBE, "{\"silent\": true}", "its open function failed without a message");
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static void assert_json(json_t *object, const char *name, const char *expected)
{
    json_t *value = json_object_get(object, name);
    if (expected == NULL)
        assert_true(json_is_null(value));
    else
        assert_string_equal(json_string_value(value), expected);
}

static json_t *echo(const char *query)
{
    struct capture a = {0};
    struct module *m = capture_open("contrib/handlers/echo.so", NULL);
    struct module_request request = request_for("PATCH", "/a%20b", query);
    capture_call(&a, m, &request);
    assert_true(a.ok);
    json_t *object = json_loadb(a.body.base, a.body.len, 0, NULL);
    assert_non_null(object);
    module_close(&m);
    capture_free(&a);
    return object;
}

static void a_handler_reads_the_whole_request(void **state)
{
    json_t *object = echo("q=a%20b&flag");
    assert_json(object, "method", "PATCH");
    assert_json(object, "path", "/a%20b");
    assert_json(object, "query", "q=a%20b&flag");
    assert_json(object, "scheme", "https");
    assert_json(object, "authority", "example.org");
    assert_json(object, "peer", "192.0.2.1");
    assert_json(object, "id", "id-1");
    assert_json(object, "body", "the body");
    char *parameters = json_dumps(json_object_get(object, "parameters"), JSON_COMPACT);
    char *headers = json_dumps(json_object_get(object, "headers"), JSON_COMPACT);
    assert_string_equal(parameters, "[[\"q\",\"a b\"],[\"flag\",\"\"]]");
    assert_string_equal(headers, "[[\"host\",\"example.org\"],[\"x-probe\",\"1\"],[\"x-probe\",\"2\"]]");
    free(parameters);
    free(headers);
    json_decref(object);
}

static void no_query_is_told_from_an_empty_one(void **state)
{
    json_t *without = echo(NULL), *with = echo("");
    assert_json(without, "query", NULL);
    assert_json(with, "query", "");
    json_decref(without);
    json_decref(with);
}

static void memory_of_a_call_is_aligned_and_as_large_as_asked(void **state)
{
    struct capture a = ask("GET", "/memory");
    if (!a.ok)
        fail_msg("%s", a.error);
    assert_int_equal(a.body.len, 3000);
    capture_free(&a);
}

static void assert_looks(struct module_request *request, const char *expected)
{
    struct capture a = {0};
    struct module *m = capture_open(PROBE, NULL);
    capture_call(&a, m, request);
    assert_string_equal(a.body.base, expected);
    module_close(&m);
    capture_free(&a);
}

static void cancellation_is_asked_for_until_it_is_true(void **state)
{
    unsigned asked = 0;
    struct module_request request = request_for("GET", "/look", NULL);
    assert_looks(&request, "0 0");
    request.cancelled = always;
    request.arg = &asked;
    assert_looks(&request, "1 1");
    assert_int_equal(asked, 1);
}

static void a_passed_deadline_cancels(void **state)
{
    struct module_request request = request_for("GET", "/look", NULL);
    request.deadline_us = clock_us() - 1;
    assert_looks(&request, "1 1");
}

/* ---- the response ----------------------------------------------------------------------------------------------- */

static void a_short_answer_goes_out_whole(void **state)
{
    struct capture a = ask("GET", "/whole");
    assert_true(a.ok);
    assert_int_equal(a.status, 201);
    assert_int_equal(a.wholes, 1);
    assert_int_equal(a.heads + a.bodies, 0);
    assert_int_equal(a.content_length, 5);
    assert_string_equal(a.fields.base, "content-type: text/plain\n");
    assert_string_equal(a.body.base, "hello");
    capture_free(&a);
}

static void setting_a_field_replaces_all_of_its_name(void **state)
{
    struct capture a = ask("GET", "/headers-replaced");
    assert_true(a.ok);
    assert_string_equal(a.fields.base, "x-b: 2\nx-a: 4\n");
    capture_free(&a);
}

static struct capture ask_echo(const char *query)
{
    struct capture a = {0};
    struct module *m = capture_open("contrib/handlers/echo.so", NULL);
    struct module_request request = request_for("GET", "/", query);
    capture_call(&a, m, &request);
    module_close(&m);
    return a;
}

static void a_long_answer_goes_out_in_pieces(void **state)
{
    struct capture a = ask_echo("size=200000&piece=1000");
    assert_true(a.ok);
    assert_int_equal(a.heads, 1);
    assert_int_equal(a.wholes, 0);
    assert_int_equal(a.content_length, -1);
    assert_int_equal(a.body.len, 200000);
    assert_in_range(a.bodies, 3, 5);
    capture_free(&a);
}

static void an_announced_length_goes_out_with_the_head(void **state)
{
    struct capture a = ask_echo("size=200000&announce=1");
    assert_true(a.ok);
    assert_int_equal(a.content_length, 200000);
    capture_free(&a);
}

static void a_handler_that_says_nothing_has_failed(void **state)
{
    struct capture a = ask_echo("nothing");
    assert_false(a.ok);
    assert_int_equal(a.heads + a.wholes, 0);
    assert_string_equal(a.error, "the handler returned without an answer");
    capture_free(&a);
}

static void half_an_answer_has_failed(void **state)
{
    struct capture a = ask_echo("half");
    assert_false(a.ok);
    assert_int_equal(a.heads, 1);
    assert_string_equal(a.error, "wrote 100000 body bytes of the announced 200000");
    capture_free(&a);
}

static void an_error_is_passed_on(void **state)
{
    struct capture a = ask_echo("fail");
    assert_false(a.ok);
    assert_string_equal(a.error, "failed as it was told to");
    capture_free(&a);
    assert_fails("/minus-two", "the handler returned -2 without a message");
}

static void wrong_uses_fail_the_call(void **state)
{
    assert_fails("/status-99", "status 99 is out of range (200 to 599)");
    assert_fails("/header-break", "the value of field x-a holds a control byte");
    assert_fails("/header-name", "no token");
    assert_fails("/header-connection", "field connection is not the handler's to set");
    assert_fails("/header-length", "bulkhead_content_length()");
    assert_fails("/headers-many", "more than 100 header fields");
    assert_fails("/headers-large", "header fields of more than 65536 bytes");
    assert_fails("/answer-twice", "after a part of the body had been written");
    assert_fails("/too-much", "more body than the announced 3 bytes");
}

static void the_head_is_final_once_sent(void **state)
{
    struct capture a = ask("GET", "/head-twice");
    assert_false(a.ok);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.error, "status 404 was set after the head had been sent");
    capture_free(&a);
}

static void head_gets_the_length_without_the_body(void **state)
{
    struct capture a = ask("HEAD", "/whole");
    assert_true(a.ok);
    assert_int_equal(a.content_length, 5);
    assert_int_equal(a.body.len, 0);
    capture_free(&a);
    a = ask("HEAD", "/announced");
    assert_true(a.ok);
    assert_int_equal(a.content_length, 12345);
    capture_free(&a);
}

static void no_content_has_no_body(void **state)
{
    struct capture a = ask("GET", "/no-content");
    assert_true(a.ok);
    assert_int_equal(a.status, 204);
    assert_int_equal(a.content_length, -1);
    assert_int_equal(a.body.len, 0);
    capture_free(&a);
}

static void a_writer_that_has_gone_stops_the_handler(void **state)
{
    struct capture a = {.bodies_wanted = 3};
    struct module *m = capture_open(PROBE, NULL);
    struct module_request request = request_for("GET", "/write-on", NULL);
    capture_call(&a, m, &request);
    assert_false(a.ok);
    assert_string_equal(a.error, "2 pieces");
    assert_int_equal(a.bodies, 3);
    module_close(&m);
    capture_free(&a);
}

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

static struct capture ask_websocket(enum call_kind kind, const char *path)
{
    struct capture a = {0};
    struct module *m = capture_open(PROBE, NULL);
    struct module_request request = request_for("POST", path, NULL);
    request.kind = kind;
    request.opcode = kind == CALL_WS_MESSAGE ? 2 : 0;
    request.close_code = kind == CALL_WS_CLOSE ? 1006 : 0;
    request.connection = STR("00c1");
    capture_call(&a, m, &request);
    module_close(&m);
    return a;
}

static void assert_body(struct capture a, const char *body, size_t len)
{
    if (!a.ok)
        fail_msg("%s", a.error);
    assert_int_equal(a.body.len, len);
    assert_memory_equal(a.body.base, body, len);
    capture_free(&a);
}

/* the call fails after `messages` bodies, for this reason */
static void assert_message_fails(const char *path, unsigned messages, const char *words)
{
    struct capture a = ask_websocket(CALL_WS_MESSAGE, path);
    assert_false(a.ok);
    assert_int_equal(a.bodies, messages);
    assert_int_equal(a.wholes, 0);
    capture_assert_words(a.error, words);
    capture_free(&a);
}

#define assert_says(capture, text) assert_body(capture, text, sizeof(text) - 1)

static void a_handler_learns_what_the_call_is(void **state)
{
    assert_says(ask("GET", "/websocket"), "0 0 '' 0");
    assert_says(ask_websocket(CALL_WS_OPEN, "/websocket"), "1 0 '00c1' 0");
    assert_says(ask_websocket(CALL_WS_MESSAGE, "/websocket"), "2 2 '00c1' 0");
    assert_says(ask_websocket(CALL_WS_CLOSE, "/websocket"), "3 0 '00c1' 1006");
}

static void messages_are_events_sent_one_by_one(void **state)
{
    struct capture a = ask_websocket(CALL_WS_MESSAGE, "/send-two");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.heads, 1);
    assert_int_equal(a.bodies, 2);
    assert_int_equal(a.content_length, -1);
    assert_string_equal(a.fields.base, "set-meta-room: 7\ncontent-type: application/websocket-events\n");
    assert_says(a, "TEXT 5\r\nhello\r\nBINARY 2\r\n\0\1\r\n");
}

static void a_message_may_be_empty(void **state)
{
    assert_says(ask_websocket(CALL_WS_MESSAGE, "/send-empty"), "TEXT 0\r\n\r\n");
}

static void a_handler_may_greet_whom_it_lets_in(void **state)
{
    assert_says(ask_websocket(CALL_WS_OPEN, "/send-empty"), "TEXT 0\r\n\r\n");
}

static void a_handler_closes_a_connection(void **state)
{
    assert_says(ask_websocket(CALL_WS_MESSAGE, "/close-4000"), "CLOSE 5\r\n\x0f\xa0"
                                                               "bye\r\n");
}

static void silence_is_an_answer_on_a_websocket(void **state)
{
    const enum call_kind kinds[] = {CALL_WS_OPEN, CALL_WS_MESSAGE, CALL_WS_CLOSE};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct capture a = ask_websocket(kinds[i], "/silent");
        assert_int_equal(a.status, 200);
        assert_int_equal(a.wholes, 1);
        assert_says(a, "");
    }
    assert_fails("/silent", "the handler returned without an answer");
}

static void nobody_hears_what_is_sent_after_the_end(void **state)
{
    struct capture a = ask_websocket(CALL_WS_CLOSE, "/send-empty");
    assert_string_equal(a.error, "the handler returned -1 without a message");
    assert_int_equal(a.heads + a.bodies + a.wholes, 0);
    capture_free(&a);
}

static void messages_end_when_nobody_wants_them(void **state)
{
    struct capture a = {.bodies_wanted = 3};
    struct module *m = capture_open(PROBE, NULL);
    struct module_request request = request_for("POST", "/send-on", NULL);
    request.kind = CALL_WS_MESSAGE;
    capture_call(&a, m, &request);
    assert_string_equal(a.error, "2 messages");
    module_close(&m);
    capture_free(&a);
}

static void messages_are_not_for_http_requests(void **state)
{
    assert_fails("/send-empty", "bulkhead_send() in an HTTP request");
    assert_fails("/close-4000", "bulkhead_close() in an HTTP request");
}

static void messages_and_a_body_do_not_mix(void **state)
{
    assert_message_fails("/send-and-write", 1, "a body was written after bulkhead_send()");
    assert_message_fails("/send-and-answer", 1, "bulkhead_answer() after messages had been sent");
    assert_message_fails("/write-and-send", 0, "bulkhead_send() after a part of another answer had been written");
    assert_message_fails("/announce-and-send", 0, "bulkhead_send() after a part of another answer had been written");
    assert_message_fails("/send-404", 0, "bulkhead_send() with status 404");
    assert_message_fails("/send-204", 0, "bulkhead_send() with status 204");
}

static void what_no_frame_can_carry_fails_the_call(void **state)
{
    assert_message_fails("/send-latin1", 0, "bulkhead_send() with text that is not UTF-8");
    assert_message_fails("/send-opcode-3", 0, "bulkhead_send() with opcode 3");
    assert_message_fails("/close-1002", 0, "bulkhead_close() with code 1002: it takes 1000, 1001");
    assert_message_fails("/close-long", 0, "at most 123 bytes");
    assert_message_fails("/close-latin1", 0, "not UTF-8");
    assert_message_fails("/close-and-send", 1, "bulkhead_send() after bulkhead_close()");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_library_without_an_entry_is_refused),
        cmocka_unit_test(a_module_of_another_version_is_refused),
        cmocka_unit_test(absent_options_have_their_fallback),
        cmocka_unit_test(options_are_found_by_type),
        cmocka_unit_test(an_option_of_another_type_is_refused),
        cmocka_unit_test(an_option_out_of_range_is_refused),
        cmocka_unit_test(an_option_that_nobody_asked_for_is_refused),
        cmocka_unit_test(the_raw_text_answers_for_all_names),
        cmocka_unit_test(options_that_are_no_object_are_refused),
        cmocka_unit_test(a_failed_open_without_a_message_has_one),
        cmocka_unit_test(a_handler_reads_the_whole_request),
        cmocka_unit_test(no_query_is_told_from_an_empty_one),
        cmocka_unit_test(memory_of_a_call_is_aligned_and_as_large_as_asked),
        cmocka_unit_test(cancellation_is_asked_for_until_it_is_true),
        cmocka_unit_test(a_passed_deadline_cancels),
        cmocka_unit_test(a_short_answer_goes_out_whole),
        cmocka_unit_test(setting_a_field_replaces_all_of_its_name),
        cmocka_unit_test(a_long_answer_goes_out_in_pieces),
        cmocka_unit_test(an_announced_length_goes_out_with_the_head),
        cmocka_unit_test(a_handler_that_says_nothing_has_failed),
        cmocka_unit_test(half_an_answer_has_failed),
        cmocka_unit_test(an_error_is_passed_on),
        cmocka_unit_test(wrong_uses_fail_the_call),
        cmocka_unit_test(the_head_is_final_once_sent),
        cmocka_unit_test(head_gets_the_length_without_the_body),
        cmocka_unit_test(no_content_has_no_body),
        cmocka_unit_test(a_writer_that_has_gone_stops_the_handler),
        cmocka_unit_test(a_handler_learns_what_the_call_is),
        cmocka_unit_test(messages_are_events_sent_one_by_one),
        cmocka_unit_test(a_message_may_be_empty),
        cmocka_unit_test(a_handler_may_greet_whom_it_lets_in),
        cmocka_unit_test(a_handler_closes_a_connection),
        cmocka_unit_test(silence_is_an_answer_on_a_websocket),
        cmocka_unit_test(nobody_hears_what_is_sent_after_the_end),
        cmocka_unit_test(messages_end_when_nobody_wants_them),
        cmocka_unit_test(messages_are_not_for_http_requests),
        cmocka_unit_test(messages_and_a_body_do_not_mix),
        cmocka_unit_test(what_no_frame_can_carry_fails_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
