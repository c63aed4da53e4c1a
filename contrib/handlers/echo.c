/* SPDX-License-Identifier: MIT
 *
 * echo: shows what arrives, and misbehaves on request: for trying out a set-up and for tests.
 *
 * Options: none.
 * Answer:  200, JSON: method, path, query, scheme, authority, peer, id, parameters, headers, body.
 * Query:   header=name:value      an additional response field; may be repeated
 *          status=N               this status instead of 200
 *          size=N                 a body of N bytes 'x' instead, in pieces of piece=N bytes (8192); announce=1 with its length
 *          leak=N                 N bytes are allocated, used and forgotten before the answer
 *          fail                   an error is returned instead of an answer
 *          nothing                0 is returned without an answer
 *          half                   a body of 200,000 bytes is announced, and half of it is written
 *          crash=segv|abort|exit  the process ends in that way
 * On a WebSocket a message is sent back as it came, text as text and binary as binary. All of the above holds for it,
 * with the query of the handshake, and:
 *          times=N                N times instead of once
 *          close=N                the connection is closed behind that, with code N
 * Who opens a connection is let in, with the fields of header=, unless status=N says otherwise.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/handler.h>

#define PIECE_MAX 65536
#define HALF_OF   200000

static long number(struct bulkhead_call *call, const char *name, long fallback)
{
    const char *text = bulkhead_query_value(call, name, NULL);
    return text == NULL ? fallback : strtol(text, NULL, 10);
}

static bool is_asked(struct bulkhead_call *call, const char *name)
{
    return bulkhead_query_value(call, name, NULL) != NULL;
}

/* ---- misbehaviour ----------------------------------------------------------------------------------------------- */

static void crash(const char *how)
{
    if (strcmp(how, "segv") == 0)
        raise(SIGSEGV);
    else if (strcmp(how, "exit") == 0)
        _Exit(3);
    else
        abort();
}

