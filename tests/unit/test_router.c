/* SPDX-License-Identifier: MIT
 *
 * test_router: single rules one by one, then thousands of random rule sets and requests against a matcher that does
 * nothing but try every route in file order. One thread.
 */
#include "config.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/conf.h"
#include "front/router.h"

#define NONE SIZE_MAX

/* ---- single rules ----------------------------------------------------------------------------------------------- */

static struct router *make(const struct conf_route *routes, size_t n)
{
    char error[256] = "";
    struct router *r = router_create(routes, n, error, sizeof(error));
    if (r == NULL)
        fail_msg("%s", error);
    return r;
}

static size_t find(const struct router *r, const char *host, const char *method, const char *path)
{
    struct router_request q = {.host = str_of(host), .path = str_of(path), .method = str_of(method)};
    size_t index = NONE;
    return router_find(r, &q, &index) == ROUTER_FOUND ? index : NONE;
}

#define GET(r, path) find(r, "h", "GET", path)

static void test_first_match_in_file_order_wins(void **state)
{
    const struct conf_route routes[] = {
        {.path_prefix = "/a/b"}, {.path = "/a/b/c"}, {.path_prefix = "/a"}, {.path = "/a"}, {.path_prefix = "/"}};
    struct router *r = make(routes, 5);
    assert_int_equal(GET(r, "/a/b/c"), 0);
    assert_int_equal(GET(r, "/a/c"), 2);
    assert_int_equal(GET(r, "/a"), 2);
    assert_int_equal(GET(r, "/z"), 4);
    router_free(&r);
    assert_null(r);
}

static void test_prefix_is_plain_text(void **state)
{
    const struct conf_route routes[] = {{.path_prefix = "/static/"}, {.path_prefix = "/st"}};
    struct router *r = make(routes, 2);
    assert_int_equal(GET(r, "/static/x"), 0);
    assert_int_equal(GET(r, "/static/"), 0);
    assert_int_equal(GET(r, "/static"), 1);
    assert_int_equal(GET(r, "/s"), NONE);
    router_free(&r);
}

static void test_host_without_port_and_capitals(void **state)
{
    const char *hosts[] = {"example.org"};
    const struct conf_route routes[] = {{.hosts = hosts, .nhosts = 1}};
    struct router *r = make(routes, 1);
    assert_int_equal(find(r, "Example.ORG:8080", "GET", "/"), 0);
    assert_int_equal(find(r, "example.org.", "GET", "/"), 0);
    assert_int_equal(find(r, "example.com", "GET", "/"), NONE);
    assert_int_equal(find(r, "", "GET", "/"), NONE);
    router_free(&r);
}

static void test_ipv6_host(void **state)
{
    const char *hosts[] = {"[::1]"};
    const struct conf_route routes[] = {{.hosts = hosts, .nhosts = 1}};
    struct router *r = make(routes, 1);
    assert_int_equal(find(r, "[::1]:80", "GET", "/"), 0);
    assert_int_equal(find(r, "[::1]", "GET", "/"), 0);
    assert_int_equal(find(r, "[::2]", "GET", "/"), NONE);
    assert_int_equal(find(r, "[", "GET", "/"), NONE);
    router_free(&r);
}

static void test_wildcard_host_matches_any_depth_but_not_itself(void **state)
{
    const char *wild[] = {"*.example.org"}, *exact[] = {"a.example.org"};
    const struct conf_route routes[] = {{.hosts = wild, .nhosts = 1, .path = "/w"}, {.hosts = exact, .nhosts = 1}};
    struct router *r = make(routes, 2);
    assert_int_equal(find(r, "a.example.org", "GET", "/w"), 0);
    assert_int_equal(find(r, "a.b.example.org", "GET", "/w"), 0);
    assert_int_equal(find(r, "example.org", "GET", "/w"), NONE);
    assert_int_equal(find(r, "a.example.org", "GET", "/"), 1);
    assert_int_equal(find(r, "notexample.org", "GET", "/w"), NONE);
    router_free(&r);
}

