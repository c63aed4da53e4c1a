/* SPDX-License-Identifier: MIT
 *
 * test_ws: one end of a WebSocket connection, against a peer that writes and reads bytes: messages and their fragments,
 * what RFC 6455 forbids, holding back, backpressure, the ways to close, and time.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ws_rig.h"

#define SECOND 1000000ll
#define FIN    0x80u
#define TEXT   (FIN | WS_TEXT)
#define BINARY (FIN | WS_BINARY)
#define MORE   0u /* not the last of its message */
#define CLOSE  0x88u
#define PING   0x89u
#define PONG   0x8au

struct fixture {
    struct rig rig;
    struct ws_rig w;
};

static int setup_role(void **state, enum ws_role role, bool tcp)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    ws_rig_open(&f->w, &f->rig, role, tcp);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_role(state, WS_SERVER, false);
}

static int setup_tcp(void **state)
{
    return setup_role(state, WS_SERVER, true);
}

static int setup_tls(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    rig_init(&f->rig, 0);
    ws_rig_open_tls(&f->w, &f->rig, WS_SERVER);
    *state = f;
    return 0;
}

static int setup_client(void **state)
{
    return setup_role(state, WS_CLIENT, false);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ws_rig_free(&f->w);
    rig_destroy(&f->rig);
    free(f);
    return 0;
}

static struct ws_rig *rig_of(void **state)
{
    return &((struct fixture *)*state)->w;
}

static void expect_ending(struct ws_rig *w, unsigned code, enum ws_by by, const char *why)
{
    rig_until(w->rig, &w->closed);
    assert_int_equal(w->code, code);
    assert_int_equal(w->by, by);
    assert_string_equal(w->why, why);
}

static char *filled(size_t len, char c)
{
    char *text = mem_alloc(len + 1);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}

static void until(struct ws_rig *w, const int *count, int wanted)
{
    while (*count < wanted) {
        int before = *count;
        for (int turns = 0; *count == before; turns++) {
            if (turns > 1000)
                fail_msg("%d of %d came", *count, wanted);
            rig_turn(w->rig, 10);
        }
    }
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void echo(struct ws_rig *w)
{
    const char *line = strrchr(buf_z(&w->log), ' ') + 1;
    assert_true(ws_send(&w->ws, WS_TEXT, (struct str){(char *)line, strlen(line) - 1}));
}

static void test_a_message_comes_whole_and_an_answer_goes(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->at_data = echo;
    ws_rig_frame(w, TEXT, "hello");
    ws_rig_expect(w, TEXT, "hello");
    ws_rig_frame(w, BINARY, "");
    until(w, &w->messages, 2);
    ws_rig_expect_log(w, "text hello\nbinary \n");
    assert_int_equal(w->ws.count.messages_in, 2);
    assert_int_equal(w->ws.count.bytes_in, 5);
    assert_int_equal(w->ws.count.messages_out, 2);
    assert_int_equal(w->ws.count.bytes_out, 5);
}

static void test_bytes_may_come_one_by_one(void **state)
{
    struct ws_rig *w = rig_of(state);
    struct buf bytes = {0};
    char *big = filled(300, 'x');
    ws_rig_put(&bytes, WS_CLIENT, TEXT, "abc", 3);
    ws_rig_put(&bytes, WS_CLIENT, PING, "p", 1);
    ws_rig_put(&bytes, WS_CLIENT, TEXT, big, 300);
    ws_rig_put(&bytes, WS_CLIENT, CLOSE, "\x03\xe8gr\xc3\xbc\xc3\x9f", 8);
    for (size_t i = 0; i < bytes.len; i++) {
        ws_rig_write(w, bytes.base + i, 1);
        rig_turn(w->rig, 0);
        rig_turn(w->rig, 0);
    }
    ws_rig_expect(w, PONG, "p");
    ws_rig_expect_close(w, 1000, "");
    assert_int_equal(w->ws.count.bytes_in, 303);
    expect_ending(w, 1000, WS_BY_PEER, "the peer closed");
    assert_string_equal(w->reason, "gr\xc3\xbc\xc3\x9f");
    buf_free(&bytes);
    free(big);
}

static void test_fragments_make_one_message_and_let_pings_between_them(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, MORE | WS_TEXT, "one ");
    ws_rig_frame(w, PING, "now");
    ws_rig_frame(w, MORE, "");
    ws_rig_frame(w, MORE, "two \xe2\x82");
    ws_rig_expect(w, PONG, "now");
    assert_int_equal(w->messages, 0);
    ws_rig_frame(w, FIN, "\xac");
    ws_rig_frame(w, TEXT, "next");
    until(w, &w->messages, 2);
    ws_rig_expect_log(w, "text one two \xe2\x82\xac\ntext next\n");
}

static void test_a_message_of_one_byte_fragments_costs_no_more_than_its_bytes(void **state)
{
    struct ws_rig *w = rig_of(state);
    struct buf bytes = {0};
    for (int i = 0; i < 1000; i++)
        ws_rig_put(&bytes, WS_CLIENT, i == 0 ? MORE | WS_TEXT : MORE, "x", 1);
    ws_rig_write(w, bytes.base, bytes.len);
    rig_settle(w->rig);
    assert_int_equal(w->ws.message.len, 1000);
    assert_true(w->ws.message.capacity <= 2048);
    ws_rig_frame(w, FIN, "");
    until(w, &w->messages, 1);
    assert_int_equal(w->ws.count.bytes_in, 1000);
    buf_free(&bytes);
}

static void test_lengths_of_every_size_go_both_ways(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 4090, 4096, 65535, 65536, 200000};
    struct ws_rig *w = rig_of(state);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char *text = filled(sizes[i], 'x');
        struct buf frame = {0};
        struct str got;
        ws_rig_put(&frame, WS_CLIENT, TEXT, text, sizes[i]);
        for (size_t at = 0, n; at < frame.len; at += n) {
            n = frame.len - at < 50000 ? frame.len - at : 50000;
            ws_rig_write(w, frame.base + at, n);
            rig_settle(w->rig);
        }
        until(w, &w->messages, (int)i + 1);
        assert_true(ws_send(&w->ws, WS_BINARY, (struct str){text, sizes[i]}));
        assert_int_equal(ws_rig_read(w, &got), BINARY);
        assert_true(str_eq(got, (struct str){text, sizes[i]}));
        buf_free(&frame);
        free(text);
    }
    assert_int_equal(w->ws.count.bytes_in, w->ws.count.bytes_out);
}

