/* SPDX-License-Identifier: MIT
 *
 * fuzz: what the fuzz targets share: their entry point, an assertion that no build option removes, and a source of
 * reproducible choices (where to cut the input). A target includes this once.
 */
#ifndef BULKHEAD_TESTS_FUZZ_FUZZ_H
#define BULKHEAD_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ASSERT(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* xorshift64 */
static inline uint64_t fuzz_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* a copy in a heap block that ends where the bytes end, at an odd address; fuzz_give_back frees it */
static inline char *fuzz_exact(const void *bytes, size_t len)
{
    char *block = malloc(len + 1);
    FUZZ_ASSERT(block != NULL);
    if (len != 0)
        memcpy(block + 1, bytes, len);
    return block + 1;
}

static inline void fuzz_give_back(char *exact)
{
    free(exact - 1);
}

#endif