static void test_methods(void **state)
{
    const char *post[] = {"POST", "PUT"};
    const struct conf_route routes[] = {{.path = "/a", .methods = post, .nmethods = 2}, {.path = "/a"}};
    struct router *r = make(routes, 2);
    assert_int_equal(find(r, "h", "PUT", "/a"), 0);
    assert_int_equal(find(r, "h", "GET", "/a"), 1);
    assert_int_equal(find(r, "h", "put", "/a"), 1); /* methods are case-sensitive */
    router_free(&r);
}

static void test_headers(void **state)
{
    struct conf_header_match with_value = {"x-a", "1"}, present = {"x-b", NULL};
    const struct conf_route routes[] = {{.headers = &with_value, .nheaders = 1}, {.headers = &present, .nheaders = 1}};
    struct router *r = make(routes, 2);
    struct str name_a = STR("x-a"), name_b = STR("x-b");
    struct field fields[] = {{&name_a, NULL, STR("2")}, {&name_b, NULL, STR("")}};
    struct router_request q = {.path = STR("/"), .method = STR("GET"), .fields = fields, .nfields = 2};
    size_t index;
    assert_int_equal(router_find(r, &q, &index), ROUTER_FOUND);
    assert_int_equal(index, 1);
    fields[0].value = STR("1");
    assert_int_equal(router_find(r, &q, &index), ROUTER_FOUND);
    assert_int_equal(index, 0);
    q.nfields = 0;
    assert_int_equal(router_find(r, &q, &index), ROUTER_NONE);
    router_free(&r);
}

static void test_expression_runs_only_behind_its_literal_beginning(void **state)
{
    const struct conf_route routes[] = {
        {.path_regex = "^/q/[a-z]+$"}, {.path_regex = "^/a\\.b/?x"}, {.path_regex = "z$"}};
    struct router *r = make(routes, 3);
    assert_int_equal(GET(r, "/q/abc"), 0);
    assert_int_equal(GET(r, "/q/9"), NONE);
    assert_int_equal(GET(r, "/a.b/x"), 1);
    assert_int_equal(GET(r, "/a.bx"), 1);
    assert_int_equal(GET(r, "/q/9z"), 2);
    router_free(&r);
}

static void test_bad_expression_names_its_line(void **state)
{
    const struct conf_route route = {.path_regex = "^/(", .name = "x.conf:7"};
    char error[256] = "";
    assert_null(router_create(&route, 1, error, sizeof(error)));
    assert_non_null(strstr(error, "x.conf:7"));
}

static void test_runaway_expression_is_no_answer(void **state)
{
    const struct conf_route routes[] = {{.path_regex = "^/((a|aa)+)+$"}, {.path_prefix = "/"}};
    struct router *r = make(routes, 2);
    char path[64] = "/";
    memset(path + 1, 'a', 60);
    path[61] = '!';
    struct router_request q = {.path = str_of(path), .method = STR("GET")};
    size_t index;
    assert_int_equal(router_find(r, &q, &index), ROUTER_FAILED);
    router_free(&r);
}

static void test_no_routes(void **state)
{
    struct router *r = make(NULL, 0);
    assert_int_equal(GET(r, "/"), NONE);
    router_free(&r);
}

/* ---- against a matcher that is too simple to be wrong ----------------------------------------------------------- */

static bool naive_host(const struct conf_route *route, const char *host)
{
    for (size_t i = 0; i < route->nhosts; i++) {
        const char *want = route->hosts[i];
        size_t len = strlen(host), suffix = strlen(want) - 1;
        if (strcmp(want, host) == 0)
            return true;
        if (want[0] == '*' && len > suffix && strcmp(host + len - suffix, want + 1) == 0)
            return true;
    }
    return route->nhosts == 0;
}

static bool naive_regex(const char *pattern, const char *path)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_DOLLAR_ENDONLY, &code, &offset, NULL);
    assert_non_null(re);
    pcre2_match_data *block = pcre2_match_data_create(1, NULL);
    bool matches = pcre2_match(re, (PCRE2_SPTR)path, strlen(path), 0, 0, block, NULL) >= 0;
    pcre2_match_data_free(block);
    pcre2_code_free(re);
    return matches;
}

