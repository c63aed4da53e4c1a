/* SPDX-License-Identifier: MIT
 *
 * test_crew_native: the crew with workers and thread hosts that speak native frames: good and bad answers, cancelling,
 * and what becomes of a thread that does not answer in time. And with a worker that speaks FastCGI.
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
#include "crew_rig.h"
#include "wire/frame.h"

static int setup_native(void **state)
{
    crew_rig_setup(state);
    struct fixture *f = *state;
    f->options.protocol = CREW_NATIVE;
    return 0;
}

static int setup_threads(void **state)
{
    setup_native(state);
    struct fixture *f = *state;
    f->options.run = CALL_CLASS_THREADS;
    return 0;
}

/* ---- the worker's side of the frames ---------------------------------------------------------------------------- */

static bool read_whole(int fd, char *to, size_t len)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = read(fd, to + have, len - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

struct received {
    struct frame frame;
    char head[FRAME_HEAD_MAX];
    char body[256];
    struct frame_request request;
    struct frame_field fields[FRAME_FIELDS_MAX];
};

static bool receive(int fd, struct received *r)
{
    char fixed[FRAME_HEAD_BYTES];
    if (!read_whole(fd, fixed, sizeof(fixed)) || frame_get(&r->frame, fixed, sizeof(fixed)) != 1)
        return false;
    if (!read_whole(fd, r->head, r->frame.head_len) || r->frame.body_len > sizeof(r->body) ||
        !read_whole(fd, r->body, r->frame.body_len))
        return false;
    return r->frame.type != FRAME_REQUEST || frame_get_request(&r->request, r->fields, r->head, r->frame.head_len);
}

static void send_all(int fd, struct buf *out)
{
    (void)!send(fd, out->base, out->len, MSG_NOSIGNAL);
    buf_clear(out);
}

static struct frame_response response_of(int status, int64_t content_length)
{
    static const struct frame_field field = {STR("x-a"), STR("b")};
    return (struct frame_response){.status = status, .fields = &field, .nfields = 1, .content_length = content_length};
}

static void answer_ok(int fd, uint64_t call)
{
    struct buf out = {0};
    struct frame_response ok = response_of(200, 2);
    frame_put_response(&out, call, &ok, 2, true);
    buf_append(&out, "ok", 2);
    send_all(fd, &out);
    buf_free(&out);
}

static void serve(struct backend *b)
{
    static struct received r;
    int fd = backend_accept(b);
    while (receive(fd, &r))
        if (r.frame.type == FRAME_REQUEST)
            answer_ok(fd, r.frame.call);
    close(fd);
}

static void run_well(struct fixture *f)
{
    struct probe p;
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    probe_set_body(&p, "body", 4);
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 200);
    assert_string_equal(buf_z(&p.head_text), "x-a: b\n");
    assert_string_equal(buf_z(&p.body), "ok");
    probe_free(&p);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void calls_share_a_connection(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, serve);
    for (int i = 0; i < 3; i++)
        run_well(f);
    assert_int_equal(atomic_load(&b->accepted), 1);
}

static void script_in_pieces(struct backend *b)
{
    static struct received r;
    struct buf out = {0};
    int fd = backend_accept(b);
    receive(fd, &r);
    bool good = str_eq(r.request.method, STR("POST")) && str_eq(r.request.path, STR("/x")) && r.request.nfields == 1 &&
                r.request.timeout_us > 4000000 && r.request.timeout_us <= 5000000 && memcmp(r.body, "body", 4) == 0;
    struct frame_response head = response_of(good ? 200 : 500, -1);
    frame_put_response(&out, r.frame.call, &head, 0, false);
    frame_put_body(&out, r.frame.call, 6);
    buf_append(&out, "hello ", 6);
    frame_put_body(&out, r.frame.call, 5);
    buf_append(&out, "world", 5);
    frame_put_end(&out, r.frame.call);
    for (size_t i = 0; i < out.len; i++)
        (void)!send(fd, out.base + i, 1, MSG_NOSIGNAL);
    buf_free(&out);
    close(fd);
}

