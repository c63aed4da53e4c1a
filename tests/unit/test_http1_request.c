/* SPDX-License-Identifier: MIT
 *
 * test_http1_request: the bytes of a request's head towards an HTTP/1.1 backend.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "upstream/http1_request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct call_field fields[] = {{STR("host"), STR("h")}, {STR("x-a"), STR("")}, {STR("x-a"), STR("b c")}};

static const struct request_case {
    const char *name;
    struct call_request request;
    bool close;
    const char *want;
} cases[] = {
    {"no fields", {.method = STR("GET"), .path = STR("/")}, false, "GET / HTTP/1.1\r\n\r\n"},
    {"query", {.method = STR("GET"), .path = STR("/a"), .query = STR("b=c")}, false, "GET /a?b=c HTTP/1.1\r\n\r\n"},
    {"empty query", {.method = STR("GET"), .path = STR("/a"), .query = STR("")}, false, "GET /a? HTTP/1.1\r\n\r\n"},
    {"fields in order",
     {.method = STR("GET"), .path = STR("/"), .fields = fields, .nfields = 3},
     false,
     "GET / HTTP/1.1\r\nhost: h\r\nx-a: \r\nx-a: b c\r\n\r\n"},
    {"body",
     {.method = STR("GET"), .path = STR("/"), .body = STR("0123456789")},
     false,
     "GET / HTTP/1.1\r\ncontent-length: 10\r\n\r\n"},
    {"close", {.method = STR("GET"), .path = STR("/")}, true, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"},
    {"body and close",
     {.method = STR("PUT"), .path = STR("/"), .body = STR("1")},
     true,
     "PUT / HTTP/1.1\r\ncontent-length: 1\r\nconnection: close\r\n\r\n"},
    {"POST without body",
     {.method = STR("POST"), .path = STR("/")},
     false,
     "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"},
    {"PUT without body",
     {.method = STR("PUT"), .path = STR("/")},
     false,
     "PUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"},
    {"PATCH without body",
     {.method = STR("PATCH"), .path = STR("/")},
     false,
     "PATCH / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"},
    {"DELETE without body", {.method = STR("DELETE"), .path = STR("/")}, false, "DELETE / HTTP/1.1\r\n\r\n"},
    {"HEAD without body", {.method = STR("HEAD"), .path = STR("/")}, false, "HEAD / HTTP/1.1\r\n\r\n"},
    {"options star", {.method = STR("OPTIONS"), .path = STR("*")}, false, "OPTIONS * HTTP/1.1\r\n\r\n"},
};

static void run_case(void **state)
{
    const struct request_case *c = *state;
    struct buf out = {0};
    http1_request_put(&out, &c->request, c->close);
    assert_true(str_eq(buf_str(&out), str_of(c->want)));
    buf_free(&out);
}

static void a_huge_length_is_written_whole(void **state)
{
    static char byte;
    struct call_request r = {.method = STR("PUT"), .path = STR("/"), .body = {&byte, SIZE_MAX}};
    struct buf out = {0};
    http1_request_put(&out, &r, false);
    assert_non_null(memmem(out.base, out.len, "content-length: 18446744073709551615\r\n", 38));
    buf_free(&out);
}

static void it_appends_to_what_is_there(void **state)
{
    struct call_request r = {.method = STR("GET"), .path = STR("/")};
    struct buf out = {0};
    buf_append_z(&out, "before");
    http1_request_put(&out, &r, false);
    http1_request_put(&out, &r, false);
    assert_true(str_eq(buf_str(&out), STR("beforeGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")));
    buf_free(&out);
}

int main(void)
{
    static struct CMUnitTest tests[COUNT(cases) + 2];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        tests[n++] = (struct CMUnitTest){cases[i].name, run_case, NULL, NULL, (void *)&cases[i]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_huge_length_is_written_whole);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(it_appends_to_what_is_there);
    return cmocka_run_group_tests_name("http1_request", tests, NULL, NULL);
}
