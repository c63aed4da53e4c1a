/* SPDX-License-Identifier: MIT
 *
 * census: see census.h. Memory is the resident set of each process of a worker's process group, added up: one pass over
 * /proc for all workers, as that is where groups can be found. Pages that processes share are counted for each.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/jitter.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "supervisor/census.h"
#include "supervisor/pool.h"

#define LOOK_S 1.
#define MIB    (1024. * 1024.)

struct census {
    struct ev_loop *loop;
    const struct pools *pools;
    bool weighs; /* some backend has a limit of memory */
    int64_t page_bytes;
    ev_timer look;
};

static bool has_memory_limit(const struct pool *p)
{
    return p->nopen > 0 && (p->conf->memory_limit >= 0 || p->conf->memory_limit_hard >= 0);
}

static bool has_age_limit(const struct pool *p)
{
    return p->nopen > 0 && p->conf->max_lifetime >= 0;
}

static bool is_alive(const struct slot *s)
{
    return s->state == SLOT_PROBING || slot_is_granted(s->state);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static struct slot *slot_of_group(const struct census *c, pid_t group)
{
    for (size_t i = 0; i < c->pools->count; i++) {
        if (!has_memory_limit(c->pools->all[i]))
            continue;
        for (unsigned k = 0; k < c->pools->all[i]->nopen; k++) {
            if (c->pools->all[i]->slots[k].pid == group)
                return &c->pools->all[i]->slots[k];
        }
    }
    return NULL;
}

/* proc(5): after the name in parentheses, which may hold anything, field 5 is the group and field 24 the pages. */
static bool read_stat(int proc, const char *pid, pid_t *group_r, int64_t *pages_r)
{
    char path[32], text[1024];
    long group;
    long long pages;
    snprintf(path, sizeof(path), "%.16s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
    fd_close(&fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*d %ld %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %lld",
               &group, &pages) != 2)
        return false;
    *group_r = (pid_t)group;
    *pages_r = pages;
    return true;
}

static void forget(const struct census *c)
{
    for (size_t i = 0; i < c->pools->count; i++) {
        for (unsigned k = 0; k < c->pools->all[i]->nopen; k++)
            c->pools->all[i]->slots[k].resident = 0;
    }
}

static void weigh(const struct census *c)
{
    DIR *proc = opendir("/proc");
    pid_t group;
    int64_t pages;
    if (proc == NULL)
        return;
    forget(c);
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !read_stat(dirfd(proc), entry->d_name, &group, &pages))
            continue;
        struct slot *s = slot_of_group(c, group);
        if (s != NULL)
            s->resident += pages * c->page_bytes;
    }
    closedir(proc);
}

static void judge_memory(struct slot *s)
{
    const struct conf_backend *conf = s->pool->conf;
    char why[128];
    if (conf->memory_limit_hard >= 0 && s->resident > conf->memory_limit_hard) {
        snprintf(why, sizeof(why), "memory_limit_hard: it holds %.1f MiB, the limit is %.1f MiB",
                 (double)s->resident / MIB, (double)conf->memory_limit_hard / MIB);
        slot_kill(s, SLOT_KILL_NOW, why);
    } else if (conf->memory_limit >= 0 && s->resident > conf->memory_limit) {
        snprintf(why, sizeof(why), "memory_limit: it holds %.1f MiB, the limit is %.1f MiB", (double)s->resident / MIB,
                 (double)conf->memory_limit / MIB);
        slot_retire(s, why);
    }
}

/* ---- age -------------------------------------------------------------------------------------------------------- */

static void judge_age(struct slot *s, int64_t now_us)
{
    char why[64];
    int64_t lifetime = jitter(s->pool->conf->max_lifetime, (uint64_t)s->pid << 32 | s->generation);
    int64_t age = now_us - s->spawned_us;
    if (age < lifetime)
        return;
    snprintf(why, sizeof(why), "max_lifetime: it is %.0f s old", (double)age / 1e6);
    slot_retire(s, why);
}

/* ---- the look --------------------------------------------------------------------------------------------------- */

static void judge(struct slot *s, int64_t now_us)
{
    if (is_alive(s) && has_memory_limit(s->pool))
        judge_memory(s);
    if (is_alive(s) && has_age_limit(s->pool))
        judge_age(s, now_us);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int events)
{
    struct census *c = w->data;
    int64_t now_us = clock_us();
    if (c->weighs)
        weigh(c);
    for (size_t i = 0; i < c->pools->count; i++) {
        for (unsigned k = 0; k < c->pools->all[i]->nopen; k++)
            judge(&c->pools->all[i]->slots[k], now_us);
    }
}

struct census *census_start(struct ev_loop *loop, const struct pools *pools)
{
    bool weighs = false, ages = false;
    for (size_t i = 0; i < pools->count; i++) {
        weighs = weighs || has_memory_limit(pools->all[i]);
        ages = ages || has_age_limit(pools->all[i]);
    }
    if (!weighs && !ages)
        return NULL;
    struct census *c = mem_zalloc(sizeof(*c));
    *c = (struct census){.loop = loop, .pools = pools, .weighs = weighs, .page_bytes = sysconf(_SC_PAGESIZE)};
    ev_timer_init(&c->look, on_look, LOOK_S, LOOK_S);
    c->look.data = c;
    ev_timer_start(loop, &c->look);
    return c;
}

void census_stop(struct census **census)
{
    if (*census == NULL)
        return;
    ev_timer_stop((*census)->loop, &(*census)->look);
    mem_free(census);
}
