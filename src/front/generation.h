/* SPDX-License-Identifier: MIT
 *
 * generation: one conf in force: the frozen tree, the compiled router, and a `struct backend` (gate and executor) per
 * backend. Reference-counted: each loop thread holds one for the generation it serves, each call one until it ends, so
 * a swap leaves running calls what they began with. Built on the main thread, read-only afterwards.
 */
#ifndef BULKHEAD_FRONT_GENERATION_H
#define BULKHEAD_FRONT_GENERATION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "call/loop.h"
#include "call/reason.h"
#include "front/intake.h"

struct conf;
struct conf_backend;
struct executor;
struct gate;
struct host;
struct module;
struct route;
struct router;
struct wire_control;

/* What the supervisor says about one of its processes; for the status page. */
struct backend_worker {
    pid_t pid;
    uint32_t generation, restarts;
    char state[16]; /* empty: never heard of */
};

/* A compartment. Reference-counted apart from the generation: one that the next conf does not change goes on in the next
 * generation, with all that it has. */
struct backend {
    _Atomic unsigned references; /* generations */
    struct list link;            /* on the list of all */
    uint32_t id;                 /* the supervisor's name of it, in whatever conf */
    struct conf *part;           /* what the conf that it was made for says of it; owned, since it may outlive that */
    const struct conf_backend *conf; /* in `part`; what a reload can change in place is in the generation's conf */
    struct gate *gate;
    struct executor *executor;
    struct module *module; /* in_front threads: what the host runs */
    struct host *host;
    _Atomic int64_t warn_after_us;           /* as the conf in force has it */
    _Atomic unsigned limit;                  /* the most calls at a time: the conf's, until it is resized */
    _Atomic bool is_down;                    /* the supervisor says: no worker can be started */
    _Atomic uint64_t outcomes[REASON_COUNT]; /* calls by reason; REASON_NONE: answered */
    pthread_mutex_t lock;                    /* of what follows: written by the main thread, read by status */
    char down_why[128];
    unsigned slots;    /* of a leased class: as the executor said last; written by any thread */
    bool awaits_quiet; /* paused, and the supervisor is to hear when nothing runs any more; the main thread's own */
    struct backend_worker *workers;
    size_t nworkers;
};

struct generation {
    _Atomic unsigned references;
    struct loop_task burial; /* how its end gets to the main thread */
    struct conf *conf;       /* owned */
    struct intake intake;
    struct router *router;
    struct route *routes;      /* parallel to conf->routes */
    struct route **websockets; /* of these, those that have them */
    size_t nwebsockets;
    struct backend **backends; /* parallel to conf->backends */
};

/* Takes conf, also when it fails. ids: of its backends, parallel to conf->backends; NULL: numbers from 0. `before`: the
 * generation in force, from which backends with an id that is among ids go on; NULL: there is none. `loops` threads will
 * use it. Nothing that serves notices. NULL with a message (module cannot be loaded…) in error. Not on a loop thread. */
struct generation *generation_create(struct conf *conf, const uint32_t *ids, const struct generation *before,
                                     unsigned loops, char *error, size_t error_size);
/* It is in force from now on: backends that go on are bounded as its conf says. */
void generation_enforce(struct generation *g);
struct generation *generation_ref(struct generation *g);
/* Any thread; the last one leaves the rest to the main thread, if there is a generation_home. */
void generation_unref(struct generation *g);
/* The route of g that is what `route` was in another generation; NULL: it is there no more. Any thread. */
const struct route *generation_heir(const struct generation *g, const struct route *route);
/* Supervisor's messages about workers; main thread. Those about backends that are not there (any more) do nothing. */
void generation_grant(uint32_t backend, unsigned slot, uint32_t worker_generation, pid_t pid, unsigned concurrency,
                      const char *path);
void generation_recall(uint32_t backend, unsigned slot, uint32_t worker_generation);
void generation_lost(uint32_t backend, unsigned slot, uint32_t worker_generation, const char *why);
void generation_worker(uint32_t backend, unsigned slot, uint32_t worker_generation, pid_t pid, const char *state,
                       unsigned restarts);
void generation_down(uint32_t backend, bool down, const char *why);
/* Calls of the backend are held from now on, each for hold_us (-1: its queue_timeout); or let go. */
void generation_pause(uint32_t backend, int64_t hold_us);
void generation_resume(uint32_t backend);
/* Tells the supervisor of those paused backends on which nothing runs any more. true: some are yet to be told of. */
bool generation_tell_quiet(struct generation *g);
/* The most calls at a time, from now on. */
void generation_resize(uint32_t backend, unsigned limit);
/* Set once at start by the supervisor link. How the supervisor is told (any thread): of its workers, and that a
 * backend of a leased class has ended. */
extern void (*generation_tell)(const struct wire_control *m);
/* the main thread's; NULL: generations end where they are let go */
extern struct loop *generation_home;

#endif
