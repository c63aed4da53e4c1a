/* SPDX-License-Identifier: MIT
 *
 * The channel to the front: keeps order when the other end is slow, and breaks instead of waiting or growing without
 * bound.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <ev.h>

#include "base/fd.h"
#include "supervisor/channel.h"

struct rig {
    struct ev_loop *loop;
    struct channel channel;
    int other;
    unsigned received;
    const char *broken;
};

static struct rig rig;

static void on_message(struct channel *c, const struct wire_control *m, int *fds, size_t nfds)
{
    rig.received++;
}

static void on_broken(struct channel *c, const char *why)
{
    rig.broken = why;
    channel_close(c);
}

static int set_up(void **state)
{
    int pair[2];
    rig = (struct rig){.loop = ev_loop_new(EVFLAG_AUTO)};
    assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    channel_init(&rig.channel, rig.loop, on_message, on_broken);
    channel_open(&rig.channel, pair[0]);
    rig.other = pair[1];
    return 0;
}

static int tear_down(void **state)
{
    channel_close(&rig.channel);
    fd_close(&rig.other);
    ev_loop_destroy(rig.loop);
    return 0;
}

static void send_numbers(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        channel_send(&rig.channel, &(struct wire_control){.type = WIRE_WORKER, .count = i, .text = STR("ready")}, -1);
}

/* the number that the next message carries; -1: there is none */
static int64_t next_number(int *fd_r)
{
    char bytes[WIRE_CONTROL_MAX];
    int fds[FD_PASS_MAX];
    size_t nfds;
    struct wire_control m;
    ssize_t len = fd_receive_message(rig.other, bytes, sizeof(bytes), fds, &nfds);
    if (len <= 0)
        return -1;
    assert_true(wire_control_decode(&m, bytes, (size_t)len));
    if (fd_r != NULL)
        *fd_r = nfds == 1 ? fds[0] : -1;
    return m.count;
}

static void a_slow_reader_gets_everything_in_order(void **state)
{
    const uint32_t many = 5000; /* several times what the socket holds */
    uint32_t expected = 0;
    send_numbers(0, many);
    assert_true(rig.channel.queued > 0);
    while (expected < many) {
        int64_t n = next_number(NULL);
        if (n == -1)
            ev_run(rig.loop, EVRUN_ONCE);
        else
            assert_int_equal(n, expected++);
    }
    assert_null(rig.broken);
    assert_int_equal(rig.channel.queued, 0);
    assert_int_equal(rig.channel.queued_bytes, 0);
}

static void a_queued_descriptor_arrives_though_its_owner_has_closed_it(void **state)
{
    int pipe_fds[2], arrived = -1;
    assert_return_code(pipe(pipe_fds), 0);
    send_numbers(0, 2000);
    channel_send(&rig.channel, &(struct wire_control){.type = WIRE_REOPEN, .count = 2000}, pipe_fds[1]);
    fd_close(&pipe_fds[1]);
    for (int64_t n = 0; n != 2000;) {
        n = next_number(&arrived);
        if (n == -1)
            ev_run(rig.loop, EVRUN_ONCE);
    }
    assert_int_equal(write(arrived, "x", 1), 1);
    fd_close(&arrived);
    fd_close(&pipe_fds[0]);
}

static void a_reader_that_never_reads_breaks_the_channel_but_not_within_the_call(void **state)
{
    send_numbers(0, 2 * CHANNEL_MESSAGES_MAX);
    assert_null(rig.broken);
    ev_run(rig.loop, EVRUN_ONCE);
    assert_string_equal(rig.broken, "too many messages wait for it");
    assert_int_equal(rig.channel.queued, 0);
    send_numbers(0, 10);
}

static void garbage_breaks_the_channel(void **state)
{
    assert_return_code(fd_send_message(rig.other, "garbage", 7, NULL, 0), 0);
    for (int i = 0; i < 3 && rig.broken == NULL; i++)
        ev_run(rig.loop, EVRUN_ONCE);
    assert_string_equal(rig.broken, "it sent a malformed message");
    assert_int_equal(rig.received, 0);
}

static void the_other_ends_end_breaks_the_channel_without_words(void **state)
{
    fd_close(&rig.other);
    for (int i = 0; i < 3 && rig.broken == NULL; i++)
        ev_run(rig.loop, EVRUN_ONCE);
    assert_string_equal(rig.broken, "");
}

static void descriptors_that_nobody_takes_are_closed(void **state)
{
    char bytes[WIRE_CONTROL_MAX], byte;
    int pipe_fds[2];
    size_t len = wire_control_encode(&(struct wire_control){.type = WIRE_HEARTBEAT}, bytes, sizeof(bytes));
    assert_return_code(pipe(pipe_fds), 0);
    assert_return_code(fd_send_message(rig.other, bytes, len, &pipe_fds[1], 1), 0);
    fd_close(&pipe_fds[1]);
    while (rig.received == 0)
        ev_run(rig.loop, EVRUN_ONCE);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
    fd_close(&pipe_fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slow_reader_gets_everything_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queued_descriptor_arrives_though_its_owner_has_closed_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_never_reads_breaks_the_channel_but_not_within_the_call, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(garbage_breaks_the_channel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_other_ends_end_breaks_the_channel_without_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_that_nobody_takes_are_closed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
