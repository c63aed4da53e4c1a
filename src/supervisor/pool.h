/* SPDX-License-Identifier: MIT
 *
 * pool: the slots of one backend, and what the front must know of them: which workers are granted, recalled, lost, and
 * whether the backend is down, that is, every slot's last start failed. It has spare slots (max_surge) besides the
 * workers that are wanted: a worker that is due to go stays until one in a spare slot is ready, and there are never
 * fewer ready ones for its sake. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_POOL_H
#define BULKHEAD_SUPERVISOR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/slot.h"

struct conf;
struct conf_backend;
struct nursery;
struct rundir;
struct identity;

/* Whom a pool tells. None of these may change the pool. */
struct pool_listener {
    void (*on_grant)(void *arg, const struct slot *s);
    void (*on_recall)(void *arg, const struct slot *s); /* was granted, and is to be given back */
    void (*on_lost)(void *arg, const struct slot *s);   /* was granted; s->why */
    void (*on_state)(void *arg, const struct slot *s);  /* any change */
    void (*on_down)(void *arg, const struct pool *p);   /* p->down has changed */
    void (*on_idle)(void *arg, struct pool *p);         /* the last process has ended and none is to follow */
};

/* What the conf in force says of it */
enum pool_role {
    POOL_SERVING,
    POOL_COMING, /* it belongs to one that is not in force yet, and the front may not know it */
    POOL_LEAVING /* it belonged to one that was */
};

struct pool {
    uint32_t id;       /* its name in messages to the front; no other has had it */
    struct conf *part; /* what its workers are made from; owned, as confs come and go meanwhile */
    struct conf *live; /* what another conf says since, in what needs no other workers; owned; NULL: none did */
    const struct conf_backend *conf; /* in the later of the two */
    enum pool_role role;
    bool is_known;       /* to the front that there is */
    ev_timer retirement; /* LEAVING: the owner's */
    const struct nursery *nursery;
    const struct pool_listener *listener;
    void *arg;
    struct slot *slots; /* owned; never moves */
    unsigned nslots, nopen /* the rest is room to grow */;
    unsigned wanted; /* how many of them are to serve */
    unsigned limit;  /* the most calls at a time, when that was ordered; 0: what the conf says. The owner's */
    /* for slots that are opened later; borrowed */
    const char *directory;
    const struct identity *front;
    bool down;
    bool settled;        /* every slot has once been ready, or failed to be */
    bool tried;          /* a worker has once been ready, or all have failed to be; or none is needed */
    bool stopping;       /* nothing is started any more */
    ev_timer tend;       /* in the loop's next turn: see pool.c */
    int64_t patience_us; /* a call on one of its workers takes no longer */
};

/* The pools that there are; a pool stays where it is in memory. */
struct pools {
    struct pool **all;
    size_t count;
};

/* What a pool is made from; all but conf borrowed for the pool's life. */
struct pool_options {
    const struct conf *conf; /* borrowed until pool_open returns */
    size_t backend;          /* in conf.backends */
    uint32_t id;
    const struct nursery *nursery;
    const struct pool_listener *listener;
    void *arg;
    const char *directory;        /* for the sockets */
    const struct identity *front; /* who connects to them */
};

/* Makes the sockets, starts nothing. false with words; pool_close is fine then too. */
bool pool_open(struct pool *p, const struct pool_options *options, char *error_r, size_t error_size);
void pool_close(struct pool *p);
/* The conf in force has changed in what needs no other workers: `backend` of it is the same. */
void pool_adapt(struct pool *p, const struct conf *conf, size_t backend);
/* the workers that are wanted */
void pool_start(struct pool *p);
/* From now on so many are wanted: more are started, or those too many go when their calls have ended. false with words:
 * nothing has changed. */
bool pool_resize(struct pool *p, unsigned wanted, char *error_r, size_t error_size);
/* As many as are wanted are ready, and no other is there. */
bool pool_is_settled(const struct pool *p);
/* one event for every slot */
void pool_handle(struct pool *p, enum slot_event event);
/* Says again what the pool's listener would know if it had listened from the start: for a new front. */
void pool_retell(const struct pool *p);
/* These are the front's words, which may be late: no-ops unless the slot has still got that very process. */
void pool_kill(struct pool *p, uint32_t slot, uint32_t generation, const char *why);
/* the slot that is granted and has got that process; NULL: it is gone */
struct slot *pool_find(struct pool *p, uint32_t slot, uint32_t generation);
void pool_returned(struct pool *p, uint32_t slot, uint32_t generation, uint32_t calls);
void pool_spent(struct pool *p, uint32_t slot, uint32_t generation, uint32_t calls);
unsigned pool_count(const struct pool *p, enum slot_state state);
/* every slot's last start failed, or is being ended for taking too long: known start_timeout after the start at the
 * latest, some stop_timeout before the pool is down */
bool pool_is_hopeless(const struct pool *p);
/* no process, and none to follow */
bool pool_is_idle(const struct pool *p);

/* slot.c: it has moved from `before` to s->state */
void pool_on_slot(struct pool *p, struct slot *s, enum slot_state before);
/* slot.c: one of them is due */
void pool_on_due(struct pool *p);

#endif
