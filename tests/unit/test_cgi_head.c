/* SPDX-License-Identifier: MIT
 *
 * test_cgi_head: headers of CGI programs, good and bad.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "handler/cgi_head.h"

/* The end as found when the bytes come one by one, which must not make a difference; what has not come is not there. */
static size_t end_of(const char *text)
{
    size_t scanned = 0, end = 0, len = strlen(text), at_once = 0;
    for (size_t n = 1; n <= len && end == 0; n++) {
        char *bytes = malloc(n);
        memcpy(bytes, text, n);
        end = cgi_head_find_end(bytes, n, &scanned);
        assert_true(end <= n);
        free(bytes);
    }
    assert_int_equal(cgi_head_find_end(text, len, &at_once), end);
    return end;
}

/* "status length name=value;…", or why not */
static char *parsed(const char *text)
{
    static struct cgi_head head;
    struct buf out = {0};
    size_t end = end_of(text);
    assert_int_not_equal(end, 0);
    if (!cgi_head_parse(&head, text, end))
        return strdup(head.why);
    buf_printf(&out, "%d %d", head.status, (int)head.content_length);
    for (size_t i = 0; i < head.nfields; i++)
        buf_printf(&out, " %.*s=%.*s;", STR_ARG(head.fields[i].name), STR_ARG(head.fields[i].value));
    buf_z(&out);
    return out.base;
}

static void assert_parsed(const char *text, const char *expected)
{
    char *found = parsed(text);
    assert_string_equal(found, expected);
    free(found);
}

static void the_end_is_an_empty_line(void **state)
{
    assert_int_equal(end_of("A: 1\n\nbody"), 6);
    assert_int_equal(end_of("A: 1\r\n\r\nbody"), 8);
    assert_int_equal(end_of("A: 1\n\r\nbody"), 7);
    assert_int_equal(end_of("A: 1\r\n\nbody"), 7);
    assert_int_equal(end_of("A: 1\nB: 2\n"), 0);
    assert_int_equal(end_of("A: 1\n\r"), 0);
    assert_int_equal(end_of(""), 0);
}

static void fields_are_read(void **state)
{
    assert_parsed("Content-Type: text/plain\n\n", "200 -1 Content-Type=text/plain;");
    assert_parsed("content-type:text/plain \r\nX-A:  1\t\r\n\r\n", "200 -1 content-type=text/plain; X-A=1;");
    assert_parsed("Content-Type: a/b\nX-A: 1\nX-A: 2\n\n", "200 -1 Content-Type=a/b; X-A=1; X-A=2;");
    assert_parsed("Content-Type: a/b\nContent-Length: 17\n\n", "200 17 Content-Type=a/b;");
}

static void status_and_location_decide(void **state)
{
    assert_parsed("Status: 404 Not Found\n\n", "404 -1");
    assert_parsed("Status: 404\nContent-Type: a/b\n\n", "404 -1 Content-Type=a/b;");
    assert_parsed("Location: /x\n\n", "302 -1 Location=/x;");
    assert_parsed("Status: 303 See Other\nLocation: /x\n\n", "303 -1 Location=/x;");
}

static void fields_of_the_connection_are_left_out(void **state)
{
    assert_parsed("Content-Type: a/b\nConnection: close\nTransfer-Encoding: chunked\nKeep-Alive: 5\n\n",
                  "200 -1 Content-Type=a/b;");
}

static void what_is_no_header_is_refused(void **state)
{
    assert_parsed("HTTP/1.1 200 OK\n\n", "a line of its header has no colon");
    assert_parsed("X A: 1\n\n", "a field name in its header is no token");
    assert_parsed(": 1\n\n", "a field name in its header is no token");
    assert_parsed("Content-Type : a/b\n\n", "a field name in its header is no token");
    assert_parsed("Content-Type: a/b\n more: 1\n\n", "a field name in its header is no token");
    assert_parsed("Content-Type: a\rb\n\n", "a field value in its header holds a control byte");
    assert_parsed("X-A: 1\n\n", "its header has neither Content-Type nor Status nor Location");
    assert_parsed("\n\n", "its header has neither Content-Type nor Status nor Location");
}

static void what_cannot_be_twice_is_refused(void **state)
{
    assert_parsed("Status: 200\nStatus: 200\n\n", "it has two Status fields");
    assert_parsed("Content-Type: a/b\nContent-Type: a/b\n\n", "it has two Content-Type or two Location fields");
    assert_parsed("Content-Type: a/b\nContent-Length: 1\nContent-Length: 1\n\n",
                  "its Content-Length is malformed or repeated");
}

static void malformed_numbers_are_refused(void **state)
{
    assert_parsed("Status: 20\n\n", "its Status is not three digits");
    assert_parsed("Status: 2000\n\n", "its Status is not three digits");
    assert_parsed("Status: ok\n\n", "its Status is not three digits");
    assert_parsed("Status: 100\n\n", "its Status is not within 200 to 599");
    assert_parsed("Status: 600\n\n", "its Status is not within 200 to 599");
    assert_parsed("Content-Type: a/b\nContent-Length: -1\n\n", "its Content-Length is malformed or repeated");
    assert_parsed("Content-Type: a/b\nContent-Length: 1, 1\n\n", "its Content-Length is malformed or repeated");
}

static void too_many_fields_are_refused(void **state)
{
    struct buf text = {0};
    for (int i = 0; i <= CGI_HEAD_MAX_FIELDS; i++)
        buf_append_z(&text, "X-A: 1\n");
    buf_append_z(&text, "\n");
    assert_parsed(buf_z(&text), "its header has more than 100 fields");
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_an_empty_line),      cmocka_unit_test(fields_are_read),
        cmocka_unit_test(status_and_location_decide),    cmocka_unit_test(fields_of_the_connection_are_left_out),
        cmocka_unit_test(what_is_no_header_is_refused),  cmocka_unit_test(what_cannot_be_twice_is_refused),
        cmocka_unit_test(malformed_numbers_are_refused), cmocka_unit_test(too_many_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
