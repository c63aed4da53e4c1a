/* SPDX-License-Identifier: MIT
 *
 * fd: closing, flags, passing and reading descriptors: see fd.h. What a peer sends is checked, never asserted: a
 * message that does not fit is refused whole, and descriptors that came with it are closed.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* Room for a control message with as many descriptors as may be passed, aligned as its header asks */
union rights {
    struct cmsghdr header;
    char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

void fd_close(int *fd)
{
    if (*fd == -1)
        return;
    int saved = errno;
    close(*fd);
    *fd = -1;
    errno = saved;
}

bool fd_set_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);
    return flags != -1 && fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC) != -1;
}

bool fd_set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    return flags != -1 && fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) != -1;
}

ssize_t fd_send_message(int sock, const void *bytes, size_t len, const int *fds, size_t nfds)
{
    assert(len > 0); /* an empty datagram reads as end of file */
    assert(nfds <= FD_PASS_MAX);
    union rights rights;
    struct iovec vec = {(void *)bytes, len};
    struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1};
    if (nfds != 0) {
        memset(&rights, 0, sizeof(rights));
        message.msg_control = &rights;
        message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        rights.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(nfds * sizeof(int))};
        memcpy(CMSG_DATA(&rights.header), fds, nfds * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(sock, &message, MSG_NOSIGNAL);
    while (sent == -1 && errno == EINTR);
    return sent;
}

/* Takes all descriptors out of the message; the kernel gives no more than fit into union rights. */
static size_t take_rights(struct msghdr *message, int *fds_r)
{
    size_t taken = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds_r + taken, CMSG_DATA(c), n * sizeof(int));
        taken += n;
    }
    return taken;
}

ssize_t fd_receive_message(int sock, void *bytes, size_t capacity, int *fds_r, size_t *nfds_r)
{
    union rights rights;
    struct iovec vec = {bytes, capacity};
    struct msghdr message = {
        .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights)};
    ssize_t got;
    *nfds_r = 0;
    do
        got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (got == -1 && errno == EINTR);
    if (got == -1)
        return -1;
    *nfds_r = take_rights(&message, fds_r);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        while (*nfds_r > 0)
            fd_close(&fds_r[--*nfds_r]);
        errno = EMSGSIZE;
        return -1;
    }
    return got;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = write(fd, bytes, len);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

int fd_memory(const char *name, const void *bytes, size_t len)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd == -1)
        return -1;
    if (!write_all(fd, bytes, len) || lseek(fd, 0, SEEK_SET) == -1 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == -1)
        fd_close(&fd);
    return fd;
}

/* A pipe has no offsets: what is read first is its offset 0. */
static ssize_t read_at(int fd, char *to, size_t len, size_t offset)
{
    ssize_t n;
    do {
        n = pread(fd, to, len, (off_t)offset);
        if (n == -1 && errno == ESPIPE)
            n = read(fd, to, len);
    } while (n == -1 && errno == EINTR);
    return n;
}

char *fd_read_all(int fd, size_t max, size_t *len_r)
{
    size_t len = 0, capacity = 0;
    char *block = NULL;
    for (;;) {
        if (capacity - len < 2) {
            capacity = capacity == 0 ? 4096 : capacity * 2;
            char *larger = realloc(block, capacity);
            if (larger == NULL)
                goto fail;
            block = larger;
        }
        ssize_t n = read_at(fd, block + len, capacity - len - 1, len);
        if (n == -1)
            goto fail;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max) {
            errno = EFBIG;
            goto fail;
        }
    }
    block[len] = '\0';
    if (len_r != NULL)
        *len_r = len;
    return block;
fail:;
    int saved = errno;
    free(block);
    errno = saved;
    return NULL;
}
