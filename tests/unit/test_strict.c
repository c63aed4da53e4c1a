/* SPDX-License-Identifier: MIT
 *
 * test_strict: what a client may send as HTTP/1. One case a rule; each head is fed whole, byte by byte, and cut at
 * every place, and must be understood alike each time. The bytes live in exact heap blocks, so that a sanitizer sees
 * every read past them.
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

#include "front/strict.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIELDS_MAX   100

static const struct strict_limits limits = {
    .head_bytes = 2048, .target_bytes = 512, .header_fields = 20, .max_body = 1000000};

/* --- heads -------------------------------------------------------------------------------------------------------- */

#define ANY_LEN      0
#define HOST         "Host: h\r\n"
#define TEN(s)       s s s s s s s s s s
#define A100         TEN(TEN("a"))
#define GET(fields)  "GET / HTTP/1.1\r\n" HOST fields "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\n" HOST fields "\r\n"

struct head_case {
    const char *name;
    const char *bytes;
    size_t len; /* ANY_LEN: strlen */
    /* REASON_NONE: accepted, or incomplete when `partial` */
    enum reason reason;
    const char *detail; /* part of it */
    bool partial;
    /* when accepted; NULL, 0: not looked at */
    const char *method, *target, *fields; /* "name=value|name=value" */
    int minor_plus_1;
    int64_t length;          /* -2: none */
    int chunked, persistent; /* 1 yes, -1 no */
    size_t bytes_behind;
};

#define OK(case_name, text, ...)                                                                                       \
    {                                                                                                                  \
        .name = case_name, .bytes = text, __VA_ARGS__                                                                  \
    }
#define NO(case_name, text, word)                                                                                      \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .reason = REASON_BAD_REQUEST, .detail = word                                 \
    }
#define NO_AS(case_name, text, why, word)                                                                              \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .reason = why, .detail = word                                                \
    }
#define RAW(text) .bytes = text, .len = sizeof(text) - 1
#define NO_RAW(case_name, text, word)                                                                                  \
    {                                                                                                                  \
        .name = case_name, RAW(text), .reason = REASON_BAD_REQUEST, .detail = word                                     \
    }
#define PART(case_name, text)                                                                                          \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .partial = true                                                              \
    }

