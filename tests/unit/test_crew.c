/* SPDX-License-Identifier: MIT
 *
 * test_crew: what a call's maker, the gate and the supervisor see of the crew, whatever its workers do: sink events,
 * reasons, slots, kills, and which connection is used again. HTTP workers; see test_crew_native for frames.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "crew_rig.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void run(struct fixture *f, struct probe *p, const char *method)
{
    probe_init(p, &f->rig, f->ex, method, "/x");
    probe_run(&f->rig, p);
}

/* runs a call that has to succeed */
static void run_well(struct fixture *f, const char *method)
{
    struct probe p;
    run(f, &p, method);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 200);
    assert_string_equal(buf_z(&p.body), "ok");
    probe_free(&p);
}

/* answers every request on one connection well */
static void serve_connection(struct backend *b)
{
    int fd = backend_accept(b);
    while (backend_read_request(b, fd))
        backend_say(fd, OK);
    close(fd);
}

static void serve_two_connections(struct backend *b)
{
    serve_connection(b);
    serve_connection(b);
}

/* ---- good answers ----------------------------------------------------------------------------------------------- */

static void calls_share_a_connection(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, serve_connection);
    for (int i = 0; i < 3; i++)
        run_well(f, "POST");
    assert_int_equal(atomic_load(&b->accepted), 1);
}

static void script_pieces(struct backend *b)
{
    static const char answer[] =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-A: b\r\nConnection: x-c\r\nX-C: d\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    for (const char *c = answer; *c != '\0'; c++)
        backend_say(fd, (char[]){*c, '\0'});
    backend_drain(fd);
    close(fd);
}

static void answer_comes_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_pieces);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 201);
    assert_int_equal(p.content_length, -1);
    assert_string_equal(buf_z(&p.head_text), "x-a: b\n");
    assert_string_equal(buf_z(&p.body), "hello world");
    probe_free(&p);
}

static void script_until_close(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.0 200 OK\r\n\r\nall of it");
    close(fd);
    serve_connection(b);
}

static void body_may_end_by_close(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_until_close);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_string_equal(buf_z(&p.body), "all of it");
    probe_free(&p);
    run_well(f, "GET");
}

static void script_head(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    backend_read_request(b, fd);
    backend_say(fd, OK);
    backend_drain(fd);
    close(fd);
}

static void head_has_no_body(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_head);
    run(f, &p, "HEAD");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.content_length, 1000);
    assert_int_equal(p.body.len, 0);
    probe_free(&p);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 1);
}

#define BIG (8u << 20)

static void script_big_body(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    const char *body = strstr(buf_z(&b->request), "\r\n\r\n") + 4;
    bool whole = b->request.len - (size_t)(body - b->request.base) == BIG && body[0] == 'a' && body[BIG - 1] == 'z';
    backend_say(fd, whole ? OK : "HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n");
    serve_connection(b);
    close(fd);
}

static void big_request_body_arrives_whole(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_big_body);
    char *body = mem_alloc(BIG);
    memset(body, 'm', BIG);
    body[0] = 'a';
    body[BIG - 1] = 'z';
    probe_init(&p, &f->rig, f->ex, "POST", "/big");
    probe_set_body(&p, body, BIG);
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 200);
    probe_free(&p);
    free(body);
    /* ends the script */
    crew_lost(f->ex, 0, 1, "test");
    rig_settle(&f->rig);
    crew_grant(f->ex, 0, 2, getpid(), 1, f->backends[0].path);
    run_well(f, "GET");
}

static void script_flood(struct backend *b)
{
    int fd = backend_accept(b);
    char *piece = mem_zalloc(65537);
    memset(piece, 'x', 65536);
    backend_read_request(b, fd);
    char head[100];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", 64u * 65536);
    backend_say(fd, head);
    for (int i = 0; i < 64; i++)
        backend_say(fd, piece);
    free(piece);
    backend_drain(fd);
    close(fd);
}

static void full_sink_stops_the_reading(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_flood);
    probe_init(&p, &f->rig, f->ex, "GET", "/flood");
    p.room = 100000;
    probe_start(&p);
    for (int i = 0; i < 50; i++)
        rig_turn(&f->rig, 2);
    assert_true(p.body.len > 100000 && p.body.len <= 100000 + 2 * 65536);
    size_t before = p.body.len;
    rig_settle(&f->rig);
    assert_int_equal(p.body.len, before);
    rig_skip(&f->rig, 3600ll * 1000 * MS); /* a slow client is not the worker's fault */
    rig_settle(&f->rig);
    assert_int_equal(p.ends, 0);
    p.room = SIZE_MAX;
    f->ex->ops->resume(f->ex, &p.call);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.body.len, 64 * 65536);
    probe_free(&p);
}

/* ---- early answers ---------------------------------------------------------------------------------------------- */

static void script_early(struct backend *b)
{
    int fd = backend_accept(b);
    backend_say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    serve_connection(b);
    close(fd); /* with most of the request unread */
}

