/* SPDX-License-Identifier: MIT
 *
 * bindings: opens what the conf lists: see bindings.h. The first failure ends it, with the address that it is about.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "supervisor/activation.h"
#include "supervisor/bindings.h"
#include "supervisor/store.h"

static bool take(struct endpoint *e, const char *name, struct activation *activation, char *error_r, size_t error_size)
{
    char names[512];
    *e = ENDPOINT_NONE;
    e->fd = activation_take(activation, name);
    if (e->fd != -1 && endpoint_is_listening(e->fd) && fd_set_nonblocking(e->fd, true))
        return true;
    activation_names(activation, names, sizeof(names));
    snprintf(
        error_r, error_size,
        "no listening socket of that name was handed over (there is: %s); set FileDescriptorName= and Accept=no in the "
        "socket unit",
        names);
    endpoint_close(e);
    return false;
}

static bool open_one(struct endpoint *e, const struct conf_listener *l, struct activation *activation, char *error_r,
                     size_t error_size)
{
    char problem[768];
    bool opened;
    if (l->kind == CONF_BIND_SYSTEMD)
        opened = take(e, l->systemd, activation, problem, sizeof(problem));
    else if (l->kind == CONF_BIND_UNIX)
        opened = endpoint_open_unix(e, ((const struct sockaddr_un *)&l->address)->sun_path, (mode_t)l->mode,
                                    (int)l->backlog, problem, sizeof(problem)) &&
                 fd_set_nonblocking(e->fd, true);
    else
        opened = endpoint_open_tcp(e, (const struct sockaddr *)&l->address, l->address_len, l->ipv6_only,
                                   (int)l->backlog, problem, sizeof(problem));
    if (!opened)
        snprintf(error_r, error_size, "%s%s: %s", l->kind == CONF_BIND_SYSTEMD ? "systemd socket " : "",
                 l->kind == CONF_BIND_SYSTEMD ? l->systemd : l->bind, problem);
    return opened;
}

/* What was kept for the listeners of now is taken, and the rest given up, before anything is bound: addresses may
 * overlap. */
static void take_kept(struct bindings *b, struct activation *activation, struct notify *notify)
{
    for (size_t i = 0; i < b->nlisteners; i++)
        store_take(&b->listeners[i], &b->conf->listeners[i], activation);
    if (b->conf->admin != NULL)
        store_take(&b->admin, b->conf->admin, activation);
    store_discard(activation, notify);
}

static void prepare(struct bindings *b, const struct conf *conf)
{
    *b = (struct bindings){.conf = conf, .nlisteners = conf->nlisteners, .admin = ENDPOINT_NONE};
    b->listeners = mem_alloc((conf->nlisteners + 1) * sizeof(b->listeners[0]));
    for (size_t i = 0; i < conf->nlisteners; i++)
        b->listeners[i] = ENDPOINT_NONE;
}

/* what has not been taken yet */
static bool open_rest(struct bindings *b, struct activation *activation, char *error_r, size_t error_size)
{
    const struct conf *conf = b->conf;
    for (size_t i = 0; i < conf->nlisteners; i++) {
        if (b->listeners[i].fd == -1 &&
            !open_one(&b->listeners[i], &conf->listeners[i], activation, error_r, error_size))
            return false;
    }
    return conf->admin == NULL || b->admin.fd != -1 ||
           open_one(&b->admin, conf->admin, activation, error_r, error_size);
}

bool bindings_open(struct bindings *b, const struct conf *conf, struct activation *activation, struct notify *notify,
                   char *error_r, size_t error_size)
{
    prepare(b, conf);
    take_kept(b, activation, notify);
    return open_rest(b, activation, error_r, error_size);
}

/* the one of `b` that listens where `l` says; NULL: none does */
static const struct endpoint *find(const struct bindings *b, const struct conf_listener *l)
{
    for (size_t i = 0; i < b->nlisteners; i++) {
        if (conf_change_keeps_socket(&b->conf->listeners[i], l))
            return &b->listeners[i];
    }
    return b->conf->admin != NULL && conf_change_keeps_socket(b->conf->admin, l) ? &b->admin : NULL;
}

/* what of it can change while it listens */
static void adopt(struct endpoint *e, const struct bindings *current, const struct conf_listener *l)
{
    const struct endpoint *kept = find(current, l);
    if (kept == NULL || kept->fd == -1)
        return;
    *e = *kept;
    if (l->kind != CONF_BIND_SYSTEMD)
        listen(e->fd, (int)l->backlog);
    if (e->path[0] != '\0')
        chmod(e->path, (mode_t)l->mode);
}

bool bindings_open_beside(struct bindings *next, const struct conf *conf, const struct bindings *current, char *error_r,
                          size_t error_size)
{
    struct activation *none = mem_zalloc(sizeof(*none));
    prepare(next, conf);
    for (size_t i = 0; i < conf->nlisteners; i++)
        adopt(&next->listeners[i], current, &conf->listeners[i]);
    if (conf->admin != NULL)
        adopt(&next->admin, current, conf->admin);
    bool opened = open_rest(next, none, error_r, error_size);
    mem_free(&none);
    return opened;
}

static bool has(const struct bindings *b, const struct endpoint *e)
{
    bool found = b->admin.fd == e->fd;
    for (size_t i = 0; i < b->nlisteners; i++)
        found = found || b->listeners[i].fd == e->fd;
    return found;
}

static void leave(struct endpoint *e, const struct conf_listener *l, const struct bindings *other,
                  struct notify *notify)
{
    if (e->fd == -1 || has(other, e))
        return;
    store_forget(e, l, notify);
    endpoint_close(e);
}

void bindings_leave(struct bindings *b, const struct bindings *other, struct notify *notify)
{
    if (b->listeners == NULL)
        return;
    for (size_t i = 0; i < b->nlisteners; i++)
        leave(&b->listeners[i], &b->conf->listeners[i], other, notify);
    leave(&b->admin, b->conf->admin, other, notify);
    mem_free(&b->listeners);
}

void bindings_keep(const struct bindings *b, struct notify *notify)
{
    for (size_t i = 0; i < b->nlisteners; i++)
        store_keep(&b->listeners[i], &b->conf->listeners[i], notify);
    if (b->conf->admin != NULL)
        store_keep(&b->admin, b->conf->admin, notify);
}

void bindings_remove_files(struct bindings *b)
{
    for (size_t i = 0; b->listeners != NULL && i < b->nlisteners; i++)
        endpoint_remove_file(&b->listeners[i]);
    endpoint_remove_file(&b->admin);
}

void bindings_close(struct bindings *b)
{
    if (b->listeners == NULL)
        return;
    bindings_remove_files(b);
    for (size_t i = 0; i < b->nlisteners; i++)
        endpoint_close(&b->listeners[i]);
    endpoint_close(&b->admin);
    mem_free(&b->listeners);
}

void bindings_describe(const struct bindings *b, char *out, size_t size)
{
    size_t len = 0;
    *out = '\0';
    for (size_t i = 0; i < b->nlisteners && len < size; i++) {
        char address[160];
        endpoint_address(b->listeners[i].fd, address, sizeof(address));
        len += (size_t)snprintf(out + len, size - len, "%s%s%s", i == 0 ? "" : ", ", address,
                                b->conf->listeners[i].ncertificates > 0 ? " (TLS)" : "");
    }
}
