/* SPDX-License-Identifier: MIT
 *
 * test_writer: lines through the writer thread to files, pipes that are read, read late or never, a terminal that stops
 * and a full disk. writer_stop is what the tests wait with. Meant to be run under ThreadSanitizer too.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "diag/writer.h"

#define RING 65536
#define MS   INT64_C(1000)

static int file_open(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_int_not_equal(fd, -1);
    return fd;
}

static char *content(int fd)
{
    char *text = fd_read_all(fd, 1 << 24, NULL);
    assert_non_null(text);
    return text;
}

static bool number_line(struct writer_ring *ring, const char *who, int number)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "%s %d\n", who, number);
    return writer_line(ring, line, (size_t)len);
}

static void test_lines_reach_the_file_in_order(void **state)
{
    int fd = file_open();
    struct writer *w = writer_start(fd, RING);
    struct writer_ring *ring = writer_ring_create(w);
    struct buf expected = {0};
    for (int i = 0; i < 1000; i++) {
        assert_true(number_line(ring, "line", i));
        buf_printf(&expected, "line %d\n", i);
    }
    writer_stop(&w);
    assert_null(w);
    char *text = content(fd);
    assert_string_equal(text, buf_z(&expected));
    free(text);
    buf_free(&expected);
    fd_close(&fd);
}

static void test_reserved_room_may_be_used_in_part(void **state)
{
    int fd = file_open();
    struct writer *w = writer_start(fd, RING);
    struct writer_ring *ring = writer_ring_create(w);
    memcpy(writer_reserve(ring, 4000), "short\n", 6);
    writer_commit(ring, 6);
    assert_non_null(writer_reserve(ring, 4000));
    writer_commit(ring, 0);
    assert_true(writer_line(ring, "next\n", 5));
    writer_stop(&w);
    char *text = content(fd);
    assert_string_equal(text, "short\nnext\n");
    free(text);
    fd_close(&fd);
}

static void test_an_idle_writer_wakes_for_one_line(void **state)
{
    int fds[2];
    char got[16];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct writer *w = writer_start(fds[1], RING);
    struct writer_ring *ring = writer_ring_create(w);
    for (int i = 0; i < 3; i++) {
        struct pollfd readable = {fds[0], POLLIN, 0};
        assert_true(writer_line(ring, "one\n", 4));
        assert_int_equal(poll(&readable, 1, 5000), 1);
        assert_int_equal(read(fds[0], got, sizeof(got)), 4);
    }
    writer_stop(&w);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

/* fills the ring and the pipe; returns how many lines were taken */
static int write_until_dropped(struct writer *w, struct writer_ring *ring)
{
    int taken = 0;
    int64_t give_up = clock_us() + 5000 * MS;
    while (writer_dropped(w) < 1000 && clock_us() < give_up)
        taken += number_line(ring, "line", taken);
    return taken;
}

static void test_a_pipe_that_nobody_reads_stops_nobody(void **state)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct writer *w = writer_start(fds[1], RING);
    struct writer_ring *ring = writer_ring_create(w);
    write_until_dropped(w, ring);
    assert_int_equal(writer_dropped(w), 1000);
    int64_t before = clock_us();
    writer_stop(&w);
    assert_true(clock_us() - before < 3000 * MS); /* a second, and what a busy machine adds */
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

/* reads up to and with the line of this number, all in order without a hole */
static void expect_lines(int fd, int count)
{
    FILE *in = fdopen(dup(fd), "r");
    char line[64], expected[64];
    assert_non_null(in);
    for (int i = 0; i < count; i++) {
        snprintf(expected, sizeof(expected), "line %d\n", i);
        assert_non_null(fgets(line, sizeof(line), in));
        assert_string_equal(line, expected);
    }
    fclose(in);
}

static void test_a_pipe_that_is_read_late_gets_every_line_that_was_taken(void **state)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct writer *w = writer_start(fds[1], RING);
    struct writer_ring *ring = writer_ring_create(w);
    int taken = write_until_dropped(w, ring);
    expect_lines(fds[0], taken);
    writer_stop(&w);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

/* A terminal says that it is writable and then blocks in the middle of a line. */
static void test_stop_leaves_a_thread_that_hangs_in_write(void **state)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_not_equal(terminal, -1);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    int fd = open(ptsname(terminal), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    assert_int_not_equal(fd, -1);
    struct writer *w = writer_start(fd, RING);
    struct writer_ring *ring = writer_ring_create(w);
    write_until_dropped(w, ring);
    int64_t before = clock_us();
    writer_stop(&w);
    assert_true(clock_us() - before < 3000 * MS); /* a second, and what a busy machine adds */
    fd_close(&fd);
    fd_close(&terminal);
}

