/* SPDX-License-Identifier: MIT
 *
 * status_line: see status_line.h.
 */
#include "config.h"

#include "base/buf.h"
#include "config/conf.h"
#include "supervisor/front_child.h"
#include "supervisor/pool.h"
#include "supervisor/status_line.h"

static void put_workers(const struct status_line *line, struct buf *out)
{
    unsigned ready = 0, all = 0;
    for (size_t i = 0; i < line->pools->count; i++) {
        const struct pool *p = line->pools->all[i];
        if (p->role != POOL_SERVING)
            continue;
        ready += pool_count(p, SLOT_READY);
        all += p->wanted;
    }
    if (all > 0)
        buf_printf(out, "%u of %u workers ready", ready, all);
    else
        buf_append_z(out, "no workers");
}

static void put_awaited(const struct status_line *line, struct buf *out)
{
    const char *separator = " ";
    buf_append_z(out, "; waiting for");
    if (!front_child_is_serving(line->front)) {
        buf_append_z(out, " the front");
        separator = ", ";
    }
    for (size_t i = 0; i < line->pools->count; i++) {
        if (line->pools->all[i]->tried || line->pools->all[i]->role != POOL_SERVING)
            continue;
        buf_printf(out, "%sbackend %s", separator, line->pools->all[i]->conf->name);
        separator = ", ";
    }
}

/* names first: a reason may be long, and the line is cut */
static void put_down(const struct status_line *line, struct buf *out)
{
    const struct pool *first = NULL;
    for (size_t i = 0; i < line->pools->count; i++) {
        const struct pool *p = line->pools->all[i];
        if (p->role != POOL_SERVING || !pool_is_hopeless(p))
            continue;
        buf_printf(out, "%s%s", first == NULL ? "; down: " : ", ", p->conf->name);
        first = first == NULL ? p : first;
    }
    if (first != NULL && first->slots[0].why[0] != '\0')
        buf_printf(out, " (%s: %s)", first->conf->name, first->slots[0].why);
}

static unsigned processes(const struct status_line *line)
{
    unsigned n = 0;
    for (size_t i = 0; i < line->pools->count; i++)
        n += line->pools->all[i]->nopen - pool_count(line->pools->all[i], SLOT_IDLE);
    return n;
}

static void put_end(const struct status_line *line, struct buf *out)
{
    if (line->front_ended)
        buf_printf(out, "Stopping: %u workers left", processes(line));
    else
        buf_append_z(out, "Draining: requests in progress are finished");
}

static const char *beginning(const struct status_line *line)
{
    if (!line->ready)
        return "Starting: ";
    return front_child_is_serving(line->front) ? "Serving: " : "Replacing the front: ";
}

void status_line_put(const struct status_line *line, struct buf *out)
{
    if (line->ending) {
        put_end(line, out);
        return;
    }
    buf_append_z(out, beginning(line));
    put_workers(line, out);
    if (!line->ready)
        put_awaited(line, out);
    put_down(line, out);
}
