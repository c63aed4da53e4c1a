/* SPDX-License-Identifier: MIT
 *
 * api_response: the writing half of <bulkhead/handler.h>. Checks everything that a handler says before it leaves the
 * process: the front trusts no worker, but a module's author should read here what is wrong, not there. The first wrong
 * use fails the call for good. Up to MODULE_HELD_MAX body bytes are held back, so that a short answer goes out whole,
 * with its length, and a late failure can still become a 500. The thread that runs the call.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/lexis.h"
#include "handler/api.h"

/* member by member: clearing the fields as well would cost more than the rest of a short call */
static void init_response(struct api_response *r)
{
    r->status = 200;
    r->nfields = r->head_bytes = 0;
    r->announced = -1;
    r->written = 0;
    r->held = (struct buf){0};
    r->touched = r->sent = r->unwanted = false;
    r->messages = r->closed = false;
}

void api_call_init(struct bulkhead_call *call, const char *module_name, const struct module_request *request,
                   const struct module_writer *writer, char *error, size_t error_size)
{
    call->magic = API_CALL_MAGIC;
    call->module_name = module_name;
    call->request = request;
    call->writer = writer;
    memset(call->texts, 0, sizeof(call->texts));
    call->field_texts = NULL;
    init_response(&call->response);
    call->failed = call->cancelled = false;
    call->error = error;
    call->error_size = error_size;
    arena_init(&call->arena);
}

void api_call_cleanup(struct bulkhead_call *call)
{
    buf_free(&call->response.held);
    arena_free(&call->arena);
    call->magic = 0;
}

static void fail_va(struct bulkhead_call *call, const char *format, va_list arguments)
{
    if (!call->failed)
        vsnprintf(call->error, call->error_size, format, arguments);
    call->failed = true;
}

bool api_fail(struct bulkhead_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail_va(call, format, arguments);
    va_end(arguments);
    return false;
}

