/* SPDX-License-Identifier: MIT
 *
 * cgi_process: see cgi_process.h. The child is made by vfork(2): the process has other threads, so that between fork
 * and exec only system calls are allowed anyway, and posix_spawn(3) cannot ask for PR_SET_PDEATHSIG, by which the
 * program dies with the process that serves it. Every wait looks at the call's deadline and at cancellation at least
 * every WAIT_STEP_MS. The thread that runs the call.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handler/cgi_process.h"

/* a cancelled call is noticed within this time */
#define WAIT_STEP_MS 50
/* between SIGTERM and SIGKILL */
#define GRACE_US 1000000

/* ---- start ------------------------------------------------------------------------------------------------------ */

/* Everything that the child needs, made before it exists. */
struct launch {
    const struct cgi_command *command;
    char *const arguments[2];
    int input, output;
    pid_t parent;
    int error; /* set by the child, which shares this memory until exec */
};

static bool move_descriptor(int from, int to)
{
    /* dup2(2) onto itself would leave close-on-exec set */
    return from == to ? fcntl(to, F_SETFD, 0) == 0 : dup2(from, to) != -1;
}

/* The handlers of this process must not run in the child, which has its memory: they go before any signal comes in. */
static void reset_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_program(struct launch *l)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == l->parent && move_descriptor(l->input, STDIN_FILENO) &&
        move_descriptor(l->output, STDOUT_FILENO) && chdir(l->command->directory) == 0) {
        reset_signals();
        execve(l->command->file, l->arguments, l->command->environment);
    }
    l->error = errno == 0 ? ECHILD : errno;
    _exit(127);
}

/* -1 with errno; returns when the child has become the program */
static pid_t launch(struct launch *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    l->error = 0;
    pid_t pid = vfork();
    if (pid == 0)
        become_program(l);
    int error = pid == -1 ? errno : l->error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid != -1 && error != 0) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    errno = error;
    return pid;
}

/* input_r: the child's end. Without a body there is nothing to feed. */
static bool open_input(struct cgi_process *p, int *input_r)
{
    int ends[2];
    if (p->unsent.len == 0) {
        *input_r = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return *input_r != -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    *input_r = ends[0];
    p->input = ends[1];
    return fd_set_nonblocking(p->input, true);
}

static bool open_output(struct cgi_process *p, int *output_r)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    p->output = ends[0];
    *output_r = ends[1];
    return fd_set_nonblocking(p->output, true);
}

static void close_all(struct cgi_process *p)
{
    fd_close(&p->input);
    fd_close(&p->output);
    fd_close(&p->handle);
}

bool cgi_process_start(struct cgi_process *p, const struct cgi_command *command, struct str body)
{
    struct launch l = {command, {(char *)command->file, NULL}, -1, -1, getpid(), 0};
    *p = (struct cgi_process){.pid = -1, .handle = -1, .input = -1, .output = -1, .unsent = body};
    if (open_input(p, &l.input) && open_output(p, &l.output))
        p->pid = launch(&l);
    fd_close(&l.input);
    fd_close(&l.output);
    if (p->pid != -1)
        p->handle = pidfd_open(p->pid, 0);
    if (p->handle != -1)
        return true;
    int error = errno;
    if (p->pid != -1) {
        kill(-p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    close_all(p);
    errno = error;
    return false;
}

/* ---- input and output ------------------------------------------------------------------------------------------- */

static bool is_transient(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* A program need not read its input. SIGPIPE is blocked in host threads and ignored in their processes. */
static void feed(struct cgi_process *p)
{
    ssize_t n = write(p->input, p->unsent.base, p->unsent.len);
    if (n > 0) {
        p->unsent.base += n;
        p->unsent.len -= (size_t)n;
    }
    if (p->unsent.len == 0 || (n < 0 && !is_transient(errno)))
        fd_close(&p->input);
}

static int step_ms(struct bulkhead_call *call)
{
    int64_t left_us = bulkhead_time_left_us(call);
    return left_us < WAIT_STEP_MS * 1000 ? (int)(left_us / 1000) + 1 : WAIT_STEP_MS;
}

ssize_t cgi_process_read(struct cgi_process *p, struct bulkhead_call *call, char *bytes, size_t room)
{
    while (!bulkhead_cancelled(call)) {
        if (p->input != -1)
            feed(p);
        ssize_t n = read(p->output, bytes, room);
        if (n >= 0 || !is_transient(errno))
            return n;
        struct pollfd fds[2] = {{.fd = p->output, .events = POLLIN}, {.fd = p->input, .events = POLLOUT}};
        poll(fds, 2, step_ms(call));
    }
    return -1;
}

/* ---- end -------------------------------------------------------------------------------------------------------- */

/* "has it ended?", after waiting for that for a while */
static bool await_end(struct cgi_process *p, int timeout_ms)
{
    struct pollfd end = {.fd = p->handle, .events = POLLIN};
    if (!p->ended)
        p->ended = poll(&end, 1, timeout_ms) == 1;
    return p->ended;
}

bool cgi_process_wait(struct cgi_process *p, struct bulkhead_call *call)
{
    fd_close(&p->input);
    while (!await_end(p, step_ms(call)))
        if (bulkhead_cancelled(call))
            return false;
    return true;
}

/* Before it is reaped its process group's number cannot be given to anybody else. */
static void kill_group(struct cgi_process *p)
{
    int64_t give_up = clock_us() + GRACE_US;
    kill(-p->pid, SIGTERM);
    while (clock_us() < give_up && !await_end(p, WAIT_STEP_MS))
        ;
    kill(-p->pid, SIGKILL);
}

int cgi_process_finish(struct cgi_process *p)
{
    int status = 0;
    assert(p->pid > 0);
    if (!await_end(p, 0))
        kill_group(p);
    while (waitpid(p->pid, &status, 0) == -1 && errno == EINTR)
        ;
    close_all(p);
    p->pid = -1;
    return status;
}
