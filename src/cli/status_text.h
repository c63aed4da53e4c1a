/* SPDX-License-Identifier: MIT
 *
 * status_text: the status page as people read it: who runs, then a table of backends and one of workers. Pure: page in,
 * text out. A page that lacks something shows gaps, nothing worse.
 */
#ifndef BULKHEAD_CLI_STATUS_TEXT_H
#define BULKHEAD_CLI_STATUS_TEXT_H

#include <jansson.h>

#include "base/buf.h"

void status_text(const json_t *page, struct buf *out);

/* The same, of the workers only. */
void status_text_workers(const json_t *page, struct buf *out);
/* {"workers": […]}, in one line: of each, what the supervisor knows and what the front sees of it */
void status_json_workers(const json_t *page, struct buf *out);

#endif
