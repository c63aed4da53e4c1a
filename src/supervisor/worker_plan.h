/* SPDX-License-Identifier: MIT
 *
 * worker_plan: a backend's words in the conf made into what execve takes: argv, environment, directory, user. One plan
 * a worker, made at boot and used for every start of it. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_WORKER_PLAN_H
#define BULKHEAD_SUPERVISOR_WORKER_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/environment.h"
#include "supervisor/identity.h"
#include "supervisor/spawn.h"

struct conf;
struct conf_backend;

struct worker_plan {
    struct spawn_plan spawn; /* points into the rest */
    struct environment environment;
    struct identity identity;
    char **argv; /* owned, NULL-terminated */
};

/* Does this backend have worker processes of its own, and how many? 0: it runs in the front. */
unsigned worker_plan_processes(const struct conf_backend *backend);
/* calls at a time in one of them */
unsigned worker_plan_concurrency(const struct conf_backend *backend);
/* socket_path: the worker's. The plan must not move afterwards. false with words; then there is nothing to free. */
bool worker_plan_make(struct worker_plan *plan, const struct conf *conf, const struct conf_backend *backend,
                      unsigned index, const char *socket_path, char *error_r, size_t error_size);
void worker_plan_free(struct worker_plan *plan);

#endif
