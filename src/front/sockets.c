/* SPDX-License-Identifier: MIT
 *
 * sockets: see sockets.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/sockets.h"

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/tls.h"

/* The kernel ends a connection whose peer acknowledges nothing. The sweep is to be first, because it counts what it
 * ends; the kernel's limit is for what the library has closed and what is still on its way. */
#define KERNEL_SLACK_US (5 * INT64_C(1000000))
/* idle time after which the kernel probes whether a silent client is still there */
#define KEEPALIVE_IDLE_S 60

/* Accepted sockets inherit these from the listening one, which saves their system calls on every connection. */
static void set_options(int fd, const struct conf *conf)
{
    int domain = 0, on = 1, idle_s = KEEPALIVE_IDLE_S;
    socklen_t len = sizeof domain;
    unsigned unacknowledged_ms = (unsigned)((conf->limits.write_timeout + KERNEL_SLACK_US) / 1000);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || (domain != AF_INET && domain != AF_INET6))
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    if (conf->limits.write_timeout > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static bool duplicate(struct sockets_entry *entry, int fd, unsigned loops)
{
    struct stat st;
    entry->fds = mem_alloc(loops * sizeof *entry->fds);
    for (unsigned i = 0; i != loops; ++i)
        entry->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fstat(fd, &st) != 0)
        return false;
    entry->socket = st.st_ino;
    for (unsigned i = 0; i != loops; ++i) {
        if (entry->fds[i] == -1)
            return false;
    }
    return true;
}

static bool fill(struct sockets_entry *entry, const struct conf_listener *listener, int fd, unsigned loops, char *why,
                 size_t why_size)
{
    if (fd == -1) {
        snprintf(why, why_size, "no socket was handed over");
        return false;
    }
    if (!duplicate(entry, fd, loops)) {
        snprintf(why, why_size, "%s", strerror(errno));
        return false;
    }
    if (listener->ncertificates != 0)
        entry->tls = tls_context_create(listener, why, why_size);
    return listener->ncertificates == 0 || entry->tls != NULL;
}

static bool add(struct sockets *sockets, const struct conf *conf, const struct conf_listener *listener, int fd,
                char *error, size_t error_size)
{
    struct sockets_entry *entry = &sockets->entries[sockets->count++];
    char why[512];
    *entry = (struct sockets_entry){.name = mem_strdup(listener->bind != NULL ? listener->bind : listener->systemd),
                                    .kind = listener == conf->admin ? SETUP_KIND_ADMIN
                                            : listener->http2       ? SETUP_KIND_CLIENT_HTTP2
                                                                    : SETUP_KIND_CLIENT,
                                    .proxy_protocol = listener->proxy_protocol};
    if (!fill(entry, listener, fd, sockets->loops, why, sizeof why)) {
        snprintf(error, error_size, "listener %s: %s", entry->name, why);
        return false;
    }
    return true;
}

struct sockets *sockets_create(const struct conf *conf, const int *fds, unsigned loops, char *error, size_t error_size)
{
    struct sockets *sockets = mem_zalloc(sizeof *sockets);
    size_t count = conf->nlisteners + (conf->admin != NULL);
    sockets->loops = loops;
    sockets->entries = mem_zalloc((count + 1) * sizeof *sockets->entries);
    for (size_t i = 0; i != count; ++i) {
        const struct conf_listener *listener = i == conf->nlisteners ? conf->admin : &conf->listeners[i];
        if (!add(sockets, conf, listener, fds[i], error, error_size)) {
            sockets_free(&sockets);
            return NULL;
        }
    }
    return sockets;
}

void sockets_set_options(const struct sockets *sockets, const struct conf *conf)
{
    for (size_t i = 0; i != sockets->count; ++i)
        set_options(sockets->entries[i].fds[0], conf);
}

void sockets_free(struct sockets **sockets)
{
    struct sockets *s = *sockets;
    if (s == NULL)
        return;
    for (size_t i = 0; i != s->count; ++i) {
        struct sockets_entry *entry = &s->entries[i];
        for (unsigned loop = 0; entry->fds != NULL && loop != s->loops; ++loop)
            fd_close(&entry->fds[loop]);
        mem_free(&entry->fds);
        mem_free(&entry->name);
        SSL_CTX_free(entry->tls);
    }
    mem_free(&s->entries);
    mem_free(sockets);
}
