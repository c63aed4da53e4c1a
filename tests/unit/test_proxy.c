/* SPDX-License-Identifier: MIT
 *
 * test_proxy: which server a call goes to, what happens when servers refuse, break or stall, and that an abandoned call
 * ends at once.
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
#include "executor/proxy.h"
#include "rig.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define MS 1000

struct fixture {
    struct rig rig;
    struct proxy_options options;
    struct proxy_server servers[3];
    struct backend backends[3];
    size_t nbackends;
    struct executor *ex;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    f->options = (struct proxy_options){
        .backend = "legacy",
        .servers = f->servers,
        .loops = 1,
        .limit = 8,
        .connect_timeout_us = 2000 * MS,
        .first_byte_timeout_us = -1,
        .idle_timeout_us = 60000 * MS,
        .keep_alive_us = 60000 * MS,
        .response_head_max = 65536,
        .response_fields_max = 100,
        .response_interim_max = 10,
    };
    *state = f;
    return 0;
}

static struct backend *add_server(struct fixture *f, const char *text)
{
    struct backend *b = &f->backends[f->nbackends];
    f->servers[f->nbackends] = (struct proxy_server){text, (struct sockaddr *)&b->address, b->address_len};
    f->options.nservers = ++f->nbackends;
    return b;
}

static struct backend *add(struct fixture *f, backend_script script)
{
    backend_start(&f->backends[f->nbackends], script);
    return add_server(f, f->backends[f->nbackends].path);
}

static struct backend *add_tcp(struct fixture *f, backend_script script)
{
    backend_start_tcp(&f->backends[f->nbackends], script);
    return add_server(f, "127.0.0.1");
}

/* an address where nobody listens */
static struct backend *add_refusing(struct fixture *f)
{
    struct backend *b = &f->backends[f->nbackends];
    backend_start_tcp(b, NULL);
    close(b->listen_fd);
    b->listen_fd = -1;
    return add_server(f, "refusing");
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->ex->ops->free(f->ex);
    rig_settle(&f->rig);
    for (size_t i = 0; i < f->nbackends; i++)
        backend_stop(&f->backends[i]);
    rig_destroy(&f->rig);
    free(f);
    return 0;
}

static void run(struct fixture *f, struct probe *p, const char *method)
{
    if (f->ex == NULL)
        f->ex = proxy_create(&f->options);
    probe_init(p, &f->rig, f->ex, method, "/x");
    probe_run(&f->rig, p);
}

static void run_well(struct fixture *f, const char *method)
{
    struct probe p;
    run(f, &p, method);
    probe_expect(&p, REASON_NONE);
    assert_string_equal(buf_z(&p.body), "ok");
    probe_free(&p);
}

static void expect_failure(struct fixture *f, enum reason reason, const char *words)
{
    struct probe p;
    run(f, &p, "POST");
    probe_expect(&p, reason);
    assert_non_null(strstr(p.detail, words));
    probe_free(&p);
}

static void serve(struct backend *b)
{
    int fd = backend_accept(b);
    while (backend_read_request(b, fd))
        backend_say(fd, OK);
    close(fd);
}

/* answers one request when told, then serves on */
static void serve_when_told(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_wait_go(b);
    backend_say(fd, OK);
    while (backend_read_request(b, fd))
        backend_say(fd, OK);
    close(fd);
}

/* arg: what to say to the first request; then closes, and serves well on the next connection */
static void say_and_close(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    if (b->arg != NULL)
        backend_say(fd, b->arg);
    close(fd);
    serve(b);
}

static void swallow(struct backend *b)
{
    int fd = backend_accept(b);
    backend_drain(fd);
    close(fd);
}

static void row_of(struct fixture *f, size_t server, struct executor_row *row_r);

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void tcp_and_unix_connections_are_kept(void **state)
{
    struct fixture *f = *state;
    struct backend *tcp = add_tcp(f, serve), *un = add(f, serve);
    for (int i = 0; i < 6; i++)
        run_well(f, "POST");
    assert_int_equal(atomic_load(&tcp->accepted), 1);
    assert_int_equal(atomic_load(&un->accepted), 1);
}

