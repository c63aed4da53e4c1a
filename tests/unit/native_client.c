/* SPDX-License-Identifier: MIT
 *
 * native_client: see native_client.h.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "wire/frame.h"

#include "native_client.h"

#define ANSWER_ROOM (256 * 1024)

void native_send(int fd, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

void native_send_buf(int fd, struct buf *b)
{
    native_send(fd, b->base, b->len);
    buf_free(b);
}

void native_put_request(struct buf *out, uint64_t call, const char *path, const char *query, struct str body)
{
    const struct frame_field fields[] = {{STR("host"), STR("example.org")}, {STR("x-probe"), STR("1")}};
    const struct frame_request r = {.timeout_us = NATIVE_NO_TIME_LIMIT,
                                    .method = STR("GET"),
                                    .path = str_of(path),
                                    .query = str_of(query),
                                    .scheme = STR("http"),
                                    .authority = STR("example.org"),
                                    .peer = STR("192.0.2.1"),
                                    .id = STR("id"),
                                    .fields = fields,
                                    .nfields = 2};
    frame_put_request(out, call, &r, body.len);
    buf_append_str(out, body);
}

void native_request(int fd, uint64_t call, const char *path, const char *query)
{
    struct buf out = {0};
    native_put_request(&out, call, path, query, STR_NONE);
    native_send_buf(fd, &out);
}

void native_message(int fd, uint64_t call, const char *path, const char *query, struct str body)
{
    struct buf out = {0};
    const struct frame_field field = {STR("connection-id"), STR("00c1")};
    const struct frame_request r = {.timeout_us = NATIVE_NO_TIME_LIMIT,
                                    .kind = FRAME_WS_MESSAGE,
                                    .opcode = 1,
                                    .connection = STR("00c1"),
                                    .method = STR("POST"),
                                    .path = str_of(path),
                                    .query = str_of(query),
                                    .scheme = STR("http"),
                                    .authority = STR("example.org"),
                                    .peer = STR("192.0.2.1"),
                                    .id = STR("id"),
                                    .fields = &field,
                                    .nfields = 1};
    frame_put_request(&out, call, &r, body.len);
    buf_append_str(&out, body);
    native_send_buf(fd, &out);
}

void native_cancel(int fd, uint64_t call)
{
    struct buf out = {0};
    frame_put_cancel(&out, call);
    native_send_buf(fd, &out);
}

/* A whole frame at the start of b, reading as much as it takes; its bytes. */
static size_t read_frame(int fd, struct buf *b, struct frame *f)
{
    for (;;) {
        int got = frame_get(f, b->base, b->len);
        assert_true(got >= 0);
        if (got > 0 && b->len >= FRAME_HEAD_BYTES + f->head_len + f->body_len)
            return FRAME_HEAD_BYTES + f->head_len + (size_t)f->body_len;
        ssize_t n = recv(fd, buf_reserve(b, ANSWER_ROOM), ANSWER_ROOM, 0);
        assert_true(n > 0);
        b->len += (size_t)n;
    }
}

static void read_head(struct native_answer *a, const struct frame *f, const char *bytes)
{
    struct frame_field fields[FRAME_FIELDS_MAX];
    struct frame_response r;
    assert_true(frame_get_response(&r, fields, bytes + FRAME_HEAD_BYTES, f->head_len));
    a->status = r.status;
    a->content_length = r.content_length;
}

struct native_answer native_read_answer(int fd, uint64_t call)
{
    struct native_answer a = {0};
    struct buf b = {0};
    struct frame f;
    do {
        size_t bytes = read_frame(fd, &b, &f);
        if (f.call != call)
            fail_msg("an answer to call %llu instead of %llu", (unsigned long long)f.call, (unsigned long long)call);
        a.frames++;
        if (f.type == FRAME_HEAD)
            read_head(&a, &f, b.base);
        if (f.type == FRAME_FAIL) {
            a.failed = true;
            buf_append(&a.error, b.base + FRAME_HEAD_BYTES, f.head_len);
        }
        buf_append(&a.body, b.base + FRAME_HEAD_BYTES + f.head_len, (size_t)f.body_len);
        buf_consume(&b, bytes);
    } while ((f.flags & FRAME_LAST) == 0);
    assert_int_equal(b.len, 0);
    buf_free(&b);
    return a;
}

void native_answer_free(struct native_answer *a)
{
    buf_free(&a->body);
    buf_free(&a->error);
}

void native_assert_answer(int fd, uint64_t call, int status, const char *body)
{
    struct native_answer a = native_read_answer(fd, call);
    assert_false(a.failed);
    assert_int_equal(a.status, status);
    assert_string_equal(buf_z(&a.body), body);
    native_answer_free(&a);
}

void native_assert_failed(int fd, uint64_t call, const char *error)
{
    struct native_answer a = native_read_answer(fd, call);
    assert_true(a.failed);
    assert_string_equal(buf_z(&a.error), error);
    native_answer_free(&a);
}

/* a process that ends with bytes unread resets the connection */
void native_assert_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    if (n > 0 || (n < 0 && errno != ECONNRESET))
        fail_msg("the connection is not closed");
}
