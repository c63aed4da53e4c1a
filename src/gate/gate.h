/* SPDX-License-Identifier: MIT
 *
 * gate: a backend's admission: `limit` calls execute at once, past it at most `queue` wait, first come first served,
 * whatever loop thread they came in on. One mutex a gate (or a group of them); no callback runs under it. It knows neither HTTP nor
 * executors: it counts tickets. Time limits are the caller's: arm a deadline on the ticket's loop and call gate_cancel
 * when it fires. Entering, leaving and cancelling are O(1).
 *
 * A gate may be paused: what runs goes on, and whoever comes waits, until it is resumed.
 *
 * Invariants: running <= limit unless the limit was lowered; a ticket waits only while running >= limit, of its gate or of
 * all that stand beside each other, or while they are paused; waiting is the length of the list; running is entered -
 * released.
 */
#ifndef BULKHEAD_GATE_GATE_H
#define BULKHEAD_GATE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "call/loop.h"

struct gate;
struct gate_ticket;
/* Runs on the ticket's loop, never before gate_enter returns, after GATE_WAIT only. The ticket holds a slot now. */
typedef void (*gate_granted_fn)(struct gate_ticket *ticket);

enum gate_state {
    GATE_STATE_OUT,     /* on no list, holds no slot */
    GATE_STATE_WAITING, /* on gate.waiting */
    GATE_STATE_GRANTED, /* holds a slot unless cancelled since; the message is on its way to the loop */
    GATE_STATE_RUNNING, /* holds a slot */
    GATE_STATE_COUNT
};

/* Part of the call; zero it before first use. */
struct gate_ticket {
    struct list link;
    struct loop_task task;
    struct loop *loop;
    struct gate *gate;
    gate_granted_fn on_granted;
    enum gate_state state; /* the gate's lock, but for OUT and RUNNING, which only the owner's loop sees */
    bool cancelled; /* cancelled while GRANTED: the slot has gone on; the message is still to come. Owner's loop */
    int64_t entered_us;
};

enum gate_verdict { GATE_ENTERED, GATE_WAIT, GATE_FULL };

struct gate_stats {
    unsigned limit, running, waiting, queue;
    unsigned running_together; /* in this gate and those beside it */
    bool is_paused;
    int64_t oldest_waiting_us; /* age; 0: nobody waits */
    /* totals: slots given; calls that had to wait; calls refused; waits that were cancelled; slots given back */
    uint64_t entered, queued, full, cancelled, released;
};

/* limit may be 0: everybody waits until gate_resize */
struct gate *gate_create(unsigned limit, unsigned queue);
/* A gate whose calls and those of `elder` together are at most `most`, as long as both are there: of a backend's next conf.
 * Calls that wait for that bound are admitted at the elder first. Any number may come to stand beside each other; the
 * greatest `most` counts. */
struct gate *gate_create_beside(struct gate *elder, unsigned limit, unsigned queue, unsigned most);
/* nobody may be inside or waiting */
void gate_free(struct gate **gate);

/* loop thread `loop`. GATE_ENTERED: the ticket runs. GATE_WAIT: on_granted comes, unless gate_cancel returns true.
 * GATE_FULL: refused, the ticket is out. */
enum gate_verdict gate_enter(struct gate *gate, struct gate_ticket *ticket, struct loop *loop,
                             gate_granted_fn on_granted, int64_t now_us);
/* Owner's loop, while the ticket waits for on_granted. Ends the wait. true: the ticket is out, now. false: it had just
 * been granted; on_granted will NOT be called, but the ticket's memory must live until on_cancelled (below) has run on
 * the loop, and the slot passes on by itself. */
bool gate_cancel(struct gate *gate, struct gate_ticket *ticket, int64_t now_us, gate_granted_fn on_cancelled);
/* The work has ended; the ticket is out and the slot goes to the next in the queue. Owner's loop. */
void gate_release(struct gate *gate, struct gate_ticket *ticket, int64_t now_us);

/* Any thread: slots came or went (workers got ready or died; a conf changed). Raising it admits waiting tickets. */
void gate_resize(struct gate *gate, unsigned limit, int64_t now_us);
void gate_set_queue(struct gate *gate, unsigned queue);
/* Any thread. Nobody enters this gate, or one beside it, be it there or still to come, until it is resumed. hold_us: how
 * long those who come meanwhile are to wait, whatever their own limit; -1: as long as that says. It is kept for
 * gate_hold_us: time limits are the caller's. Pausing again changes it. */
void gate_pause(struct gate *gate, int64_t hold_us);
/* Any thread. Those who wait are admitted as there are slots. Idempotent. */
void gate_resume(struct gate *gate, int64_t now_us);
/* Any thread. What gate_pause said; -1: nothing, or it is not paused */
int64_t gate_hold_us(struct gate *gate);
/* Any thread. Whole seconds until a place should be free, from the measured drain rate; 1..60 */
unsigned gate_retry_after_s(struct gate *gate, int64_t now_us);
struct gate_stats gate_stats(struct gate *gate, int64_t now_us);

#endif
