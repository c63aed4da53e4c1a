/* SPDX-License-Identifier: MIT
 *
 * ws_berth: the way to a backend that speaks the protocol itself: a place at one of its workers or servers, the upgrade
 * that is asked of it, and the reason word for what it answers. Loop thread.
 */
#ifndef BULKHEAD_FRONT_WS_BERTH_H
#define BULKHEAD_FRONT_WS_BERTH_H

#include <stdbool.h>
#include <stddef.h>

#include "call/reason.h"
#include "executor/executor.h"
#include "upstream/upgrade.h"

struct generation;
struct route;
struct ws_facts;

/* Who asks, and where it goes */
struct ws_berth {
    const struct route *route;
    const struct generation *generation;
    struct loop *loop;
    struct executor_berth place;
    bool is_taken;
    size_t refusals; /* by servers that did not even take the connection */
};

/* Takes a place; NONE, or why there is none, with words in *detail_r or NULL. */
enum reason ws_berth_take(struct ws_berth *b, struct loop *loop, const struct generation *generation,
                          const struct route *route, const char **detail_r);
/* After UPGRADE_NO_CONNECTION, instead of ws_berth_leave: nothing was sent, so another server, if there is one, may be
 * asked. The one that refused is passed over for a while. false: there is none, and no place is held. */
bool ws_berth_take_another(struct ws_berth *b);
/* Gives the place back. Idempotent. */
void ws_berth_leave(struct ws_berth *b);
/* upgrade_start with the client's handshake as the facts have it, `more` fields behind theirs, and the limits of conf and
 * route, none of them longer than within_us. */
struct upgrade *ws_berth_ask(struct ws_berth *b, const struct ws_facts *facts, const struct call_field *more,
                             size_t nmore, struct str protocol, int64_t within_us,
                             void (*on_end)(void *arg, const struct upgrade_result *result), void *arg);
/* NONE for DONE and REFUSED */
enum reason ws_berth_judge(const struct ws_berth *b, enum upgrade_outcome outcome);
/* why a connection to it broke */
enum reason ws_berth_lost(const struct ws_berth *b);

#endif
