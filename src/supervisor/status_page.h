/* SPDX-License-Identifier: MIT
 *
 * status_page: the supervisor's answer to "status": what it knows of itself, the front and every worker, with the
 * front's own page in it, as one line of JSON. Supervisor.
 */
#ifndef BULKHEAD_SUPERVISOR_STATUS_PAGE_H
#define BULKHEAD_SUPERVISOR_STATUS_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct conf;
struct front_child;
struct pools;

struct status_page {
    const struct conf *conf;
    const struct front_child *front;
    const struct pools *pools;
    int64_t started_us; /* when the supervisor was */
};

/* front: its page, a JSON object in one line; STR_NONE: it has not answered */
void status_page_put(const struct status_page *page, struct buf *out, struct str front);

#endif
