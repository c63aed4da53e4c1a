/* SPDX-License-Identifier: MIT
 *
 * front_child: the front's life: see front_child.h. The table at the end says what each event does in each state.
 *
 * A heartbeat is missed when it does not come for heartbeat_timeout. That time is watched in two halves, so that a
 * supervisor that has itself been held up (a suspended machine) reads the heartbeats that wait for it before it judges.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/bindings.h"
#include "supervisor/front_child.h"
#include "supervisor/guardian.h"
#include "supervisor/libexec.h"
#include "supervisor/nursery.h"

/* reading ten thousand routes and as many modules as anybody has */
#define FRONT_START_LIMIT_US 30000000
#define KILLED_WAIT_US       10000000

static const char *const state_names[FRONT_STATE_COUNT] = {
    [FRONT_OFF] = "off",           [FRONT_STARTING] = "starting", [FRONT_SERVING] = "serving",
    [FRONT_DRAINING] = "draining", [FRONT_KILLED] = "killed",     [FRONT_BACKOFF] = "backoff",
};

const char *front_child_state_name(enum front_state state)
{
    assert((unsigned)state < FRONT_STATE_COUNT);
    return state_names[state];
}

static void set_timer(struct front_child *fc, int64_t after_us)
{
    struct ev_loop *loop = fc->nursery->loop;
    ev_timer_stop(loop, &fc->timer);
    if (after_us < 0)
        return;
    ev_now_update(loop);
    ev_timer_set(&fc->timer, (double)after_us / 1e6, 0.);
    ev_timer_start(loop, &fc->timer);
}

static void enter(struct front_child *fc, enum front_state state)
{
    fc->state = state;
    if (state == FRONT_SERVING)
        fc->listener->on_serving(fc->arg);
    else if (state == FRONT_OFF && fc->last)
        fc->listener->on_off(fc->arg);
}

static void handle(struct front_child *fc, enum front_event event);

/* ---- the process ------------------------------------------------------------------------------------------------ */

static void log_end(struct front_child *fc, int status)
{
    char how[128];
    bool expected = fc->last && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "killed by signal %d (%s)", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)) == NULL ? "unknown" : sigdescr_np(WTERMSIG(status)));
    else
        snprintf(how, sizeof(how), "exited with status %d", WEXITSTATUS(status));
    log_write(expected ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "supervisor", "front pid %ld has ended after %.3f s: %s%s%s",
              (long)fc->pid, (double)(clock_us() - fc->spawned_us) / 1e6, how, fc->why[0] == '\0' ? "" : "; ", fc->why);
    if (fc->why[0] == '\0')
        snprintf(fc->why, sizeof(fc->why), "the front %s", how);
}

static void on_exit_of_process(struct ev_loop *loop, ev_child *w, int events)
{
    struct front_child *fc = w->data;
    ev_child_stop(loop, w);
    kill(-fc->pid, SIGKILL);
    guardian_remove(fc->nursery->guardian, fc->pid);
    channel_close(&fc->channel);
    log_end(fc, w->rstatus);
    fc->pid = 0;
    handle(fc, FRONT_EXITED);
}

static bool spawn(struct front_child *fc)
{
    const struct nursery *n = fc->nursery;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
        return false;
    struct spawn_fds fds = {
        .input = n->null, .output = -1, .passed = pair[1], .register_at = guardian_socket(n->guardian)};
    pid_t pid = spawn_start(&fc->plan, &fds);
    fd_close(&pair[1]);
    if (pid == -1) {
        fd_close(&pair[0]);
        return false;
    }
    guardian_add(n->guardian, pid);
    ev_child_set(&fc->child, pid, 0);
    ev_child_start(n->loop, &fc->child);
    channel_open(&fc->channel, pair[0]);
    fc->pid = pid;
    return true;
}

