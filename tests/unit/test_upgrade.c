/* SPDX-License-Identifier: MIT
 *
 * test_upgrade: what is asked of a backend, what it may answer, how each failure is told, and that nothing is told
 * before upgrade_start returns or after upgrade_cancel.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rig.h"
#include "upstream/upgrade.h"

#define MS       1000
#define SWITCH   "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPTED SWITCH "Connection: Upgrade\r\nUpgrade: WebSocket\r\n"

struct fixture {
    struct rig rig;
    struct backend backend;
    struct upgrade_options options;
    struct call_request request;
    struct call_field fields[2];
    struct upgrade *upgrade;
    /* what on_end was told */
    int ends;
    enum upgrade_outcome outcome;
    char detail[128], head[512], protocol[32];
    int status;
    struct buf body, behind;
    h2o_socket_t *sock;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    f->fields[0] = (struct call_field){STR("host"), STR("example.org")};
    f->fields[1] = (struct call_field){STR("sec-websocket-key"), STR("dGhlIHNhbXBsZSBub25jZQ==")};
    f->request = (struct call_request){.method = STR("GET"),
                                       .path = STR("/ws/%2e"),
                                       .query = STR("a=b"),
                                       .authority = STR("example.org"),
                                       .fields = f->fields,
                                       .nfields = 2};
    f->options = (struct upgrade_options){
        .limits = {.head_bytes = 4096, .fields = 20, .interim = 2, .chunk_overhead = 64},
        .connect_timeout_us = 2000 * MS,
        .answer_timeout_us = 5000 * MS,
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->sock != NULL)
        h2o_socket_close(f->sock);
    rig_settle(&f->rig);
    backend_stop(&f->backend);
    rig_destroy(&f->rig);
    buf_free(&f->body);
    buf_free(&f->behind);
    free(f);
    return 0;
}

static void note_head(struct fixture *f, const struct call_response *head)
{
    size_t at = 0;
    f->status = head->status;
    for (size_t i = 0; i < head->nfields; i++)
        at += (size_t)snprintf(f->head + at, sizeof(f->head) - at, "%.*s=%.*s|", STR_ARG(head->fields[i].name),
                               STR_ARG(head->fields[i].value));
}

static void on_end(void *arg, const struct upgrade_result *result)
{
    struct fixture *f = arg;
    assert_int_equal(f->ends, 0);
    assert_int_equal(result->outcome == UPGRADE_DONE, result->sock != NULL);
    assert_int_equal(result->detail == NULL, result->head != NULL);
    f->ends++;
    f->upgrade = NULL;
    f->outcome = result->outcome;
    snprintf(f->detail, sizeof(f->detail), "%s", result->detail != NULL ? result->detail : "");
    snprintf(f->protocol, sizeof(f->protocol), "%.*s", STR_ARG(result->protocol));
    if (result->head != NULL)
        note_head(f, result->head);
    buf_append_str(&f->body, result->body);
    f->sock = result->sock;
    if (f->sock != NULL)
        buf_append(&f->behind, f->sock->input->bytes, f->sock->input->size);
}

static void start_for(struct fixture *f, const char *protocol)
{
    f->options.address = (const struct sockaddr *)&f->backend.address;
    f->options.address_len = f->backend.address_len;
    f->rig.loop.now_us = clock_us() + f->rig.skew_us;
    f->upgrade = upgrade_start(&f->rig.loop, &f->options, &f->request, str_of(protocol), on_end, f);
    assert_int_equal(f->ends, 0);
}

static void start(struct fixture *f)
{
    start_for(f, "websocket");
}

static void expect(struct fixture *f, enum upgrade_outcome outcome, const char *words)
{
    rig_until(&f->rig, &f->ends);
    if (f->outcome != outcome || strstr(f->detail, words) == NULL)
        fail_msg("outcome %d: %s", f->outcome, f->detail);
}

/* arg: what it says to the request; then it waits for the other side to close */
static void say(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, b->arg);
    backend_drain(fd);
    close(fd);
}

/* the same, but it closes */
static void say_and_close(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, b->arg);
    close(fd);
}

/* closes with bytes unread, which is a reset */
static void reset(struct backend *b)
{
    int fd = backend_accept(b);
    char c;
    backend_say(fd, b->arg);
    backend_wait_go(b);
    assert_int_equal(read(fd, &c, 1), 1);
    close(fd);
}

static void run(struct fixture *f, backend_script script, const char *answer)
{
    f->backend.arg = answer;
    backend_start(&f->backend, script);
    start(f);
}

