/* SPDX-License-Identifier: MIT
 *
 * test_fd: descriptors over a socket pair: they arrive, they are close-on-exec, and a message that does not fit leaves
 * none of them open. And reading what a descriptor holds.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static int pair[2];

static int set_up(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int tear_down(void **state)
{
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    return 0;
}

static int open_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static bool same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void test_close_nulls_and_keeps_errno(void **state)
{
    int fd = dup(pair[0]);
    errno = ENOENT;
    fd_close(&fd);
    assert_int_equal(fd, -1);
    fd_close(&fd);
    assert_int_equal(errno, ENOENT);
}

static void test_flags(void **state)
{
    int fd = pair[0];
    assert_true(fd_set_cloexec(fd, false));
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_true(fd_set_cloexec(fd, true));
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(fd_set_nonblocking(fd, false));
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_true(fd_set_nonblocking(fd, true));
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_false(fd_set_cloexec(-1, true));
    assert_false(fd_set_nonblocking(-1, true));
}

static void test_a_message_without_descriptors(void **state)
{
    char got[16];
    int fds[FD_PASS_MAX];
    size_t nfds = 99;
    assert_int_equal(fd_send_message(pair[0], "hello", 5, NULL, 0), 5);
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(nfds, 0);
}

static void test_descriptors_arrive_in_order_and_close_on_exec(void **state)
{
    char got[16];
    int sent[FD_PASS_MAX], fds[FD_PASS_MAX];
    size_t nfds;
    int before = open_fds();
    for (int i = 0; i < FD_PASS_MAX; i++)
        sent[i] = fd_memory("passed", "x", 1);
    assert_int_equal(fd_send_message(pair[0], "m", 1, sent, FD_PASS_MAX), 1);
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), 1);
    assert_int_equal(nfds, FD_PASS_MAX);
    for (int i = 0; i < FD_PASS_MAX; i++) {
        assert_true(same_file(sent[i], fds[i]));
        assert_int_equal(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        fd_close(&sent[i]);
        fd_close(&fds[i]);
    }
    assert_int_equal(open_fds(), before);
}

static void test_an_oversize_message_is_refused_and_leaks_nothing(void **state)
{
    char got[4];
    int fds[FD_PASS_MAX], sent[2] = {dup(pair[0]), dup(pair[0])};
    size_t nfds = 99;
    assert_int_equal(fd_send_message(pair[0], "too long", 8, sent, 2), 8);
    fd_close(&sent[0]);
    fd_close(&sent[1]);
    int before = open_fds();
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(nfds, 0);
    assert_int_equal(open_fds(), before);
}

/* what fd_send_message would not send, a stranger may */
static void test_too_many_descriptors_are_refused_and_leak_nothing(void **state)
{
    enum { MANY = FD_PASS_MAX + 4 };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(MANY * sizeof(int))];
    } rights;
    char byte = 'm', got[4];
    struct iovec vec = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights)};
    memset(&rights, 0, sizeof(rights));
    rights.header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(MANY * sizeof(int))};
    for (size_t i = 0; i < MANY; i++)
        memcpy(CMSG_DATA(&rights.header) + i * sizeof(int), &pair[0], sizeof(int));
    assert_int_equal(sendmsg(pair[0], &message, 0), 1);
    int fds[FD_PASS_MAX], before = open_fds();
    size_t nfds = 99;
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(nfds, 0);
    assert_int_equal(open_fds(), before);
}

static void test_end_of_file_and_nothing_there(void **state)
{
    char got[4];
    int fds[FD_PASS_MAX];
    size_t nfds;
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&pair[0]);
    assert_int_equal(fd_receive_message(pair[1], got, sizeof(got), fds, &nfds), 0);
    assert_int_equal(fd_send_message(pair[1], "m", 1, NULL, 0), -1); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
}

static void test_memory_is_readable_and_sealed(void **state)
{
    size_t len;
    int fd = fd_memory("tree", "frozen\0tree", 11);
    assert_int_not_equal(fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    for (int i = 0; i < 2; i++) { /* from offset 0, whatever was read before */
        char *text = fd_read_all(fd, 11, &len);
        assert_non_null(text);
        assert_int_equal(len, 11);
        assert_memory_equal(text, "frozen\0tree", 12);
        free(text);
    }
    fd_close(&fd);
}

static void test_read_all_has_a_limit(void **state)
{
    static char big[100000];
    size_t len;
    int fd = fd_memory("big", big, sizeof(big));
    assert_null(fd_read_all(fd, sizeof(big) - 1, &len));
    assert_int_equal(errno, EFBIG);
    char *text = fd_read_all(fd, sizeof(big), NULL);
    assert_non_null(text);
    free(text);
    fd_close(&fd);
    assert_null(fd_read_all(-1, 10, &len));
    assert_int_equal(errno, EBADF);
}

static void test_read_all_takes_a_pipe(void **state)
{
    int fds[2];
    size_t len;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "piped", 5), 5);
    fd_close(&fds[1]);
    char *text = fd_read_all(fds[0], 100, &len);
    assert_non_null(text);
    assert_string_equal(text, "piped");
    free(text);
    fd_close(&fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_close_nulls_and_keeps_errno, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_message_without_descriptors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_descriptors_arrive_in_order_and_close_on_exec, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_oversize_message_is_refused_and_leaks_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_descriptors_are_refused_and_leak_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_file_and_nothing_there, set_up, tear_down),
        cmocka_unit_test(test_memory_is_readable_and_sealed),
        cmocka_unit_test(test_read_all_has_a_limit),
        cmocka_unit_test(test_read_all_takes_a_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
