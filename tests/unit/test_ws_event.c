/* SPDX-License-Identifier: MIT
 *
 * test_ws_event: application/websocket-events, both ways. Each body is fed whole, byte by byte, and cut at every place,
 * and must yield the same events and the same ending each time. The bytes live in exact heap blocks that are given back
 * after each feed, so that a sanitizer sees a view that outlives its input.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/ws_event.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN(s)       s s s s s s s s s s
#define MAX          200

enum ending { COMPLETE, CUT, BROKEN };

struct event_case {
    const char *name;
    const char *bytes;
    size_t len;         /* 0: strlen */
    size_t max;         /* 0: MAX */
    const char *events; /* "TEXT(abc) OPEN() " */
    enum ending ending;
    const char *why; /* part of it */
};

#define OK(case_name, text, seen)                                                                                      \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .len = sizeof(text) - 1, .events = seen                                      \
    }
#define PART(case_name, text, seen)                                                                                    \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .len = sizeof(text) - 1, .events = seen, .ending = CUT                       \
    }
#define NO(case_name, text, seen, word)                                                                                \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .len = sizeof(text) - 1, .events = seen, .ending = BROKEN, .why = word       \
    }

static const struct event_case cases[] = {
    {.name = "no events", .bytes = "", .events = ""},
    OK("open", "OPEN\r\n", "OPEN() "),
    OK("text", "TEXT 5\r\nhello\r\n", "TEXT(hello) "),
    OK("binary with every kind of byte", "BINARY 6\r\n\r\n\0\xff\r\n\r\n", "BINARY(\\x0d\\x0a\\x00\\xff\\x0d\\x0a) "),
    OK("an empty message with a size", "TEXT 0\r\n\r\n", "TEXT() "),
    OK("an empty message without a size", "TEXT\r\nBINARY\r\n", "TEXT() BINARY() "),
    OK("ping and pong, empty and not", "PING\r\nPONG\r\nPING 1\r\na\r\nPONG 0\r\n\r\n",
       "PING() PONG() PING(a) PONG() "),
    OK("disconnect", "DISCONNECT\r\n", "DISCONNECT() "),
    OK("close",
       "CLOSE\r\nCLOSE 5\r\n\x03\xe8"
       "bye\r\n",
       "CLOSE() CLOSE(\\x03\\xe8bye) "),
    OK("a size for what has no content", "OPEN 0\r\n\r\nDISCONNECT 2\r\nab\r\n", "OPEN() DISCONNECT(ab) "),
    OK("several", "OPEN\r\nTEXT 2\r\nab\r\nBINARY 1\r\nc\r\nCLOSE\r\n", "OPEN() TEXT(ab) BINARY(c) CLOSE() "),
    OK("sizes in either case", "TEXT a\r\n0123456789\r\nTEXT B\r\n0123456789a\r\n",
       "TEXT(0123456789) TEXT(0123456789a) "),
    OK("zeros in front", "TEXT 000000000000000001\r\na\r\n", "TEXT(a) "),
    OK("content that looks like an event", "TEXT 6\r\nOPEN\r\n\r\n", "TEXT(OPEN\\x0d\\x0a) "),
    OK("as much as the limit", "TEXT c8\r\n" TEN(TEN("xy")) "\r\n", "TEXT(" TEN(TEN("xy")) ") "),
    {.name = "the largest limit", .bytes = "TEXT 0\r\n\r\n", .max = SIZE_MAX / 2, .events = "TEXT() "},

    PART("part of a name", "OPE", ""),
    PART("a name without its line end", "OPEN", ""),
    PART("a name and CR", "OPEN\r", ""),
    PART("a size without its line end", "TEXT 5", ""),
    PART("a line, and none of its content", "TEXT 5\r\n", ""),
    PART("part of the content", "OPEN\r\nTEXT 5\r\nhel", "OPEN() "),
    PART("content without its line end", "TEXT 5\r\nhello", ""),
    PART("content and CR", "TEXT 5\r\nhello\r", ""),
    PART("empty content without its line end", "TEXT 0\r\n", ""),

    NO("an unknown name", "OPENED\r\n", "", "no known name"),
    NO("a name in lower case", "OPEN\r\nopen\r\n", "OPEN() ", "no known name"),
    NO("part of a known name", "TEX 1\r\na\r\n", "", "no known name"),
    NO("no name", "\r\n", "", "no known name"),
    NO("no name, but a size", " 1\r\na\r\n", "", "no known name"),
    NO("a blank in front", " TEXT 1\r\na\r\n", "", "no known name"),
    NO("NUL in a name", "OPEN\0\r\n", "", "no known name"),
    NO("a tab for a blank", "TEXT\t1\r\na\r\n", "", "no known name"),
    NO("CR in a line", "OPEN\r\r\n", "", "no known name"),
    NO("JSON", "{\"hello\": \"world\"}\r\n", "", "no known name"),
    NO("LF without CR", "OPEN\n", "", "CR LF"),
    NO("LF alone", "\n", "", "CR LF"),
    NO("LF without CR behind a size", "TEXT 1\na\r\n", "", "CR LF"),
    NO("no size behind the blank", "TEXT \r\na\r\n", "", "hexadecimal"),
    NO("two blanks", "TEXT  1\r\na\r\n", "", "hexadecimal"),
    NO("a blank behind the size", "TEXT 1 \r\na\r\n", "", "hexadecimal"),
    NO("a size that is no number", "TEXT g\r\n", "", "hexadecimal"),
    NO("a size with 0x", "TEXT 0x1\r\na\r\n", "", "hexadecimal"),
    NO("a signed size", "TEXT +1\r\na\r\n", "", "hexadecimal"),
    NO("a negative size", "TEXT -1\r\na\r\n", "", "hexadecimal"),
    NO("a size past 64 bits", "TEXT 10000000000000001\r\na\r\n", "", "over the limit"),
    NO("a size of 64 bits", "TEXT ffffffffffffffff\r\n", "", "over the limit"),
    NO("a size that wraps with its line end", "TEXT fffffffffffffffe\r\n", "", "over the limit"),
    {.name = "a size that wraps below the largest limit",
     .bytes = "TEXT 10000000000000001\r\na\r\n",
     .max = SIZE_MAX / 2,
     .events = "",
     .ending = BROKEN,
     .why = "over the limit"},
    NO("more than the limit", "TEXT c9\r\n" TEN(TEN("xy")) "z\r\n", "", "over the limit"),
    NO("a ping over what a control frame holds", "PING 7e\r\n", "", "over the limit"),
    NO("a pong over what a control frame holds", "PONG 7e\r\n", "", "over the limit"),
    NO("a line without an end", TEN(TEN("A")), "", "too long"),
    NO("a size without an end", "TEXT " TEN(TEN("0")), "", "too long"),
    NO("content longer than its size", "TEXT 3\r\nhello\r\n", "", "not followed by CR LF"),
    NO("content followed by LF", "TEXT 5\r\nhello\nX", "", "not followed by CR LF"),
    NO("content followed by CR", "TEXT 5\r\nhello\rX", "", "not followed by CR LF"),
    NO("empty content followed by the next event", "TEXT 0\r\nOPEN\r\n", "", "not followed by CR LF"),
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct seen {
    struct ws_event_decoder decoder;
    struct buf events;
    enum ws_event_result last;
    const char *why;
};

static const char *name_of(enum ws_event_kind kind)
{
    static const char *const names[WS_EVENT_COUNT] = {"OPEN", "TEXT", "BINARY", "PING", "PONG", "CLOSE", "DISCONNECT"};
    assert_true((unsigned)kind < WS_EVENT_COUNT);
    return names[kind];
}

static void feed(struct seen *s, const char *bytes, size_t len)
{
    char *block = malloc(len);
    assert_non_null(block);
    memcpy(block, bytes, len);
    size_t used = 0;
    do {
        enum ws_event_kind kind;
        struct str content;
        size_t from = used;
        s->last = ws_event_next(&s->decoder, (struct str){block, len}, &used, &kind, &content, &s->why);
        assert_true(used >= from && used <= len);
        if (s->last == WS_EVENT_GOT) {
            buf_printf(&s->events, "%s(", name_of(kind));
            buf_append_printable(&s->events, content);
            buf_append_z(&s->events, ") ");
            assert_true(ws_event_is_complete(&s->decoder));
        }
    } while (s->last == WS_EVENT_GOT);
    if (s->last == WS_EVENT_MORE)
        assert_int_equal(used, len);
    free(block);
}

static enum ending ending_of(const struct seen *s)
{
    if (s->last == WS_EVENT_BAD)
        return BROKEN;
    return ws_event_is_complete(&s->decoder) ? COMPLETE : CUT;
}

static void expect(const struct event_case *c, struct seen *s, const char *how, size_t at)
{
    enum ending ending = ending_of(s);
    if (strcmp(buf_z(&s->events), c->events) != 0 || ending != c->ending)
        fail_msg("%s, %s %zu: \"%s\" and ending %d", c->name, how, at, buf_z(&s->events), ending);
    if (ending == BROKEN && (s->why == NULL || strstr(s->why, c->why) == NULL))
        fail_msg("%s, %s %zu: says \"%s\"", c->name, how, at, s->why);
    if (ending == BROKEN) {
        assert_false(ws_event_is_complete(&s->decoder));
        feed(s, "OPEN\r\n", 6);
        assert_int_equal(s->last, WS_EVENT_BAD);
    }
    ws_event_decoder_free(&s->decoder);
    buf_free(&s->events);
}

static struct seen begin(const struct event_case *c)
{
    struct seen s = {.last = WS_EVENT_MORE};
    ws_event_decoder_init(&s.decoder, c->max == 0 ? MAX : c->max);
    return s;
}

static void run_case(const struct event_case *c)
{
    size_t len = c->len == 0 ? strlen(c->bytes) : c->len;
    struct seen whole = begin(c), single = begin(c);
    feed(&whole, c->bytes, len);
    expect(c, &whole, "whole", len);
    for (size_t i = 0; i < len && single.last != WS_EVENT_BAD; i++)
        feed(&single, c->bytes + i, 1);
    expect(c, &single, "in pieces of", 1);
    for (size_t cut = 0; cut <= len; cut++) {
        struct seen pair = begin(c);
        feed(&pair, c->bytes, cut);
        if (pair.last != WS_EVENT_BAD)
            feed(&pair, c->bytes + cut, len - cut);
        expect(c, &pair, "cut at", cut);
    }
}

static void test_bodies(void **state)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        run_case(&cases[i]);
}

