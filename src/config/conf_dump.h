/* SPDX-License-Identifier: MIT
 *
 * conf_dump: the room's own view of the dump: one value of an object of the tree. Pure; any thread.
 */
#ifndef BULKHEAD_CONFIG_CONF_DUMP_H
#define BULKHEAD_CONFIG_CONF_DUMP_H

#include <jansson.h>

struct conf;
struct key;
struct key_object;

/* An owned reference; NULL: nothing to write, as the key has no meaning there or was not set. */
json_t *conf_dump_key(const struct conf *conf, const struct key_object *type, const struct key *key,
                      const char *object);

#endif
