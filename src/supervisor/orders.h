/* SPDX-License-Identifier: MIT
 *
 * orders: what an operator asks for over the control socket, but for the status: carried out at once, or begun and
 * answered when it is done (recycle, resize, pause, drain). Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_ORDERS_H
#define BULKHEAD_SUPERVISOR_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/control_server.h"

struct front_child;
struct pool;
struct pools;

/* a pool that is being recycled, or resized, for a client that waits */
struct orders_recycle {
    const struct pool *pool; /* NULL: this entry is free */
    uint32_t number;
    int64_t since_us;
    unsigned size; /* the workers that there are to be; 0: it is being recycled */
};

/* a backend whose calls are held; by its name, as it may be another pool after a reload */
struct orders_pause {
    struct orders_pause *next;
    char *name;
    int64_t hold_us; /* -1: queue_timeout */
};

/* a client that waits for the calls of a paused backend to have ended */
struct orders_wait {
    const struct pool *pool; /* NULL: this entry is free */
    uint32_t number;
    int64_t since_us;
};

struct orders {
    const struct pools *pools; /* borrowed, as all here */
    struct front_child *front;
    struct control_server *server;
    void (*drain)(void *arg); /* begins the orderly end, unless it has begun */
    void *arg;
    struct orders_recycle recycles[CONTROL_CLIENTS_MAX];
    struct orders_pause *pauses; /* owned */
    struct orders_wait waits[CONTROL_CLIENTS_MAX];
    uint32_t drains[CONTROL_CLIENTS_MAX]; /* numbers of those who wait for the end; 0: free */
    int log_level;                        /* -1: the conf's */
};

/* as control_handler.obey */
bool orders_obey(struct orders *o, const struct wire_request *request, uint32_t number, struct buf *out);
/* A slot of this pool has changed its state. */
void orders_on_pool(struct orders *o, const struct pool *pool);
/* This pool leaves: what is waited for on it will not be. */
void orders_forget_pool(struct orders *o, const struct pool *pool);
/* The front says that no call runs on this paused backend any more. */
void orders_on_quiet(struct orders *o, const struct pool *pool);
/* A new front has to be told what was ordered before. */
void orders_retell(struct orders *o);
/* The end has come. cut: what was still running then has been cut off, in words; NULL: nothing was. */
void orders_ended(struct orders *o, const char *cut);
void orders_free(struct orders *o);

#endif
