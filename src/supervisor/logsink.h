/* SPDX-License-Identifier: MIT
 *
 * logsink: the supervisor's log lines onto its stderr without ever waiting for it: a terminal that is stopped, or a
 * pipe that nobody reads, must not keep the supervisor from its children. What stderr does not take is kept, up to a
 * bound, and past that dropped and counted. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_LOGSINK_H
#define BULKHEAD_SUPERVISOR_LOGSINK_H

struct ev_loop;

#define LOGSINK_KEPT_MAX (256 * 1024)

/* From now on log lines go this way. Again after fd 2 has become another file. */
void logsink_start(struct ev_loop *loop);
/* Writes what is kept, for a second at most, and leaves the log to write to fd 2 itself. */
void logsink_stop(void);

#endif
