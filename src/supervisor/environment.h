/* SPDX-License-Identifier: MIT
 *
 * environment: a child's environment in the making: the supervisor's own, less what was meant for the supervisor alone,
 * plus what is set. Built at boot, kept as long as the child may be started again. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_ENVIRONMENT_H
#define BULKHEAD_SUPERVISOR_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

struct environment {
    char **vars; /* owned, NULL-terminated, as execve takes it */
    size_t count, capacity;
};

/* Starts from `inherited` (environ). What systemd told the supervisor, and what a bulkhead around this one told its
 * worker, is left out. */
void environment_init(struct environment *e, char *const *inherited);
void environment_free(struct environment *e);
/* Replaces or adds. Returns the value within the environment. */
char *environment_set(struct environment *e, const char *name, const char *value);
/* NULL when not set */
const char *environment_get(const struct environment *e, const char *name);

#endif