static void early_answer_counts_and_costs_the_connection(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_early);
    char *body = mem_zalloc(BIG);
    probe_init(&p, &f->rig, f->ex, "POST", "/big");
    probe_set_body(&p, body, BIG);
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 413);
    probe_free(&p);
    free(body);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 2);
}

static void script_early_and_gone(struct backend *b)
{
    int fd = backend_accept(b);
    backend_say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    close(fd);
}

static void answer_of_a_peer_that_closed_while_we_wrote_counts(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_early_and_gone);
    char *body = mem_zalloc(BIG);
    probe_init(&p, &f->rig, f->ex, "POST", "/big");
    probe_set_body(&p, body, BIG);
    probe_run(&f->rig, &p);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.status, 413);
    probe_free(&p);
    free(body);
}

/* ---- bad answers ------------------------------------------------------------------------------------------------ */

/* arg: an answer; then good service on the next connection */
static void script_bad(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, b->arg);
    backend_drain(fd);
    close(fd);
    serve_connection(b);
}

static void expect_garbage(struct fixture *f, const char *answer, const char *words)
{
    struct probe p;
    f->backends[0].arg = answer;
    crew_rig_man(f, script_bad);
    run(f, &p, "GET");
    probe_expect(&p, REASON_UPSTREAM_GARBAGE);
    assert_non_null(strstr(p.detail, words));
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
    run_well(f, "GET"); /* the worker is kept, on a new connection */
    assert_int_equal(f->kills, 0);
    assert_int_equal(f->slots, 1);
}

static void garbage_costs_its_own_call(void **state)
{
    expect_garbage(*state, "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1");
}

static void two_framings_are_garbage(void **state)
{
    expect_garbage(*state, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   "both Content-Length");
}

static void capital_chunked_is_understood(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->backends[0].arg = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    crew_rig_man(f, script_bad);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_string_equal(buf_z(&p.body), "ok");
    probe_free(&p);
    crew_lost(f->ex, 0, 1, "test");
    rig_settle(&f->rig);
    crew_grant(f->ex, 0, 2, getpid(), 1, f->backends[0].path);
    run_well(f, "GET");
}

static void script_endless_head(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nX: ");
    char *piece = mem_zalloc(65537);
    memset(piece, 'x', 65536);
    for (size_t sent = 0; sent < 1u << 30; sent += 65536)
        if (send(fd, piece, 65536, MSG_NOSIGNAL) != 65536)
            break;
    free(piece);
    close(fd);
}

static void endless_head_is_cut_at_the_limit(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_endless_head);
    run(f, &p, "GET");
    probe_expect(&p, REASON_UPSTREAM_GARBAGE);
    assert_non_null(strstr(p.detail, "limit"));
    probe_free(&p);
}

static void script_more_than_asked(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, OK "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    backend_drain(fd);
    close(fd);
    serve_connection(b);
}

static void bytes_behind_the_answer_cost_the_connection(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, script_more_than_asked);
    run_well(f, "GET");
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 2);
}

static void script_half(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    close(fd);
    serve_connection(b);
}

static void half_an_answer_is_worker_lost_and_not_repeated(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_half);
    run(f, &p, "GET");
    probe_expect(&p, REASON_WORKER_LOST);
    assert_int_equal(p.heads, 1);
    assert_string_equal(buf_z(&p.body), "half");
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
    run_well(f, "GET");
}

/* ---- no answer -------------------------------------------------------------------------------------------------- */

static void script_close_unanswered(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    close(fd);
    serve_connection(b);
}

static void idempotent_call_is_repeated(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_close_unanswered);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
}

static void other_call_is_not_repeated(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_close_unanswered);
    run(f, &p, "POST");
    probe_expect(&p, REASON_WORKER_LOST);
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
    run_well(f, "POST");
}

static void script_close_both(struct backend *b)
{
    for (int i = 0; i < 2; i++) {
        int fd = backend_accept(b);
        backend_read_request(b, fd);
        close(fd);
    }
}

static void call_is_repeated_only_once(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_close_both);
    run(f, &p, "GET");
    probe_expect(&p, REASON_WORKER_LOST);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
}

static void repeated_on_another_worker_if_one_is_free(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_enlist(f);
    backend_start(&f->backends[0], serve_connection);
    backend_start(&f->backends[1], script_close_both);
    crew_grant(f->ex, 0, 1, getpid(), 1, f->backends[0].path);
    crew_grant(f->ex, 1, 1, getpid(), 1, f->backends[1].path); /* the most recent: taken first */
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
    /* end the second script */
    struct probe ends[2];
    probe_init(&ends[0], &f->rig, f->ex, "POST", "/a");
    probe_init(&ends[1], &f->rig, f->ex, "POST", "/b");
    probe_start(&ends[0]);
    probe_start(&ends[1]);
    rig_until(&f->rig, &ends[0].dones);
    rig_until(&f->rig, &ends[1].dones);
    assert_true((ends[0].reason == REASON_WORKER_LOST) + (ends[1].reason == REASON_WORKER_LOST) <= 1);
    probe_free(&ends[0]);
    probe_free(&ends[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* should the script still wait for a connection */
    (void)!connect(fd, (struct sockaddr *)&f->backends[1].address, f->backends[1].address_len);
    close(fd);
}

/* Dead, and not yet reaped: what is left of a worker until its parent has the time. */
static pid_t make_dead_process(void)
{
    siginfo_t ended;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) == -1)
        ;
    return pid;
}

