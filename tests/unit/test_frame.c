/* SPDX-License-Identifier: MIT
 *
 * test_frame: the native frames: what is written is read back, and whatever is not exactly a frame is garbage. Heads
 * are read from exact heap blocks, so that a sanitizer sees every read past them.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct frame_field two_fields[] = {{STR("x-a"), STR("1")}, {STR("host"), STR("h")}};

static struct frame_request request(void)
{
    return (struct frame_request){.timeout_us = 1500000,
                                  .method = STR("POST"),
                                  .path = STR("/hash"),
                                  .query = STR("a=b"),
                                  .scheme = STR("http"),
                                  .authority = STR("h"),
                                  .peer = STR("192.0.2.1"),
                                  .id = STR("r1"),
                                  .fields = two_fields,
                                  .nfields = 2};
}

static struct frame_response response(void)
{
    return (struct frame_response){.status = 200, .fields = two_fields, .nfields = 2, .content_length = 12};
}

/* the head part of the one frame in `out`, in a block of its own */
static char *head_of(const struct buf *out, size_t *len_r)
{
    struct frame f;
    assert_int_equal(frame_get(&f, out->base, out->len), 1);
    assert_int_equal(out->len, FRAME_HEAD_BYTES + f.head_len);
    char *head = malloc(f.head_len + 1);
    memcpy(head, out->base + FRAME_HEAD_BYTES, f.head_len);
    *len_r = f.head_len;
    return head;
}

static void assert_str(struct str got, struct str want)
{
    assert_true(str_eq(got, want));
}

static void assert_same_fields(const struct frame_field *fields, size_t n)
{
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_str(fields[i].name, two_fields[i].name);
        assert_str(fields[i].value, two_fields[i].value);
    }
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void a_request_is_read_back(void **state)
{
    struct buf out = {0};
    struct frame_request in = request(), got;
    frame_put_request(&out, 7, &in, 99);
    struct frame f;
    assert_int_equal(frame_get(&f, out.base, out.len), 1);
    assert_int_equal(f.type, FRAME_REQUEST);
    assert_int_equal(f.call, 7);
    assert_int_equal(f.body_len, 99);

    size_t len;
    char *head = head_of(&out, &len);
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_true(frame_get_request(&got, fields, head, len));
    assert_int_equal(got.timeout_us, in.timeout_us);
    assert_str(got.method, in.method);
    assert_str(got.path, in.path);
    assert_str(got.query, in.query);
    assert_str(got.scheme, in.scheme);
    assert_str(got.authority, in.authority);
    assert_str(got.peer, in.peer);
    assert_str(got.id, in.id);
    assert_same_fields(got.fields, got.nfields);
    free(head);
    buf_free(&out);
}

static struct frame_request message(void)
{
    struct frame_request r = request();
    r.kind = FRAME_WS_MESSAGE;
    r.opcode = 2;
    r.connection = STR("00c1");
    return r;
}

static bool survives(const struct frame_request *in, struct frame_request *got)
{
    static struct buf out;
    static struct frame_field fields[FRAME_FIELDS_MAX];
    buf_clear(&out);
    frame_put_request(&out, 1, in, 0);
    return frame_get_request(got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES);
}

static void a_websocket_message_is_read_back(void **state)
{
    struct frame_request in = message(), got;
    assert_true(survives(&in, &got));
    assert_int_equal(got.kind, FRAME_WS_MESSAGE);
    assert_int_equal(got.opcode, 2);
    assert_int_equal(got.close_code, 0);
    assert_str(got.connection, in.connection);
    assert_str(got.id, in.id);
    assert_same_fields(got.fields, got.nfields);
}

static void the_opening_and_the_end_of_a_websocket_are_read_back(void **state)
{
    struct frame_request in = request(), got;
    in.connection = STR("00c1");
    in.kind = FRAME_WS_OPEN;
    assert_true(survives(&in, &got));
    assert_int_equal(got.kind, FRAME_WS_OPEN);
    in.kind = FRAME_WS_CLOSE;
    in.close_code = 1006;
    assert_true(survives(&in, &got));
    assert_int_equal(got.kind, FRAME_WS_CLOSE);
    assert_int_equal(got.close_code, 1006);
}

