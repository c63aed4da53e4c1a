/* SPDX-License-Identifier: MIT
 *
 * conf_address: see conf_address.h.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "config/conf_address.h"
#include "config/paths.h"

#define HOST_MAX    254
#define UNIX_PREFIX "unix:"
#define SUN_PATH    sizeof(((struct sockaddr_un *)0)->sun_path)

struct endpoint {
    char host[HOST_MAX]; /* without brackets */
    bool bracketed;
    uint16_t port;
};

static const char *const form = "must be \"host:port\", \"[IPv6]:port\" or \"unix:/path\"";

static bool parse_port(const char *text, uint16_t *port_r)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    long port = strtol(text, NULL, 10);
    *port_r = (uint16_t)port;
    return port <= UINT16_MAX;
}

static const char *split(const char *text, struct endpoint *endpoint_r)
{
    const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
    if (colon == NULL)
        return form;
    if (!parse_port(colon + 1, &endpoint_r->port))
        return "must end in a port between 0 and 65535";
    endpoint_r->bracketed = text[0] == '[';
    if (endpoint_r->bracketed) {
        begin++;
        if (end == begin || *--end != ']')
            return form;
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return "an IPv6 address must be in brackets, as in \"[::1]:80\"";
    }
    if ((size_t)(end - begin) >= HOST_MAX)
        return "the host name is longer than 253 bytes";
    memcpy(endpoint_r->host, begin, (size_t)(end - begin));
    endpoint_r->host[end - begin] = '\0';
    return NULL;
}

static void set_ipv4(uint32_t host_order, uint16_t port, struct sockaddr_storage *address, socklen_t *len)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(host_order)}};
    memcpy(address, &in, sizeof(in));
    *len = sizeof(in);
}

static bool set_numeric(const struct endpoint *endpoint, struct sockaddr_storage *address, socklen_t *len)
{
    struct in_addr ipv4;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(endpoint->port)};
    if (!endpoint->bracketed && inet_pton(AF_INET, endpoint->host, &ipv4) == 1) {
        set_ipv4(ntohl(ipv4.s_addr), endpoint->port, address, len);
        return true;
    }
    if (!endpoint->bracketed || inet_pton(AF_INET6, endpoint->host, &in6.sin6_addr) != 1)
        return false;
    memcpy(address, &in6, sizeof(in6));
    *len = sizeof(in6);
    return true;
}

static const char *set_unix(struct region *region, const char *path, struct sockaddr_storage *address, socklen_t *len)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= SUN_PATH)
        return region_printf(region, "the path of a Unix socket has at most %zu bytes (\"%s\" has %zu)", SUN_PATH - 1,
                             path, strlen(path));
    memcpy(un.sun_path, path, strlen(path));
    memcpy(address, &un, sizeof(un));
    *len = sizeof(un);
    return NULL;
}

/* NULL: not a Unix socket; "": it has no path */
static const char *unix_path(struct region *region, const char *text, const char *directory)
{
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0)
        return NULL;
    const char *path = text + strlen(UNIX_PREFIX);
    return *path == '\0' ? path : paths_absolute(region, directory, path);
}

const char *conf_address_listen(struct region *region, const char *text, const char *directory,
                                struct conf_listener *listener)
{
    listener->bind = text;
    const char *path = unix_path(region, text, directory);
    if (path != NULL) {
        listener->kind = CONF_BIND_UNIX;
        listener->bind = region_printf(region, UNIX_PREFIX "%s", path);
        return *path == '\0' ? form : set_unix(region, path, &listener->address, &listener->address_len);
    }
    struct endpoint endpoint;
    const char *wrong = split(text, &endpoint);
    if (wrong != NULL)
        return wrong;
    listener->kind = CONF_BIND_TCP;
    if (endpoint.host[0] == '\0' || strcmp(endpoint.host, "*") == 0)
        set_ipv4(INADDR_ANY, endpoint.port, &listener->address, &listener->address_len);
    else if (strcmp(endpoint.host, "localhost") == 0)
        set_ipv4(INADDR_LOOPBACK, endpoint.port, &listener->address, &listener->address_len);
    else if (!set_numeric(&endpoint, &listener->address, &listener->address_len))
        return "a listener needs a numeric address, \"*\" or \"localhost\" before the port";
    return NULL;
}

