/* SPDX-License-Identifier: MIT
 *
 * fuzz_strict: a client's request head (byte 0 even) or chunked body (odd); the rest of byte 0 says where it is cut.
 * What is accepted in one piece is accepted alike in many, and holds nothing that a second reader could take otherwise.
 */
#include "config.h"

#include "fuzz.h"

#include "base/buf.h"
#include "base/lexis.h"
#include "front/strict.h"

#define FIELDS_MAX   12
#define OVERHEAD_MAX 64

static const struct strict_limits limits = {
    .head_bytes = 700, .target_bytes = 200, .header_fields = 10, .max_body = 1 << 20};

/* --- heads -------------------------------------------------------------------------------------------------------- */

static void check_inside(struct str s, const char *bytes, size_t len)
{
    FUZZ_ASSERT(s.base >= bytes && s.base + s.len <= bytes + len);
}

static void check_target(const struct strict_head *h, const char *bytes)
{
    struct str t = h->target;
    FUZZ_ASSERT(t.len != 0 && t.len <= limits.target_bytes);
    if (str_eq(t, STR("/")))
        return; /* may stand for an absolute-form target without a path */
    check_inside(t, bytes, h->bytes);
    FUZZ_ASSERT(t.base[0] == '/' || (str_eq(t, STR("*")) && str_eq(h->method, STR("OPTIONS"))));
    for (size_t i = 0; i < t.len; i++)
        FUZZ_ASSERT((uint8_t)t.base[i] > 0x20 && (uint8_t)t.base[i] < 0x7f && t.base[i] != '#');
    if (t.base[0] == '/')
        FUZZ_ASSERT(strict_target_problem(t) == NULL);
}

static unsigned count_named(const struct strict_head *h, struct str name)
{
    unsigned n = 0;
    for (size_t i = 0; i < h->nfields; i++)
        n += str_case_eq((struct str){(char *)h->fields[i].name, h->fields[i].name_len}, name);
    return n;
}

static void check_accepted(const struct strict_head *h, const char *bytes, size_t len)
{
    FUZZ_ASSERT(h->bytes <= len && h->bytes <= limits.head_bytes + 2 * STRICT_EMPTY_LINES_MAX);
    FUZZ_ASSERT(memcmp(bytes + h->bytes - 4, "\r\n\r\n", 4) == 0);
    FUZZ_ASSERT(h->nfields <= limits.header_fields && (h->minor == 0 || h->minor == 1));
    FUZZ_ASSERT(lexis_is_token(h->method) && h->method.len <= STRICT_METHOD_MAX);
    check_inside(h->method, bytes, h->bytes);
    check_target(h, bytes);
    for (size_t i = 0; i < h->nfields; i++) {
        struct str name = {(char *)h->fields[i].name, h->fields[i].name_len};
        struct str value = {(char *)h->fields[i].value, h->fields[i].value_len};
        check_inside(name, bytes, h->bytes);
        check_inside(value, bytes, h->bytes);
        FUZZ_ASSERT(lexis_is_token(name) && lexis_is_value(value));
    }
    unsigned hosts = count_named(h, STR("host")), lengths = count_named(h, STR("content-length"));
    FUZZ_ASSERT(hosts == 1 || (hosts == 0 && h->minor == 0));
    FUZZ_ASSERT(lengths == (h->content_length != -1) && count_named(h, STR("transfer-encoding")) == h->chunked);
    FUZZ_ASSERT(!(h->chunked && lengths != 0) && !(h->chunked && h->minor == 0));
    FUZZ_ASSERT(h->content_length <= (int64_t)limits.max_body);
}

static enum strict_result parse(const uint8_t *data, size_t size, size_t last, struct strict_head *h, size_t accepted)
{
    char *bytes = fuzz_exact(data, size);
    enum strict_result r = strict_head_parse(bytes, size, last, &limits, h);
    FUZZ_ASSERT(h->nfields <= h->capacity);
    if (r == STRICT_COMPLETE) {
        check_accepted(h, bytes, size);
        FUZZ_ASSERT(accepted == 0 || h->bytes == accepted);
    } else if (r == STRICT_REFUSED) {
        FUZZ_ASSERT(h->reason != REASON_NONE && h->detail != NULL);
    } else {
        FUZZ_ASSERT(size <= limits.head_bytes + 2 * STRICT_EMPTY_LINES_MAX);
    }
    fuzz_give_back(bytes);
    return r;
}

static void try_head(const uint8_t *data, size_t size, uint64_t cuts)
{
    struct strict_field fields[FIELDS_MAX], fields_again[FIELDS_MAX];
    struct strict_head whole = {.fields = fields, .capacity = FIELDS_MAX};
    struct strict_head pieces = {.fields = fields_again, .capacity = FIELDS_MAX};
    enum strict_result a = parse(data, size, 0, &whole, 0), b = STRICT_INCOMPLETE;
    for (size_t at = 0, last = 0; at < size && b == STRICT_INCOMPLETE; last = at) {
        at += 1 + (size_t)(fuzz_random(&cuts) % 24);
        at = at < size ? at : size;
        b = parse(data, at, last, &pieces, whole.bytes);
    }
    /* a mistake may be noticed later in pieces; nothing else may differ */
    FUZZ_ASSERT((a == STRICT_COMPLETE) == (b == STRICT_COMPLETE));
    FUZZ_ASSERT(b != STRICT_REFUSED || a == STRICT_REFUSED);
    if (a == STRICT_COMPLETE)
        FUZZ_ASSERT(whole.nfields == pieces.nfields && whole.content_length == pieces.content_length &&
                    whole.chunked == pieces.chunked && whole.persistent == pieces.persistent);
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

/* Decodes as the library does: decoded bytes stay in front, new input comes behind them. */
static ssize_t decode(const uint8_t *data, size_t size, uint64_t cuts, struct buf *out, size_t *behind_r)
{
    struct chunked c = {0};
    ssize_t r = -2;
    size_t at = 0;
    while (at < size && r == -2) {
        size_t n = cuts == 0 ? size : 1 + (size_t)(fuzz_random(&cuts) % 12);
        n = n < size - at ? n : size - at;
        char *piece = fuzz_exact(data + at, n);
        size_t len = n;
        r = strict_chunked_decode(&c, OVERHEAD_MAX, piece, &len);
        FUZZ_ASSERT(len <= n && r >= -2 && (r < 0 || len + (size_t)r <= n) && c.overhead <= OVERHEAD_MAX + 1);
        FUZZ_ASSERT((r == -1) == (*chunked_problem(&c) != '\0'));
        if (r > 0)
            FUZZ_ASSERT(memcmp(piece + len, data + at + n - (size_t)r, (size_t)r) == 0);
        buf_append(out, piece, len);
        fuzz_give_back(piece);
        at += n;
    }
    *behind_r = r < 0 ? 0 : (size_t)r + (size - at);
    return r < 0 ? r : 0;
}

static void try_body(const uint8_t *data, size_t size, uint64_t cuts)
{
    struct buf whole = {0}, pieces = {0};
    size_t whole_behind, pieces_behind;
    ssize_t a = decode(data, size, 0, &whole, &whole_behind), b = decode(data, size, cuts, &pieces, &pieces_behind);
    FUZZ_ASSERT(a == b && whole_behind == pieces_behind && whole.len <= size);
    FUZZ_ASSERT(str_eq(buf_str(&whole), buf_str(&pieces)));
    buf_free(&whole);
    buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        try_body(data + 1, size - 1, 0x100u | data[0]);
    else
        try_head(data + 1, size - 1, 0x100u | data[0]);
    return 0;
}
