/* SPDX-License-Identifier: MIT
 *
 * ws_session: see ws_session.h. Also how a thread's sessions take leave, when it drains or when their routes go: each in
 * its own turn, so that their clients do not all come back at once.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/generation.h"
#include "front/route.h"
#include "front/ws_log.h"
#include "front/ws_session.h"

/* a thread says goodbye to so many a second, or to more if its time is shorter */
#define LEAVES_A_SECOND 100

/* ---- room ------------------------------------------------------------------------------------------------------- */

bool ws_session_admit(const struct route *route)
{
    struct ws_counters *counters = route->websockets;
    unsigned most = route->conf->websocket.max_connections;
    uint64_t before = atomic_fetch_add_explicit(&counters->open, 1, memory_order_relaxed);
    if (most == 0 || before < most)
        return true;
    ws_session_give_up(route);
    return false;
}

void ws_session_give_up(const struct route *route)
{
    atomic_fetch_sub_explicit(&route->websockets->open, 1, memory_order_relaxed);
}

/* ---- what is remembered of a handshake -------------------------------------------------------------------------- */

/* Fields that are the connection's own affair, and names that only we may use towards the backend */
static bool is_forgotten(struct str name, bool with_handshake)
{
    if (str_starts(name, STR("sec-websocket-")))
        return !with_handshake;
    return !with_handshake && (str_eq(name, STR("connection-id")) || str_starts(name, STR("meta-")));
}

static size_t text_of(const struct ws_facts *f)
{
    size_t len =
        f->path.len + f->query.len + f->scheme.len + f->authority.len + f->peer.len + f->target.len + f->request_id.len;
    for (size_t i = 0; i < f->nfields; i++)
        len += f->fields[i].name.len + f->fields[i].value.len;
    return len;
}

/* The same in one block of its own */
static struct ws_facts *facts_copy(const struct ws_facts *from)
{
    size_t table = from->nfields * sizeof(struct call_field);
    struct ws_facts *f = mem_alloc(sizeof(*f) + table + text_of(from));
    struct call_field *fields = (struct call_field *)(f + 1);
    char *at = (char *)fields + table;
    *f = (struct ws_facts){.references = 1,
                           .path = str_keep(&at, from->path),
                           .query = str_keep(&at, from->query),
                           .scheme = str_keep(&at, from->scheme),
                           .authority = str_keep(&at, from->authority),
                           .peer = str_keep(&at, from->peer),
                           .target = str_keep(&at, from->target),
                           .request_id = str_keep(&at, from->request_id),
                           .fields = fields,
                           .nfields = from->nfields};
    for (size_t i = 0; i < from->nfields; i++)
        fields[i] = (struct call_field){str_keep(&at, from->fields[i].name), str_keep(&at, from->fields[i].value)};
    return f;
}

struct ws_facts *ws_facts_create(struct arrival *a, bool with_handshake)
{
    h2o_mem_pool_t *pool = &a->req->pool;
    struct fields_request q;
    exchange_describe(a, &q);
    struct call_field *fields = h2o_mem_alloc_pool(pool, fields_request_count_max(&q) * sizeof(fields[0]));
    char *text = h2o_mem_alloc_pool(pool, fields_request_text_max(&q));
    size_t built = fields_request_build(&q, fields, text), kept = 0;
    for (size_t i = 0; i < built; i++)
        if (!is_forgotten(fields[i].name, with_handshake))
            fields[kept++] = fields[i];
    return facts_copy(&(struct ws_facts){.path = a->path,
                                         .query = a->query,
                                         .scheme = q.scheme,
                                         .authority = q.authority,
                                         .peer = q.peer,
                                         .target = str_of_iovec(a->req->input.path),
                                         .request_id = q.id,
                                         .fields = fields,
                                         .nfields = kept});
}

struct ws_facts *ws_facts_ref(struct ws_facts *facts)
{
    facts->references++;
    return facts;
}