static void test_a_client_masks_each_frame_anew(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(5000, 'x');
    struct str got;
    assert_true(ws_send(&w->ws, WS_TEXT, STR("same")));
    assert_true(ws_send(&w->ws, WS_TEXT, STR("same")));
    while (w->received.len < 20) {
        rig_turn(w->rig, 1);
        ssize_t n = recv(w->peer, buf_reserve(&w->received, 64), 64, 0);
        w->received.len += n > 0 ? (size_t)n : 0;
    }
    assert_memory_not_equal(w->received.base + 2, w->received.base + 12, 4);
    ws_rig_expect(w, TEXT, "same");
    ws_rig_expect(w, TEXT, "same");
    assert_true(ws_send(&w->ws, WS_TEXT, (struct str){text, 5000}));
    assert_int_equal(ws_rig_read(w, &got), TEXT);
    assert_memory_equal(got.base, text, 5000);
    ws_rig_frame(w, TEXT, "plain");
    until(w, &w->messages, 1);
    free(text);
}

static void test_what_is_no_utf8_is_not_sent_as_text(void **state)
{
    struct ws_rig *w = rig_of(state);
    assert_false(ws_send(&w->ws, WS_TEXT, STR("\xff")));
    assert_false(ws_send(&w->ws, WS_TEXT,
                         STR("12345678901234\xe2\x82"
                             "12345678")));
    assert_true(ws_send(&w->ws, WS_TEXT,
                        STR("123456789\xe2\x82\xac"
                            "1234567890")));
    ws_rig_expect(w, TEXT,
                  "123456789\xe2\x82\xac"
                  "1234567890");
    assert_true(ws_send(&w->ws, WS_BINARY, STR("\xff")));
    ws_rig_expect(w, BINARY, "\xff");
}

static void test_input_of_the_handshake_is_taken(void **state)
{
    struct fixture *f = *state;
    struct ws_rig w;
    struct buf bytes = {0};
    int fds[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    h2o_socket_t *sock = h2o_evloop_socket_create(f->rig.context.loop, fds[0], 0);
    char *big = filled(60000, 'x');
    ws_rig_put(&bytes, WS_CLIENT, TEXT, "early", 5);
    ws_rig_put(&bytes, WS_CLIENT, TEXT, big, 60000);
    bytes.len -= 3;
    memcpy(h2o_buffer_reserve(&sock->input, bytes.len).base, bytes.base, bytes.len);
    sock->input->size = bytes.len;
    ws_rig_adopt(&w, &f->rig, WS_SERVER, sock, fds[1]);
    assert_int_equal(w.messages, 0); /* never before ws_open returns */
    assert_true(ws_send(&w.ws, WS_TEXT, STR("first")));
    until(&w, &w.messages, 1);
    ws_rig_write(&w, bytes.base + bytes.len, 3);
    until(&w, &w.messages, 2);
    assert_int_equal(w.ws.count.bytes_in, 60005);
    ws_rig_expect(&w, TEXT, "first");
    ws_rig_free(&w);
    buf_free(&bytes);
    free(big);
}

/* ---- what is forbidden ------------------------------------------------------------------------------------------ */

struct wrong {
    const char *bytes;
    size_t len;
    unsigned code;
    const char *why;
};
#define WRONG(bytes, code, why)                                                                                        \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1, code, why                                                                            \
    }

static void refuses(struct fixture *f, enum ws_role role, const struct wrong *wrong)
{
    struct ws_rig w;
    ws_rig_open(&w, &f->rig, role, false);
    ws_rig_write(&w, wrong->bytes, wrong->len);
    ws_rig_write(&w, "\x81\x80....", 6); /* not taken any more */
    ws_rig_expect_close(&w, wrong->code, wrong->code == WS_CODE_NOT_TEXT && wrong->why[2] == 't' ? "" : wrong->why);
    ws_rig_expect_end(&w);
    ws_rig_peer_close(&w);
    expect_ending(&w, wrong->code, WS_BY_US, wrong->why);
    assert_int_equal(w.messages, 0);
    ws_rig_free(&w);
}

