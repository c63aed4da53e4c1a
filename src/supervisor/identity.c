/* SPDX-License-Identifier: MIT
 *
 * identity: users and groups by name or number: see identity.h. Boot only.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "supervisor/identity.h"

static bool number(const char *text, unsigned long *n_r)
{
    char *end;
    errno = 0;
    *n_r = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *n_r < 0xffffffffUL;
}

static bool find_group(struct identity *id, const char *group, char *error_r, size_t error_size)
{
    unsigned long n;
    const struct group *entry = getgrnam(group);
    if (entry != NULL)
        id->gid = entry->gr_gid;
    else if (number(group, &n))
        id->gid = (gid_t)n;
    else {
        snprintf(error_r, error_size, "there is no group '%s'", group);
        return false;
    }
    id->groups[0] = id->gid;
    id->ngroups = 1;
    return true;
}

/* The groups that login would give. */
static bool find_groups_of(struct identity *id, const char *user, char *error_r, size_t error_size)
{
    int count = IDENTITY_GROUPS_MAX;
    if (getgrouplist(user, id->gid, id->groups, &count) == -1) {
        snprintf(error_r, error_size, "user '%s' is in more than %d groups; name one with `group`", user,
                 IDENTITY_GROUPS_MAX);
        return false;
    }
    id->ngroups = (size_t)count;
    return true;
}

static bool find_user(struct identity *id, const char *user, bool with_groups, char *error_r, size_t error_size)
{
    unsigned long n;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL && number(user, &n))
        entry = getpwuid((uid_t)n);
    if (entry == NULL) {
        snprintf(error_r, error_size, "there is no user '%s'", user);
        return false;
    }
    id->uid = entry->pw_uid;
    id->gid = entry->pw_gid;
    return !with_groups || find_groups_of(id, entry->pw_name, error_r, error_size);
}

bool identity_find(struct identity *id_r, const char *user, const char *group, char *error_r, size_t error_size)
{
    *id_r = (struct identity){.uid = geteuid(), .gid = getegid(), .name = user != NULL ? user : group};
    if (user != NULL && !find_user(id_r, user, group == NULL, error_r, error_size))
        return false;
    if (group != NULL && !find_group(id_r, group, error_r, error_size))
        return false;
    if (id_r->uid == geteuid() && id_r->gid == getegid())
        return true;
    if (geteuid() != 0) {
        snprintf(error_r, error_size, "only root can start a process as '%s'; start bulkhead as root, or leave it out",
                 id_r->name);
        return false;
    }
    id_r->set = true;
    return true;
}
