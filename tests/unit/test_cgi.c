/* SPDX-License-Identifier: MIT
 *
 * test_cgi: real programs (tests/unit/cgi) run by the CGI handler. After every test nothing may be left: no descriptor,
 * no child. One thread.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "handler/module.h"

#include "capture.h"

#define TIME_LIMIT_S 60
#define SECOND       1000000

#define MAX_FIELDS 8

static struct module_field fields[MAX_FIELDS];
static size_t nfields;
static struct str body;
static enum call_kind kind;
static const char *root;
static int64_t deadline_us;
static bool (*cancelled)(void *arg);

static void with_field(const char *name, const char *value)
{
    assert_true(nfields < MAX_FIELDS);
    fields[nfields++] = (struct module_field){str_of(name), str_of(value)};
}

static int set_up(void **state)
{
    nfields = 0;
    body = STR_NONE;
    kind = CALL_HTTP;
    root = NULL;
    deadline_us = CLOCK_NEVER;
    cancelled = NULL;
    return 0;
}

static struct capture run_at(const char *program, const char *path, const char *query)
{
    struct capture a = {0};
    struct module *m = module_open_cgi(program, root, a.error, sizeof(a.error));
    if (m == NULL)
        fail_msg("%s", a.error);
    const struct module_request request = {
        .kind = kind,
        .opcode = kind == CALL_WS_MESSAGE ? 1 : 0,
        .connection = kind == CALL_HTTP ? STR_NONE : STR("00c1"),
        .method = body.base == NULL ? STR("GET") : STR("POST"),
        .path = str_of(path),
        .query = str_of(query),
        .scheme = STR("https"),
        .authority = STR("example.org:8443"),
        .peer = STR("192.0.2.1"),
        .id = STR("id-1"),
        .fields = fields,
        .nfields = nfields,
        .body = body,
        .deadline_us = deadline_us,
        .cancelled = cancelled,
    };
    capture_call(&a, m, &request);
    module_close(&m);
    return a;
}

static struct capture run(const char *path)
{
    return run_at(CGI_DIRECTORY "/", path, NULL);
}

static void assert_answer(const char *path, int status, const char *text)
{
    struct capture a = run(path);
    if (!a.ok)
        fail_msg("%s", a.error);
    assert_int_equal(a.status, status);
    assert_string_equal(a.body.base, text);
    capture_free(&a);
}

static void assert_fails(const char *path, const char *words)
{
    struct capture a = run(path);
    assert_false(a.ok);
    capture_assert_words(a.error, words);
    capture_free(&a);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        n++;
    closedir(directory);
    return n;
}

static unsigned descriptors_at_start;

static int nothing_is_left(void **state)
{
    assert_int_equal(open_descriptors(), descriptors_at_start);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

/* ---- what the program finds ------------------------------------------------------------------------------------- */

static void assert_line(const struct buf *text, const char *line)
{
    char *framed;
    assert_true(asprintf(&framed, "\n%s\n", line) > 0);
    if (strstr(text->base, framed) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, text->base);
    free(framed);
}

/* with the programs' directory as the handler names it: without links and dots */
static void assert_directory_line(const struct buf *text, const char *before, const char *behind)
{
    char *directory = realpath(CGI_DIRECTORY, NULL), *line;
    assert_non_null(directory);
    assert_true(asprintf(&line, "%s%s%s", before, directory, behind) > 0);
    assert_line(text, line);
    free(line);
    free(directory);
}

static void assert_no_variable(const struct buf *text, const char *name)
{
    char *framed;
    assert_true(asprintf(&framed, "\n%s=", name) > 0);
    assert_null(strstr(text->base, framed));
    free(framed);
}

static struct capture environment_of(const char *path, const char *query)
{
    struct capture a = run_at(CGI_DIRECTORY "/", path, query);
    if (!a.ok)
        fail_msg("%s", a.error);
    struct buf framed = {0};
    buf_append_char(&framed, '\n');
    buf_append_str(&framed, buf_str(&a.body));
    buf_z(&framed);
    buf_free(&a.body);
    a.body = framed;
    return a;
}

