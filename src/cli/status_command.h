/* SPDX-License-Identifier: MIT
 *
 * status_command: the commands `bulkhead status` and `bulkhead workers`: ask a running bulkhead over its control socket,
 * and show the answer.
 */
#ifndef BULKHEAD_CLI_STATUS_COMMAND_H
#define BULKHEAD_CLI_STATUS_COMMAND_H

/* argv[0] is the command's name. They return the exit status: 0, 1 nobody answers, 2 usage or bad conf. */
int status_command(int argc, char **argv);
int workers_command(int argc, char **argv);

#endif
