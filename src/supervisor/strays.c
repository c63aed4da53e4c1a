/* SPDX-License-Identifier: MIT
 *
 * strays: found by their environment: see strays.h. A process may fork while the list is read, so it is read again
 * until a pass finds none.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/strays.h"
#include "wire/heritage.h"

#define PASSES_MAX      5
#define ENVIRONMENT_MAX (1024 * 1024)

/* bytes: NAME=VALUE strings, each with its NUL */
static bool has_entry(const char *bytes, size_t len, const char *start)
{
    size_t start_len = strlen(start);
    for (const char *at = bytes; at < bytes + len; at += strnlen(at, (size_t)(bytes + len - at)) + 1) {
        if ((size_t)(bytes + len - at) >= start_len && memcmp(at, start, start_len) == 0)
            return true;
    }
    return false;
}

static bool is_stray(const char *pid, const char *entry)
{
    char path[64];
    size_t len;
    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    char *bytes = fd_read_all(fd, ENVIRONMENT_MAX, &len);
    fd_close(&fd);
    bool found = bytes != NULL && has_entry(bytes, len, entry);
    free(bytes);
    return found;
}

static size_t kill_once(const char *entry)
{
    size_t killed = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *e; (e = readdir(proc)) != NULL;) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 1 && pid != getpid() && is_stray(e->d_name, entry) && kill(pid, SIGKILL) == 0)
            killed++;
    }
    closedir(proc);
    return killed;
}

size_t strays_kill(const char *runtime_directory)
{
    char entry[4096];
    size_t killed = 0, last;
    int len = snprintf(entry, sizeof(entry), "%s=%s/", HERITAGE_ENV_SOCKET, runtime_directory);
    if (len < 0 || (size_t)len >= sizeof(entry))
        return 0;
    for (int pass = 0; pass < PASSES_MAX && (last = kill_once(entry)) != 0; pass++)
        killed += last;
    return killed;
}
