/* SPDX-License-Identifier: MIT
 *
 * Reading a conf file: bad ones yield exactly the messages kept beside them in tests/unit/conf, good ones the values that
 * they say and the defaults of the keyword table.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "config/oneline.h"

#define HOME "{\"listeners\": [{\"bind\": \":1\"}], "

/* ---- bad ones --------------------------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    size_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : fd_read_all(fd, 1 << 20, &len);
    fd_close(&fd);
    return text;
}

/* Messages name files as they will be opened; the source tree may be anywhere. */
static void hide_directory(struct buf *text)
{
    char *dir = getcwd(NULL, 0);
    size_t len = strlen(dir);
    struct buf out = {0};
    for (const char *at = buf_z(text); *at != '\0';) {
        bool here = strncmp(at, dir, len) == 0;
        buf_append_z(&out, here ? "HERE" : (char[]){*at, '\0'});
        at += here ? len : 1;
    }
    buf_free(text);
    *text = out;
    mem_free(&dir);
}

static void test_messages(void **state)
{
    const char *name = *state;
    char *conf_name = mem_printf("%s.conf", name), *expected_name = mem_printf("%s.expected", name);
    char *expected = read_text(expected_name);
    struct buf problems = {0};
    struct conf *conf = conf_load(conf_name, &problems);
    hide_directory(&problems);
    assert_non_null(expected);
    assert_string_equal(buf_z(&problems), expected);
    assert_int_equal(conf == NULL, strstr(expected, ": error: ") != NULL);
    conf_free(&conf);
    buf_free(&problems);
    mem_free(&expected);
    mem_free(&conf_name);
    mem_free(&expected_name);
}

static void test_no_file(void **state)
{
    struct buf problems = {0};
    assert_null(conf_load("no-such-file.conf", &problems));
    assert_string_equal(buf_z(&problems), "no-such-file.conf: error: cannot be opened: No such file or directory\n");
    buf_clear(&problems);
    assert_null(conf_load("conf.d", &problems));
    assert_string_equal(buf_z(&problems), "conf.d: error: is not a regular file\n");
    buf_free(&problems);
}

static void test_thousands_of_problems_are_cut(void **state)
{
    struct buf text = {0}, problems = {0};
    buf_append_z(&text, "{");
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "\"unknown%d\": %d,\n", i, i);
    buf_append_z(&text, "}");
    assert_null(conf_parse("many.conf", text.base, text.len, &problems));
    assert_non_null(strstr(buf_z(&problems), "many.conf:1:2: error: unknown0: unknown key"));
    assert_non_null(strstr(buf_z(&problems), "\n4902 more problems are not shown\n"));
    buf_free(&text);
    buf_free(&problems);
}

static void test_a_text_that_is_too_long(void **state)
{
    struct buf text = {0}, problems = {0};
    buf_append_z(&text, HOME "\"routes\": [{\"respond\": {}, \"path\": \"/");
    for (int i = 0; i < 8192; i++)
        buf_append_char(&text, 'x');
    buf_append_z(&text, "\"}]}");
    assert_null(conf_parse("x", text.base, text.len, &problems));
    assert_string_equal(buf_z(&problems), "x:1:68: error: routes[0].path: must have at most 8192 bytes (has 8193)\n");
    buf_free(&text);
    buf_free(&problems);
}

/* ---- good ones -------------------------------------------------------------------------------------------------- */

static struct conf *parse(const char *text)
{
    struct buf problems = {0};
    struct conf *conf = conf_parse("/etc/bulkhead/test.conf", text, strlen(text), &problems);
    if (problems.len != 0)
        fail_msg("%s", buf_z(&problems));
    assert_non_null(conf);
    buf_free(&problems);
    return conf;
}

