/* SPDX-License-Identifier: MIT
 *
 * fuzz_http1_response: a backend's HTTP/1 answer. Byte 0: bit 0, the request was HEAD; bit 1, it asked for an upgrade;
 * all of it says where the answer is cut. The same bytes in one piece and in many must be understood alike; a body never exceeds what was
 * promised; views stay inside the input.
 */
#include "config.h"

#include "answer.h"

static const struct http1_limits limits = {.head_bytes = 600, .fields = 10, .interim = 2, .chunk_overhead = 64};

/* feeds one piece; false when the answer is over */
static bool feed(struct http1_response *r, struct answer *a, const uint8_t *data, size_t len)
{
    char *bytes = fuzz_exact(data, len);
    size_t used = 0;
    for (;;) {
        size_t from = used;
        struct str body = STR_NONE;
        a->last = http1_response_next(r, bytes, len, &used, &body);
        FUZZ_ASSERT(used >= from && used <= len && r->line.len <= limits.head_bytes);
        if (a->last == HTTP1_HEAD)
            answer_see_head(a, &r->head, &limits);
        else if (a->last == HTTP1_BODY)
            answer_see_body(a, body, bytes, from, used);
        else
            break;
    }
    FUZZ_ASSERT(a->last != HTTP1_MORE || used == len);
    FUZZ_ASSERT((a->last == HTTP1_ERROR) == (r->error != NULL));
    a->behind = len - used;
    fuzz_give_back(bytes);
    return a->last == HTTP1_MORE;
}

static void run(struct answer *a, uint8_t how, const uint8_t *data, size_t size, uint64_t cuts)
{
    struct http1_response r;
    bool is_head = how & 1, may_upgrade = how & 2;
    http1_response_init(&r, is_head, &limits);
    if (may_upgrade)
        http1_response_expect_upgrade(&r);
    *a = (struct answer){.last = HTTP1_MORE};
    bool more = true;
    size_t at = 0;
    while (more && at < size) {
        size_t n = cuts == 0 ? size : 1 + (size_t)(fuzz_random(&cuts) % 16);
        if (n > size - at)
            n = size - at;
        more = feed(&r, a, data + at, n);
        at += n;
    }
    a->behind += size - at;
    FUZZ_ASSERT(http1_response_started(&r) == (size != 0));
    if (a->last == HTTP1_END)
        answer_check_end(a, is_head);
    FUZZ_ASSERT((a->status == 101) == (r.upgrade.base != NULL));
    FUZZ_ASSERT(a->status != 101 || (may_upgrade && a->last == HTTP1_END && !r.keep_alive));
    enum http1_event closed = http1_response_eof(&r);
    FUZZ_ASSERT(closed == HTTP1_END || closed == HTTP1_ERROR);
    FUZZ_ASSERT(a->last != HTTP1_END || closed == HTTP1_END);
    FUZZ_ASSERT(a->last != HTTP1_ERROR || closed == HTTP1_ERROR);
    if (closed == HTTP1_END && a->last == HTTP1_MORE)
        FUZZ_ASSERT(!r.keep_alive && a->content_length == -1);
    if (closed == HTTP1_ERROR)
        FUZZ_ASSERT(!r.keep_alive && r.error != NULL);
    http1_response_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct answer whole, pieces, bytes;
    run(&whole, data[0], data + 1, size - 1, 0);
    run(&pieces, data[0], data + 1, size - 1, 0x100u | data[0]);
    answer_compare(&whole, &pieces);
    answer_free(&pieces);
    run(&bytes, data[0], data + 1, size - 1, 0x10000u | data[0]);
    answer_compare(&whole, &bytes);
    answer_free(&bytes);
    answer_free(&whole);
    return 0;
}
