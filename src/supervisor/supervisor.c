/* SPDX-License-Identifier: MIT
 *
 * supervisor: see supervisor.h. The objects, and who points to whom:
 *
 *   nursery       the loop, the guardian, /dev/null: what is needed to start a child; all who start one point to it
 *   guardian      the process that cleans up should the supervisor be killed; knows process groups only
 *   bindings      the listening sockets of the conf; the front is given them
 *   rundir        the directory of the workers' sockets
 *   pool, slot    a backend's workers, and each one's place: socket, process, probe, output; a slot points to its pool,
 *                 the pool tells the supervisor by its listener
 *   census        looks at the age and the memory of the workers of all pools, once a second
 *   front_child   the front's process, and the channel to it; tells the supervisor by its listener
 *   control_server, status_page    "bulkhead status"
 *   orders        what else is asked for over the control socket
 *   notify, status_line            what the service manager is told
 *   logsink       the log's way out
 *
 * Pools and front do not know each other: this file carries what one says to the other. The end goes in steps: the
 * front tells that it is about to (drain_delay), it drains, then the workers are stopped, then the loop ends. A second
 * signal ends the first step at once, or makes each of the others an immediate one.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/activation.h"
#include "supervisor/bindings.h"
#include "supervisor/census.h"
#include "supervisor/control_server.h"
#include "supervisor/front_child.h"
#include "supervisor/guardian.h"
#include "supervisor/logsink.h"
#include "supervisor/notify.h"
#include "supervisor/nursery.h"
#include "supervisor/orders.h"
#include "supervisor/pool.h"
#include "supervisor/rundir.h"
#include "supervisor/status_line.h"
#include "supervisor/status_page.h"
#include "supervisor/strays.h"
#include "supervisor/stuck_worker.h"
#include "supervisor/supervisor.h"
#include "supervisor/supervisor_private.h"
#include "wire/command.h"

#define CONTROL_MODE    0600
#define CONTROL_BACKLOG 64
/* groups in the guardian's book besides the workers': the front's, and those that a child has entered before it failed
 */
#define GROUPS_MORE 8
/* so that a later conf may have more workers, and those of a former one beside them */
#define GROUPS_MIN 4096
/* what the service manager is to grant beyond the limits of the conf: the front and what is killed have theirs too */
#define MANAGER_MARGIN_US 45000000

/* ---- the service manager ---------------------------------------------------------------------------------------- */

static void put_status_line(void *arg, struct buf *out)
{
    const struct supervisor *sv = arg;
    const struct status_line line = {.front = &sv->front,
                                     .pools = &sv->pools,
                                     .ready = sv->ready,
                                     .ending = sv->phase != PHASE_RUNNING,
                                     .front_ended = sv->phase == PHASE_STOPPING};
    status_line_put(&line, out);
}

static bool is_serving(const struct supervisor *sv)
{
    return sv->phase == PHASE_RUNNING || sv->phase == PHASE_LEAVING;
}

/* A stop has deadlines of its own, which this loop enforces. */
static bool is_alive(void *arg)
{
    const struct supervisor *sv = arg;
    return !is_serving(sv) || front_child_is_alive(&sv->front);
}

static const struct notify_source notify_source = {.put_status = put_status_line, .is_alive = is_alive};

/* A backend that cannot be started does not hold up the others: it is known to be down, and says so in the status. */
static bool has_started(const struct supervisor *sv)
{
    if (sv->phase != PHASE_RUNNING || !front_child_is_serving(&sv->front))
        return false;
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i]->role == POOL_SERVING && !sv->pools.all[i]->tried)
            return false;
    }
    return true;
}

void supervisor_tell_manager(struct supervisor *sv)
{
    if (sv->ready || !has_started(sv)) {
        notify_changed(sv->notify);
        return;
    }
    sv->ready = true;
    notify_ready(sv->notify);
}

