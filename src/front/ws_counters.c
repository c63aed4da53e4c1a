/* SPDX-License-Identifier: MIT
 *
 * ws_counters: see ws_counters.h. Any thread.
 */
#include "config.h"

#include <assert.h>

#include "front/ws_counters.h"

const char *ws_closed_word(enum ws_closed by)
{
    static const char *const words[] = {
#define X(enumerator, word) [enumerator] = word,
        WS_CLOSED_TABLE(X)
#undef X
    };
    assert((unsigned)by < WS_CLOSED_COUNT);
    return words[by];
}
