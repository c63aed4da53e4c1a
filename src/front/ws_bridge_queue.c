/* SPDX-License-Identifier: MIT
 *
 * ws_bridge_queue: whole messages that wait, in order. It bounds nothing: who puts something in asks `bytes` first.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "front/ws_bridge_private.h"

void bridge_queue_init(struct bridge_queue *q)
{
    list_init(&q->parcels);
    q->bytes = 0;
}

void bridge_queue_put(struct bridge_queue *q, enum ws_opcode opcode, struct str bytes)
{
    struct bridge_parcel *p = mem_alloc(sizeof(*p) + bytes.len);
    list_init(&p->link);
    p->opcode = opcode;
    p->len = bytes.len;
    if (bytes.len != 0)
        memcpy(p->bytes, bytes.base, bytes.len);
    list_append(&q->parcels, &p->link);
    q->bytes += sizeof(*p) + bytes.len;
}

const struct bridge_parcel *bridge_queue_first(const struct bridge_queue *q)
{
    const struct list *node = list_first(&q->parcels);
    return node == NULL ? NULL : LIST_ENTRY(node, struct bridge_parcel, link);
}

void bridge_queue_drop_first(struct bridge_queue *q)
{
    struct bridge_parcel *p = LIST_ENTRY(list_pop(&q->parcels), struct bridge_parcel, link);
    q->bytes -= sizeof(*p) + p->len;
    free(p);
}

void bridge_queue_clear(struct bridge_queue *q)
{
    while (!list_empty(&q->parcels))
        bridge_queue_drop_first(q);
}
