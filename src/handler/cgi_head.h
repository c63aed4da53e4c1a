/* SPDX-License-Identifier: MIT
 *
 * cgi_head: the header of what a CGI program writes (RFC 3875 §6), read strictly. Pure: bytes in, views out; any
 * thread.
 */
#ifndef BULKHEAD_HANDLER_CGI_HEAD_H
#define BULKHEAD_HANDLER_CGI_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define CGI_HEAD_MAX_BYTES  (64 * 1024)
#define CGI_HEAD_MAX_FIELDS 100

struct cgi_field {
    struct str name, value; /* views */
};

struct cgi_head {
    int status;             /* from Status; 302 for Location without one; else 200 */
    int64_t content_length; /* -1: not said */
    struct cgi_field
        fields[CGI_HEAD_MAX_FIELDS]; /* to be passed on: without Status, Content-Length and connection fields */
    size_t nfields;
    const char *why; /* after false: what is wrong */
};

/* The length of the header with the empty line behind it, 0 when that has not come. *scanned: bytes that need not be
 * looked at again; starts at 0. */
size_t cgi_head_find_end(const char *bytes, size_t len, size_t *scanned);
/* bytes: as found above */
bool cgi_head_parse(struct cgi_head *head, const char *bytes, size_t len);

#endif
