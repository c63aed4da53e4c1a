/* SPDX-License-Identifier: MIT
 *
 * generation: one conf in force: the frozen tree, the compiled router, and a `struct backend` (gate and executor) per
 * backend. Reference-counted: each loop thread holds one for the generation it serves, each call one until it ends, so a
 * swap leaves running calls what they began with. Built on the main thread, read-only afterwards.
 */
#ifndef BULKHEAD_FRONT_GENERATION_H
#define BULKHEAD_FRONT_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "call/reason.h"
#include "config/conf.h"

struct executor;
struct gate;
struct router;

/* A compartment. Reference-counted apart from the generation, so that a later reload can carry an unchanged one over. */
struct backend {
    _Atomic unsigned references;
    const struct conf_backend *conf;
    struct gate *gate;
    struct executor *executor;
    _Atomic bool down;       /* the supervisor says: no worker can be started */
    char down_why[128];
    _Atomic uint64_t outcomes[REASON_COUNT]; /* calls by reason; REASON_NONE: answered */
    struct backend_worker { pid_t pid; uint32_t generation, restarts; char state[16]; } *workers; /* supervisor's words (WIRE_WORKER); main thread writes under `lock` */
    size_t nworkers;
    pthread_mutex_t lock;
};

struct generation {
    _Atomic unsigned references;
    struct conf *conf; /* owned */
    struct router *router;
    struct backend **backends; /* parallel to conf->backends */
};

/* Takes conf. `loops` threads will use it. NULL with a message (module cannot be loaded…) in error. */
struct generation *generation_create(struct conf *conf, unsigned loops, char *error, size_t error_size);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g);
/* Supervisor's messages about workers, any thread */
void generation_grant(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation, pid_t pid, unsigned concurrency,
                      const char *path);
void generation_lost(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation, const char *why);
void generation_worker(struct generation *g, unsigned backend, unsigned slot, uint32_t worker_generation, pid_t pid, const char *state,
                       unsigned restarts);
void generation_down(struct generation *g, unsigned backend, bool down, const char *why);
/* Set once at start by the supervisor link: how a worker is asked to be killed (any thread). */
extern void (*generation_kill_worker)(unsigned backend, unsigned slot, uint32_t worker_generation, const char *why);

#endif