static void what_does_not_go_with_the_kind_is_garbage(void **state)
{
    const struct {
        enum frame_kind kind;
        unsigned opcode, close_code;
        const char *connection;
    } bad[] = {
        {FRAME_KIND_COUNT, 0, 0, "c"},    {FRAME_HTTP, 0, 0, "c"},        {FRAME_HTTP, 1, 0, ""},
        {FRAME_HTTP, 0, 1000, ""},        {FRAME_WS_OPEN, 0, 0, ""},      {FRAME_WS_OPEN, 1, 0, "c"},
        {FRAME_WS_MESSAGE, 1, 0, ""},     {FRAME_WS_MESSAGE, 0, 0, "c"},  {FRAME_WS_MESSAGE, 3, 0, "c"},
        {FRAME_WS_MESSAGE, 1, 1000, "c"}, {FRAME_WS_CLOSE, 0, 0, "c"},    {FRAME_WS_CLOSE, 0, 999, "c"},
        {FRAME_WS_CLOSE, 0, 5000, "c"},   {FRAME_WS_CLOSE, 1, 1000, "c"}, {FRAME_WS_CLOSE, 0, 1000, ""},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct frame_request in = request(), got;
        in.kind = bad[i].kind;
        in.opcode = bad[i].opcode;
        in.close_code = bad[i].close_code;
        in.connection = str_of(bad[i].connection);
        if (survives(&in, &got))
            fail_msg("row %zu is taken", i);
    }
}

static void no_query_is_not_an_empty_query(void **state)
{
    const struct str queries[] = {STR_NONE, STR("")};
    for (size_t i = 0; i < COUNT(queries); i++) {
        struct buf out = {0};
        struct frame_request in = request(), got;
        in.query = queries[i];
        frame_put_request(&out, 1, &in, 0);
        size_t len;
        char *head = head_of(&out, &len);
        struct frame_field fields[FRAME_FIELDS_MAX];
        assert_true(frame_get_request(&got, fields, head, len));
        assert_int_equal(got.query.base == NULL, i == 0);
        assert_int_equal(got.query.len, 0);
        free(head);
        buf_free(&out);
    }
}

static void the_most_fields_are_read_back(void **state)
{
    static struct frame_field many[FRAME_FIELDS_MAX];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct frame_field){STR("n"), STR("v")};
    struct buf out = {0};
    struct frame_request in = request(), got;
    in.fields = many;
    in.nfields = COUNT(many);
    assert_true(frame_request_fits(&in));
    frame_put_request(&out, 1, &in, 0);
    size_t len;
    char *head = head_of(&out, &len);
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_true(frame_get_request(&got, fields, head, len));
    assert_int_equal(got.nfields, FRAME_FIELDS_MAX);
    in.nfields++;
    assert_false(frame_request_fits(&in));
    free(head);
    buf_free(&out);
}

static void a_request_head_cut_anywhere_is_garbage(void **state)
{
    struct buf out = {0};
    struct frame_request in = message(), got;
    frame_put_request(&out, 1, &in, 0);
    size_t len;
    char *head = head_of(&out, &len);
    struct frame_field fields[FRAME_FIELDS_MAX];
    for (size_t cut = 0; cut < len; cut++) {
        char *part = malloc(cut + 1);
        memcpy(part, head, cut);
        assert_false(frame_get_request(&got, fields, part, cut));
        free(part);
    }
    free(head);
    buf_free(&out);
}