static void nothing_is_sent_to_a_dead_worker_before_its_loss_is_known(void **state)
{
    struct fixture *f = *state;
    struct probe lost, next;
    pid_t pid = make_dead_process();
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script_close_unanswered);
    backend_start(&f->backends[1], serve_connection);
    crew_grant(f->ex, 0, 1, pid, 1, f->backends[0].path);
    run(f, &lost, "POST");
    probe_expect(&lost, REASON_WORKER_LOST);
    probe_init(&next, &f->rig, f->ex, "POST", "/next");
    probe_start(&next);
    for (int i = 0; i < 10; i++) {
        rig_skip(&f->rig, 100 * MS);
        rig_settle(&f->rig);
    }
    assert_int_equal(next.call.attempts, 0);
    crew_lost(f->ex, 0, 1, "killed");
    crew_grant(f->ex, 0, 2, getpid(), 1, f->backends[1].path);
    rig_until(&f->rig, &next.dones);
    probe_expect(&next, REASON_NONE);
    probe_free(&lost);
    probe_free(&next);
    waitpid(pid, NULL, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* the script still waits for its second connection */
    (void)!connect(fd, (struct sockaddr *)&f->backends[0].address, f->backends[0].address_len);
    close(fd);
}

static void refused_is_worker_lost_after_a_second_try(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_enlist(f);
    crew_grant(f->ex, 0, 1, getpid(), 1, "/nonexistent/worker.sock");
    run(f, &p, "POST"); /* nothing was sent, so this may be repeated, too */
    probe_expect(&p, REASON_WORKER_LOST);
    assert_non_null(strstr(p.detail, "No such file"));
    assert_int_equal(p.call.attempts, 2);
    probe_free(&p);
}

/* ---- connections between calls ---------------------------------------------------------------------------------- */

static void script_close_between(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, OK);
    close(fd);
    serve_connection(b);
}

static void connection_closed_between_calls_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_close_between);
    run_well(f, "GET");
    rig_settle(&f->rig);
    run(f, &p, "POST");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
}

static void post_does_not_trust_an_old_connection(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, serve_two_connections);
    run_well(f, "GET");
    rig_skip(&f->rig, 1500 * MS);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 1);
    rig_skip(&f->rig, 1500 * MS);
    run_well(f, "POST");
    assert_int_equal(atomic_load(&b->accepted), 2);
}

static void idle_connection_is_closed_in_time(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, serve_two_connections);
    run_well(f, "GET");
    rig_skip(&f->rig, 61000 * MS);
    rig_settle(&f->rig);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 2);
}

static void script_keep_alive_2s(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok");
    backend_drain(fd);
    close(fd);
    serve_connection(b);
}

static void peers_keep_alive_time_is_kept(void **state)
{
    struct fixture *f = *state;
    struct backend *b = crew_rig_man(f, script_keep_alive_2s);
    run_well(f, "GET");
    rig_skip(&f->rig, 1900 * MS);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 2);
}

/* ---- a full backlog --------------------------------------------------------------------------------------------- */

static int fill_backlog(struct backend *b, int *fds, int n)
{
    listen(b->listen_fd, 0);
    for (int i = 0; i < n; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
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
    struct probe p;
    int fds[8];
    struct backend *b = crew_rig_man(f, NULL);
    int n = fill_backlog(b, fds, 8);
    assert_true(n < 8);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    assert_int_equal(p.ends, 0);
    for (int i = 0; i < n; i++) {
        close(backend_accept(b));
        close(fds[i]);
    }
    backend_run(b, serve_connection);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.call.attempts, 1);
    probe_free(&p);
}

static void full_backlog_ends_by_the_connect_timeout(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    int fds[8];
    f->options.connect_timeout_us = 30 * MS;
    struct backend *b = crew_rig_man(f, NULL);
    int n = fill_backlog(b, fds, 8);
    run(f, &p, "GET");
    probe_expect(&p, REASON_DEADLINE);
    assert_non_null(strstr(p.detail, "backlog"));
    assert_int_equal(f->kills, 0);
    probe_free(&p);
    while (n > 0)
        close(fds[--n]);
}

/* ---- time is over, clients leave -------------------------------------------------------------------------------- */

static void script_silent(struct backend *b)
{
    int fd = backend_accept(b);
    backend_drain(fd);
    close(fd);
}

