/* SPDX-License-Identifier: MIT
 *
 * front_child: the front as the supervisor sees it: a process to be started, fed with the conf and the sockets, watched
 * by its heartbeat, replaced when it dies or hangs, drained at the end. Its life is a table of states and events
 * (front_child.c). What it has to be told about workers its owner sends once it is serving. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_FRONT_CHILD_H
#define BULKHEAD_SUPERVISOR_FRONT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include "supervisor/channel.h"
#include "supervisor/environment.h"
#include "supervisor/identity.h"
#include "supervisor/restart.h"
#include "supervisor/spawn.h"

struct bindings;
struct conf;
struct nursery;

/* what it waits for */
enum front_state {
    FRONT_OFF,      /* no process; for FRONT_START */
    FRONT_STARTING, /* conf and sockets sent; for "ready", within FRONT_START_LIMIT_US */
    FRONT_SERVING,  /* for heartbeats */
    FRONT_DRAINING, /* told to finish; for its end, within drain_timeout */
    FRONT_KILLED,   /* SIGKILL sent; for its end */
    FRONT_BACKOFF,  /* no process; for the restart delay to pass */
    FRONT_STATE_COUNT
};

enum front_event {
    FRONT_START,
    FRONT_READY,
    FRONT_BEAT,   /* it lives */
    FRONT_BROKEN, /* the channel cannot be used any more, or it says that it has failed: fc->why */
    FRONT_EXITED,
    FRONT_TIMER,
    FRONT_DRAIN,    /* finish what runs, end, and stay so */
    FRONT_STOP_NOW, /* end at once, and stay so */
    FRONT_EVENT_COUNT
};

/* All from the loop, except on_useless and on_off, which may also run out of front_child_start, _drain and _stop. */
struct front_listener {
    void (*on_serving)(void *arg);
    void (*on_gone)(void *arg);                     /* one that was serving; whatever was leased to it is free */
    void (*on_off)(void *arg);                      /* no process, and none to follow */
    void (*on_useless)(void *arg, const char *why); /* the first one never got ready: there is nothing to go back to */
    void (*on_kill)(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, const char *why);
    void (*on_returned)(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, uint32_t calls);
    void (*on_spent)(void *arg, uint32_t backend, uint32_t slot, uint32_t generation, uint32_t calls);
    void (*on_stuck)(void *arg, const struct wire_control *m); /* m: borrowed */
    void (*on_quiet)(void *arg, uint32_t backend);             /* no call runs on this paused pool any more */
    /* of what was offered, by its conf's generation */
    void (*on_prepared)(void *arg, uint32_t generation);
    void (*on_refused)(void *arg, uint32_t generation, struct str why);
    void (*on_swapped)(void *arg, uint32_t generation);    /* it is in force */
    void (*on_retired)(void *arg, uint32_t backend);       /* nothing runs, or will run, on this pool */
    void (*on_status)(void *arg, uint32_t number, int fd); /* fd borrowed */
};

/* A conf as a front is to have it; all borrowed as long as it is in force. */
struct front_conf {
    const struct conf *conf;
    const struct bindings *bindings;
    const uint32_t *ids; /* of conf.backends: pool.id */
    int memory;          /* front_child's own: memfd with the effective conf */
};

struct front_child {
    const struct nursery *nursery;
    const struct conf *conf;     /* now.conf */
    struct front_conf now, next; /* next.conf NULL: none is offered */
    const struct front_listener *listener;
    void *arg;
    enum front_state state; /* moved by front_child.c's enter() only */
    bool last;              /* no process is to follow this one */
    bool proven;            /* one has been serving once */
    bool cut_off;           /* it was drained, and was not through in time */
    unsigned missed;        /* halves of heartbeat_timeout without a heartbeat */
    pid_t pid;
    uint32_t started; /* processes so far */
    int64_t spawned_us, ready_us /* 0: not yet */;
    struct restart restart;
    struct channel channel;
    struct spawn_plan plan;
    struct environment environment;
    struct identity identity;
    char *argv[2];
    ev_child child;
    ev_timer timer;
    char why[512];
};

/* What a front is made from; all borrowed for its life. */
struct front_options {
    const struct nursery *nursery;
    struct front_conf conf;
    const struct front_listener *listener;
    void *arg;
};

/* false with words; front_child_close is fine then too. */
bool front_child_open(struct front_child *fc, const struct front_options *options, char *error_r, size_t error_size);
void front_child_close(struct front_child *fc);
/* ids: of the conf's backends, as in struct front_conf; before front_child_start */
void front_child_name_backends(struct front_child *fc, const uint32_t *ids);
void front_child_start(struct front_child *fc);
void front_child_drain(struct front_child *fc);
void front_child_stop(struct front_child *fc);
bool front_child_is_serving(const struct front_child *fc);
/* It serves, and its last heartbeat came in time. */
bool front_child_is_alive(const struct front_child *fc);
const char *front_child_state_name(enum front_state state);
/* Has a front that serves prepare another conf: on_prepared or on_refused comes, unless it ends. false: none serves, or
 * there is no memory (errno). */
bool front_child_offer(struct front_child *fc, const struct front_conf *next);
/* What is offered, borrowed from elsewhere now, is what this front, if it still serves, and every later one have from now on; on_swapped comes, or
 * on_serving of a later one. */
void front_child_commit(struct front_child *fc, const struct front_conf *now);
/* Nothing is offered any more. */
void front_child_abort(struct front_child *fc);
/* To a front that serves; else it is dropped, as a later front is told anew. */
void front_child_send(struct front_child *fc, const struct wire_control *m);
/* Hands over a client of the control socket; fd stays the caller's. false: no front serves. */
bool front_child_pass_client(struct front_child *fc, int fd);
/* Opens the access log anew, when it is a file, and hands it over; own_log, too (-1: it is no file), which stays the
 * caller's. */
void front_child_reopen_logs(struct front_child *fc, int own_log);

#endif
