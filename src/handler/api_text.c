/* SPDX-License-Identifier: MIT
 *
 * api_text: the helping part of <bulkhead/handler.h>: memory and formatted text for a call, and the log (which takes
 * care of control bytes itself). The thread that runs the call; bulkhead_log: any thread.
 */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "diag/log.h"
#include "handler/api.h"

#define LINE_MAX_BYTES 2048

void *bulkhead_alloc(struct bulkhead_call *call, size_t bytes)
{
    assert(call->magic == API_CALL_MAGIC);
    return arena_alloc(&call->arena, bytes);
}

char *bulkhead_format(struct bulkhead_call *call, const char *format, ...)
{
    assert(call->magic == API_CALL_MAGIC);
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        length = 0, format = "";
    char *text = arena_alloc(&call->arena, (size_t)length + 1);
    text[0] = '\0';
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

/* Not in the call's memory: a handler that streams may print for as long as it likes. */
bool bulkhead_printf(struct bulkhead_call *call, const char *format, ...)
{
    assert(call->magic == API_CALL_MAGIC);
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    char small[512], *text = small;
    int length = vsnprintf(small, sizeof(small), format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(small)) {
        text = mem_alloc((size_t)length + 1);
        vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    bool wanted = length >= 0 && bulkhead_write(call, text, (size_t)length);
    if (text != small)
        free(text);
    return wanted;
}

void bulkhead_log(struct bulkhead_call *call, enum bulkhead_level level, const char *format, ...)
{
    static const enum log_level levels[] = {[BULKHEAD_ERROR] = LOG_LEVEL_ERROR,
                                            [BULKHEAD_WARNING] = LOG_LEVEL_WARNING,
                                            [BULKHEAD_INFO] = LOG_LEVEL_INFO,
                                            [BULKHEAD_DEBUG] = LOG_LEVEL_DEBUG};
    assert((unsigned)level < sizeof(levels) / sizeof(levels[0]));
    if (!log_enabled(levels[level]))
        return;
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (call == NULL)
        log_write(levels[level], "handler", "%s", text);
    else
        log_write(levels[level], "handler", "%s %.*s: %s", call->module_name, STR_ARG(call->request->id), text);
}
