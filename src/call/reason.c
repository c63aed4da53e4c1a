/* SPDX-License-Identifier: MIT
 *
 * reason: the words of reason.h, looked up. Read-only tables; any thread.
 */
#include "config.h"

#include <stddef.h>
#include <assert.h>

#include "call/reason.h"

struct reason_row {
    const char *word;
    int status;
    const char *proxy_status;
    const char *title;
};

static const struct reason_row rows[REASON_COUNT] = {
#define X(enumerator, word, status, type, title) [enumerator] = {word, status, type, title},
    REASON_TABLE(X)
#undef X
};

static const struct reason_row *row(enum reason r)
{
    assert((unsigned)r < REASON_COUNT);
    return &rows[r];
}

const char *reason_word(enum reason r)
{
    return row(r)->word;
}

int reason_status(enum reason r)
{
    return row(r)->status;
}

const char *reason_title(enum reason r)
{
    return row(r)->title;
}

const char *reason_proxy_status(enum reason r)
{
    return row(r)->proxy_status;
}

bool reason_wants_retry_after(enum reason r)
{
    return row(r)->status == 503;
}

unsigned reason_close_code(enum reason r)
{
    switch (r) {
    case REASON_NONE:
        return 1000;
    case REASON_BAD_REQUEST:
        return 1002;
    case REASON_BODY_TOO_LARGE:
        return 1009;
    case REASON_QUEUE_FULL:
    case REASON_QUEUE_TIMEOUT:
    case REASON_BACKEND_DOWN:
    case REASON_WEBSOCKETS_FULL:
        return 1013;
    case REASON_DRAINING:
        return 1012;
    default:
        return row(r)->status < 500 ? 1008 : 1011;
    }
}
