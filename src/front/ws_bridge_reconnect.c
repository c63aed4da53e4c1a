/* SPDX-License-Identifier: MIT
 *
 * ws_bridge_reconnect: what `reconnect: true` adds to a bridge: when the backend's end breaks, or the backend goes away
 * in good order, the client stays, pings answered, and another end is sought: at once, then after pauses from
 * PAUSE_MIN_US doubling to PAUSE_MAX_US, on whichever worker or server has a berth, until reconnect_timeout has passed;
 * then the client gets 1012. A refusal with a status below 500 is a backend's decision, and ends it at once: the client
 * comes back, and hears it from the backend. Loop thread.
 *
 * What becomes of the client's messages: no backend gets one whole that another has had whole. They pass one after the
 * other; the next is handed over when the kernel has taken the last byte of the one before (backend_end.max_unsent is
 * 1). When the connection breaks, a message that the kernel had not taken yet is the first to be sent to the next
 * backend, and all behind it follow. One that the kernel had taken is not sent again, whether the backend had read it or
 * not, nor one about which that is not certain; its answer, if there was to be one, is lost, and so is a message of the
 * backend that had come in part. At most max_unsent bytes and one message wait; then the client is held.
 */
#include "config.h"

#include <assert.h>

#include "base/clock.h"
#include "config/conf.h"
#include "front/route.h"
#include "front/ws_bridge_private.h"

#define PAUSE_MIN_US 50000
#define PAUSE_MAX_US 1000000
/* a client's frame has no shorter head: RFC 6455 §5.2 */
#define MASKED_HEAD_MIN 6
/* an end that lasted so long was a good one; after another the search goes on, with its pauses, as if it had not been */
#define PROVEN_US 1000000

/* ---- the messages ----------------------------------------------------------------------------------------------- */

static bool is_full(const struct bridge *b)
{
    return b->waiting.bytes >= b->route->client_end.max_unsent;
}

/* The kernel has taken all that the backend was given. */
static bool is_taken(const struct bridge *b)
{
    return ws_unsent(&b->backend) == 0;
}

void bridge_pump(struct bridge *b)
{
    const struct bridge_parcel *p;
    while (b->state == BRIDGE_OPEN && is_taken(b)) {
        if (b->first_is_sent)
            bridge_queue_drop_first(&b->waiting);
        b->first_is_sent = false;
        if ((p = bridge_queue_first(&b->waiting)) == NULL)
            break;
        b->first_from = ws_taken(&b->backend);
        if (!ws_send(&b->backend, p->opcode, (struct str){(char *)p->bytes, p->len}))
            break;
        b->first_is_sent = true;
    }
    if (b->client_is_open && !is_full(b))
        ws_release(&b->client);
}

void bridge_forward(struct bridge *b, enum ws_opcode opcode, struct str bytes)
{
    bridge_queue_put(&b->waiting, opcode, bytes);
    if (is_full(b))
        ws_hold(&b->client);
    bridge_pump(b);
}

void bridge_flush(struct bridge *b)
{
    const struct bridge_parcel *p;
    if (b->first_is_sent)
        bridge_queue_drop_first(&b->waiting);
    b->first_is_sent = false;
    while ((p = bridge_queue_first(&b->waiting)) != NULL) {
        if (b->state == BRIDGE_OPEN)
            (void)ws_send(&b->backend, p->opcode, (struct str){(char *)p->bytes, p->len});
        bridge_queue_drop_first(&b->waiting);
    }
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

static void give_up(struct bridge *b)
{
    bridge_undial(b);
    bridge_reconnect_end(b);
    bridge_close_client(b, WS_CODE_RESTART, STR("backend lost"), REASON_BACKEND_DOWN,
                        "no other connection to the backend within reconnect_timeout");
}

static void try_later(struct bridge *b)
{
    heap_arm(&b->loop->deadlines, &b->again, b->loop->now_us + b->pause_us);
    b->pause_us = b->pause_us * 2 < PAUSE_MIN_US ? PAUSE_MIN_US : b->pause_us * 2;
    if (b->pause_us > PAUSE_MAX_US)
        b->pause_us = PAUSE_MAX_US;
}

static bool is_decision(const struct bridge_word *word)
{
    return word->reason == REASON_NONE && word->head->status < 500;
}

/* The client was told of one subprotocol, or none, and keeps to that. */
static bool speaks_as_before(const struct bridge *b, const struct bridge_word *word)
{
    return str_eq(word->protocol, str_of(b->protocols));
}

static void on_next_word(struct bridge *b, const struct bridge_word *word)
{
    if (word->sock == NULL && is_decision(word)) {
        give_up(b);
        return;
    }
    if (word->sock == NULL || !speaks_as_before(b, word)) {
        bridge_undial(b);
        try_later(b);
        return;
    }
    heap_disarm(&b->loop->deadlines, &b->give_up);
    bridge_open_backend(b);
    if (!ws_has_room(&b->client))
        ws_hold(&b->backend);
    bridge_pump(b);
}

static void try_now(struct bridge *b)
{
    int64_t left_us = b->give_up.at_us - b->loop->now_us;
    const char *unused;
    if (bridge_dial(b, left_us > 0 ? left_us : 1, on_next_word, &unused) != REASON_NONE)
        try_later(b);
}

static void on_again(struct deadline *d)
{
    try_now((struct bridge *)((char *)d - offsetof(struct bridge, again)));
}

static void on_give_up(struct deadline *d)
{
    give_up((struct bridge *)((char *)d - offsetof(struct bridge, give_up)));
}

/* Has the kernel taken fewer bytes since the first was handed over than it has, with the smallest head? (Other frames
 * may have gone before it: then there is doubt, and it counts as taken.) */
static bool is_first_left(const struct bridge *b)
{
    return ws_taken(&b->backend) - b->first_from < bridge_queue_first(&b->waiting)->len + MASKED_HEAD_MIN;
}

void bridge_reconnect(struct bridge *b)
{
    assert(b->state == BRIDGE_ABSENT && b->client_is_open);
    if (b->first_is_sent && !is_first_left(b))
        bridge_queue_drop_first(&b->waiting);
    b->first_is_sent = false;
    int64_t now_us = b->loop->now_us;
    if (b->until_us == 0 || now_us - b->opened_us >= PROVEN_US) {
        b->pause_us = 0;
        b->until_us = now_us + b->route->conf->websocket.reconnect_timeout;
    }
    heap_arm(&b->loop->deadlines, &b->give_up, b->until_us);
    try_later(b);
}

void bridge_reconnect_init(struct bridge *b)
{
    bridge_queue_init(&b->waiting);
    b->again.on_expired = on_again;
    b->give_up.on_expired = on_give_up;
}

void bridge_reconnect_end(struct bridge *b)
{
    heap_disarm(&b->loop->deadlines, &b->again);
    heap_disarm(&b->loop->deadlines, &b->give_up);
    bridge_queue_clear(&b->waiting);
    b->first_is_sent = false;
}