static void answer_comes_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_in_pieces);
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    probe_set_body(&p, "body", 4);
    p.call.deadline_us = f->rig.loop.now_us + 5000000;
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 200);
    assert_string_equal(buf_z(&p.body), "hello world");
    probe_free(&p);
}

static void answer_status(int fd, uint64_t call, int status)
{
    struct buf out = {0};
    struct frame_response head = response_of(status, 0);
    frame_put_response(&out, call, &head, 0, true);
    send_all(fd, &out);
    buf_free(&out);
}

static void script_websocket(struct backend *b)
{
    static struct received r;
    int fd = backend_accept(b);
    receive(fd, &r);
    bool is_message = r.request.kind == FRAME_WS_MESSAGE && r.request.opcode == 2 && r.request.close_code == 0 &&
                      str_eq(r.request.connection, STR("00c1")) && memcmp(r.body, "body", 4) == 0;
    answer_status(fd, r.frame.call, is_message ? 200 : 500);
    receive(fd, &r);
    bool is_end = r.request.kind == FRAME_WS_CLOSE && r.request.opcode == 0 && r.request.close_code == 1006;
    answer_status(fd, r.frame.call, is_end ? 200 : 500);
    close(fd);
}

static void what_happens_on_a_websocket_reaches_the_worker(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_websocket);
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    probe_set_body(&p, "body", 4);
    p.call.request.kind = CALL_WS_MESSAGE;
    p.call.request.ws_opcode = 2;
    p.call.request.connection = STR("00c1");
    probe_run(&f->rig, &p);
    assert_int_equal(p.status, 200);
    probe_free(&p);
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    p.call.request.kind = CALL_WS_CLOSE;
    p.call.request.ws_code = 1006;
    p.call.request.connection = STR("00c1");
    probe_run(&f->rig, &p);
    assert_int_equal(p.status, 200);
    probe_free(&p);
}

