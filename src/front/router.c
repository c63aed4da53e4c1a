/* SPDX-License-Identifier: MIT
 *
 * router: see router.h for what it does. Object map: a router has a table of paths (route_index.h) for each host name,
 * each wildcard suffix, and one for any host; hosts and suffixes are found in indices of the same kind, whose numbers
 * are tables. `struct rule` is a route's conditions beyond host and path. Built on the main thread, then read-only:
 * the only thing that a lookup writes is a thread's own PCRE2 match block.
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
#include "front/route_index.h"
#include "front/router.h"

#define HOST_MAX 255
/* what one expression may try on one path; an honest one needs a few hundred */
#define REGEX_MATCH_LIMIT    50000
#define REGEX_HEAP_LIMIT_KIB 1024
/* Past this many expressions their machine code falls out of the processor's caches between two uses, and interpreting
 * the much smaller byte code is the faster way (measured with 10,000: 0.6 µs against 1.5 µs). */
#define REGEX_JIT_MAX 256

/* ---- rules: what remains to be checked -------------------------------------------------------------------------- */

struct rule {
    pcre2_code *regex;
    char *literal; /* what every match of regex begins with; "" also where there is no expression */
    struct str *methods;
    size_t nmethods;
    const struct conf_header_match *headers;
    size_t nheaders;
};