static void the_request_is_in_the_environment(void **state)
{
    root = "/srv/www";
    body = STR("abc");
    with_field("content-type", "text/x");
    struct capture a = environment_of("/environment/more/a%20b", "x=%20y&z");
    assert_line(&a.body, "GATEWAY_INTERFACE=CGI/1.1");
    assert_line(&a.body, "SERVER_PROTOCOL=HTTP/1.1");
    assert_line(&a.body, "SERVER_NAME=example.org");
    assert_line(&a.body, "SERVER_PORT=8443");
    assert_line(&a.body, "REQUEST_METHOD=POST");
    assert_line(&a.body, "REQUEST_URI=/environment/more/a%20b?x=%20y&z");
    assert_line(&a.body, "QUERY_STRING=x=%20y&z");
    assert_line(&a.body, "SCRIPT_NAME=/environment");
    assert_directory_line(&a.body, "SCRIPT_FILENAME=", "/environment");
    assert_line(&a.body, "PATH_INFO=/more/a b");
    assert_line(&a.body, "DOCUMENT_ROOT=/srv/www");
    assert_line(&a.body, "PATH_TRANSLATED=/srv/www/more/a b");
    assert_line(&a.body, "REMOTE_ADDR=192.0.2.1");
    assert_line(&a.body, "HTTPS=on");
    assert_line(&a.body, "CONTENT_LENGTH=3");
    assert_line(&a.body, "CONTENT_TYPE=text/x");
    assert_directory_line(&a.body, "PWD_NOW=", "");
    capture_free(&a);
}

static void what_is_not_there_is_not_set(void **state)
{
    struct capture a = environment_of("/environment", NULL);
    assert_line(&a.body, "QUERY_STRING=");
    assert_line(&a.body, "REQUEST_URI=/environment");
    assert_no_variable(&a.body, "CONTENT_LENGTH");
    assert_no_variable(&a.body, "CONTENT_TYPE");
    assert_no_variable(&a.body, "PATH_INFO");
    assert_no_variable(&a.body, "DOCUMENT_ROOT");
    capture_free(&a);
}

static void header_fields_become_variables(void **state)
{
    with_field("accept-language", "de");
    with_field("x-a", "1");
    with_field("x-a", "2");
    with_field("cookie", "a=1");
    with_field("cookie", "b=2");
    struct capture a = environment_of("/environment", NULL);
    assert_line(&a.body, "HTTP_ACCEPT_LANGUAGE=de");
    assert_line(&a.body, "HTTP_X_A=1, 2");
    assert_line(&a.body, "HTTP_COOKIE=a=1; b=2");
    capture_free(&a);
}

/* the kind of a call is for modules; a program sees a POST with a field more */
static void a_websocket_message_is_a_post(void **state)
{
    kind = CALL_WS_MESSAGE;
    body = STR("hello");
    with_field("connection-id", "00c1");
    with_field("content-type", "text/plain; charset=utf-8");
    struct capture a = environment_of("/environment", NULL);
    assert_line(&a.body, "REQUEST_METHOD=POST");
    assert_line(&a.body, "HTTP_CONNECTION_ID=00c1");
    assert_line(&a.body, "CONTENT_TYPE=text/plain; charset=utf-8");
    assert_line(&a.body, "CONTENT_LENGTH=5");
    capture_free(&a);
}

static void fields_that_pose_as_others_are_left_out(void **state)
{
    with_field("proxy", "http://attacker.example");
    with_field("x_a", "1");
    with_field("x-a", "2");
    struct capture a = environment_of("/environment", NULL);
    assert_no_variable(&a.body, "HTTP_PROXY");
    assert_line(&a.body, "HTTP_X_A=2");
    capture_free(&a);
}

