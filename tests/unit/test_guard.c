/* SPDX-License-Identifier: MIT
 *
 * Tests of front/guard through the library itself: bytes go into one end of a socketpair, the library reads the other
 * and calls a handler here, which asks for the verdict as the exchange does. So they show both that the library uses
 * our parsers and that it copes with what these give it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/conn.h"
#include "front/guard.h"
#include "front/steady_clock.h"

/* ---- the place of the exchange ---------------------------------------------------------------------------------- */

static struct conn the_conn; /* of every request; guard needs no more of front/conn.c than these two */
static unsigned lingered;

struct conn *conn_of(h2o_req_t *req)
{
    return &the_conn;
}

void conn_linger(struct conn *c)
{
    ++lingered;
}

static struct {
    unsigned requests;
    enum reason reason;
    const char *detail;
    char method[40], path[64], body[256];
    bool persistent;
} seen;

static void copy(char *to, size_t size, h2o_iovec_t from)
{
    snprintf(to, size, "%.*s", (int)from.len, from.base);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    static h2o_generator_t generator;
    ++seen.requests;
    if (req->version < 0x200)
        guard_set_persistence(req);
    seen.reason = guard_verdict(req, &seen.detail);
    seen.persistent = req->http1_is_persistent;
    copy(seen.method, sizeof seen.method, req->method);
    copy(seen.path, sizeof seen.path, req->path);
    copy(seen.body, sizeof seen.body, req->entity);
    req->res.status = seen.reason == REASON_NONE ? 200 : reason_status(seen.reason);
    req->res.content_length = 0;
    h2o_start_response(req, &generator);
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
    return 0;
}

/* ---- the library ------------------------------------------------------------------------------------------------ */

static h2o_evloop_t *loop;
static h2o_globalconf_t confs[2]; /* [1]: with HTTP/2 */
static h2o_context_t contexts[2];

static void create_context(size_t i, bool http2)
{
    h2o_config_init(&confs[i]);
    confs[i].http1.upgrade_to_http2 = http2;
    confs[i].max_request_entity_size = 1001;
    h2o_hostconf_t *host = h2o_config_register_host(&confs[i], h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(h2o_handler_t))->on_req = on_request;
    h2o_context_init(&contexts[i], loop, &confs[i]);
}

static int set_up(void **state)
{
    guard_set_limits(&(struct guard_limits){
        .head_bytes = 1024, .target_bytes = 100, .header_fields = 10, .max_body = 1000, .chunk_overhead = 64});
    loop = h2o_evloop_create();
    create_context(0, false);
    create_context(1, true);
    return 0;
}

static int forget(void **state)
{
    memset(&seen, 0, sizeof seen);
    memset(&the_conn, 0, sizeof the_conn);
    lingered = 0;
    return 0;
}

/* what came back, and whether the library has closed the connection */
struct outcome {
    size_t len;
    bool closed;
    char bytes[16384];
};

static void run_loop(void)
{
    for (int i = 0; i != 6; ++i)
        h2o_evloop_run(loop, 0);
}

static int connect_to(size_t context)
{
    static h2o_accept_ctx_t accept_ctx[2];
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    accept_ctx[context] = (h2o_accept_ctx_t){.ctx = &contexts[context], .hosts = confs[context].hosts};
    h2o_accept(&accept_ctx[context], h2o_evloop_socket_create(loop, pair[1], H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION));
    return pair[0];
}

static void take_answer(int fd, struct outcome *o)
{
    ssize_t n;
    run_loop();
    while ((n = recv(fd, o->bytes + o->len, sizeof o->bytes - o->len - 1, MSG_DONTWAIT)) > 0)
        o->len += (size_t)n;
    o->closed = n == 0;
    o->bytes[o->len] = '\0';
}

static void hang_up(int fd)
{
    close(fd);
    run_loop();
}

static struct outcome *talk(size_t context, const char *bytes, size_t len, size_t piece)
{
    static struct outcome o;
    int fd = connect_to(context);
    o.len = 0;
    for (size_t at = 0; at < len; at += piece) {
        /* the library may have refused and closed already */
        (void)!send(fd, bytes + at, len - at < piece ? len - at : piece, MSG_NOSIGNAL);
        run_loop();
    }
    take_answer(fd, &o);
    hang_up(fd);
    return &o;
}

