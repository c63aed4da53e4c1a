/* SPDX-License-Identifier: MIT
 *
 * identity: the user and groups that a child runs as, looked up once at boot: between fork and exec there is no asking
 * of name services. The supervisor itself never changes its own. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_IDENTITY_H
#define BULKHEAD_SUPERVISOR_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IDENTITY_GROUPS_MAX 64

struct identity {
    bool set; /* false: stays what the supervisor is */
    uid_t uid;
    gid_t gid;
    gid_t groups[IDENTITY_GROUPS_MAX];
    size_t ngroups;
    const char *name; /* borrowed from the conf, for messages */
};

/* user and group are names or numbers; either may be NULL. false with words when there is none such, or when only root
 * could change to it and we are not root. */
bool identity_find(struct identity *id_r, const char *user, const char *group, char *error_r, size_t error_size);

#endif
