/* SPDX-License-Identifier: MIT
 *
 * route_index: see route_index.h. Two shapes of the same thing: while building, a sorted array of whole texts and a
 * tree of small allocations; frozen, arrays that refer to each other by position. Text of all keys and labels is in
 * one array.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "front/route_index.h"

/* ---- building: lists, texts, the tree --------------------------------------------------------------------------- */

struct numbers {
    uint32_t *at;
    uint32_t count, capacity;
};

static void numbers_add(struct numbers *n, uint32_t number)
{
    if (n->count != 0 && n->at[n->count - 1] == number)
        return;
    assert(n->count == 0 || n->at[n->count - 1] < number);
    if (n->count == n->capacity) {
        n->capacity = n->capacity == 0 ? 2 : 2 * n->capacity;
        n->at = mem_realloc(n->at, n->capacity * sizeof(n->at[0]));
    }
    n->at[n->count++] = number;
}

/* a whole text and one route that names it */
struct named {
    struct str text;
    uint32_t number;
};

struct branch {
    struct str label; /* the bytes from the parent to here */
    struct numbers numbers;
    struct branch **children; /* sorted by first byte; no two share it */
    uint32_t nchildren;
};

struct route_index_builder {
    struct named *named;
    size_t nnamed, named_capacity;
    struct branch root;
    uint32_t nbranches, nnumbers; /* behind the root; in the tree */
};

static size_t common_length(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    while (i < n && a.base[i] == b.base[i])
        i++;
    return i;
}

static unsigned char first_byte(const struct branch *b)
{
    return (unsigned char)b->label.base[0];
}

/* where a child that begins with c is, or would be */
static uint32_t child_position(const struct branch *b, unsigned char c)
{
    uint32_t i = 0;
    while (i < b->nchildren && first_byte(b->children[i]) < c)
        i++;
    return i;
}

static struct branch *add_child(struct route_index_builder *builder, struct branch *b, uint32_t at, struct str label)
{
    struct branch *child = mem_zalloc(sizeof(*child));
    child->label = label;
    b->children = mem_realloc(b->children, (b->nchildren + 1) * sizeof(b->children[0]));
    memmove(&b->children[at + 1], &b->children[at], (b->nchildren - at) * sizeof(b->children[0]));
    b->children[at] = child;
    b->nchildren++;
    builder->nbranches++;
    return child;
}

/* cuts the label after `keep` bytes; what the branch held moves into a new only child */
static void split(struct route_index_builder *builder, struct branch *b, size_t keep)
{
    struct branch *tail = mem_alloc(sizeof(*tail));
    *tail = *b;
    tail->label = (struct str){b->label.base + keep, b->label.len - keep};
    *b = (struct branch){.label = {b->label.base, keep}, .nchildren = 1};
    b->children = mem_alloc(sizeof(b->children[0]));
    b->children[0] = tail;
    builder->nbranches++;
}

/* the branch for exactly this prefix, made when there is none */
static struct branch *branch_of(struct route_index_builder *builder, struct str prefix)
{
    struct branch *b = &builder->root;
    while (prefix.len != 0) {
        uint32_t at = child_position(b, (unsigned char)prefix.base[0]);
        if (at == b->nchildren || first_byte(b->children[at]) != (unsigned char)prefix.base[0])
            return add_child(builder, b, at, prefix);
        struct branch *child = b->children[at];
        size_t common = common_length(child->label, prefix);
        if (common < child->label.len)
            split(builder, child, common);
        prefix = (struct str){prefix.base + common, prefix.len - common};
        b = child;
    }
    return b;
}

struct route_index_builder *route_index_builder_create(void)
{
    return mem_zalloc(sizeof(struct route_index_builder));
}

void route_index_add_path(struct route_index_builder *b, struct str path, uint32_t number)
{
    if (b->nnamed == b->named_capacity) {
        b->named_capacity = b->named_capacity == 0 ? 8 : 2 * b->named_capacity;
        b->named = mem_realloc(b->named, b->named_capacity * sizeof(b->named[0]));
    }
    b->named[b->nnamed++] = (struct named){path, number};
}

