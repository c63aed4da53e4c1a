/* SPDX-License-Identifier: MIT
 *
 * environment: an array of NAME=VALUE strings: see environment.h. Searched from the front: a few dozen entries, at
 * boot.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "supervisor/environment.h"

static const char *const not_inherited[] = {
    "LISTEN_FDS",   "LISTEN_PID",      "LISTEN_FDNAMES",   "NOTIFY_SOCKET",   "WATCHDOG_USEC",
    "WATCHDOG_PID", "BULKHEAD_SOCKET", "BULKHEAD_BACKEND", "BULKHEAD_WORKER",
};

static bool is_named(const char *var, const char *name)
{
    size_t len = strlen(name);
    return strncmp(var, name, len) == 0 && var[len] == '=';
}

static bool is_inherited(const char *var)
{
    for (size_t i = 0; i < sizeof(not_inherited) / sizeof(not_inherited[0]); i++) {
        if (is_named(var, not_inherited[i]))
            return false;
    }
    return true;
}

static char **find(const struct environment *e, const char *name)
{
    for (size_t i = 0; i < e->count; i++) {
        if (is_named(e->vars[i], name))
            return &e->vars[i];
    }
    return NULL;
}

static void append(struct environment *e, char *var)
{
    if (e->count + 1 >= e->capacity) {
        e->capacity = e->capacity == 0 ? 64 : e->capacity * 2;
        e->vars = mem_realloc(e->vars, e->capacity * sizeof(e->vars[0]));
    }
    e->vars[e->count++] = var;
    e->vars[e->count] = NULL;
}

void environment_init(struct environment *e, char *const *inherited)
{
    *e = (struct environment){0};
    for (; *inherited != NULL; inherited++) {
        if (is_inherited(*inherited))
            append(e, mem_strdup(*inherited));
    }
}

void environment_free(struct environment *e)
{
    for (size_t i = 0; i < e->count; i++)
        mem_free(&e->vars[i]);
    mem_free(&e->vars);
    e->count = e->capacity = 0;
}

char *environment_set(struct environment *e, const char *name, const char *value)
{
    char *var = mem_printf("%s=%s", name, value), **old = find(e, name);
    if (old != NULL) {
        free(*old);
        *old = var;
    } else {
        append(e, var);
    }
    return var + strlen(name) + 1;
}

const char *environment_get(const struct environment *e, const char *name)
{
    char **var = find(e, name);
    return var == NULL ? NULL : *var + strlen(name) + 1;
}
