/* SPDX-License-Identifier: MIT
 *
 * probe: finds out when a worker accepts connections, whatever protocol it speaks, without sending it a byte: connects
 * to its socket, and looks at the supervisor's own copy of the listening socket: as long as that is readable, the
 * connection still waits to be accepted. The looks start PROBE_FIRST_S apart and grow to PROBE_LAST_S. With a target, it
 * also asks for that, in HTTP/1.1, and again with a new connection until the answer is 2xx. It waits for ever: its owner
 * sets the deadline. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_PROBE_H
#define BULKHEAD_SUPERVISOR_PROBE_H

#include <stdbool.h>

#include <ev.h>

#include "supervisor/endpoint.h"

#define PROBE_FIRST_S 0.002
#define PROBE_LAST_S  0.05
#define PROBE_GROWTH  1.5
/* after an answer that was no yes, or none */
#define PROBE_AGAIN_S 0.25

struct probe;
/* Runs once, from the loop, never out of probe_start; the probe has ended by then and may be started again. */
typedef void (*probe_accepted_fn)(struct probe *p);

struct probe {
    struct ev_loop *loop;
    const struct endpoint *endpoint; /* borrowed: the worker's listening socket and its path */
    const char *target;              /* borrowed; NULL: to be accepted is enough */
    probe_accepted_fn on_accepted;
    ev_timer timer;
    ev_io answer;
    char status[13]; /* what has come of "HTTP/1.1 200" */
    size_t status_len;
    int last_status; /* of the last answer; 0: none yet */
    int connection;  /* -1: none */
};

void probe_init(struct probe *p, struct ev_loop *loop, const struct endpoint *endpoint, const char *target,
                probe_accepted_fn on_accepted);
/* restarts when it is running */
void probe_start(struct probe *p);
/* idempotent */
void probe_stop(struct probe *p);
/* Accepts and closes every connection that waits at the socket, so that no later process serves what was meant for an
 * earlier one. The socket is left as it was found, blocking or not. */
void probe_drain_backlog(const struct endpoint *endpoint);

#endif
