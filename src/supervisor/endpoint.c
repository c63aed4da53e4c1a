/* SPDX-License-Identifier: MIT
 *
 * endpoint: socket, bind, listen: see endpoint.h. At boot, before anything is started.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/endpoint.h"

static const char *way_out(int problem)
{
    switch (problem) {
    case EADDRINUSE:
        return "another process listens there: stop it or choose another address";
    case EACCES:
        return "ports below 1024 need CAP_NET_BIND_SERVICE, and a socket's directory must be writable";
    case EADDRNOTAVAIL:
        return "this machine has no such address";
    case ENOENT:
        return "the directory does not exist: create it";
    default:
        return "choose another address";
    }
}

static bool failed(struct endpoint *e, char *error_r, size_t error_size)
{
    int problem = errno;
    endpoint_close(e);
    snprintf(error_r, error_size, "cannot listen: %s; %s", strerror(problem), way_out(problem));
    return false;
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

bool endpoint_open_tcp(struct endpoint *e, const struct sockaddr *address, socklen_t len, bool ipv6_only, int backlog,
                       char *error_r, size_t error_size)
{
    *e = ENDPOINT_NONE;
    e->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd == -1 || !set_option(e->fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return failed(e, error_r, error_size);
    if (address->sa_family == AF_INET6 && !set_option(e->fd, IPPROTO_IPV6, IPV6_V6ONLY, ipv6_only))
        return failed(e, error_r, error_size);
    if (bind(e->fd, address, len) == -1 || listen(e->fd, backlog) == -1)
        return failed(e, error_r, error_size);
    return true;
}

/* errno when nobody answers; 0 when somebody does */
static int knock(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return errno;
    int problem = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    fd_close(&fd);
    return problem;
}

/* Only what is a socket and refuses connections was left by the dead. */
static bool remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) == -1)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    if (knock(address) != ECONNREFUSED) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(address->sun_path) == 0 || errno == ENOENT;
}

/* The file is never, not even for a moment, open to more than `mode` says. */
static bool bind_file(struct endpoint *e, const struct sockaddr_un *address, mode_t mode)
{
    struct stat st;
    mode_t before = umask(0177);
    bool bound = bind(e->fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    umask(before);
    if (!bound)
        return false;
    if (lstat(address->sun_path, &st) == -1)
        return false;
    memcpy(e->path, address->sun_path, sizeof(e->path));
    e->device = st.st_dev;
    e->inode = st.st_ino;
    return chmod(e->path, mode) == 0;
}

bool endpoint_open_unix(struct endpoint *e, const char *path, mode_t mode, int backlog, char *error_r,
                        size_t error_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    *e = ENDPOINT_NONE;
    if (len == 0 || len >= sizeof(address.sun_path)) {
        snprintf(error_r, error_size, "a socket's path has 1 to %zu bytes, this one %zu; choose a shorter one",
                 sizeof(address.sun_path) - 1, len);
        return false;
    }
    memcpy(address.sun_path, path, len + 1);
    e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (e->fd == -1 || !remove_stale(&address) || !bind_file(e, &address, mode) || listen(e->fd, backlog) == -1)
        return failed(e, error_r, error_size);
    return true;
}

void endpoint_remove_file(struct endpoint *e)
{
    struct stat st;
    if (e->path[0] != '\0' && lstat(e->path, &st) == 0 && st.st_dev == e->device && st.st_ino == e->inode)
        unlink(e->path);
    e->path[0] = '\0';
}

void endpoint_close(struct endpoint *e)
{
    endpoint_remove_file(e);
    fd_close(&e->fd);
}

bool endpoint_is_listening(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value != 0;
}

void endpoint_address_text(const struct sockaddr *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        snprintf(out, size, "%s:%u", text, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        snprintf(out, size, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_un *local = (const struct sockaddr_un *)address;
        snprintf(out, size, "unix:%.*s", (int)sizeof(local->sun_path), local->sun_path);
    }
}

void endpoint_address(int fd, char *out, size_t size)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) == -1)
        snprintf(out, size, "?");
    else
        endpoint_address_text((const struct sockaddr *)&address, out, size);
}
