/* SPDX-License-Identifier: MIT
 *
 * output: what one worker writes to its stdout and stderr, a pipe read line by line into the log. A line is cut at a
 * length, and past so many lines a second they are dropped and counted; a worker that writes faster than that has its
 * pipe read in slices, so that it waits and not the supervisor. Memory is taken once, not for every process.
 * Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_OUTPUT_H
#define BULKHEAD_SUPERVISOR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

struct output {
    struct ev_loop *loop;
    const char *backend; /* borrowed */
    unsigned index;
    pid_t pid;
    int fd; /* reading end; -1: none */
    ev_io readable;
    ev_timer pause;  /* running: the pipe is left alone until it ends */
    ev_timer second; /* running: the second in which `lines` are counted */
    char *line;      /* owned, line_max bytes */
    size_t len, line_max;
    bool cut; /* the rest of this line is skipped */
    uint64_t lines, lines_max, dropped;
    char last[160]; /* the last line that was not empty, for "why did it end?" */
};

void output_init(struct output *o, struct ev_loop *loop, const char *backend, unsigned index, size_t line_max,
                 uint64_t lines_per_second);
/* A new pipe: the returned writing end is the caller's, for the child. -1 with errno. */
int output_open(struct output *o);
/* the pipe belongs to this process from now on */
void output_watch(struct output *o, pid_t pid);
/* Logs what is left in the pipe, and closes it: the process is gone. Idempotent. */
void output_finish(struct output *o);
void output_free(struct output *o);

#endif
