/* SPDX-License-Identifier: MIT
 *
 * intake: what a conf says of who may connect and who is believed: the trusted proxies, and how many connections there
 * may be at once in this process. Part of a generation; read-only once it is built.
 */
#ifndef BULKHEAD_FRONT_INTAKE_H
#define BULKHEAD_FRONT_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct cidr;
struct conf;

struct intake {
    struct cidr *trusted;
    size_t ntrusted;
    unsigned connections, admin_connections; /* at once */
};

/* false with a message; intake_destroy is fine then too. */
bool intake_init(struct intake *intake, const struct conf *conf, char *error, size_t error_size);
void intake_destroy(struct intake *intake);
bool intake_trusts(const struct intake *intake, const struct sockaddr *peer);

#endif
