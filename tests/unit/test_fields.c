/* SPDX-License-Identifier: MIT
 *
 * test_fields: what a backend gets to see of a client's fields, and what we say ourselves. One thread.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/conf.h"
#include "front/fields.h"

#define FIELDS_MAX 32

struct client {
    struct str names[FIELDS_MAX];
    struct field fields[FIELDS_MAX];
    struct fields_request q;
};

/* pairs of name and value, ended by NULL */
static void client_init(struct client *c, ...)
{
    va_list args;
    const char *name;
    *c = (struct client){.q = {.fields = c->fields,
                               .authority = STR("example.org"),
                               .scheme = STR("https"),
                               .peer = STR("192.0.2.7"),
                               .via = STR("1.1 bulkhead"),
                               .id = STR("id-1"),
                               .arrived_us = INT64_C(1700000000000123)}};
    va_start(args, c);
    while ((name = va_arg(args, const char *)) != NULL) {
        size_t i = c->q.nfields++;
        c->names[i] = str_of(name);
        c->fields[i] = (struct field){&c->names[i], NULL, str_of(va_arg(args, const char *))};
    }
    va_end(args);
}

/* all fields as "name: value\n"; checks the bounds that were promised */
static const char *built(const struct fields_request *q)
{
    static struct buf out;
    size_t max = fields_request_count_max(q), text_max = fields_request_text_max(q);
    struct call_field *fields = mem_alloc(max * sizeof(fields[0]));
    char *text = mem_alloc(text_max);
    size_t n = fields_request_build(q, fields, text);
    assert_true(n <= max);
    buf_clear(&out);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%.*s: %.*s\n", STR_ARG(fields[i].name), STR_ARG(fields[i].value));
    free(fields);
    free(text);
    return buf_z(&out);
}

#define HAS(q, line)   assert_non_null(strstr(built(q), line))
#define LACKS(q, text) assert_null(strstr(built(q), text))

static void test_our_own_fields(void **state)
{
    struct client c;
    client_init(&c, "accept", "*/*", NULL);
    assert_string_equal(built(&c.q), "host: example.org\n"
                                     "accept: */*\n"
                                     "x-forwarded-for: 192.0.2.7\n"
                                     "x-forwarded-proto: https\n"
                                     "x-forwarded-host: example.org\n"
                                     "forwarded: for=192.0.2.7;host=\"example.org\";proto=https\n"
                                     "via: 1.1 bulkhead\n"
                                     "x-request-id: id-1\n"
                                     "x-request-start: t=1700000000.000123\n");
}

static void test_hop_by_hop_fields_end_here(void **state)
{
    struct client c;
    client_init(&c, "connection", "close", "keep-alive", "x", "te", "x", "trailer", "x", "upgrade", "x",
                "transfer-encoding", "x", "proxy-connection", "x", "proxy-authorization", "x", "http2-settings", "x",
                "expect", "x", "content-length", "x", NULL);
    LACKS(&c.q, ": x\n");
    LACKS(&c.q, "close");
}

static void test_connection_names_further_ones(void **state)
{
    struct client c;
    client_init(&c, "connection", "close, X-Mine ,", "x-mine", "secret", "x-yours", "kept", NULL);
    LACKS(&c.q, "secret");
    HAS(&c.q, "x-yours: kept\n");
}

static void test_connection_cannot_take_away_ours(void **state)
{
    struct client c;
    client_init(&c, "connection", "host, content-length, x-forwarded-for, x-request-id, via, forwarded", NULL);
    HAS(&c.q, "host: example.org\n");
    HAS(&c.q, "x-forwarded-for: 192.0.2.7\n");
    HAS(&c.q, "x-request-id: id-1\n");
    HAS(&c.q, "via: 1.1 bulkhead\n");
}

static void test_names_with_underscores_are_dropped(void **state)
{
    struct client c;
    client_init(&c, "x_forwarded_for", "6.6.6.6", "a_b", "6.6.6.6", NULL);
    LACKS(&c.q, "6.6.6.6");
}

static void test_strangers_word_on_the_way_is_overwritten(void **state)
{
    struct client c;
    client_init(&c, "x-forwarded-for", "6.6.6.6", "x-forwarded-proto", "6.6.6.6", "x-forwarded-host", "6.6.6.6",
                "x-forwarded-port", "6.6.6.6", "x-real-ip", "6.6.6.6", "forwarded", "for=6.6.6.6", "x-request-start",
                "6.6.6.6", NULL);
    LACKS(&c.q, "6.6.6.6");
}

static void test_trusted_proxys_word_is_kept(void **state)
{
    struct client c;
    client_init(&c, "x-forwarded-for", "1.1.1.1", "x-forwarded-for", "2.2.2.2", "x-forwarded-proto", "http",
                "x-forwarded-host", "front.example", "x-forwarded-port", "81", "forwarded", "for=1.1.1.1",
                "x-request-start", "t=1", NULL);
    c.q.is_trusted = true;
    HAS(&c.q, "x-forwarded-for: 1.1.1.1, 2.2.2.2, 192.0.2.7\n");
    HAS(&c.q, "x-forwarded-proto: http\n");
    HAS(&c.q, "x-forwarded-host: front.example\n");
    HAS(&c.q, "x-forwarded-port: 81\n");
    HAS(&c.q, "forwarded: for=1.1.1.1, for=192.0.2.7;host=\"example.org\";proto=https\n");
    HAS(&c.q, "x-request-start: t=1\n");
    LACKS(&c.q, "x-forwarded-proto: https");
    LACKS(&c.q, "t=17");
}

