/* SPDX-License-Identifier: MIT
 *
 * mem: allocation that never returns NULL. Memory exhaustion ends the process; its supervisor starts another
 * (the supervisor allocates nothing while it does that). Any thread.
 */
#ifndef BULKHEAD_BASE_MEM_H
#define BULKHEAD_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

#include "base/str.h"

void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t bytes) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
/* a NUL-terminated copy */
char *mem_strdup_str(struct str s) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* frees *p and makes it null; NULL is fine */
#define mem_free(p)                                                                                                    \
    do {                                                                                                               \
        free(*(p));                                                                                                    \
        *(p) = NULL;                                                                                                   \
    } while (0)

#endif
