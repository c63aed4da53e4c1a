/* SPDX-License-Identifier: MIT
 *
 * problems: see problems.h. The text of a problem may quote the file, so it is made printable.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "config/node.h"
#include "config/problems.h"
#include "config/source.h"

/* more than anybody reads; a file of another kind given by mistake would yield thousands */
#define WRITTEN_MAX 100

struct problem {
    bool warning;
    const char *file;            /* of a problem without a source */
    const struct source *source; /* or NULL */
    size_t offset;
    size_t number; /* in order of finding */
    const char *path;
    const char *text;
};

static struct problem *add(struct problems *p, const char *format, va_list args)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity == 0 ? 16 : p->capacity * 2;
        struct problem *list = region_alloc(p->region, capacity * sizeof(list[0]));
        if (p->count != 0)
            memcpy(list, p->list, p->count * sizeof(list[0]));
        p->list = list;
        p->capacity = capacity;
    }
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = region_alloc(p->region, len < 0 ? 1 : (size_t)len + 1);
    if (len > 0)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    struct problem *problem = &p->list[p->count];
    *problem = (struct problem){.number = p->count, .text = text};
    p->count++;
    return problem;
}

static void place(struct problems *p, struct problem *problem, const struct node *node, size_t offset)
{
    struct buf path = {0};
    node_path(node, &path);
    problem->path = region_strdup(p->region, buf_str(&path));
    buf_free(&path);
    problem->source = node->source;
    problem->offset = offset;
}

static void mark_bad(struct problems *p, struct node *node)
{
    p->errors++;
    for (; node != NULL; node = node->parent)
        node->bad = true;
}

void problems_error(struct problems *p, struct node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    place(p, add(p, format, args), node, node->at);
    va_end(args);
    mark_bad(p, node);
}

void problems_warning(struct problems *p, struct node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct problem *problem = add(p, format, args);
    va_end(args);
    place(p, problem, node, node->at);
    problem->warning = true;
}

void problems_key_error(struct problems *p, struct node *member, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    place(p, add(p, format, args), member, member->key_at);
    va_end(args);
    mark_bad(p, member);
}

void problems_text_error(struct problems *p, const struct source *source, size_t offset, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct problem *problem = add(p, format, args);
    va_end(args);
    problem->source = source;
    problem->offset = offset;
    p->errors++;
}

void problems_file_error(struct problems *p, const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(p, format, args)->file = file;
    va_end(args);
    p->errors++;
}

static int compare(const void *a, const void *b)
{
    const struct problem *x = a, *y = b;
    unsigned x_index = x->source == NULL ? 0 : x->source->index, y_index = y->source == NULL ? 0 : y->source->index;
    if (x_index != y_index)
        return x_index < y_index ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

static void write_place(const struct problem *problem, struct buf *out)
{
    const struct source *source = problem->source;
    buf_append_printable(out, str_of(source == NULL ? problem->file : source->name));
    if (source == NULL || source->generated)
        return;
    struct source_place at = source_place(source, problem->offset);
    buf_printf(out, ":%u:%u", at.line, at.column);
}

void problems_write(struct problems *p, struct buf *out)
{
    if (p->count > 1)
        qsort(p->list, p->count, sizeof(p->list[0]), compare);
    for (size_t i = 0; i < p->count && i < WRITTEN_MAX; i++) {
        const struct problem *problem = &p->list[i];
        write_place(problem, out);
        buf_append_z(out, problem->warning ? ": warning: " : ": error: ");
        if (problem->path != NULL && problem->path[0] != '\0') {
            buf_append_printable(out, str_of(problem->path));
            buf_append_z(out, ": ");
        }
        buf_append_printable(out, str_of(problem->text));
        buf_append_char(out, '\n');
    }
    if (p->count > WRITTEN_MAX)
        buf_printf(out, "%zu more problems are not shown\n", p->count - WRITTEN_MAX);
}
