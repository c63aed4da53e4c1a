/* SPDX-License-Identifier: MIT
 *
 * command: what the commands (`bulkhead status` …) and the supervisor say to each other over the control socket: JSON,
 * one object a line each way. A request is {"command": NAME}; an answer is the status page, or {"error": TEXT}. No I/O.
 * Supervisor and commands, single-threaded.
 */
#ifndef BULKHEAD_WIRE_COMMAND_H
#define BULKHEAD_WIRE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* a request's line with its newline */
#define WIRE_COMMAND_MAX 4096
/* an answer's line, and the front's part of it */
#define WIRE_ANSWER_MAX       (16 * 1024 * 1024)
#define WIRE_FRONT_STATUS_MAX (12 * 1024 * 1024)

enum wire_command { WIRE_COMMAND_STATUS, WIRE_COMMAND_COUNT };

const char *wire_command_name(enum wire_command c);
/* line: without its newline. false: no request that we know; what is wrong with it is in error_r, NUL-terminated. */
bool wire_command_decode(enum wire_command *c_r, struct str line, char *error_r, size_t error_size);
/* Is this one JSON object, fit to stand within a line of ours once wire_command_fold has been over it? */
bool wire_command_is_object(struct str json);
/* Makes one line of a JSON text: outside of strings line ends are mere space, and inside they cannot be. */
void wire_command_fold(char *json, size_t len);

#endif