static void test_a_server_refuses_what_the_protocol_forbids(void **state)
{
    static const struct wrong table[] = {
        WRONG("\x81\x01x", 1002, "a frame of a client is not masked"),
        WRONG("\xc1\x80....", 1002, "a reserved bit of a frame is set"),
        WRONG("\xa1\x80....", 1002, "a reserved bit of a frame is set"),
        WRONG("\x91\x80....", 1002, "a reserved bit of a frame is set"),
        WRONG("\x83\x80....", 1002, "a frame has an unknown opcode"),
        WRONG("\x87\x80....", 1002, "a frame has an unknown opcode"),
        WRONG("\x8b\x80....", 1002, "a frame has an unknown opcode"),
        WRONG("\x8f\x80....", 1002, "a frame has an unknown opcode"),
        WRONG("\x09\x80....", 1002, "a control frame is fragmented"),
        WRONG("\x89\xfe", 1002, "a control frame is longer than 125 bytes"),
        WRONG("\x88\xfe", 1002, "a control frame is longer than 125 bytes"),
        WRONG("\x81\xfe\x00\x7d", 1002, "a frame's length is not written in the shortest way"),
        WRONG("\x81\xff\0\0\0\0\0\0\xff\xff", 1002, "a frame's length is not written in the shortest way"),
        WRONG("\x81\xff\x80\0\0\0\0\0\0\0", 1002, "a frame's length has its highest bit set"),
        WRONG("\x80\x80....", 1002, "a frame continues no message"),
        WRONG("\x01\x80....\x81\x80....", 1002, "a message begins within another"),
        WRONG("\x01\x80....\x01\x80....", 1002, "a message begins within another"),
        WRONG("\x88\x81\0\0\0\0x", 1002, "a close frame has half a code"),
        WRONG("\x88\x82\0\0\0\0\x03\xe7", 1002, "a close frame has a code that none may carry"),
        WRONG("\x88\x82\0\0\0\0\x03\xed", 1002, "a close frame has a code that none may carry"),
        WRONG("\x88\x82\0\0\0\0\x03\xee", 1002, "a close frame has a code that none may carry"),
        WRONG("\x88\x82\0\0\0\0\x03\xf7", 1002, "a close frame has a code that none may carry"),
        WRONG("\x88\x82\0\0\0\0\x13\x88", 1002, "a close frame has a code that none may carry"),
        WRONG("\x88\x84\0\0\0\0\x03\xe8\xc3\x28", 1007, "a close frame's reason is not UTF-8"),
        WRONG("\x81\x82\0\0\0\0\xc3\x28", 1007, "a text message is not UTF-8"),
        WRONG("\x81\x81\0\0\0\0\xc3", 1007, "a text message is not UTF-8"),
        WRONG("\x01\x81\0\0\0\0\xed\x80\x81\0\0\0\0\xa0", 1007, "a text message is not UTF-8"),
        WRONG("\x82\xff\0\0\0\0\0\x10\0\1....", 1009, "message over the limit"),
        WRONG("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff....", 1009, "message over the limit"),
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        refuses(*state, WS_SERVER, &table[i]);
}

static void test_a_client_refuses_masked_frames(void **state)
{
    refuses(*state, WS_CLIENT, &(struct wrong)WRONG("\x81\x81....x", 1002, "a frame of a server is masked"));
}

static void test_a_message_over_the_limit_is_refused_with_the_fragment_that_goes_past_it(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.max_message = 10;
    ws_rig_frame(w, TEXT, "0123456789");
    ws_rig_frame(w, MORE | WS_TEXT, "0123456789");
    until(w, &w->messages, 1);
    ws_rig_expect_nothing(w);
    ws_rig_frame(w, FIN, "x");
    ws_rig_expect_close(w, 1009, "message over the limit");
    ws_rig_expect_end(w);
    ws_rig_peer_close(w);
    expect_ending(w, 1009, WS_BY_US, "message over the limit");
}

static void test_a_relayed_message_is_limited_over_all_its_fragments(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.relay = true;
    w->options.max_message = 10;
    ws_rig_frame(w, MORE | WS_TEXT, "012345678");
    ws_rig_frame(w, MORE, "9");
    until(w, &w->pieces, 2);
    ws_rig_frame(w, MORE, "x");
    ws_rig_expect_close(w, 1009, "message over the limit");
}

static void test_text_that_is_no_utf8_ends_a_message_where_it_is_seen(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, MORE | WS_TEXT, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4");
    ws_rig_expect_nothing(w);
    ws_rig_frame(w, MORE, "\x90"); /* past U+10FFFF, though the character is not complete */
    ws_rig_expect_close(w, 1007, "");
}

/* ---- holding back ----------------------------------------------------------------------------------------------- */

static void hold(struct ws_rig *w)
{
    ws_hold(&w->ws);
}

static void test_a_held_connection_stops_before_the_next_data_frame(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->at_data = hold;
    ws_rig_frame(w, TEXT, "one");
    ws_rig_frame(w, PING, "before");
    ws_rig_frame(w, TEXT, "two");
    ws_rig_frame(w, PING, "behind");
    ws_rig_expect(w, PONG, "before");
    ws_rig_expect_nothing(w);
    ws_rig_expect_log(w, "text one\n");
    ws_release(&w->ws);
    assert_int_equal(w->messages, 1); /* never inside a function that the owner calls */
    ws_rig_expect(w, PONG, "behind");
    ws_rig_expect_log(w, "text one\ntext two\n");
    ws_rig_frame(w, PING, "more");
    ws_rig_expect(w, PONG, "more");
}

static void test_a_held_connection_does_not_read(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_hold(&w->ws);
    assert_true(ws_rig_flood(w, BINARY, 1000, 64 << 20) < 600 * 1024); /* what the kernel holds */
    assert_true(w->ws.sock->input->size <= WS_READ_BYTES);
    assert_int_equal(w->messages, 0);
}

static void test_a_release_in_the_callback_lets_the_next_come(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->at_data = hold;
    ws_hold(&w->ws);
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, "one");
    ws_rig_frame(w, TEXT, "two");
    rig_settle(w->rig);
    ws_release(&w->ws);
    until(w, &w->messages, 1);
    ws_release(&w->ws);
    until(w, &w->messages, 2);
}

static void test_holding_stops_within_a_frame_of_a_relayed_message(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(12000, 'x');
    w->options.relay = true;
    w->at_data = hold;
    ws_rig_frame(w, TEXT, text);
    until(w, &w->pieces, 1);
    size_t got = w->piece_bytes;
    assert_true(got > 0 && got <= 4096);
    rig_settle(w->rig);
    assert_int_equal(w->piece_bytes, got);
    w->at_data = NULL;
    ws_release(&w->ws);
    until(w, &w->messages, 1);
    assert_int_equal(w->piece_bytes, 12000);
    free(text);
}

static void test_a_held_connection_still_learns_of_the_close(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_hold(&w->ws);
    ws_rig_frame(w, CLOSE, "\x03\xe9");
    ws_rig_expect_close(w, 1001, "");
    expect_ending(w, 1001, WS_BY_PEER, "the peer closed");
}

static void test_closing_drops_what_was_held(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(10000, 'x');
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, text);
    ws_rig_frame(w, TEXT, "x");
    rig_settle(w->rig);
    ws_close(&w->ws, 1001, STR("bye"));
    ws_rig_expect_close(w, 1001, "bye");
    ws_rig_frame(w, TEXT, "y");
    ws_rig_frame(w, CLOSE, "\x03\xe9");
    ws_rig_expect_end(w);
    expect_ending(w, 1001, WS_BY_US, "we closed");
    assert_int_equal(w->messages, 0);
    free(text);
}

/* ---- backpressure ----------------------------------------------------------------------------------------------- */

static void echo_big(struct ws_rig *w)
{
    static char text[1000];
    if (ws_has_room(&w->ws))
        ws_send(&w->ws, WS_BINARY, (struct str){text, sizeof(text)});
    else
        ws_hold(&w->ws);
    assert_true(ws_unsent(&w->ws) <= w->options.max_unsent + 1000 + 128);
}

static void release(struct ws_rig *w)
{
    ws_release(&w->ws);
}

static void test_a_peer_that_never_reads_is_not_read_either(void **state)
{
    struct ws_rig *w = rig_of(state);
    struct str got;
    w->at_data = echo_big;
    w->at_room = release;
    assert_true(ws_rig_flood(w, BINARY, 1000, 64 << 20) < (size_t)(w->ssl != NULL ? 24 : 2) << 20);
    assert_false(ws_has_room(&w->ws));
    assert_false(w->ws.reading);
    assert_int_equal(w->rooms, 0);
    int before = w->messages;
    while (w->rooms == 0)
        assert_int_equal(ws_rig_read(w, &got), BINARY);
    assert_true(ws_has_room(&w->ws));
    for (int i = 0; w->messages == before && i < 1000; i++)
        rig_turn(w->rig, 10);
    assert_true(w->messages > before);
}

static void test_pings_of_a_peer_that_never_reads_cost_bounded_memory(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.control_rate = 0;
    assert_true(ws_rig_flood(w, PING, 0, 64 << 20) < 16 << 20);
    assert_true(ws_unsent(&w->ws) < 2 * w->options.max_unsent);
    assert_int_equal(w->closed, 0);
}

static void fill_up(struct ws_rig *w)
{
    char text[1000] = "";
    while (ws_has_room(&w->ws))
        ws_send(&w->ws, WS_BINARY, (struct str){text, sizeof(text)});
}

