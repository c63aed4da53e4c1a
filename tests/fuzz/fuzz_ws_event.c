/* SPDX-License-Identifier: MIT
 *
 * fuzz_ws_event: a backend's application/websocket-events. Byte 0 says where the body is cut, byte 1 how large an event
 * may be. The same bytes in one piece and in many must yield the same events; what they yield, written again, must be
 * read as the same.
 */
#include "config.h"

#include "fuzz.h"

#include "base/utf8.h"
#include "wire/ws_code.h"
#include "wire/ws_event.h"

/* what a decoder said of a body */
struct story {
    struct ws_event_decoder decoder;
    struct buf events; /* written again */
    enum ws_event_result last;
};

static void check_close(struct str content)
{
    unsigned code;
    struct str reason;
    if (!ws_event_get_close(content, &code, &reason))
        return;
    FUZZ_ASSERT((code == 0) == (content.len == 0) && (code == 0 || ws_code_is_sendable(code)));
    FUZZ_ASSERT(reason.len == (content.len < 2 ? 0 : content.len - 2) && utf8_valid(reason.base, reason.len));
    struct buf plain = {0}, again = {0};
    ws_event_put(&plain, WS_EVENT_CLOSE, content);
    ws_event_put_close(&again, code, reason);
    FUZZ_ASSERT(str_eq(buf_str(&plain), buf_str(&again)));
    buf_free(&plain);
    buf_free(&again);
}

static void see_event(struct story *s, enum ws_event_kind kind, struct str content)
{
    FUZZ_ASSERT((unsigned)kind < WS_EVENT_COUNT && content.len <= s->decoder.max);
    if (kind == WS_EVENT_PING || kind == WS_EVENT_PONG)
        FUZZ_ASSERT(content.len <= WS_CONTROL_MAX);
    if (kind == WS_EVENT_CLOSE)
        check_close(content);
    bool is_bare = kind == WS_EVENT_OPEN || kind == WS_EVENT_DISCONNECT;
    ws_event_put(&s->events, kind, is_bare ? STR_NONE : content);
}

static void feed(struct story *s, const uint8_t *data, size_t len)
{
    char *bytes = fuzz_exact(data, len);
    size_t used = 0;
    do {
        size_t from = used;
        enum ws_event_kind kind;
        struct str content;
        const char *why;
        s->last = ws_event_next(&s->decoder, (struct str){bytes, len}, &used, &kind, &content, &why);
        FUZZ_ASSERT(used >= from && used <= len && (why != NULL) == (s->last == WS_EVENT_BAD));
        FUZZ_ASSERT(s->decoder.held.len <= s->decoder.max + 40);
        if (s->last == WS_EVENT_GOT)
            see_event(s, kind, content);
    } while (s->last == WS_EVENT_GOT);
    FUZZ_ASSERT(s->last != WS_EVENT_MORE || used == len);
    fuzz_give_back(bytes);
}

static struct story run(const uint8_t *data, size_t size, size_t max, uint64_t cuts)
{
    struct story s = {.last = WS_EVENT_MORE};
    ws_event_decoder_init(&s.decoder, max);
    for (size_t at = 0; at < size && s.last != WS_EVENT_BAD;) {
        size_t n = cuts == 0 ? size : 1 + (size_t)(fuzz_random(&cuts) % 16);
        n = n > size - at ? size - at : n;
        feed(&s, data + at, n);
        at += n;
    }
    return s;
}

static void story_free(struct story *s)
{
    ws_event_decoder_free(&s->decoder);
    buf_free(&s->events);
}

static void compare(const struct story *a, const struct story *b)
{
    FUZZ_ASSERT(a->last == b->last && str_eq(buf_str(&a->events), buf_str(&b->events)));
    FUZZ_ASSERT(ws_event_is_complete(&a->decoder) == ws_event_is_complete(&b->decoder));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t max = (size_t)data[1] * 4;
    struct story whole = run(data + 2, size - 2, max, 0);
    struct story pieces = run(data + 2, size - 2, max, 0x100u | data[0]);
    compare(&whole, &pieces);
    struct story again = run((const uint8_t *)whole.events.base, whole.events.len, max, 0x100u | data[0]);
    FUZZ_ASSERT(again.last == WS_EVENT_MORE && ws_event_is_complete(&again.decoder));
    FUZZ_ASSERT(str_eq(buf_str(&again.events), buf_str(&whole.events)));
    story_free(&whole);
    story_free(&pieces);
    story_free(&again);
    return 0;
}
