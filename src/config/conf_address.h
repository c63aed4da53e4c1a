/* SPDX-License-Identifier: MIT
 *
 * conf_address: the addresses of the conf file as text: where to listen, and where upstream servers are.
 */
#ifndef BULKHEAD_CONFIG_CONF_ADDRESS_H
#define BULKHEAD_CONFIG_CONF_ADDRESS_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/conf.h"
#include "config/region.h"

/* Both return NULL, or what is wrong with the text. A relative Unix socket is below `directory`. */
const char *conf_address_listen(struct region *region, const char *text, const char *directory,
                                struct conf_listener *listener);
/* resolve: a host name is looked up, which may take as long as the resolver likes; otherwise it is wrong */
const char *conf_address_upstream(struct region *region, const char *text, const char *directory, bool resolve,
                                  struct conf_address *upstream);
/* the numeric text of an address, which parses to the same address without a look-up */
void conf_address_format(const struct conf_address *address, struct buf *out);
/* Would the kernel refuse the second of these two as being in use? */
bool conf_address_overlap(const struct conf_listener *a, const struct conf_listener *b);

#endif
