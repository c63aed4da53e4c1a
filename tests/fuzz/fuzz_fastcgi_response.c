/* SPDX-License-Identifier: MIT
 *
 * fuzz_fastcgi_response: a FastCGI program's answer. Byte 0: bit 0, the request was HEAD; the rest of it says where the
 * answer is cut. The same bytes in one piece and in many must be understood alike; a body never exceeds what was
 * promised; views stay inside the input; the log stays bounded.
 */
#include "config.h"

#include "answer.h"

#include "upstream/fastcgi.h"

static const struct http1_limits limits = {.head_bytes = 300, .fields = 8, .interim = 2, .chunk_overhead = 64};

static bool feed(struct fastcgi_response *r, struct answer *a, const uint8_t *data, size_t len)
{
    char *bytes = fuzz_exact(data, len);
    size_t used = 0;
    for (;;) {
        size_t from = used;
        struct str body = STR_NONE;
        a->last = fastcgi_response_next(r, bytes, len, &used, &body);
        FUZZ_ASSERT(used >= from && used <= len);
        FUZZ_ASSERT(r->head_bytes.len <= limits.head_bytes && r->log.len <= FASTCGI_LOG_MAX);
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

static void run(struct answer *a, bool is_head, const uint8_t *data, size_t size, uint64_t cuts, struct buf *log)
{
    struct fastcgi_response r;
    fastcgi_response_init(&r, is_head, &limits);
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
    if (a->last == HTTP1_END)
        answer_check_end(a, is_head);
    *log = r.log;
    r.log = (struct buf){0};
    fastcgi_response_free(&r);
}

static void compare(const struct answer *whole, const struct buf *whole_log, bool is_head, const uint8_t *data,
                    size_t size, uint64_t cuts)
{
    struct answer pieces;
    struct buf log;
    run(&pieces, is_head, data, size, cuts, &log);
    answer_compare(whole, &pieces);
    if (whole->last != HTTP1_ERROR)
        FUZZ_ASSERT(str_eq(buf_str(whole_log), buf_str(&log)));
    buf_free(&log);
    answer_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool is_head = data[0] & 1;
    struct answer whole;
    struct buf log;
    run(&whole, is_head, data + 1, size - 1, 0, &log);
    compare(&whole, &log, is_head, data + 1, size - 1, 0x100u | data[0]);
    compare(&whole, &log, is_head, data + 1, size - 1, 0x10000u | data[0]);
    buf_free(&log);
    answer_free(&whole);
    return 0;
}