/* until nothing goes any more */
static void fill_kernel(struct ws_rig *w)
{
    uint64_t before;
    do {
        before = w->ws.taken;
        for (int i = 0; i < 20; i++) {
            fill_up(w);
            rig_turn(w->rig, 0);
        }
    } while (w->ws.taken != before);
}

static void test_a_producer_is_told_each_time_there_is_room(void **state)
{
    struct ws_rig *w = rig_of(state);
    struct str got;
    size_t bytes = 0;
    w->at_room = fill_up;
    fill_up(w);
    while (bytes < 8 << 20) {
        assert_int_equal(ws_rig_read(w, &got), BINARY);
        bytes += got.len;
        assert_true(ws_unsent(&w->ws) <= w->options.max_unsent + 1000 + 128);
    }
    assert_true(w->rooms > 10);
}

/* what is queued in a callback is not written before its end, so that room can go and come within it */
static void test_room_that_a_callback_used_up_comes_back(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.max_unsent = 1000;
    w->at_data = fill_up;
    ws_rig_frame(w, TEXT, "x");
    rig_until(w->rig, &w->rooms);
}

static void test_one_turn_writes_a_bounded_part_of_a_message(void **state)
{
    struct ws_rig *w = rig_of(state);
    size_t len = 8 << 20;
    char *text = filled(len, 'x');
    assert_return_code(setsockopt(h2o_socket_get_fd(w->ws.sock), SOL_SOCKET, SO_SNDBUF, &(int){4 << 20}, sizeof(int)),
                       0);
    assert_true(ws_send(&w->ws, WS_BINARY, (struct str){text, len}));
    assert_true(w->ws.taken > 0 && w->ws.taken <= 256 * 1024);
    uint64_t before = w->ws.taken;
    rig_turn(w->rig, 0);
    assert_true(w->ws.taken <= before + 256 * 1024);
    struct str got;
    assert_int_equal(ws_rig_read(w, &got), BINARY);
    assert_int_equal(got.len, len);
    free(text);
}

static void test_small_messages_of_one_turn_are_written_together(void **state)
{
    struct ws_rig *w = rig_of(state);
    assert_true(ws_send(&w->ws, WS_TEXT, STR("one")));
    uint64_t of_one = w->ws.taken;
    assert_true(of_one != 0);
    assert_true(ws_send(&w->ws, WS_TEXT, STR("two")));
    assert_true(ws_send(&w->ws, WS_TEXT, STR("six")));
    assert_int_equal(w->ws.taken, of_one);
    assert_true(ws_unsent(&w->ws) != 0);
    ws_rig_expect(w, TEXT, "one");
    ws_rig_expect(w, TEXT, "two");
    ws_rig_expect(w, TEXT, "six");
    assert_int_equal(ws_unsent(&w->ws), 0);
}