void ws_facts_unref(struct ws_facts *facts)
{
    if (--facts->references == 0)
        free(facts);
}

/* ---- ids -------------------------------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

#define THREAD_DIGITS 2
#define NUMBER_DIGITS 16
_Static_assert(THREAD_DIGITS + sizeof(((struct door *)0)->id_prefix) + NUMBER_DIGITS == WS_ID_LENGTH, "an id's parts");

static void put_hex(char *out, size_t n, uint64_t value)
{
    for (; n-- > 0; value >>= 4)
        out[n] = digits[value & 15];
}

static bool get_hex(const char *text, size_t n, uint64_t *value_r)
{
    *value_r = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        *value_r = *value_r << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

void ws_session_id(const struct ws_session *s, char out[WS_ID_LENGTH])
{
    const struct door *door = s->door;
    put_hex(out, THREAD_DIGITS, door->thread->index);
    memcpy(out + THREAD_DIGITS, door->id_prefix, sizeof(door->id_prefix));
    put_hex(out + THREAD_DIGITS + sizeof(door->id_prefix), NUMBER_DIGITS, s->number);
}

bool ws_session_thread(struct str id, unsigned *thread_r)
{
    uint64_t index;
    if (id.len != WS_ID_LENGTH || !get_hex(id.base, THREAD_DIGITS, &index) || index >= front_nthreads)
        return false;
    *thread_r = (unsigned)index;
    return true;
}

struct ws_session *ws_session_find(struct door *door, struct str id)
{
    unsigned thread;
    uint64_t number;
    struct ws_session *s = NULL;
    const size_t prefix = sizeof(door->id_prefix);
    if (!ws_session_thread(id, &thread) || thread != door->thread->index ||
        memcmp(id.base + THREAD_DIGITS, door->id_prefix, prefix) != 0 ||
        !get_hex(id.base + THREAD_DIGITS + prefix, NUMBER_DIGITS, &number))
        return NULL;
    HASH_FIND(hh, door->sessions, &number, sizeof(number), s);
    return s;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

void ws_session_leave(struct ws_session *s, unsigned code, struct str reason)
{
    if (s->leave_reason != NULL)
        return;
    s->leave_reason = mem_strdup_str(reason);
    s->mode->leave(s, code, s->leave_reason);
}

static void on_leaving(struct deadline *d)
{
    struct ws_session *s = (struct ws_session *)((char *)d - offsetof(struct ws_session, leaving));
    unsigned code = s->door->leave_code;
    if (code == 0)
        ws_session_leave(s, WS_CODE_RESTART, STR("reconfigured"));
    else
        ws_session_leave(s, code, code == WS_CODE_RESTART ? STR("restarting") : STR("going down"));
}

void ws_session_name(struct ws_session *s, struct door *door)
{
    s->door = door;
    s->number = ++door->session_numbers;
}

static bool is_outdated(const struct ws_session *s)
{
    return s->generation != s->door->thread->generation;
}

/* To the conf in force; false: its route is not there any more. */
static bool move(struct ws_session *s)
{
    struct generation *before = s->generation, *now = s->door->thread->generation;
    const struct route *route = generation_heir(now, s->route);
    if (route == NULL)
        return false;
    s->mode->move(s, now, route);
    s->generation = generation_ref(now);
    s->route = route;
    generation_unref(before);
    return true;
}

void ws_session_start(struct ws_session *s, const struct ws_mode *mode, const struct arrival *a, struct ws_facts *facts)
{
    struct door *door = a->door;
    if (s->number == 0)
        ws_session_name(s, door);
    assert(s->count != NULL);
    s->mode = mode;
    s->conn = a->conn;
    s->generation = generation_ref(a->generation);
    s->route = a->route;
    s->facts = facts;
    s->opened_us = door->thread->loop.now_us;
    s->leaving = (struct deadline){.on_expired = on_leaving};
    HASH_ADD(hh, door->sessions, number, sizeof(s->number), s);
    s->conn->is_upgraded = true;
    ws_count(&s->route->websockets->opened, 1);
    ws_log_open(s);
    /* the 101 was on its way when the draining, or the swap, came */
    if (door->leave_code != 0 || (is_outdated(s) && !move(s)))
        heap_arm(&door->thread->loop.deadlines, &s->leaving, s->opened_us);
}