/* IPv4 where there is one: servers that listen on "localhost" or 0.0.0.0 are the rule. */
static const char *look_up(struct region *region, const struct endpoint *endpoint, struct conf_address *upstream)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int status = getaddrinfo(endpoint->host, NULL, &hints, &found);
    if (status != 0 || found == NULL)
        return region_printf(region, "the host \"%s\" cannot be resolved: %s", endpoint->host, gai_strerror(status));
    const struct addrinfo *best = found;
    for (const struct addrinfo *at = found; at != NULL && best->ai_family != AF_INET; at = at->ai_next)
        if (at->ai_family == AF_INET)
            best = at;
    memcpy(&upstream->address, best->ai_addr, best->ai_addrlen);
    upstream->address_len = best->ai_addrlen;
    /* sin_port and sin6_port are at the same place */
    ((struct sockaddr_in *)(void *)&upstream->address)->sin_port = htons(endpoint->port);
    freeaddrinfo(found);
    return NULL;
}

const char *conf_address_upstream(struct region *region, const char *text, const char *directory, bool resolve,
                                  struct conf_address *upstream)
{
    upstream->text = text;
    const char *path = unix_path(region, text, directory);
    if (path != NULL) {
        upstream->text = region_printf(region, UNIX_PREFIX "%s", path);
        return *path == '\0' ? form : set_unix(region, path, &upstream->address, &upstream->address_len);
    }
    if (strstr(text, "://") != NULL)
        return region_printf(region, "%s, not a URL", form);
    struct endpoint endpoint;
    const char *wrong = split(text, &endpoint);
    if (wrong != NULL)
        return wrong;
    if (endpoint.port == 0)
        return "must end in a port between 1 and 65535";
    if (set_numeric(&endpoint, &upstream->address, &upstream->address_len))
        return NULL;
    if (endpoint.bracketed || endpoint.host[0] == '\0')
        return form;
    return resolve ? look_up(region, &endpoint, upstream) : "needs a numeric address here";
}

void conf_address_format(const struct conf_address *address, struct buf *out)
{
    const struct sockaddr_storage *storage = &address->address;
    if (storage->ss_family != AF_INET && storage->ss_family != AF_INET6) {
        buf_append_z(out, address->text);
        return;
    }
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const void *)storage;
    const struct sockaddr_in6 *in6 = (const void *)storage;
    bool is_ipv4 = storage->ss_family == AF_INET;
    inet_ntop(storage->ss_family, is_ipv4 ? (const void *)&in->sin_addr : (const void *)&in6->sin6_addr, text,
              sizeof(text));
    buf_printf(out, is_ipv4 ? "%s:%u" : "[%s]:%u", text, (unsigned)ntohs(in->sin_port));
}

/* ---- two listeners at one address ------------------------------------------------------------------------------- */

/* Does the socket take clients of every address of this family? */
static bool takes_all(const struct conf_listener *listener, sa_family_t family)
{
    if (listener->address.ss_family == AF_INET)
        return family == AF_INET &&
               ((const struct sockaddr_in *)(const void *)&listener->address)->sin_addr.s_addr == INADDR_ANY;
    const struct sockaddr_in6 *in6 = (const void *)&listener->address;
    return IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) && (family == AF_INET6 || !listener->ipv6_only);
}

bool conf_address_overlap(const struct conf_listener *a, const struct conf_listener *b)
{
    if (a->kind != b->kind || a->address_len == 0 || b->address_len == 0)
        return false;
    if (a->kind == CONF_BIND_UNIX)
        return strcmp(a->bind, b->bind) == 0;
    const struct sockaddr_in *a_in = (const void *)&a->address, *b_in = (const void *)&b->address;
    if (a_in->sin_port != b_in->sin_port || a_in->sin_port == 0)
        return false;
    return (a->address_len == b->address_len && memcmp(&a->address, &b->address, a->address_len) == 0) ||
           takes_all(a, b->address.ss_family) || takes_all(b, a->address.ss_family);
}
