/* SPDX-License-Identifier: MIT
 *
 * ws_private: what the three parts of a WebSocket connection ask of each other: ws.c (its life, its time, the socket's
 * events), ws_in.c (bytes to messages), ws_out.c (messages to bytes, and wslay's context, which both directions share).
 * Functions that may call the owner back run only while `busy` is set; no part but ws.c closes the socket or frees.
 */
#ifndef BULKHEAD_UPSTREAM_WS_PRIVATE_H
#define BULKHEAD_UPSTREAM_WS_PRIVATE_H

#include <wslay/wslay.h>

#include "upstream/ws.h"

#define WS_REASON_MAX (WS_CONTROL_MAX - 2)

/* How a connection ends, from the moment on at which that is settled */
struct ws_goodbye {
    struct ws_ending ending; /* its reason is in `text` */
    char text[WS_REASON_MAX];
};

/* ---- ws.c ------------------------------------------------------------------------------------------------------- */

/* Begins the end; false: it had begun, and stays what it was. */
bool ws_end(struct ws *ws, enum ws_by by, unsigned code, const char *why, struct str reason);
/* After the owner, or time, has asked for something: writes, and sees what to wait for next; calls nobody back. Nothing
 * in a callback of the loop, which does the same at its end. */
void ws_poke(struct ws *ws);
/* After the owner has queued something: the first time in a turn of the loop that is ws_poke; what little follows in the
 * same turn goes out together at its end. */
void ws_write_soon(struct ws *ws);
/* Writing failed. */
void ws_write_failed(struct ws *ws);
/* Have the loop call when there is room to write. */
void ws_watch_write(struct ws *ws);
/* TLS: the library writes all of `out`, then the loop calls. */
void ws_write_tls(struct ws *ws);

/* ---- ws_in.c ---------------------------------------------------------------------------------------------------- */

/* Takes as much as there is of whole control frames and of data, calls the owner with it, and returns how much that was.
 * What is left is the beginning of a frame, or `stopped` says that it has to wait. */
size_t ws_in_take(struct ws *ws, struct str input);
/* wslay's callbacks, with the struct ws */
ssize_t ws_in_on_read(wslay_event_context_ptr context, uint8_t *space, size_t capacity, int flags, void *arg);
void ws_in_on_chunk(wslay_event_context_ptr context, const struct wslay_event_on_frame_recv_chunk_arg *chunk,
                    void *arg);

/* ---- ws_out.c --------------------------------------------------------------------------------------------------- */

/* Makes wslay's context, unless there is one. */
void ws_out_wake(struct ws *ws);
void ws_out_queue(struct ws *ws, unsigned opcode, struct str bytes);
/* Writes what is queued until the socket is full or it has been enough for this turn. */
void ws_out_pump(struct ws *ws);
/* Has our close frame gone, or can it never go? */
bool ws_out_is_done(const struct ws *ws);
/* Frees the context and all buffers when nothing is on its way. */
void ws_out_sleep(struct ws *ws);
void ws_out_free(struct ws *ws);

#endif
