/* SPDX-License-Identifier: MIT
 *
 * reply: how answers leave: the only module that calls h2o_send. Two ways: reply_now for an answer that is there as a
 * whole, and `struct reply` for one that comes in pieces from an executor or a file. The second keeps what the client has
 * not taken yet, in memory first and then in an unlinked spool file, so that the source is done early and a slow client
 * costs no slot; past its limit it tells the source to wait. It yields to other requests after a burst. Part of the
 * exchange; loop thread.
 *
 * Once the last piece was handed over the library may dispose of the request before the call returns: nobody touches the
 * reply after reply_now, reply_complete, reply_cut, reply_file or reply_flush unless its guard says that it still lives.
 */
#ifndef BULKHEAD_FRONT_REPLY_H
#define BULKHEAD_FRONT_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/h2o_api.h"

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "call/call.h"

struct door;
struct fields_rules;

/* ---- at once ---------------------------------------------------------------------------------------------------- */

struct reply_whole {
    int status;
    const h2o_header_t *headers; /* borrowed for the call */
    size_t nheaders;
    struct str body; /* must live as long as the request: its pool's, or static */
    bool close;      /* the connection ends behind this answer */
};

void reply_now(h2o_req_t *req, struct door *door, const struct reply_whole *answer);
/* How many bytes of its body go out in answer to this request: none to HEAD. */
size_t reply_body_bytes(const h2o_req_t *req, const struct reply_whole *answer);
/* "Not Found" for 404 */
const char *reply_phrase(int status);
/* A field for reply_whole; the name is lower case and, like the value, is not copied unless it is a library token. */
h2o_header_t reply_header(h2o_mem_pool_t *pool, struct str name, struct str value);

/* ---- in pieces -------------------------------------------------------------------------------------------------- */

enum reply_state {
    REPLY_NONE,    /* no head yet; nothing of the request was touched */
    REPLY_HEADED,  /* the head is in req->res; nothing was sent, and it can still be dropped */
    REPLY_SENDING, /* the library has a piece; on_proceed comes */
    REPLY_WAITING, /* begun; waits for bytes from the source */
    REPLY_YIELDED, /* begun; `burst` fires after the other requests had their turn */
    REPLY_DONE,    /* the last piece was handed over */
    REPLY_STOPPED  /* the client went away before */
};

enum reply_ending { REPLY_OPEN, REPLY_COMPLETE, REPLY_CUT };

struct reply {
    h2o_generator_t generator; /* first: the library hands us its address */
    h2o_req_t *req;
    struct door *door;
    enum reply_state state;
    enum reply_ending ending; /* what the source has said */
    struct list held_link;    /* on door.held: bytes came in this turn */
    struct deadline burst;
    /* The sink was full and has room again. Never runs inside reply_body. */
    void (*on_room)(struct reply *reply);
    /* The sink is still full, but the client has taken a piece. */
    void (*on_taken)(struct reply *reply);
    struct buf waiting; /* next to go; older than what is in the file */
    struct buf sending; /* with the library until on_proceed */
    int file;           /* spool, or the file that is the answer; -1: none */
    uint64_t file_at, file_end;
    int64_t limit; /* bytes kept for the client; past them the source waits */
    size_t burst_bytes, received;
    bool may_spool, no_body, is_full, is_close_delimited;
    const char *spool_directory;
};

/* Ready for a request; buffer=false: pass pieces through in a small window. */
void reply_open(struct reply *r, h2o_req_t *req, struct door *door);
/* Takes the head over into the request: NONE → HEADED. `rules` may be NULL. */
void reply_head(struct reply *r, const struct call_response *head, const struct fields_rules *rules);
/* Adds the fields of a backend's answer that the client may see to the request's answer, less and more what `rules` say
 * (NULL: none). Copies. */
void reply_fields(h2o_req_t *req, const struct call_response *head, const struct fields_rules *rules);
/* The head has not gone out: forget it, so that something else can be answered. HEADED → NONE. */
void reply_drop_head(struct reply *r);
/* Copies the bytes. false: no room; stop until on_room. The bytes of this call are kept all the same, unless `ending` is
 * REPLY_CUT afterwards: they had no place, and the answer will be cut where it is. Never ends the request by itself. */
bool reply_body(struct reply *r, struct str bytes);
void reply_complete(struct reply *r);
/* The source failed: what came is sent, then the answer is cut so that the client can see it. */
void reply_cut(struct reply *r);
/* The rest of the answer is `len` bytes of fd from offset `from`; takes fd. HEADED only. */
void reply_file(struct reply *r, int fd, uint64_t from, uint64_t len);
/* End of the turn: hands over what came in it. */
void reply_flush(struct door *door);
/* The request is going away, or nothing was ever sent: releases all; idempotent. */
void reply_close(struct reply *r);

static inline bool reply_begun(const struct reply *r)
{
    return r->state >= REPLY_SENDING;
}

#endif
