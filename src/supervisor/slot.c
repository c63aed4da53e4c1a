/* SPDX-License-Identifier: MIT
 *
 * slot: a worker's life: see slot.h. The table at the end says what each event does in each state; an entry that does
 * nothing is there as `ignore`. Events come from libev (child, timer, probe), from the front by way of the pool, and
 * from the supervisor.
 *
 * Order when a process ends: what is left of its group is killed, the guardian strikes it out, its last lines are
 * logged, the front is told; then its socket's backlog is emptied, and only then another process is started on it.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/guardian.h"
#include "supervisor/nursery.h"
#include "supervisor/pool.h"
#include "supervisor/slot.h"
#include "supervisor/spawn.h"

/* a killed process that is still there after that long is in the kernel's hands; said every so often */
#define KILLED_WAIT_US 10000000
/* a connection that the front has open and one it opens anew, per call at a time; and the probe's */
#define BACKLOG(concurrency) (2 * (int)(concurrency) + 8)

static const char *const state_names[SLOT_STATE_COUNT] = {
    [SLOT_IDLE] = "idle",       [SLOT_STARTING] = "starting", [SLOT_READY] = "ready",
    [SLOT_PROBING] = "probing", [SLOT_STOPPING] = "stopping", [SLOT_KILLED] = "killed",
    [SLOT_BACKOFF] = "backoff", [SLOT_RECALLED] = "recalled",
};

const char *slot_state_name(enum slot_state state)
{
    assert((unsigned)state < SLOT_STATE_COUNT);
    return state_names[state];
}

bool slot_is_granted(enum slot_state state)
{
    return state == SLOT_READY || state == SLOT_RECALLED;
}

/* One that is stopped without being due is followed by another in the same place. */
bool slot_is_staffed(const struct slot *s)
{
    return s->state != SLOT_IDLE && !s->due;
}

uint32_t slot_restarts(const struct slot *s)
{
    return s->generation == 0 ? 0 : s->generation - 1;
}

static void say(const struct slot *s, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct slot *s, enum log_level level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_write(level, "supervisor", "%s[%u] pid %ld %s", s->pool->conf->name, s->index, (long)s->pid, text);
}

/* -1: for ever */
static void set_timer(struct slot *s, int64_t after_us)
{
    struct ev_loop *loop = s->pool->nursery->loop;
    ev_timer_stop(loop, &s->timer);
    if (after_us < 0)
        return;
    ev_now_update(loop);
    ev_timer_set(&s->timer, (double)after_us / 1e6, 0.);
    ev_timer_start(loop, &s->timer);
}

static void enter(struct slot *s, enum slot_state state)
{
    enum slot_state before = s->state;
    s->state = state;
    pool_on_slot(s->pool, s, before);
}

/* ---- the process ------------------------------------------------------------------------------------------------ */

/* To the process alone where it has left its group: a signal that is sent twice means another thing to many servers. */
static void signal_group(const struct slot *s, int signal)
{
    assert(s->pid > 1);
    if (kill(-s->pid, signal) == -1 && errno == ESRCH)
        kill(s->pid, signal);
}

/* s->why: what it was stopped for, or how it ended by itself */
static void log_end(struct slot *s, int status, bool asked)
{
    char how[sizeof(s->why)];
    double age = (double)(clock_us() - s->spawned_us) / 1e6;
    const char *last = s->output.last;
    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "killed by signal %d (%s)", WTERMSIG(status),
                 sigdescr_np(WTERMSIG(status)) == NULL ? "unknown" : sigdescr_np(WTERMSIG(status)));
    else
        snprintf(how, sizeof(how), "exited with status %d%s%s", WEXITSTATUS(status),
                 last[0] == '\0' || asked ? "" : "; its last words: ", last);
    if (asked)
        say(s, LOG_LEVEL_INFO, "has ended after %.3f s: %s (%s)", age, how, s->why);
    else
        say(s, LOG_LEVEL_WARNING, "has ended after %.3f s: %s", age, (char *)memcpy(s->why, how, sizeof(how)));
}

static void on_exit_of_process(struct ev_loop *loop, ev_child *w, int events)
{
    struct slot *s = w->data;
    bool asked = s->state == SLOT_STOPPING || s->state == SLOT_KILLED;
    ev_child_stop(loop, w);
    kill(-s->pid, SIGKILL);
    guardian_remove(s->pool->nursery->guardian, s->pid);
    output_finish(&s->output);
    log_end(s, w->rstatus, asked);
    s->pid = 0;
    slot_handle(s, SLOT_EXITED);
}