static void test_an_end_that_reads_when_full_answers_the_last_ping(void **state)
{
    struct ws_rig *w = rig_of(state);
    struct str got;
    w->options.reads_when_full = true;
    fill_up(w);
    ws_rig_frame(w, PING, "first");
    ws_rig_frame(w, PING, "last");
    ws_rig_frame(w, TEXT, "data");
    until(w, &w->messages, 1);
    assert_int_equal(w->rooms, 0);
    while (ws_rig_read(w, &got) == BINARY)
        ;
    assert_true(str_eq(got, STR("last")));
    ws_rig_expect_nothing(w);
    ws_rig_frame(w, PING, "now");
    ws_rig_expect(w, PONG, "now");
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static void test_pieces_make_a_fragmented_message(void **state)
{
    struct ws_rig *w = rig_of(state);
    assert_true(ws_send_piece(&w->ws, WS_TEXT, false, STR("one ")));
    ws_rig_expect(w, MORE | WS_TEXT, "one ");
    assert_int_equal(ws_unsent(&w->ws), 0);
    assert_true(ws_send_ping(&w->ws, false, STR("p")));
    ws_rig_expect(w, PING, "p");
    assert_true(ws_send_piece(&w->ws, WS_TEXT, false, STR("two")));
    ws_rig_expect(w, MORE, "two");
    assert_true(ws_send_piece(&w->ws, WS_TEXT, true, STR_NONE));
    ws_rig_expect(w, FIN, "");
    assert_true(ws_send_piece(&w->ws, WS_BINARY, true, STR("whole")));
    ws_rig_expect(w, BINARY, "whole");
    assert_int_equal(w->ws.count.messages_out, 2);
    assert_int_equal(w->ws.count.bytes_out, 12);
}

static void test_messages_in_pieces_wait_for_one_another(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(300000, 'x');
    size_t bytes = 0;
    struct str got;
    unsigned first;
    assert_true(ws_send_piece(&w->ws, WS_BINARY, false, (struct str){text, 300000}));
    assert_true(ws_send_piece(&w->ws, WS_BINARY, true, (struct str){text, 300000}));
    assert_true(ws_send_piece(&w->ws, WS_TEXT, false, STR("a")));
    assert_true(ws_send_piece(&w->ws, WS_TEXT, true, STR("b")));
    assert_true(ws_send(&w->ws, WS_TEXT, STR("c")));
    do {
        first = ws_rig_read(w, &got);
        assert_int_equal(first & 15, bytes == 0 ? WS_BINARY : 0);
        bytes += got.len;
    } while ((first & FIN) == 0);
    assert_int_equal(bytes, 600000);
    ws_rig_expect(w, TEXT, "ab");
    ws_rig_expect(w, TEXT, "c");
    free(text);
}

static void test_pieces_come_as_they_arrive(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.relay = true;
    ws_rig_frame(w, MORE | WS_TEXT, "");
    ws_rig_frame(w, MORE, "a");
    ws_rig_frame(w, PING, "");
    ws_rig_frame(w, FIN, "");
    ws_rig_frame(w, BINARY, "b");
    ws_rig_frame(w, TEXT, "");
    until(w, &w->messages, 3);
    ws_rig_expect_log(w, "piece first text a\npiece last text \npiece first last binary b\npiece first last text \n");
}

/* two connections, each relaying to the other: what a bridge is */
static const struct ws_events *plain_events;
static struct ws_events relaying;

static void relay_piece(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes)
{
    struct ws_rig *w = (struct ws_rig *)ws, *other = w->arg;
    plain_events->on_piece(ws, opcode, first, last, bytes);
    assert_true(ws_send_piece(&other->ws, opcode, last, bytes));
    if (!ws_has_room(&other->ws))
        ws_hold(ws);
    assert_true(ws_unsent(&other->ws) <= other->options.max_unsent + 4096 + 128);
}

static void relay_room(struct ws *ws)
{
    struct ws_rig *w = (struct ws_rig *)ws, *other = w->arg;
    plain_events->on_room(ws);
    ws_release(&other->ws);
}

static void test_a_message_far_larger_than_memory_is_relayed(void **state)
{
    struct fixture *f = *state;
    struct ws_rig *from = &f->w, to;
    struct buf bytes = {0};
    size_t len = 24 << 20, at = 0, got_bytes = 0;
    char *text = filled(len, 'x');
    struct str got;
    ws_rig_open(&to, &f->rig, WS_CLIENT, false);
    plain_events = from->ws.events;
    relaying = *plain_events;
    relaying.on_piece = relay_piece;
    relaying.on_room = relay_room;
    from->ws.events = to.ws.events = &relaying;
    from->arg = &to, to.arg = from;
    from->options.relay = to.options.relay = true;
    from->options.max_message = to.options.max_message = len;
    ws_rig_put(&bytes, WS_CLIENT, TEXT, text, len);
    for (unsigned first = 0; (first & FIN) == 0;) {
        ssize_t n = send(from->peer, bytes.base + at, bytes.len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        first = ws_rig_read(&to, &got);
        got_bytes += got.len;
    }
    assert_int_equal(got_bytes, len);
    ws_rig_frame(&to, TEXT, "and back");
    ws_rig_expect(from, TEXT, "and back");
    ws_rig_free(&to);
    from->ws.events = plain_events;
    buf_free(&bytes);
    free(text);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void test_the_peers_close_is_answered_with_its_code(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, TEXT, "x");
    ws_rig_frame(w, CLOSE, "\x03\xf4restart"); /* 1012, which wslay alone would refuse */
    ws_rig_frame(w, TEXT, "ignored");
    ws_rig_expect_close(w, 1012, "");
    ws_rig_expect_end(w);
    ws_rig_peer_close(w);
    expect_ending(w, 1012, WS_BY_PEER, "the peer closed");
    assert_string_equal(w->reason, "restart");
    ws_rig_expect_log(w, "text x\npeer close 1012 restart\n");
    assert_false(ws_send(&w->ws, WS_TEXT, STR("late")));
}

static void test_a_close_without_code_is_answered_without(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, CLOSE, "");
    ws_rig_expect_close(w, WS_CODE_NO_CODE, "");
    ws_rig_expect_end(w);
    expect_ending(w, WS_CODE_NO_CODE, WS_BY_PEER, "the peer closed");
}

static void test_what_is_queued_goes_before_the_answer_to_a_close(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(900000, 'x');
    struct str got;
    w->options.max_unsent = 1 << 20;
    assert_true(ws_send(&w->ws, WS_TEXT, (struct str){text, 900000}));
    assert_true(ws_send_piece(&w->ws, WS_TEXT, false, STR("half")));
    ws_rig_frame(w, CLOSE, "\x03\xe8");
    assert_int_equal(ws_rig_read(w, &got), TEXT);
    assert_int_equal(got.len, 900000);
    ws_rig_expect(w, MORE | WS_TEXT, "half");
    ws_rig_expect_close(w, 1000, "");
    expect_ending(w, 1000, WS_BY_PEER, "the peer closed");
    free(text);
}

static void test_our_close_goes_behind_what_is_queued_and_waits_for_the_answer(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(900000, 'x');
    struct str got;
    assert_true(ws_send(&w->ws, WS_TEXT, (struct str){text, 900000}));
    assert_true(ws_send(&w->ws, WS_TEXT, STR("behind")));
    ws_close(&w->ws, 4000, STR("done"));
    ws_close(&w->ws, 1011, STR("not this"));
    assert_true(ws_is_closing(&w->ws));
    assert_false(ws_send(&w->ws, WS_TEXT, STR("late")));
    assert_int_equal(ws_rig_read(w, &got), TEXT);
    ws_rig_expect(w, TEXT, "behind");
    ws_rig_expect_close(w, 4000, "done");
    ws_rig_frame(w, TEXT, "dropped");
    ws_rig_expect_nothing(w);
    assert_int_equal(w->closed, 0);
    ws_rig_frame(w, CLOSE, "\x0f\xa0");
    ws_rig_expect_end(w);
    expect_ending(w, 4000, WS_BY_US, "we closed");
    assert_string_equal(w->reason, "done");
    assert_int_equal(w->messages, 0);
    ws_rig_expect_log(w, ""); /* no word of the peer's close: we began */
    free(text);
}

static void test_a_close_that_nobody_answers_ends_in_time(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_close(&w->ws, WS_CODE_NO_CODE, STR("dropped"));
    ws_rig_expect_close(w, WS_CODE_NO_CODE, "");
    rig_skip(w->rig, 4 * SECOND);
    ws_rig_expect_nothing(w);
    assert_int_equal(w->closed, 0);
    rig_skip(w->rig, 2 * SECOND);
    ws_rig_expect_end(w);
    expect_ending(w, WS_CODE_NO_CODE, WS_BY_US, "we closed");
}

static void test_a_close_that_cannot_be_written_ends_in_time(void **state)
{
    struct ws_rig *w = rig_of(state);
    fill_up(w);
    ws_close(&w->ws, 1001, STR_NONE);
    rig_settle(w->rig);
    assert_int_equal(w->closed, 0);
    rig_skip(w->rig, 6 * SECOND);
    expect_ending(w, 1001, WS_BY_US, "we closed");
}

static void test_a_reason_is_cut_between_characters(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(200, 'x');
    memcpy(text + 121, "\xe2\x82\xac", 3);
    ws_close(&w->ws, 1000, str_of(text));
    text[121] = '\0';
    ws_rig_expect_close(w, 1000, text);
    free(text);
}

static void test_a_client_waits_for_the_server_to_end_the_connection(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, CLOSE, "\x03\xe8");
    ws_rig_expect_close(w, 1000, "");
    ws_rig_expect_nothing(w);
    assert_int_equal(w->closed, 0);
    ws_rig_peer_close(w);
    expect_ending(w, 1000, WS_BY_PEER, "the peer closed");
}

static void test_a_client_waits_only_so_long(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_close(&w->ws, 1000, STR_NONE);
    ws_rig_expect_close(w, 1000, "");
    ws_rig_frame(w, CLOSE, "\x03\xe8");
    rig_settle(w->rig);
    assert_int_equal(w->closed, 0);
    rig_skip(w->rig, 3 * SECOND);
    expect_ending(w, 1000, WS_BY_US, "we closed");
}

static void test_the_end_without_a_close_frame_is_1006(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, TEXT, "last");
    ws_rig_write(w, "\x81", 1);
    ws_rig_peer_close(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "the connection was closed without a close frame");
    ws_rig_expect_log(w, "text last\n");
}

static void test_a_reset_is_1006(void **state)
{
    struct ws_rig *w = rig_of(state);
    setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    ws_rig_peer_close(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "the connection was reset");
}

