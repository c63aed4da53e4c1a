/* SPDX-License-Identifier: MIT
 *
 * bulkhead-front: the process that serves clients. The supervisor starts it with a socketpair on descriptor 3, and
 * hands over the conf and the listening sockets there; it is never started by hand. The main thread sets everything up
 * and then speaks with the supervisor (link.c); clients are served by loop threads (thread.c). It never forks and ends
 * only by _exit.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "diag/writer.h"
#include "front/generation.h"
#include "front/guard.h"
#include "front/handover.h"
#include "front/library_log.h"
#include "front/link.h"
#include "front/setup.h"
#include "front/sockets.h"
#include "front/steady_clock.h"
#include "front/thread.h"
#include "wire/control.h"
#include "wire/heritage.h"

#define LOG_RING_BYTES    (256 * 1024)
#define ACCESS_RING_BYTES (1024 * 1024)
#define ERROR_BYTES       2048

/* what the supervisor hands over before it says WIRE_CONF_END */
struct start {
    struct handover *handover;
    int access_fd; /* -1: open it ourselves */
};

static void fail(uint32_t generation, const char *why) __attribute__((noreturn));
static void fail(uint32_t generation, const char *why)
{
    link_send(&(struct wire_control){.type = WIRE_FAILED, .generation = generation, .text = str_of(why)}, -1);
    _exit(1);
}

/* ---- the handover ----------------------------------------------------------------------------------------------- */

static void take_access_log(struct start *start, struct link_message *m)
{
    if (m->nfds != 1)
        return;
    fd_close(&start->access_fd);
    start->access_fd = m->fds[0];
    m->fds[0] = -1;
}

/* true: all of it is here */
static bool take(struct start *start, struct link_message *m)
{
    const char *error = NULL;
    enum handover_state state = HANDOVER_MORE;
    switch (m->control.type) {
    case WIRE_REOPEN:
        take_access_log(start, m);
        break;
    case WIRE_DRAIN: /* before it ever served: there is nothing to drain */
        link_send(&(struct wire_control){.type = WIRE_DRAINED}, -1);
        _exit(0);
    default:
        state = handover_take(&start->handover, m, &error);
        break;
    }
    if (state == HANDOVER_BAD)
        fail(m->control.generation, error);
    return state == HANDOVER_WHOLE;
}

static struct start receive_handover(void)
{
    static struct link_message message;
    struct start start = {.access_fd = -1};
    bool complete = false;
    while (!complete) {
        link_receive(&message);
        complete = take(&start, &message);
        link_discard_fds(&message);
    }
    return start;
}

/* ---- logs ------------------------------------------------------------------------------------------------------- */

/* Log lines come from any thread and are few: one ring for all of them, behind a lock that is held for a copy. */
static struct {
    pthread_mutex_t lock;
    struct writer_ring *ring;
} log_output = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_log_line(const char *line, size_t len)
{
    pthread_mutex_lock(&log_output.lock);
    writer_line(log_output.ring, line, len);
    pthread_mutex_unlock(&log_output.lock);
}

static struct writer *start_log_writer(uint32_t generation)
{
    struct writer *writer = writer_start(STDERR_FILENO, LOG_RING_BYTES);
    if (writer == NULL)
        fail(generation, strerror(errno));
    log_output.ring = writer_ring_create(writer);
    log_set_sink(on_log_line);
    if (!library_log_start())
        fail(generation, strerror(errno));
    return writer;
}

static struct writer *start_access_writer(const struct conf *conf, int fd)
{
    char error[ERROR_BYTES];
    if (!conf->log.access.enabled)
        return NULL;
    if (fd == -1 && strcmp(conf->log.access.path, "-") == 0)
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    else if (fd == -1)
        fd = open(conf->log.access.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    struct writer *writer = fd != -1 ? writer_start(fd, ACCESS_RING_BYTES) : NULL;
    if (writer == NULL) {
        snprintf(error, sizeof error, "log.access.path %s: %s", conf->log.access.path, strerror(errno));
        fail((uint32_t)conf->generation, error);
    }
    fd_close(&fd);
    return writer;
}

static struct writer_ring **create_rings(struct writer *writer, unsigned count)
{
    if (writer == NULL)
        return NULL;
    struct writer_ring **rings = mem_alloc(count * sizeof(struct writer_ring *));
    for (unsigned i = 0; i != count; ++i)
        rings[i] = writer_ring_create(writer);
    return rings;
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

/* It is the supervisor that decides when to end; the terminal's signals reach the whole process group. SIGXFSZ: a file that
 * may not grow any more costs the answer or the line that was to go there, as a full disk does. */
static void set_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGXFSZ};
    for (size_t i = 0; i != sizeof ignored / sizeof ignored[0]; ++i)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void check_interposition(void)
{
    if (!guard_in_effect())
        fail(0, "libh2o-evloop does not call our request parser: this binary must not serve clients");
    if (!steady_clock_in_effect())
        fail(0, "libh2o-evloop does not call our clock: this binary must not serve clients");
}

static void serve(void) __attribute__((noreturn));
static void serve(void)
{
    char error[ERROR_BYTES];
    check_interposition();
    steady_clock_start();
    struct start start = receive_handover();
    uint32_t number = handover_generation(start.handover);
    struct conf *conf = handover_conf(start.handover, error, sizeof error);
    if (conf == NULL)
        fail(number, error);
    log_init("front", conf->log.level, conf->log.format == CONF_LOG_JSON);
    const uint32_t *ids = handover_backends(start.handover, conf);
    if (ids == NULL)
        fail(number, "protocol: a backend without an id");
    unsigned loops = conf->threads;
    struct generation *generation = generation_create(conf, ids, NULL, loops, error, sizeof error);
    if (generation == NULL)
        fail(number, error);
    struct sockets *sockets = sockets_create(conf, handover_sockets(start.handover, conf), loops, error, sizeof error);
    struct setup *setup = sockets != NULL ? setup_create(conf, error, sizeof error) : NULL;
    if (setup == NULL)
        fail(number, error);
    sockets_set_options(sockets, conf);
    handover_free(&start.handover);
    struct link_logs logs = {.access = start_access_writer(conf, start.access_fd), .own = start_log_writer(number)};
    struct writer_ring **rings = create_rings(logs.access, loops);
    thread_start_all(setup, generation, sockets, loops, rings);
    sockets_free(&sockets);
    mem_free(&rings);
    link_send(&(struct wire_control){.type = WIRE_READY, .generation = number}, -1);
    link_run(setup, generation, &logs);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("bulkhead-front " PACKAGE_VERSION);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("bulkhead-front serves clients for bulkhead(8), which starts it. It takes no options but --help and "
             "--version.");
        return 0;
    }
    log_init("front", LOG_LEVEL_INFO, false);
    set_signals();
    if (argc != 1 || !link_init(HERITAGE_FRONT_CONTROL_FD)) {
        fprintf(stderr, "bulkhead-front: this program is started by bulkhead; see \"bulkhead --help\"\n");
        return 2;
    }
    serve();
}
