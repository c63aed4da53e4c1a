/* SPDX-License-Identifier: MIT
 *
 * empty: the handler that does nothing, so that what is left is the hop. The same three bytes as tiny_worker's.
 */
#include <bulkhead/handler.h>

static int handle(struct bulkhead_call *call, void *state)
{
    (void)state;
    return bulkhead_answer(call, 200, "text/plain", "ok\n", 3);
}

BULKHEAD_HANDLER(.name = "empty", .handle = handle);