void route_index_add_prefix(struct route_index_builder *b, struct str prefix, uint32_t number)
{
    struct numbers *n = &branch_of(b, prefix)->numbers;
    uint32_t before = n->count;
    numbers_add(n, number);
    b->nnumbers += n->count - before;
}

/* ---- frozen ----------------------------------------------------------------------------------------------------- */

/* a run of route_index.numbers */
struct run {
    uint32_t at, count;
};

/* a run of route_index.text */
struct text {
    uint32_t at, len;
};

struct entry {
    uint32_t tag; /* the hash's upper half, never 0; 0: free */
    struct text text;
    struct run numbers;
};

struct node {
    struct text label;
    struct run numbers;
    uint32_t children, nchildren; /* nodes[children .. + nchildren) */
};

struct route_index {
    struct entry *entries; /* mask + 1 of them, at most half in use */
    uint32_t mask;
    struct node *nodes; /* nodes[0]: the root */
    unsigned char
        *first; /* the first byte of each node's label, so that siblings are told apart in one line of cache */
    uint32_t *numbers;
    char *text;
    uint32_t nnodes, nnumbers;
    struct buf text_buffer; /* owns text */
    size_t lists_max;
};

struct route_key route_key(struct str text)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ text.len;
    const char *p = text.base;
    for (size_t left = text.len; left != 0;) {
        uint64_t word = 0;
        size_t n = left < sizeof(word) ? left : sizeof(word);
        memcpy(&word, p, n);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
        p += n;
        left -= n;
    }
    return (struct route_key){text, h};
}

static uint32_t tag_of(uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32) ^ (uint32_t)hash;
    return tag == 0 ? 1 : tag;
}

static struct text keep_text(struct route_index *x, struct str s)
{
    struct text t = {(uint32_t)x->text_buffer.len, (uint32_t)s.len};
    buf_append_str(&x->text_buffer, s);
    return t;
}

static struct run keep_numbers(struct route_index *x, const uint32_t *numbers, uint32_t count)
{
    struct run run = {x->nnumbers, count};
    if (count != 0)
        memcpy(&x->numbers[x->nnumbers], numbers, count * sizeof(numbers[0]));
    x->nnumbers += count;
    return run;
}

/* by text, then by number */
static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    int order = n == 0 ? 0 : memcmp(x->text.base, y->text.base, n);
    if (order != 0)
        return order;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static void put_entry(struct route_index *x, struct str text, struct run numbers)
{
    uint64_t hash = route_key(text).hash;
    uint64_t i = hash;
    while (x->entries[i & x->mask].tag != 0)
        i++;
    x->entries[i & x->mask] = (struct entry){tag_of(hash), keep_text(x, text), numbers};
}

static void freeze_named(struct route_index *x, struct route_index_builder *b)
{
    x->mask = 1;
    while (x->mask + 1 < 2 * b->nnamed)
        x->mask = 2 * x->mask + 1;
    x->entries = mem_zalloc(((size_t)x->mask + 1) * sizeof(x->entries[0]));
    if (b->nnamed != 0)
        qsort(b->named, b->nnamed, sizeof(b->named[0]), compare_named);
    for (size_t i = 0, end; i < b->nnamed; i = end) {
        struct run run = {x->nnumbers, 0};
        for (end = i; end < b->nnamed && str_eq(b->named[end].text, b->named[i].text); end++)
            if (end == i || b->named[end].number != b->named[end - 1].number)
                run.count += keep_numbers(x, &b->named[end].number, 1).count;
        put_entry(x, b->named[i].text, run);
    }
}

