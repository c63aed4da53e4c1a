/* SPDX-License-Identifier: MIT
 *
 * source: the text of one conf file, with the way from an offset to a line and a column. It owns nothing: text and
 * table are in the region of the parse. One thread.
 */
#ifndef BULKHEAD_CONFIG_SOURCE_H
#define BULKHEAD_CONFIG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "config/region.h"

struct source {
    const char *name;      /* as in messages */
    const char *directory; /* what relative file names in it are relative to */
    unsigned index;        /* in order of loading, for sorting messages */
    bool generated;        /* written by bulkhead itself: places in it would tell nobody anything */
    struct str text;       /* as it is in the file */
    size_t *lines;         /* the offset of each line's first byte */
    size_t nlines;
};

struct source_place {
    unsigned line, column; /* from 1; a column is a character */
};

/* borrows name, directory and text for the region's life */
struct source *source_create(struct region *region, const char *name, const char *directory, struct str text);
unsigned source_line(const struct source *source, size_t offset);
struct source_place source_place(const struct source *source, size_t offset);

#endif
