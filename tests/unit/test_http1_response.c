/* SPDX-License-Identifier: MIT
 *
 * test_http1_response: what a backend may answer. One case a rule; each answer is fed whole, byte by byte, and cut at
 * every place, and must yield the same head, body and ending each time. The bytes live in exact heap blocks that are
 * given back after each feed, so that a sanitizer sees a view that outlives its input.
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

#include "upstream/http1_response.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN(s)       s s s s s s s s s s
#define A100         TEN(TEN("a"))
#define R200         "HTTP/1.1 200 OK\r\n"
#define EMPTY        R200 "Content-Length: 0\r\n"
#define SWITCH       "HTTP/1.1 101 Switching Protocols\r\n"
#define CHUNKED      R200 "Transfer-Encoding: chunked\r\n\r\n"

static const struct http1_limits limits = {.head_bytes = 1024, .fields = 12, .interim = 3, .chunk_overhead = 32};

enum ending { OPEN, END, ERROR, CUT /* an error once the connection closes */ };

struct response_case {
    const char *name;
    const char *bytes;
    size_t len; /* 0: strlen */
    bool is_head;
    bool upgrades; /* the request asked for it */
    bool closes;   /* the connection closes behind the bytes */
    enum ending ending;
    const char *error; /* part of it */
    /* when there is a head; 0, NULL: not looked at */
    int status;
    const char *fields; /* "name=value|name=value" */
    const char *body;
    int64_t length; /* -2: not known */
    int keep;       /* 1 yes, -1 no */
    int64_t keep_s;
    size_t behind; /* bytes that are not the answer's */
    const char *protocol;
};

#define OK(case_name, text, code, ...)                                                                                 \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .ending = END, .status = code, __VA_ARGS__                                   \
    }
#define NO(case_name, text, word, ...)                                                                                 \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .ending = ERROR, .error = word, __VA_ARGS__                                  \
    }
#define UP(case_name, text, ...)     OK(case_name, SWITCH text, 101, .upgrades = true, __VA_ARGS__)
#define NO_UP(case_name, text, word) NO(case_name, text, word, .upgrades = true)
#define LEN(text)                    .len = sizeof(text) - 1
#define NO_RAW(case_name, text, word)                                                                                  \
    {                                                                                                                  \
        .name = case_name, .bytes = text, LEN(text), .ending = ERROR, .error = word                                    \
    }

