/* SPDX-License-Identifier: MIT
 *
 * output: lines of a worker into the log: see output.h. One read a turn, so that no writer keeps the loop from the
 * others. What the lines hold is the worker's: the log makes it printable.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "diag/log.h"
#include "supervisor/output.h"

#define READ_MAX 16384
/* over the limit: one read in that time */
#define PAUSE_S 0.02
/* what a dead worker can have left in its pipe, twice: somebody it started may still be writing */
#define FINISH_READS_MAX (2 * 65536 / READ_MAX)

static void remember(struct output *o)
{
    size_t len = o->len < sizeof(o->last) ? o->len : sizeof(o->last) - 1;
    memcpy(o->last, o->line, len);
    o->last[len] = '\0';
}

static void end_line(struct output *o)
{
    if (o->len > 0 && o->line[o->len - 1] == '\r')
        o->len--;
    if (o->len > 0)
        remember(o);
    if (++o->lines > o->lines_max)
        o->dropped++;
    else if (o->len > 0)
        log_write(LOG_LEVEL_INFO, "worker", "%s[%u] pid %ld: %.*s%s", o->backend, o->index, (long)o->pid, (int)o->len,
                  o->line, o->cut ? " [cut]" : "");
    if (!ev_is_active(&o->second))
        ev_timer_again(o->loop, &o->second);
    o->len = 0;
    o->cut = false;
}

static void take(struct output *o, const char *bytes, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(bytes, '\n', len);
        size_t piece = newline == NULL ? len : (size_t)(newline - bytes);
        size_t room = o->line_max - o->len, fits = piece < room ? piece : room;
        memcpy(o->line + o->len, bytes, fits);
        o->len += fits;
        o->cut = o->cut || fits < piece;
        if (newline != NULL)
            end_line(o);
        piece += newline != NULL;
        bytes += piece;
        len -= piece;
    }
}

/* the bytes read; 0 at the end or when there is nothing now, with *ended_r telling which */
static size_t read_some(struct output *o, bool *ended_r)
{
    char bytes[READ_MAX];
    ssize_t n = read(o->fd, bytes, sizeof(bytes));
    *ended_r = n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
    if (n <= 0)
        return 0;
    take(o, bytes, (size_t)n);
    return (size_t)n;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct output *o = w->data;
    bool ended;
    read_some(o, &ended);
    if (ended || o->dropped > 0)
        ev_io_stop(loop, w);
    if (!ended && o->dropped > 0)
        ev_timer_again(loop, &o->pause);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *w, int events)
{
    struct output *o = w->data;
    ev_timer_stop(loop, w);
    ev_io_start(loop, &o->readable);
}

static void report_dropped(struct output *o)
{
    if (o->dropped > 0)
        log_write(LOG_LEVEL_WARNING, "worker",
                  "%s[%u] pid %ld: %llu lines dropped (limit %llu a second, limits.log_lines_per_second)", o->backend,
                  o->index, (long)o->pid, (unsigned long long)o->dropped, (unsigned long long)o->lines_max);
    o->lines = o->dropped = 0;
}

static void on_second_over(struct ev_loop *loop, ev_timer *w, int events)
{
    ev_timer_stop(loop, w);
    report_dropped(w->data);
}

void output_init(struct output *o, struct ev_loop *loop, const char *backend, unsigned index, size_t line_max,
                 uint64_t lines_per_second)
{
    assert(line_max > 0);
    *o = (struct output){.loop = loop,
                         .backend = backend,
                         .index = index,
                         .fd = -1,
                         .line = mem_alloc(line_max),
                         .line_max = line_max,
                         .lines_max = lines_per_second};
    ev_io_init(&o->readable, on_readable, -1, EV_READ);
    ev_timer_init(&o->pause, on_pause_over, 0., PAUSE_S);
    ev_timer_init(&o->second, on_second_over, 0., 1.);
    o->readable.data = o->pause.data = o->second.data = o;
}

int output_open(struct output *o)
{
    int pipe_fds[2];
    assert(o->fd == -1);
    if (pipe2(pipe_fds, O_CLOEXEC) == -1)
        return -1;
    if (!fd_set_nonblocking(pipe_fds[0], true)) {
        fd_close(&pipe_fds[0]);
        fd_close(&pipe_fds[1]);
        return -1;
    }
    o->fd = pipe_fds[0];
    o->last[0] = '\0';
    return pipe_fds[1];
}

void output_watch(struct output *o, pid_t pid)
{
    o->pid = pid;
    ev_io_set(&o->readable, o->fd, EV_READ);
    ev_io_start(o->loop, &o->readable);
}

void output_finish(struct output *o)
{
    if (o->fd == -1)
        return;
    bool ended = false;
    for (int i = 0; i < FINISH_READS_MAX && !ended && read_some(o, &ended) > 0;)
        i++;
    if (o->len > 0)
        end_line(o);
    report_dropped(o);
    ev_io_stop(o->loop, &o->readable);
    ev_timer_stop(o->loop, &o->pause);
    ev_timer_stop(o->loop, &o->second);
    o->cut = false;
    fd_close(&o->fd);
}

void output_free(struct output *o)
{
    output_finish(o);
    mem_free(&o->line);
}
