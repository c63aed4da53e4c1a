/* SPDX-License-Identifier: MIT
 *
 * What a reload is told of two confs: what goes on, what is new, and what cannot be.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"

static struct conf *parse(const char *rest)
{
    char text[4096];
    struct buf problems = {0};
    snprintf(text, sizeof(text), "{ \"listeners\": [ { \"bind\": \"127.0.0.1:80\" } ], %s }", rest);
    struct conf *conf = conf_parse("conf/test.conf", text, strlen(text), &problems);
    if (conf == NULL)
        fail_msg("%s", buf_z(&problems));
    buf_free(&problems);
    return conf;
}

#define ROUTES(more) "\"routes\": [ { \"path\": \"/\", \"backend\": \"a\"" more " } ]"
#define BACKEND(more)                                                                                                  \
    "\"backends\": { \"a\": { \"run\": \"workers\", \"command\": [\"true\"], \"workers\": 2" more " } }, "
#define ROUTES_RESPOND     "\"routes\": [ { \"path\": \"/\", \"respond\": {} } ]"
#define WITH_BACKEND(more) BACKEND(more) ROUTES("")

static enum conf_change change(const char *before, const char *after)
{
    struct conf *a = parse(before), *b = parse(after);
    enum conf_change found = conf_change_of_backend(a, 0, b, 0);
    conf_free(&a);
    conf_free(&b);
    return found;
}

static void backends_are_compared_key_by_key(void **state)
{
    (void)state;
    assert_int_equal(change(WITH_BACKEND(""), WITH_BACKEND(", \"concurrency\": 1")), CONF_CHANGE_NONE);
    assert_int_equal(change(WITH_BACKEND(""), WITH_BACKEND(", \"timeout\": \"1s\"")), CONF_CHANGE_LIVE);
    assert_int_equal(change(WITH_BACKEND(""), WITH_BACKEND(", \"queue\": 3")), CONF_CHANGE_LIVE);
    assert_int_equal(change(WITH_BACKEND(""), WITH_BACKEND(", \"environment\": { \"A\": \"b\" }")), CONF_CHANGE_OTHER);
    assert_int_equal(change(WITH_BACKEND(", \"queue\": 3"), WITH_BACKEND(", \"nice\": 3")), CONF_CHANGE_OTHER);
}

static void some_limits_are_of_every_backend(void **state)
{
    (void)state;
    assert_int_equal(change(WITH_BACKEND(""), "\"limits\": { \"max_body\": \"1MiB\" }, " WITH_BACKEND("")),
                     CONF_CHANGE_NONE);
    assert_int_equal(change(WITH_BACKEND(""), "\"limits\": { \"response_interim\": 3 }, " WITH_BACKEND("")),
                     CONF_CHANGE_OTHER);
}

static void a_rule_is_what_it_says_and_not_where_or_how_it_is_called(void **state)
{
    (void)state;
    struct conf *a = parse(WITH_BACKEND("")), *b = parse("\n\n" BACKEND("") ROUTES(", \"name\": \"x\"")),
                *c = parse(BACKEND("") ROUTES(", \"timeout\": \"1s\""));
    char *rules[] = {conf_change_rule(a, 0), conf_change_rule(b, 0), conf_change_rule(c, 0)};
    assert_string_equal(rules[0], rules[1]);
    assert_string_not_equal(rules[0], rules[2]);
    for (size_t i = 0; i < 3; i++)
        free(rules[i]);
    conf_free(&a);
    conf_free(&b);
    conf_free(&c);
}

static void a_part_outlives_the_whole(void **state)
{
    (void)state;
    struct conf *whole = parse("\"limits\": { \"log_line\": 1000 }, " WITH_BACKEND(", \"queue\": 3"));
    struct conf *part = conf_change_part(whole, 0);
    assert_int_equal(conf_change_of_backend(whole, 0, part, 0), CONF_CHANGE_NONE);
    conf_free(&whole);
    assert_int_equal(part->nbackends, 1);
    assert_string_equal(part->backends[0].name, "a");
    assert_string_equal(part->backends[0].command[0], "true");
    assert_int_equal(part->backends[0].queue, 3);
    assert_int_equal(part->limits.log_line, 1000);
    conf_free(&part);
}

static void a_socket_is_kept_for_its_address(void **state)
{
    (void)state;
    struct conf_listener a = {.kind = CONF_BIND_SYSTEMD, .systemd = "http"}, b = a;
    b.http2 = true;
    assert_true(conf_change_keeps_socket(&a, &b));
    b.systemd = "https";
    assert_false(conf_change_keeps_socket(&a, &b));
    struct conf *c = parse(WITH_BACKEND(""));
    assert_true(conf_change_keeps_socket(&c->listeners[0], &c->listeners[0]));
    assert_false(conf_change_keeps_socket(&c->listeners[0], &b));
    conf_free(&c);
}

/* the problems of loading `text` over a conf with the defaults; owned */
static char *problems_over(const char *text)
{
    char path[] = "/tmp/bulkhead-test-XXXXXX";
    struct buf problems = {0};
    struct conf *running = parse(ROUTES_RESPOND);
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct conf *next = conf_load_over(running, path, &problems);
    unlink(path);
    assert_true((next == NULL) == (problems.len != 0));
    conf_free(&next);
    conf_free(&running);
    char *found = mem_strdup(strlen(buf_z(&problems)) > strlen(path) ? buf_z(&problems) + strlen(path) : "");
    buf_free(&problems);
    return found;
}

static void what_needs_a_restart_is_refused_at_its_place(void **state)
{
    (void)state;
    char *found = problems_over("{ \"listeners\": [ { \"bind\": \"127.0.0.1:80\" } ],\n"
                                "  \"threads\": 2,\n"
                                "  \"limits\": { \"http2_handlers\": 3, \"max_body\": 5 },\n"
                                "  " ROUTES_RESPOND " }");
    assert_ptr_equal(strstr(found, ":2:14: error: threads: cannot change while bulkhead runs; restart it"), found);
    assert_non_null(strstr(found, ":3:33: error: limits.http2_handlers: cannot change"));
    assert_null(strstr(found, "max_body"));
    free(found);
    found = problems_over("{ \"listeners\": [ { \"bind\": \"127.0.0.1:80\" } ], " ROUTES_RESPOND " }");
    assert_string_equal(found, "");
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_are_compared_key_by_key),
        cmocka_unit_test(some_limits_are_of_every_backend),
        cmocka_unit_test(a_rule_is_what_it_says_and_not_where_or_how_it_is_called),
        cmocka_unit_test(a_part_outlives_the_whole),
        cmocka_unit_test(a_socket_is_kept_for_its_address),
        cmocka_unit_test(what_needs_a_restart_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
