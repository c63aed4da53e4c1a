/* SPDX-License-Identifier: MIT
 *
 * test_fastcgi: the records that a FastCGI program gets, and what it may answer. Requests are unpacked by a reader of
 * the test's own; answers are written as a list of records and fed whole, byte by byte, and cut at every place.
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

#include "upstream/fastcgi.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN(s)       s s s s s s s s s s
#define A100         TEN(TEN("a"))

enum { BEGIN = 1, ABORT = 2, FINISH = 3, PARAMS = 4, STDIN = 5, OUT = 6, ERR = 7, VALUES = 10, UNKNOWN = 11 };

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct unpacked {
    struct buf params, body;
    unsigned begins, role, flags, params_records, stdin_records;
    bool params_ended, body_ended;
};

static void unpack_record(struct unpacked *u, unsigned type, const char *content, size_t len)
{
    switch (type) {
    case BEGIN:
        assert_int_equal(len, 8);
        u->begins++;
        u->role = (unsigned)(uint8_t)content[0] << 8 | (uint8_t)content[1];
        u->flags = (uint8_t)content[2];
        break;
    case PARAMS:
        assert_false(u->params_ended);
        u->params_records++;
        u->params_ended = len == 0;
        buf_append(&u->params, content, len);
        break;
    case STDIN:
        assert_true(u->params_ended);
        assert_false(u->body_ended);
        u->stdin_records++;
        u->body_ended = len == 0;
        buf_append(&u->body, content, len);
        break;
    default:
        fail_msg("record of type %u", type);
    }
}

static void unpack(struct unpacked *u, const struct buf *out)
{
    *u = (struct unpacked){0};
    size_t at = 0;
    while (at < out->len) {
        const uint8_t *h = (const uint8_t *)out->base + at;
        assert_true(out->len - at >= 8);
        assert_int_equal(h[0], 1);
        assert_int_equal(h[2] << 8 | h[3], 1);
        size_t len = (size_t)h[4] << 8 | h[5];
        assert_true(out->len - at >= 8 + len + h[6]);
        unpack_record(u, h[1], (const char *)h + 8, len);
        at += 8 + len + h[6];
    }
}

static size_t read_length(const struct buf *b, size_t *at)
{
    size_t n = (uint8_t)b->base[(*at)++];
    if (n < 128)
        return n;
    for (int i = 0; i < 3; i++)
        n = n << 8 | (uint8_t)b->base[(*at)++];
    return n & 0x7fffffff;
}

/* the value of a variable, which must be there at most once; base NULL: it is not */
static struct str variable(const struct buf *params, const char *name)
{
    struct str found = STR_NONE;
    for (size_t at = 0; at < params->len;) {
        size_t name_len = read_length(params, &at), value_len = read_length(params, &at);
        assert_true(params->len - at >= name_len + value_len);
        if (str_eq((struct str){params->base + at, name_len}, str_of(name))) {
            assert_null(found.base);
            found = (struct str){params->base + at + name_len, value_len};
        }
        at += name_len + value_len;
    }
    return found;
}

static const struct fastcgi_params php = {.root = "/srv/www", .index = "index.php"};

static struct call_request get(const char *path)
{
    return (struct call_request){.method = STR("GET"),
                                 .path = str_of(path),
                                 .scheme = STR("http"),
                                 .authority = STR("example.com"),
                                 .peer = STR("192.0.2.1")};
}

static void assert_variable_of(const struct call_request *r, const struct fastcgi_params *params, const char *name,
                               const char *want)
{
    struct buf out = {0};
    struct unpacked u;
    fastcgi_put_request(&out, r, params, true);
    unpack(&u, &out);
    struct str got = variable(&u.params, name);
    if (want == NULL ? got.base != NULL : got.base == NULL || !str_eq(got, str_of(want)))
        fail_msg("%s=\"%.*s\", want \"%s\"", name, STR_ARG(got), want == NULL ? "(absent)" : want);
    buf_free(&u.params);
    buf_free(&u.body);
    buf_free(&out);
}

