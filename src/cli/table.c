/* SPDX-License-Identifier: MIT
 *
 * table: see table.h. Widths are counted in characters of UTF-8.
 */
#include "config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"

#define CELL_MAX 256
#define GAP      2

static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void table_add(struct table *t, const char *format, ...)
{
    char text[CELL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t at = t->cells.len, column = t->count++ % t->columns;
    buf_append_printable(&t->cells, str_of(text));
    buf_append_char(&t->cells, '\0');
    size_t width = width_of(t->cells.base + at);
    if (width > t->widths[column])
        t->widths[column] = width;
}

void table_init(struct table *t, const char *const *headings)
{
    *t = (struct table){0};
    while (headings[t->columns] != NULL)
        t->columns++;
    assert(t->columns > 0 && t->columns <= TABLE_COLUMNS_MAX);
    for (size_t i = 0; i < t->columns; i++)
        table_add(t, "%s", headings[i]);
}

/* Spaces at a line's end serve nobody. */
static void end_row(struct buf *out)
{
    while (out->len > 0 && out->base[out->len - 1] == ' ')
        out->len--;
    buf_append_char(out, '\n');
}

void table_put(struct table *t, struct buf *out)
{
    const char *cell = t->cells.base;
    assert(t->count % t->columns == 0);
    for (size_t i = 0; i < t->count; i++, cell += strlen(cell) + 1) {
        size_t column = i % t->columns;
        buf_append_z(out, cell);
        if (column == t->columns - 1) {
            end_row(out);
            continue;
        }
        for (size_t pad = width_of(cell); pad < t->widths[column] + GAP; pad++)
            buf_append_char(out, ' ');
    }
    buf_free(&t->cells);
    t->count = 0;
}
