/* SPDX-License-Identifier: MIT
 *
 * spawn: fork and exec of one child from a plan. Everything that needs memory is in the plan before the fork; between
 * fork and exec the child makes async-signal-safe calls only. The child leads a process group of its own (not a
 * session: nice values are compared within one scheduling group) and has entered it in the guardian's book before it
 * runs anything, so that no instant is left in which the supervisor could die and leave it behind. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_SPAWN_H
#define BULKHEAD_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct identity;

/* exit status of a child that could not be started; the words are on its fd 2 */
#define SPAWN_EXIT_NOT_FOUND 127
#define SPAWN_EXIT_FAILED    126

#define SPAWN_LIMITS_MAX 16

/* soft and hard, see setrlimit(2) */
struct spawn_limit {
    int resource;
    rlim_t value;
    const char *name;
};

/* All borrowed for the time of the call. */
struct spawn_plan {
    char **argv;           /* argv[0] is what is executed; without '/' it is looked for along `search` */
    const char *search;    /* a PATH; NULL: argv[0] is a path */
    char **environment;    /* NULL-terminated */
    char *listen_pid;      /* within `environment`: room for the digits of the child's pid; NULL: not wanted */
    const char *directory; /* NULL: the supervisor's */
    const struct identity *identity;
    mode_t umask;
    int nice;
    bool no_new_privileges;
    struct spawn_limit limits[SPAWN_LIMITS_MAX];
    size_t nlimits;
};

struct spawn_fds {
    int input;       /* becomes 0 */
    int output;      /* becomes 1 and 2; -1: the supervisor's own */
    int passed;      /* becomes 3 */
    int register_at; /* socket to the guardian */
};

/* returns the pid, or -1 with errno when there is no process to be had */
pid_t spawn_start(const struct spawn_plan *plan, const struct spawn_fds *fds);

#endif
