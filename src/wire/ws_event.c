/* SPDX-License-Identifier: MIT
 *
 * ws_event: see ws_event.h. What lies whole in the caller's bytes is handed on from there; only what is cut is copied.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/lexis.h"
#include "base/utf8.h"
#include "wire/ws_code.h"
#include "wire/ws_event.h"

/* a name, a blank, sixteen digits and the line end are less */
#define LINE_BYTES 40

static const char *const names[WS_EVENT_COUNT] = {
    [WS_EVENT_OPEN] = "OPEN",
    [WS_EVENT_TEXT] = "TEXT",
    [WS_EVENT_BINARY] = "BINARY",
    [WS_EVENT_PING] = "PING",
    [WS_EVENT_PONG] = "PONG",
    [WS_EVENT_CLOSE] = "CLOSE",
    [WS_EVENT_DISCONNECT] = "DISCONNECT",
};

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void put_size(struct buf *out, size_t size)
{
    buf_printf(out, " %zx\r\n", size);
}

void ws_event_put(struct buf *out, enum ws_event_kind kind, struct str content)
{
    assert((unsigned)kind < WS_EVENT_COUNT);
    assert(content.len == 0 || (kind != WS_EVENT_OPEN && kind != WS_EVENT_DISCONNECT));
    buf_append_z(out, names[kind]);
    if (content.len != 0 || kind == WS_EVENT_TEXT || kind == WS_EVENT_BINARY)
        put_size(out, content.len);
    buf_append_str(out, content);
    buf_append_str(out, STR("\r\n"));
}