static void test_a_write_that_fails_is_1006(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, "x");
    rig_settle(w->rig);
    ws_rig_peer_close(w);
    ws_send(&w->ws, WS_TEXT, STR("y"));
    assert_int_equal(w->closed, 0); /* never inside a function that the owner calls */
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "the connection was closed without a close frame");
    assert_int_equal(w->messages, 0);
}

/* The peer closed and went; we wrote before we read. */
static void test_a_close_frame_is_read_though_writing_failed(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, "dropped");
    rig_settle(w->rig);
    ws_rig_frame(w, CLOSE, "\x03\xe9left");
    ws_rig_peer_close(w);
    ws_send(&w->ws, WS_TEXT, STR("y"));
    assert_true(ws_is_closing(&w->ws));
    expect_ending(w, 1001, WS_BY_PEER, "the peer closed");
    assert_string_equal(w->reason, "left");
}

/* What has to wait when writing fails is more than the beginning of a frame that reading goes on with. */
static void test_what_was_held_is_dropped_when_writing_fails(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(10000, 'x');
    ws_hold(&w->ws);
    ws_rig_frame(w, PING, "p");
    ws_rig_frame(w, TEXT, text);
    ws_rig_frame(w, CLOSE, "\x03\xe9left");
    ws_rig_peer_close(w);
    expect_ending(w, 1001, WS_BY_PEER, "the peer closed");
    assert_int_equal(w->messages, 0);
    free(text);
}

static void test_an_abort_says_nothing_and_comes_in_the_next_turn(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_abort(&w->ws);
    ws_abort(&w->ws);
    ws_close(&w->ws, 1000, STR_NONE);
    assert_int_equal(w->closed, 0);
    ws_rig_expect_end(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_US, "we broke the connection");
}

/* bytes that nobody reads must not turn the last words into a reset: TCP */
static void test_the_close_frame_reaches_a_peer_that_goes_on_sending(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(100000, 'x');
    ws_rig_write(w, "\x81\x01x", 3);
    ws_rig_write(w, text, 50000);
    for (int i = 0; i < 20; i++) {
        rig_turn(w->rig, 0);
        send(w->peer, text, 50000, MSG_NOSIGNAL);
    }
    ws_rig_expect_close(w, 1002, "a frame of a client is not masked");
    ws_rig_expect_end(w);
    assert_int_equal(w->closed, 0);
    ws_rig_peer_close(w);
    expect_ending(w, 1002, WS_BY_US, "a frame of a client is not masked");
    free(text);
}

static void test_a_peer_that_never_ends_is_left_in_time(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_write(w, "\x81\x01x", 3);
    ws_rig_expect_close(w, 1002, "a frame of a client is not masked");
    ws_rig_expect_end(w);
    rig_skip(w->rig, 3 * SECOND);
    expect_ending(w, 1002, WS_BY_US, "a frame of a client is not masked");
}

static void close_now(struct ws_rig *w)
{
    ws_send(&w->ws, WS_TEXT, STR("bye"));
    ws_close(&w->ws, 1000, STR_NONE);
}

static void test_a_callback_may_close(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->at_data = close_now;
    ws_rig_frame(w, TEXT, "one");
    ws_rig_frame(w, TEXT, "two");
    ws_rig_expect(w, TEXT, "bye");
    ws_rig_expect_close(w, 1000, "");
    ws_rig_expect_log(w, "text one\n");
}

static void abort_now(struct ws_rig *w)
{
    ws_send(&w->ws, WS_TEXT, STR("never"));
    ws_abort(&w->ws);
}

static void test_a_callback_may_abort(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->at_data = abort_now;
    w->options.relay = true;
    ws_rig_frame(w, MORE | WS_TEXT, "one");
    ws_rig_frame(w, FIN, "two");
    ws_rig_expect_end(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_US, "we broke the connection");
    ws_rig_expect_log(w, "piece first text one\n");
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void set_times(struct ws_rig *w)
{
    w->options.ping_interval_us = 20 * SECOND;
    w->options.pong_timeout_us = 10 * SECOND;
    ws_rig_frame(w, PONG, ""); /* time is taken from here */
    rig_settle(w->rig);
}

static void test_a_silent_peer_is_pinged_and_then_lost(void **state)
{
    struct ws_rig *w = rig_of(state);
    set_times(w);
    rig_skip(w->rig, 19 * SECOND);
    ws_rig_expect_nothing(w);
    rig_skip(w->rig, 2 * SECOND);
    ws_rig_expect(w, PING, "");
    rig_skip(w->rig, 9 * SECOND);
    ws_rig_expect_nothing(w);
    rig_skip(w->rig, 2 * SECOND);
    ws_rig_expect_end(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "no pong");
}

static void test_whatever_comes_shows_that_the_peer_is_there(void **state)
{
    struct ws_rig *w = rig_of(state);
    set_times(w);
    for (int i = 0; i < 5; i++) {
        rig_skip(w->rig, 21 * SECOND);
        ws_rig_expect(w, PING, "");
        ws_rig_frame(w, i % 2 ? PONG : TEXT, "");
        rig_settle(w->rig);
        rig_skip(w->rig, 19 * SECOND);
        ws_rig_expect_nothing(w);
    }
    ws_rig_write(w, "\x81", 1);
    rig_settle(w->rig);
    rig_skip(w->rig, 19 * SECOND);
    ws_rig_expect_nothing(w);
}

static void test_a_peer_that_may_not_speak_is_not_lost(void **state)
{
    struct ws_rig *w = rig_of(state);
    set_times(w);
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, "held");
    rig_settle(w->rig);
    for (int i = 0; i < 4; i++) {
        rig_skip(w->rig, 21 * SECOND);
        ws_rig_expect(w, PING, "");
        rig_skip(w->rig, 11 * SECOND);
        rig_settle(w->rig);
    }
    assert_int_equal(w->closed, 0);
    ws_release(&w->ws);
    until(w, &w->messages, 1);
    rig_skip(w->rig, 19 * SECOND);
    rig_settle(w->rig);
    assert_int_equal(w->closed, 0);
}

static void test_a_peer_that_takes_nothing_is_lost(void **state)
{
    struct ws_rig *w = rig_of(state);
    set_times(w);
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, "held");
    rig_settle(w->rig);
    fill_kernel(w);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(w->closed, 0);
        rig_skip(w->rig, 21 * SECOND);
        rig_settle(w->rig);
    }
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "the peer takes no bytes");
}

