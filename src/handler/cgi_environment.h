/* SPDX-License-Identifier: MIT
 *
 * cgi_environment: the meta-variables of a CGI call (RFC 3875 §4.1) as an environment for execve(2). Built in the
 * call's memory. The thread that runs the call.
 */
#ifndef BULKHEAD_HANDLER_CGI_ENVIRONMENT_H
#define BULKHEAD_HANDLER_CGI_ENVIRONMENT_H

#include "bulkhead/handler.h"
#include "handler/cgi_script.h"

/* root: DOCUMENT_ROOT, may be NULL. Valid until the call ends. */
char **cgi_environment_build(struct bulkhead_call *call, const struct cgi_script *script, const char *root);

#endif
