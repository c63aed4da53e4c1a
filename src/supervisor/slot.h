/* SPDX-License-Identifier: MIT
 *
 * slot: one worker's place in a backend: its listening socket, which outlives the processes that serve on it, the
 * process that does now, and how its life goes: a table of states and events (slot.c). Created at boot; starting a
 * process again takes no memory. The pool owns its slots and hears of every change of state. It has more of them than workers
 * that serve: a slot that is `due` is replaced by a process in a spare one, and becomes a spare one. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_SLOT_H
#define BULKHEAD_SUPERVISOR_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include "supervisor/endpoint.h"
#include "supervisor/output.h"
#include "supervisor/probe.h"
#include "supervisor/restart.h"
#include "supervisor/worker_plan.h"

struct conf;
struct pool;

/* what it waits for */
enum slot_state {
    SLOT_IDLE,     /* no process; for SLOT_START */
    SLOT_STARTING, /* process runs; for it to accept its first connection, within start_timeout */
    SLOT_READY,    /* granted to the front; for nothing */
    SLOT_RECALLED, /* for the front to give it back, within pool.patience_us */
    SLOT_PROBING,  /* ready, but the front it was granted to is gone; for it to be done with that front's call */
    SLOT_STOPPING, /* SIGTERM sent; for its end, within stop_timeout */
    SLOT_KILLED,   /* SIGKILL sent; for its end */
    SLOT_BACKOFF,  /* no process; for the restart delay to pass */
    SLOT_STATE_COUNT
};

enum slot_event {
    SLOT_START,
    SLOT_ACCEPTED,   /* the probe's connection was accepted */
    SLOT_EXITED,     /* the process has ended and been reaped */
    SLOT_TIMER,      /* the one timer, whose meaning is the state's */
    SLOT_KILL,       /* another process is wanted in place of this one */
    SLOT_KILL_NOW,   /* the same without patience */
    SLOT_RECALL,     /* end when no call runs on it, and be a spare place then */
    SLOT_RETURNED,   /* the front has given it back */
    SLOT_FRONT_LOST, /* the front has gone; calls of it may still run */
    SLOT_STOP,       /* end, and stay so */
    SLOT_STOP_NOW,   /* the same without patience */
    SLOT_EVENT_COUNT
};

struct slot {
    struct pool *pool;
    unsigned index;
    enum slot_state state; /* moved by slot.c's enter() only */
    bool last;             /* no process is to follow this one */
    bool slow_start;       /* being stopped for missing start_timeout */
    bool failing;          /* the last start did not get ready */
    bool due;              /* its process is to be replaced from another slot; due_why */
    pid_t pid;             /* 0: no process */
    uint32_t generation;   /* of the process; counts from 1 */
    int64_t spawned_us, ready_us /* 0: not yet */;
    uint32_t calls;   /* served by the process, as far as the front has told */
    int64_t resident; /* bytes of its process group; 0: not looked at */
    struct endpoint endpoint;
    struct worker_plan plan;
    struct restart restart;
    struct probe probe;
    struct output output;
    ev_child child;
    ev_timer timer;
    char why[256]; /* why it is not, or no longer, ready */
    char due_why[128];
};

/* Makes the socket in `directory`. false with words; slot_close is fine then too. */
bool slot_open(struct slot *s, struct pool *pool, unsigned index, const struct conf *conf, const char *directory,
               char *error_r, size_t error_size);
void slot_close(struct slot *s);
void slot_handle(struct slot *s, enum slot_event event);
/* as slot_handle(SLOT_KILL or SLOT_KILL_NOW), with the reason; no-op where there is no process to be replaced */
void slot_kill(struct slot *s, enum slot_event how, const char *why);
/* Its process is to be replaced politely: due; no-op where it is already, or has no process that will serve. */
void slot_retire(struct slot *s, const char *why);
/* has a process that serves, or will */
bool slot_is_staffed(const struct slot *s);
/* leased to the front */
bool slot_is_granted(enum slot_state state);
const char *slot_state_name(enum slot_state state);
/* processes started after the first */
uint32_t slot_restarts(const struct slot *s);

#endif
