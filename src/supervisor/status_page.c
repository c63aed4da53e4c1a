/* SPDX-License-Identifier: MIT
 *
 * status_page: JSON by hand: see status_page.h.
 */
#include "config.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/conf.h"
#include "supervisor/front_child.h"
#include "supervisor/pool.h"
#include "supervisor/status_page.h"

static double seconds_since(int64_t then_us)
{
    return (double)(clock_us() - then_us) / 1e6;
}

static void put_front(const struct front_child *fc, struct buf *out)
{
    buf_printf(out, "\"front\":{\"pid\":%ld,\"restarts\":%u,\"state\":\"%s\",\"uptime_s\":%.3f}", (long)fc->pid,
               fc->started > 0 ? fc->started - 1 : 0, front_child_state_name(fc->state),
               fc->pid == 0 ? 0. : seconds_since(fc->spawned_us));
}

static void put_worker(const struct slot *s, struct buf *out)
{
    buf_append_z(out, "{\"backend\":");
    buf_append_json(out, str_of(s->pool->conf->name));
    buf_printf(out,
               ",\"slot\":%u,\"pid\":%ld,\"state\":\"%s\",\"generation\":%u,\"restarts\":%u,\"uptime_s\":%.3f,"
               "\"resident\":%" PRId64 ",\"due\":%s,\"why\":",
               s->index, (long)s->pid, slot_state_name(s->state), s->generation, slot_restarts(s),
               s->pid == 0 ? 0. : seconds_since(s->spawned_us), s->resident, s->due ? "true" : "false");
    buf_append_json(out, str_of(s->due ? s->due_why : s->why));
    buf_append_char(out, '}');
}

static void put_workers(const struct status_page *page, struct buf *out)
{
    const char *separator = "";
    buf_append_z(out, "\"supervisor_workers\":[");
    for (size_t p = 0; p < page->pools->count; p++) {
        for (unsigned i = 0; i < page->pools->all[p]->nopen; i++) {
            if (page->pools->all[p]->slots[i].state == SLOT_IDLE)
                continue;
            buf_append_z(out, separator);
            put_worker(&page->pools->all[p]->slots[i], out);
            separator = ",";
        }
    }
    buf_append_char(out, ']');
}

void status_page_put(const struct status_page *page, struct buf *out, struct str front)
{
    buf_printf(out, "{\"version\":\"%s\",\"pid\":%ld,\"uptime_s\":%.3f,\"generation\":%" PRIu64 ",\"conf\":",
               PACKAGE_VERSION, (long)getpid(), seconds_since(page->started_us), page->conf->generation);
    buf_append_json(out, str_of(page->conf->path));
    buf_append_char(out, ',');
    put_front(page->front, out);
    buf_append_char(out, ',');
    put_workers(page, out);
    buf_append_z(out, ",\"front_status\":");
    buf_append_str(out, front.base == NULL ? STR("null") : front);
    buf_append_char(out, '}');
}
