/* SPDX-License-Identifier: MIT
 *
 * stuck_worker: see stuck_worker.h. Of each thread: its state, the kernel function that it waits in (wchan) and its
 * system call, where /proc shows them: to root, and to the user of the worker.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/pool.h"
#include "supervisor/stuck_worker.h"

#define THREADS_MAX 8

/* what workers are usually found in; others show as their number */
static const struct {
    long number;
    const char *name;
} calls[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_openat, "openat"},
    {SYS_close, "close"},
    {SYS_connect, "connect"},
    {SYS_accept4, "accept4"},
    {SYS_accept, "accept"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_futex, "futex"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_flock, "flock"},
    {SYS_fcntl, "fcntl"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_pread64, "pread64"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
#ifdef SYS_poll
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause"},
    {SYS_open, "open"},
#endif
};

static const char *state_word(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "in uninterruptible sleep";
    case 'T':
        return "stopped";
    case 't':
        return "being traced";
    case 'Z':
        return "dead";
    default:
        return "in an unknown state";
    }
}

/* The file's beginning, NUL-terminated, without what follows a line's end; false: it cannot be read, or is empty. */
static bool read_proc(int task, const char *thread, const char *file, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "%.16s/%.16s", thread, file);
    int fd = openat(task, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? -1 : read(fd, out, size - 1);
    fd_close(&fd);
    if (n <= 0)
        return false;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

static void put_system_call(struct buf *out, const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || number < 0)
        return; /* "running" */
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].number == number) {
            buf_printf(out, ", system call %s", calls[i].name);
            return;
        }
    }
    buf_printf(out, ", system call %ld", number);
}

/* "; handler-0: sleeping in hrtimer_nanosleep, system call clock_nanosleep" */
static void put_thread(struct buf *out, int task, const char *thread)
{
    char stat[512], text[256];
    if (!read_proc(task, thread, "stat", stat, sizeof(stat)))
        return;
    char *name = strchr(stat, '('), *rest = strrchr(stat, ')');
    if (name == NULL || rest == NULL || rest[1] != ' ')
        return;
    *rest = '\0';
    buf_append_z(out, "; ");
    buf_append_printable(out, str_of(name + 1));
    buf_printf(out, ": %s", state_word(rest[2]));
    if (read_proc(task, thread, "wchan", text, sizeof(text)) && strcmp(text, "0") != 0) {
        buf_append_z(out, " in ");
        buf_append_printable(out, str_of(text));
    }
    if (read_proc(task, thread, "syscall", text, sizeof(text)))
        put_system_call(out, text);
}

static void put_threads(struct buf *out, pid_t pid)
{
    char path[64];
    unsigned seen = 0;
    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    DIR *task = opendir(path);
    if (task == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(task)) != NULL;) {
        if (isdigit((unsigned char)entry->d_name[0]) && seen++ < THREADS_MAX)
            put_thread(out, dirfd(task), entry->d_name);
    }
    closedir(task);
    if (seen > THREADS_MAX)
        buf_printf(out, "; and %u more threads", seen - THREADS_MAX);
}

static void put_cpu(struct buf *out, pid_t pid, int64_t before_us)
{
    clockid_t clock;
    struct timespec ts;
    if (before_us < 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return;
    int64_t now_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
    buf_printf(out, ", and has taken %.3f s of CPU time since", (double)(now_us - before_us) / 1e6);
}

void stuck_worker_report(const struct stuck_call *call)
{
    const struct slot *s = call->worker;
    struct buf text = {0};
    buf_append_printable(&text, call->request);
    buf_append_z(&text, call->id.len == 0 ? " (its client has left" : " (request ");
    buf_append_printable(&text, call->id);
    buf_printf(&text, ") has been running for %.3f s", call->age_s);
    put_cpu(&text, s->pid, call->cpu_us);
    put_threads(&text, s->pid);
    log_write(LOG_LEVEL_WARNING, "stuck", "%s[%u] pid %ld: %s", s->pool->conf->name, s->index, (long)s->pid,
              buf_z(&text));
    buf_free(&text);
}