void ws_event_put_close(struct buf *out, unsigned code, struct str reason)
{
    assert(code <= UINT16_MAX);
    if (code == 0) {
        ws_event_put(out, WS_EVENT_CLOSE, STR_NONE);
        return;
    }
    buf_append_z(out, names[WS_EVENT_CLOSE]);
    put_size(out, 2 + reason.len);
    buf_append_char(out, (char)(code >> 8));
    buf_append_char(out, (char)(code & 0xff));
    buf_append_str(out, reason);
    buf_append_str(out, STR("\r\n"));
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

bool ws_event_get_close(struct str content, unsigned *code_r, struct str *reason_r)
{
    *code_r = 0;
    *reason_r = STR_NONE;
    if (content.len < 2)
        return content.len == 0;
    const unsigned char *at = (const unsigned char *)content.base;
    *code_r = (unsigned)at[0] << 8 | at[1];
    *reason_r = (struct str){content.base + 2, content.len - 2};
    return ws_code_is_sendable(*code_r) && utf8_valid(reason_r->base, reason_r->len);
}

void ws_event_decoder_init(struct ws_event_decoder *d, size_t max)
{
    assert(max <= SIZE_MAX / 2);
    *d = (struct ws_event_decoder){.max = max};
}

void ws_event_decoder_free(struct ws_event_decoder *d)
{
    buf_free(&d->held);
}

bool ws_event_is_complete(const struct ws_event_decoder *d)
{
    return d->why == NULL && !d->in_content && (d->has_given || d->held.len == 0);
}

static enum ws_event_result broken(struct ws_event_decoder *d, const char *why)
{
    d->why = why;
    return WS_EVENT_BAD;
}

/* *run_r: n bytes, with those that are held in front, from there on in the decoder. false: they have not all come; those
 * that have are held. */
static bool take(struct ws_event_decoder *d, struct str bytes, size_t *used, size_t n, struct str *run_r)
{
    assert(d->held.len < n);
    size_t missing = n - d->held.len, rest = bytes.len - *used, taken = rest < missing ? rest : missing;
    struct str here = {bytes.base + *used, taken};
    *used += taken;
    if (taken == n) {
        *run_r = here;
        return true;
    }
    buf_append_str(&d->held, here);
    *run_r = buf_str(&d->held);
    return taken == missing;
}

static bool find_kind(struct str name, enum ws_event_kind *kind_r)
{
    for (unsigned kind = 0; kind < WS_EVENT_COUNT; kind++)
        if (str_eq(str_of(names[kind]), name)) {
            *kind_r = (enum ws_event_kind)kind;
            return true;
        }
    return false;
}

static size_t size_max(const struct ws_event_decoder *d)
{
    bool is_control = d->kind == WS_EVENT_PING || d->kind == WS_EVENT_PONG;
    return is_control && d->max > WS_CONTROL_MAX ? WS_CONTROL_MAX : d->max;
}

static enum ws_event_result read_size(struct ws_event_decoder *d, struct str digits)
{
    size_t size = 0, max = size_max(d);
    if (digits.len == 0 || !lexis_all(digits, LEXIS_HEX))
        return broken(d, "the size of an event is no hexadecimal number");
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.base[i];
        size_t digit = (size_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        if (size > max >> 4 || (size << 4 | digit) > max)
            return broken(d, "an event is over the limit");
        size = size << 4 | digit;
    }
    d->wanted = size + strlen("\r\n");
    d->in_content = true;
    return WS_EVENT_MORE;
}

/* GOT: an event without a size; MORE: its content comes next */
static enum ws_event_result read_line(struct ws_event_decoder *d, struct str line)
{
    const char *blank = memchr(line.base, ' ', line.len);
    size_t name_len = blank == NULL ? line.len : (size_t)(blank - line.base);
    if (!find_kind((struct str){line.base, name_len}, &d->kind))
        return broken(d, "an event has no known name");
    if (blank == NULL)
        return WS_EVENT_GOT;
    return read_size(d, (struct str){line.base + name_len + 1, line.len - name_len - 1});
}

static enum ws_event_result next_line(struct ws_event_decoder *d, struct str bytes, size_t *used)
{
    struct str line;
    size_t rest = bytes.len - *used, room = LINE_BYTES - d->held.len, sought = rest < room ? rest : room;
    const char *lf = sought == 0 ? NULL : memchr(bytes.base + *used, '\n', sought);
    if (lf == NULL && sought == room)
        return broken(d, "the line of an event is too long");
    if (!take(d, bytes, used, lf == NULL ? LINE_BYTES : d->held.len + (size_t)(lf - bytes.base) - *used + 1, &line))
        return WS_EVENT_MORE;
    if (line.len < 2 || line.base[line.len - 2] != '\r')
        return broken(d, "the line of an event does not end with CR LF");
    enum ws_event_result result = read_line(d, (struct str){line.base, line.len - 2});
    buf_clear(&d->held);
    return result;
}

static enum ws_event_result next_content(struct ws_event_decoder *d, struct str bytes, size_t *used,
                                         struct str *content_r)
{
    struct str run;
    if (!take(d, bytes, used, d->wanted, &run))
        return WS_EVENT_MORE;
    if (memcmp(run.base + run.len - 2, "\r\n", 2) != 0)
        return broken(d, "the content of an event is not followed by CR LF");
    *content_r = (struct str){run.base, run.len - 2};
    d->in_content = false;
    d->has_given = d->held.len != 0;
    return WS_EVENT_GOT;
}

static void drop_given(struct ws_event_decoder *d)
{
    if (d->has_given)
        buf_clear(&d->held);
    d->has_given = false;
}

enum ws_event_result ws_event_next(struct ws_event_decoder *d, struct str bytes, size_t *used,
                                   enum ws_event_kind *kind_r, struct str *content_r, const char **why_r)
{
    assert(*used <= bytes.len);
    enum ws_event_result result = d->why == NULL ? WS_EVENT_MORE : WS_EVENT_BAD;
    drop_given(d);
    *content_r = STR_NONE;
    bool has_bytes = *used != bytes.len;
    if (result == WS_EVENT_MORE && has_bytes && !d->in_content)
        result = next_line(d, bytes, used);
    if (result == WS_EVENT_MORE && has_bytes && d->in_content)
        result = next_content(d, bytes, used, content_r);
    *kind_r = d->kind;
    *why_r = d->why;
    return result;
}
