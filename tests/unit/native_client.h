/* SPDX-License-Identifier: MIT
 *
 * native_client: the front's end of the native protocol, for tests: blocking, one connection at a time. What a worker
 * does wrong fails the test. One thread.
 */
#ifndef BULKHEAD_TESTS_NATIVE_CLIENT_H
#define BULKHEAD_TESTS_NATIVE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define NATIVE_NO_TIME_LIMIT INT64_MAX

struct native_answer {
    int status; /* 0: FAIL before any head */
    bool failed;
    unsigned frames;
    int64_t content_length;
    struct buf body, error;
};

void native_send(int fd, const char *bytes, size_t len);
void native_send_buf(int fd, struct buf *b);
void native_put_request(struct buf *out, uint64_t call, const char *path, const char *query, struct str body);
/* a WebSocket's text message */
void native_message(int fd, uint64_t call, const char *path, const char *query, struct str body);
void native_request(int fd, uint64_t call, const char *path, const char *query);
void native_cancel(int fd, uint64_t call);
struct native_answer native_read_answer(int fd, uint64_t call);
void native_answer_free(struct native_answer *a);
void native_assert_answer(int fd, uint64_t call, int status, const char *body);
void native_assert_failed(int fd, uint64_t call, const char *error);
void native_assert_closed(int fd);

#endif