static void test_a_peer_that_takes_slowly_is_not_lost(void **state)
{
    struct ws_rig *w = rig_of(state);
    size_t some = 1 << 20; /* as much as moves TCP's window on a loopback */
    char *bytes = mem_zalloc(32 * some);
    set_times(w);
    assert_true(ws_send(&w->ws, WS_BINARY, (struct str){bytes, 32 * some}));
    rig_settle(w->rig);
    for (int i = 0; i < 8; i++) {
        rig_skip(w->rig, 11 * SECOND);
        assert_true(recv(w->peer, bytes, some, 0) > 0);
        for (int j = 0; j < 4; j++)
            rig_settle(w->rig);
        assert_false(w->ws.reading); /* else it could have been heard */
    }
    assert_int_equal(w->closed, 0);
    free(bytes);
}

static void test_an_idle_connection_is_closed(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.idle_timeout_us = 60 * SECOND;
    ws_rig_frame(w, TEXT, "x");
    until(w, &w->messages, 1);
    rig_skip(w->rig, 50 * SECOND);
    ws_rig_frame(w, PING, "");
    ws_rig_expect(w, PONG, "");
    assert_true(ws_send(&w->ws, WS_TEXT, STR("y")));
    ws_rig_expect(w, TEXT, "y");
    rig_skip(w->rig, 50 * SECOND);
    ws_rig_frame(w, PING, "");
    ws_rig_expect(w, PONG, "");
    rig_skip(w->rig, 11 * SECOND);
    ws_rig_expect_close(w, 1000, "idle");
    ws_rig_frame(w, CLOSE, "\x03\xe8");
    expect_ending(w, 1000, WS_BY_US, "idle");
}

static void test_a_held_connection_is_not_idle(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.idle_timeout_us = 60 * SECOND;
    w->at_data = hold;
    ws_rig_frame(w, TEXT, "x");
    until(w, &w->messages, 1);
    rig_skip(w->rig, 70 * SECOND);
    ws_rig_expect_nothing(w);
    ws_release(&w->ws);
    ws_rig_expect_nothing(w);
    rig_skip(w->rig, 61 * SECOND);
    ws_rig_expect_close(w, 1000, "idle");
}

static void test_control_frames_may_come_ten_seconds_worth_at_once(void **state)
{
    struct ws_rig *w = rig_of(state);
    for (int i = 0; i < 100; i++)
        ws_rig_frame(w, PING, "");
    for (int i = 0; i < 100; i++)
        ws_rig_expect(w, PONG, "");
    rig_skip(w->rig, SECOND);
    for (int i = 0; i < 10; i++)
        ws_rig_frame(w, i % 2 ? PONG : PING, "");
    for (int i = 0; i < 5; i++)
        ws_rig_expect(w, PONG, "");
    ws_rig_frame(w, PONG, "");
    ws_rig_frame(w, PONG, "");
    ws_rig_expect_close(w, 1008, "too many control frames");
    ws_rig_peer_close(w);
    expect_ending(w, 1008, WS_BY_US, "too many control frames");
}

static void test_answers_to_our_pings_are_not_limited(void **state)
{
    struct ws_rig *w = rig_of(state);
    w->options.control_rate = 1;
    for (int i = 0; i < 50; i++) {
        assert_true(ws_send_ping(&w->ws, false, STR("q")));
        ws_rig_expect(w, PING, "q");
        ws_rig_frame(w, PONG, "q");
    }
    ws_rig_expect_nothing(w);
    assert_true(ws_send_ping(&w->ws, true, STR("unasked")));
    ws_rig_expect(w, PONG, "unasked");
    assert_int_equal(w->closed, 0);
}

/* ---- TLS -------------------------------------------------------------------------------------------------------- */

static void count_close(void *counter)
{
    ++*(int *)counter;
}

static void test_tls_a_held_connection_reads_no_more_than_the_kernel_had(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_hold(&w->ws);
    ws_rig_flood(w, BINARY, 1000, 64 << 20);
    assert_int_equal(w->messages, 0);
    assert_true(w->ws.sock->input->capacity <= 512 * 1024);
    ws_release(&w->ws);
    until(w, &w->messages, 1);
}

static void test_tls_the_beginning_of_a_frame_keeps_little_memory(void **state)
{
    struct ws_rig *w = rig_of(state);
    char *text = filled(60000, 'x');
    ws_hold(&w->ws);
    ws_rig_frame(w, TEXT, text);
    ws_rig_write(w, "\x82", 1);
    while (w->ws.sock->input->size < 60000)
        rig_turn(w->rig, 10);
    ws_release(&w->ws);
    until(w, &w->messages, 1);
    assert_int_equal(w->ws.sock->input->size, 1);
    assert_true(w->ws.sock->input->capacity <= 2 * WS_READ_BYTES);
    free(text);
}

static void test_tls_an_abort_says_nothing(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_abort(&w->ws);
    ws_rig_expect_end(w);
    assert_int_equal(SSL_get_shutdown(w->ssl) & SSL_RECEIVED_SHUTDOWN, 0);
}

static void test_tls_one_turn_writes_a_bounded_part_of_a_message(void **state)
{
    struct ws_rig *w = rig_of(state);
    size_t len = 4 << 20;
    char *text = filled(len, 'x');
    struct str got;
    assert_true(ws_send(&w->ws, WS_BINARY, (struct str){text, len}));
    for (uint64_t i = 1; i < 4; i++) {
        rig_turn(w->rig, 0);
        assert_true(w->ws.taken <= i * 32 * 1024);
    }
    assert_int_equal(ws_rig_read(w, &got), BINARY);
    assert_int_equal(got.len, len);
    free(text);
}

