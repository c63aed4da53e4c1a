/* SPDX-License-Identifier: MIT
 *
 * conf_check: what values must be like together. Each rule is one small function that looks at a tree and at the nodes
 * it came from; a rule whose values are bad already keeps quiet. One thread.
 */
#ifndef BULKHEAD_CONFIG_CONF_CHECK_H
#define BULKHEAD_CONFIG_CONF_CHECK_H

#include "config/conf.h"

struct node;
struct problems;
struct region;

struct check {
    struct conf *conf;
    struct node *root;
    struct problems *problems;
    struct region *region; /* the tree's */
};

/* the rules that need nothing but the text */
void conf_check(const struct check *c);
/* Warnings about what can never take effect: routes that no request can reach, backends that no route leads to. For a
 * tree without errors. */
void conf_check_unused(const struct check *c);
/* the rules that ask the file system, the user database and PATH; names of modules become those of their files */
void conf_check_system(const struct check *c);

/* What cannot change while bulkhead runs is as in `running`. For a tree without errors. */
void conf_check_restart(const struct check *c, const struct conf *running);

/* the node of the n-th member of a list or map at the top level, in step with the tree's array */
struct node *conf_check_first(const struct check *c, const char *list);
/* the member, when it is there and good */
struct node *conf_check_good(const struct node *object, const char *key);

#endif
