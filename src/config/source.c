/* SPDX-License-Identifier: MIT
 *
 * source: see source.h. Lines are found by halving; columns are counted only for a message, so that a conf of one very
 * long line costs no more than any other.
 */
#include "config.h"

#include "config/source.h"

struct source *source_create(struct region *region, const char *name, const char *directory, struct str text)
{
    struct source *source = region_alloc(region, sizeof(*source));
    source->name = name;
    source->directory = directory;
    source->text = text;
    size_t nlines = 1;
    for (size_t i = 0; i < text.len; i++)
        nlines += text.base[i] == '\n';
    source->lines = region_alloc(region, nlines * sizeof(source->lines[0]));
    source->nlines = 1;
    for (size_t i = 0; i < text.len; i++)
        if (text.base[i] == '\n')
            source->lines[source->nlines++] = i + 1;
    return source;
}

unsigned source_line(const struct source *source, size_t offset)
{
    size_t low = 0, high = source->nlines;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return (unsigned)low + 1;
}

struct source_place source_place(const struct source *source, size_t offset)
{
    unsigned line = source_line(source, offset), column = 1;
    size_t end = offset < source->text.len ? offset : source->text.len;
    for (size_t i = source->lines[line - 1]; i < end; i++)
        column += ((unsigned char)source->text.base[i] & 0xc0) != 0x80;
    return (struct source_place){line, column};
}