static const struct response_case cases[] = {
    /* heads */
    OK("empty body", EMPTY "\r\n", 200, .fields = "", .body = "", .length = 0, .keep = 1),
    OK("body of a length", R200 "Content-Length: 5\r\n\r\nhello", 200, .body = "hello", .length = 5, .keep = 1),
    OK("fields go on in order, names in lower case", R200 "X-B: 1\r\nContent-Length: 0\r\nx-A: Two\r\n\r\n", 200,
       .fields = "x-b=1|x-a=Two"),
    OK("values are trimmed", R200 "A: \t b c\t \r\nContent-Length: 0\r\n\r\n", 200, .fields = "a=b c"),
    OK("values may be empty", R200 "A:\r\nB: \r\nContent-Length: 0\r\n\r\n", 200, .fields = "a=|b="),
    OK("values may hold high bytes and tabs", R200 "A: \xe9\tx\r\nContent-Length: 0\r\n\r\n", 200,
       .fields = "a=\xe9\tx"),
    OK("fields may repeat", R200 "Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", 200,
       .fields = "set-cookie=a|set-cookie=b"),
    OK("long reason", "HTTP/1.1 404 Not \tFound, \xe9 sorry\r\nContent-Length: 0\r\n\r\n", 404),
    OK("empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200),
    OK("no reason and no blank", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200),
    OK("status 599", "HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", 599),
    OK("bytes behind the answer are left", EMPTY "\r\nHTTP/1.1", 200, .behind = 8),
    OK("bytes behind the body are left", R200 "Content-Length: 1\r\n\r\nabc", 200, .body = "a", .behind = 2),
    NO("not http", "SSH-2.0-OpenSSH_9.2\r\n", "does not begin with HTTP"),
    NO("http/2 preface", "\0\0\x06\x04", "does not begin with HTTP", .len = 4),
    NO("html alone", "<html>", "does not begin with HTTP"),
    NO("version 2.0", "HTTP/2.0 200 OK\r\n\r\n", "does not begin with HTTP"),
    NO("version 1.2", "HTTP/1.2 200 OK\r\n\r\n", "does not begin with HTTP"),
    NO("lower-case protocol", "http/1.1 200 OK\r\n\r\n", "does not begin with HTTP"),
    NO("empty line before", "\r\n" EMPTY "\r\n", "does not begin with HTTP"),
    NO("two blanks before the status", "HTTP/1.1  200 OK\r\n\r\n", "status line"),
    NO("tab before the status", "HTTP/1.1\t200 OK\r\n\r\n", "status line"),
    NO("status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "status line"),
    NO("status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "status line"),
    NO("status of letters", "HTTP/1.1 2xx OK\r\n\r\n", "status line"),
    NO("status 099", "HTTP/1.1 099 X\r\n\r\n", "100 to 599"),
    NO("status 600", "HTTP/1.1 600 X\r\n\r\n", "100 to 599"),
    NO("control byte in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n", "control"),
    NO_RAW("NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n", "control"),
    NO("LF behind the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "LF"),
    NO("CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "CR"),
    NO("LF behind a field", R200 "A: b\nContent-Length: 0\r\n\r\n", "LF"),
    NO("LF as the empty line", R200 "A: b\r\n\n", "colon"),
    NO("CR in a value", R200 "A: b\rc\r\n\r\n", "CR without LF"),
    NO("CR behind the fields", R200 "A: b\r\n\rX", "CR without LF"),
    NO("control byte in a value", R200 "A: b\x02\r\n\r\n", "control"),
    NO("DEL in a value", R200 "A: b\x7f\r\n\r\n", "control"),
    NO_RAW("NUL in a value", R200 "A: b\0c\r\n\r\n", "control"),
    NO_RAW("NUL in a name", R200 "A\0: b\r\n\r\n", "token"),
    NO("folded field", R200 "A: b\r\n c\r\n\r\n", "folded"),
    NO("folded with tab", R200 "A: b\r\n\tc\r\n\r\n", "folded"),
    NO("folded first line", R200 " A: b\r\n\r\n", "folded"),
    NO("blank before colon", R200 "A : b\r\n\r\n", "white space between"),
    NO("empty name", R200 ": b\r\n\r\n", "empty field name"),
    NO("no colon", R200 "A\r\n\r\n", "without a colon"),
    NO("name with high byte", R200 "\xe9: b\r\n\r\n", "token"),
    NO("name with slash", R200 "a/b: b\r\n\r\n", "token"),
    NO("head over the limit", R200 "A: " TEN(A100) A100 "\r\n\r\n", "response_head_bytes"),
    NO("head over the limit, unfinished", R200 "A: " TEN(A100) A100, "response_head_bytes"),
    OK("as many fields as the limit", R200 TEN("a: b\r\n") "a: b\r\nContent-Length: 0\r\n\r\n", 200),
    NO("more fields than the limit", R200 TEN("a: b\r\n") "a: b\r\na: b\r\na: b\r\n\r\n", "response_header_fields"),

    /* what belongs to the connection stays there */
    OK("hop-by-hop fields are dropped",
       EMPTY
       "Connection: x\r\nKeep-Alive: a\r\nProxy-Connection: b\r\nTE: c\r\nTrailer: d\r\nUpgrade: e\r\nA: f\r\n\r\n",
       200, .fields = "a=f"),
    OK("what Connection names is dropped", EMPTY "X-A: 1\r\nConnection: x-a , X-B\r\nx-b: 2\r\nx-c: 3\r\n\r\n", 200,
       .fields = "x-c=3"),
    OK("Connection cannot drop the framing", R200 "Connection: content-length\r\nContent-Length: 2\r\n\r\nab", 200,
       .body = "ab", .keep = 1),
    OK("two Connection fields", EMPTY "Connection: a\r\nConnection: b, close\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n", 200,
       .fields = "c=3", .keep = -1),
    NO("five naming Connection fields",
       EMPTY "Connection: a\r\nConnection: a\r\nConnection: a\r\nConnection: a\r\nConnection: a\r\n\r\n", "Connection"),
    NO("Connection option no token", EMPTY "Connection: a b\r\n\r\n", "Connection option"),
    OK("close", EMPTY "Connection: close\r\n\r\n", 200, .keep = -1),
    OK("close in any case among others", EMPTY "Connection: x, CLOSE\r\n\r\n", 200, .keep = -1),
    OK("close beats keep-alive", EMPTY "Connection: keep-alive, close\r\n\r\n", 200, .keep = -1),
    OK("1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, .keep = -1),
    OK("1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na", 200, .body = "a",
       .keep = 1),
    OK("keep-alive timeout", EMPTY "Keep-Alive: max=5, Timeout=15\r\n\r\n", 200, .keep_s = 15),
    OK("keep-alive timeout garbage", EMPTY "Keep-Alive: timeout=x\r\n\r\n", 200, .keep_s = -1),
    OK("keep-alive timeout absent", EMPTY "\r\n", 200, .keep_s = -1),

    /* interim answers */
    OK("100 is skipped", "HTTP/1.1 100 Continue\r\n\r\n" EMPTY "A: b\r\n\r\n", 200, .fields = "a=b"),
    OK("103 is skipped with its fields", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" EMPTY "\r\n", 200, .fields = ""),
    OK("as many interim answers as the limit",
       "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 199 X\r\n\r\n" EMPTY "\r\n", 200),
    NO("more interim answers than the limit",
       "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n", "response_interim"),
    NO("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "101"),
    NO("malformed interim answer", "HTTP/1.1 100 C\r\nA : b\r\n\r\n" EMPTY "\r\n", "white space"),
    OK("framing of an interim answer means nothing", "HTTP/1.1 100 C\r\nContent-Length: 9\r\n\r\n" EMPTY "\r\n", 200,
       .length = 0),

    /* upgrades that were asked for */
    UP("101", "Connection: Upgrade\r\nUpgrade: websocket\r\nA: b\r\n\r\n", .fields = "a=b", .body = "",
       .protocol = "websocket", .keep = -1),
    UP("101 names its protocol with a version", "Connection: keep-alive, upgrade\r\nUpgrade: Foo/2\r\n\r\n",
       .protocol = "Foo/2"),
    UP("bytes behind a 101 are left", "Upgrade: x\r\nConnection: upgrade\r\n\r\nHTTP", .behind = 4, .protocol = "x"),
    UP("a 101 has no body, whatever it says", "Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 4\r\n\r\nHTTP",
       .behind = 4, .length = 0),
    OK("100 before a 101", "HTTP/1.1 100 C\r\n\r\n" SWITCH "Upgrade: x\r\nConnection: upgrade\r\n\r\n", 101,
       .upgrades = true, .protocol = "x"),
    OK("an upgrade that was asked for may be refused", "HTTP/1.1 403 No\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nno",
       403, .upgrades = true, .body = "no", .protocol = ""),
    NO_UP("101 without Connection", SWITCH "Upgrade: websocket\r\n\r\n", "without \"upgrade\""),
    NO_UP("101 with another Connection", SWITCH "Upgrade: websocket\r\nConnection: close\r\n\r\n",
          "without \"upgrade\""),
    NO_UP("101 without Upgrade", SWITCH "Connection: upgrade\r\n\r\n", "exactly one protocol"),
    NO_UP("101 with two Upgrade fields", SWITCH "Connection: upgrade\r\nUpgrade: x\r\nUpgrade: x\r\n\r\n",
          "exactly one protocol"),
    NO_UP("101 with two protocols", SWITCH "Connection: upgrade\r\nUpgrade: x, y\r\n\r\n", "exactly one protocol"),
    NO_UP("101 with an empty Upgrade", SWITCH "Connection: upgrade\r\nUpgrade:\r\n\r\n", "exactly one protocol"),
    NO_UP("101 with an empty version", SWITCH "Connection: upgrade\r\nUpgrade: x/\r\n\r\n", "exactly one protocol"),
    NO_UP("101 in 1.0", "HTTP/1.0 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.0"),

    /* framing by length */
    NO("two lengths", R200 "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "more than one Content-Length"),
    NO("two equal lengths", R200 "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "more than one Content-Length"),
    NO("length list", R200 "Content-Length: 1, 1\r\n\r\na", "decimal"),
    NO("length signed", R200 "Content-Length: +1\r\n\r\na", "decimal"),
    NO("length negative", R200 "Content-Length: -1\r\n\r\n", "decimal"),
    NO("length empty", R200 "Content-Length:\r\n\r\n", "decimal"),
    NO("length hexadecimal", R200 "Content-Length: 0x1\r\n\r\n", "decimal"),
    NO("length with blank inside", R200 "Content-Length: 1 1\r\n\r\n", "decimal"),
    NO("length of 2^63", R200 "Content-Length: 9223372036854775808\r\n\r\n", "2^63"),
    {.name = "length of 2^63 - 1",
     .bytes = R200 "Content-Length: 9223372036854775807\r\n\r\na",
     .ending = OPEN,
     .status = 200,
     .length = INT64_MAX,
     .body = "a"},
    {.name = "body shorter than its length",
     .bytes = R200 "Content-Length: 5\r\n\r\nabc",
     .closes = true,
     .ending = CUT,
     .error = "truncated",
     .status = 200,
     .body = "abc"},

    /* framing by chunks */
    OK("chunked", CHUNKED "3\r\nabc\r\n0\r\n\r\n", 200, .body = "abc", .length = -2, .keep = 1, .fields = ""),
    OK("chunked in any case", R200 "transfer-encoding: ChunkeD\r\n\r\n0\r\n\r\n", 200, .body = ""),
    OK("chunks", CHUNKED "1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, .body = "a0123456789"),
    OK("extensions and trailers are dropped", CHUNKED "1;x=\"y\"\r\na\r\n0\r\nT: u\r\n\r\n", 200, .body = "a",
       .fields = ""),
    OK("bytes behind the chunks are left", CHUNKED "0\r\n\r\nHTTP", 200, .behind = 4),
    NO("length and chunked", R200 "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
    NO("chunked and length", R200 "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "both"),
    NO("coding twice", R200 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
       "more than one Transfer"),
    NO("coding list", R200 "Transfer-Encoding: gzip, chunked\r\n\r\n", "exactly"),
    NO("coding unknown", R200 "Transfer-Encoding: xchunked\r\n\r\n", "exactly"),
    NO("coding identity", R200 "Transfer-Encoding: identity\r\n\r\n", "exactly"),
    NO("coding empty", R200 "Transfer-Encoding:\r\n\r\n", "exactly"),
    NO("coding on 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
    NO("chunk size no number", CHUNKED "zz\r\n", "hexadecimal", .status = 200),
    NO("chunk size of 17 digits", CHUNKED "00000000000000001\r\na\r\n", "63 bits"),
    NO("chunk size of 2^64 - 1", CHUNKED "ffffffffffffffff\r\n", "63 bits"),
    NO("blank behind chunk size", CHUNKED "1 \r\na\r\n", "hexadecimal"),
    NO("LF behind chunk size", CHUNKED "1\na\r\n", "hexadecimal"),
    NO("chunk longer than its size", CHUNKED "1\r\nab\r\n", "longer", .body = "a"),
    NO("extensions over the limit", CHUNKED "1;" A100 "\r\na\r\n", "limit"),
    NO("trailers over the limit", CHUNKED "0\r\na: " A100 "\r\n\r\n", "limit"),
    NO("malformed trailer", CHUNKED "0\r\na b\r\n\r\n", "trailer"),
    NO("folded trailer", CHUNKED "0\r\na: b\r\n c\r\n\r\n", "trailer"),
    {.name = "chunks without end",
     .bytes = CHUNKED "1\r\na\r\n",
     .closes = true,
     .ending = CUT,
     .error = "truncated",
     .body = "a"},
    {.name = "chunks without the last LF",
     .bytes = CHUNKED "0\r\n\r",
     .closes = true,
     .ending = CUT,
     .error = "truncated"},

    /* framing by the end of the connection */
    {.name = "until close",
     .bytes = R200 "\r\nabc",
     .closes = true,
     .ending = END,
     .status = 200,
     .body = "abc",
     .length = -2,
     .keep = -1},
    {.name = "until close on 1.0",
     .bytes = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
     .closes = true,
     .ending = END,
     .body = "abc",
     .keep = -1},
    {.name = "until close without a byte", .bytes = R200 "\r\n", .closes = true, .ending = END, .body = ""},
    {.name = "until close, still open", .bytes = R200 "\r\nabc", .ending = OPEN, .body = "abc"},

    /* no body, whatever the fields say */
    OK("HEAD with length", R200 "Content-Length: 5\r\n\r\n", 200, .is_head = true, .length = 5, .body = "", .keep = 1),
    OK("HEAD with chunked", CHUNKED, 200, .is_head = true, .length = -2, .body = "", .keep = 1),
    OK("HEAD without framing", R200 "\r\n", 200, .is_head = true, .length = -2, .body = "", .keep = 1),
    NO("HEAD with a conflict", R200 "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both", .is_head = true),
    OK("204", "HTTP/1.1 204 No Content\r\n\r\n", 204, .length = 0, .body = "", .keep = 1),
    OK("204 with a zero length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, .body = "", .keep = 1),
    OK("204 with a length is not trusted", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", 204, .length = 0,
       .body = "", .keep = -1, .behind = 3),
    OK("204 with chunks is not trusted", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204,
       .keep = -1),
    OK("304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", 304, .length = 5,
       .body = "", .fields = "etag=x", .keep = 1),

    /* nothing and halves */
    {.name = "nothing", .bytes = "", .closes = true, .ending = CUT, .error = "without an answer"},
    {.name = "half a status line", .bytes = "HTTP/1.", .closes = true, .ending = CUT, .error = "truncated"},
    {.name = "half a head", .bytes = R200 "A: b\r\n", .closes = true, .ending = CUT, .error = "truncated"},
    {.name = "interim answer only",
     .bytes = "HTTP/1.1 100 Continue\r\n\r\n",
     .closes = true,
     .ending = CUT,
     .error = "truncated"},
    {.name = "half a head, still open", .bytes = R200 "A: b\r\n", .ending = OPEN},
};

/* What one run over a case saw */
struct seen {
    unsigned heads;
    int status;
    int64_t length;
    bool keep_at_end;
    char fields[4096], protocol[64];
    struct buf body;
    enum ending ending;
    const char *error;
    size_t behind;
};

static void see_head(struct seen *s, const struct http1_response *r)
{
    const struct call_response *head = &r->head;
    snprintf(s->protocol, sizeof(s->protocol), "%.*s", STR_ARG(r->upgrade));
    s->heads++;
    s->status = head->status;
    s->length = head->content_length;
    size_t at = 0;
    s->fields[0] = '\0';
    for (size_t i = 0; i < head->nfields; i++)
        at += (size_t)snprintf(s->fields + at, sizeof(s->fields) - at, "%s%.*s=%.*s", i == 0 ? "" : "|",
                               STR_ARG(head->fields[i].name), STR_ARG(head->fields[i].value));
}

/* feeds bytes[from..to) from a block of their own; false when the answer has come to its end */
static bool feed(struct http1_response *r, const char *bytes, size_t from, size_t to, struct seen *s)
{
    size_t len = to - from, used = 0;
    char *block = malloc(len + 1), *exact = block + 1;
    memcpy(exact, bytes + from, len);
    struct str body;
    enum http1_event event;
    while ((event = http1_response_next(r, exact, len, &used, &body)) == HTTP1_HEAD || event == HTTP1_BODY) {
        if (event == HTTP1_HEAD) {
            see_head(s, r);
        } else {
            assert_true(body.len != 0 && body.base >= exact && body.base + body.len == exact + used);
            buf_append_str(&s->body, body);
        }
    }
    assert_true(event != HTTP1_MORE || used == len);
    s->behind += len - used;
    free(block);
    if (event == HTTP1_END)
        s->ending = END;
    if (event == HTTP1_ERROR)
        s->ending = ERROR;
    return event == HTTP1_MORE;
}

static void close_connection(struct http1_response *r, struct seen *s)
{
    s->ending = http1_response_eof(r) == HTTP1_END ? END : CUT;
}

static void run(const struct response_case *c, const size_t *ends, size_t pieces, struct seen *s)
{
    struct http1_response r;
    memset(&r, 0xa5, sizeof(r)); /* init must not count on zeros */
    http1_response_init(&r, c->is_head, &limits);
    if (c->upgrades)
        http1_response_expect_upgrade(&r);
    *s = (struct seen){0};
    size_t from = 0;
    bool more = true;
    for (size_t i = 0; i < pieces && more; from = ends[i++])
        more = feed(&r, c->bytes, from, ends[i], s);
    if (!more)
        s->behind += ends[pieces - 1] - from;
    if (more && c->closes)
        close_connection(&r, s);
    s->error = r.error;
    s->keep_at_end = r.keep_alive;
    if (c->keep_s != 0)
        assert_int_equal(r.keep_alive_s, c->keep_s);
    http1_response_free(&r);
}

static void check(const struct response_case *c, const struct seen *s, const char *how)
{
    if (s->ending != c->ending)
        fail_msg("%s: ended as %d, want %d: %s", how, s->ending, c->ending, s->error == NULL ? "" : s->error);
    if (c->error != NULL && strstr(s->error, c->error) == NULL)
        fail_msg("%s: error \"%s\"", how, s->error);
    if (c->status != 0)
        assert_int_equal(s->status, c->status);
    if (c->ending == END)
        assert_int_equal(s->heads, 1);
    if (c->fields != NULL)
        assert_string_equal(s->fields, c->fields);
    if (c->protocol != NULL)
        assert_string_equal(s->protocol, c->protocol);
    if (c->body != NULL)
        assert_true(str_eq(buf_str(&s->body), str_of(c->body)));
    if (c->length != 0)
        assert_int_equal(s->length, c->length == -2 ? -1 : c->length);
    if (c->keep != 0)
        assert_int_equal(s->keep_at_end, c->keep == 1);
    if (c->ending == END)
        assert_int_equal(s->behind, c->behind);
}

static void run_case(void **state)
{
    const struct response_case *c = *state;
    size_t len = c->len != 0 ? c->len : strlen(c->bytes);
    struct seen s;
    run(c, &len, 1, &s);
    check(c, &s, "whole");
    buf_free(&s.body);

    size_t *every = malloc((len + 1) * sizeof(*every));
    for (size_t i = 0; i < len; i++)
        every[i] = i + 1;
    run(c, every, len, &s);
    check(c, &s, "byte by byte");
    buf_free(&s.body);
    free(every);

    for (size_t cut = 0; cut <= len; cut++) {
        const size_t ends[2] = {cut, len};
        run(c, ends, 2, &s);
        check(c, &s, "cut in two");
        buf_free(&s.body);
    }
}

/* --- properties --------------------------------------------------------------------------------------------------- */

static void an_answer_has_started_with_its_first_byte(void **state)
{
    struct http1_response r;
    http1_response_init(&r, false, &limits);
    char byte = 'H';
    size_t used = 0;
    struct str body;
    assert_false(http1_response_started(&r));
    http1_response_next(&r, &byte, 0, &used, &body);
    assert_false(http1_response_started(&r));
    http1_response_next(&r, &byte, 1, &used, &body);
    assert_true(http1_response_started(&r));
    http1_response_free(&r);
}

static void a_head_in_one_piece_is_parsed_without_a_copy(void **state)
{
    struct http1_response r;
    http1_response_init(&r, false, &limits);
    char text[] = EMPTY "A: b\r\n\r\n";
    size_t used = 0;
    struct str body;
    assert_int_equal(http1_response_next(&r, text, sizeof(text) - 1, &used, &body), HTTP1_HEAD);
    assert_null(r.line.base);
    assert_true(r.head.fields[0].name.base > text && r.head.fields[0].name.base < text + sizeof(text));
    http1_response_free(&r);
}

static void an_error_stays(void **state)
{
    struct http1_response r;
    http1_response_init(&r, false, &limits);
    char text[] = "garbage" EMPTY "\r\n";
    size_t used = 0;
    struct str body;
    assert_int_equal(http1_response_next(&r, text, 7, &used, &body), HTTP1_ERROR);
    used = 7;
    assert_int_equal(http1_response_next(&r, text, sizeof(text) - 1, &used, &body), HTTP1_ERROR);
    assert_int_equal(http1_response_eof(&r), HTTP1_ERROR);
    assert_false(r.keep_alive);
    http1_response_free(&r);
}

static void an_end_stays(void **state)
{
    struct http1_response r;
    http1_response_init(&r, false, &limits);
    char text[] = EMPTY "\r\nHTTP/1.1 500 X\r\n\r\n";
    size_t used = 0;
    struct str body;
    assert_int_equal(http1_response_next(&r, text, sizeof(text) - 1, &used, &body), HTTP1_HEAD);
    size_t end = used;
    assert_int_equal(http1_response_next(&r, text, sizeof(text) - 1, &used, &body), HTTP1_END);
    assert_int_equal(http1_response_next(&r, text, sizeof(text) - 1, &used, &body), HTTP1_END);
    assert_int_equal(used, end);
    http1_response_free(&r);
}

int main(void)
{
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(an_answer_has_started_with_its_first_byte),
        cmocka_unit_test(a_head_in_one_piece_is_parsed_without_a_copy),
        cmocka_unit_test(an_error_stays),
        cmocka_unit_test(an_end_stays),
    };
    static struct CMUnitTest tests[COUNT(cases) + COUNT(rest)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(cases); i++)
        tests[n++] = (struct CMUnitTest){cases[i].name, run_case, NULL, NULL, (void *)&cases[i]};
    for (size_t i = 0; i < COUNT(rest); i++)
        tests[n++] = rest[i];
    return cmocka_run_group_tests_name("http1_response", tests, NULL, NULL);
}
