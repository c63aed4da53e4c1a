/* SPDX-License-Identifier: MIT
 *
 * supervisor_private: what supervisor.c (start, messages, signals, end) and supervisor_reload.c (another conf) share.
 */
#ifndef BULKHEAD_SUPERVISOR_SUPERVISOR_PRIVATE_H
#define BULKHEAD_SUPERVISOR_SUPERVISOR_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "base/str.h"
#include "supervisor/bindings.h"
#include "supervisor/control_server.h"
#include "supervisor/endpoint.h"
#include "supervisor/front_child.h"
#include "supervisor/nursery.h"
#include "supervisor/orders.h"
#include "supervisor/pool.h"
#include "supervisor/rundir.h"

struct census;
struct conf;
struct loader;
struct notify;

/* what it waits for */
enum reload_state {
    RELOAD_IDLE,  /* for an order */
    RELOAD_ASKED, /* for the loop's next turn (nobody is answered before its order is taken), and a front that serves */
    RELOAD_LOADING,   /* for the loader */
    RELOAD_PREPARING, /* for the front's word, and for each new pool's workers */
    RELOAD_COMMITTED  /* for the front to have gone over */
};

struct reload {
    enum reload_state state; /* moved by supervisor_reload.c only */
    bool again;              /* asked for meanwhile */
    bool front_is_prepared;
    struct loader *loader;
    struct conf *next;
    struct conf *former;      /* COMMITTED: what was in force; NULL: not ours to free */
    struct bindings bindings; /* next's; after the commit: former's */
    uint32_t *ids;            /* of next's backends */
    char *words;              /* warnings, and what has changed */
    ev_timer look;            /* in the loop's next turn: ASKED, PREPARING */
    ev_timer late;            /* PREPARING: the front's time is over */
    uint32_t askers[CONTROL_CLIENTS_MAX],
        later[CONTROL_CLIENTS_MAX]; /* who wait for the verdict; for the next; 0: free */
};

/* what it waits for */
enum phase {
    PHASE_RUNNING,  /* for a signal to stop */
    PHASE_LEAVING,  /* for drain_delay to pass; all is served as before */
    PHASE_DRAINING, /* for the front to end */
    PHASE_STOPPING  /* for the workers to end */
};

struct supervisor {
    const struct conf *conf; /* in force */
    struct conf *owned_conf; /* the same, once it has been reloaded */
    uint32_t *ids;           /* of its backends' pools */
    uint32_t last_id;
    struct nursery nursery;
    struct bindings bindings;
    struct rundir rundir;
    struct endpoint control;
    struct control_server *control_server;
    struct notify *notify; /* NULL: no service manager */
    struct front_child front;
    struct pools pools; /* owned; also those of backends that run in the front, without slots */
    struct reload reload;
    struct census *census; /* NULL: nothing to look after */
    struct orders orders;
    enum phase phase;
    bool hurry;     /* do not wait for anybody any more */
    bool announced; /* the lines for the human have been logged */
    bool ready;     /* the service manager has been told that the start is over */
    bool ended;     /* the loop is to end, or need not begin */
    int exit_code;
    int64_t started_us;
    ev_timer leave; /* PHASE_LEAVING: its end */
    ev_signal terminate, interrupt, hang_up, reopen;
};

/* supervisor.c */
extern const struct pool_listener supervisor_pool_listener;
void supervisor_tell_manager(struct supervisor *sv);
/* Opens the conf's log target, if it is a file, as fd 2. */
bool supervisor_open_log(const struct conf *conf);
bool supervisor_log_is_file(const struct conf *conf);

/* supervisor_reload.c */
void reload_init(struct supervisor *sv);
/* An order, from whom: number, 0: nobody waits for the verdict. One that comes while another is carried out is carried
 * out afterwards. */
void reload_ask(struct supervisor *sv, uint32_t number);
/* What happens meanwhile */
void reload_on_prepared(struct supervisor *sv, uint32_t generation);
void reload_on_refused(struct supervisor *sv, uint32_t generation, struct str why);
void reload_on_swapped(struct supervisor *sv, uint32_t generation);
void reload_on_retired(struct supervisor *sv, uint32_t backend);
void reload_on_front_serving(struct supervisor *sv);
void reload_on_front_gone(struct supervisor *sv);
void reload_on_pool(struct supervisor *sv, const struct pool *p); /* a slot of it has moved */
void reload_on_pool_idle(struct supervisor *sv, struct pool *p);
/* The end begins: what is not in force yet will not be. */
void reload_end(struct supervisor *sv);
/* Frees what is left. */
void reload_close(struct supervisor *sv);
/* A pool for this backend of conf, and a place for it among sv->pools. NULL with words. */
struct pool *reload_open_pool(struct supervisor *sv, const struct conf *conf, size_t backend, char *error_r,
                              size_t error_size);

#endif
