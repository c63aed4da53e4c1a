/* SPDX-License-Identifier: MIT
 *
 * conf_change: what a reload needs to know of two confs: which backends, rules and sockets of the running one go on in
 * the next, and whether something changed that cannot change in a running bulkhead. All answers come from the keyword
 * table: values are compared as they are dumped, and a key's reload class says what a difference means. Pure, but for
 * conf_load_over; any thread.
 */
#ifndef BULKHEAD_CONFIG_CONF_CHANGE_H
#define BULKHEAD_CONFIG_CONF_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct conf;
struct conf_listener;

enum conf_change {
    CONF_CHANGE_NONE,
    CONF_CHANGE_LIVE, /* what has changed comes into force without anything being replaced */
    CONF_CHANGE_OTHER
};

/* as conf_load, and the next conf may differ from `running` in nothing whose reload class is "restart": that is a
 * problem at the place of the key, or of the object that it is missing from. */
struct conf *conf_load_over(const struct conf *running, const char *path, struct buf *problems);
/* A backend of each; names and order apart. */
enum conf_change conf_change_of_backend(const struct conf *before, size_t i, const struct conf *after, size_t j);
/* The same address: the socket that listens there serves on. */
bool conf_change_keeps_socket(const struct conf_listener *before, const struct conf_listener *after);
/* A route's rule as text, without its name: two routes of a text are the same rule, wherever they stand. Owned. */
char *conf_change_rule(const struct conf *conf, size_t route);
/* A conf that has this one backend, and else what `conf` says of limits and the like: it outlives `conf`. Owned. */
struct conf *conf_change_part(const struct conf *conf, size_t backend);

#endif
