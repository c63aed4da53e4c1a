/* SPDX-License-Identifier: MIT
 *
 * options: the host side of struct bulkhead_options: a backend's `options` object with typed lookups. It remembers
 * which names were asked for and the first thing that was wrong, so that a module's start fails on a mistyped name or
 * value with a message of one form. Owned by the module's host; the thread that opens the module.
 */
#ifndef BULKHEAD_HANDLER_OPTIONS_H
#define BULKHEAD_HANDLER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct bulkhead_options;

/* NULL with a message when the text is no JSON object. NULL or "" stand for {}. */
struct bulkhead_options *options_parse(const char *json, char *error, size_t error_size);
/* After `open`: false when a lookup or bulkhead_open_failed() complained, or when (check_unknown) a name was never
 * asked for; the message is then in error. */
bool options_check(const struct bulkhead_options *options, bool check_unknown, char *error, size_t error_size);
void options_free(struct bulkhead_options **options);

#endif
