/* SPDX-License-Identifier: MIT
 *
 * writer: takes whole lines from loop threads and writes them to a descriptor from a thread of its own. Each producer thread has a
 * bounded single-producer ring; a full ring drops the line and counts it: a loop never waits for a disk or a pipe. Lines of one
 * producer keep their order. The writer wakes at most every 50 ms, or when a ring is half full, so lines cost no system call each.
 */
#ifndef BULKHEAD_DIAG_WRITER_H
#define BULKHEAD_DIAG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writer;
struct writer_ring;

/* fd is borrowed. ring_bytes is rounded up to a power of two. */
struct writer *writer_start(int fd, size_t ring_bytes);
/* one per producer thread; lives until writer_stop */
struct writer_ring *writer_ring_create(struct writer *w);
/* Zero-copy: room for a line of at most `max` bytes, or NULL (dropped, counted). Then commit the bytes really used. */
char *writer_reserve(struct writer_ring *ring, size_t max);
void writer_commit(struct writer_ring *ring, size_t used);
/* convenience: reserve, copy, commit */
bool writer_line(struct writer_ring *ring, const char *line, size_t len);
uint64_t writer_dropped(struct writer *w);
/* write to another descriptor from now on (log rotation); any thread */
void writer_set_fd(struct writer *w, int fd);
/* writes what is left, for at most a second, and ends the thread */
void writer_stop(struct writer **w);

#endif
