/* SPDX-License-Identifier: MIT
 *
 * mem: allocation that never returns NULL: see mem.h. The message of an exhausted process is written without
 * allocating. Any thread.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static void *require(void *p)
{
    static const char message[] =
        "out of memory: this process ends; raise its memory limit or lower the limits of its backends\n";
    if (p == NULL) {
        ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
        (void)ignored;
        abort();
    }
    return p;
}

/* malloc(0) may return NULL, and realloc(p, 0) frees: neither is what a caller with an empty thing wants. */
static size_t at_least_one(size_t bytes)
{
    return bytes == 0 ? 1 : bytes;
}

void *mem_alloc(size_t bytes)
{
    return require(malloc(at_least_one(bytes)));
}

void *mem_zalloc(size_t bytes)
{
    return require(calloc(1, at_least_one(bytes)));
}

void *mem_realloc(void *p, size_t bytes)
{
    return require(realloc(p, at_least_one(bytes)));
}

char *mem_strdup(const char *s)
{
    return require(strdup(s));
}

char *mem_strdup_str(struct str s)
{
    char *copy = mem_alloc(s.len + 1);
    if (s.len != 0)
        memcpy(copy, s.base, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return require(len < 0 ? NULL : text);
}
