/* SPDX-License-Identifier: MIT
 *
 * The dump of a conf is a conf that means the same, whatever the environment and the current directory are by then, and
 * dumps to itself. And the keyword table itself: every row can be read, written and told.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/conf.h"
#include "config/keys.h"

static struct conf *parse(const char *text)
{
    struct buf problems = {0};
    struct conf *conf = conf_parse("conf/test.conf", text, strlen(text), &problems);
    if (problems.len != 0)
        fail_msg("%s", buf_z(&problems));
    buf_free(&problems);
    return conf;
}

static char *dump_of(const char *text)
{
    struct buf out = {0};
    struct conf *conf = parse(text);
    conf_dump(conf, &out);
    conf_free(&conf);
    buf_z(&out);
    return out.base;
}

static void expect_fixed_point(const char *text)
{
    char *first = dump_of(text), *here = getcwd(NULL, 0);
    assert_int_equal(chdir("/"), 0);
    char *second = dump_of(first);
    assert_int_equal(chdir(here), 0);
    assert_string_equal(first, second);
    mem_free(&first);
    mem_free(&second);
    mem_free(&here);
}

static const char *const everything =
    "{ \"listeners\": [ { \"bind\": \"*:80\", \"backlog\": 5 }, { \"bind\": \"unix:x.sock\", \"mode\": \"600\" },\n"
    "  { \"systemd\": \"http\", \"proxy_protocol\": true },\n"
    "  { \"bind\": \"[::]:443\", \"http2\": true, \"ipv6_only\": true, \"tls\": { \"certificate\": \"c\", \"key\": "
    "\"k\" } "
    "} ],\n"
    "  \"admin\": { \"bind\": \"localhost:81\" }, \"control\": \"c.sock\", \"user\": \"u\", \"group\": \"0\",\n"
    "  \"trusted_proxies\": \"unix:\", \"threads\": 2, \"spool_directory\": \"spool/\",\n"
    "  \"log\": { \"level\": \"debug\", \"target\": \"log/file\", \"access\": false },\n"
    "  \"limits\": { \"head_bytes\": 20000, \"connections\": 7 },\n"
    "  \"backends\": {\n"
    "    \"shop\": { \"run\": \"workers\", \"command\": [\"a\", \"\", \"$${x}\"], \"workers\": 2, \"concurrency\": 3,\n"
    "      \"environment\": { \"A\": \"$${B}\", \"C\": \"\" }, \"nice\": -1, \"on_abandon\": \"kill\",\n"
    "      \"umask\": \"027\", \"no_new_privileges\": false,\n"
    "      \"rlimits\": { \"as\": \"unlimited\", \"cpu\": \"1500ms\", \"nproc\": \"unlimited\" } },\n"
    "    \"php\": { \"run\": \"workers\", \"command\": [\"php-cgi\"], \"protocol\": \"fastcgi\", \"root\": \"www\" },\n"
    "    \"hash\": { \"run\": \"threads\", \"module\": \"hash.so\", \"in_front\": true,\n"
    "      \"options\": { \"cost\": 12, \"x\": [1.5, null, { \"y$${\": \"$${z}\" }], \"${k}\": 1 } },\n"
    "    \"cgi\": { \"run\": \"threads\", \"cgi\": \"bin/\", \"root\": \".\", \"queue\": 0 },\n"
    "    \"up\": { \"run\": \"loop\", \"proxy\": [\"127.0.0.1:80\", \"[::1]:80\", \"unix:up.sock\"], \"limit\": 8,\n"
    "      \"bridges\": 5, \"first_byte_timeout\": \"1500ms\", \"max_response_buffer\": 70000 } },\n"
    "  \"routes\": [ { \"host\": \"A.example\", \"path\": \"/\", \"respond\": { \"body\": \"$${} \\u0001\\u00e9\" } "
    "},\n"
    "    { \"path_regex\": \"^/a$\", \"methods\": \"get\", \"redirect\": { \"status\": 308, \"to\": \"/b$query\" } },\n"
    "    { \"path_prefix\": \"/f\", \"files\": \".\", \"max_body\": 5,\n"
    "      \"response_headers\": { \"set\": { \"a\": \"\" }, \"add\": { \"b\": \"c\" }, \"remove\": [\"d\"] } },\n"
    "    { \"headers\": { \"X-A\": true, \"x-b\": \"c\" }, \"backend\": \"up\", \"timeout\": \"1h\", \"buffer\": "
    "false,\n"
    "      \"strip_prefix\": \"/s\", \"request_headers\": { \"set\": { \"host\": \"x\" } } },\n"
    "    { \"path\": \"/m\", \"backend\": \"hash\", \"websocket\": { \"mode\": \"messages\", \"format\": \"events\",\n"
    "      \"origins\": \"null\", \"protocols\": \"chat\", \"ping_interval\": \"none\", \"idle_timeout\": \"1m\" } },\n"
    "    { \"path\": \"/b\", \"backend\": \"shop\", \"websocket\": \"bridge\", \"max_body\": 7, \"buffer\": false },\n"
    "    { \"path\": \"/t\", \"backend\": \"up\", \"websocket\": \"tunnel\" },\n"
    "    { \"path\": \"/u\", \"backend\": \"up\", \"websocket\": { \"mode\": \"tunnel\", \"idle_timeout\": \"none\" } "
    "} ] }\n";

static void test_everything_is_a_fixed_point(void **state)
{
    expect_fixed_point(everything);
}

static void test_the_least_is_a_fixed_point(void **state)
{
    expect_fixed_point("{\"listeners\": [{\"bind\": \":1\"}], \"routes\": [{\"respond\": {}}]}");
}

static void test_a_queue_by_default_is_within_its_bounds(void **state)
{
    expect_fixed_point(
        "{\"listeners\": [{\"bind\": \":1\"}], \"backends\": {\"a\": {\"run\": \"workers\", \"command\": "
        "[\"x\"], \"workers\": 1024, \"concurrency\": 1024}}, \"routes\": [{\"backend\": \"a\"}]}");
}

static void test_the_dump_means_the_same(void **state)
{
    char *dumped = dump_of(everything);
    struct conf *conf = parse(dumped);
    assert_string_equal(conf->backends[0].command[2], "${x}");
    assert_string_equal(conf->backends[0].environment[0].value, "${B}");
    assert_int_equal(conf->backends[0].umask, 027);
    assert_false(conf->backends[0].no_new_privileges);
    assert_true(conf->backends[0].rlimits.as == CONF_UNLIMITED && conf->backends[0].rlimits.nproc == CONF_UNLIMITED);
    assert_true(conf->backends[0].rlimits.cpu == 1500000 && conf->backends[0].rlimits.core == 0);
    assert_true(conf->backends[0].rlimits.nofile == -1 && conf->backends[1].umask == CONF_UMASK_INHERITED);
    assert_string_equal(conf->backends[2].options_json,
                        "{\"cost\":12,\"x\":[1.5,null,{\"y$${\":\"${z}\"}],\"${k}\":1}");
    assert_string_equal(conf->routes[0].respond.body, "${} \x01\xc3\xa9");
    assert_false(conf->log.access.enabled);
    assert_int_equal(conf->limits.head_bytes, 20000);
    assert_int_equal(conf->backends[0].limit, 6);
    assert_int_equal(conf->routes[3].backend, 4);
    assert_int_equal(conf->routes[3].websocket.mode, CONF_WEBSOCKET_NONE);
    assert_int_equal(conf->routes[4].websocket.format, CONF_WEBSOCKET_EVENTS);
    assert_int_equal(conf->routes[4].websocket.ping_interval, -1);
    assert_int_equal(conf->routes[5].websocket.mode, CONF_WEBSOCKET_BRIDGE);
    assert_false(conf->routes[5].buffer);
    assert_int_equal(conf->routes[6].websocket.idle_timeout, 300000000);
    assert_int_equal(conf->routes[7].websocket.idle_timeout, -1);
    assert_null(strstr(dumped, "conf/test.conf"));
    conf_free(&conf);
    mem_free(&dumped);
}

static void test_the_environment_is_not_asked_again(void **state)
{
    setenv("RUNTIME_DIRECTORY", "/run/first", 1);
    setenv("TMPDIR", "/first", 1);
    char *first = dump_of(everything);
    setenv("RUNTIME_DIRECTORY", "/run/second", 1);
    setenv("TMPDIR", "/second", 1);
    char *second = dump_of(first);
    assert_string_equal(first, second);
    mem_free(&first);
    mem_free(&second);
    unsetenv("RUNTIME_DIRECTORY");
    unsetenv("TMPDIR");
}

/* ---- the keyword table ------------------------------------------------------------------------------------------ */

