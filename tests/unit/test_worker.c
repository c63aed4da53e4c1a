/* SPDX-License-Identifier: MIT
 *
 * test_worker: bulkhead-worker as the supervisor starts it: a process with a listening socket on descriptor 3. What is
 * claimed here cannot be seen from inside: exit statuses, messages, signals, a crash. Every wait is for something that
 * the worker must do; a limit of time ends a test program that waits in vain.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "wire/heritage.h"

#include "native_client.h"

#define WORKER       "./bulkhead-worker"
#define PROBE        "tests/unit/probe.so"
#define ECHO         "contrib/handlers/echo.so"
#define TIME_LIMIT_S 60

struct worker {
    pid_t pid;
    int listener, output; /* output: what it writes to stdout and stderr */
    struct sockaddr_un address;
    socklen_t address_len;
};

/* in the child */
static void become_worker(const struct worker *w, int output, const char *const *arguments)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (w->listener != -1)
        dup2(w->listener, HERITAGE_WORKER_SOCKET_FD);
    else
        close(HERITAGE_WORKER_SOCKET_FD);
    execv(WORKER, (char *const *)arguments);
    _exit(99);
}

static void run(struct worker *w, const char *const *arguments)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    w->pid = fork();
    if (w->pid == 0)
        become_worker(w, ends[1], arguments);
    assert_true(w->pid > 0);
    close(ends[1]);
    w->output = ends[0];
}

/* Descriptors below 10 are the child's business: dup2 onto itself would leave close-on-exec set. */
static void listen_somewhere(struct worker *w)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    w->listener = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
    w->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    w->address_len = sizeof(w->address);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&w->address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(w->listener, 16), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&w->address, &w->address_len), 0);
}

static int connect_worker(const struct worker *w)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, w->address_len), 0);
    return fd;
}

/* The wait status; text_r: what it wrote, owned by the caller. */
static int finish(struct worker *w, char **text_r)
{
    struct buf text = {0};
    ssize_t n;
    int status;
    while ((n = read(w->output, buf_reserve(&text, 4096), 4096)) > 0)
        text.len += (size_t)n;
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    close(w->output);
    if (w->listener != -1)
        close(w->listener);
    buf_z(&text);
    *text_r = text.base;
    return status;
}

/* ends by itself with this exit status, and says one line with these words in it */
static void assert_ends(bool with_socket, int exit_status, const char *words, const char *const *arguments)
{
    struct worker w = {.listener = -1};
    char *text;
    if (with_socket)
        listen_somewhere(&w);
    run(&w, arguments);
    int status = finish(&w, &text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), exit_status);
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, text);
    if (exit_status != 0)
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
}

#define ARGUMENTS(...) ((const char *const[]){"bulkhead-worker", __VA_ARGS__, NULL})

static void help_and_version_are_told(void **state)
{
    assert_ends(false, 0, "usage: bulkhead-worker", ARGUMENTS("--help"));
    assert_ends(false, 0, PACKAGE_STRING, ARGUMENTS("--version"));
}

static void wrong_usage_ends_with_2(void **state)
{
    assert_ends(true, 2, "exactly one of --module and --cgi", ARGUMENTS("--threads", "1"));
    assert_ends(true, 2, "exactly one of --module and --cgi", ARGUMENTS("--module", PROBE, "--cgi", "/bin/true"));
    assert_ends(true, 2, "--threads takes a number", ARGUMENTS("--module", PROBE, "--threads", "0"));
    assert_ends(true, 2, "--threads takes a number", ARGUMENTS("--module", PROBE, "--threads", "2x"));
    assert_ends(true, 2, "no arguments besides options", ARGUMENTS("--module", PROBE, "more"));
    assert_ends(false, 2, "descriptor 3 is no listening socket", ARGUMENTS("--module", PROBE));
}

static void a_module_that_does_not_open_ends_with_1(void **state)
{
    assert_ends(true, 1, "none.so", ARGUMENTS("--module", "./none.so", "--name", "shop"));
    assert_ends(true, 1, "shop: " PROBE ": options.int: 0 is out of range",
                ARGUMENTS("--module", PROBE, "--name", "shop", "--options", "{\"int\": 0}"));
    assert_ends(true, 1, "cgi: /none: No such file", ARGUMENTS("--cgi", "/none"));
}

static struct worker start(const char *const *arguments)
{
    struct worker w;
    listen_somewhere(&w);
    run(&w, arguments);
    return w;
}

/* 0: exited with 0; otherwise the signal that ended it */
static int stop(struct worker *w)
{
    char *text;
    int status = finish(w, &text);
    free(text);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return 0;
    }
    return WTERMSIG(status);
}