static const struct script_case {
    const char *path, *filename, *script, *path_info;
} scripts[] = {
    {"/", "/srv/www/index.php", "/index.php", NULL},
    {"/a.php", "/srv/www/a.php", "/a.php", NULL},
    {"/d/a.php", "/srv/www/d/a.php", "/d/a.php", NULL},
    {"/d/", "/srv/www/d/index.php", "/d/index.php", NULL},
    {"/d", "/srv/www/d/index.php", "/d/index.php", NULL},
    {"/a.php/", "/srv/www/a.php", "/a.php", "/"},
    {"/a.php/x/y", "/srv/www/a.php", "/a.php", "/x/y"},
    {"/a.php/b.php", "/srv/www/a.php", "/a.php", "/b.php"},
    {"/d.php.d/a.php/x", "/srv/www/d.php.d/a.php", "/d.php.d/a.php", "/x"},
    {"/upload/cat.jpg", "/srv/www/upload/cat.jpg/index.php", "/upload/cat.jpg/index.php", NULL},
    {"/.php", "/srv/www/.php/index.php", "/.php/index.php", NULL},
    {"/a.phpx", "/srv/www/a.phpx/index.php", "/a.phpx/index.php", NULL},
    {"/caf%C3%A9.php", "/srv/www/caf\xc3\xa9.php", "/caf\xc3\xa9.php", NULL},
    {"/a%20b.php/c%20d", "/srv/www/a b.php", "/a b.php", "/c d"},
    {"/a.ph%70", "/srv/www/a.php", "/a.php", NULL},
    {"/x%2f..%2fa.php", "/srv/www/x%2f..%2fa.php", "/x%2f..%2fa.php", NULL},
    {"/%2e%2e/a.php", "/srv/www/%2e%2e/a.php", "/%2e%2e/a.php", NULL},
    {"/a.php%00.jpg", "/srv/www/a.php%00.jpg/index.php", "/a.php%00.jpg/index.php", NULL},
    {"/100%.php", "/srv/www/100%.php", "/100%.php", NULL},
};

static void run_script(void **state)
{
    const struct script_case *c = *state;
    struct call_request r = get(c->path);
    assert_variable_of(&r, &php, "SCRIPT_FILENAME", c->filename);
    assert_variable_of(&r, &php, "SCRIPT_NAME", c->script);
    assert_variable_of(&r, &php, "PATH_INFO", c->path_info);
}

static void a_root_may_end_with_a_slash(void **state)
{
    const struct fastcgi_params p = {.root = "/srv/www/", .index = "index.php"};
    struct call_request r = get("/a.php");
    assert_variable_of(&r, &p, "SCRIPT_FILENAME", "/srv/www/a.php");
    assert_variable_of(&r, &p, "DOCUMENT_ROOT", "/srv/www");
}

static void an_index_without_extension_splits_nothing(void **state)
{
    const struct fastcgi_params p = {.root = "/r", .index = "app"};
    struct call_request r = get("/a/b");
    assert_variable_of(&r, &p, "SCRIPT_NAME", "/a/b/app");
}

static void without_an_index_the_path_is_the_script(void **state)
{
    const struct fastcgi_params p = {.root = "/r", .index = NULL};
    struct call_request r = get("/a/b");
    assert_variable_of(&r, &p, "SCRIPT_NAME", "/a/b");
    assert_variable_of(&r, &p, "SCRIPT_FILENAME", "/r/a/b");
}

static void the_fixed_variables_are_there(void **state)
{
    static const char *const want[][2] = {{"GATEWAY_INTERFACE", "CGI/1.1"},
                                          {"SERVER_SOFTWARE", "bulkhead"},
                                          {"SERVER_PROTOCOL", "HTTP/1.1"},
                                          {"REQUEST_METHOD", "GET"},
                                          {"REMOTE_ADDR", "192.0.2.1"},
                                          {"REDIRECT_STATUS", "200"},
                                          {"DOCUMENT_ROOT", "/srv/www"},
                                          {"DOCUMENT_URI", "/a.php"},
                                          {"REQUEST_URI", "/a.php"},
                                          {"QUERY_STRING", ""},
                                          {"REQUEST_SCHEME", "http"},
                                          {"SERVER_NAME", "example.com"},
                                          {"SERVER_PORT", "80"},
                                          {"HTTPS", NULL},
                                          {"CONTENT_LENGTH", NULL},
                                          {"CONTENT_TYPE", NULL}};
    struct call_request r = get("/a.php");
    for (size_t i = 0; i < COUNT(want); i++)
        assert_variable_of(&r, &php, want[i][0], want[i][1]);
}