/* what the bad worker sends, for call 1 */
static void put_bad(struct buf *out, const char *kind)
{
    struct frame_response r = response_of(200, 10), piecewise = response_of(200, -1);
    if (strcmp(kind, "fail") == 0) {
        frame_put_fail(out, 1, STR("no such\ntable"));
    } else if (strcmp(kind, "fail late") == 0) {
        frame_put_response(out, 1, &piecewise, 2, false);
        buf_append(out, "he", 2);
        frame_put_fail(out, 1, STR("gone"));
    } else if (strcmp(kind, "other call") == 0) {
        frame_put_response(out, 7, &r, 0, true);
    } else if (strcmp(kind, "short") == 0) {
        frame_put_response(out, 1, &r, 2, true);
        buf_append(out, "he", 2);
    } else if (strcmp(kind, "long") == 0) {
        frame_put_response(out, 1, &r, 11, true);
        buf_append(out, "hello world", 11);
    } else if (strcmp(kind, "headless") == 0) {
        frame_put_end(out, 1);
    } else if (strcmp(kind, "two heads") == 0) {
        frame_put_response(out, 1, &piecewise, 0, false);
        frame_put_response(out, 1, &piecewise, 0, false);
    } else if (strcmp(kind, "request") == 0) {
        frame_put_cancel(out, 1);
    } else {
        buf_append_z(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

static void script_bad(struct backend *b)
{
    static struct received r;
    struct buf out = {0};
    int fd = backend_accept(b);
    receive(fd, &r);
    put_bad(&out, b->arg);
    send_all(fd, &out);
    buf_free(&out);
    backend_drain(fd);
    close(fd);
    serve(b);
}

static void expect_bad(struct fixture *f, const char *kind, enum reason reason, const char *words)
{
    struct probe p;
    f->backends[0].arg = kind;
    crew_rig_man(f, script_bad);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_run(&f->rig, &p);
    probe_expect(&p, reason);
    assert_non_null(strstr(p.detail, words));
    probe_free(&p);
    run_well(f);
    assert_int_equal(f->kills, 0);
}

#define BAD(name, kind, reason, words)                                                                                 \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        expect_bad(*state, kind, reason, words);                                                                       \
    }
BAD(failure_has_the_handlers_words, "fail", REASON_HANDLER_FAILED, "no such table")
BAD(failure_may_come_late, "fail late", REASON_HANDLER_FAILED, "gone")
BAD(answer_to_another_call_is_garbage, "other call", REASON_UPSTREAM_GARBAGE, "another call")
BAD(short_body_is_garbage, "short", REASON_UPSTREAM_GARBAGE, "shorter")
BAD(long_body_is_garbage, "long", REASON_UPSTREAM_GARBAGE, "longer")
BAD(answer_without_head_is_garbage, "headless", REASON_UPSTREAM_GARBAGE, "without a head")
BAD(second_head_is_garbage, "two heads", REASON_UPSTREAM_GARBAGE, "second head")
BAD(frame_of_the_front_is_garbage, "request", REASON_UPSTREAM_GARBAGE, "workers do not send")
BAD(http_is_garbage, "http", REASON_UPSTREAM_GARBAGE, "not a native frame")

static void too_large_a_request_is_refused(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct call_field fields[FRAME_FIELDS_MAX + 1];
    crew_rig_man(f, serve);
    run_well(f);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    for (size_t i = 0; i < FRAME_FIELDS_MAX + 1; i++)
        fields[i] = p.fields[0];
    p.call.request.fields = fields;
    p.call.request.nfields = FRAME_FIELDS_MAX + 1;
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_HEAD_TOO_LARGE);
    probe_free(&p);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------- */

/* answers when it is cancelled, then serves on the same connection */
static void script_until_cancelled(struct backend *b)
{
    static struct received r;
    int fd = backend_accept(b);
    receive(fd, &r);
    uint64_t call = r.frame.call;
    if (receive(fd, &r) && r.frame.type == FRAME_CANCEL && r.frame.call == call)
        answer_ok(fd, call);
    while (receive(fd, &r))
        answer_ok(fd, r.frame.call);
    close(fd);
}

static void departure_is_told_to_the_handler(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_until_cancelled);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_CLIENT_LEFT);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.heads + p.ends, 0);
    probe_free(&p);
    run_well(f);
    assert_int_equal(atomic_load(&b->accepted), 1);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static void script_late(struct backend *b)
{
    static struct received r;
    int fd = backend_accept(b);
    receive(fd, &r);
    uint64_t call = r.frame.call;
    backend_wait_go(b);
    answer_ok(fd, call);
    backend_drain(fd);
    close(fd);
}

static void script_late_then_well(struct backend *b)
{
    script_late(b);
    serve(b);
}

static void keep_row(void *arg, const struct executor_row *row)
{
    *(struct executor_row *)arg = *row;
}

static bool some_wait;

static bool calls_wait(struct executor *ex, void *arg)
{
    (void)ex;
    (void)arg;
    return some_wait;
}

static void script_two_never(struct backend *b)
{
    static struct received r;
    int fds[2];
    for (int i = 0; i < 2; i++) {
        fds[i] = backend_accept(b);
        receive(fds[i], &r);
    }
    backend_wait_go(b);
    close(fds[0]);
    close(fds[1]);
}

static void stuck_thread_keeps_its_slot_until_it_answers(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct executor_row row;
    struct backend *b = crew_rig_man(f, script_late_then_well);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    rig_skip(&f->rig, 3600ll * 1000 * MS);
    rig_settle(&f->rig);
    f->ex->ops->visit(f->ex, keep_row, &row);
    assert_string_equal(row.state, "stuck");
    assert_string_equal(row.request, "GET /x");
    assert_int_equal(f->kills + p.dones, 0);
    assert_int_equal(f->slots, 1);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.heads + p.ends, 0);
    probe_free(&p);
    run_well(f); /* on a new connection: the old one has seen a time-out */
    assert_int_equal(atomic_load(&b->accepted), 2);
}

