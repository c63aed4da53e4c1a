/* SPDX-License-Identifier: MIT
 *
 * bench_host: what a call to bulkhead-worker costs over the bare exchange of the same bytes between two processes: time
 * and CPU time per call, of both sides, and the ratio. One connection, one call at a time, alternating rounds, medians.
 * On one processor the figures are the work; across two they are mostly the wake-up of an idle one.
 *
 * usage: bench_host [WORKER [MODULE [CALLS]]]   (./bulkhead-worker tests/bench/empty.so 20000)
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "wire/frame.h"
#include "wire/heritage.h"

#define ROUNDS 9

struct subject {
    const char *name;
    pid_t pid;
    int fd;
};

struct figures {
    double wall_us, server_us, client_us; /* per call */
};

static size_t request_bytes, answer_bytes; /* of a native call; the bare exchange moves as many */

static void die(const char *what)
{
    fprintf(stderr, "bench_host: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the two servers -------------------------------------------------------------------------------------------- */

static void read_exactly(int fd, char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = recv(fd, bytes, len, 0);
        if (n <= 0)
            exit(n < 0);
        bytes += n;
        len -= (size_t)n;
    }
}

static void write_all(int fd, const char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
}

static struct subject start_bare(void)
{
    int ends[2];
    char bytes[4096] = {0};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        die("socketpair");
    pid_t pid = fork();
    if (pid != 0) {
        close(ends[1]);
        return (struct subject){"bare socketpair", pid, ends[0]};
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    for (;;) {
        read_exactly(ends[1], bytes, request_bytes);
        write_all(ends[1], bytes, answer_bytes);
    }
}

static int listen_somewhere(struct sockaddr_un *address, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof(*address);
    if (bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)address, len) != 0)
        die("listen");
    return fd;
}

static struct subject start_worker(const char *worker, const char *module)
{
    struct sockaddr_un address;
    socklen_t len;
    int listener = listen_somewhere(&address, &len), fd;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (listener == HERITAGE_WORKER_SOCKET_FD)
            fcntl(listener, F_SETFD, 0);
        else
            dup2(listener, HERITAGE_WORKER_SOCKET_FD);
        execl(worker, "bulkhead-worker", "--module", module, (char *)NULL);
        die(worker);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, len) != 0)
        die("connect");
    close(listener);
    return (struct subject){"bulkhead-worker", pid, fd};
}

/* ---- calls ------------------------------------------------------------------------------------------------------ */

/* a browser's request, as it reaches a backend */
static void put_request(struct buf *out, uint64_t call)
{
    const struct frame_field fields[] = {
        {STR("host"), STR("www.example.org")},
        {STR("user-agent"), STR("Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0")},
        {STR("accept"), STR("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")},
        {STR("accept-language"), STR("en-GB,en;q=0.5")},
        {STR("accept-encoding"), STR("gzip, deflate")},
        {STR("cookie"), STR("session=0123456789abcdef0123456789abcdef")},
        {STR("x-forwarded-for"), STR("192.0.2.1")},
        {STR("x-forwarded-proto"), STR("https")},
        {STR("x-request-id"), STR("0123456789abcdef")},
    };
    const struct frame_request r = {.timeout_us = 60000000,
                                    .method = STR("GET"),
                                    .path = STR("/a/path/of/usual/length"),
                                    .query = STR("size=0"),
                                    .scheme = STR("https"),
                                    .authority = STR("www.example.org"),
                                    .peer = STR("192.0.2.1"),
                                    .id = STR("0123456789abcdef"),
                                    .fields = fields,
                                    .nfields = sizeof(fields) / sizeof(fields[0])};
    buf_clear(out);
    frame_put_request(out, call, &r, 0);
}

/* an answer is one frame: its length */
static size_t read_answer(int fd)
{
    char bytes[4096];
    struct frame f;
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n < (ssize_t)FRAME_HEAD_BYTES || frame_get(&f, bytes, (size_t)n) != 1 || f.type != FRAME_HEAD ||
        (f.flags & FRAME_LAST) == 0)
        die("the worker's answer is not one frame");
    return (size_t)n;
}