/* the longest of this limit of all backends with processes */
static int64_t longest(const struct supervisor *sv, size_t offset)
{
    int64_t most = 0;
    for (size_t i = 0; i < sv->pools.count; i++) {
        int64_t us = *(const int64_t *)((const char *)sv->pools.all[i]->conf + offset);
        if (sv->pools.all[i]->nopen > 0 && us > most)
            most = us;
    }
    return most;
}

static void warn_of_short_watchdog(const struct supervisor *sv)
{
    int64_t us = notify_watchdog_us(sv->notify);
    if (us != 0 && us <= sv->conf->heartbeat_timeout)
        log_write(LOG_LEVEL_WARNING, "supervisor",
                  "WatchdogSec= (%.3g s) is not above heartbeat_timeout (%.3g s): everything would be restarted before "
                  "a front that hangs is replaced",
                  (double)us / 1e6, (double)sv->conf->heartbeat_timeout / 1e6);
}

/* ---- between pools and front ------------------------------------------------------------------------------------ */

static struct wire_control about(const struct slot *s, uint16_t type)
{
    return (struct wire_control){
        .type = type, .backend = s->pool->id, .slot = s->index, .generation = s->generation, .pid = (int32_t)s->pid};
}

/* A pool of a conf that the front is still preparing is no concern of its. */
static void tell_front(struct supervisor *sv, const struct pool *p, const struct wire_control *m)
{
    if (p->is_known)
        front_child_send(&sv->front, m);
}

static void on_grant(void *arg, const struct slot *s)
{
    struct supervisor *sv = arg;
    struct wire_control m = about(s, WIRE_GRANT);
    m.count = worker_plan_concurrency(s->pool->conf);
    m.text = str_of(s->endpoint.path);
    tell_front(sv, s->pool, &m);
}

static void on_recall(void *arg, const struct slot *s)
{
    struct supervisor *sv = arg;
    struct wire_control m = about(s, WIRE_RECALL);
    tell_front(sv, s->pool, &m);
}

static void on_lost(void *arg, const struct slot *s)
{
    struct supervisor *sv = arg;
    struct wire_control m = about(s, WIRE_LOST);
    m.text = str_of(s->why);
    tell_front(sv, s->pool, &m);
}

/* The front's status page has four words for what the table of slots knows more of; none for a slot that is spare. */
static const char *word_for_front(enum slot_state state)
{
    switch (state) {
    case SLOT_STARTING:
    case SLOT_PROBING:
        return "starting";
    case SLOT_READY:
        return "ready";
    case SLOT_IDLE:
        return "";
    case SLOT_BACKOFF:
        return "backoff";
    default:
        return "stopping";
    }
}

static void on_state(void *arg, const struct slot *s)
{
    struct supervisor *sv = arg;
    struct wire_control m = about(s, WIRE_WORKER);
    m.count = slot_restarts(s);
    m.text = str_of(word_for_front(s->state));
    tell_front(sv, s->pool, &m);
    orders_on_pool(&sv->orders, s->pool);
    reload_on_pool(sv, s->pool);
    supervisor_tell_manager(sv);
}

static void on_down(void *arg, const struct pool *p)
{
    struct supervisor *sv = arg;
    struct wire_control m = {.type = WIRE_DOWN, .backend = p->id, .count = p->down};
    if (p->down)
        m.text = str_of(p->slots[0].why);
    tell_front(sv, p, &m);
}

static void end_when_idle(struct supervisor *sv)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (!pool_is_idle(sv->pools.all[i]))
            return;
    }
    sv->ended = true;
    ev_break(sv->nursery.loop, EVBREAK_ALL);
}

static void on_idle(void *arg, struct pool *p)
{
    struct supervisor *sv = arg;
    if (sv->phase == PHASE_STOPPING)
        end_when_idle(sv);
    else
        reload_on_pool_idle(sv, p);
}

const struct pool_listener supervisor_pool_listener = {.on_grant = on_grant,
                                                       .on_recall = on_recall,
                                                       .on_lost = on_lost,
                                                       .on_state = on_state,
                                                       .on_down = on_down,
                                                       .on_idle = on_idle};

