/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a worker's answer into the parser of native frames, once whole and once in pieces whose lengths the
 * bytes themselves choose: both must come to the same status, body and end. Pieces lie in blocks of their own, so that
 * the address sanitizer sees a look beyond them.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/native.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int status;
    struct buf body;
    enum http1_event end;
};

/* false: the answer is over */
static bool feed(struct native_response *r, const uint8_t *data, size_t len, struct outcome *o)
{
    char *piece = malloc(len + (len == 0));
    size_t used = 0;
    struct str body;
    if (len != 0)
        memcpy(piece, data, len);
    for (;;) {
        o->end = native_response_next(r, piece, len, &used, &body);
        if (o->end == HTTP1_HEAD)
            o->status = r->head.status;
        else if (o->end == HTTP1_BODY)
            buf_append_str(&o->body, body);
        else
            break;
    }
    if (used > len || (o->end == HTTP1_MORE && used != len))
        abort();
    free(piece);
    return o->end == HTTP1_MORE;
}

static struct outcome parse(const uint8_t *data, size_t size, bool in_pieces)
{
    static const struct http1_limits limits = {
        .head_bytes = 4096, .fields = 100, .interim = 10, .chunk_overhead = 8192};
    struct native_response r;
    struct outcome o = {.end = HTTP1_MORE};
    native_response_init(&r, false, 1, &limits);
    bool more = true;
    for (size_t at = 0, n; more && at < size; at += n) {
        n = in_pieces ? 1u + data[at] % 31u : size;
        n = n < size - at ? n : size - at;
        more = feed(&r, data + at, n, &o);
    }
    native_response_free(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = parse(data, size, false), pieces = parse(data, size, true);
    if (whole.end != pieces.end || whole.status != pieces.status ||
        !str_eq(buf_str(&whole.body), buf_str(&pieces.body)))
        abort();
    buf_free(&whole.body);
    buf_free(&pieces.body);
    return 0;
}
