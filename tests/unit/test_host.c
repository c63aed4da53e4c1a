/* SPDX-License-Identifier: MIT
 *
 * test_host: threads that serve native frames, seen from the other end of their connections. Every wait here is a read
 * that the host must answer or a connection that it must close; a limit of time ends a test program that waits in vain.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "handler/host.h"
#include "handler/serve.h"
#include "wire/frame.h"

#include "native_client.h"

#define PROBE        "tests/unit/probe.so"
#define ECHO         "contrib/handlers/echo.so"
#define TIME_LIMIT_S 60

static struct module *open_module(const char *path, const char *options)
{
    char error[512];
    struct module *m = module_open(path, options, error, sizeof(error));
    if (m == NULL)
        fail_msg("%s", error);
    return m;
}

/* ---- hosts ------------------------------------------------------------------------------------------------------ */

struct fixture {
    struct module *module;
    struct host *host;
};

static struct fixture start(const char *path, const char *options, unsigned threads)
{
    struct fixture f = {.module = open_module(path, options)};
    f.host = host_start(f.module, threads, -1);
    assert_non_null(f.host);
    return f;
}

static void stop(struct fixture *f)
{
    host_stop(f->host);
    host_join(&f->host);
    module_close(&f->module);
}

/* -1: all threads hold a connection */
static int try_connect(struct fixture *f)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    if (host_take(f->host, ends[1]))
        return ends[0];
    close(ends[0]);
    close(ends[1]);
    return -1;
}

static int connect_host(struct fixture *f)
{
    int fd = try_connect(f);
    assert_int_not_equal(fd, -1);
    return fd;
}

static void a_short_answer_is_one_frame(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/whole", NULL);
    struct native_answer a = native_read_answer(fd, 1);
    assert_int_equal(a.frames, 1);
    assert_int_equal(a.status, 201);
    assert_int_equal(a.content_length, 5);
    assert_string_equal(buf_z(&a.body), "hello");
    native_answer_free(&a);
    close(fd);
    stop(&f);
}

static void a_connection_serves_one_call_after_another(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    for (uint64_t call = 1; call <= 100; call++) {
        native_request(fd, call, "/whole", NULL);
        native_assert_answer(fd, call, 201, "hello");
    }
    close(fd);
    stop(&f);
}

static void a_long_answer_is_head_body_and_end(void **state)
{
    struct fixture f = start(ECHO, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/", "size=1000000&piece=10000");
    struct native_answer a = native_read_answer(fd, 1);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.content_length, -1);
    assert_int_equal(a.body.len, 1000000);
    assert_true(a.frames > 3);
    native_answer_free(&a);
    close(fd);
    stop(&f);
}

