/* SPDX-License-Identifier: MIT
 *
 * Which WebSockets a request for /ws means and what it sends to them: what is not understood is refused, not guessed.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "front/push_request.h"

static char text[1024];

static const char *read_query(struct push_request *r, const char *path, const char *query)
{
    return push_request_read(r, str_of(path), str_of(query), STR_NONE, text);
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.base, expected, s.len);
}

static void one_is_named_by_the_path(void **state)
{
    struct push_request r;
    assert_null(read_query(&r, "/ws/00ab", ""));
    assert_str(r.id, "00ab");
    assert_false(r.closes);
    assert_int_equal(r.opcode, WS_TEXT);
}

static void many_are_named_by_their_route(void **state)
{
    struct push_request r;
    assert_null(read_query(&r, "/ws", "route=a%20b%26c&limit=7"));
    assert_str(r.route, "a b&c");
    assert_int_equal(r.id.len, 0);
    assert_int_equal(r.limit, 7);
    assert_non_null(read_query(&r, "/ws/00ab", "route=x"));
}

static void a_close_has_a_code_and_perhaps_a_reason(void **state)
{
    struct push_request r;
    assert_null(read_query(&r, "/ws/1", "close=4000&reason=d%C3%A9j%C3%A0+vu"));
    assert_true(r.closes);
    assert_int_equal(r.code, 4000);
    assert_str(r.reason, "d\xc3\xa9j\xc3\xa0 vu");
    assert_non_null(read_query(&r, "/ws/1", "reason=why"));
}

static void codes_that_no_frame_carries_are_refused(void **state)
{
    static const char *const bad[] = {"close",
                                      "close=",
                                      "close=0",
                                      "close=999",
                                      "close=1004",
                                      "close=1005",
                                      "close=1006",
                                      "close=1015",
                                      "close=2999",
                                      "close=5000",
                                      "close=-1",
                                      "close=1000x",
                                      "close=18446744073709552616"};
    struct push_request r;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read_query(&r, "/ws/1", bad[i]) == NULL)
            fail_msg("%s was taken", bad[i]);
}

static void a_reason_is_short_text(void **state)
{
    struct push_request r;
    char query[256] = "close=1000&reason=";
    size_t len = strlen(query);
    memset(query + len, 'x', 123);
    assert_null(read_query(&r, "/ws/1", query));
    query[len + 123] = 'x';
    assert_non_null(read_query(&r, "/ws/1", query));
    assert_non_null(read_query(&r, "/ws/1", "close=1000&reason=%FF"));
    assert_non_null(read_query(&r, "/ws/1", "close=1000&reason=a%00b"));
}

static void what_is_not_known_may_be_misspelt(void **state)
{
    struct push_request r;
    assert_non_null(read_query(&r, "/ws/1", "clsoe=1000"));
    assert_non_null(read_query(&r, "/ws", "limit=1001"));
}

static void the_type_tells_text_from_bytes(void **state)
{
    static const char *const is_text[] = {"",
                                          "text/plain",
                                          "TEXT/HTML; charset=utf-8",
                                          "application/json",
                                          "application/problem+json ; a=b",
                                          "application/x-www-form-urlencoded"};
    static const char *const is_binary[] = {"application/octet-stream", "image/png", "textual/plain",
                                            "application/jsonp"};
    for (size_t i = 0; i < sizeof(is_text) / sizeof(is_text[0]); i++)
        assert_true(push_request_type_is_text(str_of(is_text[i])));
    for (size_t i = 0; i < sizeof(is_binary) / sizeof(is_binary[0]); i++)
        assert_false(push_request_type_is_text(str_of(is_binary[i])));
}

static void only_ws_and_what_is_below_it_belongs_here(void **state)
{
    assert_true(push_request_is(STR("/ws")));
    assert_true(push_request_is(STR("/ws/x")));
    assert_false(push_request_is(STR("/wsx")));
    assert_false(push_request_is(STR("/status")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_named_by_the_path),
        cmocka_unit_test(many_are_named_by_their_route),
        cmocka_unit_test(a_close_has_a_code_and_perhaps_a_reason),
        cmocka_unit_test(codes_that_no_frame_carries_are_refused),
        cmocka_unit_test(a_reason_is_short_text),
        cmocka_unit_test(what_is_not_known_may_be_misspelt),
        cmocka_unit_test(the_type_tells_text_from_bytes),
        cmocka_unit_test(only_ws_and_what_is_below_it_belongs_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