static bool spawn(struct slot *s)
{
    const struct nursery *n = s->pool->nursery;
    const struct conf_backend *conf = s->pool->conf;
    bool fastcgi = conf->what == CONF_WHAT_COMMAND && conf->protocol == CONF_PROTOCOL_FASTCGI;
    int output = output_open(&s->output);
    if (output == -1)
        return false;
    struct spawn_fds fds = {.input = fastcgi ? s->endpoint.fd : n->null,
                            .output = output,
                            .passed = s->endpoint.fd,
                            .register_at = guardian_socket(n->guardian)};
    pid_t pid = spawn_start(&s->plan.spawn, &fds);
    fd_close(&output);
    if (pid == -1) {
        int problem = errno;
        output_finish(&s->output);
        errno = problem;
        return false;
    }
    guardian_add(n->guardian, pid);
    ev_child_set(&s->child, pid, 0);
    ev_child_start(n->loop, &s->child);
    output_watch(&s->output, pid);
    s->pid = pid;
    return true;
}

/* ---- actions ---------------------------------------------------------------------------------------------------- */

static void ignore(struct slot *s)
{
}

static void back_off(struct slot *s, int64_t delay_us)
{
    enter(s, SLOT_BACKOFF);
    set_timer(s, delay_us);
}

static void start(struct slot *s)
{
    /* a process before may have made the shared socket non-blocking; each gets it as the first did */
    probe_drain_backlog(&s->endpoint);
    fd_set_nonblocking(s->endpoint.fd, false);
    s->slow_start = s->due = false;
    s->ready_us = 0;
    s->calls = 0;
    s->resident = 0;
    if (!spawn(s)) {
        snprintf(s->why, sizeof(s->why), "cannot start a process: %s", strerror(errno));
        log_limited(LOG_LEVEL_ERROR, "supervisor", "%s[%u]: %s", s->pool->conf->name, s->index, s->why);
        s->failing = true;
        back_off(s, restart_after_failure(&s->restart));
        return;
    }
    s->generation++;
    s->spawned_us = clock_us();
    enter(s, SLOT_STARTING);
    set_timer(s, s->pool->conf->start_timeout);
    probe_start(&s->probe);
}

static void become_ready(struct slot *s)
{
    if (s->state == SLOT_STARTING) {
        s->ready_us = clock_us();
        say(s, LOG_LEVEL_INFO, "is ready after %.3f s", (double)(s->ready_us - s->spawned_us) / 1e6);
    }
    restart_ready(&s->restart);
    s->failing = false;
    s->why[0] = '\0';
    set_timer(s, -1);
    enter(s, SLOT_READY);
}

static void stop(struct slot *s)
{
    probe_stop(&s->probe);
    signal_group(s, SIGTERM);
    enter(s, SLOT_STOPPING);
    set_timer(s, s->pool->conf->stop_timeout);
}

static void say_why_for_good(struct slot *s)
{
    snprintf(s->why, sizeof(s->why), "%s",
             s->pool->role == POOL_LEAVING ? "its backend is another one, or none, after a reload" : "bulkhead stops");
}

static void stop_for_good(struct slot *s)
{
    s->last = true;
    say_why_for_good(s);
    stop(s);
}

static void stop_slow_start(struct slot *s)
{
    double limit = (double)s->pool->conf->start_timeout / 1e6;
    s->slow_start = true;
    if (s->probe.last_status != 0)
        snprintf(s->why, sizeof(s->why), "answered %d to GET %.128s (ready_path) within start_timeout (%.3g s)",
                 s->probe.last_status, s->pool->conf->ready_path, limit);
    else
        snprintf(s->why, sizeof(s->why), "%s within start_timeout (%.3g s)",
                 s->pool->conf->ready_path == NULL ? "accepted no connection"
                                                   : "accepted no connection or did not answer its ready_path",
                 limit);
    say(s, LOG_LEVEL_WARNING, "%s", s->why);
    stop(s);
}

static void stop_busy(struct slot *s)
{
    snprintf(s->why, sizeof(s->why), "still busy with a call of a front that is gone");
    say(s, LOG_LEVEL_WARNING, "%s", s->why);
    stop(s);
}

static void recall(struct slot *s)
{
    snprintf(s->why, sizeof(s->why), "%s", s->due_why);
    enter(s, SLOT_RECALLED);
    set_timer(s, s->pool->patience_us);
}

/* Every call has its time limit, and this is longer than that. */
static void stop_overdue(struct slot *s)
{
    say(s, LOG_LEVEL_WARNING, "was not given back by the front within %.3g s", (double)s->pool->patience_us / 1e6);
    stop(s);
}

static void finish_off(struct slot *s)
{
    if (s->state == SLOT_STOPPING)
        say(s, LOG_LEVEL_WARNING, "did not end within stop_timeout (%.3g s); killing it",
            (double)s->pool->conf->stop_timeout / 1e6);
    probe_stop(&s->probe);
    signal_group(s, SIGKILL);
    enter(s, SLOT_KILLED);
    set_timer(s, KILLED_WAIT_US);
}