static void calls_are_served_on_the_inherited_socket(void **state)
{
    struct worker w = start(ARGUMENTS("--module", PROBE));
    int fd = connect_worker(&w);
    native_request(fd, 1, "/whole", NULL);
    native_assert_answer(fd, 1, 201, "hello");
    close(fd);
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void threads_serve_at_the_same_time(void **state)
{
    struct worker w = start(ARGUMENTS("--module", PROBE, "--threads", "3", "--options", "{\"meet\": 3}"));
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_worker(&w);
        native_request(fds[i], 1, "/meet", NULL);
    }
    for (int i = 0; i < 3; i++) {
        native_assert_answer(fds[i], 1, 200, "met");
        close(fds[i]);
    }
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void cgi_programs_are_served_too(void **state)
{
    struct worker w = start(ARGUMENTS("--cgi", CGI_DIRECTORY "/", "--root", "/srv"));
    int fd = connect_worker(&w);
    native_request(fd, 1, "/tools/nested/x", NULL);
    native_assert_answer(fd, 1, 200, "/tools/nested|/x");
    close(fd);
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void websocket_messages_are_served_by_modules(void **state)
{
    struct worker w = start(ARGUMENTS("--module", "contrib/handlers/progress.so", "--options", "{\"ms\": 0}"));
    int fd = connect_worker(&w);
    native_message(fd, 1, "/", NULL, STR("1"));
    native_assert_answer(fd, 1, 200,
                         "TEXT 11\r\n{\"done\":1,\"of\":1}\r\n"
                         "TEXT 1c\r\n{\"result\":\"finished\",\"ms\":0}\r\n");
    close(fd);
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void websocket_messages_are_served_by_cgi_programs(void **state)
{
    struct worker w = start(ARGUMENTS("--cgi", CGI_DIRECTORY "/copy"));
    int fd = connect_worker(&w);
    native_message(fd, 1, "/", NULL, STR("hello"));
    native_assert_answer(fd, 1, 200, "hello");
    close(fd);
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void the_manual_pages_example_works(void **state)
{
    struct worker w =
        start(ARGUMENTS("--module", "tests/unit/example.so", "--options", "{\"greeting\": \"good day\"}"));
    int fd = connect_worker(&w);
    native_request(fd, 1, "/", "name=reader");
    native_assert_answer(fd, 1, 200, "good day, reader\n");
    native_request(fd, 2, "/", NULL);
    native_assert_answer(fd, 2, 400, "name?\n");
    close(fd);
    kill(w.pid, SIGTERM);
    assert_int_equal(stop(&w), 0);
}

static void a_stop_lets_the_running_call_finish(void **state)
{
    struct worker w = start(ARGUMENTS("--module", PROBE, "--threads", "2", "--options", "{\"meet\": 2}"));
    int a = connect_worker(&w), b = connect_worker(&w);
    native_request(a, 1, "/whole", NULL);
    native_request(b, 1, "/whole", NULL);
    native_assert_answer(a, 1, 201, "hello");
    native_assert_answer(b, 1, 201, "hello");
    native_request(a, 2, "/meet", NULL);
    native_request(b, 2, "/meet", NULL);
    kill(w.pid, SIGTERM);
    kill(w.pid, SIGTERM);
    native_assert_answer(a, 2, 200, "met");
    native_assert_answer(b, 2, 200, "met");
    native_assert_closed(a);
    close(a);
    close(b);
    assert_int_equal(stop(&w), 0);
}

static void sigkill_ends_what_does_not_end(void **state)
{
    struct worker w = start(ARGUMENTS("--module", "contrib/handlers/sleep.so"));
    int fd = connect_worker(&w);
    native_request(fd, 1, "/", "ms=0");
    native_assert_answer(fd, 1, 200, "0\n");
    native_request(fd, 2, "/", "ms=3600000");
    kill(w.pid, SIGKILL);
    native_assert_closed(fd);
    close(fd);
    assert_int_equal(stop(&w), SIGKILL);
}

/* a sanitizer reports a fault and exits; either way it is the end of this process alone */
static void a_crash_closes_the_connection(void **state)
{
    static const char *const ways[] = {"crash=segv", "crash=abort", "crash=exit"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct worker w = start(ARGUMENTS("--module", ECHO));
        int fd = connect_worker(&w), status;
        char *text;
        native_request(fd, 1, "/", ways[i]);
        native_assert_closed(fd);
        close(fd);
        status = finish(&w, &text);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version_are_told),
        cmocka_unit_test(wrong_usage_ends_with_2),
        cmocka_unit_test(a_module_that_does_not_open_ends_with_1),
        cmocka_unit_test(calls_are_served_on_the_inherited_socket),
        cmocka_unit_test(threads_serve_at_the_same_time),
        cmocka_unit_test(cgi_programs_are_served_too),
        cmocka_unit_test(websocket_messages_are_served_by_modules),
        cmocka_unit_test(websocket_messages_are_served_by_cgi_programs),
        cmocka_unit_test(the_manual_pages_example_works),
        cmocka_unit_test(a_stop_lets_the_running_call_finish),
        cmocka_unit_test(sigkill_ends_what_does_not_end),
        cmocka_unit_test(a_crash_closes_the_connection),
    };
    alarm(TIME_LIMIT_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
