/* SPDX-License-Identifier: MIT
 *
 * cgi: the built-in handler that runs a CGI program (RFC 3875) per call. An ordinary handler of <bulkhead/handler.h>
 * except that its settings come from the conf file's `cgi` and `root` instead of `options`.
 */
#ifndef BULKHEAD_HANDLER_CGI_H
#define BULKHEAD_HANDLER_CGI_H

#include <stddef.h>

#include "bulkhead/handler.h"

extern const struct bulkhead_handler cgi_handler;

/* The state of cgi_handler; its close frees it. program: a file, or a directory ending in '/'; root: DOCUMENT_ROOT, may
 * be NULL. NULL with a message when the program is not there. */
void *cgi_create(const char *program, const char *root, char *error, size_t error_size);

#endif
