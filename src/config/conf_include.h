/* SPDX-License-Identifier: MIT
 *
 * conf_include: reads a conf file and those that it includes into one tree of nodes. One thread; reads regular files
 * only, so that it never waits for anybody.
 */
#ifndef BULKHEAD_CONFIG_CONF_INCLUDE_H
#define BULKHEAD_CONFIG_CONF_INCLUDE_H

#include "config/problems.h"
#include "config/region.h"

struct node;

/* NULL when the file itself cannot be read or parsed; all trouble is in problems */
struct node *conf_include_load(struct region *region, struct problems *problems, const char *file);

#endif
