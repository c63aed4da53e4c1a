/* SPDX-License-Identifier: MIT
 *
 * nearest: which of the known words somebody who wrote another one may have meant. Pure; any thread.
 */
#ifndef BULKHEAD_CONFIG_NEAREST_H
#define BULKHEAD_CONFIG_NEAREST_H

#include <stddef.h>

/* Offer every candidate; the best one so far is in `word`, NULL while none is near enough to be a slip of the hand. */
struct nearest {
    const char *written;
    const char *word;
    size_t distance;
};

void nearest_offer(struct nearest *n, const char *candidate);

#endif
