/* SPDX-License-Identifier: MIT
 *
 * retry: when a failed attempt may be repeated, and how often. Safe is what the backend cannot have begun (nothing was
 * sent), or what may be done twice (idempotent, and no byte of an answer was seen). The budget keeps a failing backend
 * from seeing its load doubled: one retry for five calls that went well, and a few in advance. Any thread.
 */
#ifndef BULKHEAD_EXECUTOR_RETRY_H
#define BULKHEAD_EXECUTOR_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "call/call.h"
#include "upstream/hop.h"

#define RETRY_COST 5
#define RETRY_MAX  (20 * RETRY_COST)

struct retry_budget {
    _Atomic int credit;
};

static inline void retry_init(struct retry_budget *b)
{
    atomic_init(&b->credit, RETRY_MAX);
}

/* a call went well */
static inline void retry_earn(struct retry_budget *b)
{
    if (atomic_load_explicit(&b->credit, memory_order_relaxed) < RETRY_MAX)
        atomic_fetch_add_explicit(&b->credit, 1, memory_order_relaxed);
}

/* false: spent; the failure has to be told */
static inline bool retry_spend(struct retry_budget *b)
{
    if (atomic_fetch_sub_explicit(&b->credit, RETRY_COST, memory_order_relaxed) >= RETRY_COST)
        return true;
    atomic_fetch_add_explicit(&b->credit, RETRY_COST, memory_order_relaxed);
    return false;
}

static inline bool retry_is_safe(const struct call *call, const struct hop_result *result)
{
    if (call->detached)
        return false; /* the request can no longer be serialised */
    if (result->outcome != HOP_REFUSED && result->outcome != HOP_CONNECT_TIMEOUT && result->outcome != HOP_RESET)
        return false;
    return !result->sent || (!result->answered && call_method_idempotent(call->request.method));
}

#endif