static void check_row(const struct key_object *object, const struct key *key)
{
    size_t len = strlen(key->help);
    if (len < 5 || key->help[len - 1] != '.')
        fail_msg("%s.%s: the help is no sentence", object->name, key->name);
    if (key->fallback == NULL && key->example == NULL && key->live == NULL && key->object == NULL)
        fail_msg("%s.%s: nothing to show in the sample", object->name, key->name);
    if (key->min > key->max)
        fail_msg("%s.%s: min is greater than max", object->name, key->name);
    if (keys_find(object, key->name) != key)
        fail_msg("%s.%s: appears twice", object->name, key->name);
}

static void check_object(const struct key_object *object)
{
    for (size_t i = 0; i < object->nkeys; i++) {
        check_row(object, &object->keys[i]);
        if (object->keys[i].object != NULL)
            check_object(object->keys[i].object);
    }
    for (size_t i = 0; object->one_of != NULL && object->one_of[i] != NULL; i++)
        assert_non_null(keys_find(object, object->one_of[i]));
    for (size_t i = 0; object->at_most_one != NULL && object->at_most_one[i] != NULL; i++)
        assert_non_null(keys_find(object, object->at_most_one[i]));
    if (object->short_form != NULL)
        assert_non_null(keys_find(object, object->short_form));
}