struct router {
    struct rule *rules;
    size_t nrules;
    bool *is_plain; /* by number: the rule has no condition, so it need not be looked at */
    struct route_index *any;
    struct route_index *hosts, *suffixes; /* "example.org"; ".example.org" of "*.example.org" → index in tables */
    struct route_index **tables;
    uint32_t ntables;
    uint32_t nsuffixes; /* of the tables */
    size_t lists_max;   /* lists that one lookup can meet */
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
    rule->regex =
        pcre2_compile((PCRE2_SPTR)route->path_regex, PCRE2_ZERO_TERMINATED, PCRE2_DOLLAR_ENDONLY, &code, &offset, NULL);
    if (rule->regex == NULL) {
        char text[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
        snprintf(error, error_size, "route %s: path_regex \"%s\": %s at offset %zu", route->name, route->path_regex,
                 text, offset);
        return false;
    }
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

static bool is_plain(const struct rule *rule)
{
    return rule->regex == NULL && rule->nmethods == 0 && rule->nheaders == 0;
}

static bool compile_rules(struct router *r, const struct conf_route *routes, char *error, size_t error_size)
{
    size_t nregexes = 0;
    for (size_t i = 0; i < r->nrules; i++) {
        if (!rule_init(&r->rules[i], &routes[i], error, error_size))
            return false;
        r->is_plain[i] = is_plain(&r->rules[i]);
        nregexes += r->rules[i].regex != NULL;
    }
    /* where there is no compiler the expression is interpreted: slower, same answer */
    for (size_t i = 0; i < r->nrules && nregexes <= REGEX_JIT_MAX; i++)
        if (r->rules[i].regex != NULL)
            (void)pcre2_jit_compile(r->rules[i].regex, PCRE2_JIT_COMPLETE);
    return true;
}

static void add_route(struct route_index_builder *paths, const struct conf_route *route, const struct rule *rule,
                      uint32_t number)
{
    if (route->path != NULL)
        route_index_add_path(paths, str_of(route->path), number);
    else if (route->path_prefix != NULL)
        route_index_add_prefix(paths, str_of(route->path_prefix), number);
    else
        route_index_add_prefix(paths, str_of(rule->literal), number); /* "" without an expression: every path */
}

static struct route_index *index_routes_of_any_host(const struct router *r, const struct conf_route *routes)
{
    struct route_index_builder *paths = route_index_builder_create();
    for (size_t i = 0; i < r->nrules; i++)
        if (routes[i].nhosts == 0)
            add_route(paths, &routes[i], &r->rules[i], (uint32_t)i);
    return route_index_freeze(&paths);
}

/* one of a route's hosts; "*.x" is known by its suffix ".x" */
struct hosted {
    struct str key;
    uint32_t number;
};

static int compare_hosted(const void *a, const void *b)
{
    const struct hosted *x = a, *y = b;
    size_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = memcmp(x->key.base, y->key.base, n);
    if (order != 0)
        return order;
    if (x->key.len != y->key.len)
        return x->key.len < y->key.len ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Returns owned, sorted by host and then by route. A suffix begins with a dot, a host does not. */
static struct hosted *collect_hosts(const struct router *r, const struct conf_route *routes, size_t *count_r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->nrules; i++)
        count += routes[i].nhosts;
    struct hosted *all = mem_alloc((count + 1) * sizeof(all[0]));
    count = 0;
    for (size_t i = 0; i < r->nrules; i++)
        for (size_t h = 0; h < routes[i].nhosts; h++) {
            struct str key = str_of(routes[i].hosts[h]);
            if (str_starts(key, STR("*.")))
                key = (struct str){key.base + 1, key.len - 1};
            all[count++] = (struct hosted){key, (uint32_t)i};
        }
    qsort(all, count, sizeof(all[0]), compare_hosted);
    *count_r = count;
    return all;
}

static void index_hosts(struct router *r, const struct conf_route *routes)
{
    size_t count;
    struct hosted *all = collect_hosts(r, routes, &count);
    struct route_index_builder *hosts = route_index_builder_create(), *suffixes = route_index_builder_create();
    r->tables = mem_alloc((count + 1) * sizeof(r->tables[0]));
    for (size_t i = 0, end; i < count; i = end) {
        struct route_index_builder *paths = route_index_builder_create();
        for (end = i; end < count && str_eq(all[end].key, all[i].key); end++)
            add_route(paths, &routes[all[end].number], &r->rules[all[end].number], all[end].number);
        bool is_suffix = str_starts(all[i].key, STR("."));
        r->nsuffixes += is_suffix;
        route_index_add_path(is_suffix ? suffixes : hosts, all[i].key, r->ntables);
        r->tables[r->ntables++] = route_index_freeze(&paths);
    }
    r->hosts = route_index_freeze(&hosts);
    r->suffixes = route_index_freeze(&suffixes);
    free(all);
}

/* Every label of a host can have a wildcard's table. It is only space on the stack. */
static size_t lists_bound(const struct router *r)
{
    size_t most = 0;
    for (uint32_t i = 0; i < r->ntables; i++) {
        size_t lists = route_index_lists_max(r->tables[i]);
        if (lists > most)
            most = lists;
    }
    size_t tables = r->nsuffixes < HOST_MAX / 2 ? r->nsuffixes : HOST_MAX / 2;
    return route_index_lists_max(r->any) + most * (tables + 1);
}

struct router *router_create(const struct conf_route *routes, size_t nroutes, char *error, size_t error_size)
{
    struct router *r = mem_zalloc(sizeof(*r));
    r->rules = mem_zalloc((nroutes + 1) * sizeof(r->rules[0]));
    r->is_plain = mem_zalloc(nroutes + 1);
    r->nrules = nroutes;
    if (!compile_rules(r, routes, error, error_size)) {
        router_free(&r);
        return NULL;
    }
    r->any = index_routes_of_any_host(r, routes);
    index_hosts(r, routes);
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
    free(r->is_plain);
    for (uint32_t i = 0; i < r->ntables; i++)
        route_index_free(&r->tables[i]);
    free(r->tables);
    route_index_free(&r->any);
    route_index_free(&r->hosts);
    route_index_free(&r->suffixes);
    pcre2_match_context_free(r->limits);
    mem_free(router);
}

/* ---- lookup ----------------------------------------------------------------------------------------------------- */

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

static void collect_by_host(const struct router *r, struct str host, const struct route_key *path,
                            struct route_cursors *c)
{
    uint32_t table;
    struct route_key key = route_key(host);
    if (route_index_find(r->hosts, &key, &table))
        route_index_collect(r->tables[table], path, c);
    if (r->nsuffixes == 0)
        return;
    for (size_t at = 1; at < host.len; at++) {
        if (host.base[at] != '.')
            continue;
        key = route_key((struct str){host.base + at, host.len - at});
        if (route_index_find(r->suffixes, &key, &table))
            route_index_collect(r->tables[table], path, c);
    }
}

/* takes the lowest number off the lists; false when all are used up */
static bool next_number(struct route_cursors *c, uint32_t *number_r)
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
    struct route_key path = route_key(q.path);
    struct route_cursors c = {.all = alloca(r->lists_max * sizeof(c.all[0]))};
    q.host = fold_host(request->host, folded);
    route_index_collect(r->any, &path, &c);
    if (r->ntables != 0)
        collect_by_host(r, q.host, &path, &c);
    for (uint32_t number; next_number(&c, &number);) {
        enum router_result result = r->is_plain[number] ? ROUTER_FOUND : rule_passes(r, &r->rules[number], &q);
        if (result == ROUTER_NONE)
            continue;
        *index_r = number;
        return result;
    }
    return ROUTER_NONE;
}
