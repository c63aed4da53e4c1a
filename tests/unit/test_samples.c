/* SPDX-License-Identifier: MIT
 *
 * test_samples: the sample handlers: hash on crypt(3), sqlite_query on a database made here, and what echo and progress
 * do on a WebSocket. One thread, but for a second connection that holds the database's lock.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif

#include "base/clock.h"

#include "capture.h"

#define SECOND       1000000
#define TIME_LIMIT_S 60

static struct capture ask(struct module *m, const char *method, const char *path, const char *query, struct str body)
{
    struct capture c = {0};
    const struct module_request request = {.method = str_of(method),
                                           .path = str_of(path),
                                           .query = str_of(query),
                                           .body = body,
                                           .deadline_us = clock_us() + SECOND / 2};
    capture_call(&c, m, &request);
    return c;
}

static void assert_answer(struct module *m, const char *method, const char *path, const char *query, int status,
                          const char *body)
{
    struct capture c = ask(m, method, path, query, STR_NONE);
    if (!c.ok)
        fail_msg("%s", c.error);
    assert_int_equal(c.status, status);
    assert_string_equal(c.body.base, body);
    capture_free(&c);
}

static void assert_not_opened(const char *path, const char *options, const char *words)
{
    char error[512] = "";
    assert_null(module_open(path, options, error, sizeof(error)));
    capture_assert_words(error, words);
}

/* ---- hash ------------------------------------------------------------------------------------------------------- */

#define HASH "contrib/handlers/hash.so"

/* a hash of "secret", percent-encoded for a query; owned by the caller */
static char *hash_of_secret(struct module *m, const char *prefix)
{
    struct capture c = ask(m, "POST", "/", NULL, STR("secret"));
    assert_true(c.ok);
    assert_int_equal(c.status, 200);
    json_t *answer = json_loads(c.body.base, 0, NULL);
    const char *hash = json_string_value(json_object_get(answer, "hash"));
    assert_int_equal(strncmp(hash, prefix, strlen(prefix)), 0);
    char *query;
    assert_true(asprintf(&query, "hash=%s", hash) > 0);
    json_decref(answer);
    capture_free(&c);
    return query;
}

static void assert_match(struct module *m, const char *query, struct str password, const char *expected)
{
    struct capture c = ask(m, "POST", "/", query, password);
    assert_true(c.ok);
    assert_string_equal(c.body.base, expected);
    capture_free(&c);
}

static void assert_hashes(const char *options, const char *prefix)
{
    struct module *m = capture_open(HASH, options);
    char *query = hash_of_secret(m, prefix), *other = hash_of_secret(m, prefix);
    assert_string_not_equal(query, other);
    assert_match(m, query, STR("secret"), "{\"match\":true}\n");
    assert_match(m, query, STR("Secret"), "{\"match\":false}\n");
    free(query);
    free(other);
    module_close(&m);
}

static void a_password_matches_its_hash_and_no_other(void **state)
{
    assert_hashes("{\"cost\": 4}", "$2b$04$");
    assert_hashes("{\"method\": \"yescrypt\", \"cost\": 1}", "$y$");
}

static void a_client_cannot_choose_a_higher_cost(void **state)
{
    struct module *m = capture_open(HASH, "{\"cost\": 5}");
    static const char refused[] = "{\"error\":\"not a hash of this method, or of a higher cost\"}\n";
    assert_match(m, "hash=$2b$06$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", STR("x"), refused);
    assert_match(m, "hash=$2b$31$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", STR("x"), refused);
    assert_match(m, "hash=$y$jFT$abcdefgh$abc", STR("x"), refused);
    assert_match(m, "hash=", STR("x"), refused);
    assert_match(m, "hash=$2b$04$short", STR("x"), "{\"error\":\"malformed hash\"}\n");
    module_close(&m);
}

static void what_cannot_be_hashed_is_refused(void **state)
{
    struct module *m = capture_open(HASH, "{\"cost\": 4}");
    char long_password[73];
    memset(long_password, 'x', sizeof(long_password));
    const struct str bodies[] = {STR(""), STR("a\0b"), {long_password, sizeof(long_password)}};
    for (size_t i = 0; i < 3; i++) {
        struct capture c = ask(m, "POST", "/", NULL, bodies[i]);
        assert_int_equal(c.status, 400);
        capture_free(&c);
    }
    struct capture c = ask(m, "GET", "/", NULL, STR("secret"));
    assert_int_equal(c.status, 405);
    capture_assert_words(c.fields.base, "allow: POST\n");
    capture_free(&c);
    module_close(&m);
}