static void test_nothing_at_all_is_no_event(void **state)
{
    struct ws_event_decoder d;
    enum ws_event_kind kind;
    struct str content;
    const char *why;
    size_t used = 0;
    ws_event_decoder_init(&d, MAX);
    assert_int_equal(ws_event_next(&d, STR_NONE, &used, &kind, &content, &why), WS_EVENT_MORE);
    assert_true(ws_event_is_complete(&d));
    ws_event_decoder_free(&d);
}

static void test_what_lies_whole_is_not_copied(void **state)
{
    struct ws_event_decoder d;
    enum ws_event_kind kind;
    struct str content, body = STR("TEXT 5\r\nhello\r\nTEXT 1\r\na\r\n");
    const char *why;
    size_t used = 0;
    ws_event_decoder_init(&d, MAX);
    assert_int_equal(ws_event_next(&d, body, &used, &kind, &content, &why), WS_EVENT_GOT);
    assert_ptr_equal(content.base, body.base + 8);
    assert_int_equal(used, 15);
    assert_int_equal(ws_event_next(&d, body, &used, &kind, &content, &why), WS_EVENT_GOT);
    assert_ptr_equal(content.base, body.base + 23);
    assert_null(d.held.base);
    ws_event_decoder_free(&d);
}

/* A size alone makes nobody set memory aside. */
static void test_a_promise_of_much_takes_no_memory(void **state)
{
    struct ws_event_decoder d;
    enum ws_event_kind kind;
    struct str content, body = STR("TEXT 4000000\r\na");
    const char *why;
    size_t used = 0;
    ws_event_decoder_init(&d, 64 << 20);
    assert_int_equal(ws_event_next(&d, body, &used, &kind, &content, &why), WS_EVENT_MORE);
    assert_in_range(d.held.capacity, 1, 4096);
    ws_event_decoder_free(&d);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void expect_put(enum ws_event_kind kind, struct str content, struct str expected)
{
    struct buf out = {0};
    ws_event_put(&out, kind, content);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.base, expected.base, expected.len);
    buf_free(&out);
}

