/* SPDX-License-Identifier: MIT
 *
 * module: the host side of <bulkhead/handler.h>: loads a .so (or a built-in handler such as cgi), keeps its state, and
 * runs one synchronous call. Used by bulkhead-worker for workers and thread hosts, and by the front for loop modules
 * and `in_front` threads. Handlers are called from as many threads as the host has; what they share is theirs to lock.
 */
#ifndef BULKHEAD_HANDLER_MODULE_H
#define BULKHEAD_HANDLER_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "call/call.h"

struct module;

struct module_field {
    struct str name, value;
};

/* Borrowed for the duration of module_handle */
struct module_request {
    enum call_kind kind;
    unsigned opcode;       /* CALL_WS_MESSAGE: 1 text, 2 binary; else 0 */
    unsigned close_code;   /* CALL_WS_CLOSE; else 0 */
    struct str connection; /* empty: CALL_HTTP */
    struct str method, path, query, scheme, authority, peer, id;
    const struct module_field *fields;
    size_t nfields;
    struct str body;
    int64_t deadline_us; /* base/clock.h; CLOCK_NEVER: none */
    /* "has the client left or the time run out?"; may cost a system call */
    bool (*cancelled)(void *arg);
    void *arg;
};

/* What a handler has written is held back up to here, and sent whole if it is no more. */
#define MODULE_HELD_MAX (64 * 1024)

/* Where the answer goes; called during module_handle on the handler's thread. false: nobody wants more; stop early. The
 * fields stay valid until module_handle returns, body bytes during the call only. */
struct module_writer {
    /* content_length: -1 when not known, and for 204 and 304. To HEAD it is that of the body which is not sent. */
    bool (*head)(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length);
    bool (*body)(void *arg, struct str bytes);
    /* May be NULL. Instead of head and body: the complete answer, of at most MODULE_HELD_MAX body bytes, of a handler
     * that has returned well. Nothing can go wrong any more, so module_handle returns what this returns. */
    bool (*whole)(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length,
                  struct str body);
    void *arg;
};

/* path: a file for dlopen(3). options: JSON text. NULL on failure with a message in error. */
struct module *module_open(const char *path, const char *options_json, char *error, size_t error_size);
/* the built-in CGI handler (RFC 3875): program is a file, or a directory ending in '/' */
struct module *module_open_cgi(const char *program, const char *root, char *error, size_t error_size);
/* Runs one call. true: answered whole. false: failed; `error` says why (nothing or only a part was written). A handler
 * that returns without having answered has failed, except on a WebSocket. What the handler answers (names, values,
 * status) is checked here. */
bool module_handle(struct module *m, const struct module_request *request, const struct module_writer *writer,
                   char *error, size_t error_size);
void module_close(struct module **m);

#endif