int bulkhead_failed(struct bulkhead_call *call, const char *format, ...)
{
    assert(call->magic == API_CALL_MAGIC);
    va_list arguments;
    va_start(arguments, format);
    fail_va(call, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- the head --------------------------------------------------------------------------------------------------- */

bool api_usable(struct bulkhead_call *call)
{
    assert(call->magic == API_CALL_MAGIC);
    call->response.touched = true;
    return !call->failed && !call->response.unwanted;
}

bool bulkhead_status(struct bulkhead_call *call, int status)
{
    if (!api_usable(call))
        return false;
    if (call->response.sent)
        return api_fail(call, "status %d was set after the head had been sent", status);
    if (status < 200 || status > 599)
        return api_fail(call, "status %d is out of range (200 to 599)", status);
    call->response.status = status;
    return true;
}

/* lower case, as field names are everywhere behind the doors; base NULL: no token */
static struct str lower_name(struct bulkhead_call *call, const char *name)
{
    size_t len = strlen(name);
    struct str lower = {arena_text(&call->arena, (struct str){(char *)name, len}), len};
    for (size_t i = 0; i < len; i++)
        if ((lower.base[i] = (char)lexis_lower_token[(uint8_t)name[i]]) == 0)
            return STR_NONE;
    return len == 0 ? STR_NONE : lower;
}

static bool check_field(struct bulkhead_call *call, struct str name, struct str value)
{
    if (call->response.sent)
        return api_fail(call, "a header field was set after the head had been sent");
    if (name.base == NULL)
        return api_fail(call, "the name of a header field is no token");
    if (str_eq(name, STR("content-length")))
        return api_fail(call, "Content-Length is set by bulkhead_content_length()");
    /* how the message is framed and where it goes next is the front's to decide */
    if (lexis_hop_by_hop(name))
        return api_fail(call, "field %.64s is not the handler's to set", name.base);
    if (!lexis_is_value(value))
        return api_fail(call, "the value of field %.64s holds a control byte", name.base);
    return true;
}

static size_t field_bytes(struct str name, struct str value)
{
    return name.len + value.len + sizeof(": \r\n") - 1;
}

static bool append_field(struct bulkhead_call *call, struct str name, struct str value)
{
    struct api_response *r = &call->response;
    if (r->nfields == API_FIELDS_MAX)
        return api_fail(call, "more than %d header fields", API_FIELDS_MAX);
    size_t bytes = field_bytes(name, value);
    if (bytes > API_HEAD_MAX - r->head_bytes)
        return api_fail(call, "header fields of more than %d bytes", API_HEAD_MAX);
    r->head_bytes += bytes;
    r->fields[r->nfields++] = (struct module_field){name, {arena_text(&call->arena, value), value.len}};
    return true;
}

static void remove_fields(struct api_response *r, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->nfields; i++) {
        if (str_eq(r->fields[i].name, name))
            r->head_bytes -= field_bytes(r->fields[i].name, r->fields[i].value);
        else
            r->fields[kept++] = r->fields[i];
    }
    r->nfields = kept;
}

static bool put_field(struct bulkhead_call *call, const char *name, const char *value, bool replace)
{
    if (!api_usable(call))
        return false;
    struct str n = lower_name(call, name), v = str_of(value);
    if (!check_field(call, n, v))
        return false;
    if (replace)
        remove_fields(&call->response, n);
    return append_field(call, n, v);
}

bool bulkhead_add_header(struct bulkhead_call *call, const char *name, const char *value)
{
    return put_field(call, name, value, false);
}

bool bulkhead_set_header(struct bulkhead_call *call, const char *name, const char *value)
{
    return put_field(call, name, value, true);
}

bool bulkhead_content_length(struct bulkhead_call *call, uint64_t length)
{
    if (!api_usable(call))
        return false;
    if (call->response.sent)
        return api_fail(call, "the content length was set after the head had been sent");
    if (length > INT64_MAX || length < call->response.written)
        return api_fail(call, "a content length of %" PRIu64 " cannot be", length);
    call->response.announced = (int64_t)length;
    return true;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* RFC 9110 §6.4.1 */
static bool body_goes_out(const struct bulkhead_call *call)
{
    int status = call->response.status;
    return status != 204 && status != 304 && !str_eq(call->request->method, STR("HEAD"));
}

/* complete: all of the body is known by now, so that its length is. */
static int64_t length_to_send(const struct bulkhead_call *call, bool complete)
{
    const struct api_response *r = &call->response;
    if (r->status == 204 || r->status == 304)
        return -1;
    if (r->announced >= 0)
        return r->announced;
    bool unknown_to_head = r->written == 0 && str_eq(call->request->method, STR("HEAD"));
    return complete && !unknown_to_head ? (int64_t)r->written : -1;
}

static bool send_head(struct bulkhead_call *call, bool complete)
{
    struct api_response *r = &call->response;
    if (!r->sent) {
        r->sent = true;
        r->unwanted =
            !call->writer->head(call->writer->arg, r->status, r->fields, r->nfields, length_to_send(call, complete));
    }
    return !r->unwanted;
}

static bool send_body(struct bulkhead_call *call, struct str bytes)
{
    struct api_response *r = &call->response;
    if (bytes.len != 0 && body_goes_out(call) && !r->unwanted)
        r->unwanted = !call->writer->body(call->writer->arg, bytes);
    return !r->unwanted;
}

static bool send_held(struct bulkhead_call *call, bool complete)
{
    if (!send_head(call, complete) || !send_body(call, buf_str(&call->response.held)))
        return false;
    buf_clear(&call->response.held);
    return true;
}

bool bulkhead_flush(struct bulkhead_call *call)
{
    return api_usable(call) && send_held(call, false);
}

static bool count(struct bulkhead_call *call, size_t length)
{
    struct api_response *r = &call->response;
    if (r->messages)
        return api_fail(call, "a body was written after bulkhead_send() or bulkhead_close()");
    if (r->announced >= 0 && length > (uint64_t)r->announced - r->written)
        return api_fail(call, "more body than the announced %" PRId64 " bytes", r->announced);
    r->written += length;
    return true;
}

bool bulkhead_write(struct bulkhead_call *call, const void *bytes, size_t length)
{
    struct api_response *r = &call->response;
    if (!api_usable(call) || !count(call, length))
        return false;
    if (length > MODULE_HELD_MAX - r->held.len && !send_held(call, false))
        return false;
    if (length > MODULE_HELD_MAX)
        return send_body(call, (struct str){(char *)bytes, length});
    buf_append(&r->held, bytes, length);
    return true;
}

bool bulkhead_write_json(struct bulkhead_call *call, const char *bytes, size_t length)
{
    struct buf quoted = {0};
    buf_append_json(&quoted, (struct str){(char *)bytes, length});
    bool wanted = bulkhead_write(call, quoted.base, quoted.len);
    buf_free(&quoted);
    return wanted;
}

int bulkhead_answer(struct bulkhead_call *call, int status, const char *content_type, const void *body, size_t length)
{
    if (!api_usable(call))
        return -1;
    if (call->response.sent || call->response.written != 0) {
        api_fail(call, "bulkhead_answer() after %s",
                 call->response.messages ? "messages had been sent" : "a part of the body had been written");
        return -1;
    }
    bool ok = bulkhead_status(call, status) &&
              (content_type == NULL || bulkhead_set_header(call, "content-type", content_type)) &&
              bulkhead_content_length(call, length) && bulkhead_write(call, body, length);
    return ok ? 0 : -1;
}

static bool send_rest(struct bulkhead_call *call)
{
    struct api_response *r = &call->response;
    if (r->sent || call->writer->whole == NULL)
        return send_held(call, true);
    struct str body = body_goes_out(call) ? buf_str(&r->held) : STR_NONE;
    return call->writer->whole(call->writer->arg, r->status, r->fields, r->nfields, length_to_send(call, true), body);
}

bool api_call_finish(struct bulkhead_call *call)
{
    struct api_response *r = &call->response;
    if (call->failed)
        return false;
    if (r->unwanted)
        return api_fail(call, "nobody wants the answer any more");
    if (!r->touched && !api_may_be_silent(call))
        return api_fail(call, "the handler returned without an answer");
    /* to HEAD a length may be announced without a body to count */
    bool uncounted = r->written == 0 && !body_goes_out(call);
    if (r->announced >= 0 && r->written != (uint64_t)r->announced && !uncounted)
        return api_fail(call, "wrote %" PRIu64 " body bytes of the announced %" PRId64, r->written, r->announced);
    return send_rest(call) || api_fail(call, "nobody wants the answer any more");
}