static void test_defaults(void **state)
{
    setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
    unsetenv("TMPDIR");
    struct conf *conf =
        parse(HOME "\"backends\": {\"a\": {\"run\": \"workers\", \"command\": [\"x\"]}, \"b\": {\"run\": "
                   "\"threads\", \"module\": \"x.so\"}, \"c\": {\"run\": \"loop\", \"proxy\": "
                   "\"127.0.0.1:1\"}}, \"routes\": [{\"backend\": \"c\"}]}");
    unsetenv("RUNTIME_DIRECTORY");
    assert_string_equal(conf->control, "/run/one/control.sock");
    assert_string_equal(conf->runtime_directory, "/run/one");
    assert_string_equal(conf->spool_directory, "/var/tmp");
    assert_int_equal(conf->threads, 1);
    assert_int_equal(conf->drain_timeout, 30000000);
    assert_string_equal(conf->log.target, "stderr");
    assert_true(conf->log.access.enabled);
    assert_int_equal(conf->limits.max_body, 8 << 20);
    assert_int_equal(conf->limits.header_fields, 100);
    const struct conf_backend *a = conf_backend_find(conf, "a"), *b = conf_backend_find(conf, "b");
    const struct conf_backend *c = conf_backend_find(conf, "c");
    assert_int_equal(a->workers, sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(a->concurrency, 1);
    assert_int_equal(a->limit, a->workers);
    assert_int_equal(a->queue, 10 * a->workers);
    assert_string_equal(a->directory, "/etc/bulkhead");
    assert_int_equal(a->timeout, 60000000);
    assert_int_equal(a->warn_after, 5000000);
    assert_int_equal(a->first_byte_timeout, -1);
    assert_int_equal(b->limit, 16);
    assert_int_equal(b->queue, 160);
    assert_string_equal(b->options_json, "{}");
    assert_int_equal(c->limit, 100);
    assert_int_equal(c->queue, 1000);
    assert_int_equal(c->bridges, 1000);
    assert_int_equal(conf->routes[0].websocket.mode, CONF_WEBSOCKET_NONE);
    assert_int_equal(conf->routes[0].timeout, -1);
    assert_int_equal(conf->routes[0].max_body, -1);
    assert_true(conf->routes[0].buffer);
    assert_null(conf_backend_find(conf, "d"));
    conf_free(&conf);
    assert_null(conf);
    conf_free(&conf);
}

static void test_routes(void **state)
{
    struct conf *conf = parse(
        HOME "\"backends\": {\"a\": {\"run\": \"loop\", \"proxy\": \"127.0.0.1:1\"}, \"b\": {\"run\": \"loop\", "
             "\"proxy\": \"127.0.0.1:1\"}}, \"routes\": [\n"
             "{\"host\": \"WWW.Example.org\", \"methods\": [\"get\", \"PUT\"], \"headers\": {\"X-A\": \"V\", \"x-b\": "
             "true}, \"backend\": \"b\", \"timeout\": \"1500ms\", \"max_body\": 0},\n"
             "{\"path\": \"/r\", \"redirect\": \"/x$path\"}, {\"path\": \"/f\", \"files\": \"www\"},\n"
             "{\"path\": \"/x\", \"respond\": {\"status\": 404}, \"response_headers\": {\"set\": {\"A\": \"\"}, "
             "\"remove\": \"b\"}}]}");
    const struct conf_route *r = conf->routes;
    assert_int_equal(conf->nroutes, 4);
    assert_string_equal(r[0].hosts[0], "www.example.org");
    assert_string_equal(r[0].methods[0], "GET");
    assert_int_equal(r[0].nmethods, 2);
    assert_string_equal(r[0].headers[0].name, "x-a");
    assert_string_equal(r[0].headers[0].value, "V");
    assert_null(r[0].headers[1].value);
    assert_int_equal(r[0].action, CONF_ROUTE_BACKEND);
    assert_int_equal(r[0].backend, 1);
    assert_int_equal(r[0].timeout, 1500000);
    assert_int_equal(r[0].max_body, 0);
    assert_string_equal(r[0].file, "/etc/bulkhead/test.conf");
    assert_int_equal(r[0].line, 2);
    assert_int_equal(r[1].action, CONF_ROUTE_REDIRECT);
    assert_int_equal(r[1].redirect.status, 302);
    assert_string_equal(r[1].redirect.to, "/x$path");
    assert_int_equal(r[2].action, CONF_ROUTE_FILES);
    assert_string_equal(r[2].files.root, "/etc/bulkhead/www");
    assert_string_equal(r[2].files.index, "index.html");
    assert_int_equal(r[3].respond.status, 404);
    assert_string_equal(r[3].respond.body, "");
    assert_string_equal(r[3].respond.content_type, "text/plain; charset=utf-8");
    assert_string_equal(r[3].response_headers.set[0].value, "");
    assert_string_equal(r[3].response_headers.remove[0], "b");
    conf_free(&conf);
}

static void test_a_websocket_has_the_defaults_of_its_mode(void **state)
{
    struct conf *conf =
        parse(HOME "\"backends\": {\"a\": {\"run\": \"loop\", \"proxy\": \"127.0.0.1:1\", \"bridges\": 7}}, "
                   "\"routes\": [{\"path\": \"/m\", \"websocket\": \"messages\", \"backend\": \"a\"}, {\"path\": "
                   "\"/b\", \"websocket\": {\"mode\": \"bridge\"}, \"backend\": \"a\", \"max_body\": 5}, {\"path\": "
                   "\"/t\", \"websocket\": \"tunnel\", \"backend\": \"a\"}, {\"path\": \"/u\", \"websocket\": "
                   "{\"mode\": \"tunnel\", \"idle_timeout\": \"none\"}, \"backend\": \"a\"}]}");
    const struct conf_websocket *messages = &conf->routes[0].websocket, *bridge = &conf->routes[1].websocket;
    assert_int_equal(conf->backends[0].bridges, 7);
    assert_int_equal(messages->mode, CONF_WEBSOCKET_MESSAGES);
    assert_int_equal(messages->format, CONF_WEBSOCKET_PLAIN);
    assert_int_equal(messages->on_error, CONF_WEBSOCKET_SAY);
    assert_int_equal(messages->in_flight, 1);
    assert_int_equal(messages->norigins, 0);
    assert_int_equal(messages->nprotocols, 0);
    assert_int_equal(messages->ping_interval, 20000000);
    assert_int_equal(messages->pong_timeout, 20000000);
    assert_int_equal(messages->idle_timeout, -1);
    assert_int_equal(messages->max_message, 1 << 20);
    assert_int_equal(messages->max_unsent, 256 << 10);
    assert_int_equal(messages->read_ahead, 64 << 10);
    assert_int_equal(messages->max_connections, 0);
    assert_int_equal(messages->control_frames, 10);
    assert_false(messages->log_messages);
    assert_int_equal(bridge->mode, CONF_WEBSOCKET_BRIDGE);
    assert_int_equal(bridge->idle_timeout, -1);
    assert_false(bridge->reconnect);
    assert_int_equal(bridge->reconnect_timeout, 10000000);
    assert_int_equal(conf->routes[2].websocket.mode, CONF_WEBSOCKET_TUNNEL);
    assert_int_equal(conf->routes[2].websocket.idle_timeout, 300000000);
    assert_int_equal(conf->routes[3].websocket.idle_timeout, -1);
    conf_free(&conf);
}

static void test_a_websocket_with_every_key(void **state)
{
    struct conf *conf =
        parse(HOME "\"backends\": {\"a\": {\"run\": \"loop\", \"proxy\": \"127.0.0.1:1\"}}, \"routes\": [{\"path\": "
                   "\"/m\", \"backend\": \"a\", \"websocket\": {\"mode\": \"messages\", \"format\": \"events\", "
                   "\"on_error\": \"close\", \"in_flight\": 64, \"origins\": [\"HTTPS://Example.org\", "
                   "\"http://[::1]:8080\", \"null\"], \"protocols\": [\"a.v2\", \"A\"], \"ping_interval\": \"none\", "
                   "\"pong_timeout\": \"100ms\", \"idle_timeout\": \"1d\", \"max_message\": \"64MiB\", "
                   "\"max_unsent\": \"4KiB\", \"read_ahead\": 0, \"max_connections\": 5, \"control_frames\": 1, "
                   "\"log_messages\": true}}, {\"path\": \"/b\", \"backend\": \"a\", \"websocket\": {\"mode\": "
                   "\"bridge\", \"origins\": \"app://x\", \"reconnect\": true, \"reconnect_timeout\": \"1h\"}}]}");
    const struct conf_websocket *messages = &conf->routes[0].websocket, *bridge = &conf->routes[1].websocket;
    assert_int_equal(messages->format, CONF_WEBSOCKET_EVENTS);
    assert_int_equal(messages->on_error, CONF_WEBSOCKET_CLOSE);
    assert_int_equal(messages->in_flight, 64);
    assert_int_equal(messages->norigins, 3);
    assert_string_equal(messages->origins[0], "https://example.org");
    assert_string_equal(messages->origins[1], "http://[::1]:8080");
    assert_string_equal(messages->origins[2], "null");
    assert_int_equal(messages->nprotocols, 2);
    assert_string_equal(messages->protocols[0], "a.v2");
    assert_string_equal(messages->protocols[1], "A");
    assert_int_equal(messages->ping_interval, -1);
    assert_int_equal(messages->pong_timeout, 100000);
    assert_int_equal(messages->idle_timeout, INT64_C(86400000000));
    assert_int_equal(messages->max_message, 64 << 20);
    assert_int_equal(messages->max_unsent, 4 << 10);
    assert_int_equal(messages->read_ahead, 0);
    assert_int_equal(messages->max_connections, 5);
    assert_int_equal(messages->control_frames, 1);
    assert_true(messages->log_messages);
    assert_int_equal(bridge->norigins, 1);
    assert_true(bridge->reconnect);
    assert_int_equal(bridge->reconnect_timeout, INT64_C(3600000000));
    conf_free(&conf);
}

static void test_addresses(void **state)
{
    struct conf *conf = parse("{\"listeners\": [{\"bind\": \"*:80\"}, {\"bind\": \"[::1]:81\"}, {\"bind\": "
                              "\"unix:x.sock\", \"mode\": \"600\"}, {\"systemd\": \"http\"}, {\"bind\": "
                              "\"localhost:82\"}], \"backends\": {\"a\": {\"run\": \"loop\", \"proxy\": "
                              "[\"10.0.0.1:80\", \"unix:/a//./b\"]}}, \"routes\": [{\"backend\": \"a\"}]}");
    const struct sockaddr_in *in = (const void *)&conf->listeners[0].address;
    const struct sockaddr_in6 *in6 = (const void *)&conf->listeners[1].address;
    const struct sockaddr_un *un = (const void *)&conf->listeners[2].address;
    assert_int_equal(in->sin_addr.s_addr, INADDR_ANY);
    assert_int_equal(ntohs(in->sin_port), 80);
    assert_int_equal(conf->listeners[0].address_len, sizeof(*in));
    assert_true(IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
    assert_int_equal(conf->listeners[2].kind, CONF_BIND_UNIX);
    assert_string_equal(un->sun_path, "/etc/bulkhead/x.sock");
    assert_int_equal(conf->listeners[2].mode, 0600);
    assert_int_equal(conf->listeners[3].kind, CONF_BIND_SYSTEMD);
    in = (const void *)&conf->listeners[4].address;
    assert_int_equal(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);
    un = (const void *)&conf->backends[0].proxy[1].address;
    assert_string_equal(un->sun_path, "/a/b");
    assert_int_equal(conf->backends[0].nproxy, 2);
    conf_free(&conf);
}

static void test_environment(void **state)
{
    setenv("BULKHEAD_TEST_A", "value ${BULKHEAD_TEST_B}", 1);
    setenv("BULKHEAD_TEST_N", "7", 1);
    struct conf *conf = parse(HOME "\"threads\": \"${BULKHEAD_TEST_N}\", \"routes\": [{\"path\": \"/\", \"respond\": "
                                   "{\"body\": \"<${BULKHEAD_TEST_A}> $${BULKHEAD_TEST_A} $x $$ $\"}}]}");
    assert_int_equal(conf->threads, 7);
    assert_string_equal(conf->routes[0].respond.body, "<value ${BULKHEAD_TEST_B}> ${BULKHEAD_TEST_A} $x $$ $");
    conf_free(&conf);
}

static void test_include_appends_in_order_and_names_are_resolved(void **state)
{
    struct buf problems = {0};
    struct conf *conf = conf_load("good_include.conf", &problems);
    assert_string_equal(buf_z(&problems), "");
    assert_int_equal(conf->nlisteners, 1);
    assert_int_equal(conf->nbackends, 2);
    assert_int_equal(conf->nroutes, 2);
    assert_int_equal(conf->backends[0].proxy[0].address.ss_family, AF_INET);
    assert_string_equal(conf->backends[0].proxy[0].text, "localhost:1");
    assert_string_equal(conf->routes[0].path, "/");
    assert_string_equal(conf->routes[1].path, "/b");
    assert_string_equal(conf->routes[1].file, "conf.d/10-first.conf");
    assert_int_equal(conf->routes[1].line, 3);
    conf_free(&conf);
    buf_free(&problems);
}

static void test_include_needs_a_file(void **state)
{
    static const char text[] = "{\"include\": \"conf.d/*.conf\"}";
    struct buf problems = {0};
    assert_null(conf_parse("x", text, strlen(text), &problems));
    assert_non_null(strstr(buf_z(&problems), "x:1:2: error: include: works in a file only\n"));
    buf_free(&problems);
}

static void test_host_names_need_a_load(void **state)
{
    static const char text[] = HOME "\"backends\": {\"a\": {\"run\": \"loop\", \"proxy\": \"localhost:1\"}}, "
                                    "\"routes\": [{\"backend\": \"a\"}]}";
    struct buf problems = {0};
    assert_null(conf_parse("x", text, strlen(text), &problems));
    assert_non_null(strstr(buf_z(&problems), "needs a numeric address here (is \"localhost:1\")"));
    buf_free(&problems);
}

static void test_modules(void **state)
{
    struct conf *conf = parse(HOME "\"backends\": {\"a\": {\"run\": \"threads\", \"module\": \"bare.so\"}, \"b\": "
                                   "{\"run\": \"threads\", \"module\": \"./near.so\"}}, \"routes\": [{\"backend\": "
                                   "\"a\"}]}");
    char *bare = conf_module_path(conf, &conf->backends[0]), *near = conf_module_path(conf, &conf->backends[1]);
    assert_string_equal(bare, HANDLERSDIR "/bare.so");
    assert_string_equal(near, "/etc/bulkhead/near.so");
    mem_free(&bare);
    mem_free(&near);
    conf_free(&conf);
}

/* ---- the one-line start ----------------------------------------------------------------------------------------- */

#define WORD(literal) (char *)(literal)

static void test_one_line(void **state)
{
    char *const listen[] = {WORD("127.0.0.1:0"), WORD("unix:x.sock")};
    char *const command[] = {WORD("sh"), WORD("-c"), WORD("echo ${HOME}"), WORD(""), NULL};
    const struct oneline o = {.listen = listen,
                              .nlisten = 2,
                              .workers = "3",
                              .queue = "0",
                              .timeout = "20s",
                              .control = "/tmp/c.sock",
                              .command = command,
                              .directory = "/tmp"};
    struct buf problems = {0};
    struct conf *conf = oneline_conf(&o, &problems);
    assert_string_equal(buf_z(&problems), "");
    assert_string_equal(conf->path, "-");
    assert_string_equal(conf->listeners[1].bind, "unix:/tmp/x.sock");
    const struct conf_backend *backend = &conf->backends[0];
    assert_int_equal(backend->run, CONF_RUN_WORKERS);
    assert_int_equal(backend->limit, 3);
    assert_int_equal(backend->queue, 0);
    assert_int_equal(backend->timeout, 20000000);
    assert_string_equal(backend->command[2], "echo ${HOME}");
    assert_string_equal(backend->command[3], "");
    assert_null(backend->command[4]);
    assert_string_equal(backend->directory, "/tmp");
    conf_free(&conf);
    buf_free(&problems);
}

static void test_one_line_problems(void **state)
{
    char *const listen[] = {WORD("nonsense")}, *const command[] = {WORD("no-such-program"), NULL};
    const struct oneline o = {.listen = listen,
                              .nlisten = 1,
                              .workers = "0",
                              .queue = "many",
                              .timeout = "20",
                              .command = command,
                              .directory = "/tmp"};
    struct buf problems = {0};
    assert_null(oneline_conf(&o, &problems));
    assert_string_equal(
        buf_z(&problems),
        "command line: error: listeners[0].bind: must be \"host:port\", \"[IPv6]:port\" or \"unix:/path\" (is "
        "\"nonsense\")\n"
        "command line: error: backends.app.command[0]: the program \"no-such-program\" is in no directory of PATH; "
        "install it or write where it is\n"
        "command line: error: backends.app.workers: must be a whole number between 1 and 1024 (is 0)\n"
        "command line: error: backends.app.queue: must be a whole number between 0 and 1000000 (is \"many\")\n"
        "command line: error: backends.app.timeout: must be a whole number with a unit: ms, s, m, h or d, as in "
        "\"250ms\" (is \"20\")\n");
    buf_free(&problems);
}

/* a conf file and the messages about it */
#define MESSAGES(name)                                                                                                 \
    {                                                                                                                  \
        "test_messages_" #name, test_messages, NULL, NULL, (void *)#name                                               \
    }

int main(void)
{
    const char *srcdir = getenv("srcdir");
    char *dir = mem_printf("%s/tests/unit/conf", srcdir == NULL ? "." : srcdir);
    if (chdir(dir) != 0) {
        fprintf(stderr, "%s: %s\n", dir, strerror(errno));
        return 1;
    }
    mem_free(&dir);
    setenv("BULKHEAD_TEST_PORT", "8080", 1);
    setenv("BULKHEAD_TEST_WORD", "four", 1);
    setenv("BULKHEAD_TEST_LATIN1", "/caf\xe9", 1);
    const struct CMUnitTest tests[] = {
        MESSAGES(syntax),
        MESSAGES(comment),
        MESSAGES(not_an_object),
        MESSAGES(bom),
        MESSAGES(nul_byte),
        MESSAGES(nul_character),
        MESSAGES(latin1),
        MESSAGES(utf16),
        MESSAGES(empty),
        MESSAGES(unknown),
        MESSAGES(duplicate),
        MESSAGES(rlimits),
        MESSAGES(types),
        MESSAGES(units),
        MESSAGES(backends),
        MESSAGES(routes),
        MESSAGES(websocket),
        MESSAGES(listeners),
        MESSAGES(environment),
        MESSAGES(include),
        MESSAGES(unused),
        MESSAGES(files),
        MESSAGES(limits),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_thousands_of_problems_are_cut),
        cmocka_unit_test(test_a_text_that_is_too_long),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_a_websocket_has_the_defaults_of_its_mode),
        cmocka_unit_test(test_a_websocket_with_every_key),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_include_appends_in_order_and_names_are_resolved),
        cmocka_unit_test(test_include_needs_a_file),
        cmocka_unit_test(test_host_names_need_a_load),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_one_line_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