static void test_tls_a_clean_close_ends_with_tlss_own(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_close(&w->ws, 1001, STR("bye"));
    ws_rig_expect_close(w, 1001, "bye");
    ws_rig_frame(w, CLOSE, "\x03\xe9");
    ws_rig_expect_end(w);
    assert_int_equal(SSL_get_shutdown(w->ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    expect_ending(w, 1001, WS_BY_US, "we closed");
}

/* The library would wait for ever for room for TLS's own goodbye. */
static void test_tls_a_peer_that_takes_nothing_cannot_keep_the_socket(void **state)
{
    struct ws_rig *w = rig_of(state);
    int sockets_closed = 0;
    w->ws.sock->on_close.cb = count_close;
    w->ws.sock->on_close.data = &sockets_closed;
    fill_kernel(w);
    ws_close(&w->ws, 1000, STR_NONE);
    rig_skip(w->rig, 6 * SECOND);
    expect_ending(w, 1000, WS_BY_US, "we closed");
    rig_until(w->rig, &sockets_closed);
}

static void test_tls_the_end_without_a_close_frame_is_1006(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, TEXT, "last");
    ws_rig_expect_nothing(w);
    ws_rig_peer_close(w);
    expect_ending(w, WS_CODE_LOST, WS_BY_NOBODY, "the connection was closed without a close frame");
    ws_rig_expect_log(w, "text last\n");
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void test_an_idle_connection_holds_nothing(void **state)
{
    struct ws_rig *w = rig_of(state);
    ws_rig_frame(w, TEXT, "x");
    ws_rig_frame(w, PING, "");
    ws_rig_expect(w, PONG, "");
    assert_true(ws_send(&w->ws, WS_TEXT, STR("y")));
    ws_rig_expect(w, TEXT, "y");
    assert_null(w->ws.context);
    assert_null(w->ws.message.base);
    assert_null(w->ws.out.base);
    assert_null(w->ws.sock->input->bytes);
    ws_rig_frame(w, MORE | WS_TEXT, "begun");
    rig_settle(w->rig);
    assert_non_null(w->ws.context);
    ws_rig_frame(w, FIN, "");
    until(w, &w->messages, 2);
    assert_null(w->ws.context);
    assert_true(sizeof(w->ws) <= 320);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(test_##name, set_up, teardown)

/* the same over TLS */
#define TEST_TLS(name)                                                                                                 \
    (struct CMUnitTest)                                                                                                \
    {                                                                                                                  \
        "over TLS: " #name, test_##name, setup_tls, teardown, NULL                                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_comes_whole_and_an_answer_goes, setup),
        TEST(bytes_may_come_one_by_one, setup),
        TEST(fragments_make_one_message_and_let_pings_between_them, setup),
        TEST(a_message_of_one_byte_fragments_costs_no_more_than_its_bytes, setup),
        TEST(lengths_of_every_size_go_both_ways, setup),
        TEST(a_client_masks_each_frame_anew, setup_client),
        TEST(what_is_no_utf8_is_not_sent_as_text, setup),
        TEST(input_of_the_handshake_is_taken, setup),
        TEST(a_server_refuses_what_the_protocol_forbids, setup),
        TEST(a_client_refuses_masked_frames, setup),
        TEST(a_message_over_the_limit_is_refused_with_the_fragment_that_goes_past_it, setup),
        TEST(a_relayed_message_is_limited_over_all_its_fragments, setup),
        TEST(text_that_is_no_utf8_ends_a_message_where_it_is_seen, setup),
        TEST(a_held_connection_stops_before_the_next_data_frame, setup),
        TEST(a_held_connection_does_not_read, setup),
        TEST(a_release_in_the_callback_lets_the_next_come, setup),
        TEST(holding_stops_within_a_frame_of_a_relayed_message, setup),
        TEST(a_held_connection_still_learns_of_the_close, setup),
        TEST(closing_drops_what_was_held, setup),
        TEST(a_peer_that_never_reads_is_not_read_either, setup),
        TEST(pings_of_a_peer_that_never_reads_cost_bounded_memory, setup),
        TEST(a_producer_is_told_each_time_there_is_room, setup),
        TEST(small_messages_of_one_turn_are_written_together, setup),
        TEST(an_end_that_reads_when_full_answers_the_last_ping, setup),
        TEST(room_that_a_callback_used_up_comes_back, setup),
        TEST(one_turn_writes_a_bounded_part_of_a_message, setup_tcp),
        TEST(pieces_make_a_fragmented_message, setup),
        TEST(messages_in_pieces_wait_for_one_another, setup),
        TEST(pieces_come_as_they_arrive, setup),
        TEST(a_message_far_larger_than_memory_is_relayed, setup),
        TEST(the_peers_close_is_answered_with_its_code, setup),
        TEST(a_close_without_code_is_answered_without, setup),
        TEST(what_is_queued_goes_before_the_answer_to_a_close, setup),
        TEST(our_close_goes_behind_what_is_queued_and_waits_for_the_answer, setup),
        TEST(a_close_that_nobody_answers_ends_in_time, setup),
        TEST(a_close_that_cannot_be_written_ends_in_time, setup),
        TEST(a_reason_is_cut_between_characters, setup),
        TEST(a_client_waits_for_the_server_to_end_the_connection, setup_client),
        TEST(a_client_waits_only_so_long, setup_client),
        TEST(the_end_without_a_close_frame_is_1006, setup),
        TEST(a_reset_is_1006, setup_tcp),
        TEST(a_write_that_fails_is_1006, setup),
        TEST(a_close_frame_is_read_though_writing_failed, setup),
        TEST(what_was_held_is_dropped_when_writing_fails, setup),
        TEST(an_abort_says_nothing_and_comes_in_the_next_turn, setup),
        TEST(the_close_frame_reaches_a_peer_that_goes_on_sending, setup_tcp),
        TEST(a_peer_that_never_ends_is_left_in_time, setup),
        TEST(a_callback_may_close, setup),
        TEST(a_callback_may_abort, setup),
        TEST(a_silent_peer_is_pinged_and_then_lost, setup),
        TEST(whatever_comes_shows_that_the_peer_is_there, setup),
        TEST(a_peer_that_may_not_speak_is_not_lost, setup),
        TEST(a_peer_that_takes_nothing_is_lost, setup),
        TEST(a_peer_that_takes_slowly_is_not_lost, setup_tcp),
        TEST(an_idle_connection_is_closed, setup),
        TEST(a_held_connection_is_not_idle, setup),
        TEST(control_frames_may_come_ten_seconds_worth_at_once, setup),
        TEST(answers_to_our_pings_are_not_limited, setup),
        TEST(an_idle_connection_holds_nothing, setup),
        TEST(tls_a_held_connection_reads_no_more_than_the_kernel_had, setup_tls),
        TEST(tls_the_beginning_of_a_frame_keeps_little_memory, setup_tls),
        TEST(tls_an_abort_says_nothing, setup_tls),
        TEST(tls_one_turn_writes_a_bounded_part_of_a_message, setup_tls),
        TEST(tls_a_clean_close_ends_with_tlss_own, setup_tls),
        TEST(tls_a_peer_that_takes_nothing_cannot_keep_the_socket, setup_tls),
        TEST(tls_the_end_without_a_close_frame_is_1006, setup_tls),
        TEST_TLS(a_message_comes_whole_and_an_answer_goes),
        TEST_TLS(bytes_may_come_one_by_one),
        TEST_TLS(lengths_of_every_size_go_both_ways),
        TEST_TLS(a_held_connection_stops_before_the_next_data_frame),
        TEST_TLS(a_peer_that_never_reads_is_not_read_either),
        TEST_TLS(a_producer_is_told_each_time_there_is_room),
        TEST_TLS(what_is_queued_goes_before_the_answer_to_a_close),
        TEST_TLS(our_close_goes_behind_what_is_queued_and_waits_for_the_answer),
        TEST_TLS(a_silent_peer_is_pinged_and_then_lost),
        TEST_TLS(a_peer_that_takes_nothing_is_lost),
        TEST_TLS(a_callback_may_abort),
        TEST_TLS(closing_drops_what_was_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
