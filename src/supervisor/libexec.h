/* SPDX-License-Identifier: MIT
 *
 * libexec: where bulkhead-front and bulkhead-worker are: in the directory that BULKHEAD_LIBEXEC names (not for a
 * set-uid or otherwise privileged start), else beside the running executable, as in a build tree, else where they were
 * installed. Supervisor, at boot.
 */
#ifndef BULKHEAD_SUPERVISOR_LIBEXEC_H
#define BULKHEAD_SUPERVISOR_LIBEXEC_H

/* returns owned; the installed path when it is nowhere, so that the failure to execute it names a path */
char *libexec_find(const char *program);

#endif