static void a_failure_says_why(void **state)
{
    struct fixture f = start(ECHO, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/", "fail");
    native_assert_failed(fd, 1, "failed as it was told to");
    native_request(fd, 2, "/", "half");
    struct native_answer a = native_read_answer(fd, 2);
    assert_int_equal(a.status, 200);
    assert_true(a.failed);
    native_answer_free(&a);
    native_request(fd, 3, "/", "status=202&size=0");
    native_assert_answer(fd, 3, 202, "");
    close(fd);
    stop(&f);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    struct buf out = {0};
    native_put_request(&out, 1, "/body-length", NULL, STR("\1\2\3"));
    for (size_t i = 0; i < out.len; i++)
        native_send(fd, out.base + i, 1);
    native_assert_answer(fd, 1, 200, "3 6");
    buf_free(&out);
    close(fd);
    stop(&f);
}

static void a_large_body_arrives_whole(void **state)
{
    enum { BYTES = 3000000 };
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    struct buf out = {0};
    char *body = malloc(BYTES);
    memset(body, 2, BYTES);
    native_put_request(&out, 1, "/body-length", NULL, (struct str){body, BYTES});
    native_send_buf(fd, &out);
    native_assert_answer(fd, 1, 200, "3000000 6000000");
    native_request(fd, 2, "/body-length", NULL);
    native_assert_answer(fd, 2, 200, "0 0");
    free(body);
    close(fd);
    stop(&f);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------- */

static void a_cancel_reaches_the_running_call(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/wait-cancelled", NULL);
    native_cancel(fd, 1);
    native_assert_failed(fd, 1, "cancelled");
    native_request(fd, 2, "/whole", NULL);
    native_assert_answer(fd, 2, 201, "hello");
    close(fd);
    stop(&f);
}

static void a_cancel_sent_along_with_its_request_counts(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    struct buf out = {0};
    native_put_request(&out, 1, "/wait-cancelled", NULL, STR_NONE);
    frame_put_cancel(&out, 1);
    native_send_buf(fd, &out);
    native_assert_failed(fd, 1, "cancelled");
    close(fd);
    stop(&f);
}

static void a_late_cancel_is_skipped(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/whole", NULL);
    native_assert_answer(fd, 1, 201, "hello");
    native_cancel(fd, 1);
    native_request(fd, 2, "/look", NULL);
    native_assert_answer(fd, 2, 200, "0 0");
    native_cancel(fd, 1);
    native_cancel(fd, 2);
    native_request(fd, 3, "/whole", NULL);
    native_assert_answer(fd, 3, 201, "hello");
    close(fd);
    stop(&f);
}

static void a_closed_connection_cancels_and_frees_the_thread(void **state)
{
    struct fixture f = start(PROBE, "{\"meet\": 1}", 1);
    int fd = connect_host(&f), next;
    native_request(fd, 1, "/wait-cancelled", NULL);
    close(fd);
    /* the thread notices within its next look, and is then free for another connection */
    while ((next = try_connect(&f)) == -1)
        usleep(1000);
    native_request(next, 1, "/whole", NULL);
    native_assert_answer(next, 1, 201, "hello");
    close(next);
    stop(&f);
}

static void a_timeout_cancels(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    struct buf out = {0};
    const struct frame_request r = {.timeout_us = 2000,
                                    .method = STR("GET"),
                                    .path = STR("/wait-cancelled"),
                                    .scheme = STR("http"),
                                    .authority = STR("a")};
    frame_put_request(&out, 1, &r, 0);
    native_send_buf(fd, &out);
    native_assert_failed(fd, 1, "cancelled");
    close(fd);
    stop(&f);
}

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

static void a_handler_learns_of_the_websocket(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_message(fd, 1, "/websocket", NULL, STR("hello"));
    native_assert_answer(fd, 1, 200, "2 1 '00c1' 0");
    struct buf out = {0};
    const struct frame_request end = {.timeout_us = NATIVE_NO_TIME_LIMIT,
                                      .kind = FRAME_WS_CLOSE,
                                      .close_code = 1006,
                                      .connection = STR("00c1"),
                                      .method = STR("POST"),
                                      .path = STR("/websocket")};
    frame_put_request(&out, 2, &end, 0);
    native_send_buf(fd, &out);
    native_assert_answer(fd, 2, 200, "3 0 '00c1' 1006");
    native_request(fd, 3, "/websocket", NULL);
    native_assert_answer(fd, 3, 200, "0 0 '' 0");
    close(fd);
    stop(&f);
}

static void a_message_is_sent_while_its_handler_runs(void **state)
{
    static const char event[] = "TEXT 5\r\nhello\r\n";
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_message(fd, 1, "/send-and-wait", NULL, STR_NONE);
    struct buf got = {0};
    do {
        ssize_t n = recv(fd, buf_reserve(&got, 4096), 4096, 0);
        assert_true(n > 0);
        got.len += (size_t)n;
    } while (memmem(got.base, got.len, event, sizeof(event) - 1) == NULL);
    native_cancel(fd, 1);
    native_assert_failed(fd, 1, "cancelled");
    buf_free(&got);
    close(fd);
    stop(&f);
}

/* ---- garbage ---------------------------------------------------------------------------------------------------- */

/* the bytes cost their connection, and nothing else */
static void assert_costs_connection(struct buf *garbage)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f), next;
    native_send_buf(fd, garbage);
    native_assert_closed(fd);
    close(fd);
    while ((next = try_connect(&f)) == -1)
        usleep(1000);
    native_request(next, 1, "/whole", NULL);
    native_assert_answer(next, 1, 201, "hello");
    close(next);
    stop(&f);
}

