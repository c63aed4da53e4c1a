/* SPDX-License-Identifier: MIT
 *
 * library_log: what libh2o prints. It prints to stderr from the loop, a line for each frame that it does not know among
 * them: a client could fill the log, and hold the loop up at a pipe that nobody empties. The stream `stderr` of the
 * process therefore becomes ours: what is printed there goes the way of the log's lines, at most one a second. An
 * assertion's last words still go to descriptor 2 themselves, since nothing runs behind them. Any thread prints.
 */
#ifndef BULKHEAD_FRONT_LIBRARY_LOG_H
#define BULKHEAD_FRONT_LIBRARY_LOG_H

#include <stdbool.h>

/* Main thread, once, before the loops start and when the log has its sink. false: errno. */
bool library_log_start(void);

#endif