static void the_query_is_in_both_variables(void **state)
{
    struct call_request r = get("/a.php");
    r.query = STR("b=c%20d");
    assert_variable_of(&r, &php, "QUERY_STRING", "b=c%20d");
    assert_variable_of(&r, &php, "REQUEST_URI", "/a.php?b=c%20d");
}

static void https_is_told(void **state)
{
    struct call_request r = get("/");
    r.scheme = STR("https");
    assert_variable_of(&r, &php, "HTTPS", "on");
    assert_variable_of(&r, &php, "REQUEST_SCHEME", "https");
    assert_variable_of(&r, &php, "SERVER_PORT", "443");
}

static void the_authority_is_split(void **state)
{
    static const char *const want[][3] = {{"h:8080", "h", "8080"},
                                          {"h:", "h", "80"},
                                          {"[::1]:81", "[::1]", "81"},
                                          {"[::1]", "[::1]", "80"},
                                          {"", "", "80"}};
    for (size_t i = 0; i < COUNT(want); i++) {
        struct call_request r = get("/");
        r.authority = str_of(want[i][0]);
        assert_variable_of(&r, &php, "SERVER_NAME", want[i][1]);
        assert_variable_of(&r, &php, "SERVER_PORT", want[i][2]);
    }
}

static void the_content_is_described(void **state)
{
    const struct call_field type = {STR("content-type"), STR("text/plain")};
    struct call_request r = get("/");
    r.fields = &type;
    r.nfields = 1;
    r.body = STR("12345");
    assert_variable_of(&r, &php, "CONTENT_LENGTH", "5");
    assert_variable_of(&r, &php, "CONTENT_TYPE", "text/plain");
    assert_variable_of(&r, &php, "HTTP_CONTENT_TYPE", NULL);
}

static void an_empty_post_has_a_length(void **state)
{
    struct call_request r = get("/");
    r.method = STR("POST");
    assert_variable_of(&r, &php, "CONTENT_LENGTH", "0");
}

static void fields_become_variables(void **state)
{
    const struct call_field fields[] = {{STR("user-agent"), STR("x y")}, {STR("accept"), STR("a")},
                                        {STR("cookie"), STR("a=1")},     {STR("accept"), STR("b")},
                                        {STR("cookie"), STR("b=2")},     {STR("accept"), STR("c")}};
    struct call_request r = get("/");
    r.fields = fields;
    r.nfields = COUNT(fields);
    assert_variable_of(&r, &php, "HTTP_USER_AGENT", "x y");
    assert_variable_of(&r, &php, "HTTP_ACCEPT", "a, b, c");
    assert_variable_of(&r, &php, "HTTP_COOKIE", "a=1; b=2");
}

static void dangerous_fields_do_not(void **state)
{
    const struct call_field fields[] = {
        {STR("proxy"), STR("evil:80")}, {STR("x_forwarded_for"), STR("1.1.1.1")}, {STR("content-length"), STR("9")}};
    struct call_request r = get("/");
    r.fields = fields;
    r.nfields = COUNT(fields);
    assert_variable_of(&r, &php, "HTTP_PROXY", NULL);
    assert_variable_of(&r, &php, "HTTP_X_FORWARDED_FOR", NULL);
    assert_variable_of(&r, &php, "HTTP_CONTENT_LENGTH", NULL);
}

