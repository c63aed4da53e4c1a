/* SPDX-License-Identifier: MIT
 *
 * grammar: what a string in the conf file must look like, rule by rule. A rule may put the text into its canonical form
 * in place (lower case, upper case). Pure; any thread.
 */
#ifndef BULKHEAD_CONFIG_GRAMMAR_H
#define BULKHEAD_CONFIG_GRAMMAR_H

#include "config/region.h"

/* NULL: fine. Else what the text must be or what is wrong with it, as the end of a message. */
typedef const char *(*grammar_fn)(struct region *region, char *text);

const char *grammar_backend_name(struct region *region, char *text);
const char *grammar_host(struct region *region, char *text);            /* → lower case */
const char *grammar_method(struct region *region, char *text);          /* → upper case */
const char *grammar_path(struct region *region, char *text);            /* begins with '/' */
const char *grammar_target(struct region *region, char *text);          /* of a request, with its query */
const char *grammar_regex(struct region *region, char *text);           /* compiles */
const char *grammar_field_name(struct region *region, char *text);      /* a token */
const char *grammar_token(struct region *region, char *text);           /* a token, of a subprotocol */
const char *grammar_origin(struct region *region, char *text);          /* as RFC 6454 §6.2 writes it → lower case */
const char *grammar_match_name(struct region *region, char *text);      /* → lower case */
const char *grammar_rule_name(struct region *region, char *text);       /* one that a header rule may touch */
const char *grammar_field_value(struct region *region, char *text);     /* no control characters */
const char *grammar_variable(struct region *region, char *text);        /* an environment variable's name */
const char *grammar_network(struct region *region, char *text);         /* address, CIDR or "unix:" */
const char *grammar_redirect(struct region *region, char *text);        /* fit for a Location field */
const char *grammar_descriptor_name(struct region *region, char *text); /* systemd's FileDescriptorName= */
const char *grammar_file_leaf(struct region *region, char *text);       /* a file name without '/' */

#endif