static void deadline_kills_the_worker_and_holds_the_slot(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_man(f, script_silent);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    f->watched = &p;
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 1);
    assert_int_equal(f->killed_slot, 0);
    assert_int_equal(f->killed_generation, 1);
    assert_string_equal(f->why, "deadline");
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    assert_int_equal(f->slots, 1);
    crew_lost(f->ex, 0, 1, "killed");
    assert_int_equal(f->slots, 0);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 0);
    assert_int_equal(f->dones_at_announcement, 0); /* the slot went before its call */
    probe_free(&p);
}

static void late_first_byte_is_a_deadline(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.first_byte_timeout_us = 20 * MS;
    crew_rig_man(f, script_silent);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_until(&f->rig, &p.ends);
    assert_int_equal(p.reason, REASON_DEADLINE);
    assert_int_equal(f->kills, 1);
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    probe_free(&p);
}

static void script_stalls(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    backend_drain(fd);
    close(fd);
}

static void stalled_answer_is_a_deadline(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.idle_timeout_us = 20 * MS;
    crew_rig_man(f, script_stalls);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_until(&f->rig, &p.ends);
    assert_int_equal(p.reason, REASON_DEADLINE);
    assert_int_equal(p.heads, 1);
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    probe_free(&p);
}

static void script_when_told(struct backend *b)
{
    int fd = backend_accept(b);
    while (backend_read_request(b, fd)) {
        backend_wait_go(b);
        backend_say(fd, OK);
    }
    close(fd);
}

static void work_of_a_departed_client_is_finished(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_CLIENT_LEFT);
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.heads + p.ends + (int)p.body.len, 0);
    assert_int_equal(f->kills, 0);
    probe_free(&p);
    backend_go(b);
    run_well(f, "GET");
    assert_int_equal(atomic_load(&b->accepted), 1);
}

static void script_reads_slowly(struct backend *b)
{
    int fd = backend_accept(b);
    backend_wait_go(b);
    backend_read_request(b, fd);
    backend_say(fd, OK);
    backend_drain(fd);
    close(fd);
}

/* under the address sanitizer this shows that the request is not touched once it was detached */
static void body_of_a_departed_client_is_sent_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_reads_slowly);
    char *body = mem_zalloc(BIG);
    probe_init(&p, &f->rig, f->ex, "POST", "/big");
    probe_set_body(&p, body, BIG);
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_CLIENT_LEFT);
    free(body);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 0);
    assert_true(b->request.len > BIG);
    probe_free(&p);
}

static void kill_on_abandon_kills(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.kill_on_abandon = true;
    crew_rig_man(f, script_silent);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_CLIENT_LEFT);
    assert_int_equal(f->kills, 1);
    assert_string_equal(f->why, "client left");
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, 0);
    probe_free(&p);
}

static void script_serve_abandoned(struct backend *b)
{
    int fd = backend_accept(b);
    backend_read_request(b, fd);
    backend_say(fd, OK);
    backend_drain(fd);
    close(fd);
}

static void abandon_inside(struct fixture *f, enum probe_moment moment, enum executor_why why)
{
    struct probe p;
    crew_rig_man(f, script_serve_abandoned);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    p.abandons_at = moment;
    p.abandons_why = why;
    p.room = 0;
    probe_start(&p);
    rig_until(&f->rig, moment == PROBE_AT_END ? &p.dones : &p.heads);
    if (why == EXECUTOR_DEADLINE && moment != PROBE_AT_END) {
        rig_until(&f->rig, &f->kills);
        crew_lost(f->ex, 0, 1, "killed");
    }
    rig_until(&f->rig, &p.dones);
    assert_int_equal(p.ends, moment == PROBE_AT_END);
    assert_int_equal(f->kills, why == EXECUTOR_DEADLINE && moment != PROBE_AT_END);
    probe_free(&p);
}

static void deadline_inside_on_head(void **state)
{
    abandon_inside(*state, PROBE_AT_HEAD, EXECUTOR_DEADLINE);
}

static void deadline_inside_on_body(void **state)
{
    abandon_inside(*state, PROBE_AT_BODY, EXECUTOR_DEADLINE);
}

static void departure_inside_on_body(void **state)
{
    abandon_inside(*state, PROBE_AT_BODY, EXECUTOR_CLIENT_LEFT);
}

