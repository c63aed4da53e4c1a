/* SPDX-License-Identifier: MIT
 *
 * router: which route serves a request. Compiled once from the conf's routes, read-only afterwards: any thread may look
 * up. The answer is the first route in file order that matches; what it costs depends on the request, not on how many
 * routes there are. It borrows the conf tree's strings for its life.
 *
 * Shape: a table per host name, one per wildcard suffix and one for routes without a host. A table files its routes by
 * what their path must begin with: whole paths in a hash, prefixes in a compressed radix tree whose nodes hold route
 * numbers in ascending order. A regular expression is filed under the literal text that it begins with. A lookup
 * collects the few lists that can apply and merges them by number until a route passes its remaining conditions.
 */
#ifndef BULKHEAD_FRONT_ROUTER_H
#define BULKHEAD_FRONT_ROUTER_H

#include <stddef.h>

#include "base/str.h"
#include "front/field.h"

struct conf_route;
struct router;

struct router_request {
    struct str host; /* as received: port and capitals are dealt with here */
    struct str path; /* normalised */
    struct str method;
    const struct field *fields;
    size_t nfields;
};

enum router_result {
    ROUTER_FOUND,
    ROUTER_NONE,
    ROUTER_FAILED /* an expression ran into its match limit: no answer can be trusted */
};

/* NULL with a message when an expression does not compile */
struct router *router_create(const struct conf_route *routes, size_t nroutes, char *error, size_t error_size);
void router_free(struct router **router);
/* *index_r: the route's number in the array given to router_create */
enum router_result router_find(const struct router *router, const struct router_request *request, size_t *index_r);

#endif