static void hash_options_are_checked(void **state)
{
    assert_not_opened(HASH, "{\"cost\": 32}", "options.cost: 32 is out of range (4 to 31)");
    assert_not_opened(HASH, "{\"method\": \"md5\"}", "neither \"bcrypt\" nor \"yescrypt\"");
}

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

#define ECHO     "contrib/handlers/echo.so"
#define PROGRESS "contrib/handlers/progress.so"

static bool yes(void *arg)
{
    (void)arg;
    return true;
}

static struct capture ask_websocket(const char *module, const char *options, const char *query, enum call_kind kind,
                                    unsigned opcode, struct str body, bool (*cancelled)(void *))
{
    struct capture c = {0};
    struct module *m = capture_open(module, options);
    const struct module_request request = {.kind = kind,
                                           .opcode = opcode,
                                           .connection = STR("00c1"),
                                           .method = STR("POST"),
                                           .path = STR("/"),
                                           .query = str_of(query),
                                           .body = body,
                                           .deadline_us = CLOCK_NEVER,
                                           .cancelled = cancelled};
    capture_call(&c, m, &request);
    module_close(&m);
    return c;
}

static struct capture send_echo(const char *query, unsigned opcode, const char *message)
{
    return ask_websocket(ECHO, NULL, query, CALL_WS_MESSAGE, opcode, str_of(message), NULL);
}

static struct capture send_progress(const char *message)
{
    return ask_websocket(PROGRESS, "{\"steps\": 3, \"ms\": 0}", NULL, CALL_WS_MESSAGE, 1, str_of(message), NULL);
}

static void assert_reply(struct capture c, const char *fields, const char *body)
{
    if (!c.ok)
        fail_msg("%s", c.error);
    assert_int_equal(c.status, 200);
    assert_string_equal(c.fields.base, fields);
    assert_string_equal(c.body.base, body);
    capture_free(&c);
}

#define EVENTS "content-type: application/websocket-events\n"

static void echo_sends_messages_back_as_they_came(void **state)
{
    assert_reply(send_echo(NULL, 1, "hello"), "content-type: text/plain; charset=utf-8\n", "hello");
    assert_reply(send_echo(NULL, 2, "hello"), "content-type: application/octet-stream\n", "hello");
    assert_reply(send_echo(NULL, 1, ""), EVENTS, "TEXT 0\r\n\r\n");
    assert_reply(send_echo("times=2", 2, "a"), EVENTS, "BINARY 1\r\na\r\nBINARY 1\r\na\r\n");
    assert_reply(send_echo("close=3000", 1, "a"), EVENTS, "TEXT 1\r\na\r\nCLOSE 2\r\n\x0b\xb8\r\n");
}

static void echo_misbehaves_with_messages_too(void **state)
{
    struct capture c = send_echo("fail", 1, "a");
    assert_false(c.ok);
    capture_free(&c);
    c = send_echo("status=418", 1, "a");
    assert_int_equal(c.status, 418);
    capture_free(&c);
}

static void echo_lets_a_client_in_unless_told_otherwise(void **state)
{
    struct capture c = ask_websocket(ECHO, NULL, "header=x-a:1&fail", CALL_WS_OPEN, 0, STR_NONE, NULL);
    assert_reply(c, "x-a: 1\n", "");
    c = ask_websocket(ECHO, NULL, "status=403", CALL_WS_OPEN, 0, STR_NONE, NULL);
    assert_true(c.ok);
    assert_int_equal(c.status, 403);
    capture_free(&c);
    assert_reply(ask_websocket(ECHO, NULL, "fail", CALL_WS_CLOSE, 0, STR_NONE, NULL), "", "");
}

static void progress_is_told_step_by_step(void **state)
{
    struct capture c = send_progress("2 1");
    assert_int_equal(c.bodies, 3);
    assert_reply(c, EVENTS,
                 "TEXT 11\r\n{\"done\":1,\"of\":2}\r\n"
                 "TEXT 11\r\n{\"done\":2,\"of\":2}\r\n"
                 "TEXT 1c\r\n{\"result\":\"finished\",\"ms\":2}\r\n");
}

static void progress_in_a_request_is_lines(void **state)
{
    struct capture c = ask_websocket(PROGRESS, "{\"ms\": 0}", NULL, CALL_HTTP, 0, STR("1"), NULL);
    assert_reply(c, "content-type: application/x-ndjson\n",
                 "{\"done\":1,\"of\":1}\n{\"result\":\"finished\",\"ms\":0}\n");
    c = ask_websocket(PROGRESS, NULL, NULL, CALL_HTTP, 0, STR("x"), NULL);
    assert_int_equal(c.status, 400);
    capture_free(&c);
}

