/* SPDX-License-Identifier: MIT
 *
 * test_call: the body cursor, letting go of the request, and the table of reason words.
 */
#include "config.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "call/call.h"

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.base, expected, s.len);
}

static void test_the_body_is_handed_out_once_in_order(void **state)
{
    struct call call = {.magic = CALL_MAGIC, .request.body = STR("0123456789")};
    assert_str(call_body_take(&call, 4), "0123");
    assert_str(call_body_take(&call, 0), "");
    assert_str(call_body_take(&call, 4), "4567");
    assert_str(call_body_take(&call, 4), "89");
    assert_int_equal(call_body_take(&call, 4).len, 0);
    assert_int_equal(call.body_sent, 10);
    call_cleanup(&call);
}

static void test_a_call_without_a_body(void **state)
{
    struct call call = {.magic = CALL_MAGIC};
    assert_int_equal(call_body_take(&call, 100).len, 0);
    call_detach(&call);
    assert_int_equal(call_body_take(&call, 100).len, 0);
    call_cleanup(&call);
}

static void test_a_detached_call_keeps_what_it_still_needs(void **state)
{
    char method[] = "POST", path[] = "/encode", body[] = "0123456789";
    struct call_field fields[] = {{STR("host"), STR("example")}};
    struct call call = {.magic = CALL_MAGIC,
                        .request = {.method = str_of(method),
                                    .path = str_of(path),
                                    .query = STR("a=1"),
                                    .authority = STR("example"),
                                    .kind = CALL_WS_MESSAGE,
                                    .ws_opcode = 1,
                                    .connection = STR("00c1"),
                                    .fields = fields,
                                    .nfields = 1,
                                    .body = str_of(body)}};
    call_body_take(&call, 4);
    call_detach(&call);
    call_detach(&call); /* idempotent */
    memset(method, 'x', sizeof(method));
    memset(path, 'x', sizeof(path));
    memset(body, 'x', sizeof(body));
    assert_true(call.detached);
    assert_str(call.request.method, "POST");
    assert_str(call.request.path, "/encode");
    assert_null(call.request.query.base);
    assert_null(call.request.authority.base);
    assert_int_equal(call.request.kind, CALL_WS_MESSAGE);
    assert_null(call.request.connection.base);
    assert_int_equal(call.request.nfields, 0);
    assert_str(call_body_take(&call, 3), "456");
    assert_str(call_body_take(&call, 100), "789");
    call_cleanup(&call);
    assert_null(call.owned);
    assert_int_not_equal(call.magic, CALL_MAGIC);
}

static void test_idempotent_methods(void **state)
{
    assert_true(call_method_idempotent(STR("GET")));
    assert_true(call_method_idempotent(STR("HEAD")));
    assert_true(call_method_idempotent(STR("PUT")));
    assert_true(call_method_idempotent(STR("DELETE")));
    assert_false(call_method_idempotent(STR("POST")));
    assert_false(call_method_idempotent(STR("PATCH")));
    assert_false(call_method_idempotent(STR("get"))); /* methods are case-sensitive */
    assert_false(call_method_idempotent(STR_NONE));
}

static void test_classes_have_the_words_of_the_conf_file(void **state)
{
    assert_string_equal(call_class_name(CALL_CLASS_LOOP), "loop");
    assert_string_equal(call_class_name(CALL_CLASS_THREADS), "threads");
    assert_string_equal(call_class_name(CALL_CLASS_WORKERS), "workers");
}

static void assert_is_word(const char *word)
{
    assert_true(islower((unsigned char)word[0]));
    for (const char *c = word; *c != '\0'; c++)
        assert_true(islower((unsigned char)*c) || *c == '-');
}

static void test_each_reason_has_its_own_word_a_status_and_a_title(void **state)
{
    assert_string_equal(reason_word(REASON_NONE), "");
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        assert_is_word(reason_word(r));
        for (int other = 0; other < r; other++)
            assert_string_not_equal(reason_word(r), reason_word(other));
        assert_in_range(reason_status(r), 400, 599);
        assert_true(strlen(reason_title(r)) > 0);
        assert_int_equal(reason_wants_retry_after(r), reason_status(r) == 503);
    }
}

/* the words, statuses and Retry-After that are promised to clients and operators */
static void test_promised_reasons(void **state)
{
    static const struct {
        enum reason reason;
        const char *word;
        int status;
    } promised[] = {
        {REASON_NO_ROUTE, "no-route", 404},
        {REASON_BODY_TOO_LARGE, "body-too-large", 413},
        {REASON_BAD_REQUEST, "bad-request", 400},
        {REASON_QUEUE_FULL, "queue-full", 503},
        {REASON_QUEUE_TIMEOUT, "queue-timeout", 503},
        {REASON_DEADLINE, "deadline", 504},
        {REASON_WORKER_LOST, "worker-lost", 502},
        {REASON_BACKEND_DOWN, "backend-down", 503},
        {REASON_UPSTREAM_REFUSED, "upstream-refused", 502},
        {REASON_UPSTREAM_RESET, "upstream-reset", 502},
        {REASON_UPSTREAM_GARBAGE, "upstream-garbage", 502},
        {REASON_HANDLER_FAILED, "handler-failed", 500},
        {REASON_DRAINING, "draining", 503},
        {REASON_ABANDONED, "abandoned", 499},
    };
    for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++) {
        assert_string_equal(reason_word(promised[i].reason), promised[i].word);
        assert_int_equal(reason_status(promised[i].reason), promised[i].status);
    }
}

/* the error types that RFC 9209, section 2.3 registers */
static void test_proxy_status_types_are_registered(void **state)
{
    static const char *const registered[] = {
        "dns_timeout",
        "dns_error",
        "destination_not_found",
        "destination_unavailable",
        "destination_ip_prohibited",
        "destination_ip_unroutable",
        "connection_refused",
        "connection_terminated",
        "connection_timeout",
        "connection_read_timeout",
        "connection_write_timeout",
        "connection_limit_reached",
        "tls_protocol_error",
        "tls_certificate_error",
        "tls_alert_received",
        "http_request_error",
        "http_request_denied",
        "http_response_incomplete",
        "http_response_header_section_size",
        "http_response_header_size",
        "http_response_body_size",
        "http_response_trailer_section_size",
        "http_response_trailer_size",
        "http_response_transfer_coding",
        "http_response_content_coding",
        "http_response_timeout",
        "http_upgrade_failed",
        "http_protocol_error",
        "proxy_internal_response",
        "proxy_internal_error",
        "proxy_configuration_error",
        "proxy_loop_detected",
    };
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *type = reason_proxy_status(r);
        bool found = type == NULL;
        for (size_t i = 0; !found && i < sizeof(registered) / sizeof(registered[0]); i++)
            found = strcmp(type, registered[i]) == 0;
        if (!found)
            fail_msg("%s: no such type: %s", reason_word(r), type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_body_is_handed_out_once_in_order),
        cmocka_unit_test(test_a_call_without_a_body),
        cmocka_unit_test(test_a_detached_call_keeps_what_it_still_needs),
        cmocka_unit_test(test_idempotent_methods),
        cmocka_unit_test(test_classes_have_the_words_of_the_conf_file),
        cmocka_unit_test(test_each_reason_has_its_own_word_a_status_and_a_title),
        cmocka_unit_test(test_promised_reasons),
        cmocka_unit_test(test_proxy_status_types_are_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
