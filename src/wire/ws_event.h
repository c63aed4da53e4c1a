/* SPDX-License-Identifier: MIT
 *
 * ws_event: the format application/websocket-events (WebSocket-over-HTTP, as Pushpin and the GRIP libraries speak it):
 * a body is a sequence of events, each a line "NAME[ SIZE-IN-HEX]\r\n", followed by SIZE bytes and "\r\n" when there is
 * a size. The host of native modules writes it as other backends do; the front reads it. Pure. A decoder takes bytes in
 * pieces of any size, holds at most one event's content (`max`), and is fuzzed: the bytes are a backend's. Any thread,
 * one decoder at a time.
 */
#ifndef BULKHEAD_WIRE_WS_EVENT_H
#define BULKHEAD_WIRE_WS_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

#define WS_EVENT_TYPE "application/websocket-events"

enum ws_event_kind {
    WS_EVENT_OPEN,
    WS_EVENT_TEXT,
    WS_EVENT_BINARY,
    WS_EVENT_PING,
    WS_EVENT_PONG,
    WS_EVENT_CLOSE,      /* content: empty, or a code (two bytes, big-endian) and a reason */
    WS_EVENT_DISCONNECT, /* the connection broke */
    WS_EVENT_COUNT
};

/* OPEN and DISCONNECT have no content and are written without a size; so is a PING, PONG or CLOSE without content. */
void ws_event_put(struct buf *out, enum ws_event_kind kind, struct str content);
void ws_event_put_close(struct buf *out, unsigned code, struct str reason); /* code 0: none */
/* What a CLOSE carries; *code_r 0: none. *reason_r is in `content`, and may be longer than a close frame takes. false:
 * one byte, a code that no close frame may carry, or a reason that is no UTF-8. */
bool ws_event_get_close(struct str content, unsigned *code_r, struct str *reason_r);

struct ws_event_decoder {
    size_t max;
    struct buf held; /* an event's line or content that came in part */
    enum ws_event_kind kind;
    size_t wanted;   /* in content: its bytes and its line end, come or not */
    bool in_content; /* behind a line with a size */
    bool has_given;  /* what is held was the last event's content, and goes with the next call */
    const char *why; /* what was wrong; NULL: nothing so far */
};

enum ws_event_result {
    WS_EVENT_GOT,  /* *kind_r and *content_r (valid until the next call; in `bytes` or in the decoder) */
    WS_EVENT_MORE, /* all bytes were used; there is no whole event yet */
    WS_EVENT_BAD   /* not this format, or an event over `max` (PING and PONG: over WS_CONTROL_MAX); it stays so. *why_r
                      says what, in static words */
};

void ws_event_decoder_init(struct ws_event_decoder *d, size_t max);
void ws_event_decoder_free(struct ws_event_decoder *d);
/* Takes bytes from *used on and moves *used; call it again while it is WS_EVENT_GOT. Any event may come with a size; a
 * TEXT or BINARY without one is empty. */
enum ws_event_result ws_event_next(struct ws_event_decoder *d, struct str bytes, size_t *used,
                                   enum ws_event_kind *kind_r, struct str *content_r, const char **why_r);
/* Did the body end between two events? */
bool ws_event_is_complete(const struct ws_event_decoder *d);

#endif
