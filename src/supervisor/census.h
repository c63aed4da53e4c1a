/* SPDX-License-Identifier: MIT
 *
 * census: looks at every worker once a second: how old it is, and how much memory it and what it has started hold. Who
 * is past a limit of the conf is retired politely, or killed. Backends without such limits cost nothing. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_CENSUS_H
#define BULKHEAD_SUPERVISOR_CENSUS_H

struct census;
struct ev_loop;
struct pools;

/* pools: borrowed; after there are others in it, another census is needed. NULL when none of them has a limit to look
 * after. */
struct census *census_start(struct ev_loop *loop, const struct pools *pools);
/* idempotent */
void census_stop(struct census **census);

#endif