static void what_is_no_job_is_told(void **state)
{
    static const char *const messages[] = {
        "",     "x",       "0",     "4",  "-1",
        "1 -1", "1 60001", "1 2 3", "1x", "                                                                 1"};
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
        assert_reply(send_progress(messages[i]), EVENTS,
                     "TEXT 35\r\n{\"error\":\"not STEPS or STEPS MS, of at most 3 steps\"}\r\n");
}

static void a_job_ends_when_nobody_waits(void **state)
{
    struct capture c = ask_websocket(PROGRESS, NULL, NULL, CALL_WS_MESSAGE, 1, STR("5 60000"), yes);
    assert_false(c.ok);
    assert_string_equal(c.error, "cancelled after 0 of 5 steps");
    capture_free(&c);
}

static void progress_lets_everybody_in(void **state)
{
    assert_reply(ask_websocket(PROGRESS, NULL, NULL, CALL_WS_OPEN, 0, STR_NONE, NULL), "", "");
    assert_reply(ask_websocket(PROGRESS, NULL, NULL, CALL_WS_CLOSE, 0, STR_NONE, NULL), "", "");
}

/* ---- sqlite_query ----------------------------------------------------------------------------------------------- */

#ifdef HAVE_SQLITE

#define SQLITE "contrib/handlers/sqlite_query.so"

static char database[] = "/tmp/test_samples.XXXXXX";

static const char statements[] =
    "\"statements\": {"
    "\"all\": \"SELECT id, name, price, picture, note FROM item ORDER BY id\","
    "\"one\": \"SELECT name FROM item WHERE id = :id\","
    "\"named\": \"SELECT id FROM item WHERE name = :name\","
    "\"first\": \"SELECT id FROM item ORDER BY id LIMIT :n\","
    "\"add\": \"INSERT INTO item(id, name) VALUES (:id, :name)\","
    "\"forever\": \"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n\","
    "\"numbers\": \"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n\"}";

static struct module *open_database(const char *more)
{
    char *options;
    assert_true(asprintf(&options, "{\"database\": \"%s\", %s%s}", database, statements, more) > 0);
    struct module *m = capture_open(SQLITE, options);
    free(options);
    return m;
}

static sqlite3 *connect_database(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
    return db;
}

static int make_database(void **state)
{
    close(mkstemp(database));
    sqlite3 *db = connect_database();
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, picture "
                     "BLOB, note);"
                     "INSERT INTO item VALUES (1, 'nut', 0.25, x'00ff', NULL), (2, '007', 1e999, NULL, 'a\"b')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    return 0;
}

static int remove_database(void **state)
{
    return unlink(database);
}

static void rows_come_as_json(void **state)
{
    struct module *m = open_database("");
    assert_answer(m, "GET", "/q/all", NULL, 200,
                  "[{\"id\":1,\"name\":\"nut\",\"price\":0.25,\"picture\":\"00ff\",\"note\":null},\n"
                  "{\"id\":2,\"name\":\"007\",\"price\":null,\"picture\":null,\"note\":\"a\\\"b\"}]\n");
    assert_answer(m, "GET", "/q/tables", NULL, 200, "[{\"name\":\"item\"}]\n");
    module_close(&m);
}

static void parameters_are_bound_not_pasted(void **state)
{
    struct module *m = open_database("");
    assert_answer(m, "GET", "/q/one", "id=1", 200, "[{\"name\":\"nut\"}]\n");
    assert_answer(m, "GET", "/q/one", "id=1%20OR%201=1", 200, "[]\n");
    assert_answer(m, "GET", "/q/named", "name='%20OR%20'1'='1", 200, "[]\n");
    assert_answer(m, "GET", "/q/named", "name=007", 200, "[{\"id\":2}]\n");
    assert_answer(m, "GET", "/q/first", "n=1", 200, "[{\"id\":1}]\n");
    module_close(&m);
}

