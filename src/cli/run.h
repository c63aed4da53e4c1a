/* SPDX-License-Identifier: MIT
 *
 * run: the command `bulkhead run`: reads the conf, or makes one of its options, and becomes the supervisor.
 */
#ifndef BULKHEAD_CLI_RUN_H
#define BULKHEAD_CLI_RUN_H

/* argv[0] is "run". Returns the exit status: 0 after an orderly stop, 1 failed, 2 usage or bad conf. */
int run_command(int argc, char **argv);

#endif