/* Fills nodes[at], then its children, which get places side by side. Returns the most lists on any way down. */
static size_t freeze_branch(struct route_index *x, uint32_t at, const struct branch *b)
{
    uint32_t children = x->nnodes;
    size_t deepest = 0;
    x->nnodes += b->nchildren;
    x->nodes[at] =
        (struct node){keep_text(x, b->label), keep_numbers(x, b->numbers.at, b->numbers.count), children, b->nchildren};
    x->first[at] = b->label.len == 0 ? 0 : (unsigned char)b->label.base[0];
    for (uint32_t i = 0; i < b->nchildren; i++) {
        size_t depth = freeze_branch(x, children + i, b->children[i]);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + (b->numbers.count != 0);
}

static void free_branch(struct branch *b)
{
    for (uint32_t i = 0; i < b->nchildren; i++) {
        free_branch(b->children[i]);
        free(b->children[i]);
    }
    free(b->children);
    free(b->numbers.at);
}

struct route_index *route_index_freeze(struct route_index_builder **builder)
{
    struct route_index_builder *b = *builder;
    struct route_index *x = mem_zalloc(sizeof(*x));
    x->nodes = mem_alloc(((size_t)b->nbranches + 1) * sizeof(x->nodes[0]));
    x->first = mem_alloc((size_t)b->nbranches + 1);
    x->numbers = mem_alloc((b->nnumbers + b->nnamed + 1) * sizeof(x->numbers[0]));
    freeze_named(x, b);
    x->nnodes = 1;
    x->lists_max = 1 + freeze_branch(x, 0, &b->root);
    assert(x->nnodes == b->nbranches + 1);
    x->text = buf_reserve(&x->text_buffer, 1) - x->text_buffer.len;
    free_branch(&b->root);
    free(b->named);
    mem_free(builder);
    return x;
}

void route_index_free(struct route_index **index)
{
    struct route_index *x = *index;
    if (x == NULL)
        return;
    free(x->entries);
    free(x->nodes);
    free(x->first);
    free(x->numbers);
    buf_free(&x->text_buffer);
    mem_free(index);
}

/* ---- lookup ----------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct route_index *x, struct text t)
{
    return (struct str){x->text + t.at, t.len};
}

static const struct entry *find_entry(const struct route_index *x, const struct route_key *key)
{
    uint32_t tag = tag_of(key->hash);
    for (uint64_t i = key->hash;; i++) {
        const struct entry *e = &x->entries[i & x->mask];
        if (e->tag == 0)
            return NULL;
        if (e->tag == tag && str_eq(text_of(x, e->text), key->text))
            return e;
    }
}

bool route_index_find(const struct route_index *x, const struct route_key *key, uint32_t *number_r)
{
    const struct entry *e = find_entry(x, key);
    if (e == NULL)
        return false;
    *number_r = x->numbers[e->numbers.at];
    return true;
}

static void add_run(const struct route_index *x, struct run run, struct route_cursors *c)
{
    if (run.count != 0)
        c->all[c->count++] = (struct route_cursor){x->numbers + run.at, x->numbers + run.at + run.count};
}

static const struct node *child_for(const struct route_index *x, const struct node *node, unsigned char c)
{
    if (node->nchildren == 0)
        return NULL;
    const unsigned char *from = x->first + node->children, *hit = memchr(from, c, node->nchildren);
    return hit == NULL ? NULL : &x->nodes[node->children + (uint32_t)(hit - from)];
}

size_t route_index_lists_max(const struct route_index *x)
{
    return x->lists_max;
}

void route_index_collect(const struct route_index *x, const struct route_key *path, struct route_cursors *c)
{
    struct str rest = path->text;
    const struct entry *e = find_entry(x, path);
    if (e != NULL)
        add_run(x, e->numbers, c);
    for (const struct node *node = &x->nodes[0];;) {
        add_run(x, node->numbers, c);
        node = rest.len == 0 ? NULL : child_for(x, node, (unsigned char)rest.base[0]);
        if (node == NULL || !str_starts(rest, text_of(x, node->label)))
            return;
        rest = (struct str){rest.base + node->label.len, rest.len - node->label.len};
    }
}