static void what_the_client_got_wrong_is_told(void **state)
{
    struct module *m = open_database(", \"read_only\": false");
    assert_answer(m, "GET", "/q/one", NULL, 400, "{\"error\":\"parameter missing: id\"}\n");
    assert_answer(m, "GET", "/q/first", "n=x", 400, "{\"error\":\"datatype mismatch\"}\n");
    assert_answer(m, "GET", "/q/none", NULL, 404, "{\"error\":\"no such statement\"}\n");
    assert_answer(m, "GET", "/q/add", "id=3&name=x", 405, "{\"error\":\"this statement writes: use POST\"}\n");
    assert_answer(m, "POST", "/q/add", "id=1&name=x", 400, "{\"error\":\"UNIQUE constraint failed: item.id\"}\n");
    assert_answer(m, "POST", "/q/add", "id=3&name=x", 200, "[]\n");
    assert_answer(m, "GET", "/q/one", "id=3", 200, "[{\"name\":\"x\"}]\n");
    module_close(&m);
}

static void a_read_only_database_cannot_be_written(void **state)
{
    struct module *m = open_database("");
    struct capture c = ask(m, "POST", "/q/add", "id=4&name=x", STR_NONE);
    assert_false(c.ok);
    capture_assert_words(c.error, "attempt to write a readonly database");
    capture_free(&c);
    module_close(&m);
}

static void rows_are_limited(void **state)
{
    struct module *m = open_database(", \"max_rows\": 2");
    assert_answer(m, "GET", "/q/numbers", NULL, 200, "[{\"i\":1},\n{\"i\":2}]\n");
    module_close(&m);
}

static void the_deadline_interrupts_a_statement(void **state)
{
    struct module *m = open_database("");
    int64_t begun = clock_us();
    struct capture c = ask(m, "GET", "/q/forever", NULL, STR_NONE);
    assert_false(c.ok);
    assert_string_equal(c.error, "interrupted");
    assert_in_range(clock_us() - begun, SECOND / 2, 2 * SECOND);
    capture_free(&c);
    assert_answer(m, "GET", "/q/one", "id=1", 200, "[{\"name\":\"nut\"}]\n");
    module_close(&m);
}

static void the_deadline_ends_the_wait_for_a_lock(void **state)
{
    struct module *m = open_database("");
    sqlite3 *db = connect_database();
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    int64_t begun = clock_us();
    struct capture c = ask(m, "GET", "/q/all", NULL, STR_NONE);
    assert_false(c.ok);
    capture_assert_words(c.error, "locked");
    assert_in_range(clock_us() - begun, SECOND / 2, 2 * SECOND);
    capture_free(&c);
    sqlite3_close(db);
    module_close(&m);
}

static void a_mistake_shows_at_the_start(void **state)
{
    char *options;
    assert_true(
        asprintf(&options, "{\"database\": \"%s\", \"statements\": {\"x\": \"SELECT y FROM item\"}}", database) > 0);
    assert_not_opened(SQLITE, options, "options.statements.x: no such column: y");
    free(options);
    assert_not_opened(SQLITE, "{\"database\": \"/none/x.db\"}", "options.database: /none/x.db: unable to open");
    assert_not_opened(SQLITE, "{}", "options.database: required");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_matches_its_hash_and_no_other),
        cmocka_unit_test(a_client_cannot_choose_a_higher_cost),
        cmocka_unit_test(what_cannot_be_hashed_is_refused),
        cmocka_unit_test(hash_options_are_checked),
        cmocka_unit_test(echo_sends_messages_back_as_they_came),
        cmocka_unit_test(echo_misbehaves_with_messages_too),
        cmocka_unit_test(echo_lets_a_client_in_unless_told_otherwise),
        cmocka_unit_test(progress_is_told_step_by_step),
        cmocka_unit_test(progress_in_a_request_is_lines),
        cmocka_unit_test(what_is_no_job_is_told),
        cmocka_unit_test(a_job_ends_when_nobody_waits),
        cmocka_unit_test(progress_lets_everybody_in),
    };
    alarm(TIME_LIMIT_S);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef HAVE_SQLITE
    const struct CMUnitTest sqlite_tests[] = {
        cmocka_unit_test(rows_come_as_json),
        cmocka_unit_test(parameters_are_bound_not_pasted),
        cmocka_unit_test(what_the_client_got_wrong_is_told),
        cmocka_unit_test(a_read_only_database_cannot_be_written),
        cmocka_unit_test(rows_are_limited),
        cmocka_unit_test(the_deadline_interrupts_a_statement),
        cmocka_unit_test(the_deadline_ends_the_wait_for_a_lock),
        cmocka_unit_test(a_mistake_shows_at_the_start),
    };
    failed += cmocka_run_group_tests(sqlite_tests, make_database, remove_database);
#endif
    return failed;
}
