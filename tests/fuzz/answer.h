/* SPDX-License-Identifier: MIT
 *
 * answer: a record of what a parser of backends' answers told, and the checks that hold for every answer: what the fuzz
 * targets of the HTTP/1 and the FastCGI parser share.
 */
#ifndef BULKHEAD_TESTS_FUZZ_ANSWER_H
#define BULKHEAD_TESTS_FUZZ_ANSWER_H

#include "fuzz.h"

#include "base/lexis.h"
#include "upstream/http1_response.h"

struct answer {
    unsigned heads;
    int status;
    int64_t content_length;
    struct buf fields; /* "name: value\n"… */
    struct buf body;
    enum http1_event last;
    size_t behind; /* bytes that were not consumed */
};

static inline void answer_free(struct answer *a)
{
    buf_free(&a->fields);
    buf_free(&a->body);
}

static inline void answer_see_head(struct answer *a, const struct call_response *head,
                                   const struct http1_limits *limits)
{
    FUZZ_ASSERT(++a->heads == 1 && a->body.len == 0);
    FUZZ_ASSERT((head->status == 101 || head->status >= 200) && head->status <= 599);
    FUZZ_ASSERT(head->nfields <= limits->fields && head->content_length >= -1);
    a->status = head->status;
    a->content_length = head->content_length;
    for (size_t i = 0; i < head->nfields; i++) {
        struct str name = head->fields[i].name, value = head->fields[i].value;
        FUZZ_ASSERT(lexis_is_token(name) && lexis_is_value(value) && !lexis_hop_by_hop(name));
        for (size_t j = 0; j < name.len; j++)
            FUZZ_ASSERT(!lexis_is(name.base[j], LEXIS_UPPER));
        FUZZ_ASSERT(value.len == 0 || (value.base[0] != ' ' && value.base[value.len - 1] != ' '));
        buf_append_str(&a->fields, name);
        buf_append_z(&a->fields, ": ");
        buf_append_str(&a->fields, value);
        buf_append_char(&a->fields, '\n');
    }
    FUZZ_ASSERT(a->fields.len <= limits->head_bytes + 3 * limits->fields);
}

/* `body` was handed out of bytes[from..used) */
static inline void answer_see_body(struct answer *a, struct str body, const char *bytes, size_t from, size_t used)
{
    FUZZ_ASSERT(a->heads == 1 && body.len != 0);
    FUZZ_ASSERT(body.base >= bytes + from && body.base + body.len <= bytes + used);
    buf_append_str(&a->body, body);
    FUZZ_ASSERT(a->content_length == -1 || a->body.len <= (uint64_t)a->content_length);
}

static inline void answer_check_end(const struct answer *a, bool is_head)
{
    FUZZ_ASSERT(a->heads == 1);
    if (is_head || a->status == 101 || a->status == 204 || a->status == 304)
        FUZZ_ASSERT(a->body.len == 0);
    else if (a->content_length != -1)
        FUZZ_ASSERT(a->body.len == (uint64_t)a->content_length);
}

/* The same bytes in one piece and in many. A mistake in a head may be noticed later when the head comes in pieces, but
 * never is anything told of such an answer. */
static inline void answer_compare(const struct answer *whole, const struct answer *pieces)
{
    FUZZ_ASSERT(whole->heads == pieces->heads);
    if (whole->last == HTTP1_ERROR && whole->heads == 0) {
        FUZZ_ASSERT(pieces->last == HTTP1_ERROR || pieces->last == HTTP1_MORE);
        return;
    }
    FUZZ_ASSERT(whole->last == pieces->last);
    FUZZ_ASSERT(whole->status == pieces->status && whole->content_length == pieces->content_length);
    FUZZ_ASSERT(str_eq(buf_str(&whole->fields), buf_str(&pieces->fields)));
    FUZZ_ASSERT(str_eq(buf_str(&whole->body), buf_str(&pieces->body)));
    FUZZ_ASSERT(whole->last != HTTP1_END || whole->behind == pieces->behind);
}

#endif
