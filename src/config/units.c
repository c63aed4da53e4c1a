/* SPDX-License-Identifier: MIT
 *
 * units: see units.h. A unit is a row in a table, the largest first.
 */
#include "config.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "config/units.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {{"d", UNITS_D}, {"h", UNITS_H},   {"m", UNITS_M},
                                        {"s", UNITS_S}, {"ms", UNITS_MS}, {NULL, 0}};
static const struct unit sizes[] = {{"GiB", UNITS_GIB}, {"MiB", UNITS_MIB}, {"KiB", UNITS_KIB}, {"B", 1}, {NULL, 0}};

/* leading digits; *rest_r is behind them. false: none, or too many */
static bool parse_digits(const char *text, int64_t *n_r, const char **rest_r)
{
    int64_t n = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *at - '0', &n))
            return false;
    *n_r = n;
    *rest_r = at;
    return at != text;
}

static bool parse_unit(const struct unit *units, const char *text, int64_t *value_r)
{
    int64_t n;
    const char *rest;
    if (!parse_digits(text, &n, &rest))
        return false;
    for (const struct unit *unit = units; unit->name != NULL; unit++)
        if (strcmp(rest, unit->name) == 0)
            return !__builtin_mul_overflow(n, unit->factor, value_r);
    return false;
}

const char *units_parse_duration(const char *text, int64_t *us_r)
{
    return parse_unit(durations, text, us_r) ? NULL : "a whole number with a unit: ms, s, m, h or d, as in \"250ms\"";
}

const char *units_parse_size(const char *text, int64_t *bytes_r)
{
    return parse_unit(sizes, text, bytes_r)
               ? NULL
               : "a number of bytes, or a whole number with a unit: B, KiB, MiB or GiB, as in \"64KiB\"";
}

static const char *format(const struct unit *units, int64_t value, char out[UNITS_TEXT])
{
    const struct unit *unit = units;
    while (unit[1].name != NULL && (value == 0 || value % unit->factor != 0))
        unit++;
    assert(value >= 0 && value % unit->factor == 0);
    snprintf(out, UNITS_TEXT, "%lld%s", (long long)(value / unit->factor), unit->name);
    return out;
}

const char *units_format_duration(int64_t us, char out[UNITS_TEXT])
{
    if (us != 0)
        return format(durations, us, out);
    memcpy(out, "0s", sizeof("0s"));
    return out;
}

const char *units_format_size(int64_t bytes, char out[UNITS_TEXT])
{
    return format(sizes, bytes, out);
}
