/* SPDX-License-Identifier: MIT
 *
 * stuck_worker: the report of a call that has been running for warn_after on a worker: what it is, and what the process
 * does meanwhile, as far as the kernel shows it. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_STUCK_WORKER_H
#define BULKHEAD_SUPERVISOR_STUCK_WORKER_H

#include <stdint.h>

#include "base/str.h"

struct slot;

struct stuck_call {
    const struct slot *worker;
    double age_s;
    int64_t cpu_us; /* CPU time of the process when the call began; -1: not known */
    struct str id /* empty: its client has left */, request;
};

/* Writes one record to the log. */
void stuck_worker_report(const struct stuck_call *call);

#endif