/* A host of two threads, slot 0, generation 1, that never answer. */
static struct backend *man_two(struct fixture *f, struct probe p[2])
{
    crew_rig_enlist(f);
    f->ex->calls_wait = calls_wait;
    backend_start(&f->backends[0], script_two_never);
    crew_grant(f->ex, 0, 1, getpid(), 2, f->backends[0].path);
    for (int i = 0; i < 2; i++) {
        probe_init(&p[i], &f->rig, f->ex, "GET", "/x");
        probe_start(&p[i]);
    }
    rig_settle(&f->rig);
    return &f->backends[0];
}

static void end_two(struct fixture *f, struct probe p[2])
{
    crew_lost(f->ex, 0, 1, "killed");
    backend_go(&f->backends[0]);
    for (int i = 0; i < 2; i++) {
        rig_until(&f->rig, &p[i].dones);
        probe_free(&p[i]);
    }
}

static void host_is_replaced_when_all_threads_are_stuck_and_a_call_comes_to_wait(void **state)
{
    struct fixture *f = *state;
    struct probe p[2];
    some_wait = false;
    man_two(f, p);
    probe_abandon(&p[0], EXECUTOR_DEADLINE);
    f->ex->ops->press(f->ex);
    assert_int_equal(f->kills, 0); /* the other thread is still at work */
    probe_abandon(&p[1], EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 0); /* nobody needs it */
    f->ex->ops->press(f->ex);
    f->ex->ops->press(f->ex);
    assert_int_equal(f->kills, 1);
    assert_int_equal(f->killed_generation, 1);
    end_two(f, p);
}

static void host_is_replaced_when_its_last_thread_gets_stuck_and_calls_wait(void **state)
{
    struct fixture *f = *state;
    struct probe p[2];
    some_wait = true;
    man_two(f, p);
    probe_abandon(&p[0], EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 0);
    probe_abandon(&p[1], EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 1);
    end_two(f, p);
}

static void late_first_byte_of_a_thread_ends_the_call_alone(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.first_byte_timeout_us = 20 * MS;
    struct backend *b = crew_rig_man(f, script_late);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_until(&f->rig, &p.ends);
    assert_int_equal(p.reason, REASON_DEADLINE);
    rig_settle(&f->rig);
    assert_int_equal(f->kills + p.dones, 0);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 1);
    probe_free(&p);
}

static void script_dies_late(struct backend *b)
{
    static struct received r;
    int fd = backend_accept(b);
    receive(fd, &r);
    backend_wait_go(b);
    close(fd);
}

static void stuck_thread_ends_with_its_host(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_dies_late);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    crew_lost(f->ex, 0, 1, "exited");
    assert_int_equal(f->slots, 0);
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 0);
    probe_free(&p);
}

/* in_front: connections come from a function */
struct local {
    int theirs;
    int refusals;
};

static int connect_local(void *arg)
{
    struct local *l = arg;
    int fds[2];
    if (l->refusals-- > 0)
        return -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    l->theirs = fds[1];
    return fds[0];
}

static void threads_in_front_are_tried_until_one_is_idle(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct local l = {.refusals = 2};
    crew_rig_enlist(f);
    crew_grant_local(f->ex, 2, connect_local, &l);
    assert_int_equal(f->slots, 2);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    while (l.refusals >= 0)
        rig_turn(&f->rig, 5);
    answer_ok(l.theirs, 1);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    probe_free(&p);
    close(l.theirs);
}

/* ---- FastCGI ---------------------------------------------------------------------------------------------------- */

