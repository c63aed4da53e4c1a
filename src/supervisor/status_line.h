/* SPDX-License-Identifier: MIT
 *
 * status_line: the state of everything in one line for a human who asks the service manager. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_STATUS_LINE_H
#define BULKHEAD_SUPERVISOR_STATUS_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct front_child;
struct pools;

/* all borrowed */
struct status_line {
    const struct front_child *front;
    const struct pools *pools;
    bool ready;       /* the start is over */
    bool ending;      /* first the front, then the workers */
    bool front_ended; /* the workers are left */
};

void status_line_put(const struct status_line *line, struct buf *out);

#endif