static void count_up_to(struct ws_session *s, const struct ws_count *now)
{
    struct ws_counters *c = s->route->websockets;
    ws_count(&c->messages_in, now->messages_in - s->counted.messages_in);
    ws_count(&c->messages_out, now->messages_out - s->counted.messages_out);
    ws_count(&c->bytes_in, now->bytes_in - s->counted.bytes_in);
    ws_count(&c->bytes_out, now->bytes_out - s->counted.bytes_out);
    s->counted = *now;
}

void ws_session_count(struct ws_session *s)
{
    count_up_to(s, s->count);
}

enum reason ws_session_fault(const struct ws_ending *ending)
{
    if (ending->by != WS_BY_US)
        return REASON_NONE;
    switch (ending->code) {
    case WS_CODE_TOO_LARGE:
        return REASON_BODY_TOO_LARGE;
    case WS_CODE_PROTOCOL:
    case WS_CODE_NOT_TEXT:
    case WS_CODE_POLICY:
        return REASON_BAD_REQUEST;
    default:
        return REASON_NONE;
    }
}

static void count_end(struct ws_session *s, const struct ws_session_end *end)
{
    struct ws_counters *c = s->route->websockets;
    count_up_to(s, &end->count);
    ws_count(&c->closed[ws_session_closed_by(end)], 1);
    if (end->reason != REASON_NONE)
        ws_count(&c->errors, 1);
}

enum ws_closed ws_session_closed_by(const struct ws_session_end *end)
{
    if (end->by_backend)
        return WS_CLOSED_BACKEND;
    return end->by == WS_BY_PEER ? WS_CLOSED_CLIENT : end->by == WS_BY_US ? WS_CLOSED_BULKHEAD : WS_CLOSED_LOST;
}

void ws_session_end(struct ws_session *s, const struct ws_session_end *end)
{
    struct door *door = s->door;
    heap_disarm(&door->thread->loop.deadlines, &s->leaving);
    HASH_DEL(door->sessions, s);
    count_end(s, end);
    ws_log_close(s, end);
    mem_free(&s->leave_reason);
    ws_session_give_up(s->route);
    ws_facts_unref(s->facts);
    s->facts = NULL;
    generation_unref(s->generation);
    s->generation = NULL;
    s->route = NULL;
    s->conn = NULL;
}

/* ---- taking leave ----------------------------------------------------------------------------------------------- */

void ws_sessions_renew(struct door *door)
{
    int64_t now_us = door->thread->loop.now_us, n = 0;
    for (struct ws_session *s = door->sessions; s != NULL; s = s->hh.next) {
        if (s->leave_reason == NULL && !deadline_armed(&s->leaving) && is_outdated(s) && !move(s))
            heap_arm(&door->thread->loop.deadlines, &s->leaving, now_us + n++ * (1000000 / LEAVES_A_SECOND));
    }
}

void ws_sessions_leave(struct door *door, unsigned code, int64_t within_us)
{
    if (door->leave_code != 0)
        return;
    struct heap *deadlines = &door->thread->loop.deadlines;
    int64_t now_us = door->thread->loop.now_us, n = HASH_COUNT(door->sessions), i = 0;
    int64_t span_us = n * (1000000 / LEAVES_A_SECOND);
    if (span_us > within_us)
        span_us = within_us;
    door->leave_code = code;
    for (struct ws_session *s = door->sessions; s != NULL; s = s->hh.next)
        heap_arm(deadlines, &s->leaving, now_us + span_us * i++ / n);
}

void ws_sessions_cut(struct door *door)
{
    struct ws_session *s, *next;
    HASH_ITER(hh, door->sessions, s, next) s->mode->cut(s);
}
