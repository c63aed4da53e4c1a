/* SPDX-License-Identifier: MIT
 *
 * router: see router.h for what it does and for the shape. Object map: a router has tables (by host, by wildcard
 * suffix, one for any host); a table has a hash of whole paths and a radix tree of prefixes; both hold `numbers`, sorted
 * lists of route numbers; `struct rule` is a route's compiled conditions beyond host and path. Built on the main thread,
 * then read-only. The only thing written by a lookup is a thread's own PCRE2 match block.
 */
#include "config.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <alloca.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <pcre2.h>

#include "base/mem.h"
#include "config/conf.h"
#include "front/router.h"

#define HOST_MAX 255
/* what one expression may try on one path; an honest one needs a few hundred */
#define REGEX_MATCH_LIMIT 50000
#define REGEX_HEAP_LIMIT_KIB 1024

/* ---- lists of route numbers ------------------------------------------------------------------------------------- */

struct numbers {
    uint32_t *at;
    uint32_t count, capacity;
};

/* routes are added in file order, so appending keeps the list sorted */
static void numbers_add(struct numbers *n, uint32_t number)
{
    if (n->count != 0 && n->at[n->count - 1] == number)
        return;
    if (n->count == n->capacity) {
        n->capacity = n->capacity == 0 ? 2 : 2 * n->capacity;
        n->at = mem_realloc(n->at, n->capacity * sizeof(n->at[0]));
    }
    n->at[n->count++] = number;
}

/* ---- hash: text → index, for hosts and whole paths -------------------------------------------------------------- */

struct hash_entry {
    struct str key; /* base NULL: free */
    uint32_t value;
};

struct hash {
    struct hash_entry *entries;
    uint32_t count, mask; /* entries: mask + 1, never more than half full */
};