static void announce(struct supervisor *sv)
{
    char addresses[1024];
    if (sv->announced)
        return;
    sv->announced = true;
    bindings_describe(&sv->bindings, addresses, sizeof(addresses));
    log_write(LOG_LEVEL_INFO, "supervisor", "serving on %s", addresses);
    if (sv->bindings.admin.fd != -1) {
        endpoint_address(sv->bindings.admin.fd, addresses, sizeof(addresses));
        log_write(LOG_LEVEL_INFO, "supervisor", "admin (status, health) on %s", addresses);
    }
    log_write(LOG_LEVEL_INFO, "supervisor", "control socket %s: try `bulkhead status --control %s`", sv->conf->control,
              sv->conf->control);
}

static void tell_of_leave(struct supervisor *sv)
{
    const struct wire_control m = {.type = WIRE_LEAVE};
    front_child_send(&sv->front, &m);
}

static void on_serving(void *arg)
{
    struct supervisor *sv = arg;
    for (size_t i = 0; i < sv->pools.count; i++) {
        struct pool *p = sv->pools.all[i];
        p->is_known = p->role == POOL_SERVING;
        if (p->is_known)
            pool_retell(p);
    }
    reload_on_front_serving(sv);
    orders_retell(&sv->orders);
    if (sv->phase == PHASE_LEAVING)
        tell_of_leave(sv);
    announce(sv);
    supervisor_tell_manager(sv);
}

static void on_gone(void *arg)
{
    struct supervisor *sv = arg;
    if (!is_serving(sv))
        return;
    for (size_t i = 0; i < sv->pools.count; i++)
        pool_handle(sv->pools.all[i], SLOT_FRONT_LOST);
    reload_on_front_gone(sv);
    supervisor_tell_manager(sv);
}

static void on_off(void *arg)
{
    struct supervisor *sv = arg;
    ev_timer_stop(sv->nursery.loop, &sv->leave);
    sv->phase = PHASE_STOPPING;
    notify_extend(sv->notify, longest(sv, offsetof(struct conf_backend, stop_timeout)) + MANAGER_MARGIN_US);
    notify_changed(sv->notify);
    for (size_t i = 0; i < sv->pools.count; i++)
        pool_handle(sv->pools.all[i], sv->hurry ? SLOT_STOP_NOW : SLOT_STOP);
    end_when_idle(sv);
}

static void on_useless(void *arg, const char *why)
{
    struct supervisor *sv = arg;
    log_write(LOG_LEVEL_ERROR, "supervisor", "cannot start: %s", why);
    sv->exit_code = 1;
}

/* NULL: it has gone while the front's word was on its way. */
static struct pool *find_pool(const struct supervisor *sv, uint32_t id)
{
    for (size_t i = 0; i < sv->pools.count; i++) {
        if (sv->pools.all[i]->id == id)
            return sv->pools.all[i];
    }
    return NULL;
}

static void on_kill(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, const char *why)
{
    struct pool *p = find_pool(arg, backend);
    if (p != NULL)
        pool_kill(p, slot, generation, why);
}

static void on_returned(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, uint32_t calls)
{
    struct pool *p = find_pool(arg, backend);
    if (p != NULL)
        pool_returned(p, slot, generation, calls);
}

static void on_spent(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, uint32_t calls)
{
    struct pool *p = find_pool(arg, backend);
    if (p != NULL)
        pool_spent(p, slot, generation, calls);
}

static void on_prepared(void *arg, uint32_t generation)
{
    reload_on_prepared(arg, generation);
}

static void on_refused(void *arg, uint32_t generation, struct str why)
{
    reload_on_refused(arg, generation, why);
}

static void on_swapped(void *arg, uint32_t generation)
{
    reload_on_swapped(arg, generation);
}

static void on_retired(void *arg, uint32_t backend)
{
    reload_on_retired(arg, backend);
}

