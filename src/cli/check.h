/* SPDX-License-Identifier: MIT
 *
 * check: the command `bulkhead check`: says what is wrong with a conf file, or prints what it means. Starts nothing.
 */
#ifndef BULKHEAD_CLI_CHECK_H
#define BULKHEAD_CLI_CHECK_H

/* argv[0] is "check". Returns the exit status: 0 fine, 1 cannot run, 2 usage or bad conf. */
int check_command(int argc, char **argv);

#endif
