/* SPDX-License-Identifier: MIT
 *
 * rundir: the directory of one run below the configured runtime directory: the workers' sockets, and a lock that its
 * supervisor holds for as long as it lives, by which a later one tells the directories of the dead, and clears them
 * away. Supervisor; rundir_remove also in the guardian.
 */
#ifndef BULKHEAD_SUPERVISOR_RUNDIR_H
#define BULKHEAD_SUPERVISOR_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

struct rundir {
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int lock; /* -1: none */
};

/* base is created when it is not there. false with words. */
bool rundir_open(struct rundir *r, const char *base, char *error_r, size_t error_size);
/* the directory with the sockets in it; no-op when there is none */
void rundir_remove(struct rundir *r);

#endif