static void deadline_inside_on_end_is_too_late(void **state)
{
    abandon_inside(*state, PROBE_AT_END, EXECUTOR_DEADLINE);
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

static void call_without_seat_waits_its_turn(void **state)
{
    struct fixture *f = *state;
    struct probe p[3];
    struct backend *b = crew_rig_man(f, script_when_told);
    for (int i = 0; i < 3; i++) {
        probe_init(&p[i], &f->rig, f->ex, "GET", "/x");
        probe_start(&p[i]);
    }
    rig_settle(&f->rig);
    probe_abandon(&p[1], EXECUTOR_CLIENT_LEFT); /* never begun, so it ends at once and is never executed */
    rig_until(&f->rig, &p[1].dones);
    assert_int_equal(p[1].ends, 0);
    assert_int_equal(p[0].dones + p[2].dones, 0);
    backend_go(b);
    rig_until(&f->rig, &p[0].dones);
    backend_go(b);
    rig_until(&f->rig, &p[2].dones);
    probe_expect(&p[2], REASON_NONE);
    assert_int_equal(p[1].call.attempts, 0);
    for (int i = 0; i < 3; i++)
        probe_free(&p[i]);
}

static void promised_seat_of_an_abandoned_call_goes_on(void **state)
{
    struct fixture *f = *state;
    struct probe p[3];
    crew_rig_man(f, serve_connection);
    for (int i = 0; i < 3; i++) {
        probe_init(&p[i], &f->rig, f->ex, "GET", "/x");
        probe_start(&p[i]);
    }
    rig_until(&f->rig, &p[0].dones);
    if (p[1].heads == 0)
        probe_abandon(&p[1], EXECUTOR_CLIENT_LEFT);
    rig_until(&f->rig, &p[1].dones);
    rig_until(&f->rig, &p[2].dones);
    probe_expect(&p[2], REASON_NONE);
    for (int i = 0; i < 3; i++)
        probe_free(&p[i]);
}

static void waiting_call_is_served_by_a_granted_worker(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_enlist(f);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    backend_start(&f->backends[0], serve_connection);
    crew_grant(f->ex, 0, 1, getpid(), 2, f->backends[0].path);
    assert_int_equal(f->slots, 2);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    probe_free(&p);
}

static void lost_worker_ends_its_calls_with_their_connections(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    f->watched = &p;
    probe_start(&p);
    rig_settle(&f->rig);
    crew_lost(f->ex, 0, 7, "another generation");
    assert_int_equal(f->slots, 1);
    crew_lost(f->ex, 0, 1, "recycled");
    assert_int_equal(f->slots, 0);
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0); /* it may finish its last call */
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    probe_free(&p);
}

static void call_on_a_process_that_is_gone_ends_in_time(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script_silent); /* keeps the connection, as a child of the dead would */
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    while (waitpid(pid, NULL, 0) == -1)
        ;
    crew_grant(f->ex, 0, 1, pid, 1, f->backends[0].path);
    probe_init(&p, &f->rig, f->ex, "POST", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    crew_lost(f->ex, 0, 1, "exited");
    rig_settle(&f->rig);
    assert_int_equal(p.dones, 0);
    rig_skip(&f->rig, 1100 * MS);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_WORKER_LOST);
    probe_free(&p);
}

static void script_answers_and_goes(struct backend *b)
{
    int fd = backend_accept(b);
    char *piece = mem_zalloc(40001);
    memset(piece, 'x', 40000);
    backend_read_request(b, fd);
    backend_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 120000\r\n\r\n");
    for (int i = 0; i < 3; i++)
        backend_say(fd, piece);
    free(piece);
    close(fd);
}

static void answer_of_a_process_that_is_gone_is_read_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script_answers_and_goes);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    while (waitpid(pid, NULL, 0) == -1)
        ;
    crew_grant(f->ex, 0, 1, pid, 1, f->backends[0].path);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    p.room = 0;
    probe_start(&p);
    rig_until(&f->rig, &p.heads);
    rig_settle(&f->rig);
    crew_lost(f->ex, 0, 1, "exited");
    for (int i = 0; i < 3; i++) {
        rig_skip(&f->rig, 1100 * MS);
        rig_settle(&f->rig);
    }
    assert_int_equal(p.ends, 0); /* the client is slow, the answer good */
    p.room = SIZE_MAX;
    f->ex->ops->resume(f->ex, &p.call);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    assert_int_equal(p.body.len, 120000);
    probe_free(&p);
}

static void count_row(void *arg, const struct executor_row *row)
{
    struct executor_row *last = arg;
    *last = *row;
}

static void status_names_the_running_call(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct executor_row row = {0};
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/report");
    probe_start(&p);
    rig_settle(&f->rig);
    f->ex->ops->visit(f->ex, count_row, &row);
    assert_string_equal(row.state, "busy");
    assert_string_equal(row.request, "GET /report");
    assert_int_equal(row.pid, getpid());
    assert_int_equal(row.busy, 1);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    f->ex->ops->visit(f->ex, count_row, &row);
    assert_string_equal(row.state, "idle");
    assert_int_equal(row.busy, 0);
    assert_int_equal(row.calls, 1);
    assert_string_equal(row.request, "");
    probe_free(&p);
}

/* concurrency 2: what is killed is not handed out any more, and leaves the count */
static void script_two_silent(struct backend *b)
{
    int one = backend_accept(b);
    backend_drain(one);
    close(one);
}

