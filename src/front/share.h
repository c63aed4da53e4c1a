/* SPDX-License-Identifier: MIT
 *
 * share: how much of one backend a single HTTP/2 connection may take: half of its slots. Calls past that wait in the
 * connection's own line before they enter the gate, first come first served, so that one client with a hundred streams
 * does not starve the others. A share exists while it holds calls or somebody waits for it; calls whose client has
 * left still count until their work ends, so closing the streams gains nothing. HTTP/1 connections have one call at a
 * time and no share. One table a loop thread (a connection stays on its thread); no locks.
 */
#ifndef BULKHEAD_FRONT_SHARE_H
#define BULKHEAD_FRONT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct share;
struct share_table;

/* Part of the exchange; zero it (list_init the link) before use. */
struct share_ticket {
    struct list link; /* on share.waiting */
    struct share *share;
    bool holds;
    /* The ticket holds a place now. Runs inside share_leave of another ticket of the connection, perhaps while the
     * library disposes of that one's request: it may take note, but must not answer anything. */
    void (*on_admitted)(struct share_ticket *ticket);
};

struct share_table *share_table_create(void);
void share_table_free(struct share_table **table);
/* true: the ticket holds a place. false: it waits; on_admitted comes, unless share_leave comes first. `most`: how many
 * calls of this connection the backend may hold at once. */
bool share_enter(struct share_table *table, struct share_ticket *ticket, uint64_t connection, const void *backend,
                 unsigned most);
/* Gives the place back, or stops waiting; no-op for a ticket that has neither. */
void share_leave(struct share_table *table, struct share_ticket *ticket);

#endif
