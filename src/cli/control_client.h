/* SPDX-License-Identifier: MIT
 *
 * control_client: how a command finds the control socket of a running bulkhead, and gets hold of it. One thread, which
 * waits.
 */
#ifndef BULKHEAD_CLI_CONTROL_CLIENT_H
#define BULKHEAD_CLI_CONTROL_CLIENT_H

#include <stdbool.h>

struct buf;
struct wire_request;

/* The socket's path, owned: `control`, or what the conf `file` says, or where a conf that does not say puts it; either
 * may be NULL. NULL: the conf is bad, which has been told. */
char *control_client_path(const char *file, const char *control);
/* Connected; each read and write then waits patience_s at most. -1: errno says why. */
int control_client_connect(const char *path, unsigned patience_s);
/* Asks, and appends the answer's line, without its newline. patience_s: for each read and write; 0: however long it takes.
 * false: it has been told why, as `bulkhead <command>`. */
bool control_client_ask(const char *command, const char *path, const struct wire_request *request, unsigned patience_s,
                        struct buf *answer);
/* What to do about an errno of asking there, in words */
const char *control_client_way_out(int problem);

#endif