static void finish_off_for_good(struct slot *s)
{
    s->last = true;
    say_why_for_good(s);
    probe_stop(&s->probe);
    signal_group(s, SIGKILL);
    enter(s, SLOT_KILLED);
    set_timer(s, KILLED_WAIT_US);
}

/* It is to be stopped already: what follows is nothing. */
static void do_not_replace(struct slot *s)
{
    s->last = true;
}

static void leave(struct slot *s)
{
    s->last = true;
    set_timer(s, -1);
    enter(s, SLOT_IDLE);
}

/* SIGKILL has no answer; a process in an uninterruptible wait goes when that ends. When nothing is to follow, the
 * guardian may have it. */
static void complain(struct slot *s)
{
    say(s, LOG_LEVEL_ERROR,
        "was killed and is still there: it waits in the kernel, for a disk or a network file system");
    if (s->last)
        leave(s);
    else
        set_timer(s, KILLED_WAIT_US);
}

static void probe_again(struct slot *s)
{
    snprintf(s->why, sizeof(s->why), "the front has gone");
    enter(s, SLOT_PROBING);
    probe_drain_backlog(&s->endpoint);
    set_timer(s, s->pool->conf->timeout);
    probe_start(&s->probe);
}

static int64_t restart_delay(struct slot *s)
{
    switch (s->state) {
    case SLOT_READY:
    case SLOT_RECALLED:
    case SLOT_PROBING:
        return restart_after_death(&s->restart, s->ready_us - s->spawned_us, clock_us() - s->ready_us);
    case SLOT_STARTING:
        s->failing = true;
        return restart_after_failure(&s->restart);
    default:
        s->failing = s->failing || s->slow_start;
        return s->slow_start ? restart_after_failure(&s->restart) : 0;
    }
}

/* Another slot has its process instead, or is about to. */
static void make_spare(struct slot *s)
{
    probe_stop(&s->probe);
    set_timer(s, -1);
    s->due = s->failing = s->slow_start = false;
    enter(s, SLOT_IDLE);
}

static void follow_up(struct slot *s)
{
    probe_stop(&s->probe);
    if (s->last) {
        leave(s);
        return;
    }
    if (s->due) {
        make_spare(s);
        return;
    }
    int64_t delay = restart_delay(s);
    back_off(s, delay);
    if (delay == 0)
        start(s);
}

typedef void (*slot_action_fn)(struct slot *s);

