/* SPDX-License-Identifier: MIT
 *
 * nearest: see nearest.h. The distance counts inserted, removed and replaced characters and swapped neighbours
 * (the optimal string alignment distance).
 */
#include "config.h"

#include <string.h>

#include "config/nearest.h"

#define WORD_MAX 40

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t cost[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_len; i++)
        cost[i][0] = i;
    for (size_t k = 0; k <= b_len; k++)
        cost[0][k] = k;
    for (size_t i = 1; i <= a_len; i++)
        for (size_t k = 1; k <= b_len; k++) {
            size_t replaced = cost[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            cost[i][k] = least(replaced, least(cost[i - 1][k], cost[i][k - 1]) + 1);
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                cost[i][k] = least(cost[i][k], cost[i - 2][k - 2] + 1);
        }
    return cost[a_len][b_len];
}

void nearest_offer(struct nearest *n, const char *candidate)
{
    size_t written_len = strlen(n->written), candidate_len = strlen(candidate);
    if (written_len > WORD_MAX || candidate_len > WORD_MAX)
        return;
    size_t found = distance(n->written, written_len, candidate, candidate_len);
    size_t longer = written_len > candidate_len ? written_len : candidate_len;
    size_t allowed = (longer + 3) / 4; /* one slip in four characters */
    if (found >= longer || found > allowed || (n->word != NULL && found >= n->distance))
        return;
    n->word = candidate;
    n->distance = found;
}