static uint64_t hash_of(struct str s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.base[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

static struct hash_entry *hash_slot(const struct hash *hash, struct str key)
{
    for (uint64_t i = hash_of(key);; i++) {
        struct hash_entry *e = &hash->entries[i & hash->mask];
        if (e->key.base == NULL || str_eq(e->key, key))
            return e;
    }
}

static void hash_grow(struct hash *hash)
{
    struct hash bigger = {.mask = hash->entries == NULL ? 7 : 2 * hash->mask + 1};
    bigger.entries = mem_zalloc(((size_t)bigger.mask + 1) * sizeof(bigger.entries[0]));
    bigger.count = hash->count;
    for (size_t i = 0; hash->entries != NULL && i <= hash->mask; i++)
        if (hash->entries[i].key.base != NULL)
            *hash_slot(&bigger, hash->entries[i].key) = hash->entries[i];
    free(hash->entries);
    *hash = bigger;
}

/* The value under key, which becomes `fresh` when the key is new. The key is borrowed. */
static uint32_t hash_put(struct hash *hash, struct str key, uint32_t fresh)
{
    if (hash->entries == NULL || 2 * (hash->count + 1) > hash->mask + 1)
        hash_grow(hash);
    struct hash_entry *e = hash_slot(hash, key);
    if (e->key.base == NULL) {
        *e = (struct hash_entry){key, fresh};
        hash->count++;
    }
    return e->value;
}

static bool hash_get(const struct hash *hash, struct str key, uint32_t *value_r)
{
    if (hash->count == 0)
        return false;
    const struct hash_entry *e = hash_slot(hash, key);
    if (e->key.base == NULL)
        return false;
    *value_r = e->value;
    return true;
}

/* ---- radix tree of prefixes ------------------------------------------------------------------------------------- */

struct radix {
    struct str label; /* the bytes from the parent to here; borrowed from the conf tree */
    struct numbers numbers;
    struct radix **children; /* sorted by first byte; no two share it */
    uint32_t nchildren;
};

static size_t common_length(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    while (i < n && a.base[i] == b.base[i])
        i++;
    return i;
}

/* where a child that begins with c is, or would be */
static uint32_t radix_position(const struct radix *node, unsigned char c)
{
    uint32_t low = 0, high = node->nchildren;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if ((unsigned char)node->children[middle]->label.base[0] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct radix *radix_child(const struct radix *node, unsigned char c)
{
    uint32_t i = radix_position(node, c);
    return i < node->nchildren && (unsigned char)node->children[i]->label.base[0] == c ? node->children[i] : NULL;
}

static struct radix *radix_add_child(struct radix *node, struct str label)
{
    uint32_t i = radix_position(node, (unsigned char)label.base[0]);
    struct radix *child = mem_zalloc(sizeof(*child));
    child->label = label;
    node->children = mem_realloc(node->children, (node->nchildren + 1) * sizeof(node->children[0]));
    memmove(&node->children[i + 1], &node->children[i], (node->nchildren - i) * sizeof(node->children[0]));
    node->children[i] = child;
    node->nchildren++;
    return child;
}

/* cuts the node's label after `keep` bytes; what it held moves into a new only child */
static void radix_split(struct radix *node, size_t keep)
{
    struct radix *tail = mem_alloc(sizeof(*tail));
    *tail = *node;
    tail->label = (struct str){node->label.base + keep, node->label.len - keep};
    *node = (struct radix){.label = {node->label.base, keep}};
    node->children = mem_alloc(sizeof(node->children[0]));
    node->children[0] = tail;
    node->nchildren = 1;
}

/* the numbers of the node for exactly this prefix, made when there is none */
static struct numbers *radix_put(struct radix *root, struct str prefix)
{
    struct radix *node = root;
    while (prefix.len != 0) {
        struct radix *child = radix_child(node, (unsigned char)prefix.base[0]);
        if (child == NULL)
            return &radix_add_child(node, prefix)->numbers;
        size_t common = common_length(child->label, prefix);
        if (common < child->label.len)
            radix_split(child, common);
        prefix = (struct str){prefix.base + common, prefix.len - common};
        node = child;
    }
    return &node->numbers;
}

static void radix_free(struct radix *node)
{
    for (uint32_t i = 0; i < node->nchildren; i++) {
        radix_free(node->children[i]);
        free(node->children[i]);
    }
    free(node->children);
    free(node->numbers.at);
}

/* the most non-empty lists on any way down */
static size_t radix_depth(const struct radix *node)
{
    size_t deepest = 0;
    for (uint32_t i = 0; i < node->nchildren; i++) {
        size_t depth = radix_depth(node->children[i]);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + (node->numbers.count != 0);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

struct table {
    struct hash paths; /* whole path → index in `exact` */
    struct numbers *exact;
    uint32_t nexact;
    struct radix prefixes;
};

static void table_add_path(struct table *t, struct str path, uint32_t number)
{
    uint32_t i = hash_put(&t->paths, path, t->nexact);
    if (i == t->nexact) {
        t->exact = mem_realloc(t->exact, (t->nexact + 1) * sizeof(t->exact[0]));
        t->exact[t->nexact++] = (struct numbers){0};
    }
    numbers_add(&t->exact[i], number);
}

static void table_free(struct table *t)
{
    for (uint32_t i = 0; i < t->nexact; i++)
        free(t->exact[i].at);
    free(t->exact);
    free(t->paths.entries);
    radix_free(&t->prefixes);
}

/* ---- rules: what remains to be checked -------------------------------------------------------------------------- */

struct rule {
    pcre2_code *regex;
    char *literal; /* what every match of regex begins with; the tree borrows it as a label */
    struct str *methods;
    size_t nmethods;
    const struct conf_header_match *headers;
    size_t nheaders;
};

struct router {
    struct rule *rules;
    size_t nrules;
    struct table any;
    struct hash hosts, suffixes; /* "example.org"; ".example.org" of "*.example.org" → index in tables */
    struct table *tables;
    uint32_t ntables;
    size_t lists_max; /* lists that one lookup can meet */
    pcre2_match_context *limits;
};

/* One match block a thread: it has room for the only offset pair that is asked for. */
static __thread pcre2_match_data *match_block;

static enum router_result regex_matches(const struct router *router, const pcre2_code *regex, struct str path)
{
    if (match_block == NULL && (match_block = pcre2_match_data_create(1, NULL)) == NULL)
        return ROUTER_FAILED;
    int rc = pcre2_match(regex, (PCRE2_SPTR)path.base, path.len, 0, 0, match_block, router->limits);
    if (rc >= 0)
        return ROUTER_FOUND;
    return rc == PCRE2_ERROR_NOMATCH ? ROUTER_NONE : ROUTER_FAILED;
}

static bool methods_match(const struct rule *rule, struct str method)
{
    for (size_t i = 0; i < rule->nmethods; i++)
        if (str_eq(rule->methods[i], method))
            return true;
    return rule->nmethods == 0;
}

static bool header_matches(const struct conf_header_match *want, const struct router_request *request)
{
    struct str name = str_of(want->name), value = str_of(want->value);
    if (str_eq(name, STR("host")))
        return value.base == NULL || str_eq(value, request->host);
    for (size_t i = 0; i < request->nfields; i++) {
        const struct field *f = &request->fields[i];
        if (str_eq(*f->name, name) && (value.base == NULL || str_eq(f->value, value)))
            return true;
    }
    return false;
}

static enum router_result rule_passes(const struct router *router, const struct rule *rule,
                                      const struct router_request *request)
{
    if (!methods_match(rule, request->method))
        return ROUTER_NONE;
    for (size_t i = 0; i < rule->nheaders; i++)
        if (!header_matches(&rule->headers[i], request))
            return ROUTER_NONE;
    return rule->regex == NULL ? ROUTER_FOUND : regex_matches(router, rule->regex, request->path);
}

/* ---- the literal beginning of an expression --------------------------------------------------------------------- */

/* quoting, comments and settings: an expression with one of these is filed without a prefix rather than understood */
static bool has_unusual_syntax(const char *pattern)
{
    if (strstr(pattern, "\\Q") != NULL || strstr(pattern, "(?#") != NULL)
        return true;
    for (const char *p = pattern; (p = strstr(p, "(?")) != NULL; p += 2)
        if (isalpha((unsigned char)p[2]) || p[2] == '^' || p[2] == '-')
            return true;
    return false;
}

/* p is at a '['. Returns its ']', or the end of the text. */
static const char *skip_class(const char *p)
{
    p += p[1] == '^' ? 2 : 1;
    if (*p == ']') /* right behind the bracket it is a member */
        p++;
    while (*p != '\0' && *p != ']')
        p += *p == '\\' && p[1] != '\0' ? 2 : 1;
    return p;
}

static bool has_alternative_at_top(const char *pattern)
{
    int depth = 0;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        else if (*p == '[' && *(p = skip_class(p)) == '\0')
            return true; /* not understood: claim nothing */
        else if (*p == '(')
            depth++;
        else if (*p == ')')
            depth--;
        else if (*p == '|' && depth == 0)
            return true;
    }
    return false;
}

static bool is_literal(const char *p, size_t *width_r)
{
    bool escaped = *p == '\\' && ispunct((unsigned char)p[1]);
    *width_r = escaped ? 2 : 1;
    return escaped || isalnum((unsigned char)*p) || (*p != '\0' && strchr("/-_~%,:;=@!&'<>\"", *p) != NULL);
}

/* returns owned; "" when nothing is certain */
static char *regex_literal(const char *pattern)
{
    char *literal = mem_zalloc(strlen(pattern) + 1);
    if (pattern[0] != '^' || has_unusual_syntax(pattern) || has_alternative_at_top(pattern))
        return literal;
    size_t len = 0, width;
    for (const char *p = pattern + 1; is_literal(p, &width); p += width) {
        char after = p[width];
        if (after == '*' || after == '?' || after == '{')
            break;
        literal[len++] = p[width - 1];
        if (after == '+')
            break;
    }
    return literal;
}

/* ---- building --------------------------------------------------------------------------------------------------- */

static bool rule_compile_regex(struct rule *rule, const struct conf_route *route, char *error, size_t error_size)
{
    int code;
    size_t offset;
    rule->regex = pcre2_compile((PCRE2_SPTR)route->path_regex, PCRE2_ZERO_TERMINATED, PCRE2_DOLLAR_ENDONLY, &code,
                                &offset, NULL);
    if (rule->regex == NULL) {
        char text[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
        snprintf(error, error_size, "%s:%u: path_regex \"%s\": %s at offset %zu", route->file, route->line,
                 route->path_regex, text, offset);
        return false;
    }
    /* without the compiler the expression is interpreted: slower, same answer */
    (void)pcre2_jit_compile(rule->regex, PCRE2_JIT_COMPLETE);
    rule->literal = regex_literal(route->path_regex);
    return true;
}

static bool rule_init(struct rule *rule, const struct conf_route *route, char *error, size_t error_size)
{
    rule->headers = route->headers;
    rule->nheaders = route->nheaders;
    rule->nmethods = route->nmethods;
    rule->methods = mem_alloc((route->nmethods + 1) * sizeof(rule->methods[0]));
    for (size_t i = 0; i < route->nmethods; i++)
        rule->methods[i] = str_of(route->methods[i]);
    return route->path_regex == NULL || rule_compile_regex(rule, route, error, error_size);
}

static void table_add(struct table *t, const struct conf_route *route, const struct rule *rule, uint32_t number)
{
    if (route->path != NULL)
        table_add_path(t, str_of(route->path), number);
    else if (route->path_prefix != NULL)
        numbers_add(radix_put(&t->prefixes, str_of(route->path_prefix)), number);
    else if (rule->regex != NULL)
        numbers_add(radix_put(&t->prefixes, str_of(rule->literal)), number);
    else
        numbers_add(&t->prefixes.numbers, number);
}

/* The table of a host as the conf names it: "*.x" is known by its suffix ".x". */
static struct table *host_table(struct router *r, struct str host)
{
    bool wildcard = str_starts(host, STR("*."));
    if (wildcard)
        host = (struct str){host.base + 1, host.len - 1};
    uint32_t i = hash_put(wildcard ? &r->suffixes : &r->hosts, host, r->ntables);
    if (i == r->ntables) {
        r->tables = mem_realloc(r->tables, (r->ntables + 1) * sizeof(r->tables[0]));
        r->tables[r->ntables++] = (struct table){0};
    }
    return &r->tables[i];
}

static void file_route(struct router *r, const struct conf_route *route, uint32_t number)
{
    const struct rule *rule = &r->rules[number];
    if (route->nhosts == 0)
        table_add(&r->any, route, rule, number);
    for (size_t i = 0; i < route->nhosts; i++)
        table_add(host_table(r, str_of(route->hosts[i])), route, rule, number);
}

/* every label of a host can have a wildcard's table, so the bound is per table times labels; it is only stack space */
static size_t lists_bound(const struct router *r)
{
    size_t deepest = 0;
    for (uint32_t i = 0; i < r->ntables; i++) {
        size_t depth = radix_depth(&r->tables[i].prefixes) + 1;
        if (depth > deepest)
            deepest = depth;
    }
    size_t tables = r->suffixes.count < HOST_MAX / 2 ? r->suffixes.count : HOST_MAX / 2;
    return radix_depth(&r->any.prefixes) + 1 + deepest * (tables + 1);
}

struct router *router_create(const struct conf_route *routes, size_t nroutes, char *error, size_t error_size)
{
    struct router *r = mem_zalloc(sizeof(*r));
    r->rules = mem_zalloc((nroutes + 1) * sizeof(r->rules[0]));
    for (; r->nrules < nroutes; r->nrules++) {
        if (!rule_init(&r->rules[r->nrules], &routes[r->nrules], error, error_size)) {
            r->nrules++;
            router_free(&r);
            return NULL;
        }
        file_route(r, &routes[r->nrules], (uint32_t)r->nrules);
    }
    r->lists_max = lists_bound(r);
    r->limits = pcre2_match_context_create(NULL);
    if (r->limits != NULL) {
        pcre2_set_match_limit(r->limits, REGEX_MATCH_LIMIT);
        pcre2_set_heap_limit(r->limits, REGEX_HEAP_LIMIT_KIB);
    }
    return r;
}

void router_free(struct router **router)
{
    struct router *r = *router;
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->nrules; i++) {
        pcre2_code_free(r->rules[i].regex);
        free(r->rules[i].literal);
        free(r->rules[i].methods);
    }
    free(r->rules);
    table_free(&r->any);
    for (uint32_t i = 0; i < r->ntables; i++)
        table_free(&r->tables[i]);
    free(r->tables);
    free(r->hosts.entries);
    free(r->suffixes.entries);
    pcre2_match_context_free(r->limits);
    mem_free(router);
}

/* ---- lookup ----------------------------------------------------------------------------------------------------- */

/* The lists that can hold the answer, each with the place up to which it was tried. */
struct cursors {
    struct cursor {
        const uint32_t *at, *end;
    } *all;
    size_t count;
};

static void cursors_add(struct cursors *c, const struct numbers *n)
{
    if (n->count != 0)
        c->all[c->count++] = (struct cursor){n->at, n->at + n->count};
}

static void collect(const struct table *t, struct str path, struct cursors *c)
{
    uint32_t exact;
    if (hash_get(&t->paths, path, &exact))
        cursors_add(c, &t->exact[exact]);
    const struct radix *node = &t->prefixes;
    for (;;) {
        cursors_add(c, &node->numbers);
        const struct radix *child = path.len == 0 ? NULL : radix_child(node, (unsigned char)path.base[0]);
        if (child == NULL || !str_starts(path, child->label))
            return;
        path = (struct str){path.base + child->label.len, path.len - child->label.len};
        node = child;
    }
}

/* Lower-cases the host into out (HOST_MAX bytes) without port and final dot. An unusable one becomes empty: it then
 * meets the routes without a host only. */
static struct str fold_host(struct str host, char *out)
{
    size_t len = host.len;
    if (len != 0 && host.base[0] == '[') {
        const char *bracket = memchr(host.base, ']', len);
        len = bracket == NULL ? 0 : (size_t)(bracket - host.base) + 1;
    } else {
        const char *colon = len == 0 ? NULL : memchr(host.base, ':', len);
        len = colon == NULL ? len : (size_t)(colon - host.base);
    }
    if (len != 0 && host.base[len - 1] == '.')
        len--;
    if (len > HOST_MAX)
        len = 0;
    for (size_t i = 0; i < len; i++) {
        char c = host.base[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return (struct str){out, len};
}

static void collect_by_host(const struct router *r, struct str host, struct str path, struct cursors *c)
{
    uint32_t i;
    if (hash_get(&r->hosts, host, &i))
        collect(&r->tables[i], path, c);
    if (r->suffixes.count == 0)
        return;
    for (size_t at = 1; at < host.len; at++)
        if (host.base[at] == '.' && hash_get(&r->suffixes, (struct str){host.base + at, host.len - at}, &i))
            collect(&r->tables[i], path, c);
}

/* takes the lowest number off the lists; false when all are used up */
static bool cursors_next(struct cursors *c, uint32_t *number_r)
{
    uint32_t lowest = UINT32_MAX;
    for (size_t i = 0; i < c->count; i++)
        if (c->all[i].at != c->all[i].end && *c->all[i].at < lowest)
            lowest = *c->all[i].at;
    if (lowest == UINT32_MAX)
        return false;
    /* a route with several hosts can be on several lists */
    for (size_t i = 0; i < c->count; i++)
        if (c->all[i].at != c->all[i].end && *c->all[i].at == lowest)
            c->all[i].at++;
    *number_r = lowest;
    return true;
}

enum router_result router_find(const struct router *r, const struct router_request *request, size_t *index_r)
{
    char folded[HOST_MAX];
    struct router_request q = *request;
    struct cursors c = {.all = alloca(r->lists_max * sizeof(c.all[0]))};
    q.host = fold_host(request->host, folded);
    collect(&r->any, q.path, &c);
    if (r->ntables != 0)
        collect_by_host(r, q.host, q.path, &c);
    for (uint32_t number; cursors_next(&c, &number);) {
        enum router_result result = rule_passes(r, &r->rules[number], &q);
        if (result == ROUTER_NONE)
            continue;
        *index_r = number;
        return result;
    }
    return ROUTER_NONE;
}
