/* SPDX-License-Identifier: MIT
 *
 * ws_head: the first 2 to 14 bytes of a WebSocket frame (RFC 6455 §5.2), taken apart and checked against all rules that
 * a single frame can break; no extension is ever agreed on. Pure.
 */
#ifndef BULKHEAD_UPSTREAM_WS_HEAD_H
#define BULKHEAD_UPSTREAM_WS_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define WS_HEAD_MAX 14

/* RFC 6455 §11.8; text and binary are enum ws_opcode's */
enum ws_frame_opcode { WS_FRAME_CONTINUATION = 0, WS_FRAME_CLOSE = 8, WS_FRAME_PING = 9, WS_FRAME_PONG = 10 };

struct ws_head {
    uint64_t length;    /* of the payload, below 2^63 */
    unsigned char size; /* of the head itself */
    unsigned char opcode;
    bool fin;
    char mask[4]; /* zeros: none */
};

enum ws_head_result { WS_HEAD_WHOLE, WS_HEAD_MORE, WS_HEAD_BAD };

/* `masked`: must the sender's frames be (a client's must, a server's must not)? *why_r says in words what is BAD, as soon
 * as the bytes tell. */
enum ws_head_result ws_head_read(struct str bytes, bool masked, struct ws_head *head_r, const char **why_r);

static inline bool ws_opcode_is_control(unsigned opcode)
{
    return (opcode & 8) != 0;
}

#endif
