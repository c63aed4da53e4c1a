/* SPDX-License-Identifier: MIT
 *
 * problems: what is wrong with a conf, collected during the whole pass and written in the order of the files:
 * "file:line:column: error: path.to.key: problem (limit or reason); hint", a line each. Lives in the region of the
 * parse. One thread.
 */
#ifndef BULKHEAD_CONFIG_PROBLEMS_H
#define BULKHEAD_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "config/region.h"

struct node;
struct problem;
struct source;

struct problems {
    struct region *region;
    struct problem *list;
    size_t count, capacity;
    size_t errors;
};

/* about a value; marks it and everything that it is in as bad */
void problems_error(struct problems *p, struct node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problems_warning(struct problems *p, struct node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* about the name of a member of an object */
void problems_key_error(struct problems *p, struct node *member, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* about a place in a text that has no tree */
void problems_text_error(struct problems *p, const struct source *source, size_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* about a file that has no text */
void problems_file_error(struct problems *p, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* appends them to out, sorted by place */
void problems_write(struct problems *p, struct buf *out);

#endif