static struct outcome *say(const char *text)
{
    return talk(0, text, strlen(text), SIZE_MAX / 2);
}

#define GET(fields)   "GET / HTTP/1.1\r\nHost: h\r\n" fields "\r\n"
#define CHUNKED(body) "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" body

/* ---- HTTP/1 ----------------------------------------------------------------------------------------------------- */

static void test_the_interposition_is_in_effect(void **state)
{
    assert_true(guard_in_effect());
    assert_true(steady_clock_in_effect());
}

static void test_a_good_request_passes(void **state)
{
    struct outcome *o = say(GET(""));
    assert_int_equal(seen.requests, 1);
    assert_int_equal(seen.reason, REASON_NONE);
    assert_null(seen.detail);
    assert_string_equal(seen.method, "GET");
    assert_memory_equal(o->bytes, "HTTP/1.1 200", 12);
    assert_false(o->closed);
    assert_int_equal(lingered, 0);
}

static void test_a_good_request_passes_byte_by_byte(void **state)
{
    static const char text[] =
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" CHUNKED("2\r\nde\r\n0\r\n\r\n") GET("");
    struct outcome *o = talk(0, text, sizeof text - 1, 1);
    assert_int_equal(seen.requests, 3);
    assert_int_equal(seen.reason, REASON_NONE);
    assert_false(o->closed);
}

/* each is a complete answer with a reason, and the end of the connection, with nothing behind it understood as a
 * request */
static void refused(const char *text, enum reason reason)
{
    forget(NULL);
    struct outcome *o = say(text);
    assert_int_equal(seen.requests, 1);
    assert_int_equal(seen.reason, reason);
    assert_non_null(seen.detail);
    assert_false(seen.persistent);
    assert_int_equal(lingered, 1);
    assert_memory_equal(o->bytes, "HTTP/1.1 ", 9);
    assert_int_equal(atoi(o->bytes + 9), reason_status(reason));
    assert_true(o->closed);
}

static void test_a_refused_head_is_answered_and_the_connection_closed(void **state)
{
    refused("GET / HTTP/1.1\r\n\r\n" GET(""), REASON_BAD_REQUEST);
    refused("GET / HTTP/1.1\nHost: h\n\n" GET(""), REASON_BAD_REQUEST);
    refused(GET("Host: i\r\n") GET(""), REASON_BAD_REQUEST);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            REASON_BAD_REQUEST);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", REASON_BAD_REQUEST);
    refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n", REASON_VERSION);
    refused("\x16\x03\x01\x02", REASON_BAD_REQUEST);
    refused("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", REASON_METHOD_NOT_ALLOWED);
    refused("POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\nContent-Length: 3\r\n\r\nabc", REASON_EXPECTATION);
}

static void test_limits_have_their_own_reasons(void **state)
{
    char text[4096];
    snprintf(text, sizeof text, "GET /%0200d HTTP/1.1\r\nHost: h\r\n\r\n", 0);
    refused(text, REASON_TARGET_TOO_LONG);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: %02000d\r\n\r\n", 0);
    refused(text, REASON_HEAD_TOO_LARGE);
    refused(GET("A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\nA: 6\r\nA: 7\r\nA: 8\r\nA: 9\r\nA: 10\r\n"),
            REASON_HEAD_TOO_LARGE);
    refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", REASON_BODY_TOO_LARGE);
}

static void test_a_body_of_the_greatest_size_passes(void **state)
{
    char text[4096];
    snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n%01000d", 0);
    say(text);
    assert_int_equal(seen.reason, REASON_NONE);
    forget(NULL);
    snprintf(text, sizeof text, CHUNKED("3e8\r\n%01000d\r\n0\r\n\r\n"), 0);
    say(text);
    assert_int_equal(seen.requests, 1);
    assert_int_equal(seen.reason, REASON_NONE);
}

static void test_a_refused_request_keeps_its_method_for_the_log(void **state)
{
    refused("HEAD / HTTP/1.1\r\n\r\n", REASON_BAD_REQUEST);
    assert_string_equal(seen.method, "HEAD");
    refused(" / HTTP/1.1\r\n\r\n", REASON_BAD_REQUEST);
    assert_string_equal(seen.method, "-");
}

