/* SPDX-License-Identifier: MIT
 *
 * crew: the table of workers and their seats: granting, losing, picking, the line of calls that wait for a seat, and
 * the status page's view. What happens on a seat while it has a call is in seat.c; the object map is in crew_private.h.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jitter.h"
#include "base/mem.h"
#include "diag/log.h"
#include "executor/crew_private.h"

/* bytes of chunk extensions and trailers in an answer */
#define CHUNK_OVERHEAD_MAX 8192

/* ---- slots ------------------------------------------------------------------------------------------------------ */

static void count_locked(struct crew *c, struct seat *s, bool counted)
{
    if (s->counted == counted)
        return;
    s->counted = counted;
    if (counted)
        c->slots++;
    else
        c->slots--;
}

/* One thread at a time calls the front, so that an older number can never overwrite a newer one. */
void crew_announce(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->announcing && c->announced != c->slots && c->super.on_slots != NULL) {
        unsigned slots = c->announced = c->slots;
        c->announcing = true;
        pthread_mutex_unlock(&c->lock);
        c->super.on_slots(&c->super, slots, c->super.on_slots_arg);
        pthread_mutex_lock(&c->lock);
        c->announcing = false;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- idle seats and the line ------------------------------------------------------------------------------------ */

static struct seat *first_locked(struct list *idle, const struct crew_worker *avoid)
{
    for (struct list *at = idle->next; at != idle; at = at->next) {
        struct seat *s = LIST_ENTRY(at, struct seat, link);
        if (s->worker != avoid)
            return s;
    }
    return NULL;
}

struct seat *crew_take_locked(struct crew *c, const struct crew_worker *avoid)
{
    struct seat *s = first_locked(&c->kept, avoid);
    if (s == NULL)
        s = first_locked(&c->fresh, avoid);
    if (s == NULL && avoid != NULL)
        return crew_take_locked(c, NULL);
    if (s != NULL)
        list_unlink(&s->link);
    return s;
}

bool crew_is_leaving(const struct crew_worker *w)
{
    return w->killed || w->recalled;
}

void crew_vacate_locked(struct crew *c, struct seat *s)
{
    assert(s->call == NULL && !s->worker->lost);
    if (crew_is_leaving(s->worker)) {
        s->state = SEAT_WITHDRAWN;
        count_locked(c, s, false);
        return;
    }
    struct list *next = list_pop(&c->waiting);
    if (next != NULL) {
        struct waiter *w = LIST_ENTRY(next, struct waiter, link);
        s->state = SEAT_PASSING;
        w->seat = s;
        loop_post(w->call->loop, &w->task);
    } else if (hop_is_kept(&s->hop)) {
        s->state = SEAT_KEPT;
        list_prepend(&c->kept, &s->link);
    } else {
        s->state = SEAT_FRESH;
        list_prepend(&c->fresh, &s->link);
    }
}

void crew_line_up_locked(struct crew *c, struct waiter *w, bool first)
{
    if (first)
        list_prepend(&c->waiting, &w->link);
    else
        list_append(&c->waiting, &w->link);
}

void crew_withdraw_locked(struct crew *c, struct crew_worker *worker)
{
    for (unsigned i = 0; i < worker->nseats; i++) {
        struct seat *s = &worker->seats[i];
        if (s->state != SEAT_KEPT && s->state != SEAT_FRESH)
            continue;
        list_unlink(&s->link);
        s->state = SEAT_WITHDRAWN;
        count_locked(c, s, false);
    }
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static void crew_unhold(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    bool last = --c->holds == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    assert(list_empty(&c->waiting) && list_empty(&c->workers));
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void crew_release(struct crew_worker *worker)
{
    struct crew *c = worker->crew;
    pthread_mutex_lock(&c->lock);
    bool last = --worker->holds == 0;
    if (last)
        list_unlink(&worker->link);
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    for (unsigned i = 0; i < worker->nseats; i++)
        hop_free(&worker->seats[i].hop);
    free(worker);
    crew_unhold(c);
}

void crew_retire(struct seat *s)
{
    struct crew *c = s->worker->crew;
    assert(s->hop.state == HOP_CLOSED);
    pthread_mutex_lock(&c->lock);
    assert(s->call == NULL && s->worker->lost);
    s->state = SEAT_GONE;
    pthread_mutex_unlock(&c->lock);
    crew_release(s->worker);
}

/* ---- workers come and go ---------------------------------------------------------------------------------------- */

static struct crew_worker *worker_create(struct crew *c, unsigned slot, uint32_t generation, pid_t pid, unsigned seats)
{
    struct crew_worker *w = mem_zalloc(sizeof(*w) + seats * sizeof(w->seats[0]));
    w->crew = c;
    w->slot = slot;
    w->generation = generation;
    w->pid = pid;
    w->nseats = w->holds = seats;
    w->has_cpu_clock = pid != 0 && clock_getcpuclockid(pid, &w->cpu_clock) == 0;
    w->most_calls = (uint64_t)jitter((int64_t)c->options.max_calls, (uint64_t)pid << 32 | generation);
    for (unsigned i = 0; i < seats; i++)
        seat_init(&w->seats[i], w);
    return w;
}

static void worker_enlist(struct crew *c, struct crew_worker *w)
{
    pthread_mutex_lock(&c->lock);
    c->holds++;
    list_append(&c->workers, &w->link);
    for (unsigned i = 0; i < w->nseats; i++) {
        count_locked(c, &w->seats[i], true);
        crew_vacate_locked(c, &w->seats[i]);
    }
    pthread_mutex_unlock(&c->lock);
    crew_announce(c);
}

void crew_grant(struct executor *ex, unsigned slot, uint32_t generation, pid_t pid, unsigned concurrency,
                const char *path)
{
    struct crew *c = crew_of(ex);
    size_t len = strlen(path);
    if (concurrency == 0 || len == 0 || len >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        log_write(LOG_LEVEL_ERROR, "executor",
                  "%s: worker %u granted with an unusable socket path (%zu bytes, limit %zu)", ex->backend, slot, len,
                  sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        return;
    }
    struct crew_worker *w = worker_create(c, slot, generation, pid, concurrency);
    w->address.sun_family = AF_UNIX;
    memcpy(w->address.sun_path, path, len + 1);
    w->target.address = (const struct sockaddr *)&w->address;
    w->target.address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    worker_enlist(c, w);
}

void crew_grant_local(struct executor *ex, unsigned concurrency, int (*connect)(void *arg), void *arg)
{
    assert(concurrency > 0);
    struct crew_worker *w = worker_create(crew_of(ex), 0, 0, 0, concurrency);
    w->target.connect = connect;
    w->target.arg = arg;
    worker_enlist(crew_of(ex), w);
}

static void post_locked(struct seat *s)
{
    s->worker->holds++;
    loop_post(s->loop, &s->task);
}

/* A seat without a call: what it holds is closed here, or, when that may be a socket of a running loop, by that loop.
 * true: it is GONE, its hold yet to be released. */
static bool dismiss_locked(struct crew *c, struct seat *s)
{
    bool on_loop = c->options.loops == 1 && s->loop != NULL && s->state != SEAT_FRESH;
    list_unlink(&s->link);
    if (on_loop) {
        s->state = SEAT_CLOSING;
        post_locked(s);
        return false;
    }
    hop_close(&s->hop);
    s->state = SEAT_GONE;
    return true;
}

/* Returns how many seats went at once. The worker gets one more hold, so that it is still there afterwards. */
static unsigned lose_idle_locked(struct crew *c, struct crew_worker *w)
{
    unsigned gone = 0;
    w->lost = true;
    w->holds++;
    for (unsigned i = 0; i < w->nseats; i++) {
        struct seat *s = &w->seats[i];
        count_locked(c, s, false);
        if (s->state == SEAT_KEPT || s->state == SEAT_FRESH || s->state == SEAT_WITHDRAWN)
            gone += dismiss_locked(c, s) ? 1 : 0;
    }
    return gone;
}

/* The others notice by themselves: PASSING by its waiter's task, ENDING and RESTING by their deadlines. */
static void lose_busy_locked(struct crew_worker *w)
{
    for (unsigned i = 0; i < w->nseats; i++) {
        struct seat *s = &w->seats[i];
        if (s->state == SEAT_RUNNING || s->state == SEAT_STUCK)
            post_locked(s);
    }
}

static void worker_lose(struct crew *c, struct crew_worker *w)
{
    unsigned gone = lose_idle_locked(c, w);
    pthread_mutex_unlock(&c->lock);
    crew_announce(c);
    pthread_mutex_lock(&c->lock);
    lose_busy_locked(w);
    pthread_mutex_unlock(&c->lock);
    for (; gone > 0; gone--)
        crew_release(w);
    crew_release(w);
}

static struct crew_worker *find_locked(struct crew *c, unsigned slot, uint32_t generation)
{
    for (struct list *at = c->workers.next; at != &c->workers; at = at->next) {
        struct crew_worker *w = LIST_ENTRY(at, struct crew_worker, link);
        if (!w->lost && w->slot == slot && w->generation == generation)
            return w;
    }
    return NULL;
}

void crew_lost(struct executor *ex, unsigned slot, uint32_t generation, const char *why)
{
    struct crew *c = crew_of(ex);
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = find_locked(c, slot, generation);
    if (w == NULL) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    log_write(LOG_LEVEL_DEBUG, "executor", "%s: worker %u (pid %d) is lost: %s", ex->backend, slot, (int)w->pid, why);
    worker_lose(c, w); /* unlocks */
}

/* ---- calls that go on past their time --------------------------------------------------------------------------- */

/* One that is past its time and has been left alone, the oldest; its worker is marked as killed. */
static struct seat *find_overdue_locked(struct crew *c)
{
    struct seat *oldest = NULL;
    for (struct list *at = c->workers.next; at != &c->workers; at = at->next) {
        struct crew_worker *w = LIST_ENTRY(at, struct crew_worker, link);
        for (unsigned i = 0; i < w->nseats && !w->killed && !w->lost; i++) {
            struct seat *s = &w->seats[i];
            if (s->state == SEAT_STUCK && (oldest == NULL || s->started_us < oldest->started_us))
                oldest = s;
        }
    }
    return oldest;
}

static bool is_hopeless_locked(const struct crew_worker *w)
{
    for (unsigned i = 0; i < w->nseats; i++)
        if (w->seats[i].state != SEAT_STUCK)
            return false;
    return true;
}

/* A thread host of which every thread is past its time: nothing that anybody waits for is lost with it. The threads in
 * the front, which have no process of their own, are beyond help. */
static struct crew_worker *find_hopeless_locked(struct crew *c)
{
    for (struct list *at = c->workers.next; at != &c->workers; at = at->next) {
        struct crew_worker *w = LIST_ENTRY(at, struct crew_worker, link);
        if (w->pid != 0 && !w->killed && !w->lost && is_hopeless_locked(w))
            return w;
    }
    return NULL;
}

static struct crew_worker *find_to_kill_locked(struct crew *c)
{
    if (c->super.run == CALL_CLASS_THREADS)
        return find_hopeless_locked(c);
    const struct seat *s = c->options.kill_only_if_queued ? find_overdue_locked(c) : NULL;
    return s == NULL ? NULL : s->worker;
}

void crew_press(struct executor *ex)
{
    struct crew *c = crew_of(ex);
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = find_to_kill_locked(c);
    unsigned slot = w == NULL ? 0 : w->slot;
    uint32_t generation = w == NULL ? 0 : w->generation;
    if (w != NULL) {
        w->killed = true;
        crew_withdraw_locked(c, w);
    }
    pthread_mutex_unlock(&c->lock);
    if (w == NULL)
        return;
    crew_announce(c);
    if (ex->kill_worker != NULL)
        ex->kill_worker(ex, slot, generation, "deadline, and calls wait", ex->lease_arg);
}

/* ---- berths ----------------------------------------------------------------------------------------------------- */

static bool has_room_locked(const struct crew_worker *w, unsigned limit)
{
    return !w->lost && !crew_is_leaving(w) && w->target.address != NULL && w->berths < limit;
}

static struct crew_worker *emptiest_locked(struct crew *c, unsigned limit)
{
    struct crew_worker *best = NULL;
    for (struct list *at = c->workers.next; at != &c->workers; at = at->next) {
        struct crew_worker *w = LIST_ENTRY(at, struct crew_worker, link);
        if (has_room_locked(w, limit) &&
            (best == NULL || w->berths < best->berths || (w->berths == best->berths && w->busy < best->busy)))
            best = w;
    }
    return best;
}

static bool crew_berth(struct executor *ex, unsigned limit, struct executor_berth *berth_r)
{
    struct crew *c = crew_of(ex);
    if (c->options.protocol != CREW_HTTP)
        return false;
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = emptiest_locked(c, limit);
    if (w != NULL) {
        w->berths++;
        w->holds++;
        *berth_r = (struct executor_berth){
            .executor = ex, .address_len = w->target.address_len, .worker_pid = w->pid, .place = w};
        memcpy(&berth_r->address, &w->address, sizeof(w->address));
    }
    pthread_mutex_unlock(&c->lock);
    return w != NULL;
}

static void crew_unberth(struct executor_berth *berth)
{
    struct crew_worker *w = berth->place;
    struct crew *c = w->crew;
    pthread_mutex_lock(&c->lock);
    assert(w->berths > 0);
    w->berths--;
    pthread_mutex_unlock(&c->lock);
    berth->place = NULL;
    crew_release(w);
}

/* ---- recall ------------------------------------------------------------------------------------------------------ */

static bool all_withdrawn_locked(const struct crew_worker *w)
{
    for (unsigned i = 0; i < w->nseats; i++)
        if (w->seats[i].state != SEAT_WITHDRAWN)
            return false;
    return true;
}

void crew_withdrawn(struct crew *c, unsigned slot, uint32_t generation)
{
    crew_announce(c);
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = find_locked(c, slot, generation);
    if (w == NULL || !w->recalled || w->killed || !all_withdrawn_locked(w)) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    uint64_t calls = w->calls;
    c->holds++;        /* the worker may have been the last to hold it */
    worker_lose(c, w); /* unlocks */
    if (c->super.return_worker != NULL)
        c->super.return_worker(&c->super, slot, generation, calls, c->super.lease_arg);
    crew_unhold(c);
}

/* Its seats leave the count at once, the busy ones too: who was granted in its place has them. */
void crew_recall(struct executor *ex, unsigned slot, uint32_t generation)
{
    struct crew *c = crew_of(ex);
    pthread_mutex_lock(&c->lock);
    struct crew_worker *w = find_locked(c, slot, generation);
    if (w != NULL) {
        w->recalled = true;
        crew_withdraw_locked(c, w);
        for (unsigned i = 0; i < w->nseats; i++)
            count_locked(c, &w->seats[i], false);
    }
    pthread_mutex_unlock(&c->lock);
    if (w != NULL)
        crew_withdrawn(c, slot, generation);
}

/* ---- status ----------------------------------------------------------------------------------------------------- */

static void describe_locked(const struct crew_worker *w, int64_t now_us, struct executor_row *row)
{
    const struct seat *oldest = NULL;
    bool stuck = false;
    for (unsigned i = 0; i < w->nseats; i++) {
        const struct seat *s = &w->seats[i];
        stuck = stuck || s->state == SEAT_STUCK;
        if (s->call != NULL && (oldest == NULL || s->started_us < oldest->started_us))
            oldest = s;
    }
    *row = (struct executor_row){.slot = w->slot, .pid = w->pid, .generation = w->generation};
    row->busy = w->busy;
    row->berths = w->berths;
    row->calls = w->calls;
    row->state = stuck ? "stuck" : w->lost ? "down" : w->recalled ? "leaving" : oldest != NULL ? "busy" : "idle";
    if (oldest != NULL) {
        memcpy(row->request, oldest->request, sizeof(row->request));
        row->age_us = now_us - oldest->started_us;
    }
}

/* A worker that is gone but for what was bridged to it: its slot is its successor's. */
static bool is_history_locked(const struct crew_worker *w)
{
    return w->lost && w->busy == 0 && w->berths != 0;
}

/* Rows are copied first: the visitor does not run under the lock. */
static void crew_visit(struct executor *ex, executor_visit_fn fn, void *arg)
{
    struct crew *c = crew_of(ex);
    int64_t now_us = clock_us();
    size_t n = 0, capacity = 0;
    struct executor_row *rows = NULL;
    pthread_mutex_lock(&c->lock);
    for (struct list *at = c->workers.next; at != &c->workers; at = at->next) {
        const struct crew_worker *w = LIST_ENTRY(at, struct crew_worker, link);
        if (is_history_locked(w))
            continue;
        if (n == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            rows = mem_realloc(rows, capacity * sizeof(*rows));
        }
        describe_locked(w, now_us, &rows[n++]);
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++)
        fn(arg, &rows[i]);
    free(rows);
}

/* ---- the executor ----------------------------------------------------------------------------------------------- */

/* No call may be left. Kept connections are closed by their loops; the last of them frees the crew. */
static void crew_free(struct executor *ex)
{
    struct crew *c = crew_of(ex);
    pthread_mutex_lock(&c->lock);
    c->super.on_slots = NULL;
    pthread_mutex_unlock(&c->lock);
    for (;;) {
        struct crew_worker *w = NULL;
        pthread_mutex_lock(&c->lock);
        for (struct list *at = c->workers.next; at != &c->workers && w == NULL; at = at->next)
            if (!LIST_ENTRY(at, struct crew_worker, link)->lost)
                w = LIST_ENTRY(at, struct crew_worker, link);
        if (w == NULL)
            break;
        worker_lose(c, w); /* unlocks */
    }
    pthread_mutex_unlock(&c->lock);
    crew_unhold(c);
}

static const struct executor_ops crew_ops = {
    .berth = crew_berth,
    .unberth = crew_unberth,
    .start = seat_start,
    .abandon = seat_abandon,
    .resume = seat_resume,
    .trace = seat_trace,
    .press = crew_press,
    .visit = crew_visit,
    .free = crew_free,
};

static const struct protocol *protocol_of(enum crew_protocol p)
{
    return p == CREW_HTTP ? &protocol_http1 : p == CREW_FASTCGI ? &protocol_fastcgi : &protocol_native;
}

struct executor *crew_create(const struct crew_options *o)
{
    assert(o->loops > 0);
    struct crew *c = mem_zalloc(sizeof(*c));
    c->super = (struct executor){.ops = &crew_ops, .backend = o->backend, .run = o->run};
    c->options = *o;
    c->hop = (struct hop_options){
        .protocol = protocol_of(o->protocol),
        .protocol_options = {.limits = {.head_bytes = o->response_head_max,
                                        .fields = o->response_fields_max,
                                        .interim = o->response_interim_max,
                                        .chunk_overhead = CHUNK_OVERHEAD_MAX},
                             .fastcgi = {.root = o->root, .index = o->index},
                             .backend = o->backend,
                             .keep = o->keep_alive_us != 0},
        .connect_timeout_us = o->connect_timeout_us,
        .first_byte_timeout_us = o->first_byte_timeout_us,
        .idle_timeout_us = o->idle_timeout_us,
        .keep_alive_us = o->keep_alive_us,
        .events = &seat_hop_events,
    };
    retry_init(&c->retries);
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->workers);
    list_init(&c->kept);
    list_init(&c->fresh);
    list_init(&c->waiting);
    c->holds = 1;
    return &c->super;
}
