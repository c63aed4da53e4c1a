/* SPDX-License-Identifier: MIT
 *
 * supervisor: the parent of everything: opens the sockets, starts the front and the workers, keeps them going, and sees
 * to an orderly end. One thread, one libev loop. It reads no client's byte, and waits for nobody. The commands start
 * it.
 */
#ifndef BULKHEAD_SUPERVISOR_SUPERVISOR_H
#define BULKHEAD_SUPERVISOR_SUPERVISOR_H

struct conf;

/* Runs until it is told to stop. Borrows conf. Returns the exit code: 0 after an orderly stop, 1 when something of the
 * start failed (it has been logged what, and nothing is left running). */
int supervisor_run(const struct conf *conf);

#endif
