/* SPDX-License-Identifier: MIT
 *
 * stuck: a report of a call that runs longer than warn_after. One that runs on a worker is told to the supervisor, which
 * can look at the process, and writes the report; of others there is nothing more to know, and it is written here. So
 * many a second, that a backend whose every call hangs does not fill the log. Any loop thread.
 */
#ifndef BULKHEAD_FRONT_STUCK_H
#define BULKHEAD_FRONT_STUCK_H

struct backend;
struct call;

/* The call runs; on its loop. */
void stuck_report(const struct backend *backend, const struct call *call);

#endif
