/* SPDX-License-Identifier: MIT
 *
 * cgi_process: one running CGI program: a process group of its own, its standard input fed and its output read at the
 * same time, and its end in all cases. Belongs to the thread that runs the call; that thread reaps it.
 */
#ifndef BULKHEAD_HANDLER_CGI_PROCESS_H
#define BULKHEAD_HANDLER_CGI_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/str.h"
#include "bulkhead/handler.h"

struct cgi_command {
    const char *file, *directory; /* what to run, and where */
    char **environment;
};

struct cgi_process {
    pid_t pid;
    int handle;        /* pidfd */
    int input, output; /* our ends, non-blocking; -1: closed */
    struct str unsent; /* what is left of its input; borrowed */
    bool ended;        /* handle has said so; it may be reaped */
};

/* body: borrowed until the end. false with errno: nothing is left behind. */
bool cgi_process_start(struct cgi_process *p, const struct cgi_command *command, struct str body);
/* Bytes read, 0 at the end of its output; -1: the call was cancelled or its time is over, or reading failed. */
ssize_t cgi_process_read(struct cgi_process *p, struct bulkhead_call *call, char *bytes, size_t room);
/* Waits for it to end by itself; false: the call was cancelled or its time is over. */
bool cgi_process_wait(struct cgi_process *p, struct bulkhead_call *call);
/* Gives everything back. A program that still runs, and what it has started in its group, gets SIGTERM, a second,
 * SIGKILL. Returns the wait status (waitpid(2)). */
int cgi_process_finish(struct cgi_process *p);

#endif