static void test_rows_are_complete(void **state)
{
    check_object(&keys_root);
}

static void test_kinds(void **state)
{
    const struct key *limit = keys_find(&keys_backend, "limit"), *in_front = keys_find(&keys_backend, "in_front");
    const struct key *timeout = keys_find(&keys_backend, "timeout"), *root = keys_find(&keys_backend, "root");
    assert_true(keys_fits(limit, KEYS_LOOP | KEYS_PROXY));
    assert_false(keys_fits(limit, KEYS_WORKERS | KEYS_COMMAND));
    assert_true(keys_fits(in_front, KEYS_THREADS | KEYS_MODULE));
    assert_false(keys_fits(in_front, KEYS_THREADS | KEYS_CGI));
    assert_true(keys_fits(timeout, KEYS_WORKERS | KEYS_COMMAND));
    assert_true(keys_fits(root, KEYS_WORKERS | KEYS_COMMAND | KEYS_FASTCGI));
    assert_false(keys_fits(root, KEYS_WORKERS | KEYS_COMMAND));
    const struct key *buffer = keys_find(&keys_route, "buffer"), *reconnect = keys_find(&keys_websocket, "reconnect");
    assert_true(keys_fits(buffer, KEYS_BACKEND | KEYS_REQUESTS));
    assert_false(keys_fits(buffer, KEYS_BACKEND));
    assert_false(keys_fits(buffer, KEYS_FILES | KEYS_REQUESTS));
    assert_true(keys_fits(reconnect, KEYS_BRIDGE));
    assert_false(keys_fits(reconnect, KEYS_TUNNEL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_a_fixed_point),
        cmocka_unit_test(test_the_least_is_a_fixed_point),
        cmocka_unit_test(test_a_queue_by_default_is_within_its_bounds),
        cmocka_unit_test(test_the_dump_means_the_same),
        cmocka_unit_test(test_the_environment_is_not_asked_again),
        cmocka_unit_test(test_rows_are_complete),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
