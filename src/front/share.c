/* SPDX-License-Identifier: MIT
 *
 * share: see share.h. Shares are found by connection and backend in a hash; both are in the key as plain numbers, so a
 * share can outlive its connection by the calls that still run for it.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include <uthash.h>

#include "base/mem.h"
#include "front/share.h"

struct share_key {
    uint64_t connection;
    uintptr_t backend;
};

struct share {
    struct share_key key;
    unsigned held, most;
    struct list waiting; /* struct share_ticket */
    bool is_admitting;
    UT_hash_handle hh;
};

struct share_table {
    struct share *shares;
};

struct share_table *share_table_create(void)
{
    return mem_zalloc(sizeof(struct share_table));
}

void share_table_free(struct share_table **table)
{
    assert((*table)->shares == NULL);
    mem_free(table);
}

static struct share *share_of(struct share_table *table, struct share_key key, unsigned most)
{
    struct share *s;
    HASH_FIND(hh, table->shares, &key, sizeof(key), s);
    if (s == NULL) {
        s = mem_zalloc(sizeof(*s));
        s->key = key;
        list_init(&s->waiting);
        HASH_ADD(hh, table->shares, key, sizeof(s->key), s);
    }
    s->most = most;
    return s;
}

bool share_enter(struct share_table *table, struct share_ticket *ticket, uint64_t connection, const void *backend,
                 unsigned most)
{
    assert(ticket->share == NULL && most > 0);
    struct share *s = share_of(table, (struct share_key){connection, (uintptr_t)backend}, most);
    ticket->share = s;
    ticket->holds = s->held < s->most && list_empty(&s->waiting);
    if (ticket->holds)
        s->held++;
    else
        list_append(&s->waiting, &ticket->link);
    return ticket->holds;
}

/* Those who are told may leave again at once; the outermost call then goes on with the next. */
static void admit_waiting(struct share *s)
{
    if (s->is_admitting)
        return;
    s->is_admitting = true;
    while (s->held < s->most) {
        struct list *node = list_pop(&s->waiting);
        if (node == NULL)
            break;
        struct share_ticket *next = LIST_ENTRY(node, struct share_ticket, link);
        next->holds = true;
        s->held++;
        next->on_admitted(next);
    }
    s->is_admitting = false;
}

void share_leave(struct share_table *table, struct share_ticket *ticket)
{
    struct share *s = ticket->share;
    if (s == NULL)
        return;
    list_unlink(&ticket->link);
    ticket->share = NULL;
    if (ticket->holds) {
        ticket->holds = false;
        s->held--;
        admit_waiting(s);
    }
    if (s->held == 0 && list_empty(&s->waiting) && !s->is_admitting) {
        HASH_DEL(table->shares, s);
        free(s);
    }
}