static void bytes_that_are_no_frame_close_the_connection(void **state)
{
    struct buf b = {0};
    buf_append_z(&b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_costs_connection(&b);
}

static void a_frame_of_the_other_direction_closes_the_connection(void **state)
{
    struct buf b = {0};
    frame_put_end(&b, 1);
    assert_costs_connection(&b);
}

static void a_cancel_before_any_request_closes_the_connection(void **state)
{
    struct buf b = {0};
    frame_put_cancel(&b, 1);
    assert_costs_connection(&b);
}

static void a_malformed_head_closes_the_connection(void **state)
{
    struct buf b = {0};
    native_put_request(&b, 1, "/whole", NULL, STR_NONE);
    /* the method's length */
    memset(b.base + FRAME_HEAD_BYTES + 8, 0xff, 4);
    assert_costs_connection(&b);
}

static void a_body_over_the_limit_closes_the_connection(void **state)
{
    struct buf b = {0};
    const struct frame_request r = {.timeout_us = NATIVE_NO_TIME_LIMIT, .method = STR("GET"), .path = STR("/whole")};
    frame_put_request(&b, 1, &r, (uint64_t)SERVE_BODY_MAX + 1);
    assert_costs_connection(&b);
}

static void a_number_that_was_used_closes_the_connection(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 5, "/whole", NULL);
    native_assert_answer(fd, 5, 201, "hello");
    native_request(fd, 5, "/whole", NULL);
    native_assert_closed(fd);
    close(fd);
    stop(&f);
}

static void half_a_request_is_given_up_with_its_connection(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    struct buf b = {0};
    native_put_request(&b, 1, "/whole", NULL, STR("body"));
    native_send(fd, b.base, b.len - 1);
    shutdown(fd, SHUT_WR);
    native_assert_closed(fd);
    buf_free(&b);
    close(fd);
    stop(&f);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static void threads_run_calls_at_the_same_time(void **state)
{
    struct fixture f = start(PROBE, "{\"meet\": 4}", 4);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = connect_host(&f);
        native_request(fds[i], 1, "/meet", NULL);
    }
    for (int i = 0; i < 4; i++) {
        native_assert_answer(fds[i], 1, 200, "met");
        close(fds[i]);
    }
    stop(&f);
}

static void no_more_connections_are_taken_than_there_are_threads(void **state)
{
    struct fixture f = start(PROBE, NULL, 2);
    int a = connect_host(&f), b = connect_host(&f);
    native_request(a, 1, "/whole", NULL);
    native_assert_answer(a, 1, 201, "hello");
    assert_int_equal(try_connect(&f), -1);
    close(a);
    close(b);
    stop(&f);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void stopping_ends_threads_that_wait(void **state)
{
    struct fixture f = start(PROBE, NULL, 3);
    int idle = connect_host(&f), used = connect_host(&f);
    native_request(used, 1, "/whole", NULL);
    native_assert_answer(used, 1, 201, "hello");
    stop(&f);
    native_assert_closed(idle);
    native_assert_closed(used);
    close(idle);
    close(used);
}

static void *join(void *arg)
{
    host_join(arg);
    return NULL;
}

static void stopping_lets_a_running_call_finish(void **state)
{
    struct fixture f = start(PROBE, "{\"meet\": 2}", 2);
    pthread_t joiner;
    int a = connect_host(&f), b = connect_host(&f);
    native_request(a, 1, "/whole", NULL);
    native_request(b, 1, "/whole", NULL);
    native_assert_answer(a, 1, 201, "hello");
    native_assert_answer(b, 1, 201, "hello");
    /* either call ends only when both run; the stop finds them running, or their requests unread */
    native_request(a, 2, "/meet", NULL);
    native_request(b, 2, "/meet", NULL);
    host_stop(f.host);
    assert_int_equal(pthread_create(&joiner, NULL, join, &f.host), 0);
    native_assert_answer(a, 2, 200, "met");
    native_assert_answer(b, 2, 200, "met");
    pthread_join(joiner, NULL);
    native_assert_closed(a);
    module_close(&f.module);
    close(a);
    close(b);
}

/* The connection's end is then the host's own doing. */
static void stopping_does_not_cancel(void **state)
{
    struct fixture f = start(PROBE, NULL, 1);
    int fd = connect_host(&f);
    native_request(fd, 1, "/whole", NULL);
    native_assert_answer(fd, 1, 201, "hello");
    native_request(fd, 2, "/ask-on", NULL);
    stop(&f);
    native_assert_answer(fd, 2, 200, "not cancelled");
    close(fd);
}

/* ---- a listening socket ----------------------------------------------------------------------------------------- */

/* an abstract address that the kernel chooses */
static int listen_somewhere(struct sockaddr_un *address, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 16), 0);
    *len = sizeof(*address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, len), 0);
    return fd;
}