static void seats_of_a_condemned_worker_are_withdrawn(void **state)
{
    struct fixture *f = *state;
    struct probe p, q;
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script_two_silent);
    backend_start(&f->backends[1], serve_connection);
    crew_grant(f->ex, 0, 1, getpid(), 2, f->backends[0].path);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(f->slots, 1);
    probe_init(&q, &f->rig, f->ex, "GET", "/y");
    probe_start(&q);
    rig_settle(&f->rig);
    assert_int_equal(q.call.attempts, 0);
    crew_lost(f->ex, 0, 1, "killed");
    assert_int_equal(f->slots, 0);
    crew_grant(f->ex, 0, 2, getpid(), 2, f->backends[1].path);
    assert_int_equal(f->slots, 2);
    rig_until(&f->rig, &q.dones);
    probe_expect(&q, REASON_NONE);
    rig_until(&f->rig, &p.dones);
    probe_free(&p);
    probe_free(&q);
}

static void script_one_of_two(struct backend *b)
{
    int silent = backend_accept(b), good = backend_accept(b);
    backend_wait_go(b);
    backend_say(good, OK);
    backend_drain(good);
    close(good);
    close(silent);
}

static void seat_that_comes_free_on_a_condemned_worker_is_withdrawn(void **state)
{
    struct fixture *f = *state;
    struct probe p, q, r;
    crew_rig_enlist(f);
    backend_start(&f->backends[0], script_one_of_two);
    crew_grant(f->ex, 0, 1, getpid(), 2, f->backends[0].path);
    probe_init(&p, &f->rig, f->ex, "GET", "/silent");
    probe_start(&p);
    probe_init(&q, &f->rig, f->ex, "GET", "/good");
    probe_start(&q);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(f->slots, 2);
    f->watched = &q;
    backend_go(&f->backends[0]);
    rig_until(&f->rig, &q.dones);
    probe_expect(&q, REASON_NONE);
    assert_int_equal(f->slots, 1);
    assert_int_equal(f->dones_at_announcement, 0);
    probe_init(&r, &f->rig, f->ex, "GET", "/next");
    probe_start(&r);
    rig_settle(&f->rig);
    assert_int_equal(r.call.attempts, 0);
    probe_abandon(&r, EXECUTOR_CLIENT_LEFT);
    rig_until(&f->rig, &r.dones);
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    assert_int_equal(f->slots, 0);
    probe_free(&p);
    probe_free(&q);
    probe_free(&r);
}

/* ---- recall ----------------------------------------------------------------------------------------------------- */

static void an_idle_worker_is_given_back_at_once(void **state)
{
    struct fixture *f = *state;
    crew_rig_man(f, serve_connection);
    run_well(f, "GET");
    crew_recall(f->ex, 0, 2);
    assert_int_equal(f->returns, 0);
    crew_recall(f->ex, 0, 1);
    assert_int_equal(f->returns, 1);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->slots, 0);
    crew_recall(f->ex, 0, 1);
    crew_lost(f->ex, 0, 1, "stopped");
    assert_int_equal(f->returns, 1);
}

/* the teardown waits for the script, which ends with its connection */
static void a_busy_worker_is_given_back_when_its_call_has_ended_and_gets_no_other(void **state)
{
    struct fixture *f = *state;
    struct probe p, q;
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/p");
    probe_start(&p);
    probe_init(&q, &f->rig, f->ex, "GET", "/q");
    probe_start(&q);
    crew_recall(f->ex, 0, 1);
    assert_int_equal(f->slots, 0);
    assert_int_equal(f->returns, 0);
    backend_go(b);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    probe_expect(&p, REASON_NONE);
    rig_settle(&f->rig);
    assert_int_equal(f->returns, 1);
    assert_int_equal(q.call.attempts, 0);
    probe_abandon(&q, EXECUTOR_CLIENT_LEFT);
    rig_until(&f->rig, &q.dones);
    probe_free(&p);
    probe_free(&q);
}

static void a_recalled_worker_whose_call_takes_too_long_is_killed_not_given_back(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/p");
    probe_start(&p);
    rig_settle(&f->rig);
    crew_recall(f->ex, 0, 1);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 1);
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    assert_int_equal(f->returns, 0);
    backend_go(b);
    backend_go(b);
    probe_free(&p);
}

static void a_recalled_worker_has_no_berth(void **state)
{
    struct fixture *f = *state;
    struct executor_berth first, second;
    crew_rig_man(f, NULL);
    assert_true(f->ex->ops->berth(f->ex, 10, &first));
    crew_recall(f->ex, 0, 1);
    assert_int_equal(f->returns, 1);
    assert_false(f->ex->ops->berth(f->ex, 10, &second));
    f->ex->ops->unberth(&first);
}

static void a_worker_is_told_of_as_spent_once_and_goes_on(void **state)
{
    struct fixture *f = *state;
    f->options.max_calls = 3;
    crew_rig_man(f, serve_connection);
    for (int i = 1; i <= 5; i++) {
        run_well(f, "GET");
        assert_int_equal(f->spents, i >= 3);
    }
    assert_int_equal(f->calls, 3);
    assert_int_equal(f->slots, 1);
}

/* ---- two loops -------------------------------------------------------------------------------------------------- */