static void test_a_chunked_body_is_decoded(void **state)
{
    say(CHUNKED("4;a=b\r\nWiki\r\n5\r\npedia\r\n0\r\nX: y\r\n\r\n"));
    assert_int_equal(seen.reason, REASON_NONE);
    assert_string_equal(seen.body, "Wikipedia");
}

static void test_a_malformed_chunked_body_is_refused_with_a_reason(void **state)
{
    refused(CHUNKED("4\r\nWikiX\r\n0\r\n\r\n") GET(""), REASON_BAD_REQUEST);
    refused(CHUNKED("zz\r\n") GET(""), REASON_BAD_REQUEST);
    refused(CHUNKED("4\nWiki\n0\n\n") GET(""), REASON_BAD_REQUEST);
    assert_string_equal(seen.path, "/c");
}

static void test_a_refusal_of_a_body_does_not_stick(void **state)
{
    refused(CHUNKED("zz\r\n"), REASON_BAD_REQUEST);
    forget(NULL);
    say(GET(""));
    assert_int_equal(seen.reason, REASON_NONE);
    forget(NULL);
    say(CHUNKED("1\r\na\r\n0\r\n\r\n"));
    assert_int_equal(seen.reason, REASON_NONE);
}

static void persists(const char *text, bool expected)
{
    forget(NULL);
    struct outcome *o = say(text);
    assert_int_equal(seen.reason, REASON_NONE);
    assert_int_equal(seen.persistent, expected);
    assert_int_equal(o->closed, !expected);
}

static void test_persistence_follows_all_connection_options(void **state)
{
    persists(GET(""), true);
    persists(GET("Connection: close\r\n"), false);
    persists(GET("Connection: close\r\nConnection: keep-alive\r\n"), false);
    persists(GET("Connection: keep-alive, close\r\n"), false);
    persists(GET("Connection: te\r\n"), true);
    persists("GET / HTTP/1.0\r\nHost: h\r\n\r\n", false);
    persists("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", true);
    persists("GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\nConnection: close\r\n\r\n", false);
}

/* ---- HTTP/2 ----------------------------------------------------------------------------------------------------- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static void test_http2_is_spoken_only_where_it_is_on(void **state)
{
    static const char hello[] = PREFACE "\0\0\0\4\0\0\0\0\0";
    struct outcome *o = talk(1, hello, sizeof hello - 1, 1);
    assert_int_equal(o->bytes[3], 4); /* SETTINGS */
    assert_false(o->closed);
    o = talk(0, hello, sizeof hello - 1, SIZE_MAX / 2);
    assert_memory_equal(o->bytes, "HTTP/1.1 400", 12);
    assert_true(o->closed);
    assert_int_equal(seen.requests, 0);
}

static void test_an_upgrade_to_h2c_is_ignored(void **state)
{
    static const char text[] =
        GET("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n");
    struct outcome *o = talk(1, text, sizeof text - 1, SIZE_MAX / 2);
    assert_int_equal(seen.reason, REASON_NONE);
    assert_memory_equal(o->bytes, "HTTP/1.1 200", 12);
}

static size_t put_field(char *out, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    assert_true(name_len < 127 && value_len < 127);
    out[0] = 0; /* literal without indexing, new name */
    out[1] = (char)name_len;
    memcpy(out + 2, name, name_len);
    out[2 + name_len] = (char)value_len;
    memcpy(out + 3 + name_len, value, value_len);
    return 3 + name_len + value_len;
}

struct h2_request {
    const char *method, *path, *authority, *name, *value;
    unsigned repeat; /* of name and value */
    bool is_cut;     /* the connection has been, in the meantime */
};