/* The front may be a user who cannot open it. -1: there is none, or the front is to say what is wrong with it. */
static int open_access_log(const struct conf *conf)
{
    const char *path = conf->log.access.path;
    if (!conf->log.access.enabled || path == NULL)
        return -1;
    if (strcmp(path, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static void send_access_log(struct front_child *fc, const struct conf *conf)
{
    const struct wire_control m = {.type = WIRE_REOPEN, .slot = WIRE_LOG_ACCESS};
    int fd = open_access_log(conf);
    if (fd != -1)
        channel_send(&fc->channel, &m, fd);
    fd_close(&fd);
}

static void send_conf(struct front_child *fc, const struct front_conf *what)
{
    const struct conf *conf = what->conf;
    const struct bindings *b = what->bindings;
    struct wire_control first = {
        .type = WIRE_CONF, .generation = (uint32_t)conf->generation, .text = str_of(conf->path)};
    struct wire_control listener = {.type = WIRE_LISTENER};
    channel_send(&fc->channel, &first, what->memory);
    for (size_t i = 0; i < conf->nbackends; i++) {
        const struct wire_control backend = {.type = WIRE_BACKEND, .slot = (uint32_t)i, .backend = what->ids[i]};
        channel_send(&fc->channel, &backend, -1);
    }
    for (size_t i = 0; i < conf->nlisteners; i++) {
        listener.slot = (uint32_t)i;
        channel_send(&fc->channel, &listener, b->listeners[i].fd);
    }
    listener.slot = WIRE_SLOT_ADMIN;
    if (b->admin.fd != -1)
        channel_send(&fc->channel, &listener, b->admin.fd);
}

static void send_conf_end(struct front_child *fc, const struct conf *conf)
{
    const struct wire_control end = {.type = WIRE_CONF_END, .generation = (uint32_t)conf->generation};
    channel_send(&fc->channel, &end, -1);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void on_message(struct channel *c, const struct wire_control *m, int *fds, size_t nfds)
{
    struct front_child *fc = (struct front_child *)((char *)c - offsetof(struct front_child, channel));
    char text[256];
    snprintf(text, sizeof(text), "%.*s", STR_ARG(m->text));
    switch (m->type) {
    case WIRE_READY:
        if (fc->state == FRONT_SERVING)
            fc->listener->on_swapped(fc->arg, m->generation);
        else
            handle(fc, FRONT_READY);
        break;
    case WIRE_PREPARED:
        fc->listener->on_prepared(fc->arg, m->generation);
        break;
    case WIRE_RETIRED:
        fc->listener->on_retired(fc->arg, m->backend);
        break;
    case WIRE_HEARTBEAT:
        handle(fc, FRONT_BEAT);
        break;
    case WIRE_FAILED:
        if (fc->state == FRONT_SERVING && m->generation != fc->conf->generation) {
            fc->listener->on_refused(fc->arg, m->generation, m->text);
            break;
        }
        snprintf(fc->why, sizeof(fc->why), "%.*s", STR_ARG(m->text));
        handle(fc, FRONT_BROKEN);
        break;
    case WIRE_KILL:
        fc->listener->on_kill(fc->arg, m->backend, m->slot, m->generation, text);
        break;
    case WIRE_STATUS:
        if (nfds == 1)
            fc->listener->on_status(fc->arg, m->count, fds[0]);
        break;
    case WIRE_RETURN:
        fc->listener->on_returned(fc->arg, m->backend, m->slot, m->generation, m->count);
        break;
    case WIRE_QUIET:
        fc->listener->on_quiet(fc->arg, m->backend);
        break;
    case WIRE_STUCK:
        fc->listener->on_stuck(fc->arg, m);
        break;
    case WIRE_SPENT:
        fc->listener->on_spent(fc->arg, m->backend, m->slot, m->generation, m->count);
        break;
    case WIRE_DRAINED: /* its end follows */
        break;
    default:
        snprintf(fc->why, sizeof(fc->why), "it sent '%s', which only the supervisor sends", wire_control_name(m->type));
        handle(fc, FRONT_BROKEN);
        break;
    }
}

static void on_broken(struct channel *c, const char *why)
{
    struct front_child *fc = (struct front_child *)((char *)c - offsetof(struct front_child, channel));
    channel_close(c);
    if (fc->why[0] == '\0')
        snprintf(fc->why, sizeof(fc->why), "%s", why);
    handle(fc, FRONT_BROKEN);
}

/* ---- actions ---------------------------------------------------------------------------------------------------- */

static void ignore(struct front_child *fc)
{
}

static void back_off(struct front_child *fc, int64_t delay_us)
{
    enter(fc, FRONT_BACKOFF);
    set_timer(fc, delay_us);
}

static void leave(struct front_child *fc)
{
    fc->last = true;
    set_timer(fc, -1);
    enter(fc, FRONT_OFF);
}

/* The first one never got ready: what is wrong with it will not mend itself. */
static void give_up(struct front_child *fc)
{
    fc->listener->on_useless(fc->arg, fc->why);
    leave(fc);
}

static void start(struct front_child *fc)
{
    fc->why[0] = '\0';
    fc->ready_us = 0;
    fc->missed = 0;
    fc->spawned_us = clock_us();
    if (!spawn(fc)) {
        snprintf(fc->why, sizeof(fc->why), "cannot start the front: %s", strerror(errno));
        if (fc->proven) {
            log_limited(LOG_LEVEL_ERROR, "supervisor", "%s", fc->why);
            back_off(fc, restart_after_failure(&fc->restart));
        } else {
            give_up(fc);
        }
        return;
    }
    fc->started++;
    enter(fc, FRONT_STARTING);
    set_timer(fc, FRONT_START_LIMIT_US);
    send_conf(fc, &fc->now);
    send_access_log(fc, fc->conf);
    send_conf_end(fc, fc->conf);
}

static void watch_half(struct front_child *fc)
{
    set_timer(fc, fc->conf->heartbeat_timeout / 2);
}

static void serve(struct front_child *fc)
{
    fc->ready_us = clock_us();
    fc->proven = true;
    restart_ready(&fc->restart);
    log_write(LOG_LEVEL_INFO, "supervisor", "front pid %ld is ready after %.3f s", (long)fc->pid,
              (double)(fc->ready_us - fc->spawned_us) / 1e6);
    enter(fc, FRONT_SERVING);
    watch_half(fc);
}

static void beat(struct front_child *fc)
{
    fc->missed = 0;
    watch_half(fc);
}

static void finish_off(struct front_child *fc)
{
    assert(fc->pid > 1);
    kill(-fc->pid, SIGKILL);
    enter(fc, FRONT_KILLED);
    set_timer(fc, KILLED_WAIT_US);
}

static void finish_off_for_good(struct front_child *fc)
{
    fc->last = true;
    finish_off(fc);
}

static void miss(struct front_child *fc)
{
    if (++fc->missed < 2) {
        watch_half(fc);
        return;
    }
    snprintf(fc->why, sizeof(fc->why), "no heartbeat for heartbeat_timeout (%.3g s)",
             (double)fc->conf->heartbeat_timeout / 1e6);
    finish_off(fc);
}

static void give_up_start(struct front_child *fc)
{
    snprintf(fc->why, sizeof(fc->why), "not ready within %d s", FRONT_START_LIMIT_US / 1000000);
    finish_off(fc);
}

static void drain(struct front_child *fc)
{
    const struct wire_control m = {.type = WIRE_DRAIN, .count = WIRE_DRAIN_STOP, .at_us = fc->conf->drain_timeout};
    fc->last = true;
    channel_send(&fc->channel, &m, -1);
    enter(fc, FRONT_DRAINING);
    set_timer(fc, fc->conf->drain_timeout);
}

static void give_up_drain(struct front_child *fc)
{
    fc->cut_off = true;
    snprintf(fc->why, sizeof(fc->why), "not drained within drain_timeout (%.3g s)",
             (double)fc->conf->drain_timeout / 1e6);
    finish_off(fc);
}

static void do_not_replace(struct front_child *fc)
{
    fc->last = true;
}

static void complain(struct front_child *fc)
{
    log_write(LOG_LEVEL_ERROR, "supervisor", "front pid %ld was killed and is still there: it waits in the kernel",
              (long)fc->pid);
    if (fc->last)
        leave(fc);
    else
        set_timer(fc, KILLED_WAIT_US);
}

static int64_t restart_delay(struct front_child *fc)
{
    if (fc->ready_us == 0)
        return restart_after_failure(&fc->restart);
    return restart_after_death(&fc->restart, fc->ready_us - fc->spawned_us, clock_us() - fc->ready_us);
}

static void follow_up(struct front_child *fc)
{
    if (fc->ready_us != 0)
        fc->listener->on_gone(fc->arg);
    if (fc->last) {
        leave(fc);
        return;
    }
    if (!fc->proven) {
        give_up(fc);
        return;
    }
    int64_t delay = restart_delay(fc);
    back_off(fc, delay);
    if (delay == 0)
        start(fc);
}

typedef void (*front_action_fn)(struct front_child *fc);

/* clang-format off */
static const front_action_fn actions[FRONT_STATE_COUNT][FRONT_EVENT_COUNT] = {
    [FRONT_OFF] = {
        [FRONT_START] = start,       [FRONT_READY] = ignore,        [FRONT_BEAT] = ignore,
        [FRONT_BROKEN] = ignore,     [FRONT_EXITED] = ignore,       [FRONT_TIMER] = ignore,
        [FRONT_DRAIN] = leave,       [FRONT_STOP_NOW] = leave,
    },
    [FRONT_STARTING] = {
        [FRONT_START] = ignore,      [FRONT_READY] = serve,         [FRONT_BEAT] = ignore,
        [FRONT_BROKEN] = finish_off, [FRONT_EXITED] = follow_up,    [FRONT_TIMER] = give_up_start,
        [FRONT_DRAIN] = drain,       [FRONT_STOP_NOW] = finish_off_for_good,
    },
    [FRONT_SERVING] = {
        [FRONT_START] = ignore,      [FRONT_READY] = ignore,        [FRONT_BEAT] = beat,
        [FRONT_BROKEN] = finish_off, [FRONT_EXITED] = follow_up,    [FRONT_TIMER] = miss,
        [FRONT_DRAIN] = drain,       [FRONT_STOP_NOW] = finish_off_for_good,
    },
    [FRONT_DRAINING] = {
        [FRONT_START] = ignore,      [FRONT_READY] = ignore,        [FRONT_BEAT] = ignore,
        [FRONT_BROKEN] = ignore,     [FRONT_EXITED] = follow_up,    [FRONT_TIMER] = give_up_drain,
        [FRONT_DRAIN] = ignore,      [FRONT_STOP_NOW] = finish_off,
    },
    [FRONT_KILLED] = {
        [FRONT_START] = ignore,      [FRONT_READY] = ignore,        [FRONT_BEAT] = ignore,
        [FRONT_BROKEN] = ignore,     [FRONT_EXITED] = follow_up,    [FRONT_TIMER] = complain,
        [FRONT_DRAIN] = do_not_replace, [FRONT_STOP_NOW] = do_not_replace,
    },
    [FRONT_BACKOFF] = {
        [FRONT_START] = ignore,      [FRONT_READY] = ignore,        [FRONT_BEAT] = ignore,
        [FRONT_BROKEN] = ignore,     [FRONT_EXITED] = ignore,       [FRONT_TIMER] = start,
        [FRONT_DRAIN] = leave,       [FRONT_STOP_NOW] = leave,
    },
};
/* clang-format on */

static void handle(struct front_child *fc, enum front_event event)
{
    assert((unsigned)fc->state < FRONT_STATE_COUNT && (unsigned)event < FRONT_EVENT_COUNT);
    front_action_fn action = actions[fc->state][event];
    assert(action != NULL);
    action(fc);
}

/* ---- for the owner ---------------------------------------------------------------------------------------------- */

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    handle(w->data, FRONT_TIMER);
}

static bool dump_conf(struct front_conf *what)
{
    struct buf text = {0};
    conf_dump(what->conf, &text);
    what->memory = fd_memory("bulkhead-conf", text.base, text.len);
    buf_free(&text);
    return what->memory != -1;
}

bool front_child_offer(struct front_child *fc, const struct front_conf *next)
{
    assert(fc->next.conf == NULL);
    fc->next = *next;
    if (fc->state != FRONT_SERVING || !dump_conf(&fc->next)) {
        fc->next = (struct front_conf){.memory = -1};
        return false;
    }
    send_conf(fc, &fc->next);
    send_conf_end(fc, next->conf);
    return true;
}

void front_child_commit(struct front_child *fc, const struct front_conf *now)
{
    const struct wire_control m = {.type = WIRE_COMMIT, .generation = (uint32_t)now->conf->generation};
    assert(fc->next.conf == now->conf);
    fd_close(&fc->now.memory);
    int memory = fc->next.memory;
    fc->now = *now;
    fc->now.memory = memory;
    fc->conf = now->conf;
    fc->next = (struct front_conf){.memory = -1};
    front_child_send(fc, &m);
}

void front_child_abort(struct front_child *fc)
{
    if (fc->next.conf == NULL)
        return;
    const struct wire_control m = {.type = WIRE_ABORT, .generation = (uint32_t)fc->next.conf->generation};
    fd_close(&fc->next.memory);
    fc->next = (struct front_conf){.memory = -1};
    front_child_send(fc, &m);
}

bool front_child_open(struct front_child *fc, const struct front_options *options, char *error_r, size_t error_size)
{
    *fc = (struct front_child){.nursery = options->nursery,
                               .conf = options->conf.conf,
                               .now = options->conf,
                               .next = {.memory = -1},
                               .listener = options->listener,
                               .arg = options->arg};
    fc->now.memory = -1;
    channel_init(&fc->channel, fc->nursery->loop, on_message, on_broken);
    ev_init(&fc->child, on_exit_of_process);
    ev_timer_init(&fc->timer, on_timer, 0., 0.);
    fc->child.data = fc->timer.data = fc;
    if (!identity_find(&fc->identity, fc->conf->user, fc->conf->group, error_r, error_size))
        return false;
    if (!dump_conf(&fc->now)) {
        snprintf(error_r, error_size, "cannot hold the conf in memory: %s", strerror(errno));
        return false;
    }
    environment_init(&fc->environment, environ);
    fc->argv[0] = libexec_find("bulkhead-front");
    fc->plan = (struct spawn_plan){.argv = fc->argv,
                                   .environment = fc->environment.vars,
                                   .identity = &fc->identity,
                                   .umask = fc->nursery->umask,
                                   .no_new_privileges = true,
                                   .limits = {{RLIMIT_CORE, 0, "core"}},
                                   .nlimits = 1};
    return true;
}

void front_child_close(struct front_child *fc)
{
    if (fc->nursery == NULL)
        return;
    set_timer(fc, -1);
    ev_child_stop(fc->nursery->loop, &fc->child);
    channel_close(&fc->channel);
    fd_close(&fc->now.memory);
    fd_close(&fc->next.memory);
    mem_free(&fc->argv[0]);
    environment_free(&fc->environment);
    fc->nursery = NULL;
}

void front_child_name_backends(struct front_child *fc, const uint32_t *ids)
{
    fc->now.ids = ids;
}

void front_child_start(struct front_child *fc)
{
    handle(fc, FRONT_START);
}

void front_child_drain(struct front_child *fc)
{
    handle(fc, FRONT_DRAIN);
}

void front_child_stop(struct front_child *fc)
{
    handle(fc, FRONT_STOP_NOW);
}

bool front_child_is_serving(const struct front_child *fc)
{
    return fc->state == FRONT_SERVING;
}

bool front_child_is_alive(const struct front_child *fc)
{
    return fc->state == FRONT_SERVING && fc->missed == 0;
}

void front_child_send(struct front_child *fc, const struct wire_control *m)
{
    if (fc->state == FRONT_SERVING || fc->state == FRONT_DRAINING)
        channel_send(&fc->channel, m, -1);
}

bool front_child_pass_client(struct front_child *fc, int fd)
{
    const struct wire_control m = {.type = WIRE_ADMIN_CLIENT};
    if (fc->state != FRONT_SERVING)
        return false;
    channel_send(&fc->channel, &m, fd);
    return true;
}

/* Also to one that is only starting: it has got the files that were open then. Where there is no process, the channel
 * swallows it. */
void front_child_reopen_logs(struct front_child *fc, int own_log)
{
    const struct wire_control own = {.type = WIRE_REOPEN, .slot = WIRE_LOG_OWN};
    send_access_log(fc, fc->conf);
    if (own_log != -1)
        channel_send(&fc->channel, &own, own_log);
}