static void least_busy_server_is_taken(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct executor_row row;
    add(f, serve_when_told);
    add(f, serve);
    f->ex = proxy_create(&f->options);
    probe_init(&p, &f->rig, f->ex, "GET", "/slow");
    probe_start(&p); /* the search begins at the first server */
    for (int i = 0; i < 4; i++)
        run_well(f, "GET");
    row_of(f, 0, &row);
    assert_int_equal(row.busy, 1);
    assert_int_equal(row.calls, 0);
    assert_string_equal(row.request, f->backends[0].path);
    row_of(f, 1, &row);
    assert_int_equal(row.busy, 0);
    assert_int_equal(row.calls, 4);
    backend_go(&f->backends[0]);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    probe_free(&p);
}

static void refusing_server_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct executor_row row;
    struct probe p;
    add_refusing(f);
    add(f, serve);
    run(f, &p, "POST"); /* nothing was sent: any method may go on to the next server */
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
    row_of(f, 0, &row);
    assert_string_equal(row.state, "down");
    for (int i = 0; i < 4; i++) {
        run(f, &p, "GET");
        probe_expect(&p, REASON_NONE);
        assert_int_equal(p.call.attempts, 1);
        probe_free(&p);
    }
}

static void refused_by_all_is_refused(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    add_refusing(f);
    add_refusing(f);
    expect_failure(f, REASON_UPSTREAM_REFUSED, "refused");
    run(f, &p, "GET"); /* servers that are down are tried all the same when there is no other */
    probe_expect(&p, REASON_UPSTREAM_REFUSED);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
}

static void server_that_came_back_is_used(void **state)
{
    struct fixture *f = *state;
    struct executor_row row;
    struct backend *b = add_refusing(f);
    expect_failure(f, REASON_UPSTREAM_REFUSED, "refused");
    b->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(b->listen_fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    assert_int_equal(bind(b->listen_fd, (struct sockaddr *)&b->address, b->address_len), 0);
    assert_int_equal(listen(b->listen_fd, 8), 0);
    backend_run(b, serve);
    run_well(f, "GET");
    row_of(f, 0, &row);
    assert_string_equal(row.state, "idle");
}

static void missing_socket_is_refused(void **state)
{
    struct fixture *f = *state;
    add(f, NULL);
    unlink(f->backends[0].path);
    expect_failure(f, REASON_UPSTREAM_REFUSED, "No such file");
}

static void idempotent_call_is_repeated_after_a_reset(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    add(f, say_and_close);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
}

static void other_call_is_reset(void **state)
{
    struct fixture *f = *state;
    add(f, say_and_close);
    expect_failure(f, REASON_UPSTREAM_RESET, "without an answer");
    run_well(f, "POST");
}

static void half_an_answer_is_a_reset(void **state)
{
    struct fixture *f = *state;
    f->backends[0].arg = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    add(f, say_and_close);
    expect_failure(f, REASON_UPSTREAM_RESET, "middle of the answer");
    run_well(f, "POST");
}

static void chunks_without_the_last_are_a_reset(void **state)
{
    struct fixture *f = *state;
    f->backends[0].arg = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    add(f, say_and_close);
    expect_failure(f, REASON_UPSTREAM_RESET, "middle of the answer");
    run_well(f, "POST");
}

static void garbage_is_garbage(void **state)
{
    struct fixture *f = *state;
    f->backends[0].arg = "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok";
    add(f, say_and_close);
    expect_failure(f, REASON_UPSTREAM_GARBAGE, "Content-Length");
    run_well(f, "POST");
}

static void silence_is_a_deadline(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.first_byte_timeout_us = 20 * MS;
    add(f, swallow);
    run(f, &p, "GET");
    probe_expect(&p, REASON_DEADLINE);
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
}

static void abandoned_call_closes_its_connection_and_ends(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    add(f, swallow);
    f->ex = proxy_create(&f->options);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_CLIENT_LEFT);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(p.dones, 0); /* not from inside abandon */
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 0);
    probe_free(&p);
    backend_stop(&f->backends[0]); /* the backend saw the end */
    f->nbackends = 0;
}

static void abandon_inside(struct fixture *f, enum probe_moment moment)
{
    struct probe p;
    add(f, serve);
    f->ex = proxy_create(&f->options);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    p.abandons_at = moment;
    p.abandons_why = EXECUTOR_CLIENT_LEFT;
    probe_run(&f->rig, &p);
    assert_int_equal(p.ends, moment == PROBE_AT_END);
    probe_free(&p);
}

static void abandon_inside_on_head(void **state)
{
    abandon_inside(*state, PROBE_AT_HEAD);
}

static void abandon_inside_on_body(void **state)
{
    abandon_inside(*state, PROBE_AT_BODY);
}

static void abandon_inside_on_end(void **state)
{
    abandon_inside(*state, PROBE_AT_END);
}

