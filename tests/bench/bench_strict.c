/* SPDX-License-Identifier: MIT
 *
 * bench_strict: the strict request parser beside the one that it stands in for (phr_parse_request of libh2o), on heads
 * as they arrive: a browser's, a short one as load generators send, and a big one with cookies. Prints nanoseconds a
 * head and the ratio; each figure is the best of many rounds, taken in turns.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "front/strict.h"

#define FIELDS_MAX 100
#define ROUNDS     60
#define PARSES     20000

/* exported by the library but declared in none of its headers */
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path,
                      size_t *path_len, int *minor_version, struct strict_field *headers, size_t *num_headers,
                      size_t last_len);

static const char browser[] =
    "GET /articles/2024/05/a-title-of-some-length?page=2&sort=date HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "\r\n";

static const char brief[] = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

#define COOKIE "abcdefghijklmnopqrstuvwxyz0123456789-_.~ABCDEFGHIJKLMNOPQRSTUVWXYZ=/+%"
static const char cookies[] =
    "POST /api/v1/items HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\nContent-Length: 512\r\n"
    "Authorization: Bearer " COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE "\r\n"
    "Cookie: a=" COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE COOKIE "\r\n"
    "X-Forwarded-For: 192.0.2.1\r\nX-Request-Id: 0123456789abcdef\r\n\r\n";

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static volatile size_t sink; /* so that no parse is left out */

static double time_library(const char *head, size_t len)
{
    struct strict_field fields[FIELDS_MAX];
    double start = now_ns();
    for (int i = 0; i < PARSES; i++) {
        const char *method, *path;
        size_t method_len, path_len, n = FIELDS_MAX;
        int minor;
        sink += (size_t)phr_parse_request(head, len, &method, &method_len, &path, &path_len, &minor, fields, &n, 0);
    }
    return (now_ns() - start) / PARSES;
}

static double time_strict(const char *head, size_t len)
{
    static const struct strict_limits limits = {16384, 8192, 100, 8 << 20};
    struct strict_field fields[FIELDS_MAX];
    double start = now_ns();
    for (int i = 0; i < PARSES; i++) {
        struct strict_head out = {.fields = fields, .capacity = FIELDS_MAX};
        sink += (size_t)strict_head_parse(head, len, 0, &limits, &out) + out.bytes;
    }
    return (now_ns() - start) / PARSES;
}

static void compare(const char *name, const char *head, size_t len)
{
    double library = 1e18, strict = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        double a = time_library(head, len), b = time_strict(head, len);
        library = a < library ? a : library;
        strict = b < strict ? b : strict;
    }
    printf("%-8s %5zu bytes   library %7.1f ns   strict %7.1f ns   ratio %.2f\n", name, len, library, strict,
           strict / library);
}

int main(void)
{
    compare("browser", browser, sizeof(browser) - 1);
    compare("brief", brief, sizeof(brief) - 1);
    compare("cookies", cookies, sizeof(cookies) - 1);
    return 0;
}