static void on_quiet(void *arg, uint32_t backend)
{
    struct supervisor *sv = arg;
    const struct pool *p = find_pool(sv, backend);
    if (p != NULL)
        orders_on_quiet(&sv->orders, p);
}

static void on_stuck(void *arg, const struct wire_control *m)
{
    struct pool *p = find_pool(arg, m->backend);
    const struct slot *s = p != NULL ? pool_find(p, m->slot, m->generation) : NULL;
    const char *end = m->text.len == 0 ? NULL : memchr(m->text.base, '\n', m->text.len);
    if (s == NULL || end == NULL)
        return;
    size_t id_len = (size_t)(end - m->text.base);
    const struct stuck_call call = {.worker = s,
                                    .age_s = m->count / 1e3,
                                    .cpu_us = m->at_us,
                                    .id = {m->text.base, id_len},
                                    .request = {m->text.base + id_len + 1, m->text.len - id_len - 1}};
    stuck_worker_report(&call);
}

/* ---- the control socket ----------------------------------------------------------------------------------------- */

static bool ask_front(void *arg, uint32_t number)
{
    struct supervisor *sv = arg;
    const struct wire_control m = {.type = WIRE_STATUS_ASK, .count = number};
    front_child_send(&sv->front, &m);
    return front_child_is_serving(&sv->front);
}

static void put_status(void *arg, struct buf *out, struct str front)
{
    struct supervisor *sv = arg;
    const struct status_page page = {
        .conf = sv->conf, .front = &sv->front, .pools = &sv->pools, .started_us = sv->started_us};
    status_page_put(&page, out, front);
}

static bool pass_client(void *arg, int fd)
{
    struct supervisor *sv = arg;
    return front_child_pass_client(&sv->front, fd);
}

static bool obey(void *arg, const struct wire_request *request, uint32_t number, struct buf *out)
{
    struct supervisor *sv = arg;
    if (request->command != WIRE_COMMAND_RELOAD)
        return orders_obey(&sv->orders, request, number, out);
    reload_ask(sv, number);
    return false;
}

static const struct control_handler control_handler = {
    .ask_front = ask_front, .put_status = put_status, .obey = obey, .pass_client = pass_client};

/* Reading anything else than sealed memory might wait. */
static bool is_sealed_memory(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals != -1 && (seals & F_SEAL_WRITE) && (seals & F_SEAL_SHRINK);
}

static void on_status(void *arg, uint32_t number, int fd)
{
    struct supervisor *sv = arg;
    size_t len;
    char *text = is_sealed_memory(fd) ? fd_read_all(fd, WIRE_FRONT_STATUS_MAX, &len) : NULL;
    if (text != NULL && wire_command_is_object((struct str){text, len})) {
        wire_command_fold(text, len);
        control_server_answer(sv->control_server, number, (struct str){text, len});
    } else {
        log_limited(LOG_LEVEL_WARNING, "supervisor", "the front's status page cannot be read");
        control_server_answer(sv->control_server, number, STR_NONE);
    }
    free(text);
}

static const struct front_listener front_listener = {.on_serving = on_serving,
                                                     .on_gone = on_gone,
                                                     .on_off = on_off,
                                                     .on_useless = on_useless,
                                                     .on_kill = on_kill,
                                                     .on_returned = on_returned,
                                                     .on_spent = on_spent,
                                                     .on_stuck = on_stuck,
                                                     .on_prepared = on_prepared,
                                                     .on_refused = on_refused,
                                                     .on_swapped = on_swapped,
                                                     .on_retired = on_retired,
                                                     .on_quiet = on_quiet,
                                                     .on_status = on_status};

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void stop_at_once(struct supervisor *sv)
{
    sv->hurry = true;
    if (sv->phase == PHASE_DRAINING) {
        front_child_stop(&sv->front);
        return;
    }
    for (size_t i = 0; i < sv->pools.count; i++)
        pool_handle(sv->pools.all[i], SLOT_STOP_NOW);
}