static void a_request_begins_with_its_role_and_keeps_when_asked(void **state)
{
    for (unsigned keep = 0; keep < 2; keep++) {
        struct call_request r = get("/");
        struct buf out = {0};
        struct unpacked u;
        fastcgi_put_request(&out, &r, &php, keep);
        unpack(&u, &out);
        assert_int_equal(u.begins, 1);
        assert_int_equal(u.role, 1);
        assert_int_equal(u.flags, keep);
        assert_int_equal(u.params_records, 2);
        assert_true(u.params_ended);
        buf_free(&u.params);
        buf_free(&out);
    }
}

static void long_variables_are_split_over_records(void **state)
{
    static const size_t sizes[] = {127, 128, 65000, 65535, 131070, 200000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *value = malloc(sizes[i] + 1);
        for (size_t j = 0; j < sizes[i]; j++)
            value[j] = (char)('a' + j % 26);
        value[sizes[i]] = '\0';
        const struct call_field field = {STR("x-long"), {value, sizes[i]}};
        struct call_request r = get("/");
        r.fields = &field;
        r.nfields = 1;
        assert_variable_of(&r, &php, "HTTP_X_LONG", value);
        assert_variable_of(&r, &php, "GATEWAY_INTERFACE", "CGI/1.1");
        free(value);
    }
}