static void connection_goes_from_loop_to_loop(void **state)
{
    struct fixture *f = *state;
    struct rig second;
    struct probe p;
    rig_init(&second, 1);
    f->options.loops = 2;
    struct backend *b = crew_rig_man(f, serve_connection);
    for (int i = 0; i < 4; i++) {
        struct rig *r = i % 2 == 0 ? &f->rig : &second;
        probe_init(&p, r, f->ex, "POST", "/x");
        probe_run(r, &p);
        probe_expect(&p, REASON_NONE);
        probe_free(&p);
    }
    assert_int_equal(atomic_load(&b->accepted), 1);
    rig_destroy(&second);
}

static void parked_connection_that_was_closed_is_not_used(void **state)
{
    struct fixture *f = *state;
    struct probe p;
    f->options.loops = 2;
    struct backend *b = crew_rig_man(f, script_close_between);
    run_well(f, "POST");
    /* nobody watches a parked connection; wait until the backend waits for the next one */
    while (atomic_load(&b->accepted) < 1)
        rig_turn(&f->rig, 1);
    run(f, &p, "GET");
    probe_expect(&p, REASON_NONE);
    assert_int_equal(atomic_load(&b->accepted), 2);
    probe_free(&p);
}

static void seat_is_passed_to_a_call_of_another_loop(void **state)
{
    struct fixture *f = *state;
    struct rig second;
    struct probe p, q;
    rig_init(&second, 1);
    f->options.loops = 2;
    struct backend *b = crew_rig_man(f, script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/p");
    probe_init(&q, &second, f->ex, "GET", "/q");
    probe_start(&p);
    probe_start(&q);
    backend_go(b);
    rig_until(&f->rig, &p.dones);
    backend_go(b);
    rig_until(&second, &q.dones);
    probe_expect(&q, REASON_NONE);
    assert_int_equal(atomic_load(&b->accepted), 1);
    probe_free(&p);
    probe_free(&q);
    rig_destroy(&second);
}

/* ---- berths ----------------------------------------------------------------------------------------------------- */

static bool berth(struct fixture *f, unsigned limit, struct executor_berth *berth_r)
{
    return f->ex->ops->berth(f->ex, limit, berth_r);
}

static void unberth(struct fixture *f, struct executor_berth *b)
{
    f->ex->ops->unberth(b);
}

static void man_two(struct fixture *f, backend_script script)
{
    crew_rig_man(f, script);
    backend_start(&f->backends[1], script);
    crew_grant(f->ex, 1, 1, 4711, 1, f->backends[1].path);
}

static bool is_at(const struct executor_berth *b, const struct backend *backend)
{
    return strcmp(((const struct sockaddr_un *)&b->address)->sun_path, backend->path) == 0;
}

struct rows {
    struct executor_row at[4];
    size_t n;
};

static void on_any_row(void *arg, const struct executor_row *row)
{
    struct rows *rows = arg;
    assert_true(rows->n < 4);
    rows->at[rows->n++] = *row;
}

static struct rows rows_of(struct fixture *f)
{
    struct rows rows = {.n = 0};
    f->ex->ops->visit(f->ex, on_any_row, &rows);
    return rows;
}

static void berths_spread_and_are_limited(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b[5];
    man_two(f, NULL);
    for (int i = 0; i < 4; i++)
        assert_true(berth(f, 2, &b[i]));
    assert_true(is_at(&b[0], &f->backends[0]) && is_at(&b[1], &f->backends[1]));
    assert_true(is_at(&b[2], &f->backends[0]) && is_at(&b[3], &f->backends[1]));
    assert_int_equal(b[1].worker_pid, 4711);
    assert_false(berth(f, 2, &b[4]));
    assert_int_equal(rows_of(f).at[1].berths, 2);
    unberth(f, &b[1]);
    assert_true(berth(f, 2, &b[1]));
    assert_true(is_at(&b[1], &f->backends[1]));
    assert_int_equal(f->slots, 2); /* they take no slot */
    for (int i = 0; i < 4; i++)
        unberth(f, &b[i]);
    assert_int_equal(rows_of(f).at[1].berths, 0);
}

static void berth_is_rather_at_an_idle_worker(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b;
    struct probe p;
    man_two(f, NULL);
    backend_run(&f->backends[0], script_when_told);
    backend_run(&f->backends[1], script_when_told);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    size_t busy = rows_of(f).at[0].busy != 0 ? 0 : 1;
    assert_true(berth(f, 2, &b));
    assert_true(is_at(&b, &f->backends[1 - busy]));
    unberth(f, &b);
    backend_go(&f->backends[busy]);
    rig_until(&f->rig, &p.dones);
    probe_free(&p);
    /* the other one's script waits for a connection */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct backend *idle = &f->backends[1 - busy];
    assert_int_equal(connect(fd, (struct sockaddr *)&idle->address, idle->address_len), 0);
    close(fd);
}

static void berth_at_a_lost_worker_can_be_given_back(void **state)
{
    struct fixture *f = *state;
    struct executor_berth old, new, none;
    crew_rig_man(f, NULL);
    assert_true(berth(f, 1, &old));
    crew_lost(f->ex, 0, 1, "exited");
    rig_settle(&f->rig);
    assert_int_equal(f->slots, 0);
    assert_false(berth(f, 1, &none));
    assert_int_equal(rows_of(f).n, 0); /* the dead have no row */
    crew_grant(f->ex, 0, 2, getpid(), 1, f->backends[0].path);
    assert_true(berth(f, 1, &new)); /* its successor begins with none */
    unberth(f, &old);
    assert_false(berth(f, 1, &none));
    assert_int_equal(rows_of(f).at[0].berths, 1);
    unberth(f, &new);
}

static void berth_outlives_the_crew(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b;
    crew_rig_man(f, NULL);
    assert_true(berth(f, 1, &b));
    f->ex->ops->free(f->ex);
    rig_settle(&f->rig);
    unberth(f, &b);
    crew_rig_enlist(f); /* one for the teardown */
}

static void condemned_worker_has_no_berths(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b;
    struct probe p;
    crew_rig_man(f, script_silent);
    probe_init(&p, &f->rig, f->ex, "GET", "/x");
    probe_start(&p);
    rig_settle(&f->rig);
    probe_abandon(&p, EXECUTOR_DEADLINE);
    assert_int_equal(f->kills, 1);
    assert_false(berth(f, 1, &b));
    crew_lost(f->ex, 0, 1, "killed");
    rig_until(&f->rig, &p.dones);
    probe_free(&p);
}

static void only_workers_that_speak_http_have_berths(void **state)
{
    struct fixture *f = *state;
    struct executor_berth b;
    f->options.protocol = CREW_FASTCGI;
    crew_rig_man(f, NULL);
    assert_false(berth(f, 1, &b));
}

#define T(name) cmocka_unit_test_setup_teardown(name, crew_rig_setup, crew_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(calls_share_a_connection),
        T(answer_comes_byte_by_byte),
        T(body_may_end_by_close),
        T(head_has_no_body),
        T(big_request_body_arrives_whole),
        T(full_sink_stops_the_reading),
        T(early_answer_counts_and_costs_the_connection),
        T(answer_of_a_peer_that_closed_while_we_wrote_counts),
        T(garbage_costs_its_own_call),
        T(two_framings_are_garbage),
        T(capital_chunked_is_understood),
        T(endless_head_is_cut_at_the_limit),
        T(bytes_behind_the_answer_cost_the_connection),
        T(half_an_answer_is_worker_lost_and_not_repeated),
        T(idempotent_call_is_repeated),
        T(other_call_is_not_repeated),
        T(call_is_repeated_only_once),
        T(repeated_on_another_worker_if_one_is_free),
        T(nothing_is_sent_to_a_dead_worker_before_its_loss_is_known),
        T(refused_is_worker_lost_after_a_second_try),
        T(connection_closed_between_calls_is_noticed),
        T(post_does_not_trust_an_old_connection),
        T(idle_connection_is_closed_in_time),
        T(peers_keep_alive_time_is_kept),
        T(full_backlog_is_waited_for),
        T(full_backlog_ends_by_the_connect_timeout),
        T(deadline_kills_the_worker_and_holds_the_slot),
        T(late_first_byte_is_a_deadline),
        T(stalled_answer_is_a_deadline),
        T(work_of_a_departed_client_is_finished),
        T(body_of_a_departed_client_is_sent_to_its_end),
        T(kill_on_abandon_kills),
        T(deadline_inside_on_head),
        T(deadline_inside_on_body),
        T(departure_inside_on_body),
        T(deadline_inside_on_end_is_too_late),
        T(call_without_seat_waits_its_turn),
        T(promised_seat_of_an_abandoned_call_goes_on),
        T(waiting_call_is_served_by_a_granted_worker),
        T(lost_worker_ends_its_calls_with_their_connections),
        T(call_on_a_process_that_is_gone_ends_in_time),
        T(answer_of_a_process_that_is_gone_is_read_to_its_end),
        T(status_names_the_running_call),
        T(seats_of_a_condemned_worker_are_withdrawn),
        T(seat_that_comes_free_on_a_condemned_worker_is_withdrawn),
        T(an_idle_worker_is_given_back_at_once),
        T(a_busy_worker_is_given_back_when_its_call_has_ended_and_gets_no_other),
        T(a_recalled_worker_whose_call_takes_too_long_is_killed_not_given_back),
        T(a_recalled_worker_has_no_berth),
        T(a_worker_is_told_of_as_spent_once_and_goes_on),
        T(connection_goes_from_loop_to_loop),
        T(parked_connection_that_was_closed_is_not_used),
        T(seat_is_passed_to_a_call_of_another_loop),
        T(berths_spread_and_are_limited),
        T(berth_is_rather_at_an_idle_worker),
        T(berth_at_a_lost_worker_can_be_given_back),
        T(berth_outlives_the_crew),
        T(condemned_worker_has_no_berths),
        T(only_workers_that_speak_http_have_berths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