static void drain(struct supervisor *sv)
{
    sv->phase = PHASE_DRAINING;
    notify_extend(sv->notify, sv->conf->drain_timeout + MANAGER_MARGIN_US);
    bindings_close(&sv->bindings); /* the front closes its copies: from then on connections are refused */
    front_child_drain(&sv->front);
}

static void on_leave_over(struct ev_loop *loop, ev_timer *w, int events)
{
    struct supervisor *sv = w->data;
    log_write(LOG_LEVEL_INFO, "supervisor", "drain_delay is over: nothing new is accepted");
    drain(sv);
}

static void skip_delay(struct supervisor *sv)
{
    ev_timer_stop(sv->nursery.loop, &sv->leave);
    drain(sv);
}

static void leave(struct supervisor *sv)
{
    sv->phase = PHASE_LEAVING;
    notify_extend(sv->notify, sv->conf->drain_delay + sv->conf->drain_timeout + MANAGER_MARGIN_US);
    tell_of_leave(sv);
    ev_now_update(sv->nursery.loop);
    ev_timer_set(&sv->leave, (double)sv->conf->drain_delay / 1e6, 0.);
    ev_timer_start(sv->nursery.loop, &sv->leave);
}

/* A front that does not serve has nobody to tell, and no client. */
static void begin_stop(struct supervisor *sv, const char *what)
{
    bool with_delay = sv->conf->drain_delay > 0 && front_child_is_serving(&sv->front);
    char delay[96] = "";
    if (with_delay)
        snprintf(delay, sizeof(delay), "it goes on for %.3g s (drain_delay), then ",
                 (double)sv->conf->drain_delay / 1e6);
    log_write(LOG_LEVEL_INFO, "supervisor", "%s: stopping; %srequests in progress have %.3g s (drain_timeout)", what,
              delay, (double)sv->conf->drain_timeout / 1e6);
    reload_end(sv);
    notify_stopping(sv->notify);
    if (with_delay)
        leave(sv);
    else
        drain(sv);
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    struct supervisor *sv = w->data;
    const char *name = sigabbrev_np(w->signum);
    if (sv->phase == PHASE_RUNNING) {
        begin_stop(sv, name);
    } else if (sv->phase == PHASE_LEAVING) {
        log_write(LOG_LEVEL_INFO, "supervisor", "%s again: not waiting for the rest of drain_delay", name);
        skip_delay(sv);
    } else {
        log_write(LOG_LEVEL_INFO, "supervisor", "%s again: stopping at once", name);
        stop_at_once(sv);
    }
}

static void on_drain_order(void *arg)
{
    struct supervisor *sv = arg;
    if (sv->phase == PHASE_RUNNING)
        begin_stop(sv, "drain");
}

static void on_hang_up(struct ev_loop *loop, ev_signal *w, int events)
{
    reload_ask(w->data, 0);
}

bool supervisor_log_is_file(const struct conf *conf)
{
    return conf->log.target != NULL && strcmp(conf->log.target, "stderr") != 0;
}

/* The process's own log, when it goes to a file. */
bool supervisor_open_log(const struct conf *conf)
{
    const char *target = conf->log.target;
    if (!supervisor_log_is_file(conf))
        return true;
    int fd = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd == -1 || dup2(fd, STDERR_FILENO) == -1) {
        log_write(LOG_LEVEL_ERROR, "supervisor", "cannot open log target '%s': %s", target, strerror(errno));
        fd_close(&fd);
        return false;
    }
    fd_close(&fd);
    log_look_at_stderr();
    return true;
}

static void on_reopen(struct ev_loop *loop, ev_signal *w, int events)
{
    struct supervisor *sv = w->data;
    bool opened = supervisor_open_log(sv->conf);
    logsink_start(loop);
    front_child_reopen_logs(&sv->front, opened && supervisor_log_is_file(sv->conf) ? STDERR_FILENO : -1);
    log_write(LOG_LEVEL_INFO, "supervisor", "USR1: log files opened anew");
}

