/* SPDX-License-Identifier: MIT
 *
 * status_command: the command `bulkhead status`: asks a running bulkhead over its control socket, and shows the answer.
 */
#ifndef BULKHEAD_CLI_STATUS_COMMAND_H
#define BULKHEAD_CLI_STATUS_COMMAND_H

/* argv[0] is "status". Returns the exit status: 0, 1 nobody answers, 2 usage or bad conf. */
int status_command(int argc, char **argv);

#endif
