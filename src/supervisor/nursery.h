/* SPDX-License-Identifier: MIT
 *
 * nursery: what every child is born with, made once at boot and shared by all who start children. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_NURSERY_H
#define BULKHEAD_SUPERVISOR_NURSERY_H

#include <sys/types.h>

struct ev_loop;
struct guardian;

struct nursery {
    struct ev_loop *loop;
    struct guardian *guardian;
    int null;     /* /dev/null, for reading */
    mode_t umask; /* as the supervisor found it */
};

#endif
