/* SPDX-License-Identifier: MIT
 *
 * list: an intrusive doubly linked list. A node that is on no list points to itself, so unlinking twice is harmless and
 * "is it queued?" is one comparison. No allocation, no locks: the owner of the list says which thread may touch it.
 */
#ifndef BULKHEAD_BASE_LIST_H
#define BULKHEAD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
    list_append(head->next, node);
}

static inline void list_unlink(struct list *node)
{
    node->next->prev = node->prev;
    node->prev->next = node->next;
    node->next = node->prev = node;
}

static inline struct list *list_first(const struct list *head)
{
    return head->next == head ? NULL : head->next;
}

static inline struct list *list_pop(struct list *head)
{
    struct list *node = list_first(head);
    if (node != NULL)
        list_unlink(node);
    return node;
}

#endif