static void test_events_are_written(void **state)
{
    expect_put(WS_EVENT_OPEN, STR_NONE, STR("OPEN\r\n"));
    expect_put(WS_EVENT_DISCONNECT, STR_NONE, STR("DISCONNECT\r\n"));
    expect_put(WS_EVENT_TEXT, STR("0123456789abcdefg"), STR("TEXT 11\r\n0123456789abcdefg\r\n"));
    expect_put(WS_EVENT_TEXT, STR_NONE, STR("TEXT 0\r\n\r\n"));
    expect_put(WS_EVENT_BINARY, STR("\0\r\n\xff"), STR("BINARY 4\r\n\0\r\n\xff\r\n"));
    expect_put(WS_EVENT_BINARY, STR_NONE, STR("BINARY 0\r\n\r\n"));
    expect_put(WS_EVENT_PING, STR_NONE, STR("PING\r\n"));
    expect_put(WS_EVENT_PONG, STR("0123456789"), STR("PONG a\r\n0123456789\r\n"));
    expect_put(WS_EVENT_CLOSE, STR_NONE, STR("CLOSE\r\n"));
}

static void expect_put_close(unsigned code, struct str reason, struct str expected)
{
    struct buf out = {0};
    ws_event_put_close(&out, code, reason);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.base, expected.base, expected.len);
    buf_free(&out);
}

