/* SPDX-License-Identifier: MIT
 *
 * handover: see handover.h. What the messages may name is bounded as the keyword table bounds it, so that the conf need
 * not be read before it is whole.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "front/handover.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/link.h"
#include "wire/control.h"

#define CONF_BYTES_MAX (64 * 1024 * 1024)
#define LISTENERS_MAX  256
#define BACKENDS_MAX   1000

struct handover {
    uint32_t generation;
    char *name;
    int text;                         /* memfd */
    int listeners[LISTENERS_MAX + 1]; /* -1: has not come; the admin listener's is moved behind the conf's when read */
    int admin;
    uint32_t backends[BACKENDS_MAX];
    bool has_backend[BACKENDS_MAX];
};

static bool take_fd(struct link_message *m, int *fd)
{
    if (m->nfds != 1 || *fd != -1)
        return false;
    *fd = m->fds[0];
    m->fds[0] = -1;
    return true;
}

static bool begin(struct handover **h, struct link_message *m)
{
    struct handover *new = mem_zalloc(sizeof *new);
    handover_free(h);
    *h = new;
    new->generation = m->control.generation;
    new->name = m->control.text.len != 0 ? mem_strdup_str(m->control.text) : mem_strdup("-");
    new->text = new->admin = -1;
    for (size_t i = 0; i != LISTENERS_MAX + 1; ++i)
        new->listeners[i] = -1;
    return take_fd(m, &new->text);
}

static bool take_listener(struct handover *h, struct link_message *m)
{
    uint32_t slot = m->control.slot;
    if (slot == WIRE_SLOT_ADMIN)
        return take_fd(m, &h->admin);
    return slot < LISTENERS_MAX && take_fd(m, &h->listeners[slot]);
}

static bool take_backend(struct handover *h, const struct wire_control *c)
{
    if (c->slot >= BACKENDS_MAX || h->has_backend[c->slot])
        return false;
    h->backends[c->slot] = c->backend;
    h->has_backend[c->slot] = true;
    return true;
}

enum handover_state handover_take(struct handover **h, struct link_message *m, const char **error)
{
    bool good = false;
    if (m->control.type == WIRE_CONF)
        good = begin(h, m);
    else if (*h == NULL)
        *error = "protocol: a part of a conf before the conf";
    else if (m->control.type == WIRE_LISTENER)
        good = take_listener(*h, m);
    else if (m->control.type == WIRE_BACKEND)
        good = take_backend(*h, &m->control);
    else if (m->control.type == WIRE_CONF_END)
        return HANDOVER_WHOLE;
    if (!good && *h != NULL)
        *error = "protocol: not a part of a conf, or twice the same, or without its descriptor";
    return good ? HANDOVER_MORE : HANDOVER_BAD;
}

void handover_free(struct handover **handover)
{
    struct handover *h = *handover;
    if (h == NULL)
        return;
    fd_close(&h->text);
    fd_close(&h->admin);
    for (size_t i = 0; i != LISTENERS_MAX + 1; ++i)
        fd_close(&h->listeners[i]);
    mem_free(&h->name);
    mem_free(handover);
}

uint32_t handover_generation(const struct handover *h)
{
    return h->generation;
}

struct conf *handover_conf(struct handover *h, char *error, size_t error_size)
{
    struct buf problems = {NULL};
    size_t len = 0;
    char *text = fd_read_all(h->text, CONF_BYTES_MAX, &len);
    if (text == NULL) {
        snprintf(error, error_size, "%s", strerror(errno));
        return NULL;
    }
    struct conf *conf = conf_parse(h->name, text, len, &problems);
    if (conf == NULL)
        snprintf(error, error_size, "%s", buf_z(&problems));
    else
        conf->generation = h->generation;
    mem_free(&text);
    buf_free(&problems);
    return conf;
}

const int *handover_sockets(struct handover *h, const struct conf *conf)
{
    if (h->admin != -1 && h->listeners[conf->nlisteners] == -1) {
        h->listeners[conf->nlisteners] = h->admin;
        h->admin = -1;
    }
    return h->listeners;
}

const uint32_t *handover_backends(const struct handover *h, const struct conf *conf)
{
    for (size_t i = 0; i != conf->nbackends; ++i) {
        if (!h->has_backend[i])
            return NULL;
    }
    return h->backends;
}
