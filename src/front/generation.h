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

#include "call/reason.h"

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

/* A compartment. Reference-counted apart from the generation, so that a reload can carry an unchanged one over. */
struct backend {
    _Atomic unsigned references;
    unsigned index; /* in conf->backends */
    const struct conf_backend *conf;
    struct gate *gate;
    struct executor *executor;
    struct module *module; /* in_front threads: what the host runs */
    struct host *host;
    _Atomic bool is_down;                    /* the supervisor says: no worker can be started */
    _Atomic uint64_t outcomes[REASON_COUNT]; /* calls by reason; REASON_NONE: answered */
    pthread_mutex_t lock;                    /* of what follows: written by the main thread, read by status */
    char down_why[128];
    struct backend_worker *workers;
    size_t nworkers;
};

struct generation {
    _Atomic unsigned references;
    struct conf *conf; /* owned */
    struct router *router;
    struct route *routes;      /* parallel to conf->routes */
    struct backend **backends; /* parallel to conf->backends */
};

/* Takes conf, also when it fails. `loops` threads will use it. NULL with a message (module cannot be loaded…) in
 * error. */
struct generation *generation_create(struct conf *conf, unsigned loops, char *error, size_t error_size);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g);
/* Supervisor's messages about workers; main thread */
void generation_grant(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation, pid_t pid,
                      unsigned concurrency, const char *path);
void generation_recall(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation);
void generation_lost(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation,
                     const char *why);
void generation_worker(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation, pid_t pid,
                       const char *state, unsigned restarts);
void generation_down(struct generation *g, unsigned backend, bool down, const char *why);
/* Set once at start by the supervisor link: how the supervisor is told of a worker (any thread). */
extern void (*generation_tell)(const struct wire_control *m);

#endif