static void test_closes_are_written(void **state)
{
    expect_put_close(0, STR_NONE, STR("CLOSE\r\n"));
    expect_put_close(1000, STR_NONE, STR("CLOSE 2\r\n\x03\xe8\r\n"));
    expect_put_close(4999, STR("0123456789abcdef"),
                     STR("CLOSE 12\r\n\x13\x87"
                         "0123456789abcdef\r\n"));
}

/* ---- what a CLOSE carries --------------------------------------------------------------------------------------- */

static void expect_close(struct str content, bool good, unsigned code, struct str reason)
{
    unsigned got = 7;
    struct str got_reason;
    assert_int_equal(ws_event_get_close(content, &got, &got_reason), good);
    if (!good)
        return;
    assert_int_equal(got, code);
    assert_true(str_eq(got_reason, reason));
}

static void test_closes_are_read(void **state)
{
    expect_close(STR_NONE, true, 0, STR_NONE);
    expect_close(STR("\x03\xe8"), true, 1000, STR_NONE);
    expect_close(STR("\x03\xf6gr\xc3\xbc\xc3\x9f"), true, 1014, STR("gr\xc3\xbc\xc3\x9f"));
    expect_close(STR("\x0b\xb8x"), true, 3000, STR("x"));
    expect_close(STR("\x13\x87"), true, 4999, STR_NONE);
}

static void test_closes_that_no_frame_may_carry(void **state)
{
    static const unsigned codes[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
    for (size_t i = 0; i < COUNT(codes); i++) {
        char content[2] = {(char)(codes[i] >> 8), (char)codes[i]};
        expect_close((struct str){content, 2}, false, 0, STR_NONE);
    }
    expect_close(STR("\x03"), false, 0, STR_NONE);
    expect_close(STR("\x03\xe8\xff"), false, 0, STR_NONE);
    expect_close(STR("\x03\xe8gr\xc3"), false, 0, STR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_nothing_at_all_is_no_event),
        cmocka_unit_test(test_what_lies_whole_is_not_copied),
        cmocka_unit_test(test_a_promise_of_much_takes_no_memory),
        cmocka_unit_test(test_events_are_written),
        cmocka_unit_test(test_closes_are_written),
        cmocka_unit_test(test_closes_are_read),
        cmocka_unit_test(test_closes_that_no_frame_may_carry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
