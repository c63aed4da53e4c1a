/* SPDX-License-Identifier: MIT
 *
 * cidr: sets of addresses, as in trusted_proxies: "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", and "unix:" for every
 * Unix socket. Pure; any thread once filled.
 */
#ifndef BULKHEAD_FRONT_CIDR_H
#define BULKHEAD_FRONT_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 addresses are kept as ::ffff:a.b.c.d, so that one comparison serves both families */
struct cidr {
    uint8_t address[16];
    unsigned bits; /* leading bits that count */
    bool is_unix;
};

/* The address of a TCP peer as 16 bytes; false for other families */
bool cidr_address(const struct sockaddr *peer, uint8_t address_r[16]);
bool cidr_parse(const char *text, struct cidr *cidr_r);
bool cidr_contains(const struct cidr *cidr, const struct sockaddr *peer);

#endif
