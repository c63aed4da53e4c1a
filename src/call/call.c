/* SPDX-License-Identifier: MIT
 *
 * call: the few things that every call can do, whoever made it and wherever it runs: hand out its body, and let go of
 * the request that it was made from. Loop thread of the call.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "call/call.h"

const char *call_class_name(enum call_class c)
{
    static const char *const names[CALL_CLASS_COUNT] = {"loop", "threads", "workers"};
    assert((unsigned)c < CALL_CLASS_COUNT);
    return names[c];
}

struct str call_body_take(struct call *call, size_t max)
{
    assert(call->magic == CALL_MAGIC);
    struct str rest = call->request.body;
    if (rest.len == 0)
        return STR_NONE;
    rest.base += call->body_sent;
    rest.len -= call->body_sent;
    if (rest.len > max)
        rest.len = max;
    call->body_sent += rest.len;
    return rest;
}

/* One block holds method, path and the rest of the body; the cursor starts over at the copy. */
void call_detach(struct call *call)
{
    assert(call->magic == CALL_MAGIC);
    if (call->detached)
        return;
    call->detached = true;
    struct call_request *r = &call->request;
    size_t rest = r->body.len - call->body_sent;
    char *copy = mem_alloc(r->method.len + r->path.len + rest + 1);
    call->owned = copy;
    char *at = copy;
    if (r->method.len != 0)
        memcpy(at, r->method.base, r->method.len);
    r->method.base = at;
    at += r->method.len;
    if (r->path.len != 0)
        memcpy(at, r->path.base, r->path.len);
    r->path.base = at;
    at += r->path.len;
    if (rest != 0)
        memcpy(at, r->body.base + call->body_sent, rest);
    r->body = (struct str){at, rest};
    call->body_sent = 0;
    r->query = r->scheme = r->authority = r->id = r->peer = r->connection = STR_NONE;
    r->fields = NULL;
    r->nfields = 0;
}

void call_cleanup(struct call *call)
{
    mem_free(&call->owned);
    call->magic = 0;
}

bool call_method_idempotent(struct str method)
{
    const struct str idempotent[] = {STR("GET"), STR("HEAD"), STR("OPTIONS"), STR("TRACE"), STR("PUT"), STR("DELETE")};
    for (size_t i = 0; i < sizeof(idempotent) / sizeof(idempotent[0]); i++)
        if (str_eq(method, idempotent[i]))
            return true;
    return false;
}

struct call_field *call_fields_copy(const struct call_field *fields, size_t nfields)
{
    size_t table = nfields * sizeof(fields[0]), text = 0;
    for (size_t i = 0; i < nfields; i++)
        text += fields[i].name.len + fields[i].value.len;
    struct call_field *copy = mem_alloc(table + text + 1);
    char *at = (char *)copy + table;
    for (size_t i = 0; i < nfields; i++)
        copy[i] = (struct call_field){str_keep(&at, fields[i].name), str_keep(&at, fields[i].value)};
    return copy;
}
