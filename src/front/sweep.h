/* SPDX-License-Identifier: MIT
 *
 * sweep: looks at every connection of its loop once a second and ends those past a time limit: no whole head within
 * limits.head_timeout of its first byte, no whole body within body_timeout, idle for idle_timeout, an answer that the
 * client does not take for write_timeout. So a limit acts up to a second late. The library's own timers stand behind
 * with longer times. WebSockets and tunnels have limits of their own. While draining it looks more often and also ends
 * connections that have been idle for half a second. Loop thread.
 */
#ifndef BULKHEAD_FRONT_SWEEP_H
#define BULKHEAD_FRONT_SWEEP_H

#include <stdbool.h>

#include "front/conn.h"

struct front_thread;

void sweep_start(struct front_thread *thread);
/* The thread drains: sweep now, and often from here on. */
void sweep_hurry(struct front_thread *thread);
/* Its reading side was shut down for being idle: the end of the stream that is seen there is not the client's. A request
 * that had come by then is served. */
static inline bool sweep_has_ended(const struct conn *c)
{
    return c->sweep.ended;
}

#endif
