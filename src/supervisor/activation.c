/* SPDX-License-Identifier: MIT
 *
 * activation: the variables of sd_listen_fds(3): see activation.h.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/activation.h"

static long number(const char *text)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' ? n : -1;
}

void activation_parse(struct activation *a, long own_pid, const char *pid, const char *fds, const char *names)
{
    long count = number(fds);
    a->count = 0;
    if (number(pid) != own_pid || count <= 0)
        return;
    const char *name = names == NULL ? "" : names;
    for (long i = 0; i < count && i < ACTIVATION_FDS_MAX; i++) {
        size_t len = strcspn(name, ":");
        struct activation_fd *f = &a->fds[a->count++];
        f->fd = ACTIVATION_FD_FIRST + (int)i;
        if (len == 0)
            snprintf(f->name, sizeof(f->name), "unknown");
        else
            snprintf(f->name, sizeof(f->name), "%.*s", (int)len, name);
        name += len + (name[len] == ':');
    }
}

void activation_init(struct activation *a)
{
    activation_parse(a, (long)getpid(), getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"));
    for (size_t i = 0; i < a->count; i++) {
        if (!fd_set_cloexec(a->fds[i].fd, true))
            a->fds[i].fd = -1; /* there is no such descriptor */
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

int activation_take(struct activation *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->fds[i].fd != -1 && strcmp(a->fds[i].name, name) == 0) {
            int fd = a->fds[i].fd;
            a->fds[i].fd = -1;
            return fd;
        }
    }
    return -1;
}

size_t activation_close_rest(struct activation *a)
{
    size_t closed = 0;
    for (size_t i = 0; i < a->count; i++) {
        closed += a->fds[i].fd != -1;
        fd_close(&a->fds[i].fd);
    }
    return closed;
}

void activation_names(const struct activation *a, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, "%s", a->count == 0 ? "none" : "");
    for (size_t i = 0; i < a->count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : ", ", a->fds[i].name);
}
