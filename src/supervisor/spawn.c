/* SPDX-License-Identifier: MIT
 *
 * spawn: what happens between fork and exec: see spawn.h. Every function below child_main runs in the child, where no
 * other than async-signal-safe calls are allowed: no allocation, no stdio, no locale (strerrordesc_np is a plain
 * table).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/guardian.h"
#include "supervisor/identity.h"
#include "supervisor/spawn.h"
#include "wire/heritage.h"

#define FIRST_FD_NOT_PASSED (HERITAGE_WORKER_SOCKET_FD + 1)
/* where the kernel lacks close_range, the descriptors that may still be open without close-on-exec */
#define CLOSE_BY_HAND_MAX 4096

_Static_assert(HERITAGE_FRONT_CONTROL_FD == HERITAGE_WORKER_SOCKET_FD, "one number for what is passed on");

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static _Noreturn void die(const char *what, const char *name)
{
    int problem = errno;
    const char *words = strerrordesc_np(problem);
    say("bulkhead: cannot ");
    say(what);
    if (name != NULL) {
        say(" '");
        say(name);
        say("'");
    }
    say(": ");
    say(words == NULL ? "unknown error" : words);
    say("\n");
    _exit(problem == ENOENT ? SPAWN_EXIT_NOT_FOUND : SPAWN_EXIT_FAILED);
}

/* The numbers to be given may be taken by each other, so all move out of the way first; what is closed on exec need not
 * be closed here. */
static void place_fds(const struct spawn_fds *fds)
{
    int input = fcntl(fds->input, F_DUPFD_CLOEXEC, FIRST_FD_NOT_PASSED);
    int passed = fcntl(fds->passed, F_DUPFD_CLOEXEC, FIRST_FD_NOT_PASSED);
    if (fds->output != -1 && (dup2(fds->output, STDOUT_FILENO) == -1 || dup2(fds->output, STDERR_FILENO) == -1))
        _exit(SPAWN_EXIT_FAILED);
    if (input == -1 || passed == -1 || dup2(input, STDIN_FILENO) == -1 || dup2(passed, HERITAGE_WORKER_SOCKET_FD) == -1)
        die("pass descriptors on", NULL);
    if (close_range(FIRST_FD_NOT_PASSED, ~0U, 0) == 0)
        return;
    for (int fd = FIRST_FD_NOT_PASSED; fd < CLOSE_BY_HAND_MAX; fd++)
        close(fd);
}

static void limit_and_nice(const struct spawn_plan *plan)
{
    for (size_t i = 0; i < plan->nlimits; i++) {
        const struct rlimit limit = {plan->limits[i].value, plan->limits[i].value};
        if (setrlimit((__rlimit_resource_t)plan->limits[i].resource, &limit) == -1)
            die("set the resource limit", plan->limits[i].name);
    }
    if (plan->nice != 0 && setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + plan->nice) == -1)
        die("set the nice value", NULL);
    umask(plan->umask);
}

static void become(const struct identity *id)
{
    if (!id->set)
        return;
    if (setgroups(id->ngroups, id->groups) == -1 || setresgid(id->gid, id->gid, id->gid) == -1 ||
        setresuid(id->uid, id->uid, id->uid) == -1)
        die("become user", id->name);
}

/* The kernel forgets the parent-death signal when the user changes, hence after become(). */
static void die_with(pid_t parent, bool no_new_privileges)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || (no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1))
        die("set process attributes", NULL);
    if (getppid() != parent)
        _exit(SPAWN_EXIT_FAILED);
}

static void write_pid(char *at)
{
    char digits[3 * sizeof(pid_t)];
    size_t n = 0;
    for (unsigned long pid = (unsigned long)getpid(); n == 0 || pid != 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n > 0)
        *at++ = digits[--n];
    *at = '\0';
}

/* Handlers vanish at exec; ignored signals and the mask would not. */
static void reset_signals(void)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* false with errno when it does not fit */
static bool join_path(char *out, size_t size, const char *dir, size_t dir_len, const char *name)
{
    size_t name_len = strlen(name);
    if (dir_len + 1 + name_len + 1 > size) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(out, dir, dir_len);
    out[dir_len] = '/';
    memcpy(out + dir_len + 1, name, name_len + 1);
    return true;
}

/* As execvpe(3), but without its fallback to a shell. errno says what came of the best candidate. */
static void execute_along(const struct spawn_plan *plan)
{
    char path[PATH_MAX];
    int best = ENOENT;
    for (const char *dir = plan->search; dir != NULL;) {
        const char *end = strchrnul(dir, ':');
        size_t len = (size_t)(end - dir);
        if (join_path(path, sizeof(path), len == 0 ? "." : dir, len == 0 ? 1 : len, plan->argv[0]))
            execve(path, plan->argv, plan->environment);
        if (errno != ENOENT && errno != ENOTDIR)
            best = errno;
        dir = *end == '\0' ? NULL : end + 1;
    }
    errno = best;
}

static void execute(const struct spawn_plan *plan)
{
    if (plan->search != NULL && strchr(plan->argv[0], '/') == NULL)
        execute_along(plan);
    else
        execve(plan->argv[0], plan->argv, plan->environment);
}

static _Noreturn void child_main(const struct spawn_plan *plan, const struct spawn_fds *fds, pid_t parent)
{
    if (setpgid(0, 0) == -1)
        die("lead a process group", NULL);
    guardian_register(fds->register_at, getpid());
    place_fds(fds);
    limit_and_nice(plan);
    become(plan->identity);
    die_with(parent, plan->no_new_privileges);
    if (plan->directory != NULL && chdir(plan->directory) == -1)
        die("change to directory", plan->directory);
    if (plan->listen_pid != NULL)
        write_pid(plan->listen_pid);
    reset_signals();
    execute(plan);
    die("execute", plan->argv[0]);
}

pid_t spawn_start(const struct spawn_plan *plan, const struct spawn_fds *fds)
{
    sigset_t all, before;
    pid_t parent = getpid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* no handler of the event loop may run in the child */
    pid_t pid = fork();
    if (pid == 0)
        child_main(plan, fds, parent);
    int problem = errno;
    if (pid > 0)
        setpgid(pid, pid); /* whoever is first; a group to be killed must not be one that is not there yet */
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = problem;
    return pid;
}
