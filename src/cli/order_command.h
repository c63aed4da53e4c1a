/* SPDX-License-Identifier: MIT
 *
 * order_command: the commands that have a running bulkhead do something, over its control socket: kill, recycle,
 * pause, resume, resize, log-level, drain. One thread, which waits.
 */
#ifndef BULKHEAD_CLI_ORDER_COMMAND_H
#define BULKHEAD_CLI_ORDER_COMMAND_H

/* argv[0] is the command's name. Returns the exit status: 0 done, 1 not done, which has been told, 2 usage or bad conf. */
int order_command(int argc, char **argv);

#endif