static const struct head_case heads[] = {
    /* what is accepted */
    OK("plain", GET(""), .method = "GET", .target = "/", .fields = "Host=h", .minor_plus_1 = 2, .length = -2,
       .chunked = -1, .persistent = 1),
    OK("1.0 without Host", "GET /a HTTP/1.0\r\n\r\n", .target = "/a", .minor_plus_1 = 1, .persistent = -1),
    OK("1.0 with Host", "GET /a HTTP/1.0\r\n" HOST "\r\n", .minor_plus_1 = 1),
    OK("1.0 keep-alive", "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", .persistent = 1),
    OK("1.1 close", GET("Connection: close\r\n"), .persistent = -1),
    OK("1.1 keep-alive", GET("Connection: keep-alive\r\n"), .persistent = 1),
    OK("close beats keep-alive", GET("Connection: keep-alive\r\nConnection: x, Close\r\n"), .persistent = -1),
    OK("connection upgrade keeps", GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), .persistent = 1,
       .fields = "Host=h|Connection=Upgrade|Upgrade=websocket"),
    OK("connection may be empty", GET("Connection:\r\n"), .persistent = 1),
    OK("connection with empty members", GET("Connection: ,, close ,\r\n"), .persistent = -1),
    OK("connection may name ours", GET("Connection: host, content-length\r\n"), .persistent = 1),
    OK("bytes behind are left", GET("") "GET /next", .bytes_behind = 9),
    OK("one empty line before", "\r\n" GET(""), .method = "GET"),
    OK("two empty lines before", "\r\n\r\n" GET(""), .method = "GET"),
    OK("value trimmed", GET("X: \t a b\t \r\n"), .fields = "Host=h|X=a b"),
    OK("value empty", GET("X:\r\n"), .fields = "Host=h|X="),
    OK("value blanks only", GET("X: \t \r\n"), .fields = "Host=h|X="),
    OK("value without blank before", GET("X:y\r\n"), .fields = "Host=h|X=y"),
    OK("value with tab inside", GET("X: a\tb\r\n"), .fields = "Host=h|X=a\tb"),
    OK("value with high bytes", GET("X: caf\xe9\r\n"), .fields = "Host=h|X=caf\xe9"),
    OK("value longer than a vector", GET("X: 0123456789abcdef0123456789abcdef\r\n"),
       .fields = "Host=h|X=0123456789abcdef0123456789abcdef"),
    OK("name with all marks", GET("!#$%&'*+-.^_`|~09azAZ: 1\r\n"), .fields = "Host=h|!#$%&'*+-.^_`|~09azAZ=1"),
    OK("fields may repeat", GET("X: 1\r\nX: 2\r\n"), .fields = "Host=h|X=1|X=2"),
    OK("name that is nearly one of ours", GET("Hosts: x\r\nContent-Lengt: y\r\nXransfer-encoding: z\r\n")),
    OK("odd method", "PROP+FIND / HTTP/1.1\r\n" HOST "\r\n", .method = "PROP+FIND"),
    OK("lower-case method is another one", "get / HTTP/1.1\r\n" HOST "\r\n", .method = "get"),
    OK("method of 32 bytes", "ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB / HTTP/1.1\r\n" HOST "\r\n"),
    OK("query", "GET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n", .target = "/a?b=c&d"),
    OK("empty query", "GET /? HTTP/1.1\r\n" HOST "\r\n", .target = "/?"),
    OK("query with question marks", "GET /?a?b HTTP/1.1\r\n" HOST "\r\n", .target = "/?a?b"),
    OK("path with all that may stand", "GET /-._~!$&'()*+,;=:@%2f/[]^|azAZ09 HTTP/1.1\r\n" HOST "\r\n",
       .target = "/-._~!$&'()*+,;=:@%2f/[]^|azAZ09"),
    OK("query with what browsers send", "GET /?a[]={b}|`\\^ HTTP/1.1\r\n" HOST "\r\n", .target = "/?a[]={b}|`\\^"),
    OK("query with lone percent", "GET /?100% HTTP/1.1\r\n" HOST "\r\n", .target = "/?100%"),
    OK("escapes in path", "GET /%41%fF HTTP/1.1\r\n" HOST "\r\n", .target = "/%41%fF"),
    OK("two slashes first", "GET //x HTTP/1.1\r\n" HOST "\r\n", .target = "//x"),
    OK("options star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", .target = "*"),
    OK("absolute form", "GET http://h/a?b HTTP/1.1\r\n" HOST "\r\n", .target = "/a?b"),
    OK("absolute form https", "GET https://h/a HTTP/1.1\r\n" HOST "\r\n", .target = "/a"),
    OK("absolute form any case", "GET HTTP://H/a HTTP/1.1\r\n" HOST "\r\n", .target = "/a"),
    OK("absolute form without path", "GET http://h HTTP/1.1\r\n" HOST "\r\n", .target = "/"),
    OK("absolute form default port", "GET http://h:80/ HTTP/1.1\r\n" HOST "\r\n", .target = "/"),
    OK("absolute form default port in Host", "GET https://h/ HTTP/1.1\r\nHost: h:443\r\n\r\n", .target = "/"),
    OK("absolute form empty port", "GET http://h:/ HTTP/1.1\r\n" HOST "\r\n", .target = "/"),
    OK("absolute form same port", "GET http://h:81/ HTTP/1.1\r\nHost: h:81\r\n\r\n", .target = "/"),
    OK("host with port", "GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"),
    OK("host in any case", "GET / HTTP/1.1\r\nhOST: H\r\n\r\n"),
    OK("host ipv4", "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"),
    OK("host ipv6", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"),
    OK("version 1.2 is read as 1.1", "GET / HTTP/1.2\r\n" HOST "\r\n"),
    OK("host ipv6 without port", "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]\r\n\r\n"),
    OK("host with escape", "GET / HTTP/1.1\r\nHost: a%2Db\r\n\r\n"),
    OK("host with underscore", "GET / HTTP/1.1\r\nHost: my_service\r\n\r\n"),
    OK("length", POST("Content-Length: 12\r\n"), .length = 12, .chunked = -1),
    OK("length zero", POST("Content-Length: 0\r\n"), .length = 0, .chunked = -1),
    OK("length with leading zeros", POST("Content-Length: 0000000000000000000000007\r\n"), .length = 7),
    OK("length at the limit", POST("content-length: 1000000\r\n"), .length = 1000000),
    OK("length on 1.0", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", .length = 3),
    OK("length of GET", GET("Content-Length: 3\r\n"), .length = 3),
    OK("chunked", POST("Transfer-Encoding: chunked\r\n"), .chunked = 1, .length = -2),
    OK("chunked in any case", POST("transfer-ENCODING: ChunkeD \r\n"), .chunked = 1),
    OK("expect continue", POST("Expect: 100-Continue\r\nContent-Length: 1\r\n"),
       .fields = "Host=h|Expect=100-Continue|Content-Length=1"),
    OK("expect on 1.0 is left out", "POST / HTTP/1.0\r\nA: 1\r\nExpect: 100-continue\r\nB: 2\r\n\r\n",
       .fields = "A=1|B=2"),
    OK("as many fields as the limit",
       "GET / HTTP/1.1\r\n" HOST TEN("X: y\r\n") "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n"
                                                 "A: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"),
    OK("target at the limit", "GET /" A100 A100 A100 A100 A100 TEN("a") "a HTTP/1.1\r\n" HOST "\r\n"),

    /* line ends and forbidden bytes */
    NO("LF behind the request line", "GET / HTTP/1.1\n" HOST "\r\n", "CR LF"),
    NO("LF behind a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", "LF without CR"),
    NO("LF as the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\n", "LF without CR"),
    NO("LF in a name", GET("X\n: y\r\n"), "LF without CR"),
    NO("LF before the request line", "\n" GET(""), "method"),
    NO("CR in a value", GET("X: a\rb\r\n"), "CR without LF"),
    NO("CR twice", GET("X: a\r\r\n"), "CR without LF"),
    NO("CR behind the fields", "GET / HTTP/1.1\r\n" HOST "\rX", "CR without LF"),
    NO("CR in the request line", "GET / HTTP/1.1\rHost: h\r\n\r\n", "CR LF"),
    NO("CR before the request line", "\rGET / HTTP/1.1\r\n\r\n", "method"),
    NO("three empty lines before", "\r\n\r\n\r\n" GET(""), "method"),
    NO_RAW("NUL in a value", GET("X: a\0b\r\n"), "NUL"),
    NO_RAW("NUL in a name", GET("X\0: a\r\n"), "token"),
    NO_RAW("NUL in the target", "GET /\0 HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO_RAW("NUL in the method", "G\0T / HTTP/1.1\r\n" HOST "\r\n", "method"),
    NO_RAW("NUL first", "\0", "method"),
    NO("control byte in a value", GET("X: a\x01\r\n"), "control"),
    NO("control byte late in a value", GET("X: 0123456789abcdef0123456789abcde\x1f\r\n"), "control"),
    NO("DEL in a value", GET("X: a\x7f\r\n"), "control"),
    NO("escape in a value", GET("X: \x1b[0m\r\n"), "control"),

    /* the method */
    NO("method is no token", "G<>T / HTTP/1.1\r\n" HOST "\r\n", "method"),
    NO("method with colon", "GET: / HTTP/1.1\r\n" HOST "\r\n", "method"),
    NO("method missing", " / HTTP/1.1\r\n" HOST "\r\n", "method"),
    NO("method of 33 bytes", "ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\n" HOST "\r\n", "32 bytes"),
    NO("method without end", A100, "32 bytes"),
    NO("tab behind the method", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "method"),
    NO("tls on a plain listener", "\x16\x03\x01\x02", "method"),
    NO_AS("connect", "CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n", REASON_METHOD_NOT_ALLOWED, "forward proxy"),
    NO_AS("connect at once", "CONNECT ", REASON_METHOD_NOT_ALLOWED, "forward proxy"),

    /* the target */
    NO("target missing", "GET HTTP/1.1\r\n" HOST "\r\n", "without a version"),
    NO("target empty", "GET  HTTP/1.1\r\n" HOST "\r\n", "no target"),
    NO("two blanks before the target", "GET  / HTTP/1.1\r\n" HOST "\r\n", "no target"),
    NO("two blanks behind the target", "GET /  HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1"),
    NO("blank in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1"),
    NO("tab in the target", "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("control byte in the target", "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("DEL in the target", "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("high byte in the path", "GET /\xe9 HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("high byte in the query", "GET /?\xe9 HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("quote in the path", "GET /\" HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("less-than in the query", "GET /?< HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("backslash in the path", "GET /a\\..\\b HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("brace in the path", "GET /{a} HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", "fragment"),
    NO("fragment behind a query", "GET /a?b#c HTTP/1.1\r\n" HOST "\r\n", "fragment"),
    NO("percent without digits", "GET /%zz HTTP/1.1\r\n" HOST "\r\n", "hexadecimal"),
    NO("percent at the end", "GET /%4 HTTP/1.1\r\n" HOST "\r\n", "hexadecimal"),
    NO("percent before the query", "GET /%4?1 HTTP/1.1\r\n" HOST "\r\n", "hexadecimal"),
    NO("escaped NUL", "GET /a%00.txt HTTP/1.1\r\n" HOST "\r\n", "escaped NUL"),
    NO("path without slash", "GET a/b HTTP/1.1\r\n" HOST "\r\n", "neither"),
    NO("authority form", "GET h:80 HTTP/1.1\r\n" HOST "\r\n", "neither"),
    NO("star with GET", "GET * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS"),
    NO("star with more", "OPTIONS *x HTTP/1.1\r\n" HOST "\r\n", "neither"),
    NO("other scheme", "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n", "neither"),
    NO("absolute form other host", "GET http://i/ HTTP/1.1\r\n" HOST "\r\n", "differ"),
    NO("absolute form other port", "GET http://h:81/ HTTP/1.1\r\n" HOST "\r\n", "differ"),
    NO("absolute form port of the other scheme", "GET https://h:80/ HTTP/1.1\r\n" HOST "\r\n", "differ"),
    NO("absolute form with user", "GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n", "authority"),
    NO("absolute form without authority", "GET http:///a HTTP/1.1\r\n" HOST "\r\n", "authority"),
    NO("absolute form without Host", "GET http://h/ HTTP/1.1\r\n\r\n", "no Host"),
    NO("absolute form without Host on 1.0", "GET http://h/ HTTP/1.0\r\n\r\n", "no Host"),
    NO("absolute form query but no path", "GET http://h?a HTTP/1.1\r\n" HOST "\r\n", "no path"),
    NO("absolute form brace in path", "GET http://h/{ HTTP/1.1\r\n" HOST "\r\n", "escaped"),
    NO("absolute form escaped NUL", "GET http://h/%00 HTTP/1.1\r\n" HOST "\r\n", "escaped NUL"),
    NO_AS("target over the limit", "GET /" A100 A100 A100 A100 A100 TEN("a") "aa HTTP/1.1\r\n" HOST "\r\n",
          REASON_TARGET_TOO_LONG, "target_bytes"),
    NO_AS("target over the limit, unfinished", "GET /" A100 A100 A100 A100 A100 A100, REASON_TARGET_TOO_LONG, "target"),
    NO_AS("absolute target over the limit", "GET http://h/" A100 A100 A100 A100 A100 A100, REASON_TARGET_TOO_LONG,
          "target"),

    /* the version */
    NO("version missing", "GET /\r\n" HOST "\r\n", "without a version"),
    NO("version in lower case", "GET / http/1.1\r\n" HOST "\r\n", "HTTP/1.1"),
    NO("version garbage", "GET / HTTP/x.y\r\n" HOST "\r\n", "HTTP/1.1"),
    NO("version of two digits", "GET / HTTP/1.10\r\n" HOST "\r\n", "CR LF"),
    NO("version without minor", "GET / HTTP/1\r\n" HOST "\r\n", "HTTP/1.1"),
    NO("blank behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n", "CR LF"),
    NO("another protocol", "GET / ICAP/1.0\r\n" HOST "\r\n", "HTTP/1.1"),
    NO_AS("version 2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", REASON_VERSION, "neither 1.1"),
    NO_AS("version 0.9", "GET / HTTP/0.9\r\n\r\n", REASON_VERSION, "neither 1.1"),
    NO_AS("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REASON_BAD_REQUEST, "OPTIONS"),

    /* names and folding */
    NO("folded", GET("X: a\r\n b\r\n"), "folded"),
    NO("folded with tab", GET("X: a\r\n\tb\r\n"), "folded"),
    NO("blank before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "folded"),
    NO("blank before colon", GET("X : a\r\n"), "white space between"),
    NO("tab before colon", GET("X\t: a\r\n"), "white space between"),
    NO("no colon", GET("X\r\n"), "token"),
    NO("empty name", GET(": a\r\n"), "empty field name"),
    NO("name with at", GET("X@y: a\r\n"), "token"),
    NO("name with high byte", GET("X\xe9: a\r\n"), "token"),
    NO("name in quotes", GET("\"X\": a\r\n"), "token"),
    NO("name with bracket", GET("X[1]: a\r\n"), "token"),

    /* Host */
    NO("no Host", "GET / HTTP/1.1\r\n\r\n", "no Host"),
    NO("two Hosts", GET("Host: i\r\n"), "more than one Host"),
    NO("two equal Hosts", GET(HOST), "more than one Host"),
    NO("two Hosts on 1.0", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", "more than one Host"),
    NO("Host empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host is not"),
    NO("Host with blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "Host is not"),
    NO("Host with comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "Host is not"),
    NO("Host with slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host is not"),
    NO("Host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "Host is not"),
    NO("Host with high byte", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", "Host is not"),
    NO("Host with quote", "GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n", "Host is not"),
    NO("Host port no number", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", "Host is not"),
    NO("Host port too long", "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", "Host is not"),
    NO("Host port over 65535", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "Host is not"),
    NO("Host two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "Host is not"),
    NO("Host port only", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "Host is not"),
    NO("Host ipv6 open", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "Host is not"),
    NO("Host ipv6 empty", "GET / HTTP/1.1\r\nHost: []\r\n\r\n", "Host is not"),
    NO("Host ipv6 and more", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", "Host is not"),
    NO("Host escape cut", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", "Host is not"),

    /* framing */
    NO("length and coding", POST("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "both"),
    NO("coding and length", POST("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), "both"),
    NO("two lengths", POST("Content-Length: 1\r\nContent-Length: 2\r\n"), "more than one Content-Length"),
    NO("two equal lengths", POST("Content-Length: 1\r\nContent-length: 1\r\n"), "more than one Content-Length"),
    NO("length list", POST("Content-Length: 1, 1\r\n"), "decimal"),
    NO("length with plus", POST("Content-Length: +1\r\n"), "decimal"),
    NO("length negative", POST("Content-Length: -1\r\n"), "decimal"),
    NO("length empty", POST("Content-Length:\r\n"), "decimal"),
    NO("length hexadecimal", POST("Content-Length: 0x1\r\n"), "decimal"),
    NO("length with blank inside", POST("Content-Length: 1 1\r\n"), "decimal"),
    NO("length of 2^63", POST("Content-Length: 9223372036854775808\r\n"), "2^63"),
    NO("length of 2^64 + 1", POST("Content-Length: 18446744073709551617\r\n"), "2^63"),
    NO_AS("length over the limit", POST("Content-Length: 1000001\r\n"), REASON_BODY_TOO_LARGE, "max_body"),
    NO("length over the limit and no Host", "POST / HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n", "no Host"),
    NO("coding unknown", POST("Transfer-Encoding: xchunked\r\n"), "exactly"),
    NO("coding list", POST("Transfer-Encoding: gzip, chunked\r\n"), "exactly"),
    NO("coding chunked twice in a list", POST("Transfer-Encoding: chunked, chunked\r\n"), "exactly"),
    NO("coding identity", POST("Transfer-Encoding: identity\r\n"), "exactly"),
    NO("coding empty", POST("Transfer-Encoding:\r\n"), "exactly"),
    NO("coding in quotes", POST("Transfer-Encoding: \"chunked\"\r\n"), "exactly"),
    NO("coding with parameter", POST("Transfer-Encoding: chunked;a=b\r\n"), "exactly"),
    NO("two codings", POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), "more than one Transfer"),
    NO("coding on 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
    NO("connection option no token", GET("Connection: a b\r\n"), "Connection option"),
    NO_AS("expectation unknown", POST("Expect: magic\r\n"), REASON_EXPECTATION, "100-continue"),
    NO_AS("expectation list", POST("Expect: 100-continue, x\r\n"), REASON_EXPECTATION, "100-continue"),
    NO("two expectations", POST("Expect: 100-continue\r\nExpect: 100-continue\r\n"), "more than one Expect"),

    /* limits */
    NO_AS("more fields than the limit", GET(TEN("X: y\r\n") TEN("X: y\r\n")), REASON_HEAD_TOO_LARGE, "header_fields"),
    NO_AS("head over the limit", GET("X: " TEN(A100) TEN(A100) A100 "\r\n"), REASON_HEAD_TOO_LARGE, "head_bytes"),
    NO_AS("head over the limit, unfinished", "GET / HTTP/1.1\r\nX: " TEN(A100) TEN(A100) A100, REASON_HEAD_TOO_LARGE,
          "head_bytes"),

    /* what may still become a request */
    PART("nothing", ""),
    PART("half an empty line", "\r"),
    PART("an empty line", "\r\n"),
    PART("two empty lines", "\r\n\r\n"),
    PART("half a method", "GE"),
    PART("method only", "GET "),
    PART("half a target", "GET /a"),
    PART("half a version", "GET / HTTP/1"),
    PART("request line", "GET / HTTP/1.1\r\n"),
    PART("request line and CR", "GET / HTTP/1.1\r\n\r"),
    PART("half a name", "GET / HTTP/1.1\r\nHo"),
    PART("half a value", "GET / HTTP/1.1\r\nHost: h"),
    PART("field and CR", "GET / HTTP/1.1\r\nHost: h\r"),
    PART("all but the last LF", "GET / HTTP/1.1\r\nHost: h\r\n\r"),
};

/* The head parsed as it arrives: `pieces` ends, each behind the one before. Stops at the first verdict. */
static enum strict_result feed(const char *bytes, const size_t *ends, size_t pieces, struct strict_head *head)
{
    enum strict_result r = STRICT_INCOMPLETE;
    size_t before = 0;
    for (size_t i = 0; i < pieces && r == STRICT_INCOMPLETE; i++) {
        /* the library's buffer moves as it grows */
        static char *block;
        free(block);
        block = malloc(ends[i] + 1);
        char *exact = block + 1; /* odd address */
        memcpy(exact, bytes, ends[i]);
        r = strict_head_parse(exact, ends[i], before, &limits, head);
        before = ends[i];
    }
    return r;
}

static void assert_str(struct str got, const char *want, const char *how)
{
    if (want != NULL && !str_eq(got, str_of(want)))
        fail_msg("%s: got \"%.*s\", want \"%s\"", how, STR_ARG(got), want);
}

static void assert_fields(const struct strict_head *head, const char *want)
{
    char got[4096] = "";
    size_t at = 0;
    for (size_t i = 0; i < head->nfields; i++)
        at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%.*s=%.*s", i == 0 ? "" : "|",
                               (int)head->fields[i].name_len, head->fields[i].name, (int)head->fields[i].value_len,
                               head->fields[i].value);
    if (want != NULL)
        assert_string_equal(got, want);
}

static void assert_accepted(const struct head_case *c, const struct strict_head *head, const char *how)
{
    assert_str(head->method, c->method, how);
    assert_str(head->target, c->target, how);
    assert_fields(head, c->fields);
    if (c->minor_plus_1 != 0)
        assert_int_equal(head->minor, c->minor_plus_1 - 1);
    if (c->length != 0)
        assert_int_equal(head->content_length, c->length == -2 ? -1 : c->length);
    if (c->chunked != 0)
        assert_int_equal(head->chunked, c->chunked == 1);
    if (c->persistent != 0)
        assert_int_equal(head->persistent, c->persistent == 1);
}

static void assert_verdict(const struct head_case *c, enum strict_result r, const struct strict_head *head,
                           const char *how)
{
    if (c->partial) {
        if (r != STRICT_INCOMPLETE)
            fail_msg("%s: not incomplete: %s", how, r == STRICT_REFUSED ? head->detail : "accepted");
    } else if (c->reason == REASON_NONE) {
        if (r != STRICT_COMPLETE)
            fail_msg("%s: not accepted: %s", how, r == STRICT_REFUSED ? head->detail : "incomplete");
        assert_accepted(c, head, how);
    } else {
        if (r != STRICT_REFUSED)
            fail_msg("%s: not refused but %s", how, r == STRICT_COMPLETE ? "accepted" : "incomplete");
        if (head->reason != c->reason || strstr(head->detail, c->detail) == NULL)
            fail_msg("%s: refused as %s: %s", how, reason_word(head->reason), head->detail);
    }
}

static void run_head(void **state)
{
    const struct head_case *c = *state;
    size_t len = c->len != ANY_LEN ? c->len : strlen(c->bytes);
    struct strict_field fields[FIELDS_MAX];
    struct strict_head head = {.fields = fields, .capacity = FIELDS_MAX};

    assert_verdict(c, feed(c->bytes, &len, 1, &head), &head, "whole");
    if (!c->partial && c->reason == REASON_NONE)
        assert_int_equal(head.bytes, len - c->bytes_behind);

    size_t *every = malloc((len + 1) * sizeof(*every));
    for (size_t i = 0; i < len; i++)
        every[i] = i + 1;
    assert_verdict(c, feed(c->bytes, every, len, &head), &head, "byte by byte");
    free(every);

    for (size_t cut = 0; cut <= len; cut++) {
        const size_t ends[2] = {cut, len};
        assert_verdict(c, feed(c->bytes, ends, 2, &head), &head, "cut in two");
    }
}

/* --- properties of heads ------------------------------------------------------------------------------------------ */

static enum strict_result parse_at(const char *text, size_t len, size_t last_len, struct strict_head *head)
{
    static struct strict_field fields[FIELDS_MAX];
    *head = (struct strict_head){.fields = fields, .capacity = FIELDS_MAX};
    return strict_head_parse(text, len, last_len, &limits, head);
}

static void refuses_a_bare_lf_before_the_head_is_complete(void **state)
{
    struct strict_head head;
    const char text[] = "GET / HTTP/1.1\r\nA: b\nC";
    assert_int_equal(parse_at(text, sizeof(text) - 1, 18, &head), STRICT_REFUSED);
    assert_int_equal(parse_at(text, sizeof(text) - 1, 0, &head), STRICT_REFUSED);
}

static void refuses_nul_before_the_head_is_complete(void **state)
{
    struct strict_head head;
    const char text[] = "GET / HTTP/1.1\r\nA: b\0";
    assert_int_equal(parse_at(text, sizeof(text) - 1, sizeof(text) - 2, &head), STRICT_REFUSED);
}

static void looks_only_at_new_bytes_of_an_unfinished_head(void **state)
{
    /* had they been looked at again, these would have been refused */
    struct strict_head head;
    const char text[] = TEN("\n") TEN("\n") TEN("\n") TEN("\n") "GET / HTTP/1.1\r\nA: b";
    assert_int_equal(parse_at(text, sizeof(text) - 1, sizeof(text) - 3, &head), STRICT_INCOMPLETE);
}

static void fills_no_more_fields_than_there_is_room_for(void **state)
{
    struct strict_field fields[3];
    struct strict_head head = {.fields = fields, .capacity = 2};
    memset(&fields[2], 0x5a, sizeof(fields[2]));
    const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\n\r\n";
    assert_int_equal(strict_head_parse(text, sizeof(text) - 1, 0, &limits, &head), STRICT_REFUSED);
    assert_int_equal(head.reason, REASON_HEAD_TOO_LARGE);
    assert_int_equal(((unsigned char *)&fields[2])[0], 0x5a);
}

static void a_refusal_keeps_method_and_target_for_the_log(void **state)
{
    struct strict_head head;
    const char text[] = "PUT /log/me HTTP/1.1\r\nA : b\r\n\r\n";
    assert_int_equal(parse_at(text, sizeof(text) - 1, 0, &head), STRICT_REFUSED);
    assert_true(str_eq(head.method, STR("PUT")));
    assert_true(str_eq(head.target, STR("/log/me")));
}

static void a_limit_on_the_head_does_not_count_what_follows(void **state)
{
    struct strict_head head;
    static char text[8192];
    const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    memset(text, 'x', sizeof(text));
    memcpy(text, request, sizeof(request) - 1);
    assert_int_equal(parse_at(text, sizeof(text), 0, &head), STRICT_COMPLETE);
    assert_int_equal(head.bytes, sizeof(request) - 1);
}

/* --- chunked bodies ----------------------------------------------------------------------------------------------- */

#define OVERHEAD_MAX 40

struct chunk_case {
    const char *name;
    const char *bytes;
    size_t len;         /* ANY_LEN: strlen */
    const char *body;   /* of an accepted or unfinished one */
    const char *behind; /* NULL: unfinished */
    const char *problem;
};

#define BODY(case_name, text, decoded, rest)                                                                           \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .body = decoded, .behind = rest                                              \
    }
#define BROKEN(case_name, text, word)                                                                                  \
    {                                                                                                                  \
        .name = case_name, .bytes = text, .problem = word                                                              \
    }
#define BROKEN_RAW(case_name, text, word)                                                                              \
    {                                                                                                                  \
        .name = case_name, RAW(text), .problem = word                                                                  \
    }

static const struct chunk_case bodies[] = {
    BODY("empty body", "0\r\n\r\n", "", ""),
    BODY("one chunk", "3\r\nabc\r\n0\r\n\r\n", "abc", ""),
    BODY("two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", ""),
    BODY("next request behind", "1\r\na\r\n0\r\n\r\nGET /", "a", "GET /"),
    BODY("hexadecimal size", "A\r\n0123456789\r\n0b\r\n01234567890\r\n0\r\n\r\n", "012345678901234567890", ""),
    BODY("size of 16 digits", "0000000000000001\r\na\r\n0\r\n\r\n", "a", ""),
    BODY("last chunk of many zeros", "0000\r\n\r\n", "", ""),
    BODY("CR LF as data", "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
    BODY("data that looks like framing", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", ""),
    BODY("extension", "1;a\r\nx\r\n0\r\n\r\n", "x", ""),
    BODY("extension with value", "1;a=b\r\nx\r\n0\r\n\r\n", "x", ""),
    BODY("extension quoted", "1;a=\"b;\\\"\t\"\r\nx\r\n0\r\n\r\n", "x", ""),
    BODY("two extensions", "1;a=\"b\";c\r\nx\r\n0\r\n\r\n", "x", ""),
    BODY("extension with blank before its name", "1; a=b\r\nx\r\n0\r\n\r\n", "x", ""),
    BODY("extension of the last chunk", "0;a\r\n\r\n", "", ""),
    BODY("trailer dropped", "0\r\nA: b\r\n\r\n", "", ""),
    BODY("trailers dropped", "0\r\nA:b\r\nC:\r\n\r\n", "", ""),
    BODY("trailer named as framing is dropped", "0\r\nContent-Length: 9\r\nHost: x\r\n\r\n", "", ""),
    BODY("extension at the limit", "0;012345678901234567890123456789012345678\r\n\r\n", "", ""),
    BODY("unfinished size", "1", "", NULL),
    BODY("unfinished data", "5\r\nabc", "abc", NULL),
    BODY("unfinished line end", "1\r\na\r", "a", NULL),
    BODY("unfinished end", "1\r\na\r\n0\r\n\r", "a", NULL),
    BODY("unfinished trailer", "0\r\nA: b", "", NULL),
    BROKEN("no size", "\r\nabc", "hexadecimal"),
    BROKEN("size is no number", "x\r\n", "hexadecimal"),
    BROKEN("size signed", "+1\r\na\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("size negative", "-1\r\n", "hexadecimal"),
    BROKEN("size with 0x", "0x1\r\na\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("blank before size", " 1\r\na\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("blank behind size", "1 \r\na\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("blank before extension", "1 ;a\r\nx\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("size of 17 digits", "00000000000000001\r\na\r\n", "63 bits"),
    BROKEN("size of 2^63", "8000000000000000\r\n", "63 bits"),
    BROKEN("size of 2^64 - 1", "ffffffffffffffff\r\n", "63 bits"),
    BROKEN("LF behind size", "1\na\r\n0\r\n\r\n", "hexadecimal"),
    BROKEN("CR alone behind size", "1\ra\r\n", "CR LF"),
    BROKEN("LF behind data", "1\r\na\n0\r\n\r\n", "CR LF"),
    BROKEN("CR alone behind data", "1\r\na\rb", "CR LF"),
    BROKEN("data longer than size", "1\r\nab\r\n0\r\n\r\n", "longer"),
    BROKEN("data shorter than size", "3\r\na\r\n0\r\n\r\n", "longer"),
    BROKEN("LF at the end", "0\r\n\n", "trailer"),
    BROKEN("CR alone at the end", "0\r\n\rx", "CR LF"),
    BROKEN("extension without name", "1;\r\na\r\n0\r\n\r\n", "extension"),
    BROKEN("extension without value", "1;a=\r\nx\r\n", "extension"),
    BROKEN("extension with blank in it", "1;a b\r\nx\r\n", "extension"),
    BROKEN("extension with blank before value", "1;a= b\r\nx\r\n", "extension"),
    BROKEN("extension quote open", "1;a=\"b\r\nx\r\n", "extension"),
    BROKEN("extension behind quote", "1;a=\"b\"c\r\nx\r\n", "extension"),
    BROKEN("extension with LF", "1;a\nx\r\n", "extension"),
    BROKEN("extension over the limit", "1;01234567890123456789012345678901234567890\r\nx\r\n", "limit"),
    BROKEN_RAW("NUL in extension", "1;a=\0\r\nx\r\n", "extension"),
    BROKEN_RAW("NUL in quoted extension", "1;a=\"\0\"\r\nx\r\n", "extension"),
    BROKEN_RAW("NUL as size", "\0", "hexadecimal"),
    BROKEN("trailer folded", "0\r\nA: b\r\n c\r\n\r\n", "trailer"),
    BROKEN("trailer without colon", "0\r\nA\r\n\r\n", "trailer"),
    BROKEN("trailer without name", "0\r\n: a\r\n\r\n", "trailer"),
    BROKEN("trailer with blank before colon", "0\r\nA : b\r\n\r\n", "trailer"),
    BROKEN("trailer with LF", "0\r\nA: b\n\r\n", "trailer"),
    BROKEN("trailer with CR inside", "0\r\nA: b\rc\r\n\r\n", "CR LF"),
    BROKEN_RAW("trailer with NUL", "0\r\nA: \0\r\n\r\n", "trailer"),
    BROKEN("trailers over the limit", "0\r\nA: 0123456789\r\nA: 0123456789\r\nA: 0123456789\r\n\r\n", "limit"),
    BROKEN("extensions and trailers together", "0;01234567890123456789\r\nA: 01234567890123456789\r\n\r\n", "limit"),
};

/* Decodes `bytes` given in pieces of `piece` bytes, as the library does: what was decoded stays, new input behind it.
 */
static ssize_t decode(const struct chunk_case *c, size_t len, size_t piece, struct chunked *state, char *out,
                      size_t *out_len)
{
    *state = (struct chunked){.library_flag = 1};
    *out_len = 0;
    ssize_t r = -2;
    size_t behind = 0;
    for (size_t at = 0; at < len && r == -2; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        memcpy(out + *out_len, c->bytes + at, n);
        size_t size = n;
        r = strict_chunked_decode(state, OVERHEAD_MAX, out + *out_len, &size);
        *out_len += size;
        behind = len - at - n;
    }
    return r < 0 ? r : r + (ssize_t)behind;
}

static void run_chunked(void **state)
{
    const struct chunk_case *c = *state;
    size_t len = c->len != ANY_LEN ? c->len : strlen(c->bytes);
    char *out = malloc(len + 1);
    for (size_t piece = len; piece > 0; piece--) {
        struct chunked decoder;
        size_t got;
        ssize_t r = decode(c, len, piece, &decoder, out, &got);
        if (c->problem != NULL) {
            assert_int_equal(r, -1);
            if (strstr(chunked_problem(&decoder), c->problem) == NULL)
                fail_msg("in pieces of %zu: %s", piece, chunked_problem(&decoder));
            continue;
        }
        assert_int_equal(r, c->behind == NULL ? -2 : (ssize_t)strlen(c->behind));
        assert_true(str_eq((struct str){out, got}, str_of(c->body)));
    }
    free(out);
}

static void decoding_moves_what_is_behind_the_body_up_to_it(void **state)
{
    struct chunked c = {0};
    char text[] = "2\r\nab\r\n0\r\n\r\nrest";
    size_t size = sizeof(text) - 1;
    assert_int_equal(strict_chunked_decode(&c, OVERHEAD_MAX, text, &size), 4);
    assert_int_equal(size, 2);
    assert_memory_equal(text, "abrest", 6);
}

static void the_state_fits_what_the_library_keeps(void **state)
{
    assert_int_equal(sizeof(struct chunked), 16);
    assert_int_equal(offsetof(struct chunked, library_flag), 8);
}

/* ------------------------------------------------------------------------------------------------------------------ */

int main(void)
{
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(refuses_a_bare_lf_before_the_head_is_complete),
        cmocka_unit_test(refuses_nul_before_the_head_is_complete),
        cmocka_unit_test(looks_only_at_new_bytes_of_an_unfinished_head),
        cmocka_unit_test(fills_no_more_fields_than_there_is_room_for),
        cmocka_unit_test(a_refusal_keeps_method_and_target_for_the_log),
        cmocka_unit_test(a_limit_on_the_head_does_not_count_what_follows),
        cmocka_unit_test(decoding_moves_what_is_behind_the_body_up_to_it),
        cmocka_unit_test(the_state_fits_what_the_library_keeps),
    };
    static struct CMUnitTest tests[COUNT(heads) + COUNT(bodies) + COUNT(rest)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(heads); i++)
        tests[n++] = (struct CMUnitTest){heads[i].name, run_head, NULL, NULL, (void *)&heads[i]};
    for (size_t i = 0; i < COUNT(bodies); i++)
        tests[n++] = (struct CMUnitTest){bodies[i].name, run_chunked, NULL, NULL, (void *)&bodies[i]};
    for (size_t i = 0; i < COUNT(rest); i++)
        tests[n++] = rest[i];
    return cmocka_run_group_tests_name("strict", tests, NULL, NULL);
}
