/* SPDX-License-Identifier: MIT
 *
 * conf_build: the way from a text to a tree, for the ways to come by a text: files (conf_load), a dump (conf_parse) and
 * the command line (oneline.h). Inside this room only.
 */
#ifndef BULKHEAD_CONFIG_CONF_BUILD_H
#define BULKHEAD_CONFIG_CONF_BUILD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct conf;

struct conf_text {
    const char *name;      /* in messages */
    const char *path;      /* the tree's; NULL: the name */
    const char *directory; /* absolute, for relative file names; NULL: that of `name` */
    struct str text;
    bool generated; /* written by bulkhead: messages name no place */
    bool system;    /* check what the text says against files, users and the resolver */
};

/* as conf_parse */
struct conf *conf_build(const struct conf_text *text, struct buf *problems);

#endif
