/* SPDX-License-Identifier: MIT
 *
 * ws_log: what is written down of a WebSocket: a line in the access log when it opens and when it closes, and what became
 * of each message's call. Loop thread.
 */
#ifndef BULKHEAD_FRONT_WS_LOG_H
#define BULKHEAD_FRONT_WS_LOG_H

#include <stdint.h>

#include "base/str.h"
#include "call/reason.h"
#include "upstream/ws.h"

struct call;
struct ws_session;
struct ws_session_end;

/* A message's call that has ended, or is given up */
struct ws_log_call {
    struct str id; /* "<connection id>-<n>" */
    enum ws_opcode opcode;
    uint64_t bytes_in, bytes_out; /* of the message, and of what the call sent back */
    int status;                   /* of the answer; 0: there was none */
    enum reason reason;
    const struct call *call; /* its times, worker and attempts */
};

void ws_log_open(const struct ws_session *s);
/* Counts what became of the call, for its backend and its route; writes a line where the route has log_messages. Once a
 * call, whether it ran or not, and before its session ends. */
void ws_log_message(const struct ws_session *s, const struct ws_log_call *m);
void ws_log_close(const struct ws_session *s, const struct ws_session_end *end);

#endif
