/* SPDX-License-Identifier: MIT
 *
 * rundir: made, locked, cleared away: see rundir.h. Two supervisors that start at the same moment are kept apart by a
 * lock on the configured directory itself, held while one of them looks for the directories of the dead and makes its
 * own.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "diag/log.h"
#include "supervisor/rundir.h"

#define DIRECTORY_MODE 0711 /* the front, which may be another user, must get at the sockets by their names */
#define NAME_START     "bulkhead-"
#define LOCK_NAME      "lock"
#define LOCK_TRIES     200
#define LOCK_STEP_NS   (10 * 1000 * 1000)

static bool make_with_parents(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(part, path, len + 1);
    for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        if (mkdir(part, 0755) == -1 && errno != EEXIST)
            return false;
    }
    if (mkdir(part, DIRECTORY_MODE) == -1)
        return errno == EEXIST;
    return chmod(part, DIRECTORY_MODE) == 0; /* whatever the umask took away */
}

/* A directory that others can write to would let them put sockets of their own in the workers' places; in one with the
 * sticky bit
 * (/tmp) they cannot. */
static bool is_ours_alone(int fd, const char *base, char *error_r, size_t error_size)
{
    struct stat st;
    if (fstat(fd, &st) == -1) {
        snprintf(error_r, error_size, "runtime_directory '%s': %s", base, strerror(errno));
        return false;
    }
    bool writable_by_others = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0;
    if ((st.st_uid == geteuid() || st.st_uid == 0) && !writable_by_others)
        return true;
    snprintf(error_r, error_size,
             "runtime_directory '%s' belongs to, or is writable by, other users; make it yours with mode 0711 or name "
             "another",
             base);
    return false;
}

static bool lock_base(int fd)
{
    const struct timespec step = {0, LOCK_STEP_NS};
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        nanosleep(&step, NULL);
    }
    return false;
}

/* The configured directory may hold anything else as well: only what a supervisor makes is touched. */
static bool is_made_here(int dir, const char *name)
{
    struct stat st;
    return strcmp(name, LOCK_NAME) == 0 || (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode));
}

static void remove_at(int base, const char *name)
{
    int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = dir == -1 ? NULL : fdopendir(dir);
    if (entries == NULL) {
        fd_close(&dir);
        return;
    }
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (is_made_here(dir, e->d_name))
            unlinkat(dir, e->d_name, 0);
    }
    closedir(entries);
    unlinkat(base, name, AT_REMOVEDIR);
}

/* A directory of ours whose lock can be had belongs to nobody. */
static bool is_dead(int base, const char *name)
{
    char path[NAME_MAX + sizeof("/" LOCK_NAME)];
    struct stat st;
    if (strncmp(name, NAME_START, strlen(NAME_START)) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/" LOCK_NAME, name);
    int lock = openat(base, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool dead = lock != -1 && fstat(lock, &st) == 0 && st.st_uid == geteuid() && flock(lock, LOCK_EX | LOCK_NB) == 0;
    fd_close(&lock);
    return dead;
}

static void clear_dead(int base)
{
    int again = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again == -1 ? NULL : fdopendir(again);
    if (entries == NULL) {
        fd_close(&again);
        return;
    }
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (is_dead(base, e->d_name)) {
            log_write(LOG_LEVEL_INFO, "supervisor", "removing '%s', which a supervisor left that is dead", e->d_name);
            remove_at(base, e->d_name);
        }
    }
    closedir(entries);
}

/* The pid may be taken by a supervisor of another pid namespace that shares the directory. */
static bool make_own(struct rundir *r, int base, const char *base_path, char *error_r, size_t error_size)
{
    char name[64], lock[sizeof(name) + sizeof(LOCK_NAME)];
    for (int i = 0; i < 100; i++) {
        int len = i == 0 ? snprintf(name, sizeof(name), NAME_START "%ld", (long)getpid())
                         : snprintf(name, sizeof(name), NAME_START "%ld-%d", (long)getpid(), i);
        if (strlen(base_path) + 1 + (size_t)len >= sizeof(r->path)) {
            snprintf(error_r, error_size, "runtime_directory '%s' is too long for a socket's path (limit %zu)",
                     base_path, sizeof(r->path) - 1);
            return false;
        }
        if (mkdirat(base, name, DIRECTORY_MODE) == 0)
            break;
        if (errno != EEXIST)
            goto fail;
    }
    snprintf(r->path, sizeof(r->path), "%s/%s", base_path, name);
    snprintf(lock, sizeof(lock), "%s/%s", name, LOCK_NAME);
    r->lock = openat(base, lock, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (r->lock != -1 && flock(r->lock, LOCK_EX | LOCK_NB) == 0 && fchmodat(base, name, DIRECTORY_MODE, 0) == 0)
        return true;
fail:
    snprintf(error_r, error_size, "cannot make a directory in runtime_directory '%s': %s", base_path, strerror(errno));
    return false;
}

bool rundir_open(struct rundir *r, const char *base, char *error_r, size_t error_size)
{
    *r = (struct rundir){.lock = -1};
    int dir = make_with_parents(base) ? open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir == -1) {
        snprintf(error_r, error_size, "runtime_directory '%s': %s; name another that can be made", base,
                 strerror(errno));
        return false;
    }
    bool opened = is_ours_alone(dir, base, error_r, error_size);
    if (opened && !lock_base(dir)) {
        snprintf(error_r, error_size, "runtime_directory '%s' stays locked by another supervisor that is starting",
                 base);
        opened = false;
    }
    if (opened) {
        clear_dead(dir);
        opened = make_own(r, dir, base, error_r, error_size);
    }
    fd_close(&dir);
    return opened;
}

void rundir_remove(struct rundir *r)
{
    if (r->path[0] == '\0')
        return;
    remove_at(AT_FDCWD, r->path);
    r->path[0] = '\0';
    fd_close(&r->lock);
}
