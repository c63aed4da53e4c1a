/* SPDX-License-Identifier: MIT
 *
 * logsink: see logsink.h. fd 2 is shared with whoever started bulkhead and with the front, so it cannot be made
 * non-blocking itself: a pipe or a terminal is opened anew for the supervisor alone, a socket takes its flag with each
 * message, a file does not block. One per process, as fd 2 is.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "diag/log.h"
#include "supervisor/logsink.h"

#define STOP_WAIT_US 1000000

static struct {
    struct ev_loop *loop; /* NULL: not started */
    int fd;               /* STDERR_FILENO, or our own opening of what it is */
    bool is_socket;
    ev_io writable;
    struct buf kept;
    unsigned long dropped;
} sink = {.fd = STDERR_FILENO};

static ssize_t write_now(const char *bytes, size_t len)
{
    if (sink.is_socket)
        return send(sink.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(sink.fd, bytes, len);
}

/* Bytes taken now. When nobody will ever read them (an end that is closed) all are "taken". */
static size_t take(const char *bytes, size_t len)
{
    ssize_t n = write_now(bytes, len);
    if (n >= 0)
        return (size_t)n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : len;
}

static void keep(const char *bytes, size_t len)
{
    buf_append(&sink.kept, bytes, len);
    ev_io_start(sink.loop, &sink.writable);
}

static void on_line(const char *line, size_t len)
{
    size_t taken = sink.kept.len == 0 ? take(line, len) : 0;
    if (taken == len)
        return;
    if (taken == 0 && sink.kept.len + len > LOGSINK_KEPT_MAX)
        sink.dropped++;
    else
        keep(line + taken, len - taken);
}

static void flush(void)
{
    size_t taken = sink.kept.len == 0 ? 0 : take(sink.kept.base, sink.kept.len);
    buf_consume(&sink.kept, taken);
    if (sink.kept.len > 0)
        return;
    ev_io_stop(sink.loop, &sink.writable);
    if (sink.dropped > 0) {
        unsigned long dropped = sink.dropped;
        sink.dropped = 0;
        log_write(LOG_LEVEL_WARNING, "log", "%lu lines dropped: nobody read them in time", dropped);
    }
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    flush();
}

static void open_own(void)
{
    struct stat st;
    sink.fd = STDERR_FILENO;
    if (fstat(STDERR_FILENO, &st) == -1)
        return;
    sink.is_socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        sink.fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY);
    if (sink.fd == -1)
        sink.fd = STDERR_FILENO;
}

void logsink_start(struct ev_loop *loop)
{
    logsink_stop();
    sink.loop = loop;
    open_own();
    ev_io_init(&sink.writable, on_writable, sink.fd, EV_WRITE);
    log_set_sink(on_line);
}

void logsink_stop(void)
{
    if (sink.loop == NULL)
        return;
    int64_t until = clock_us() + STOP_WAIT_US;
    struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
    while (sink.kept.len > 0 && clock_us() < until && poll(&p, 1, 100) >= 0)
        flush();
    ev_io_stop(sink.loop, &sink.writable);
    log_set_sink(NULL);
    buf_free(&sink.kept);
    if (sink.fd != STDERR_FILENO)
        fd_close(&sink.fd);
    sink.fd = STDERR_FILENO;
    sink.loop = NULL;
}