static void a_body_is_split_over_records(void **state)
{
    static const size_t sizes[] = {1, 65535, 65536, 200000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *body = malloc(sizes[i]);
        memset(body, 'b', sizes[i]);
        struct call_request r = get("/");
        struct buf out = {0};
        struct unpacked u;
        fastcgi_put_request(&out, &r, &php, true);
        fastcgi_put_stdin(&out, (struct str){body, sizes[i]});
        fastcgi_put_stdin(&out, STR_NONE);
        unpack(&u, &out);
        assert_int_equal(u.stdin_records, (sizes[i] + 65534) / 65535 + 1);
        assert_true(u.body_ended && u.body.len == sizes[i] && memcmp(u.body.base, body, sizes[i]) == 0);
        buf_free(&u.params);
        buf_free(&u.body);
        buf_free(&out);
        free(body);
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const struct http1_limits limits = {.head_bytes = 512, .fields = 6, .interim = 3, .chunk_overhead = 32};

struct record {
    int type; /* 0: end of list */
    const char *content;
    size_t len;                         /* 0: strlen */
    unsigned char padding, id, version; /* id 0: 1 (0 for management); version 0: 1 */
    bool wrong_id;
};

#define O(text)                                                                                                        \
    {                                                                                                                  \
        OUT, text, 0                                                                                                   \
    }
#define E(text)                                                                                                        \
    {                                                                                                                  \
        ERR, text, 0                                                                                                   \
    }
#define DONE                                                                                                           \
    {                                                                                                                  \
        FINISH, "\0\0\0\0\0\0\0\0", 8                                                                                  \
    }
#define DONE_AS(s)                                                                                                     \
    {                                                                                                                  \
        FINISH, s "\0\0\0", 8                                                                                          \
    }
#define CLOSED                                                                                                         \
    {                                                                                                                  \
        OUT, "", 0                                                                                                     \
    }

enum ending { OPEN, END, ERROR };

struct answer_case {
    const char *name;
    bool is_head;
    struct record records[8];
    enum ending ending;
    const char *error;
    int status; /* 0: not looked at, like the others */
    const char *fields, *body, *log;
    int64_t length; /* -2: not known */
    const char *behind;
};

#define HTML "Content-Type: text/html\r\n"

static const struct answer_case answers[] = {
    {"plain", false, {O(HTML "\r\nhello"), CLOSED, DONE}, END, NULL, 200, "content-type=text/html", "hello", "", -2},
    {"without the empty output record", false, {O(HTML "\r\nhello"), DONE}, END, .status = 200, .body = "hello"},
    {"no body", false, {O(HTML "\r\n"), CLOSED, DONE}, END, .status = 200, .body = ""},
    {"LF lines",
     false,
     {O("Content-Type: a\nX: b\n\nhello"), DONE},
     END,
     .fields = "content-type=a|x=b",
     .body = "hello"},
    {"mixed lines", false, {O("Content-Type: a\r\nX: b\n\r\n\r\nhello"), DONE}, END, .body = "\r\nhello"},
    {"head over records",
     false,
     {O("Content-Ty"), O("pe: a\r"), O("\n\r"), O("\nhel"), O("lo"), DONE},
     END,
     .fields = "content-type=a",
     .body = "hello"},
    {"LF head over records", false, {O("A: a\n"), O("\nx"), DONE}, END, .fields = "a=a", .body = "x"},
    {"padding is passed over",
     false,
     {{OUT, HTML "\r\nab", 0, 5}, {OUT, "", 0, 7}, {FINISH, "\0\0\0\0\0\0\0\0", 8, 8}},
     END,
     .body = "ab"},
    {"status", false, {O("Status: 404 Not Found\r\n\r\n"), DONE}, END, .status = 404, .fields = ""},
    {"status alone", false, {O("Status: 404\r\n\r\n"), DONE}, END, .status = 404},
    {"status 999", false, {O("Status: 999\r\n\r\n"), DONE}, ERROR, "200 to 599"},
    {"status 101", false, {O("Status: 101 Switching\r\n\r\n"), DONE}, ERROR, "200 to 599"},
    {"status of two digits", false, {O("Status: 20\r\n\r\n"), DONE}, ERROR, "three-digit"},
    {"status of four digits", false, {O("Status: 2000\r\n\r\n"), DONE}, ERROR, "three-digit"},
    {"status of letters", false, {O("Status: OK\r\n\r\n"), DONE}, ERROR, "three-digit"},
    {"two statuses", false, {O("Status: 200\r\nStatus: 200\r\n\r\n"), DONE}, ERROR, "more than one Status"},
    {"location means 302", false, {O("Location: /x\r\n\r\n"), DONE}, END, .status = 302, .fields = "location=/x"},
    {"location with a status", false, {O("Location: /x\r\nStatus: 201 Made\r\n\r\n"), DONE}, END, .status = 201},
    {"hop-by-hop fields are dropped",
     false,
     {O("Connection: close\r\nTransfer-Encoding: chunked\r\nKeep-Alive: x\r\nX: y\r\n\r\n"), DONE},
     END,
     .fields = "x=y"},
    {"length", false, {O("Content-Length: 5\r\n\r\nhello"), DONE}, END, .length = 5, .fields = "", .body = "hello"},
    {"body longer than its length", false, {O("Content-Length: 2\r\n\r\nhello"), DONE}, ERROR, "more body"},
    {"body shorter than its length",
     false,
     {O("Content-Length: 9\r\n\r\nhello"), DONE},
     ERROR,
     "less body",
     .body = "hello"},
    {"two lengths",
     false,
     {O("Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), DONE},
     ERROR,
     "more than one Content"},
    {"length garbage", false, {O("Content-Length: -1\r\n\r\na"), DONE}, ERROR, "decimal"},
    {"HEAD drops the body", true, {O("Content-Length: 5\r\n\r\nhello"), DONE}, END, .length = 5, .body = ""},
    {"HEAD without a body", true, {O("Content-Length: 5\r\n\r\n"), DONE}, END, .length = 5, .body = ""},
    {"204 drops the body", false, {O("Status: 204\r\n\r\nhello"), DONE}, END, .length = 0, .body = ""},
    {"304 drops the body",
     false,
     {O("Status: 304\r\nContent-Length: 5\r\n\r\nhello"), DONE},
     END,
     .length = 5,
     .body = ""},
    {"stderr goes to the log",
     false,
     {E("warn"), O(HTML), E("ing\n"), O("\r\nx"), E("more"), DONE},
     END,
     .body = "x",
     .log = "warning\nmore"},
    {"management records are passed over",
     false,
     {{VALUES, "abc", 0}, O(HTML "\r\nx"), {UNKNOWN, "12345678", 0}, DONE},
     END,
     .body = "x"},
    {"bytes behind the end are left", false, {O(HTML "\r\nx"), DONE, O("y")}, END, .body = "x", .behind = "record"},

    {"no head", false, {CLOSED, DONE}, ERROR, "before a complete head"},
    {"no output at all", false, {DONE}, ERROR, "before a complete head"},
    {"half a head", false, {O(HTML), DONE}, ERROR, "before a complete head"},
    {"empty head", false, {O("\r\nhello"), DONE}, ERROR, "without a header field"},
    {"a status line is no CGI", false, {O("HTTP/1.1 200 OK\r\n\r\n"), DONE}, ERROR, "token"},
    {"name with blank", false, {O("A b: c\r\n\r\n"), DONE}, ERROR, "white space"},
    {"folded field", false, {O("A: b\r\n c\r\n\r\n"), DONE}, ERROR, "folded"},
    {"no colon", false, {O("hello\n\n"), DONE}, ERROR, "without a colon"},
    {"NUL in a value", false, {{OUT, "A: b\0\r\n\r\n", 9}, DONE}, ERROR, "control"},
    {"CR in a value", false, {O("A: b\rc\r\n\r\n"), DONE}, ERROR, "CR without LF"},
    {"head over the limit",
     false,
     {O("A: " A100 A100 A100), O(A100 A100), O(A100), DONE},
     ERROR,
     "response_head_bytes"},
    {"head over the limit at once",
     false,
     {O("A: " A100 A100 A100 A100 A100 A100), DONE},
     ERROR,
     "response_head_bytes"},
    {"as many fields as the limit", false, {O("A: 1\nA: 2\nA: 3\nA: 4\nA: 5\nA: 6\n\n"), DONE}, END, .status = 200},
    {"more fields than the limit",
     false,
     {O("A: 1\nA: 2\nA: 3\nA: 4\nA: 5\nA: 6\nA: 7\n\n"), DONE},
     ERROR,
     "header_fields"},

    {"exit status before a head", false, {DONE_AS("\0\0\0\1\0")}, ERROR, "exited with a failure before"},
    {"exit status without a length",
     false,
     {O(HTML "\r\nx"), DONE_AS("\0\0\0\1\0")},
     ERROR,
     "exited with a failure",
     .body = "x"},
    {"exit status behind a body of its length",
     false,
     {O("Content-Length: 1\r\n\r\nx"), DONE_AS("\0\0\0\1\0")},
     END,
     .body = "x"},
    {"cannot multiplex", false, {DONE_AS("\0\0\0\0\1")}, ERROR, "CANT_MPX_CONN"},
    {"overloaded", false, {DONE_AS("\0\0\0\0\2")}, ERROR, "OVERLOADED"},
    {"unknown role", false, {DONE_AS("\0\0\0\0\3")}, ERROR, "UNKNOWN_ROLE"},
    {"unknown protocol status", false, {DONE_AS("\0\0\0\0\4")}, ERROR, "unknown protocol status"},
    {"end of an odd length", false, {{FINISH, "\0\0\0\0\0\0\0", 7}}, ERROR, "odd length"},
    {"end without content", false, {{FINISH, "", 0}}, ERROR, "odd length"},
    {"output behind its end", false, {O(HTML "\r\nx"), CLOSED, O("y"), DONE}, ERROR, "behind the end"},
    {"another version", false, {{OUT, HTML "\r\n", 0, .version = 2}}, ERROR, "version 1"},
    {"another request", false, {{OUT, HTML "\r\n", 0, .id = 2}}, ERROR, "another request"},
    {"output without request", false, {{OUT, HTML "\r\n", 0, .wrong_id = true}}, ERROR, "another request"},
    {"management record with request", false, {{VALUES, "", 0, .id = 1}}, ERROR, "management"},
    {"record of a request", false, {{BEGIN, "12345678", 0}}, ERROR, "no program may send"},
    {"record of input", false, {{STDIN, "x", 0}}, ERROR, "no program may send"},
    {"record of type 0", false, {{-1, "x", 0}}, ERROR, "no program may send"},
    {"html instead of records", false, {{'t' - 256, NULL, 0}}, ERROR, "version 1"},
    {"unfinished", false, {O(HTML "\r\nx")}, OPEN, .body = "x"},
    {"unfinished head", false, {O(HTML)}, OPEN},
};

static void pack(struct buf *out, const struct record *r)
{
    if (r->content == NULL) {
        buf_append_z(out, "<html></html>");
        return;
    }
    size_t len = r->len != 0 ? r->len : strlen(r->content);
    bool management = r->type == VALUES || r->type == UNKNOWN;
    unsigned char id = r->id != 0 || management || r->wrong_id ? r->id : 1;
    const unsigned char head[8] = {r->version != 0 ? r->version : 1,
                                   (unsigned char)(r->type == -1 ? 0 : r->type),
                                   0,
                                   id,
                                   (unsigned char)(len >> 8),
                                   (unsigned char)len,
                                   r->padding};
    buf_append(out, head, sizeof(head));
    buf_append(out, r->content, len);
    for (unsigned i = 0; i < r->padding; i++)
        buf_append_char(out, 'p');
}

struct seen {
    unsigned heads;
    int status;
    int64_t length;
    char fields[2048];
    struct buf body, log;
    enum ending ending;
    const char *error;
    size_t behind;
};

static void see_head(struct seen *s, const struct call_response *head)
{
    s->heads++;
    s->status = head->status;
    s->length = head->content_length;
    size_t at = 0;
    s->fields[0] = '\0';
    for (size_t i = 0; i < head->nfields; i++)
        at += (size_t)snprintf(s->fields + at, sizeof(s->fields) - at, "%s%.*s=%.*s", i == 0 ? "" : "|",
                               STR_ARG(head->fields[i].name), STR_ARG(head->fields[i].value));
}

static bool feed(struct fastcgi_response *r, const char *bytes, size_t len, struct seen *s)
{
    size_t used = 0;
    char *block = malloc(len + 1), *exact = block + 1;
    memcpy(exact, bytes, len);
    struct str body;
    enum http1_event event;
    while ((event = fastcgi_response_next(r, exact, len, &used, &body)) == HTTP1_HEAD || event == HTTP1_BODY) {
        if (event == HTTP1_HEAD) {
            see_head(s, &r->head);
        } else {
            assert_true(body.len != 0 && body.base >= exact && body.base + body.len <= exact + used);
            buf_append_str(&s->body, body);
        }
    }
    assert_true(event != HTTP1_MORE || used == len);
    s->behind = len - used;
    free(block);
    s->ending = event == HTTP1_END ? END : event == HTTP1_ERROR ? ERROR : OPEN;
    return event == HTTP1_MORE;
}

static void run(const struct answer_case *c, const struct buf *bytes, size_t first, size_t piece, struct seen *s)
{
    struct fastcgi_response r;
    memset(&r, 0xa5, sizeof(r)); /* init must not count on zeros */
    fastcgi_response_init(&r, c->is_head, &limits);
    *s = (struct seen){0};
    for (size_t at = 0, n; at < bytes->len; at += n) {
        n = at == 0 ? first : piece;
        n = n < bytes->len - at ? n : bytes->len - at;
        if (!feed(&r, bytes->base + at, n, s)) {
            s->behind += bytes->len - at - n;
            break;
        }
    }
    s->error = r.error;
    buf_append_str(&s->log, buf_str(&r.log));
    fastcgi_response_free(&r);
}

static void check(const struct answer_case *c, const struct seen *s, const char *how)
{
    if (s->ending != c->ending)
        fail_msg("%s: ended as %d, want %d: %s", how, s->ending, c->ending, s->error == NULL ? "" : s->error);
    if (c->error != NULL && strstr(s->error, c->error) == NULL)
        fail_msg("%s: error \"%s\"", how, s->error);
    if (c->ending == END)
        assert_int_equal(s->heads, 1);
    if (c->status != 0)
        assert_int_equal(s->status, c->status);
    if (c->fields != NULL)
        assert_string_equal(s->fields, c->fields);
    if (c->body != NULL)
        assert_true(str_eq(buf_str(&s->body), str_of(c->body)));
    if (c->log != NULL)
        assert_true(str_eq(buf_str(&s->log), str_of(c->log)));
    if (c->length != 0)
        assert_int_equal(s->length, c->length == -2 ? -1 : c->length);
    if (c->ending == END)
        assert_int_equal(s->behind != 0, c->behind != NULL);
}

static void run_answer(void **state)
{
    const struct answer_case *c = *state;
    struct buf bytes = {0};
    for (size_t i = 0; i < COUNT(c->records) && c->records[i].type != 0; i++)
        pack(&bytes, &c->records[i]);
    struct seen s;
    for (size_t first = bytes.len; first > 0; first--) {
        run(c, &bytes, first, bytes.len, &s);
        check(c, &s, first == bytes.len ? "whole" : "cut in two");
        buf_free(&s.body);
        buf_free(&s.log);
    }
    run(c, &bytes, 1, 1, &s);
    check(c, &s, "byte by byte");
    buf_free(&s.body);
    buf_free(&s.log);
    buf_free(&bytes);
}

static void the_log_is_bounded_until_it_is_taken(void **state)
{
    struct fastcgi_response r;
    fastcgi_response_init(&r, false, &limits);
    static char text[1000];
    struct buf bytes = {0};
    pack(&bytes, &(struct record){ERR, text, sizeof(text)});
    struct str body;
    for (int i = 0; i < 20; i++) {
        size_t used = 0;
        assert_int_equal(fastcgi_response_next(&r, bytes.base, bytes.len, &used, &body), HTTP1_MORE);
        assert_true(r.log.len <= FASTCGI_LOG_MAX);
    }
    assert_int_equal(r.log.len, FASTCGI_LOG_MAX);
    buf_clear(&r.log);
    size_t used = 0;
    fastcgi_response_next(&r, bytes.base, bytes.len, &used, &body);
    assert_int_equal(r.log.len, sizeof(text));
    buf_free(&bytes);
    fastcgi_response_free(&r);
}

static void a_head_in_one_piece_is_parsed_without_a_copy(void **state)
{
    struct fastcgi_response r;
    fastcgi_response_init(&r, false, &limits);
    struct buf bytes = {0};
    pack(&bytes, &(struct record){OUT, HTML "\r\nx", 0});
    size_t used = 0;
    struct str body;
    assert_false(fastcgi_response_started(&r));
    assert_int_equal(fastcgi_response_next(&r, bytes.base, bytes.len, &used, &body), HTTP1_HEAD);
    assert_true(fastcgi_response_started(&r));
    assert_null(r.head_bytes.base);
    buf_free(&bytes);
    fastcgi_response_free(&r);
}

int main(void)
{
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(a_root_may_end_with_a_slash),
        cmocka_unit_test(an_index_without_extension_splits_nothing),
        cmocka_unit_test(without_an_index_the_path_is_the_script),
        cmocka_unit_test(the_fixed_variables_are_there),
        cmocka_unit_test(the_query_is_in_both_variables),
        cmocka_unit_test(https_is_told),
        cmocka_unit_test(the_authority_is_split),
        cmocka_unit_test(the_content_is_described),
        cmocka_unit_test(an_empty_post_has_a_length),
        cmocka_unit_test(fields_become_variables),
        cmocka_unit_test(dangerous_fields_do_not),
        cmocka_unit_test(a_request_begins_with_its_role_and_keeps_when_asked),
        cmocka_unit_test(long_variables_are_split_over_records),
        cmocka_unit_test(a_body_is_split_over_records),
        cmocka_unit_test(the_log_is_bounded_until_it_is_taken),
        cmocka_unit_test(a_head_in_one_piece_is_parsed_without_a_copy),
    };
    static struct CMUnitTest tests[COUNT(scripts) + COUNT(answers) + COUNT(rest)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(scripts); i++)
        tests[n++] = (struct CMUnitTest){scripts[i].path, run_script, NULL, NULL, (void *)&scripts[i]};
    for (size_t i = 0; i < COUNT(answers); i++)
        tests[n++] = (struct CMUnitTest){answers[i].name, run_answer, NULL, NULL, (void *)&answers[i]};
    for (size_t i = 0; i < COUNT(rest); i++)
        tests[n++] = rest[i];
    return cmocka_run_group_tests_name("fastcgi", tests, NULL, NULL);
}