static void test_peers_of_other_families(void **state)
{
    struct client c;
    client_init(&c, NULL);
    c.q.peer = STR("2001:db8::1");
    HAS(&c.q, "x-forwarded-for: 2001:db8::1\n");
    HAS(&c.q, "forwarded: for=\"[2001:db8::1]\";");
    c.q.peer = STR("unix:");
    LACKS(&c.q, "x-forwarded-for");
    HAS(&c.q, "forwarded: for=unknown;");
}

static void test_authority_cannot_break_out_of_its_quotes(void **state)
{
    struct client c;
    client_init(&c, NULL);
    c.q.authority = STR("a\"b\\c");
    HAS(&c.q, "host=\"a\\\"b\\\\c\";proto");
}

static void test_split_cookies_become_one(void **state)
{
    struct client c;
    client_init(&c, "cookie", "a=1", "accept", "*/*", "cookie", "b=2", NULL);
    HAS(&c.q, "cookie: a=1; b=2\n");
}

static void test_max_forwards_is_one_less_where_it_counts(void **state)
{
    static const char *const pairs[][2] = {
        {"1", "0"},
        {"10", "9"},
        {"1000", "999"},
        {"0042", "41"},
        {"20000000000000000000000", "19999999999999999999999"},
        {"0", "0"},
        {"", ""},
        {"-1", "-1"},
        {"1 0", "1 0"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct client c;
        char line[64];
        client_init(&c, "max-forwards", pairs[i][0], NULL);
        snprintf(line, sizeof(line), "\nmax-forwards: %s\n", pairs[i][0]);
        HAS(&c.q, line);
        c.q.counts_hops = true;
        snprintf(line, sizeof(line), "\nmax-forwards: %s\n", pairs[i][1]);
        HAS(&c.q, line);
    }
}

static void test_hops_are_spent_at_zero(void **state)
{
    static const struct {
        const char *value;
        bool spent;
    } cases[] = {{"0", true}, {"000", true}, {"1", false}, {"10", false}, {"", false}, {"0x", false}};
    struct client c;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        client_init(&c, "accept", "0", "max-forwards", cases[i].value, NULL);
        assert_int_equal(fields_hops_are_spent(c.q.fields, c.q.nfields), cases[i].spent);
    }
    client_init(&c, "accept", "0", NULL);
    assert_false(fields_hops_are_spent(c.q.fields, c.q.nfields));
}

static void test_rules_set_add_and_remove(void **state)
{
    struct conf_pair set[] = {{"X-Set", "new"}, {"Host", "inner.example"}}, add[] = {{"X-Add", "1"}};
    const char *gone[] = {"X-Gone", "Via"};
    struct conf_header_rules conf = {.set = set, .nset = 2, .add = add, .nadd = 1, .remove = gone, .nremove = 2};
    struct fields_rules rules;
    struct client c;
    fields_rules_init(&rules, &conf);
    client_init(&c, "x-set", "old", "x-add", "0", "x-gone", "old", NULL);
    c.q.rules = &rules;
    HAS(&c.q, "x-set: new\n");
    HAS(&c.q, "x-add: 0\n");
    HAS(&c.q, "x-add: 1\n");
    HAS(&c.q, "host: inner.example\n");
    LACKS(&c.q, "old");
    LACKS(&c.q, "via");
    assert_memory_not_equal(built(&c.q), "host: example.org", 17); /* where ours would be */
    fields_rules_destroy(&rules);
}

static struct str id_of(const char *value)
{
    static struct client c;
    client_init(&c, "x-request-id", value, NULL);
    return fields_request_id(c.fields, c.q.nfields);
}

static void test_request_id_is_kept_when_usable(void **state)
{
    char longest[130];
    memset(longest, 'a', sizeof(longest));
    longest[128] = '\0';
    assert_int_equal(id_of(longest).len, 128);
    longest[128] = 'a';
    longest[129] = '\0';
    assert_int_equal(id_of(longest).len, 0);
    assert_int_equal(id_of("abc-DEF_1.2").len, 11);
    assert_int_equal(id_of("").len, 0);
    assert_int_equal(id_of("a b").len, 0);
    assert_int_equal(id_of("a\"b").len, 0);
}

static void test_backends_may_not_frame_the_answer(void **state)
{
    static const char *const ours[] = {"connection", "content-length", "transfer-encoding", "keep-alive", "date",
                                       "server",     "upgrade",        "trailer",           "te"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        assert_false(fields_response_pass(str_of(ours[i])));
    assert_true(fields_response_pass(STR("content-type")));
    assert_true(fields_response_pass(STR("set-cookie")));
    assert_true(fields_response_pass(STR("x-request-id")));
    assert_true(fields_response_pass(STR("x_odd")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_own_fields),
        cmocka_unit_test(test_hop_by_hop_fields_end_here),
        cmocka_unit_test(test_connection_names_further_ones),
        cmocka_unit_test(test_connection_cannot_take_away_ours),
        cmocka_unit_test(test_names_with_underscores_are_dropped),
        cmocka_unit_test(test_strangers_word_on_the_way_is_overwritten),
        cmocka_unit_test(test_trusted_proxys_word_is_kept),
        cmocka_unit_test(test_peers_of_other_families),
        cmocka_unit_test(test_authority_cannot_break_out_of_its_quotes),
        cmocka_unit_test(test_split_cookies_become_one),
        cmocka_unit_test(test_max_forwards_is_one_less_where_it_counts),
        cmocka_unit_test(test_hops_are_spent_at_zero),
        cmocka_unit_test(test_rules_set_add_and_remove),
        cmocka_unit_test(test_request_id_is_kept_when_usable),
        cmocka_unit_test(test_backends_may_not_frame_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
