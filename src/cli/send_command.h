/* SPDX-License-Identifier: MIT
 *
 * send_command: the command `bulkhead send`: sends a message to open WebSockets, or closes them, over the control socket.
 */
#ifndef BULKHEAD_CLI_SEND_COMMAND_H
#define BULKHEAD_CLI_SEND_COMMAND_H

/* argv[0] is "send". Returns the exit status: 0 sent, 1 not sent, 2 usage or bad conf. */
int send_command(int argc, char **argv);

#endif
