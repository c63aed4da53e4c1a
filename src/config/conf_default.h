/* SPDX-License-Identifier: MIT
 *
 * conf_default: the values that follow from others: defaults that the keyword table cannot hold, and what kind of
 * object each one is. One thread; reads the environment.
 */
#ifndef BULKHEAD_CONFIG_CONF_DEFAULT_H
#define BULKHEAD_CONFIG_CONF_DEFAULT_H

struct conf;
struct node;
struct region;

/* after conf_read */
void conf_default(struct conf *conf, struct node *root, struct region *region);
/* where the control socket is when no conf says it: for commands that have none */
const char *conf_default_control(struct region *region);

#endif