static bool naive_matches(const struct conf_route *route, const char *host, const char *method, const char *path)
{
    if (!naive_host(route, host) || (route->nmethods != 0 && strcmp(route->methods[0], method) != 0))
        return false;
    if (route->path != NULL)
        return strcmp(route->path, path) == 0;
    if (route->path_prefix != NULL)
        return strncmp(path, route->path_prefix, strlen(route->path_prefix)) == 0;
    return route->path_regex == NULL || naive_regex(route->path_regex, path);
}

static size_t naive_find(const struct conf_route *routes, size_t n, const char *host, const char *method,
                         const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (naive_matches(&routes[i], host, method, path))
            return i;
    return NONE;
}

static const char *const hosts[] = {"a.x", "b.x", "*.x", "*.b.x", "x", "c.b.x", "*.c.b.x"};
static const char *const request_hosts[] = {"a.x", "b.x", "x", "c.b.x", "d.c.b.x", "other"};
static const char *const methods[] = {"GET", "POST"};
static const char *const patterns[] = {"^/a",        "^/a/b+",    "^/ab?c",      "^/a(b|c)/", "^/a|^/b",
                                       "b$",         "^/[ab]/c",  "^/a{1,2}b",   "^/a\\/b",   "^(?:/a|/b)",
                                       "^/a[|]b|/c", "(?i)^/A/b", "^/\\Qa|b\\E", "^/a.c$",    "^/(?=a)a/b",
                                       "^/a\\|b",    "",          "^",           "^/b/(?#|)c"};

static const char *pick(const char *const *from, size_t n)
{
    return from[(size_t)random() % n];
}
#define PICK(array) pick(array, sizeof(array) / sizeof(array[0]))

/* few letters, so that prefixes nest and collide */
static char *random_path(void)
{
    static const char letters[] = "ab/ac/b";
    size_t len = 1 + (size_t)random() % 9;
    char *path = mem_zalloc(len + 1);
    path[0] = '/';
    for (size_t i = 1; i < len; i++)
        path[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
    return path;
}

static void random_route(struct conf_route *route)
{
    *route = (struct conf_route){.name = "random"};
    route->nhosts = (size_t)random() % 3;
    route->hosts = mem_alloc(3 * sizeof(route->hosts[0]));
    for (size_t i = 0; i < route->nhosts; i++)
        route->hosts[i] = PICK(hosts);
    if (random() % 4 == 0) {
        route->methods = mem_alloc(sizeof(route->methods[0]));
        route->methods[0] = PICK(methods);
        route->nmethods = 1;
    }
    switch (random() % 7) {
    case 0:
    case 1:
    case 2:
        route->path = random_path();
        break;
    case 3:
    case 4:
        route->path_prefix = random_path();
        break;
    case 5:
        route->path_regex = PICK(patterns);
        break;
    }
}

static void free_route(struct conf_route *route)
{
    free((char *)route->path);
    free((char *)route->path_prefix);
    free(route->hosts);
    free(route->methods);
}

static void test_agrees_with_the_naive_matcher(void **state)
{
    srandom(20);
    for (unsigned round = 0; round < 400; round++) {
        struct conf_route routes[60];
        size_t n = (size_t)random() % 60;
        for (size_t i = 0; i < n; i++)
            random_route(&routes[i]);
        struct router *r = make(routes, n);
        for (unsigned request = 0; request < 50; request++) {
            const char *host = PICK(request_hosts), *method = PICK(methods);
            char *path = random_path();
            size_t want = naive_find(routes, n, host, method, path), got = find(r, host, method, path);
            if (want != got)
                fail_msg("round %u: %s %s %s: route %zd, not %zd", round, host, method, path, (ssize_t)got,
                         (ssize_t)want);
            free(path);
        }
        router_free(&r);
        for (size_t i = 0; i < n; i++)
            free_route(&routes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_match_in_file_order_wins),
        cmocka_unit_test(test_prefix_is_plain_text),
        cmocka_unit_test(test_host_without_port_and_capitals),
        cmocka_unit_test(test_ipv6_host),
        cmocka_unit_test(test_wildcard_host_matches_any_depth_but_not_itself),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_expression_runs_only_behind_its_literal_beginning),
        cmocka_unit_test(test_bad_expression_names_its_line),
        cmocka_unit_test(test_runaway_expression_is_no_answer),
        cmocka_unit_test(test_no_routes),
        cmocka_unit_test(test_agrees_with_the_naive_matcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
