/* SPDX-License-Identifier: MIT
 *
 * api_request: the reading half of <bulkhead/handler.h>. The request is borrowed bytes; texts become NUL-terminated
 * copies in the call's arena when a handler first asks for them, and only those that it asks for. The thread that runs
 * the call.
 */
#include "config.h"

#include <assert.h>

#include "base/clock.h"
#include "handler/api.h"
#include "handler/params.h"

static_assert((int)BULKHEAD_REQUEST == (int)CALL_HTTP && (int)BULKHEAD_OPEN == (int)CALL_WS_OPEN &&
                  (int)BULKHEAD_MESSAGE == (int)CALL_WS_MESSAGE && (int)BULKHEAD_CLOSE == (int)CALL_WS_CLOSE,
              "kinds of calls differ between here and there");

static const char *text(struct bulkhead_call *call, enum api_text which, struct str s)
{
    assert(call->magic == API_CALL_MAGIC);
    if (call->texts[which] == NULL)
        call->texts[which] = arena_text(&call->arena, s);
    return call->texts[which];
}

const char *bulkhead_method(struct bulkhead_call *call)
{
    return text(call, API_TEXT_METHOD, call->request->method);
}

const char *bulkhead_path(struct bulkhead_call *call)
{
    return text(call, API_TEXT_PATH, call->request->path);
}

const char *bulkhead_query(struct bulkhead_call *call)
{
    return call->request->query.base == NULL ? NULL : text(call, API_TEXT_QUERY, call->request->query);
}

const char *bulkhead_scheme(struct bulkhead_call *call)
{
    return text(call, API_TEXT_SCHEME, call->request->scheme);
}

const char *bulkhead_authority(struct bulkhead_call *call)
{
    return text(call, API_TEXT_AUTHORITY, call->request->authority);
}

const char *bulkhead_peer(struct bulkhead_call *call)
{
    return text(call, API_TEXT_PEER, call->request->peer);
}

const char *bulkhead_request_id(struct bulkhead_call *call)
{
    return text(call, API_TEXT_ID, call->request->id);
}

enum bulkhead_kind bulkhead_kind(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    return (enum bulkhead_kind)call->request->kind;
}

enum bulkhead_opcode bulkhead_opcode(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    return (enum bulkhead_opcode)call->request->opcode;
}

const char *bulkhead_connection(struct bulkhead_call *call)
{
    return text(call, API_TEXT_CONNECTION, call->request->connection);
}

int bulkhead_close_code(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    return (int)call->request->close_code;
}

static const char *decode(struct bulkhead_call *call, struct str encoded, size_t *length)
{
    char *out = arena_alloc(&call->arena, encoded.len + 1);
    size_t used = params_decode(out, encoded);
    out[used] = '\0';
    if (length != NULL)
        *length = used;
    return out;
}

const char *bulkhead_query_value(struct bulkhead_call *call, const char *name, size_t *length)
{
    assert(call->magic == API_CALL_MAGIC);
    struct str wanted = str_of(name), found, value;
    for (size_t cursor = 0; params_next(call->request->query, &cursor, &found, &value);)
        if (params_equal(found, wanted))
            return decode(call, value, length);
    return NULL;
}

bool bulkhead_query_next(struct bulkhead_call *call, size_t *cursor, const char **name, const char **value,
                         size_t *length)
{
    assert(call->magic == API_CALL_MAGIC);
    struct str raw_name, raw_value;
    if (!params_next(call->request->query, cursor, &raw_name, &raw_value))
        return false;
    *name = decode(call, raw_name, NULL);
    *value = decode(call, raw_value, length);
    return true;
}

static struct api_field_text *field_text(struct bulkhead_call *call, size_t index)
{
    if (call->field_texts == NULL) {
        size_t bytes = call->request->nfields * sizeof(*call->field_texts);
        call->field_texts = memset(arena_alloc(&call->arena, bytes), 0, bytes);
    }
    return &call->field_texts[index];
}

static const char *field_value(struct bulkhead_call *call, size_t index)
{
    struct api_field_text *t = field_text(call, index);
    if (t->value == NULL)
        t->value = arena_text(&call->arena, call->request->fields[index].value);
    return t->value;
}

const char *bulkhead_header(struct bulkhead_call *call, const char *name)
{
    assert(call->magic == API_CALL_MAGIC);
    struct str wanted = str_of(name);
    for (size_t i = 0; i < call->request->nfields; i++)
        if (str_case_eq(call->request->fields[i].name, wanted))
            return field_value(call, i);
    return NULL;
}

size_t bulkhead_header_count(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    return call->request->nfields;
}

bool bulkhead_header_at(struct bulkhead_call *call, size_t index, const char **name, const char **value)
{
    assert(call->magic == API_CALL_MAGIC);
    if (index >= call->request->nfields)
        return false;
    struct api_field_text *t = field_text(call, index);
    if (t->name == NULL)
        t->name = arena_text(&call->arena, call->request->fields[index].name);
    *name = t->name;
    *value = field_value(call, index);
    return true;
}

const char *bulkhead_body(struct bulkhead_call *call, size_t *length)
{
    assert(call->magic == API_CALL_MAGIC);
    *length = call->request->body.len;
    return call->request->body.len == 0 ? "" : call->request->body.base;
}

int64_t bulkhead_time_left_us(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    if (call->request->deadline_us == CLOCK_NEVER)
        return BULKHEAD_NO_DEADLINE;
    int64_t left = call->request->deadline_us - clock_us();
    return left > 0 ? left : 0;
}

bool bulkhead_cancelled(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    const struct module_request *r = call->request;
    if (!call->cancelled)
        call->cancelled = call->response.unwanted || bulkhead_time_left_us(call) == 0 ||
                          (r->cancelled != NULL && r->cancelled(r->arg));
    return call->cancelled;
}
