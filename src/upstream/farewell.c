/* SPDX-License-Identifier: MIT
 *
 * farewell: see farewell.h.
 */
#include "config.h"

#include <poll.h>
#include <sys/socket.h>

#include "upstream/farewell.h"
#include "upstream/h2o_api.h"

static bool has_room(int fd)
{
    struct pollfd p = {fd, POLLOUT, 0};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

void farewell(struct st_h2o_socket_t *sock, bool broken)
{
    int fd = h2o_socket_get_fd(sock);
    if (sock->ssl != NULL && (broken || !has_room(fd)))
        shutdown(fd, SHUT_RDWR);
    h2o_socket_close(sock);
}