static void ask_http2(const struct h2_request *r)
{
    static const char hello[] = PREFACE "\0\0\0\4\0\0\0\0\0";
    char bytes[16384];
    size_t start = sizeof hello - 1, len = start + 9;
    forget(NULL);
    the_conn.is_cut = r->is_cut;
    memcpy(bytes, hello, start);
    len += put_field(bytes + len, ":method", r->method != NULL ? r->method : "GET");
    len += put_field(bytes + len, ":scheme", "http");
    len += put_field(bytes + len, ":path", r->path != NULL ? r->path : "/");
    if (r->authority == NULL || *r->authority != '\0')
        len += put_field(bytes + len, ":authority", r->authority != NULL ? r->authority : "h");
    for (unsigned i = 0; r->name != NULL && i <= r->repeat; ++i)
        len += put_field(bytes + len, r->name, r->value);
    size_t payload = len - start - 9;
    memcpy(bytes + start, (char[]){(char)(payload >> 16), (char)(payload >> 8), (char)payload, 1, 5, 0, 0, 0, 1}, 9);
    talk(1, bytes, len, SIZE_MAX / 2);
}

#define ASK(...) ask_http2(&(struct h2_request){__VA_ARGS__})

static void test_good_http2_requests_pass(void **state)
{
    ASK(.path = "/a?b=c");
    assert_int_equal(seen.requests, 1);
    assert_int_equal(seen.reason, REASON_NONE);
    ASK(.method = "OPTIONS", .path = "*");
    assert_int_equal(seen.reason, REASON_NONE);
    ASK(.name = "te", .value = "trailers");
    assert_int_equal(seen.reason, REASON_NONE);
    ASK(.authority = "[::1]:8080");
    assert_int_equal(seen.reason, REASON_NONE);
}

static void http2_refused(enum reason reason)
{
    assert_int_equal(seen.requests, 1);
    assert_int_equal(seen.reason, reason);
    assert_non_null(seen.detail);
    assert_int_equal(lingered, 0); /* it costs the stream, not the connection */
}

static void test_http2_requests_obey_the_same_rules(void **state)
{
    char longer[110] = "/";
    memset(longer + 1, 'x', sizeof longer - 2);
    ASK(.method = "GET /admin HTTP/1.1");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = "/a HTTP/1.1");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = "a");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = "*");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = "http://h/");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = "/%00");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.path = longer);
    http2_refused(REASON_TARGET_TOO_LONG);
    ASK(.method = "CONNECT");
    http2_refused(REASON_METHOD_NOT_ALLOWED);
    ASK(.authority = "");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.authority = "u@h");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.name = "proxy-connection", .value = "keep-alive");
    http2_refused(REASON_BAD_REQUEST);
    ASK(.name = "a b", .value = "c");
    assert_int_equal(seen.requests, 0); /* the library's own 400 */
    ASK(.name = "x", .value = "1", .repeat = 10);
    http2_refused(REASON_HEAD_TOO_LARGE);
    ASK(.name = "x", .value = longer, .repeat = 9);
    http2_refused(REASON_HEAD_TOO_LARGE);
}

static void test_requests_of_a_cut_http2_connection_are_refused(void **state)
{
    ASK(.path = "/", .is_cut = true);
    assert_int_equal(seen.reason, REASON_BAD_REQUEST);
    assert_string_equal(seen.detail, "this connection has been cut");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_interposition_is_in_effect),
        cmocka_unit_test_setup(test_a_good_request_passes, forget),
        cmocka_unit_test_setup(test_a_good_request_passes_byte_by_byte, forget),
        cmocka_unit_test_setup(test_a_refused_head_is_answered_and_the_connection_closed, forget),
        cmocka_unit_test_setup(test_limits_have_their_own_reasons, forget),
        cmocka_unit_test_setup(test_a_body_of_the_greatest_size_passes, forget),
        cmocka_unit_test_setup(test_a_refused_request_keeps_its_method_for_the_log, forget),
        cmocka_unit_test_setup(test_a_chunked_body_is_decoded, forget),
        cmocka_unit_test_setup(test_a_malformed_chunked_body_is_refused_with_a_reason, forget),
        cmocka_unit_test_setup(test_a_refusal_of_a_body_does_not_stick, forget),
        cmocka_unit_test_setup(test_persistence_follows_all_connection_options, forget),
        cmocka_unit_test_setup(test_http2_is_spoken_only_where_it_is_on, forget),
        cmocka_unit_test_setup(test_an_upgrade_to_h2c_is_ignored, forget),
        cmocka_unit_test_setup(test_good_http2_requests_pass, forget),
        cmocka_unit_test_setup(test_http2_requests_obey_the_same_rules, forget),
        cmocka_unit_test_setup(test_requests_of_a_cut_http2_connection_are_refused, forget),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
