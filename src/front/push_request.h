/* SPDX-License-Identifier: MIT
 *
 * push_request: what an admin request for /ws asks for: which WebSockets are meant, and what is to be sent to them. Pure;
 * any thread.
 */
#ifndef BULKHEAD_FRONT_PUSH_REQUEST_H
#define BULKHEAD_FRONT_PUSH_REQUEST_H

#include <stdbool.h>

#include "base/str.h"
#include "upstream/ws.h"

#define PUSH_LIST_DEFAULT 100
#define PUSH_LIST_MAX     1000

struct push_request {
    struct str id;    /* one WebSocket; empty: all of `route` */
    struct str route; /* a route's name; empty: none was given */
    enum ws_opcode opcode;
    bool closes;       /* a close frame, behind the message if there is one */
    unsigned code;     /* 1000 when none was given */
    struct str reason; /* of the close */
    unsigned limit;    /* rows of the list */
};

/* Does this path belong here: /ws, or below /ws/? */
bool push_request_is(struct str path);
/* path, query: as received; type: the Content-Type field, empty for none. text: query.len bytes, where decoded values
 * go; it must live as long as what is read. NULL: understood; else what is wrong, in words. */
const char *push_request_read(struct push_request *r, struct str path, struct str query, struct str type, char *text);
/* Does a message of this type go as text? Text and JSON of any kind do, what has no type, and what curl -d calls a
 * form. */
bool push_request_type_is_text(struct str type);

#endif
