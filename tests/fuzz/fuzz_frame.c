/* SPDX-License-Identifier: MIT
 *
 * fuzz_frame: native frames as a worker or a front could send them: a run of frames, their heads decoded from exact
 * blocks. What is accepted must be written back as it came, and what a worker sends must be fit for a client.
 */
#include "config.h"

#include "fuzz.h"

#include "base/lexis.h"
#include "wire/frame.h"

static void check_request(const char *head, size_t len, const struct frame *f)
{
    struct frame_field fields[FRAME_FIELDS_MAX];
    struct frame_request r;
    if (!frame_get_request(&r, fields, head, len))
        return;
    FUZZ_ASSERT(r.nfields <= FRAME_FIELDS_MAX && r.method.len != 0 && r.path.len != 0 && frame_request_fits(&r));
    struct buf again = {0};
    frame_put_request(&again, f->call, &r, f->body_len);
    FUZZ_ASSERT(again.len == FRAME_HEAD_BYTES + len && memcmp(again.base + FRAME_HEAD_BYTES, head, len) == 0);
    buf_free(&again);
}

static void check_fields(const struct frame_response *r)
{
    for (size_t i = 0; i < r->nfields; i++) {
        FUZZ_ASSERT(lexis_is_token(r->fields[i].name) && lexis_is_value(r->fields[i].value));
        FUZZ_ASSERT(!lexis_hop_by_hop(r->fields[i].name));
        for (size_t j = 0; j < r->fields[i].name.len; j++)
            FUZZ_ASSERT(!lexis_is(r->fields[i].name.base[j], LEXIS_UPPER));
    }
}

static void check_response(const char *head, size_t len, const struct frame *f)
{
    struct frame_field fields[FRAME_FIELDS_MAX], fields_again[FRAME_FIELDS_MAX];
    struct frame_response r, again;
    if (!frame_get_response(&r, fields, head, len))
        return;
    FUZZ_ASSERT(r.status >= 200 && r.status <= 599 && r.content_length >= -1 && r.nfields <= FRAME_FIELDS_MAX);
    check_fields(&r);
    struct buf out = {0};
    frame_put_response(&out, f->call, &r, f->body_len, f->flags != 0);
    FUZZ_ASSERT(out.len <= FRAME_HEAD_BYTES + len);
    FUZZ_ASSERT(frame_get_response(&again, fields_again, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
    FUZZ_ASSERT(again.nfields == r.nfields && again.status == r.status && again.content_length == r.content_length);
    for (size_t i = 0; i < r.nfields; i++)
        FUZZ_ASSERT(str_eq(r.fields[i].name, again.fields[i].name) && str_eq(r.fields[i].value, again.fields[i].value));
    buf_free(&out);
}

static void check_head(const uint8_t *bytes, const struct frame *f)
{
    char *head = fuzz_exact(bytes, f->head_len);
    if (f->type == FRAME_REQUEST)
        check_request(head, f->head_len, f);
    else if (f->type == FRAME_HEAD)
        check_response(head, f->head_len, f);
    fuzz_give_back(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct frame f;
        int got = frame_get(&f, (const char *)data + at, size - at);
        FUZZ_ASSERT((got == 0) == (size - at < FRAME_HEAD_BYTES));
        if (got != 1)
            break;
        FUZZ_ASSERT(f.head_len <= FRAME_HEAD_MAX && f.body_len <= INT64_MAX && f.call != 0);
        at += FRAME_HEAD_BYTES;
        if (f.head_len > size - at)
            break;
        check_head(data + at, &f);
        at += f.head_len;
        if (f.body_len > size - at)
            break;
        at += (size_t)f.body_len;
    }
    return 0;
}