static void watch_signal(struct supervisor *sv, ev_signal *w, int signal,
                         void (*callback)(struct ev_loop *loop, ev_signal *w, int events))
{
    ev_signal_init(w, callback, signal);
    w->data = sv;
    ev_signal_start(sv->nursery.loop, w);
}

static void watch_signals(struct supervisor *sv)
{
    watch_signal(sv, &sv->terminate, SIGTERM, on_stop_signal);
    watch_signal(sv, &sv->interrupt, SIGINT, on_stop_signal);
    watch_signal(sv, &sv->hang_up, SIGHUP, on_hang_up);
    watch_signal(sv, &sv->reopen, SIGUSR1, on_reopen);
}

/* They wait until the process has ended: with its watcher a signal gets back the power to kill. */
static void unwatch_signals(struct supervisor *sv)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    ev_signal_stop(sv->nursery.loop, &sv->terminate);
    ev_signal_stop(sv->nursery.loop, &sv->interrupt);
    ev_signal_stop(sv->nursery.loop, &sv->hang_up);
    ev_signal_stop(sv->nursery.loop, &sv->reopen);
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

/* What this process inherited and does not want to pass on, or to be ruled by. Orphans of workers become its children,
 * so that they are reaped. */
static void settle_in(struct supervisor *sv)
{
    struct rlimit core;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = 0; /* the hard limit stays: a backend's rlimits.core may ask for it */
    setrlimit(RLIMIT_CORE, &core);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sv->nursery.umask = umask(0);
    umask(sv->nursery.umask);
    sv->started_us = clock_us();
}

/* In the guardian: the supervisor is dead. */
static void clear_away(void *arg)
{
    struct supervisor *sv = arg;
    strays_kill(sv->rundir.path);
    bindings_remove_files(&sv->bindings);
    endpoint_remove_file(&sv->control);
    rundir_remove(&sv->rundir);
}

static bool open_pools(struct supervisor *sv, char *error_r, size_t error_size)
{
    sv->ids = mem_zalloc((sv->conf->nbackends + 1) * sizeof(sv->ids[0]));
    for (size_t i = 0; i < sv->conf->nbackends; i++) {
        struct pool *p = reload_open_pool(sv, sv->conf, i, error_r, error_size);
        if (p == NULL)
            return false;
        p->role = POOL_SERVING;
        sv->ids[i] = p->id;
    }
    return true;
}

static bool open_control(struct supervisor *sv, char *error_r, size_t error_size)
{
    char problem[512];
    if (endpoint_open_unix(&sv->control, sv->conf->control, CONTROL_MODE, CONTROL_BACKLOG, problem, sizeof(problem)) &&
        fd_set_nonblocking(sv->control.fd, true))
        return true;
    snprintf(error_r, error_size, "control socket '%s': %s (`control` in the conf, or --control)", sv->conf->control,
             problem);
    return false;
}

static bool start_guardian(struct supervisor *sv, char *error_r, size_t error_size)
{
    size_t groups = GROUPS_MORE;
    for (size_t i = 0; i < sv->pools.count; i++)
        groups += 2 * sv->pools.all[i]->nopen;
    if (groups < GROUPS_MIN)
        groups = GROUPS_MIN;
    sv->nursery.guardian = guardian_start(sv->nursery.loop, groups, clear_away, sv);
    if (sv->nursery.guardian != NULL)
        return true;
    snprintf(error_r, error_size, "cannot start the guardian: %s", strerror(errno));
    return false;
}

