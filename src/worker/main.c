/* SPDX-License-Identifier: MIT
 *
 * main of bulkhead-worker: a handler module, or the CGI handler, behind the listening socket that the supervisor hands
 * over (wire/heritage.h): one thread makes it a worker, several make it a thread host. The module is opened before
 * anything is accepted, so that an accepted connection means a ready handler; what goes wrong until then is one line on
 * stderr and the exit status.
 *
 * SIGTERM and SIGINT: running calls are finished, then it ends with 0. A call that does not end is left to whoever sent
 * the signal: SIGKILL is the next rung. That this process dies with the supervisor is the supervisor's doing
 * (PR_SET_PDEATHSIG).
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "diag/log.h"
#include "handler/host.h"
#include "handler/module.h"
#include "wire/heritage.h"

#define THREADS_MAX 4096

enum { EXIT_USAGE = 2 };

struct arguments {
    const char *module, *cgi, *root, *options, *name;
    unsigned threads;
};

static const char usage[] =
    "usage: bulkhead-worker [--threads N] --module FILE [--options JSON] [--name BACKEND]\n"
    "       bulkhead-worker [--threads N] --cgi PROGRAM|DIRECTORY/ [--root DIRECTORY] [--name BACKEND]\n"
    "Serves a handler on the listening Unix socket that it inherits as descriptor 3; started by bulkhead(8).\n";

static struct host *running; /* what the signal handler stops: set before it is installed, alive until it is removed */

static int bad_usage(const char *problem)
{
    fprintf(stderr, "bulkhead-worker: %s; see bulkhead-worker --help\n", problem);
    return EXIT_USAGE;
}

static bool parse_threads(const char *text, unsigned *threads_r)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    *threads_r = (unsigned)n;
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && n >= 1 && n <= THREADS_MAX;
}

/* -1: go on; otherwise the exit status */
static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"module", required_argument, NULL, 'm'},
                                            {"cgi", required_argument, NULL, 'c'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"options", required_argument, NULL, 'o'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 't':
            if (!parse_threads(optarg, &a->threads))
                return bad_usage("--threads takes a number from 1 to 4096");
            break;
        case 'm':
            a->module = optarg;
            break;
        case 'c':
            a->cgi = optarg;
            break;
        case 'r':
            a->root = optarg;
            break;
        case 'o':
            a->options = optarg;
            break;
        case 'n':
            a->name = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts(PACKAGE_STRING);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    if (optind != argc)
        return bad_usage("takes no arguments besides options");
    if ((a->module == NULL) == (a->cgi == NULL))
        return bad_usage("takes exactly one of --module and --cgi");
    return -1;
}

static bool is_listening_socket(int fd)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening != 0;
}

static struct module *open_module(const struct arguments *a)
{
    char error[1024];
    struct module *m = a->module != NULL ? module_open(a->module, a->options, error, sizeof(error))
                                         : module_open_cgi(a->cgi, a->root, error, sizeof(error));
    if (m == NULL)
        fprintf(stderr, "bulkhead-worker: %s%s%s\n", a->name == NULL ? "" : a->name, a->name == NULL ? "" : ": ",
                error);
    return m;
}

static void on_stop_signal(int signal_number)
{
    (void)signal_number;
    host_stop(running);
}

static void set_stop_signals(void (*handler)(int))
{
    signal(SIGTERM, handler);
    signal(SIGINT, handler);
}

/* Until the host can be stopped, signals that are to stop it wait. */
static struct host *start(struct module *m, unsigned threads)
{
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, &before);
    running = host_start(m, threads, HERITAGE_WORKER_SOCKET_FD);
    if (running != NULL)
        set_stop_signals(on_stop_signal);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return running;
}

/* A second signal changes nothing: running calls keep their time. */
static int serve(struct module *m, unsigned threads)
{
    if (start(m, threads) == NULL) {
        fprintf(stderr, "bulkhead-worker: cannot start %u threads: %s\n", threads, strerror(errno));
        return EXIT_FAILURE;
    }
    host_wait(running);
    set_stop_signals(SIG_IGN);
    host_join(&running);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments a = {.threads = 1};
    int status = parse_arguments(argc, argv, &a);
    if (status != -1)
        return status;
    log_init("worker", LOG_LEVEL_INFO, false);
    if (!is_listening_socket(HERITAGE_WORKER_SOCKET_FD))
        return bad_usage("descriptor 3 is no listening socket: bulkhead(8) starts this program");
    fd_set_cloexec(HERITAGE_WORKER_SOCKET_FD, true);
    signal(SIGPIPE, SIG_IGN);
    /* children are reaped by the thread that started them, so SIGCHLD must not be ignored, whoever started this process
     */
    signal(SIGCHLD, SIG_DFL);
    struct module *m = open_module(&a);
    if (m == NULL)
        return EXIT_FAILURE;
    status = serve(m, a.threads);
    module_close(&m);
    return status;
}
