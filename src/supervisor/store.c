/* SPDX-License-Identifier: MIT
 *
 * store: see store.h. A name is only a hint: a socket is taken if it listens on the very address. The manager's copy of
 * one that is not wanted would hold the address until the manager has read that it is to be forgotten, hence shutdown.
 */
#include "config.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/activation.h"
#include "supervisor/notify.h"
#include "supervisor/store.h"

#define PREFIX "bind="

/* Port 0 is another one each time. */
static bool is_kept(const struct conf_listener *l)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&l->address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&l->address;
    return l->kind == CONF_BIND_TCP && (v4->sin_family == AF_INET ? v4->sin_port : v6->sin6_port) != 0;
}

/* "bind=127.0.0.1_8080": a name has no ':', and an address no '_' */
static void name_of(const struct conf_listener *l, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, PREFIX);
    endpoint_address_text((const struct sockaddr *)&l->address, out + len, size - len);
    for (char *colon = out; (colon = strchr(colon, ':')) != NULL;)
        *colon = '_';
}

static bool has_v6only(int fd, const struct conf_listener *l)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return l->address.ss_family != AF_INET6 ||
           (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 && (value != 0) == l->ipv6_only);
}

static bool fits(int fd, const struct conf_listener *l)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    return endpoint_is_listening(fd) && getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
           len == l->address_len && memcmp(&address, &l->address, len) == 0 && has_v6only(fd, l);
}

/* the backlog of now */
static bool is_usable(int fd, const struct conf_listener *l)
{
    return listen(fd, (int)l->backlog) == 0 && fd_set_nonblocking(fd, true);
}

bool store_take(struct endpoint *e, const struct conf_listener *l, struct activation *activation)
{
    char name[ACTIVATION_NAME_SIZE];
    if (!is_kept(l))
        return false;
    name_of(l, name, sizeof(name));
    for (size_t i = 0; i < activation->count; i++) {
        struct activation_fd *f = &activation->fds[i];
        if (f->fd == -1 || strcmp(f->name, name) != 0 || !fits(f->fd, l) || !is_usable(f->fd, l))
            continue;
        *e = ENDPOINT_NONE;
        e->fd = f->fd;
        f->fd = -1;
        return true;
    }
    return false;
}

void store_discard(struct activation *activation, struct notify *notify)
{
    for (size_t i = 0; i < activation->count; i++) {
        struct activation_fd *f = &activation->fds[i];
        if (f->fd == -1 || strncmp(f->name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        log_write(LOG_LEVEL_INFO, "supervisor", "the kept socket '%s' is no listener's any more: closed", f->name);
        shutdown(f->fd, SHUT_RDWR);
        fd_close(&f->fd);
        notify_forget(notify, f->name);
    }
}

void store_keep(const struct endpoint *e, const struct conf_listener *l, struct notify *notify)
{
    char name[ACTIVATION_NAME_SIZE];
    if (!is_kept(l))
        return;
    name_of(l, name, sizeof(name));
    notify_keep(notify, name, e->fd);
}

void store_forget(const struct endpoint *e, const struct conf_listener *l, struct notify *notify)
{
    char name[ACTIVATION_NAME_SIZE];
    if (!is_kept(l) || notify == NULL)
        return;
    name_of(l, name, sizeof(name));
    shutdown(e->fd, SHUT_RDWR);
    notify_forget(notify, name);
}
