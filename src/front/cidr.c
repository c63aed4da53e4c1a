/* SPDX-License-Identifier: MIT
 *
 * cidr: see cidr.h.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "front/cidr.h"

static void map_ipv4(const struct in_addr *from, uint8_t address_r[16])
{
    memset(address_r, 0, 10);
    address_r[10] = address_r[11] = 0xff;
    memcpy(address_r + 12, from, 4);
}

bool cidr_address(const struct sockaddr *peer, uint8_t address_r[16])
{
    switch (peer->sa_family) {
    case AF_INET:
        map_ipv4(&((const struct sockaddr_in *)(const void *)peer)->sin_addr, address_r);
        return true;
    case AF_INET6:
        memcpy(address_r, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
        return true;
    default:
        return false;
    }
}

/* the number behind '/', at most max; `max` itself when there is none */
static bool parse_bits(const char *slash, unsigned max, unsigned *bits_r)
{
    *bits_r = max;
    if (slash == NULL)
        return true;
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 3 || slash[1 + digits] != '\0')
        return false;
    unsigned long bits = strtoul(slash + 1, NULL, 10);
    *bits_r = (unsigned)bits;
    return bits <= max;
}

bool cidr_parse(const char *text, struct cidr *cidr_r)
{
    *cidr_r = (struct cidr){.bits = 0};
    if (strcmp(text, "unix:") == 0) {
        cidr_r->is_unix = true;
        return true;
    }
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    char host[INET6_ADDRSTRLEN];
    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    struct in_addr ipv4;
    if (inet_pton(AF_INET, host, &ipv4) == 1) {
        map_ipv4(&ipv4, cidr_r->address);
        bool ok = parse_bits(slash, 32, &cidr_r->bits);
        cidr_r->bits += 96;
        return ok;
    }
    return inet_pton(AF_INET6, host, cidr_r->address) == 1 && parse_bits(slash, 128, &cidr_r->bits);
}

bool cidr_contains(const struct cidr *cidr, const struct sockaddr *peer)
{
    uint8_t address[16];
    if (cidr->is_unix || !cidr_address(peer, address))
        return cidr->is_unix && peer->sa_family == AF_UNIX;
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;
    if (memcmp(cidr->address, address, whole) != 0)
        return false;
    return rest == 0 || (cidr->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}