static void expect_garbage(void **state, const char *answer, const char *words)
{
    struct fixture *f = *state;
    run(f, say, answer);
    expect(f, UPGRADE_GARBAGE, words);
}

/* ---- done ------------------------------------------------------------------------------------------------------- */

static void request_asks_for_the_upgrade(void **state)
{
    struct fixture *f = *state;
    run(f, say, ACCEPTED "\r\n");
    expect(f, UPGRADE_DONE, "");
    assert_string_equal(buf_z(&f->backend.request), "GET /ws/%2e?a=b HTTP/1.1\r\n"
                                                    "host: example.org\r\n"
                                                    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                                    "connection: Upgrade\r\n"
                                                    "upgrade: websocket\r\n\r\n");
}

static void fields_of_the_101_are_told(void **state)
{
    struct fixture *f = *state;
    run(f, say,
        SWITCH "Upgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade, X-Hop\r\nX-Hop: 1\r\n\r\n");
    expect(f, UPGRADE_DONE, "");
    assert_int_equal(f->status, 101);
    assert_string_equal(f->head, "sec-websocket-accept=x|");
    assert_string_equal(f->protocol, "WebSocket");
    assert_int_equal(f->behind.len, 0);
}

static void bytes_behind_the_101_are_the_sockets_input(void **state)
{
    struct fixture *f = *state;
    run(f, say, ACCEPTED "\r\nHTTP/1.1 hello");
    expect(f, UPGRADE_DONE, "");
    assert_string_equal(buf_z(&f->behind), "HTTP/1.1 hello");
}

static int said_more;

static void on_more(h2o_socket_t *sock, const char *err)
{
    char bytes[8];
    (void)err;
    assert_int_equal(recv(h2o_socket_get_fd(sock), bytes, sizeof(bytes), MSG_DONTWAIT), 4);
    assert_memory_equal(bytes, "more", 4);
    h2o_socket_read_stop(sock);
    said_more = 1;
}

static void say_more_when_told(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, ACCEPTED "\r\n");
    backend_wait_go(b);
    backend_say(fd, "more");
    backend_drain(fd);
    close(fd);
}

static void socket_goes_on_with_its_new_owner(void **state)
{
    struct fixture *f = *state;
    backend_start_tcp(&f->backend, say_more_when_told);
    start(f);
    expect(f, UPGRADE_DONE, "");
    rig_skip(&f->rig, 3600ll * 1000 * MS); /* no deadline is left */
    rig_settle(&f->rig);
    backend_go(&f->backend);
    h2o_socket_read_start(f->sock, on_more);
    rig_until(&f->rig, &said_more);
}