/* Everything that can be refused, before anything is started. */
static bool acquire(struct supervisor *sv, struct activation *activation, char *error_r, size_t error_size)
{
    struct front_options front = {.nursery = &sv->nursery,
                                  .conf = {.conf = sv->conf, .bindings = &sv->bindings},
                                  .listener = &front_listener,
                                  .arg = sv};
    sv->nursery.loop = ev_default_loop(EVFLAG_AUTO);
    sv->nursery.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (sv->nursery.loop == NULL || sv->nursery.null == -1) {
        snprintf(error_r, error_size, "no event loop or no /dev/null: %s", strerror(errno));
        return false;
    }
    ev_timer_init(&sv->leave, on_leave_over, 0., 0.);
    sv->leave.data = sv;
    sv->notify = notify_start(sv->nursery.loop, &notify_source, sv);
    return front_child_open(&sv->front, &front, error_r, error_size) &&
           bindings_open(&sv->bindings, sv->conf, activation, sv->notify, error_r, error_size) &&
           rundir_open(&sv->rundir, sv->conf->runtime_directory, error_r, error_size) &&
           open_pools(sv, error_r, error_size) && open_control(sv, error_r, error_size) &&
           start_guardian(sv, error_r, error_size);
}

static void release(struct supervisor *sv)
{
    control_server_stop(&sv->control_server);
    orders_free(&sv->orders);
    notify_stop(&sv->notify);
    census_stop(&sv->census);
    front_child_close(&sv->front);
    reload_close(sv);
    if (sv->nursery.guardian != NULL)
        strays_kill(sv->rundir.path);
    endpoint_close(&sv->control);
    bindings_close(&sv->bindings);
    rundir_remove(&sv->rundir);
    guardian_dismiss(&sv->nursery.guardian);
    logsink_stop();
    fd_close(&sv->nursery.null);
    if (sv->nursery.loop != NULL)
        ev_loop_destroy(sv->nursery.loop);
}

static void start_all(struct supervisor *sv)
{
    sv->control_server = control_server_start(sv->nursery.loop, sv->control.fd, &control_handler, sv);
    sv->orders = (struct orders){.pools = &sv->pools,
                                 .front = &sv->front,
                                 .server = sv->control_server,
                                 .drain = on_drain_order,
                                 .arg = sv,
                                 .log_level = -1};
    warn_of_short_watchdog(sv);
    bindings_keep(&sv->bindings, sv->notify);
    notify_extend(sv->notify, longest(sv, offsetof(struct conf_backend, start_timeout)) + MANAGER_MARGIN_US);
    sv->census = census_start(sv->nursery.loop, &sv->pools);
    front_child_name_backends(&sv->front, sv->ids);
    front_child_start(&sv->front);
    for (size_t i = 0; sv->phase == PHASE_RUNNING && i < sv->pools.count; i++)
        pool_start(sv->pools.all[i]);
}

int supervisor_run(const struct conf *conf)
{
    struct supervisor sv = {.conf = conf, .nursery.null = -1, .control = ENDPOINT_NONE, .rundir.lock = -1};
    struct activation *activation = mem_zalloc(sizeof(*activation));
    char error[1024] = "";
    log_init("supervisor", (enum log_level)conf->log.level, conf->log.format == CONF_LOG_JSON);
    activation_init(activation);
    settle_in(&sv);
    reload_init(&sv);
    bool acquired = supervisor_open_log(conf) && acquire(&sv, activation, error, sizeof(error));
    size_t unused = activation_close_rest(activation);
    mem_free(&activation);
    if (!acquired) {
        if (error[0] != '\0')
            log_write(LOG_LEVEL_ERROR, "supervisor", "%s", error);
        release(&sv);
        return 1;
    }
    if (unused > 0)
        log_write(LOG_LEVEL_WARNING, "supervisor", "%zu sockets of the service manager are named by no listener",
                  unused);
    logsink_start(sv.nursery.loop);
    watch_signals(&sv);
    start_all(&sv);
    if (!sv.ended)
        ev_run(sv.nursery.loop, 0);
    unwatch_signals(&sv);
    orders_ended(&sv.orders, sv.front.cut_off ? "not drained within drain_timeout: what was still running was cut off"
                             : sv.hurry       ? "stopped at once: what was still running was cut off"
                                              : NULL);
    log_write(LOG_LEVEL_INFO, "supervisor", "stopped");
    release(&sv);
    return sv.exit_code;
}
