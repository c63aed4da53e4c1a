/* SPDX-License-Identifier: MIT
 *
 * node: a JSON document as a tree that remembers where in which file each value stands, so that everything found wrong
 * with it later can be reported with its place. Strings have their environment variables replaced. Lives in the region
 * of the parse. One thread.
 */
#ifndef BULKHEAD_CONFIG_NODE_H
#define BULKHEAD_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "config/region.h"

struct problems;
struct source;

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INTEGER, NODE_REAL, NODE_STRING, NODE_LIST, NODE_OBJECT, NODE_KIND_COUNT };

struct node {
    enum node_kind kind;
    bool expanded; /* a string that held ${NAME} */
    bool bad;      /* something in it has been reported */
    const struct source *source;
    struct node *parent;
    const char *key;   /* in an object; NULL in a list */
    size_t index;      /* among the parent's members in the file */
    size_t key_at, at; /* offsets of the key (an object's member) and the value */
    struct node *first, *last, *next;
    size_t count; /* of members */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
    };
};

/* The tree of a file's text, an object at its top; NULL when the text is no JSON, with the problem reported. Keys that
 * appear twice and undefined variables are reported too; the tree then has the first of each key. */
struct node *node_parse(struct region *region, const struct source *source, struct problems *problems);
/* A single value from text that is known to be good (a default of the keyword table) */
struct node *node_literal(struct region *region, const char *json);
/* the member or NULL; the node must be an object, or NULL */
struct node *node_member(const struct node *object, const char *key);
void node_append(struct node *parent, struct node *member);
/* "backends.shop.command[0]": where the value is in its file */
void node_path(const struct node *node, struct buf *out);
/* what the value is, short enough for a message: `"abc"`, `12`, `a list` */
const char *node_describe(const struct node *node, struct region *region);
/* an owned reference */
json_t *node_json(const struct node *node);

#endif
