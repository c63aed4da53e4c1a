/* SPDX-License-Identifier: MIT
 *
 * dial: see dial.h.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/fd.h"
#include "upstream/dial.h"

int dial_open(const struct sockaddr *address, socklen_t address_len, bool *pending_r)
{
    *pending_r = false;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, address, address_len) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        *pending_r = true;
        return fd;
    }
    fd_close(&fd);
    return -1;
}

int dial_result(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

bool dial_error_passes(int error)
{
    return error == EAGAIN || error == EINTR || error == EMFILE || error == ENFILE;
}
