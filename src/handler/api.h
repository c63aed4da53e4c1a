/* SPDX-License-Identifier: MIT
 *
 * api: what is behind the opaque struct bulkhead_call of <bulkhead/handler.h>: one call while a module's `handle` runs.
 * It lives on the stack of the thread that runs it and is gone when `handle` has returned. Private to this room.
 */
#ifndef BULKHEAD_HANDLER_API_H
#define BULKHEAD_HANDLER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "bulkhead/handler.h"
#include "handler/arena.h"
#include "handler/module.h"

#define API_CALL_MAGIC 0x61706963u
/* what a backend may answer; the same limits as for every other kind of backend */
#define API_FIELDS_MAX 100
#define API_HEAD_MAX   (64 * 1024)

/* NUL-terminated copies of the request's texts, made when they are first asked for */
enum api_text {
    API_TEXT_METHOD,
    API_TEXT_PATH,
    API_TEXT_QUERY,
    API_TEXT_SCHEME,
    API_TEXT_AUTHORITY,
    API_TEXT_PEER,
    API_TEXT_ID,
    API_TEXT_CONNECTION,
    API_TEXT_COUNT
};

struct api_field_text {
    const char *name, *value; /* NULL: not asked for yet */
};

struct api_response {
    int status;
    struct module_field fields[API_FIELDS_MAX]; /* texts in the arena; not cleared */
    size_t nfields, head_bytes;
    int64_t announced; /* by bulkhead_content_length; -1: not */
    uint64_t written;  /* body bytes so far */
    struct buf held;   /* those of them that were not sent yet */
    bool touched;      /* the module has said anything at all */
    bool sent;         /* the head is out: status and fields are final */
    bool unwanted;     /* the writer has said that nobody reads on */
    bool messages;     /* bulkhead_send or bulkhead_close: the body is events, and only they write it */
    bool closed;       /* bulkhead_close */
};

struct bulkhead_call {
    uint32_t magic;
    const char *module_name;
    const struct module_request *request;
    const struct module_writer *writer;
    const char *texts[API_TEXT_COUNT];
    struct api_field_text *field_texts; /* in the arena, one per request field; NULL until one is asked for */
    struct api_response response;
    bool failed, cancelled;
    char *error; /* the caller's buffer; the first message stays */
    size_t error_size;
    struct arena arena;
};

void api_call_init(struct bulkhead_call *call, const char *module_name, const struct module_request *request,
                   const struct module_writer *writer, char *error, size_t error_size);
/* `handle` has returned well: sends what is held. false: the call has failed after all (the message is set). */
bool api_call_finish(struct bulkhead_call *call);
void api_call_cleanup(struct bulkhead_call *call);
/* marks the call as failed; returns false for the convenience of the response functions */
bool api_fail(struct bulkhead_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "may the module still say something?": not after a failure, nor when nobody wants more. Notes that it tries. */
bool api_usable(struct bulkhead_call *call);
/* "may `handle` return without a word?" */
bool api_may_be_silent(const struct bulkhead_call *call);

#endif
