/* SPDX-License-Identifier: MIT
 *
 * conf_read: the keyword table at work: fills the tree from the nodes of the files. What one value must be like is
 * decided here; what values must be like together is not (conf_check.h). One thread.
 */
#ifndef BULKHEAD_CONFIG_CONF_READ_H
#define BULKHEAD_CONFIG_CONF_READ_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/keys.h"
#include "config/region.h"

struct conf;
struct node;
struct problems;

#define CONF_READ_OBJECTS_MAX 24
/* an unsigned that is not in the file and whose default is computed */
#define CONF_READ_UNSET UINT_MAX

struct conf_reader {
    struct conf *conf;
    struct region *region; /* the tree's */
    struct problems *problems;
    bool resolve; /* host names of upstream servers may be looked up */
    /* of each object type seen so far, one with nothing but defaults */
    struct conf_prototype {
        const struct key_object *object;
        void *bytes;
    } prototypes[CONF_READ_OBJECTS_MAX];
    size_t nprototypes;
};

/* Fills reader->conf. Values that were bad keep their default. */
void conf_read(struct conf_reader *reader, struct node *root);

#endif