static void test_a_full_disk_loses_lines_and_counts_them(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd == -1)
        skip();
    struct writer *w = writer_start(fd, RING);
    struct writer_ring *ring = writer_ring_create(w);
    for (int i = 0; i < 10; i++)
        assert_true(number_line(ring, "line", i));
    int64_t give_up = clock_us() + 5000 * MS;
    while (writer_dropped(w) < 10 && clock_us() < give_up)
        sched_yield();
    assert_int_equal(writer_dropped(w), 10);
    writer_stop(&w);
    fd_close(&fd);
}

static void test_a_reader_that_left_kills_nobody(void **state)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fd_close(&fds[0]);
    struct writer *w = writer_start(fds[1], RING);
    struct writer_ring *ring = writer_ring_create(w);
    assert_true(number_line(ring, "line", 0)); /* SIGPIPE would end this program */
    writer_stop(&w);
    fd_close(&fds[1]);
}

static void test_rotation_needs_no_open_descriptor_of_the_caller(void **state)
{
    int before = file_open(), after = file_open(), closed = dup(after);
    struct writer *w = writer_start(before, RING);
    struct writer_ring *ring = writer_ring_create(w);
    assert_true(writer_set_fd(w, closed));
    fd_close(&closed);
    assert_true(number_line(ring, "line", 0));
    writer_stop(&w);
    char *text = content(after);
    assert_string_equal(text, "line 0\n");
    free(text);
    fd_close(&before);
    fd_close(&after);
}

static void test_rotation_frees_lines_that_wait_for_a_full_pipe(void **state)
{
    int fds[2], after = file_open();
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct writer *w = writer_start(fds[1], RING);
    struct writer_ring *ring = writer_ring_create(w);
    int taken = write_until_dropped(w, ring);
    assert_true(writer_set_fd(w, after));
    writer_stop(&w);
    char *text = content(after), last[64];
    snprintf(last, sizeof(last), "\nline %d\n", taken - 1);
    assert_non_null(strstr(text, last));
    free(text);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    fd_close(&after);
}

/* --- several producers ------------------------------------------------------------------------------------------- */

#define PRODUCERS 3
#define LINES     30000

struct producer {
    struct writer *writer;
    pthread_t thread;
    char name[16];
    int taken;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct writer_ring *ring = writer_ring_create(p->writer);
    for (int i = 0; i < LINES; i++)
        p->taken += number_line(ring, p->name, i);
    return NULL;
}

struct reader {
    int fd;
    int seen[PRODUCERS], last[PRODUCERS];
    bool broken;
};

/* every line whole, and the numbers of each producer ascending */
static void *read_lines(void *arg)
{
    struct reader *r = arg;
    FILE *in = fdopen(r->fd, "r");
    char line[64];
    while (fgets(line, sizeof(line), in) != NULL) {
        unsigned who;
        int number;
        char newline;
        if (sscanf(line, "p%u %d%c", &who, &number, &newline) != 3 || who >= PRODUCERS || newline != '\n' ||
            (r->seen[who] != 0 && number <= r->last[who])) {
            r->broken = true;
            continue;
        }
        r->seen[who]++;
        r->last[who] = number;
    }
    fclose(in);
    return NULL;
}

static void test_several_producers_share_a_pipe(void **state)
{
    int fds[2];
    pthread_t reading;
    struct producer producers[PRODUCERS] = {0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct reader reader = {.fd = fds[0]};
    struct writer *w = writer_start(fds[1], RING);
    assert_int_equal(pthread_create(&reading, NULL, read_lines, &reader), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i].writer = w;
        snprintf(producers[i].name, sizeof(producers[i].name), "p%d", i);
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    int taken = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        taken += producers[i].taken;
    }
    assert_int_equal(taken + (int)writer_dropped(w), PRODUCERS * LINES);
    writer_stop(&w);
    fd_close(&fds[1]);
    pthread_join(reading, NULL);
    assert_false(reader.broken);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(reader.seen[i], producers[i].taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_reach_the_file_in_order),
        cmocka_unit_test(test_reserved_room_may_be_used_in_part),
        cmocka_unit_test(test_an_idle_writer_wakes_for_one_line),
        cmocka_unit_test(test_a_pipe_that_nobody_reads_stops_nobody),
        cmocka_unit_test(test_a_pipe_that_is_read_late_gets_every_line_that_was_taken),
        cmocka_unit_test(test_stop_leaves_a_thread_that_hangs_in_write),
        cmocka_unit_test(test_a_full_disk_loses_lines_and_counts_them),
        cmocka_unit_test(test_a_reader_that_left_kills_nobody),
        cmocka_unit_test(test_rotation_needs_no_open_descriptor_of_the_caller),
        cmocka_unit_test(test_rotation_frees_lines_that_wait_for_a_full_pipe),
        cmocka_unit_test(test_several_producers_share_a_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
