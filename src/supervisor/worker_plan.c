/* SPDX-License-Identifier: MIT
 *
 * worker_plan: argv and environment of workers: see worker_plan.h. A foreign command is taken as it stands; native
 * backends (a module, CGI programs) run in bulkhead-worker, whose arguments are in wire/heritage.h.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/conf.h"
#include "supervisor/libexec.h"
#include "supervisor/worker_plan.h"
#include "wire/heritage.h"

#define ARGUMENTS_MAX   16
#define PID_PLACEHOLDER "0000000000"

static bool is_native(const struct conf_backend *backend)
{
    return backend->what == CONF_WHAT_MODULE || backend->what == CONF_WHAT_CGI;
}

unsigned worker_plan_processes(const struct conf_backend *backend)
{
    switch (backend->run) {
    case CONF_RUN_WORKERS:
        return backend->workers;
    case CONF_RUN_THREADS:
        return backend->in_front ? 0 : 1;
    default:
        return 0;
    }
}

unsigned worker_plan_concurrency(const struct conf_backend *backend)
{
    return backend->run == CONF_RUN_THREADS ? backend->threads : backend->concurrency;
}

static char **native_argv(const struct conf *conf, const struct conf_backend *backend)
{
    char **argv = mem_zalloc(ARGUMENTS_MAX * sizeof(*argv));
    size_t n = 0;
    argv[n++] = libexec_find("bulkhead-worker");
    argv[n++] = mem_strdup("--threads");
    argv[n++] = mem_printf("%u", worker_plan_concurrency(backend));
    if (backend->what == CONF_WHAT_MODULE) {
        argv[n++] = mem_strdup("--module");
        argv[n++] = conf_module_path(conf, backend);
    } else {
        argv[n++] = mem_strdup("--cgi");
        argv[n++] = mem_strdup(backend->cgi);
    }
    if (backend->root != NULL) {
        argv[n++] = mem_strdup("--root");
        argv[n++] = mem_strdup(backend->root);
    }
    argv[n++] = mem_strdup("--options");
    argv[n++] = mem_strdup(backend->options_json);
    argv[n++] = mem_strdup("--name");
    argv[n++] = mem_strdup(backend->name);
    assert(n < ARGUMENTS_MAX);
    return argv;
}

static char **foreign_argv(const struct conf_backend *backend)
{
    size_t n = 0;
    while (backend->command[n] != NULL)
        n++;
    char **argv = mem_zalloc((n + 1) * sizeof(*argv));
    while (n-- > 0)
        argv[n] = mem_strdup(backend->command[n]);
    return argv;
}

/* What bulkhead promises its workers comes last: the conf cannot take it back. */
static char *make_environment(struct environment *e, const struct conf_backend *backend, unsigned index,
                              const char *socket_path)
{
    char number[16];
    environment_init(e, environ);
    for (size_t i = 0; i < backend->nenvironment; i++)
        environment_set(e, backend->environment[i].name, backend->environment[i].value);
    snprintf(number, sizeof(number), "%u", index);
    environment_set(e, HERITAGE_ENV_SOCKET, socket_path);
    environment_set(e, HERITAGE_ENV_BACKEND, backend->name);
    environment_set(e, HERITAGE_ENV_WORKER, number);
    environment_set(e, "LISTEN_FDS", "1");
    environment_set(e, "LISTEN_FDNAMES", "bulkhead");
    return environment_set(e, "LISTEN_PID", PID_PLACEHOLDER);
}

/* value: in the resource's own unit, or what struct conf_rlimits has for none and for no limit */
static void add_limit(struct spawn_plan *spawn, int resource, const char *name, int64_t value)
{
    if (value < 0)
        return;
    assert(spawn->nlimits < SPAWN_LIMITS_MAX);
    spawn->limits[spawn->nlimits++] =
        (struct spawn_limit){resource, value == CONF_UNLIMITED ? RLIM_INFINITY : (rlim_t)value, name};
}

static int64_t whole_seconds(int64_t us)
{
    return us < 0 || us == CONF_UNLIMITED ? us : (us + 999999) / 1000000;
}

static void add_limits(struct spawn_plan *spawn, const struct conf_rlimits *limits)
{
    add_limit(spawn, RLIMIT_AS, "as", limits->as);
    add_limit(spawn, RLIMIT_CORE, "core", limits->core);
    add_limit(spawn, RLIMIT_CPU, "cpu", whole_seconds(limits->cpu));
    add_limit(spawn, RLIMIT_DATA, "data", limits->data);
    add_limit(spawn, RLIMIT_FSIZE, "fsize", limits->fsize);
    add_limit(spawn, RLIMIT_MEMLOCK, "memlock", limits->memlock);
    add_limit(spawn, RLIMIT_NOFILE, "nofile", limits->nofile);
    add_limit(spawn, RLIMIT_NPROC, "nproc", limits->nproc);
    add_limit(spawn, RLIMIT_STACK, "stack", limits->stack);
}

bool worker_plan_make(struct worker_plan *plan, const struct conf *conf, const struct conf_backend *backend,
                      unsigned index, const char *socket_path, char *error_r, size_t error_size)
{
    *plan = (struct worker_plan){0};
    if (!identity_find(&plan->identity, backend->user, backend->group, error_r, error_size))
        return false;
    plan->argv = is_native(backend) ? native_argv(conf, backend) : foreign_argv(backend);
    plan->spawn.listen_pid = make_environment(&plan->environment, backend, index, socket_path);
    plan->spawn.argv = plan->argv;
    plan->spawn.search = environment_get(&plan->environment, "PATH");
    if (plan->spawn.search == NULL)
        plan->spawn.search = "/usr/local/bin:/usr/bin:/bin";
    plan->spawn.environment = plan->environment.vars;
    plan->spawn.directory = backend->directory;
    plan->spawn.identity = &plan->identity;
    plan->spawn.nice = backend->nice;
    plan->spawn.umask = (mode_t)backend->umask;
    plan->spawn.no_new_privileges = backend->no_new_privileges;
    add_limits(&plan->spawn, &backend->rlimits);
    return true;
}

void worker_plan_free(struct worker_plan *plan)
{
    for (char **a = plan->argv; a != NULL && *a != NULL; a++)
        free(*a);
    mem_free(&plan->argv);
    environment_free(&plan->environment);
}
