/* SPDX-License-Identifier: MIT
 *
 * status_text: see status_text.h. The supervisor knows every worker there should be, the front what those granted to it
 * do: a row is made of both.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/status_text.h"
#include "cli/table.h"

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

/* "250 ms", "1.2 s", "3m05s", "2h07m", "5d03h"; "-" for none */
static const char *duration(char *out, size_t size, double seconds)
{
    long long whole = (long long)seconds;
    if (seconds <= 0)
        snprintf(out, size, "-");
    else if (seconds < 1)
        snprintf(out, size, "%.0f ms", seconds * 1000);
    else if (seconds < 60)
        snprintf(out, size, "%.1f s", seconds);
    else if (whole < 3600)
        snprintf(out, size, "%lldm%02llds", whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(out, size, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
    else
        snprintf(out, size, "%lldd%02lldh", whole / 86400, whole / 3600 % 24);
    return out;
}

static void put_head(const json_t *page, struct buf *out)
{
    const json_t *front = json_object_get(page, "front"), *status = json_object_get(page, "front_status");
    char up[32];
    buf_printf(out, "bulkhead %s  pid %lld  up %s  conf ", text(page, "version"), number(page, "pid"),
               duration(up, sizeof(up), real(page, "uptime_s")));
    buf_append_printable(out, str_of(text(page, "conf")));
    buf_printf(out, "\nfront %s  pid %lld  up %s  restarts %lld", text(front, "state"), number(front, "pid"),
               duration(up, sizeof(up), real(front, "uptime_s")), number(front, "restarts"));
    const json_t *connections = json_object_get(status, "connections");
    if (json_is_object(connections))
        connections = json_object_get(connections, "open");
    if (status != NULL && !json_is_null(status))
        buf_printf(out, "  connections %lld  requests %lld\n", (long long)json_integer_value(connections),
                   number(status, "requests"));
    else
        buf_append_z(out, "  (it does not answer)\n");
}

/* "queue-full 3, deadline 1": what became of calls but success */
static void collect_refusals(const json_t *outcomes, char *out, size_t size)
{
    const char *word;
    json_t *count;
    size_t len = 0;
    snprintf(out, size, "-");
    json_object_foreach((json_t *)outcomes, word, count)
    {
        if (strcmp(word, "ok") != 0 && json_integer_value(count) != 0 && len < size)
            len += (size_t)snprintf(out + len, size - len, "%s%s %lld", len == 0 ? "" : ", ", word,
                                    (long long)json_integer_value(count));
    }
}

static const char *backend_state(const json_t *b)
{
    if (json_is_true(json_object_get(b, "paused")))
        return "paused";
    return json_is_true(json_object_get(b, "down")) ? "down" : "up";
}

static void add_backend(struct table *t, const json_t *b)
{
    const json_t *outcomes = json_object_get(b, "outcomes");
    char oldest[32], refusals[256];
    collect_refusals(outcomes, refusals, sizeof(refusals));
    table_add(t, "%s", text(b, "name"));
    table_add(t, "%s", text(b, "run"));
    table_add(t, "%s", backend_state(b));
    table_add(t, "%lld", number(b, "limit"));
    table_add(t, "%lld", number(b, "busy"));
    table_add(t, "%lld/%lld", number(b, "queued"), number(b, "queue"));
    table_add(t, "%s", duration(oldest, sizeof(oldest), real(b, "oldest_wait_us") / 1e6));
    table_add(t, "%lld", number(outcomes, "ok"));
    table_add(t, "%s", refusals);
}

static void put_backends(const json_t *backends, struct buf *out)
{
    static const char *const headings[] = {"BACKEND", "CLASS",  "STATE", "LIMIT",  "BUSY",
                                           "QUEUED",  "OLDEST", "OK",    "NOT OK", NULL};
    struct table t;
    size_t i;
    json_t *b;
    if (json_array_size(backends) == 0)
        return;
    table_init(&t, headings);
    json_array_foreach((json_t *)backends, i, b) add_backend(&t, b);
    buf_append_char(out, '\n');
    table_put(&t, out);
}

/* "12 client, 1 lost": who ended them */
static void collect_closed(const json_t *closed, char *out, size_t size)
{
    const char *by;
    json_t *count;
    size_t len = 0;
    snprintf(out, size, "-");
    json_object_foreach((json_t *)closed, by, count)
    {
        if (json_integer_value(count) != 0 && len < size)
            len += (size_t)snprintf(out + len, size - len, "%s%lld %s", len == 0 ? "" : ", ",
                                    (long long)json_integer_value(count), by);
    }
}

static void add_websockets(struct table *t, const json_t *w)
{
    char closed[128];
    collect_closed(json_object_get(w, "closed"), closed, sizeof(closed));
    table_add(t, "%s", text(w, "route"));
    table_add(t, "%s", text(w, "mode"));
    table_add(t, "%s", text(w, "backend"));
    table_add(t, "%lld", number(w, "open"));
    table_add(t, "%lld", number(w, "opened"));
    table_add(t, "%lld", number(w, "refused"));
    table_add(t, "%lld", number(w, "messages_in"));
    table_add(t, "%lld", number(w, "messages_out"));
    table_add(t, "%lld", number(w, "errors"));
    table_add(t, "%s", closed);
}

static void put_websockets(const json_t *websockets, struct buf *out)
{
    static const char *const headings[] = {"WEBSOCKETS", "MODE", "BACKEND", "OPEN",   "OPENED", "REFUSED",
                                           "IN",         "OUT",  "ERRORS",  "CLOSED", NULL};
    struct table t;
    size_t i;
    json_t *w;
    if (json_array_size(websockets) == 0)
        return;
    table_init(&t, headings);
    json_array_foreach((json_t *)websockets, i, w) add_websockets(&t, w);
    buf_append_char(out, '\n');
    table_put(&t, out);
}

/* What the front says of this worker; NULL when it has not got it. */
static const json_t *find_worker(const json_t *backends, const json_t *worker)
{
    size_t i, k;
    json_t *b, *w;
    json_array_foreach((json_t *)backends, i, b)
    {
        if (strcmp(text(b, "name"), text(worker, "backend")) != 0)
            continue;
        json_array_foreach(json_object_get(b, "workers"), k, w)
        {
            if (number(w, "slot") == number(worker, "slot") && number(w, "pid") == number(worker, "pid"))
                return w;
        }
    }
    return NULL;
}

static void add_worker(struct table *t, const json_t *worker, const json_t *seen)
{
    bool ready = strcmp(text(worker, "state"), "ready") == 0 && seen != NULL;
    bool busy = number(seen, "busy") > 0;
    long long bridged = number(seen, "bridged");
    char up[32], age[32];
    table_add(t, "%s", text(worker, "backend"));
    table_add(t, "%lld", number(worker, "slot"));
    table_add(t, "%lld", number(worker, "pid"));
    table_add(t, "%s", text(ready ? seen : worker, "state"));
    table_add(t, "%s", duration(up, sizeof(up), real(worker, "uptime_s")));
    table_add(t, "%lld", number(worker, "restarts"));
    table_add(t, "%lld", number(seen, "calls"));
    if (bridged != 0)
        table_add(t, "%lld", bridged);
    else
        table_add(t, "-");
    table_add(t, "%s", duration(age, sizeof(age), busy ? real(seen, "age_us") / 1e6 : 0));
    table_add(t, "%s", busy ? text(seen, "request") : text(worker, "why"));
}

static void put_workers(const json_t *workers, const json_t *backends, struct buf *out)
{
    static const char *const headings[] = {"BACKEND", "WORKER",  "PID", "STATE", "UP", "RESTARTS",
                                           "CALLS",   "BRIDGED", "AGE", "CALL",  NULL};
    struct table t;
    size_t i;
    json_t *w;
    if (json_array_size(workers) == 0)
        return;
    table_init(&t, headings);
    json_array_foreach((json_t *)workers, i, w) add_worker(&t, w, find_worker(backends, w));
    buf_append_char(out, '\n');
    table_put(&t, out);
}

static const json_t *backends_of(const json_t *page)
{
    return json_object_get(json_object_get(page, "front_status"), "backends");
}

void status_text(const json_t *page, struct buf *out)
{
    const json_t *front = json_object_get(page, "front_status"), *backends = backends_of(page);
    put_head(page, out);
    put_backends(backends, out);
    put_websockets(json_object_get(front, "websockets"), out);
    put_workers(json_object_get(page, "supervisor_workers"), backends, out);
}

void status_text_workers(const json_t *page, struct buf *out)
{
    struct buf table = {0};
    put_workers(json_object_get(page, "supervisor_workers"), backends_of(page), &table);
    if (table.len == 0)
        buf_append_z(out, "no backend has workers\n");
    else
        buf_append(out, table.base + 1, table.len - 1); /* it begins with the line that parts it from others */
    buf_free(&table);
}

void status_json_workers(const json_t *page, struct buf *out)
{
    json_t *workers = json_deep_copy(json_object_get(page, "supervisor_workers")), *w;
    size_t i;
    json_array_foreach(workers, i, w)
    {
        json_t *seen = json_deep_copy(find_worker(backends_of(page), w));
        json_object_del(seen, "state"); /* the supervisor's word is the one that tells more */
        json_object_update_missing(w, seen);
        json_decref(seen);
    }
    json_t *all = json_object();
    json_object_set_new(all, "workers", workers == NULL ? json_array() : workers);
    char *text = json_dumps(all, JSON_COMPACT);
    buf_append_z(out, text);
    free(text);
    json_decref(all);
}
