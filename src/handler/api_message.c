/* SPDX-License-Identifier: MIT
 *
 * api_message: the part of <bulkhead/handler.h> that sends WebSocket messages. They travel as the body of the call's
 * answer, in the format of wire/ws_event.h, so that nothing between here and the front need know of them; each leaves
 * at once, in one piece. The thread that runs the call.
 */
#include "config.h"

#include "base/utf8.h"
#include "handler/api.h"
#include "wire/ws_code.h"
#include "wire/ws_event.h"

#define REASON_MAX_BYTES (WS_CONTROL_MAX - 2)

/* Whoever accepts a connection, or has no reply to a message, has nothing to say. */
bool api_may_be_silent(const struct bulkhead_call *call)
{
    return call->request->kind != CALL_HTTP;
}

static bool has_connection(struct bulkhead_call *call, const char *function)
{
    if (!api_usable(call))
        return false;
    if (call->request->kind == CALL_HTTP)
        return api_fail(call, "%s() in an HTTP request: it is answered with bulkhead_answer() or bulkhead_write()",
                        function);
    return call->request->kind != CALL_WS_CLOSE;
}

/* The first one decides what the answer is. */
static bool begin_event(struct bulkhead_call *call, const char *function)
{
    struct api_response *r = &call->response;
    if (r->closed)
        return api_fail(call, "%s() after bulkhead_close()", function);
    if (r->messages)
        return true;
    if (r->sent || r->written != 0 || r->announced >= 0)
        return api_fail(call, "%s() after a part of another answer had been written", function);
    if (r->status < 200 || r->status > 299 || r->status == 204)
        return api_fail(call, "%s() with status %d: messages need 200 to 299, and not 204", function, r->status);
    r->messages = bulkhead_set_header(call, "content-type", WS_EVENT_TYPE);
    return r->messages;
}

bool bulkhead_send(struct bulkhead_call *call, enum bulkhead_opcode opcode, const void *bytes, size_t length)
{
    if (!has_connection(call, __func__) || !begin_event(call, __func__))
        return false;
    if (opcode != BULKHEAD_TEXT && opcode != BULKHEAD_BINARY)
        return api_fail(call, "%s() with opcode %d: neither BULKHEAD_TEXT nor BULKHEAD_BINARY", __func__, (int)opcode);
    if (opcode == BULKHEAD_TEXT && !utf8_valid(bytes, length))
        return api_fail(call, "%s() with text that is not UTF-8", __func__);
    ws_event_put(&call->response.held, opcode == BULKHEAD_TEXT ? WS_EVENT_TEXT : WS_EVENT_BINARY,
                 (struct str){(char *)bytes, length});
    return bulkhead_flush(call);
}

/* what goes wrong with the protocol is the front's to say */
static bool code_is_a_handlers(int code)
{
    return code >= 0 && code != WS_CODE_PROTOCOL && ws_code_is_sendable((unsigned)code);
}

bool bulkhead_close(struct bulkhead_call *call, int code, const char *reason)
{
    struct str text = str_of(reason);
    if (!has_connection(call, __func__) || !begin_event(call, __func__))
        return false;
    if (!code_is_a_handlers(code))
        return api_fail(call, "%s() with code %d: it takes 1000, 1001, 1003, 1007 to 1014 and 3000 to 4999", __func__,
                        code);
    if (text.len > REASON_MAX_BYTES || !utf8_valid(text.base, text.len))
        return api_fail(call, "%s() with a reason that is not UTF-8 of at most %d bytes", __func__, REASON_MAX_BYTES);
    ws_event_put_close(&call->response.held, (unsigned)code, text);
    call->response.closed = true;
    return bulkhead_flush(call);
}