static void interim_answers_are_skipped(void **state)
{
    struct fixture *f = *state;
    run(f, say, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" ACCEPTED "\r\n");
    expect(f, UPGRADE_DONE, "");
    assert_string_equal(f->head, "");
}

static void one_of_several_protocols_will_do(void **state)
{
    struct fixture *f = *state;
    f->backend.arg = SWITCH "Connection: upgrade\r\nUpgrade: b/2\r\n\r\n";
    backend_start(&f->backend, say);
    start_for(f, "a, B/2");
    expect(f, UPGRADE_DONE, "");
    assert_string_equal(f->protocol, "b/2");
}

/* ---- refused ---------------------------------------------------------------------------------------------------- */

static void refusal_is_told_whole(void **state)
{
    struct fixture *f = *state;
    run(f, say, "HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nX-Why: no\r\nContent-Length: 8\r\n\r\nnot here");
    expect(f, UPGRADE_REFUSED, "");
    assert_int_equal(f->status, 403);
    assert_string_equal(f->head, "content-type=text/plain|x-why=no|");
    assert_string_equal(buf_z(&f->body), "not here");
}

static void refusal_until_the_connections_end(void **state)
{
    struct fixture *f = *state;
    run(f, say_and_close, "HTTP/1.0 200 OK\r\n\r\nnot here");
    expect(f, UPGRADE_REFUSED, "");
    assert_int_equal(f->status, 200);
    assert_string_equal(buf_z(&f->body), "not here");
}

#define REFUSED_HEAD "HTTP/1.1 500 No\r\nA: b\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n"

static void refuse_with_a_body(struct fixture *f, size_t len)
{
    static char answer[sizeof(REFUSED_HEAD) + UPGRADE_BODY_MAX + 1];
    memset(answer, 'x', sizeof(answer));
    memcpy(answer, REFUSED_HEAD, sizeof(REFUSED_HEAD) - 1);
    answer[sizeof(REFUSED_HEAD) - 1 + len] = '\0';
    run(f, say_and_close, answer);
    expect(f, UPGRADE_REFUSED, "");
    assert_int_equal(f->status, 500);
}

static void largest_body_of_a_refusal_is_told(void **state)
{
    struct fixture *f = *state;
    refuse_with_a_body(f, UPGRADE_BODY_MAX);
    assert_int_equal(f->body.len, UPGRADE_BODY_MAX);
    assert_string_equal(f->head, "a=b|content-type=text/plain|content-encoding=gzip|");
}

static void larger_body_of_a_refusal_is_left_out(void **state)
{
    struct fixture *f = *state;
    refuse_with_a_body(f, UPGRADE_BODY_MAX + 1);
    assert_int_equal(f->body.len, 0);
    assert_string_equal(f->head, "a=b|");
}

/* answers without having read the request */
static void say_at_once(struct backend *b)
{
    int fd = backend_accept(b);
    backend_say(fd, b->arg);
    backend_wait_go(b);
    backend_drain(fd);
    close(fd);
}

static void ask_at_length(struct fixture *f, char **padding)
{
    size_t len = 4 * 1024 * 1024; /* no socket takes as much at once */
    *padding = mem_alloc(len);
    memset(*padding, 'x', len);
    f->fields[1] = (struct call_field){STR("x-padding"), {*padding, len}};
}

static void refusal_may_come_before_the_request_was_read(void **state)
{
    struct fixture *f = *state;
    char *padding;
    ask_at_length(f, &padding);
    run(f, say_at_once, "HTTP/1.1 431 No\r\nContent-Length: 0\r\n\r\n");
    expect(f, UPGRADE_REFUSED, "");
    assert_int_equal(f->status, 431);
    backend_go(&f->backend);
    free(padding);
}

static void upgrade_may_not_come_before_the_request_was_read(void **state)
{
    struct fixture *f = *state;
    char *padding;
    ask_at_length(f, &padding);
    run(f, say_at_once, ACCEPTED "\r\n");
    expect(f, UPGRADE_GARBAGE, "before it had read");
    backend_go(&f->backend);
    free(padding);
}

/* ---- garbage ---------------------------------------------------------------------------------------------------- */

static void other_than_http_is_garbage(void **state)
{
    expect_garbage(state, "SSH-2.0-OpenSSH_9.2\r\n", "does not begin with HTTP");
}

static void another_protocol_is_garbage(void **state)
{
    expect_garbage(state, SWITCH "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", "another protocol");
}

static void upgrade_without_connection_is_garbage(void **state)
{
    expect_garbage(state, SWITCH "Upgrade: websocket\r\n\r\n", "Connection");
}

static void too_many_interim_answers_are_garbage(void **state)
{
    expect_garbage(state, "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n", "response_interim");
}

/* ---- broken and late -------------------------------------------------------------------------------------------- */

static void connection_that_is_closed_is_a_reset(void **state)
{
    struct fixture *f = *state;
    run(f, say_and_close, "");
    expect(f, UPGRADE_RESET, "without an answer");
}

static void connection_that_is_closed_in_the_head_is_a_reset(void **state)
{
    struct fixture *f = *state;
    run(f, say_and_close, ACCEPTED);
    expect(f, UPGRADE_RESET, "middle");
}

static void connection_that_breaks_is_a_reset(void **state)
{
    struct fixture *f = *state;
    f->backend.arg = "HTTP/1.1 200 OK\r\n\r\nhalf";
    backend_start_tcp(&f->backend, reset);
    start(f);
    backend_go(&f->backend);
    expect(f, UPGRADE_RESET, "middle");
}

static void refusing_backend_is_no_connection(void **state)
{
    struct fixture *f = *state;
    backend_start_tcp(&f->backend, NULL);
    close(f->backend.listen_fd);
    f->backend.listen_fd = -1;
    start(f);
    expect(f, UPGRADE_NO_CONNECTION, "refused");
}

static void missing_socket_is_no_connection(void **state)
{
    struct fixture *f = *state;
    backend_start(&f->backend, NULL);
    unlink(f->backend.path);
    start(f);
    expect(f, UPGRADE_NO_CONNECTION, "No such file");
}

static int fill_backlog(struct backend *b, int *fds, int n)
{
    listen(b->listen_fd, 0);
    for (int i = 0; i < n; i++) {
        fds[i] = socket(b->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fds[i], (struct sockaddr *)&b->address, b->address_len) != 0) {
            close(fds[i]);
            return i;
        }
    }
    return n;
}

