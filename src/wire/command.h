/* SPDX-License-Identifier: MIT
 *
 * command: what the commands (`bulkhead status` …) and the supervisor say to each other over the control socket: JSON,
 * one object a line each way. A request is {"command": NAME}, with the arguments that the command takes (command.c has
 * the table); an answer is the status page, {"ok": true, …}, or {"error": TEXT}. No I/O. Supervisor and
 * commands, single-threaded.
 */
#ifndef BULKHEAD_WIRE_COMMAND_H
#define BULKHEAD_WIRE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* a request's line with its newline */
#define WIRE_COMMAND_MAX 4096
/* an answer's line, and the front's part of it */
#define WIRE_ANSWER_MAX       (16 * 1024 * 1024)
#define WIRE_FRONT_STATUS_MAX (12 * 1024 * 1024)

/* bytes of an argument that is text, with its NUL */
#define WIRE_ARGUMENT_MAX 256

enum wire_command {
    WIRE_COMMAND_STATUS,
    WIRE_COMMAND_KILL,      /* "pid": a worker's */
    WIRE_COMMAND_RECYCLE,   /* "backend": its name; answered when all of its workers have been replaced */
    WIRE_COMMAND_LOG_LEVEL, /* "level": a word */
    WIRE_COMMAND_DRAIN,     /* answered when it has ended */
    WIRE_COMMAND_RELOAD,    /* answered with the verdict */
    WIRE_COMMAND_PAUSE, /* "backend"; "hold_ms": how long each call is held, or none: its queue_timeout; answered when nothing
                             * runs on it any more */
    WIRE_COMMAND_RESUME, /* "backend" */
    WIRE_COMMAND_RESIZE, /* "backend"; "size": of workers, or of calls at a time; answered when there are as many */
    WIRE_COMMAND_COUNT
};

struct wire_request {
    enum wire_command command;
    int64_t number;               /* the argument that is a number; -1: left out, where it may be */
    char text[WIRE_ARGUMENT_MAX]; /* the argument that is text */
};

const char *wire_command_name(enum wire_command c);
/* The arguments that it takes; NULL: none. Where there are both, the text is the first. */
const char *wire_command_text(enum wire_command c);
const char *wire_command_number(enum wire_command c, bool *is_optional_r);
/* Appends the request's line, with its newline. */
void wire_request_put(const struct wire_request *request, struct buf *out);
/* line: without its newline. false: no request that we know; what is wrong with it is in error_r, NUL-terminated. */
bool wire_request_decode(struct wire_request *request_r, struct str line, char *error_r, size_t error_size);
/* Is this one JSON object, fit to stand within a line of ours once wire_command_fold has been over it? */
bool wire_command_is_object(struct str json);
/* Makes one line of a JSON text: outside of strings line ends are mere space, and inside they cannot be. */
void wire_command_fold(char *json, size_t len);

#endif