static void connections_are_accepted_by_threads_that_have_none(void **state)
{
    struct sockaddr_un address;
    socklen_t len;
    int listener = listen_somewhere(&address, &len), fds[6];
    struct module *m = open_module(PROBE, "{\"meet\": 3}");
    struct host *h = host_start(m, 3, listener);
    assert_non_null(h);
    for (int i = 0; i < 6; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, len), 0);
        native_request(fds[i], 1, "/meet", NULL);
    }
    /* three at a time: the others wait in the backlog until a thread is free */
    for (int i = 0; i < 6; i++) {
        native_assert_answer(fds[i], 1, 200, "met");
        close(fds[i]);
    }
    host_stop(h);
    host_join(&h);
    module_close(&m);
    close(listener);
}

static void a_socket_that_does_not_listen_stops_the_host(void **state)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct module *m = open_module(PROBE, NULL);
    struct host *h = host_start(m, 2, fd);
    assert_non_null(h);
    host_wait(h);
    host_join(&h);
    module_close(&m);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_answer_is_one_frame),
        cmocka_unit_test(a_connection_serves_one_call_after_another),
        cmocka_unit_test(a_long_answer_is_head_body_and_end),
        cmocka_unit_test(a_failure_says_why),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(a_large_body_arrives_whole),
        cmocka_unit_test(a_cancel_reaches_the_running_call),
        cmocka_unit_test(a_cancel_sent_along_with_its_request_counts),
        cmocka_unit_test(a_late_cancel_is_skipped),
        cmocka_unit_test(a_closed_connection_cancels_and_frees_the_thread),
        cmocka_unit_test(a_timeout_cancels),
        cmocka_unit_test(a_handler_learns_of_the_websocket),
        cmocka_unit_test(a_message_is_sent_while_its_handler_runs),
        cmocka_unit_test(bytes_that_are_no_frame_close_the_connection),
        cmocka_unit_test(a_frame_of_the_other_direction_closes_the_connection),
        cmocka_unit_test(a_cancel_before_any_request_closes_the_connection),
        cmocka_unit_test(a_malformed_head_closes_the_connection),
        cmocka_unit_test(a_body_over_the_limit_closes_the_connection),
        cmocka_unit_test(a_number_that_was_used_closes_the_connection),
        cmocka_unit_test(half_a_request_is_given_up_with_its_connection),
        cmocka_unit_test(threads_run_calls_at_the_same_time),
        cmocka_unit_test(no_more_connections_are_taken_than_there_are_threads),
        cmocka_unit_test(stopping_ends_threads_that_wait),
        cmocka_unit_test(stopping_lets_a_running_call_finish),
        cmocka_unit_test(stopping_does_not_cancel),
        cmocka_unit_test(connections_are_accepted_by_threads_that_have_none),
        cmocka_unit_test(a_socket_that_does_not_listen_stops_the_host),
    };
    alarm(TIME_LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