static int setup_fastcgi(void **state)
{
    crew_rig_setup(state);
    struct fixture *f = *state;
    f->options.protocol = CREW_FASTCGI;
    f->options.root = "/srv/www";
    f->options.index = "index.php";
    return 0;
}

static void say_record(int fd, int type, const char *text)
{
    unsigned char head[8] = {1, (unsigned char)type, 0, 1, 0, (unsigned char)strlen(text), 0, 0};
    (void)!send(fd, head, 8, MSG_NOSIGNAL);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* reads records until the empty STDIN that ends a request */
static bool read_fastcgi_request(int fd)
{
    unsigned char head[8];
    char content[65536 + 256];
    for (;;) {
        if (!read_whole(fd, (char *)head, 8))
            return false;
        size_t len = (size_t)head[4] << 8 | head[5];
        if (!read_whole(fd, content, len + head[6]))
            return false;
        if (head[1] == 5 && len == 0)
            return true;
    }
}

static void script_fastcgi(struct backend *b)
{
    int fd = backend_accept(b);
    while (read_fastcgi_request(fd)) {
        unsigned char end[16] = {1, 3, 0, 1, 0, 8};
        say_record(fd, 6, "Content-Type: text/plain\r\n\r\n");
        say_record(fd, 7, "PHP Notice: something\n");
        say_record(fd, 6, "ok");
        say_record(fd, 6, "");
        (void)!send(fd, end, sizeof(end), MSG_NOSIGNAL);
    }
    close(fd);
}

static void fastcgi_calls_share_a_connection(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, script_fastcgi);
    for (int i = 0; i < 3; i++) {
        struct probe p;
        probe_init(&p, &f->rig, f->ex, "POST", "/x.php");
        probe_set_body(&p, "body", i == 0 ? 0 : 4);
        probe_run(&f->rig, &p);
        probe_expect(&p, REASON_NONE);
        assert_int_equal(p.status, 200);
        assert_string_equal(buf_z(&p.body), "ok");
        probe_free(&p);
    }
    assert_int_equal(atomic_load(&b->accepted), 1);
}

static void script_fastcgi_dies(struct backend *b)
{
    int fd = backend_accept(b);
    read_fastcgi_request(fd);
    say_record(fd, 6, "Content-Type: text/plain\r\n\r\n");
    say_record(fd, 6, "half");
    close(fd);
}

static void fastcgi_without_end_is_worker_lost(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_fastcgi_dies);
    probe_init(&p, &f->rig, f->ex, "GET", "/x.php");
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_WORKER_LOST);
    probe_free(&p);
}

#define N(name) cmocka_unit_test_setup_teardown(name, setup_native, crew_rig_teardown)
#define H(name) cmocka_unit_test_setup_teardown(name, setup_threads, crew_rig_teardown)
#define F(name) cmocka_unit_test_setup_teardown(name, setup_fastcgi, crew_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        N(calls_share_a_connection),
        N(answer_comes_byte_by_byte),
        N(what_happens_on_a_websocket_reaches_the_worker),
        N(failure_has_the_handlers_words),
        N(failure_may_come_late),
        N(answer_to_another_call_is_garbage),
        N(short_body_is_garbage),
        N(long_body_is_garbage),
        N(answer_without_head_is_garbage),
        N(second_head_is_garbage),
        N(frame_of_the_front_is_garbage),
        N(http_is_garbage),
        N(too_large_a_request_is_refused),
        N(departure_is_told_to_the_handler),
        H(stuck_thread_keeps_its_slot_until_it_answers),
        H(host_is_replaced_when_all_threads_are_stuck_and_a_call_comes_to_wait),
        H(host_is_replaced_when_its_last_thread_gets_stuck_and_calls_wait),
        H(late_first_byte_of_a_thread_ends_the_call_alone),
        H(stuck_thread_ends_with_its_host),
        H(threads_in_front_are_tried_until_one_is_idle),
        F(fastcgi_calls_share_a_connection),
        F(fastcgi_without_end_is_worker_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
