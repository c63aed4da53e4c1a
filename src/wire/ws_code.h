/* SPDX-License-Identifier: MIT
 *
 * ws_code: the close codes of WebSocket, and what a control frame can hold. RFC 6455 and IANA's registry. Any thread.
 */
#ifndef BULKHEAD_WIRE_WS_CODE_H
#define BULKHEAD_WIRE_WS_CODE_H

#include <stdbool.h>

/* a control frame's payload, RFC 6455 §5.5; a close reason has two less */
#define WS_CONTROL_MAX 125

/* RFC 6455 §7.4.1, IANA */
enum ws_code {
    WS_CODE_NONE = 0, /* still open */
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NO_CODE = 1005, /* never sent: a close frame without a code */
    WS_CODE_LOST = 1006,    /* never sent: the connection broke */
    WS_CODE_NOT_TEXT = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_LARGE = 1009,
    WS_CODE_ERROR = 1011,
    WS_CODE_RESTART = 1012,
    WS_CODE_TRY_LATER = 1013
};

/* May a close frame carry this code? RFC 6455 §7.4 and IANA: 1000-1003, 1007-1014, 3000-4999 */
static inline bool ws_code_is_sendable(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

#endif
