/* SPDX-License-Identifier: MIT
 *
 * units: durations ("250ms", "5s", "2m", "1h", "1d") and sizes ("64KiB", "8MiB", "1GiB", "512B") as text, both ways.
 * What is formatted is the shortest text that parses to the same value. Pure; any thread.
 */
#ifndef BULKHEAD_CONFIG_UNITS_H
#define BULKHEAD_CONFIG_UNITS_H

#include <stdint.h>

#define UNITS_MS   INT64_C(1000)
#define UNITS_S    (1000 * UNITS_MS)
#define UNITS_M    (60 * UNITS_S)
#define UNITS_H    (60 * UNITS_M)
#define UNITS_D    (24 * UNITS_H)
#define UNITS_KIB  INT64_C(1024)
#define UNITS_MIB  (1024 * UNITS_KIB)
#define UNITS_GIB  (1024 * UNITS_MIB)
#define UNITS_TEXT 32 /* bytes that any formatted value fits in */

/* NULL when *value_r is set (µs, bytes); else what is wrong with the text, in words that end a sentence "… must be" */
const char *units_parse_duration(const char *text, int64_t *us_r);
const char *units_parse_size(const char *text, int64_t *bytes_r);
/* value >= 0; a duration is a whole number of milliseconds */
const char *units_format_duration(int64_t us, char out[UNITS_TEXT]);
const char *units_format_size(int64_t bytes, char out[UNITS_TEXT]);

#endif
