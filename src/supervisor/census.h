/* SPDX-License-Identifier: MIT
 *
 * census: looks at every worker once a second: how old it is, and how much memory it and what it has started hold. Who
 * is past a limit of the conf is retired politely, or killed. Backends without such limits cost nothing. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_CENSUS_H
#define BULKHEAD_SUPERVISOR_CENSUS_H

#include <stddef.h>

struct census;
struct ev_loop;
struct pool;

/* pools: borrowed. NULL when none of them has a limit to look after. */
struct census *census_start(struct ev_loop *loop, struct pool *pools, size_t npools);
/* idempotent */
void census_stop(struct census **census);

#endif
