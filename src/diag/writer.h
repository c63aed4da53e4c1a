/* SPDX-License-Identifier: MIT
 *
 * writer: takes whole lines from loop threads and writes them to a descriptor from a thread of its own. Each producer
 * thread has a bounded single-producer ring; a full ring drops the line and counts it: a loop never waits for a disk or
 * a pipe. Lines of one producer keep their order. The writer sleeps while there is nothing to write, and otherwise
 * gathers lines for 50 ms, or until a ring is half full, so that lines cost no system call each.
 */
#ifndef BULKHEAD_DIAG_WRITER_H
#define BULKHEAD_DIAG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;
struct writer_ring;

/* fd is duplicated, so it is borrowed only until this returns. ring_bytes is rounded up to a power of two. NULL with
 * errno when there is no descriptor or thread left. */
struct writer *writer_start(int fd, size_t ring_bytes);
/* Any thread. One per producer thread; lives until writer_stop. */
struct writer_ring *writer_ring_create(struct writer *w);
/* Zero-copy: room for a line of at most `max` bytes (a quarter of the ring always fits into an empty one), or NULL
 * (dropped, counted). Then commit the bytes really used. */
char *writer_reserve(struct writer_ring *ring, size_t max);
void writer_commit(struct writer_ring *ring, size_t used);
/* convenience: reserve, copy, commit */
bool writer_line(struct writer_ring *ring, const char *line, size_t len);
/* Any thread. Lines that found their ring full or could not be written */
uint64_t writer_dropped(struct writer *w);
/* Any thread: write to another descriptor from now on (log rotation). It is duplicated; the writer closes its copy of
 * the former one. false with errno: no descriptor left, nothing has changed. */
bool writer_set_fd(struct writer *w, int fd);
/* Writes what is left, for at most a second, and ends the thread. Producers must have stopped. A thread that hangs in
 * write(2) all the same, because another process filled a pipe that both share, is left behind,
 * and frees the writer if it ever gets on. */
void writer_stop(struct writer **w);

#endif