static void leak(size_t bytes)
{
    volatile char *lost = malloc(bytes); /* volatile: the compiler must not see that it is of no use */
    for (size_t i = 0; lost != NULL && i < bytes; i += 4096)
        lost[i] = 'l';
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static bool write_filler(struct bulkhead_call *call, long size, long piece)
{
    char filler[PIECE_MAX];
    memset(filler, 'x', sizeof(filler));
    for (long left = size; left > 0; left -= piece)
        if (!bulkhead_write(call, filler, (size_t)(left < piece ? left : piece)))
            return false;
    return true;
}

static int answer_size(struct bulkhead_call *call)
{
    long size = number(call, "size", 0), piece = number(call, "piece", 8192);
    if (size < 0 || piece < 1 || piece > PIECE_MAX)
        return bulkhead_answer(call, 400, "text/plain", "size: from 0; piece: 1 to 65536\n", 32);
    if (number(call, "announce", 0) == 1)
        bulkhead_content_length(call, (uint64_t)size);
    bulkhead_set_header(call, "content-type", "application/octet-stream");
    return write_filler(call, size, piece) ? 0 : -1;
}

static int answer_half(struct bulkhead_call *call)
{
    bulkhead_content_length(call, HALF_OF);
    write_filler(call, HALF_OF / 2, PIECE_MAX);
    bulkhead_flush(call);
    return 0;
}

static void write_member(struct bulkhead_call *call, const char *before, const char *name, const char *value)
{
    bulkhead_printf(call, "%s\"%s\":", before, name);
    if (value == NULL)
        bulkhead_printf(call, "null");
    else
        bulkhead_write_json(call, value, strlen(value));
}

static void write_parameters(struct bulkhead_call *call)
{
    const char *name, *value, *before = "";
    size_t cursor = 0, length;
    bulkhead_printf(call, ",\"parameters\":[");
    while (bulkhead_query_next(call, &cursor, &name, &value, &length)) {
        bulkhead_printf(call, "%s[", before);
        bulkhead_write_json(call, name, strlen(name));
        bulkhead_printf(call, ",");
        bulkhead_write_json(call, value, length);
        bulkhead_printf(call, "]");
        before = ",";
    }
    bulkhead_printf(call, "]");
}

static void write_headers(struct bulkhead_call *call)
{
    const char *name, *value;
    bulkhead_printf(call, ",\"headers\":[");
    for (size_t i = 0; bulkhead_header_at(call, i, &name, &value); i++) {
        bulkhead_printf(call, "%s[", i == 0 ? "" : ",");
        bulkhead_write_json(call, name, strlen(name));
        bulkhead_printf(call, ",");
        bulkhead_write_json(call, value, strlen(value));
        bulkhead_printf(call, "]");
    }
    bulkhead_printf(call, "]");
}

static int answer_request(struct bulkhead_call *call)
{
    size_t length;
    const char *body = bulkhead_body(call, &length);
    bulkhead_set_header(call, "content-type", "application/json");
    write_member(call, "{", "method", bulkhead_method(call));
    write_member(call, ",", "path", bulkhead_path(call));
    write_member(call, ",", "query", bulkhead_query(call));
    write_member(call, ",", "scheme", bulkhead_scheme(call));
    write_member(call, ",", "authority", bulkhead_authority(call));
    write_member(call, ",", "peer", bulkhead_peer(call));
    write_member(call, ",", "id", bulkhead_request_id(call));
    write_parameters(call);
    write_headers(call);
    bulkhead_printf(call, ",\"body\":");
    bulkhead_write_json(call, body, length);
    return bulkhead_printf(call, "}\n") ? 0 : -1;
}

static int send_back(struct bulkhead_call *call, enum bulkhead_opcode opcode, const char *message, size_t length)
{
    long code = number(call, "close", 0);
    for (long left = number(call, "times", 1); left > 0; left--)
        if (!bulkhead_send(call, opcode, message, length))
            return -1;
    return code == 0 || bulkhead_close(call, (int)code, NULL) ? 0 : -1;
}

static int answer_message(struct bulkhead_call *call)
{
    size_t length;
    const char *message = bulkhead_body(call, &length);
    enum bulkhead_opcode opcode = bulkhead_opcode(call);
    /* the cheapest reply is a body, but an empty one is none */
    if (length == 0 || is_asked(call, "times") || is_asked(call, "close"))
        return send_back(call, opcode, message, length);
    bulkhead_set_header(call, "content-type",
                        opcode == BULKHEAD_TEXT ? "text/plain; charset=utf-8" : "application/octet-stream");
    return bulkhead_write(call, message, length) ? 0 : -1;
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

/* "name:value", as often as it is there */
static void add_headers(struct bulkhead_call *call)
{
    const char *name, *value;
    for (size_t cursor = 0; bulkhead_query_next(call, &cursor, &name, &value, NULL);) {
        const char *colon = strchr(value, ':');
        if (strcmp(name, "header") == 0 && colon != NULL)
            bulkhead_add_header(call, bulkhead_format(call, "%.*s", (int)(colon - value), value), colon + 1);
    }
}

static int answer(struct bulkhead_call *call)
{
    return bulkhead_kind(call) == BULKHEAD_MESSAGE ? answer_message(call) : answer_request(call);
}

static void set_head(struct bulkhead_call *call)
{
    if (is_asked(call, "status"))
        bulkhead_status(call, (int)number(call, "status", 200));
    add_headers(call);
}

static int echo_handle(struct bulkhead_call *call, void *state)
{
    (void)state;
    if (bulkhead_kind(call) == BULKHEAD_CLOSE)
        return 0;
    if (bulkhead_kind(call) == BULKHEAD_OPEN) {
        set_head(call);
        return 0;
    }
    if (bulkhead_query(call) == NULL)
        return answer(call);
    if (is_asked(call, "crash"))
        crash(bulkhead_query_value(call, "crash", NULL));
    if (is_asked(call, "leak"))
        leak((size_t)number(call, "leak", 0));
    if (is_asked(call, "nothing"))
        return 0;
    if (is_asked(call, "fail"))
        return bulkhead_failed(call, "failed as it was told to");
    if (is_asked(call, "half"))
        return answer_half(call);
    set_head(call);
    return is_asked(call, "size") ? answer_size(call) : answer(call);
}

BULKHEAD_HANDLER(.name = "echo", .handle = echo_handle);
