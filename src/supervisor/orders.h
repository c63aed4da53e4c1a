/* SPDX-License-Identifier: MIT
 *
 * orders: what an operator asks for over the control socket, but for the status: carried out at once, or begun and
 * answered when it is done (recycle, drain). Supervisor.
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

/* a pool that is being recycled for a client that waits */
struct orders_recycle {
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
    uint32_t drains[CONTROL_CLIENTS_MAX]; /* numbers of those who wait for the end; 0: free */
    int log_level;                        /* -1: the conf's */
};

/* as control_handler.obey */
bool orders_obey(struct orders *o, const struct wire_request *request, uint32_t number, struct buf *out);
/* A slot of this pool has changed its state. */
void orders_on_pool(struct orders *o, const struct pool *pool);
/* This pool leaves: its recycling ends with it. */
void orders_forget_pool(struct orders *o, const struct pool *pool);
/* A new front has to be told what was ordered before. */
void orders_retell(const struct orders *o);
/* The end has come. cut: what was still running then has been cut off, in words; NULL: nothing was. */
void orders_ended(struct orders *o, const char *cut);

#endif
