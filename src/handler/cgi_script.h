/* SPDX-License-Identifier: MIT
 *
 * cgi_script: which program a request's path means: the one that was configured, or one inside the configured
 * directory, and what of the path is its name (SCRIPT_NAME) and what is left for it (PATH_INFO). Reads the file system;
 * any thread.
 */
#ifndef BULKHEAD_HANDLER_CGI_SCRIPT_H
#define BULKHEAD_HANDLER_CGI_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct cgi_place {
    char *path;     /* owned: absolute, without symbolic links */
    bool directory; /* programs are looked up inside */
};

struct cgi_script {
    char *file;      /* owned: absolute, without symbolic links */
    char *directory; /* owned: the one that holds it, where it runs */
    char *name;      /* owned: SCRIPT_NAME, decoded; "" or "/…" */
    char *info;      /* owned: PATH_INFO, decoded; "" or "/…" */
};

/* program: a file, or a directory ending in '/'. false with a message when it cannot be used. */
bool cgi_place_open(struct cgi_place *place, const char *program, char *error, size_t error_size);
void cgi_place_close(struct cgi_place *place);
/* 200 with the script filled in; 404: no such program; 403: it is no executable file inside the directory */
int cgi_script_find(struct cgi_script *script, const struct cgi_place *place, const char *path);
void cgi_script_free(struct cgi_script *script);

#endif
