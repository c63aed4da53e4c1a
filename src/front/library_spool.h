/* SPDX-License-Identifier: MIT
 *
 * library_spool: where libh2o puts request bodies. It collects them in the socket's buffer, whose capacity doubles from
 * 8 KiB; one that would get to a threshold moves to an unlinked file. Where the disk is full it gives the connection up,
 * but forgets the file that it has just made: each such upload would cost the front a descriptor. The executable
 * therefore defines posix_fallocate itself, and closes that file.
 *
 * library_spool_set: main thread, before the loops start. posix_fallocate: any thread.
 */
#ifndef BULKHEAD_FRONT_LIBRARY_SPOOL_H
#define BULKHEAD_FRONT_LIBRARY_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct conf;

/* At most body_memory bytes of a body, rounded up to a power of two, are on the heap; files are in spool_directory.
 * false with a message: that cannot be written to. */
bool library_spool_set(const struct conf *conf, char *error, size_t error_size);

#endif