static void a_request_head_with_bytes_left_over_is_garbage(void **state)
{
    struct buf out = {0};
    struct frame_request in = request(), got;
    frame_put_request(&out, 1, &in, 0);
    buf_append_char(&out, 'x');
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_false(frame_get_request(&got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
    buf_free(&out);
}

static void a_request_needs_method_and_path(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct buf out = {0};
        struct frame_request in = request(), got;
        *(i == 0 ? &in.method : &in.path) = STR_NONE;
        frame_put_request(&out, 1, &in, 0);
        struct frame_field fields[FRAME_FIELDS_MAX];
        assert_false(frame_get_request(&got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
        buf_free(&out);
    }
}

/* --- responses ---------------------------------------------------------------------------------------------------- */

static bool read_response(const struct frame_response *in, struct frame_response *got, struct frame_field *fields)
{
    static struct buf out;
    static char *head;
    buf_clear(&out);
    frame_put_response(&out, 1, in, 0, false);
    free(head);
    size_t len;
    head = head_of(&out, &len);
    return frame_get_response(got, fields, head, len);
}

static void a_response_is_read_back(void **state)
{
    struct frame_response in = response(), got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_true(read_response(&in, &got, fields));
    assert_int_equal(got.status, 200);
    assert_int_equal(got.content_length, 12);
    assert_same_fields(got.fields, got.nfields);
}

static void a_response_may_be_the_last_frame(void **state)
{
    struct buf out = {0};
    struct frame_response in = response();
    struct frame f;
    frame_put_response(&out, 3, &in, 5, true);
    assert_int_equal(frame_get(&f, out.base, out.len), 1);
    assert_int_equal(f.flags, FRAME_LAST);
    assert_int_equal(f.body_len, 5);
    buf_clear(&out);
    frame_put_response(&out, 3, &in, 5, false);
    assert_int_equal(frame_get(&f, out.base, out.len), 1);
    assert_int_equal(f.flags, 0);
    buf_free(&out);
}

static void names_are_lower_cased_on_the_way_out(void **state)
{
    const struct frame_field field = {STR("Content-TYPE"), STR("Text")};
    struct frame_response in = {.status = 200, .fields = &field, .nfields = 1, .content_length = -1}, got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_true(read_response(&in, &got, fields));
    assert_str(got.fields[0].name, STR("content-type"));
    assert_str(got.fields[0].value, STR("Text"));
}

static void hop_by_hop_and_framing_fields_of_a_worker_are_dropped(void **state)
{
    const struct frame_field sent[] = {{STR("connection"), STR("x")},
                                       {STR("content-length"), STR("1")},
                                       {STR("a"), STR("b")},
                                       {STR("transfer-encoding"), STR("chunked")},
                                       {STR("upgrade"), STR("websocket")},
                                       {STR("te"), STR("trailers")}};
    struct frame_response in = {.status = 200, .fields = sent, .nfields = COUNT(sent), .content_length = -1}, got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_true(read_response(&in, &got, fields));
    assert_int_equal(got.nfields, 1);
    assert_str(got.fields[0].name, STR("a"));
}

static const struct bad_field {
    const char *name;
    struct frame_field field;
} bad_fields[] = {
    {"empty name", {STR(""), STR("v")}},
    {"name with blank", {STR("a b"), STR("v")}},
    {"name with colon", {STR("a:"), STR("v")}},
    {"name with NUL", {STR("a\0b"), STR("v")}},
    {"name with CR LF", {STR("a\r\nb"), STR("v")}},
    {"name with high byte", {STR("\xe9"), STR("v")}},
    {"value with LF", {STR("a"), STR("v\nb: c")}},
    {"value with CR", {STR("a"), STR("v\rb")}},
    {"value with NUL", {STR("a"), STR("v\0")}},
    {"value with DEL", {STR("a"), STR("v\x7f")}},
    {"value with escape late", {STR("a"), STR("0123456789abcdef0123456789abcdef\x1b")}},
};

static void run_bad_field(void **state)
{
    const struct bad_field *c = *state;
    struct frame_response in = {.status = 200, .fields = &c->field, .nfields = 1, .content_length = -1}, got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_false(read_response(&in, &got, fields));
}

static void a_name_in_upper_case_from_a_foreign_writer_is_garbage(void **state)
{
    struct buf out = {0};
    struct frame_response in = response(), got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    frame_put_response(&out, 1, &in, 0, false);
    char *name = memmem(out.base, out.len, "x-a", 3);
    assert_non_null(name);
    assert_true(frame_get_response(&got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
    *name = 'X';
    assert_false(frame_get_response(&got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
    buf_free(&out);
}

static void a_status_out_of_range_is_garbage(void **state)
{
    const int statuses[] = {0, 100, 101, 199, 600, 1000, -1};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct frame_response in = response(), got;
        in.status = statuses[i];
        struct frame_field fields[FRAME_FIELDS_MAX];
        assert_false(read_response(&in, &got, fields));
    }
}

static void a_negative_length_is_garbage_and_an_unknown_one_is_not(void **state)
{
    struct frame_response in = response(), got;
    struct frame_field fields[FRAME_FIELDS_MAX];
    in.content_length = -1;
    assert_true(read_response(&in, &got, fields));
    assert_int_equal(got.content_length, -1);
    in.content_length = -2;
    assert_false(read_response(&in, &got, fields));
}

static void a_response_head_cut_anywhere_is_garbage(void **state)
{
    struct buf out = {0};
    struct frame_response in = response(), got;
    frame_put_response(&out, 1, &in, 0, false);
    struct frame_field fields[FRAME_FIELDS_MAX];
    size_t len = out.len - FRAME_HEAD_BYTES;
    for (size_t cut = 0; cut < len; cut++) {
        char *part = malloc(cut + 1);
        memcpy(part, out.base + FRAME_HEAD_BYTES, cut);
        assert_false(frame_get_response(&got, fields, part, cut));
        free(part);
    }
    buf_free(&out);
}

static void a_response_head_with_bytes_left_over_is_garbage(void **state)
{
    struct buf out = {0};
    struct frame_response in = response(), got;
    frame_put_response(&out, 1, &in, 0, false);
    buf_append_char(&out, 'x');
    struct frame_field fields[FRAME_FIELDS_MAX];
    assert_false(frame_get_response(&got, fields, out.base + FRAME_HEAD_BYTES, out.len - FRAME_HEAD_BYTES));
    buf_free(&out);
}

/* all empty, so that nothing but their number is wrong */
static void more_fields_than_there_is_room_for_are_garbage(void **state)
{
    struct buf out = {0};
    struct frame_request in = {.method = STR("GET"), .path = STR("/")}, got;
    frame_put_request(&out, 1, &in, 0);
    const uint32_t many = FRAME_FIELDS_MAX + 1;
    static char head[48 + 8 * (FRAME_FIELDS_MAX + 1) + 4];
    memcpy(head, out.base + FRAME_HEAD_BYTES, 48);
    memcpy(head + 40, &many, sizeof(many));
    memcpy(head + sizeof(head) - 4, "GET/", 4);
    static struct frame_field fields[FRAME_FIELDS_MAX + 1];
    assert_false(frame_get_request(&got, fields, head, sizeof(head)));
    buf_free(&out);
}

/* --- the other frames --------------------------------------------------------------------------------------------- */

static void small_frames_are_read_back(void **state)
{
    struct buf out = {0};
    frame_put_body(&out, 4, 1000);
    frame_put_end(&out, 4);
    frame_put_cancel(&out, 5);
    const struct frame want[] = {{FRAME_VERSION, FRAME_BODY, 0, 0, 1000, 4},
                                 {FRAME_VERSION, FRAME_END, FRAME_LAST, 0, 0, 4},
                                 {FRAME_VERSION, FRAME_CANCEL, 0, 0, 0, 5}};
    for (size_t i = 0; i < COUNT(want); i++) {
        struct frame f;
        assert_int_equal(frame_get(&f, out.base + i * FRAME_HEAD_BYTES, out.len - i * FRAME_HEAD_BYTES), 1);
        assert_memory_equal(&f, &want[i], sizeof(f));
    }
    buf_free(&out);
}

static void a_failure_carries_its_message_cut_to_the_limit(void **state)
{
    static char text[FRAME_FAIL_MAX + 10];
    memset(text, 'x', sizeof(text));
    struct buf out = {0};
    struct frame f;
    frame_put_fail(&out, 2, STR("no such table"));
    assert_int_equal(frame_get(&f, out.base, out.len), 1);
    assert_int_equal(f.type, FRAME_FAIL);
    assert_str((struct str){out.base + FRAME_HEAD_BYTES, f.head_len}, STR("no such table"));
    buf_clear(&out);
    frame_put_fail(&out, 2, (struct str){text, sizeof(text)});
    assert_int_equal(frame_get(&f, out.base, out.len), 1);
    assert_int_equal(f.head_len, FRAME_FAIL_MAX);
    buf_free(&out);
}

static void a_frame_needs_its_fixed_part(void **state)
{
    struct buf out = {0};
    frame_put_end(&out, 1);
    for (size_t len = 0; len < FRAME_HEAD_BYTES; len++) {
        struct frame f;
        assert_int_equal(frame_get(&f, out.base, len), 0);
    }
    buf_free(&out);
}

static void frames_follow_one_another_in_one_buffer(void **state)
{
    struct buf out = {0};
    struct frame_request in = request();
    frame_put_request(&out, 1, &in, 0);
    size_t first = out.len;
    frame_put_request(&out, 2, &in, 0);
    assert_int_equal(out.len, 2 * first);
    struct frame f;
    assert_int_equal(frame_get(&f, out.base + first, out.len - first), 1);
    assert_int_equal(f.call, 2);
    buf_free(&out);
}

static const struct bad_fixed {
    const char *name;
    struct frame frame;
} bad_fixed[] = {
    {"version 0", {0, FRAME_END, FRAME_LAST, 0, 0, 1}},
    {"version 1", {1, FRAME_END, FRAME_LAST, 0, 0, 1}},
    {"version 3", {3, FRAME_END, FRAME_LAST, 0, 0, 1}},
    {"type 0", {FRAME_VERSION, 0, 0, 0, 0, 1}},
    {"type between the directions", {FRAME_VERSION, 5, 0, 0, 0, 1}},
    {"type past the end", {FRAME_VERSION, FRAME_TYPE_END, 0, 0, 0, 1}},
    {"call 0", {FRAME_VERSION, FRAME_END, FRAME_LAST, 0, 0, 0}},
    {"request with flags", {FRAME_VERSION, FRAME_REQUEST, 1, 64, 0, 1}},
    {"request without head", {FRAME_VERSION, FRAME_REQUEST, 0, 47, 0, 1}},
    {"request head too long", {FRAME_VERSION, FRAME_REQUEST, 0, FRAME_HEAD_MAX + 1, 0, 1}},
    {"request body of 2^63", {FRAME_VERSION, FRAME_REQUEST, 0, 64, UINT64_C(1) << 63, 1}},
    {"response with unknown flag", {FRAME_VERSION, FRAME_HEAD, 2, 16, 0, 1}},
    {"response without head", {FRAME_VERSION, FRAME_HEAD, 0, 15, 0, 1}},
    {"response head too long", {FRAME_VERSION, FRAME_HEAD, 0, FRAME_HEAD_MAX + 1, 0, 1}},
    {"body with head", {FRAME_VERSION, FRAME_BODY, 0, 1, 10, 1}},
    {"body that is last", {FRAME_VERSION, FRAME_BODY, FRAME_LAST, 0, 10, 1}},
    {"body of 2^64 - 1", {FRAME_VERSION, FRAME_BODY, 0, 0, UINT64_MAX, 1}},
    {"end with body", {FRAME_VERSION, FRAME_END, FRAME_LAST, 0, 1, 1}},
    {"end with head", {FRAME_VERSION, FRAME_END, FRAME_LAST, 1, 0, 1}},
    {"end that is not last", {FRAME_VERSION, FRAME_END, 0, 0, 0, 1}},
    {"cancel with body", {FRAME_VERSION, FRAME_CANCEL, 0, 0, 1, 1}},
    {"cancel with flags", {FRAME_VERSION, FRAME_CANCEL, FRAME_LAST, 0, 0, 1}},
    {"failure with body", {FRAME_VERSION, FRAME_FAIL, FRAME_LAST, 1, 1, 1}},
    {"failure too long", {FRAME_VERSION, FRAME_FAIL, FRAME_LAST, FRAME_FAIL_MAX + 1, 0, 1}},
    {"failure that is not last", {FRAME_VERSION, FRAME_FAIL, 0, 1, 0, 1}},
};

static void run_bad_fixed(void **state)
{
    const struct bad_fixed *c = *state;
    struct frame f;
    assert_int_equal(frame_get(&f, (const char *)&c->frame, sizeof(c->frame)), -1);
}

int main(void)
{
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(a_request_is_read_back),
        cmocka_unit_test(a_websocket_message_is_read_back),
        cmocka_unit_test(the_opening_and_the_end_of_a_websocket_are_read_back),
        cmocka_unit_test(what_does_not_go_with_the_kind_is_garbage),
        cmocka_unit_test(no_query_is_not_an_empty_query),
        cmocka_unit_test(the_most_fields_are_read_back),
        cmocka_unit_test(a_request_head_cut_anywhere_is_garbage),
        cmocka_unit_test(a_request_head_with_bytes_left_over_is_garbage),
        cmocka_unit_test(a_request_needs_method_and_path),
        cmocka_unit_test(a_response_is_read_back),
        cmocka_unit_test(a_response_may_be_the_last_frame),
        cmocka_unit_test(names_are_lower_cased_on_the_way_out),
        cmocka_unit_test(hop_by_hop_and_framing_fields_of_a_worker_are_dropped),
        cmocka_unit_test(a_name_in_upper_case_from_a_foreign_writer_is_garbage),
        cmocka_unit_test(a_status_out_of_range_is_garbage),
        cmocka_unit_test(a_negative_length_is_garbage_and_an_unknown_one_is_not),
        cmocka_unit_test(a_response_head_cut_anywhere_is_garbage),
        cmocka_unit_test(a_response_head_with_bytes_left_over_is_garbage),
        cmocka_unit_test(more_fields_than_there_is_room_for_are_garbage),
        cmocka_unit_test(small_frames_are_read_back),
        cmocka_unit_test(a_failure_carries_its_message_cut_to_the_limit),
        cmocka_unit_test(a_frame_needs_its_fixed_part),
        cmocka_unit_test(frames_follow_one_another_in_one_buffer),
    };
    static struct CMUnitTest tests[COUNT(rest) + COUNT(bad_fields) + COUNT(bad_fixed)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(rest); i++)
        tests[n++] = rest[i];
    for (size_t i = 0; i < COUNT(bad_fields); i++)
        tests[n++] = (struct CMUnitTest){bad_fields[i].name, run_bad_field, NULL, NULL, (void *)&bad_fields[i]};
    for (size_t i = 0; i < COUNT(bad_fixed); i++)
        tests[n++] = (struct CMUnitTest){bad_fixed[i].name, run_bad_fixed, NULL, NULL, (void *)&bad_fixed[i]};
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
