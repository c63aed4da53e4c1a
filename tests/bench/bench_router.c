/* SPDX-License-Identifier: MIT
 *
 * bench_router: what a lookup costs with 10, 1,000 and 10,000 routes: a mix of hosts, whole paths, prefixes and
 * expressions, asked for in random order. Prints nanoseconds a lookup and the ratio to 10 routes. Run by hand.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/router.h"

#define LOOKUPS  2000000
#define REQUESTS 16384

struct request {
    const char *host, *path;
};

static void make_route(struct conf_route *route, unsigned i)
{
    *route = (struct conf_route){.name = "bench"};
    if (i % 4 != 0) {
        route->hosts = mem_alloc(sizeof(route->hosts[0]));
        route->hosts[0] = mem_printf(i % 16 == 1 ? "*.h%u.example" : "h%u.example", i % 100);
        route->nhosts = 1;
    }
    if (i % 10 < 5)
        route->path = mem_printf("/api/v1/thing%u/list", i);
    else if (i % 10 < 8)
        route->path_prefix = mem_printf("/app%u/static/", i);
    else
        route->path_regex = mem_printf("^/shop%u/[a-z]+/[0-9]+$", i);
}

/* a request that route i answers */
static void make_request(struct request *request, unsigned i)
{
    request->host = i % 16 == 1 ? mem_printf("a.h%u.example:8080", i % 100) : mem_printf("h%u.example:8080", i % 100);
    request->path = i % 10 < 5   ? mem_printf("/api/v1/thing%u/list", i)
                    : i % 10 < 8 ? mem_printf("/app%u/static/css/site.css", i)
                                 : mem_printf("/shop%u/shoes/4711", i);
}

static double measure(unsigned nroutes)
{
    char error[256];
    struct conf_route *routes = mem_zalloc(nroutes * sizeof(routes[0]));
    struct request *requests = mem_zalloc(REQUESTS * sizeof(requests[0]));
    for (unsigned i = 0; i < nroutes; i++)
        make_route(&routes[i], i);
    for (unsigned i = 0; i < REQUESTS; i++)
        make_request(&requests[i], (unsigned)random() % nroutes);
    struct router *router = router_create(routes, nroutes, error, sizeof(error));
    if (router == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    unsigned found = 0;
    int64_t begin_us = clock_us();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        const struct request *r = &requests[i % REQUESTS];
        struct router_request q = {.host = str_of(r->host), .path = str_of(r->path), .method = STR("GET")};
        size_t index;
        found += router_find(router, &q, &index) == ROUTER_FOUND;
    }
    double ns = (double)(clock_us() - begin_us) * 1000 / LOOKUPS;
    if (found != LOOKUPS)
        fprintf(stderr, "%u of %u requests found a route\n", found, LOOKUPS);
    router_free(&router);
    return ns;
}

int main(void)
{
    static const unsigned counts[] = {10, 1000, 10000};
    double base = 0;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        double ns = measure(counts[i]);
        if (i == 0)
            base = ns;
        printf("%5u routes: %6.1f ns a lookup, %.2f times 10 routes\n", counts[i], ns, ns / base);
    }
    return 0;
}