static void the_process_environment_is_inherited_but_for_its_own_affairs(void **state)
{
    setenv("DB", "shop", 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("BULKHEAD_SOCKET", "/x", 1);
    setenv("HTTP_PROXY", "http://operator.example", 1);
    setenv("REMOTE_USER", "root", 1);
    struct capture a = environment_of("/environment", NULL);
    assert_line(&a.body, "DB=shop");
    assert_no_variable(&a.body, "LISTEN_FDS");
    assert_no_variable(&a.body, "BULKHEAD_SOCKET");
    assert_no_variable(&a.body, "HTTP_PROXY");
    assert_no_variable(&a.body, "REMOTE_USER");
    capture_free(&a);
}

/* ---- which program ---------------------------------------------------------------------------------------------- */

static void segments_lead_to_the_program(void **state)
{
    assert_answer("/tools/nested", 200, "/tools/nested|");
    assert_answer("/tools/nested/a/b", 200, "/tools/nested|/a/b");
    assert_answer("/tools/nes%74ed/", 200, "/tools/nested|/");
}

static void a_configured_program_finds_its_name_in_the_path(void **state)
{
    static const char *const cases[][2] = {{"/cgi-bin/nested/a", "/cgi-bin/nested|/a"},
                                           {"/nested", "/nested|"},
                                           {"/x/y", "|/x/y"},
                                           {"/nestedx", "|/nestedx"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct capture a = run_at(CGI_DIRECTORY "/tools/nested", cases[i][0], NULL);
        assert_true(a.ok);
        assert_string_equal(a.body.base, cases[i][1]);
        capture_free(&a);
    }
}

static void what_is_not_there_is_not_found(void **state)
{
    assert_answer("/none", 404, "no such program\n");
    assert_answer("/", 404, "no such program\n");
    assert_answer("/tools", 404, "no such program\n");
    assert_answer("/tools/", 404, "no such program\n");
    assert_answer("//tools/nested", 404, "no such program\n");
}

static void nothing_climbs_out_of_the_directory(void **state)
{
    assert_answer("/../cgi/status", 404, "no such program\n");
    assert_answer("/tools/../status", 404, "no such program\n");
    assert_answer("/tools/%2e%2e/status", 404, "no such program\n");
    assert_answer("/tools%2fnested", 404, "no such program\n");
    assert_answer("/..%2f..%2fbin%2fsh", 404, "no such program\n");
    assert_answer("/status%00x", 404, "no such program\n");
}

static void only_executable_files_inside_are_run(void **state)
{
    char directory[] = "/tmp/test_cgi.XXXXXX", link_out[64], link_in[64], program[64];
    assert_non_null(mkdtemp(directory));
    snprintf(program, sizeof(program), "%s/", directory);
    snprintf(link_out, sizeof(link_out), "%s/out", directory);
    snprintf(link_in, sizeof(link_in), "%s/in", directory);
    assert_int_equal(symlink("/bin/true", link_out), 0);
    assert_int_equal(symlink("out", link_in), 0);
    struct capture a = run_at(program, "/out", NULL), b = run_at(program, "/in", NULL);
    unlink(link_out);
    unlink(link_in);
    rmdir(directory);
    assert_int_equal(a.status, 403);
    assert_int_equal(b.status, 403);
    capture_free(&a);
    capture_free(&b);
    assert_answer("/plain", 403, "not a program that may be run\n");
}

static void a_program_that_cannot_be_used_is_refused_at_the_start(void **state)
{
    static const char *const cases[][2] = {{CGI_DIRECTORY "/none", "No such file"},
                                           {CGI_DIRECTORY "/plain", "not an executable file"},
                                           {CGI_DIRECTORY, "write it with a '/' at its end"},
                                           {CGI_DIRECTORY "/status/", "Not a directory"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char error[512];
        assert_null(module_open_cgi(cases[i][0], NULL, error, sizeof(error)));
        capture_assert_words(error, cases[i][1]);
    }
}

/* ---- what it answers -------------------------------------------------------------------------------------------- */

static void status_and_fields_are_passed_on(void **state)
{
    struct capture a = run("/status");
    assert_true(a.ok);
    assert_int_equal(a.status, 418);
    assert_string_equal(a.fields.base, "content-type: text/plain\nx-a: 1\nx-a: 2\n");
    assert_string_equal(a.body.base, "short and stout");
    capture_free(&a);
}

static void a_location_alone_redirects(void **state)
{
    struct capture a = run("/redirect");
    assert_true(a.ok);
    assert_int_equal(a.status, 302);
    assert_string_equal(a.fields.base, "location: /elsewhere\n");
    capture_free(&a);
}

static void a_body_goes_through_both_ways_at_once(void **state)
{
    enum { BYTES = 5000000 };
    char *bytes = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (char)(i * 7 % 251);
    body = (struct str){bytes, BYTES};
    struct capture a = run("/copy");
    assert_true(a.ok);
    assert_int_equal(a.body.len, BYTES);
    assert_memory_equal(a.body.base, bytes, BYTES);
    capture_free(&a);
    free(bytes);
}

static void an_empty_body_ends_at_once(void **state)
{
    assert_answer("/copy", 200, "");
}

static void a_program_need_not_read_its_input(void **state)
{
    char *bytes = calloc(1, 1000000);
    body = (struct str){bytes, 1000000};
    assert_answer("/deaf", 200, "deaf");
    free(bytes);
}

static void a_large_answer_comes_whole(void **state)
{
    struct capture a = run("/large_output");
    assert_true(a.ok);
    assert_int_equal(a.body.len, 1000000);
    capture_free(&a);
}

static void garbage_fails_the_call(void **state)
{
    assert_fails("/no_header", "a line of its header has no colon");
    assert_fails("/empty_header", "neither Content-Type nor Status nor Location");
    assert_fails("/nothing", "ended before its header did");
    assert_fails("/large_header", "its header is longer than 65536 bytes");
}

static void a_program_that_was_killed_has_failed(void **state)
{
    assert_fails("/killed", "ended by signal 9");
}

static void an_exit_status_is_its_own_business(void **state)
{
    assert_answer("/exit_status", 200, "all of it");
}

/* ---- its end ---------------------------------------------------------------------------------------------------- */

static void a_program_past_the_deadline_is_ended(void **state)
{
    int64_t begun = clock_us();
    deadline_us = begun + SECOND / 10;
    assert_fails("/hang", "its time is over");
    assert_in_range(clock_us() - begun, SECOND / 10, SECOND);
}

static bool always(void *arg)
{
    return true;
}

static void a_program_whose_client_has_left_is_ended(void **state)
{
    cancelled = always;
    assert_fails("/hang", "its client has left");
}

/* a zombie has ended: in a container nobody may reap orphans */
static bool is_running(long pid)
{
    char path[64], state = '?';
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    int found = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return found == 1 && state != 'Z' && state != 'X';
}

/* It writes more than is held back, its and its child's pids first. */
static void sigkill_ends_a_stubborn_program_and_its_children(void **state)
{
    long own, childs;
    int64_t begun = clock_us();
    deadline_us = begun + SECOND / 2;
    struct capture a = run("/stubborn");
    assert_false(a.ok);
    assert_int_equal(sscanf(a.body.base, "%ld %ld", &own, &childs), 2);
    assert_in_range(clock_us() - begun, SECOND, 4 * SECOND);
    assert_false(is_running(own));
    /* the group was killed, but its death may take a moment */
    while (is_running(childs))
        usleep(1000);
    capture_free(&a);
}

int main(void)
{
#define CGI_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, nothing_is_left)
    const struct CMUnitTest tests[] = {
        CGI_TEST(the_request_is_in_the_environment),
        CGI_TEST(what_is_not_there_is_not_set),
        CGI_TEST(header_fields_become_variables),
        CGI_TEST(a_websocket_message_is_a_post),
        CGI_TEST(fields_that_pose_as_others_are_left_out),
        CGI_TEST(the_process_environment_is_inherited_but_for_its_own_affairs),
        CGI_TEST(segments_lead_to_the_program),
        CGI_TEST(a_configured_program_finds_its_name_in_the_path),
        CGI_TEST(what_is_not_there_is_not_found),
        CGI_TEST(nothing_climbs_out_of_the_directory),
        CGI_TEST(only_executable_files_inside_are_run),
        CGI_TEST(a_program_that_cannot_be_used_is_refused_at_the_start),
        CGI_TEST(status_and_fields_are_passed_on),
        CGI_TEST(a_location_alone_redirects),
        CGI_TEST(a_body_goes_through_both_ways_at_once),
        CGI_TEST(an_empty_body_ends_at_once),
        CGI_TEST(a_program_need_not_read_its_input),
        CGI_TEST(a_large_answer_comes_whole),
        CGI_TEST(garbage_fails_the_call),
        CGI_TEST(a_program_that_was_killed_has_failed),
        CGI_TEST(an_exit_status_is_its_own_business),
        CGI_TEST(a_program_past_the_deadline_is_ended),
        CGI_TEST(a_program_whose_client_has_left_is_ended),
        CGI_TEST(sigkill_ends_a_stubborn_program_and_its_children),
    };
    alarm(TIME_LIMIT_S);
    signal(SIGPIPE, SIG_IGN);
    descriptors_at_start = open_descriptors();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
