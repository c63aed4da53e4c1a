/* SPDX-License-Identifier: MIT
 *
 * table: text in columns, as wide as what is in them, for people. What is put in may come from anywhere: it is made
 * printable. One thread.
 */
#ifndef BULKHEAD_CLI_TABLE_H
#define BULKHEAD_CLI_TABLE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

#define TABLE_COLUMNS_MAX 12

struct table {
    struct buf cells; /* NUL-terminated texts, row by row */
    size_t columns, count;
    size_t widths[TABLE_COLUMNS_MAX];
};

/* headings: NULL-terminated */
void table_init(struct table *t, const char *const *headings);
/* the next cell, left to right, row by row */
void table_add(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends the rows, and empties the table. */
void table_put(struct table *t, struct buf *out);

#endif
