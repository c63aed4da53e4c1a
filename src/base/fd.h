/* SPDX-License-Identifier: MIT
 *
 * fd: file descriptors: closing, flags, and passing them over Unix sockets (unix(7), cmsg(3)). Any thread.
 */
#ifndef BULKHEAD_BASE_FD_H
#define BULKHEAD_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FD_PASS_MAX 16

/* closes *fd unless it is -1, and makes it -1; errno is kept */
void fd_close(int *fd);
bool fd_set_cloexec(int fd, bool on);
bool fd_set_nonblocking(int fd, bool on);
/* One datagram (SOCK_SEQPACKET) with up to FD_PASS_MAX descriptors. Returns the bytes sent or -1 with errno. */
ssize_t fd_send_message(int sock, const void *bytes, size_t len, const int *fds, size_t nfds);
/* Receives one; descriptors arrive close-on-exec and belong to the caller. *nfds_r: how many came (0..FD_PASS_MAX).
 * Returns the bytes, 0 at end of file, -1 with errno; a datagram longer than capacity is EMSGSIZE. */
ssize_t fd_receive_message(int sock, void *bytes, size_t capacity, int *fds_r, size_t *nfds_r);
/* A sealed-for-writing memfd that holds the bytes, offset 0; -1 with errno. For conf trees and status pages. */
int fd_memory(const char *name, const void *bytes, size_t len);
/* Everything that fd holds, from offset 0, into a NUL-terminated malloc'd block; NULL with errno. EFBIG past max. */
char *fd_read_all(int fd, size_t max, size_t *len_r);

#endif