/* clang-format off */
static const slot_action_fn actions[SLOT_STATE_COUNT][SLOT_EVENT_COUNT] = {
    [SLOT_IDLE] = {
        [SLOT_START] = start,        [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = ignore,
        [SLOT_TIMER] = ignore,       [SLOT_KILL] = ignore,           [SLOT_KILL_NOW] = ignore,
        [SLOT_RECALL] = ignore,      [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = do_not_replace, [SLOT_STOP_NOW] = do_not_replace,
    },
    [SLOT_STARTING] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = become_ready, [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = stop_slow_start, [SLOT_KILL] = stop,          [SLOT_KILL_NOW] = finish_off,
        [SLOT_RECALL] = stop,        [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = stop_for_good, [SLOT_STOP_NOW] = finish_off_for_good,
    },
    [SLOT_READY] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = ignore,       [SLOT_KILL] = stop,             [SLOT_KILL_NOW] = finish_off,
        [SLOT_RECALL] = recall,      [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = probe_again,
        [SLOT_STOP] = stop_for_good, [SLOT_STOP_NOW] = finish_off_for_good,
    },
    [SLOT_RECALLED] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = stop_overdue, [SLOT_KILL] = stop,             [SLOT_KILL_NOW] = finish_off,
        [SLOT_RECALL] = ignore,      [SLOT_RETURNED] = stop,         [SLOT_FRONT_LOST] = stop,
        [SLOT_STOP] = stop_for_good, [SLOT_STOP_NOW] = finish_off_for_good,
    },
    [SLOT_PROBING] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = become_ready, [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = stop_busy,    [SLOT_KILL] = stop,             [SLOT_KILL_NOW] = finish_off,
        [SLOT_RECALL] = ignore,      [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = stop_for_good, [SLOT_STOP_NOW] = finish_off_for_good,
    },
    [SLOT_STOPPING] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = finish_off,   [SLOT_KILL] = ignore,           [SLOT_KILL_NOW] = ignore,
        [SLOT_RECALL] = ignore,      [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = do_not_replace, [SLOT_STOP_NOW] = finish_off_for_good,
    },
    [SLOT_KILLED] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = follow_up,
        [SLOT_TIMER] = complain,     [SLOT_KILL] = ignore,           [SLOT_KILL_NOW] = ignore,
        [SLOT_RECALL] = ignore,      [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = do_not_replace, [SLOT_STOP_NOW] = do_not_replace,
    },
    [SLOT_BACKOFF] = {
        [SLOT_START] = ignore,       [SLOT_ACCEPTED] = ignore,       [SLOT_EXITED] = ignore,
        [SLOT_TIMER] = start,        [SLOT_KILL] = ignore,           [SLOT_KILL_NOW] = ignore,
        [SLOT_RECALL] = make_spare,  [SLOT_RETURNED] = ignore,       [SLOT_FRONT_LOST] = ignore,
        [SLOT_STOP] = leave,         [SLOT_STOP_NOW] = leave,
    },
};
/* clang-format on */

void slot_handle(struct slot *s, enum slot_event event)
{
    assert((unsigned)s->state < SLOT_STATE_COUNT && (unsigned)event < SLOT_EVENT_COUNT);
    slot_action_fn action = actions[s->state][event];
    assert(action != NULL);
    action(s);
}

static bool has_process(const struct slot *s)
{
    return s->state == SLOT_STARTING || s->state == SLOT_PROBING || slot_is_granted(s->state);
}

static void mark_due(struct slot *s, const char *why)
{
    s->due = true;
    snprintf(s->due_why, sizeof(s->due_why), "%s", why);
    pool_on_due(s->pool);
}

/* What is given time to end is replaced from a spare place at once. */
void slot_kill(struct slot *s, enum slot_event how, const char *why)
{
    assert(how == SLOT_KILL || how == SLOT_KILL_NOW);
    if (!has_process(s))
        return;
    snprintf(s->why, sizeof(s->why), "%s", why);
    say(s, LOG_LEVEL_WARNING, "is being %s: %s", how == SLOT_KILL ? "replaced" : "killed", s->why);
    if (how == SLOT_KILL)
        mark_due(s, why);
    slot_handle(s, how);
}

void slot_retire(struct slot *s, const char *why)
{
    if (s->due || (s->state != SLOT_STARTING && s->state != SLOT_PROBING && s->state != SLOT_READY))
        return;
    mark_due(s, why);
    say(s, LOG_LEVEL_INFO, "is to be replaced when another is ready: %s", s->due_why);
}

/* ---- making one ------------------------------------------------------------------------------------------------- */

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    slot_handle(w->data, SLOT_TIMER);
}

static void on_accepted(struct probe *p)
{
    slot_handle((struct slot *)((char *)p - offsetof(struct slot, probe)), SLOT_ACCEPTED);
}

/* With a backend's name where that makes a readable file name. Of a name there may be two while a conf is replaced. */
static void name_socket(char *out, size_t size, const struct pool *pool, unsigned index, const char *directory)
{
    const char *name = pool->conf->name;
    size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (plain == strlen(name) && plain <= 32)
        snprintf(out, size, "%s/%u.%s.%u.sock", directory, pool->id, name, index);
    else
        snprintf(out, size, "%s/%u.%u.sock", directory, pool->id, index);
}

bool slot_open(struct slot *s, struct pool *pool, unsigned index, const struct conf *conf, const char *directory,
               char *error_r, size_t error_size)
{
    const struct nursery *n = pool->nursery;
    char path[256];
    *s = (struct slot){.pool = pool, .index = index, .endpoint = ENDPOINT_NONE};
    probe_init(&s->probe, n->loop, &s->endpoint, pool->conf->ready_path, on_accepted);
    output_init(&s->output, n->loop, pool->conf->name, index, (size_t)conf->limits.log_line,
                (uint64_t)conf->limits.log_lines_per_second);
    ev_init(&s->child, on_exit_of_process);
    ev_timer_init(&s->timer, on_timer, 0., 0.);
    s->child.data = s->timer.data = s;
    name_socket(path, sizeof(path), pool, index, directory);
    if (!endpoint_open_unix(&s->endpoint, path, 0600, BACKLOG(worker_plan_concurrency(pool->conf)), error_r,
                            error_size))
        return false;
    if (!worker_plan_make(&s->plan, conf, pool->conf, index, path, error_r, error_size))
        return false;
    if (s->pool->conf->umask == CONF_UMASK_INHERITED)
        s->plan.spawn.umask = n->umask;
    return true;
}

void slot_close(struct slot *s)
{
    set_timer(s, -1);
    ev_child_stop(s->pool->nursery->loop, &s->child);
    probe_stop(&s->probe);
    output_free(&s->output);
    endpoint_close(&s->endpoint);
    worker_plan_free(&s->plan);
}