static void full_backlog_is_waited_for(void **state)
{
    struct fixture *f = *state;
    int fds[8];
    f->backend.arg = ACCEPTED "\r\n";
    backend_start(&f->backend, NULL);
    int n = fill_backlog(&f->backend, fds, 8);
    assert_true(n < 8);
    start(f);
    rig_settle(&f->rig);
    assert_int_equal(f->ends, 0);
    for (int i = 0; i < n; i++) {
        close(backend_accept(&f->backend));
        close(fds[i]);
    }
    backend_run(&f->backend, say);
    expect(f, UPGRADE_DONE, "");
}

static void full_backlog_is_waited_for_in_bounds(void **state)
{
    struct fixture *f = *state;
    int fds[8];
    backend_start(&f->backend, NULL);
    int n = fill_backlog(&f->backend, fds, 8);
    start(f);
    rig_skip(&f->rig, f->options.connect_timeout_us);
    expect(f, UPGRADE_NO_CONNECTION, "backlog");
    while (n > 0)
        close(fds[--n]);
}

static void half_an_answer_is_late(void **state)
{
    struct fixture *f = *state;
    run(f, say, "HTTP/1.1 403 No\r\nContent-Length: 8\r\n\r\nnot");
    rig_settle(&f->rig);
    rig_skip(&f->rig, f->options.answer_timeout_us - 1000 * MS);
    rig_settle(&f->rig);
    assert_int_equal(f->ends, 0);
    rig_skip(&f->rig, 1000 * MS);
    expect(f, UPGRADE_TIMEOUT, "timeout");
}

/* ---- cancelled -------------------------------------------------------------------------------------------------- */

static void expect_silence(struct fixture *f)
{
    upgrade_cancel(f->upgrade);
    rig_skip(&f->rig, 3600ll * 1000 * MS);
    rig_settle(&f->rig);
    assert_int_equal(f->ends, 0);
}

static void cancelled_before_it_failed(void **state)
{
    struct fixture *f = *state;
    backend_start(&f->backend, NULL);
    unlink(f->backend.path);
    start(f);
    expect_silence(f);
}

static void cancelled_while_it_waits_for_the_backlog(void **state)
{
    struct fixture *f = *state;
    int fds[8];
    backend_start(&f->backend, NULL);
    int n = fill_backlog(&f->backend, fds, 8);
    start(f);
    expect_silence(f);
    while (n > 0)
        close(fds[--n]);
}

static void cancelled_while_it_connects(void **state)
{
    struct fixture *f = *state;
    backend_start_tcp(&f->backend, NULL);
    start(f);
    expect_silence(f);
}

static void cancelled_in_the_middle_of_the_answer(void **state)
{
    struct fixture *f = *state;
    run(f, say, "HTTP/1.1 403 No\r\nA: b\r\nContent-Length: 8\r\n\r\nnot");
    rig_settle(&f->rig);
    expect_silence(f); /* and the backend sees the connection's end, or this test never ends */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(request_asks_for_the_upgrade),
        T(fields_of_the_101_are_told),
        T(bytes_behind_the_101_are_the_sockets_input),
        T(socket_goes_on_with_its_new_owner),
        T(interim_answers_are_skipped),
        T(one_of_several_protocols_will_do),
        T(refusal_is_told_whole),
        T(refusal_until_the_connections_end),
        T(largest_body_of_a_refusal_is_told),
        T(larger_body_of_a_refusal_is_left_out),
        T(refusal_may_come_before_the_request_was_read),
        T(upgrade_may_not_come_before_the_request_was_read),
        T(other_than_http_is_garbage),
        T(another_protocol_is_garbage),
        T(upgrade_without_connection_is_garbage),
        T(too_many_interim_answers_are_garbage),
        T(connection_that_is_closed_is_a_reset),
        T(connection_that_is_closed_in_the_head_is_a_reset),
        T(connection_that_breaks_is_a_reset),
        T(refusing_backend_is_no_connection),
        T(missing_socket_is_no_connection),
        T(full_backlog_is_waited_for),
        T(full_backlog_is_waited_for_in_bounds),
        T(half_an_answer_is_late),
        T(cancelled_before_it_failed),
        T(cancelled_while_it_waits_for_the_backlog),
        T(cancelled_while_it_connects),
        T(cancelled_in_the_middle_of_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