static void many_calls_at_once_leave_bounded_connections(void **state)
{
    struct fixture *f = *state;
    struct probe p[8];
    struct executor_row row;
    add(f, swallow);
    f->ex = proxy_create(&f->options);
    for (int i = 0; i < 8; i++) {
        probe_init(&p[i], &f->rig, f->ex, "GET", "/x");
        probe_start(&p[i]);
    }
    row_of(f, 0, &row);
    assert_int_equal(row.busy, 8);
    for (int i = 0; i < 8; i++)
        probe_abandon(&p[i], EXECUTOR_DEADLINE);
    for (int i = 0; i < 8; i++) {
        rig_until(&f->rig, &p[i].dones);
        probe_free(&p[i]);
    }
    row_of(f, 0, &row);
    assert_int_equal(row.busy, 0);
    /* what is left in the backlog is closed: the script sees the end of its one connection */
}

struct visited {
    size_t server;
    struct executor_row *row;
};

static void on_row(void *arg, const struct executor_row *row)
{
    struct visited *v = arg;
    if (row->slot == v->server)
        *v->row = *row;
}

static void row_of(struct fixture *f, size_t server, struct executor_row *row_r)
{
    struct visited v = {server, row_r};
    f->ex->ops->visit(f->ex, on_row, &v);
}

/* ---- berths ----------------------------------------------------------------------------------------------------- */

static unsigned server_of(struct fixture *f, const struct executor_berth *b)
{
    for (unsigned i = 0; i < f->nbackends; i++)
        if (b->address_len == f->backends[i].address_len &&
            memcmp(&b->address, &f->backends[i].address, b->address_len) == 0)
            return i;
    fail_msg("a berth nowhere");
    return 0;
}

static unsigned berth(struct fixture *f, struct executor_berth *b)
{
    assert_true(f->ex->ops->berth(f->ex, 2, b));
    assert_int_equal(b->worker_pid, 0);
    return server_of(f, b);
}

static void berths_spread_and_are_limited(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b[4], none;
    struct executor_row row;
    add(f, NULL);
    add_tcp(f, NULL);
    f->ex = proxy_create(&f->options);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(berth(f, &b[i]), i % 2);
    assert_false(f->ex->ops->berth(f->ex, 2, &none));
    row_of(f, 1, &row);
    assert_int_equal(row.berths, 2);
    f->ex->ops->unberth(&b[1]);
    assert_int_equal(berth(f, &b[1]), 1);
    for (int i = 0; i < 4; i++)
        f->ex->ops->unberth(&b[i]);
    row_of(f, 1, &row);
    assert_int_equal(row.berths, 0);
}

static void berth_is_rather_at_a_server_that_answers(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b[3];
    add_refusing(f);
    add(f, NULL);
    f->ex = proxy_create(&f->options);
    assert_int_equal(berth(f, &b[0]), 0);
    b[0].refused = true;
    f->ex->ops->unberth(&b[0]);
    assert_int_equal(berth(f, &b[0]), 1);
    assert_int_equal(berth(f, &b[1]), 1); /* although the other has none */
    assert_int_equal(berth(f, &b[2]), 0); /* for want of another */
    for (int i = 0; i < 3; i++)
        f->ex->ops->unberth(&b[i]);
}

static void berth_outlives_the_proxy(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b;
    add(f, NULL);
    f->ex = proxy_create(&f->options);
    berth(f, &b);
    f->ex->ops->free(f->ex);
    rig_settle(&f->rig);
    f->ex->ops->unberth(&b);
    f->ex = proxy_create(&f->options); /* one for the teardown */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(tcp_and_unix_connections_are_kept),
        T(least_busy_server_is_taken),
        T(refusing_server_is_passed_over),
        T(refused_by_all_is_refused),
        T(server_that_came_back_is_used),
        T(missing_socket_is_refused),
        T(idempotent_call_is_repeated_after_a_reset),
        T(other_call_is_reset),
        T(half_an_answer_is_a_reset),
        T(chunks_without_the_last_are_a_reset),
        T(garbage_is_garbage),
        T(silence_is_a_deadline),
        T(abandoned_call_closes_its_connection_and_ends),
        T(abandon_inside_on_head),
        T(abandon_inside_on_body),
        T(abandon_inside_on_end),
        T(many_calls_at_once_leave_bounded_connections),
        T(berths_spread_and_are_limited),
        T(berth_is_rather_at_a_server_that_answers),
        T(berth_outlives_the_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
