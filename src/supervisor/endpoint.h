/* SPDX-License-Identifier: MIT
 *
 * endpoint: one listening socket, and for a Unix socket the file that belongs to it. Every refusal comes with the
 * address, the reason and a way out. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_ENDPOINT_H
#define BULKHEAD_SUPERVISOR_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct endpoint {
    int fd;                                                    /* -1: closed */
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": no file of ours */
    dev_t device;                                              /* which file it was when it was made: */
    ino_t inode;                                               /* another one there now is not ours to remove */
};

#define ENDPOINT_NONE ((struct endpoint){.fd = -1})

/* The socket does not block. false with words in error_r; *e is ENDPOINT_NONE then. */
bool endpoint_open_tcp(struct endpoint *e, const struct sockaddr *address, socklen_t len, bool ipv6_only, int backlog,
                       char *error_r, size_t error_size);
/* A file left by a dead process is replaced, a living one's is refused. The socket blocks as accept(2) by default does.
 */
bool endpoint_open_unix(struct endpoint *e, const char *path, mode_t mode, int backlog, char *error_r,
                        size_t error_size);
/* closes, and removes the file if it is still ours */
void endpoint_close(struct endpoint *e);
void endpoint_remove_file(struct endpoint *e);

bool endpoint_is_listening(int fd);
/* where this socket listens, as a conf would say it */
void endpoint_address(int fd, char *out, size_t size);
void endpoint_address_text(const struct sockaddr *address, char *out, size_t size);

#endif