static void call_native(int fd, struct buf *out)
{
    static uint64_t call;
    put_request(out, ++call);
    request_bytes = out->len;
    write_all(fd, out->base, out->len);
    answer_bytes = read_answer(fd);
}

/* with the work of encoding, so that the difference is the worker's */
static void call_bare(int fd, struct buf *out)
{
    char bytes[4096];
    put_request(out, 1);
    write_all(fd, out->base, out->len);
    read_exactly(fd, bytes, answer_bytes);
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        die("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct figures measure(const struct subject *s, void (*call)(int fd, struct buf *out), long calls)
{
    struct buf out = {0};
    clockid_t server;
    if (clock_getcpuclockid(s->pid, &server) != 0)
        die("clock_getcpuclockid");
    for (long i = 0; i < calls / 10; i++)
        call(s->fd, &out);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(server), own = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < calls; i++)
        call(s->fd, &out);
    struct figures f = {(seconds(CLOCK_MONOTONIC) - wall) * 1e6 / (double)calls,
                        (seconds(server) - cpu) * 1e6 / (double)calls,
                        (seconds(CLOCK_PROCESS_CPUTIME_ID) - own) * 1e6 / (double)calls};
    buf_free(&out);
    return f;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct figures *rounds, size_t offset)
{
    double values[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof(double));
    qsort(values, ROUNDS, sizeof(values[0]), compare);
    return values[ROUNDS / 2];
}

static struct figures medians(const struct figures *rounds)
{
    return (struct figures){median(rounds, offsetof(struct figures, wall_us)),
                            median(rounds, offsetof(struct figures, server_us)),
                            median(rounds, offsetof(struct figures, client_us))};
}

/* all threads of the process */
static void pin(pid_t pid, int cpu)
{
    char path[64];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        die(path);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;)
        if (task->d_name[0] != '.' && sched_setaffinity(atoi(task->d_name), sizeof(set), &set) != 0)
            die("sched_setaffinity");
    closedir(tasks);
}

static void print_figures(const char *name, const struct figures *f)
{
    printf("  %-16s %7.2f µs a call, CPU %6.2f µs (server %5.2f, client %5.2f)\n", name, f->wall_us,
           f->server_us + f->client_us, f->server_us, f->client_us);
}

static void compare_on(const struct subject *bare, const struct subject *worker, int server_cpu, long calls)
{
    struct figures bare_rounds[ROUNDS], worker_rounds[ROUNDS];
    pin(bare->pid, server_cpu);
    pin(worker->pid, server_cpu);
    for (int i = 0; i < ROUNDS; i++) {
        bare_rounds[i] = measure(bare, call_bare, calls);
        worker_rounds[i] = measure(worker, call_native, calls);
    }
    struct figures b = medians(bare_rounds), w = medians(worker_rounds);
    printf("%s:\n", server_cpu == 0 ? "on one processor" : "across two processors");
    print_figures(bare->name, &b);
    print_figures(worker->name, &w);
    printf("  ratio: time %.2f, CPU %.2f; the worker adds %.2f µs of CPU\n", w.wall_us / b.wall_us,
           (w.server_us + w.client_us) / (b.server_us + b.client_us),
           w.server_us + w.client_us - b.server_us - b.client_us);
}

int main(int argc, char **argv)
{
    const char *program = argc > 1 ? argv[1] : "./bulkhead-worker";
    const char *module = argc > 2 ? argv[2] : "tests/bench/empty.so";
    long calls = argc > 3 ? strtol(argv[3], NULL, 10) : 20000;
    struct buf out = {0};
    struct subject worker = start_worker(program, module);
    call_native(worker.fd, &out); /* tells the sizes, which the bare server needs */
    struct subject bare = start_bare();
    printf("%zu bytes there, %zu back, %d rounds of %ld calls\n", request_bytes, answer_bytes, ROUNDS, calls);
    pin(getpid(), 0);
    compare_on(&bare, &worker, 0, calls);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        compare_on(&bare, &worker, 1, calls);
    kill(bare.pid, SIGKILL);
    kill(worker.pid, SIGTERM);
    waitpid(bare.pid, NULL, 0);
    waitpid(worker.pid, NULL, 0);
    buf_free(&out);
    return 0;
}
