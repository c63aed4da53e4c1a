/* SPDX-License-Identifier: MIT
 *
 * The status page for people: rows of front and supervisor come together, and nothing in a page can break the display.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "cli/status_text.h"
#include "cli/table.h"

static const char page_text[] =
    "{\"version\":\"9.9\",\"pid\":10,\"uptime_s\":3725,\"generation\":1,\"conf\":\"/etc/x.conf\","
    "\"front\":{\"pid\":11,\"restarts\":2,\"state\":\"serving\",\"uptime_s\":0.25},"
    "\"supervisor_workers\":["
    "{\"backend\":\"shop\",\"slot\":0,\"pid\":12,\"state\":\"ready\",\"restarts\":0,\"uptime_s\":61,\"why\":\"\"},"
    "{\"backend\":\"shop\",\"slot\":1,\"pid\":0,\"state\":\"backoff\",\"restarts\":7,\"uptime_s\":0,\"why\":\"exited\"}"
    "],"
    "\"front_status\":{\"connections\":{\"open\":3},\"requests\":42,"
    "\"websockets\":[{\"route\":\"x.conf:7\",\"mode\":\"bridge\",\"backend\":\"shop\",\"open\":123,\"opened\":456,"
    "\"closed\":{\"client\":331,\"bulkhead\":0,\"lost\":2}}],"
    "\"backends\":[{\"name\":\"shop\",\"run\":"
    "\"workers\","
    "\"limit\":2,\"busy\":1,\"queued\":4,\"queue\":20,\"oldest_wait_us\":1500000,\"outcomes\":{\"ok\":9,\"queue-full\":"
    "3},"
    "\"workers\":[{\"slot\":0,\"pid\":12,\"state\":\"busy\",\"busy\":1,\"calls\":10,\"bridged\":6789,\"request\":\"GET "
    "/\\u001b[31m\","
    "\"age_us\":2000000}]}]}}";

static char *render(const char *json)
{
    static struct buf out;
    buf_clear(&out);
    json_t *page = json_loads(json, 0, NULL);
    assert_non_null(page);
    status_text(page, &out);
    json_decref(page);
    return (char *)buf_z(&out);
}

static void everything_of_interest_is_shown(void **state)
{
    const char *text = render(page_text);
    const char *const expected[] = {"bulkhead 9.9", "1h02m",         "/etc/x.conf", "front serving",
                                    "restarts 2",   "connections 3", "requests 42", "4/20",
                                    "1.5 s",        "queue-full 3",  "busy",        "2.0 s",
                                    "GET /",        "backoff",       "exited",      "x.conf:7",
                                    "bridge",       "123",           "456",         "331 client, 2 lost",
                                    "6789"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (strstr(text, expected[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", expected[i], text);
    }
}

static void columns_are_aligned_and_lines_end_without_spaces(void **state)
{
    char *text = render(page_text), *row = strstr(text, "\nBACKEND  WORKER");
    assert_non_null(row);
    size_t column = (size_t)(strstr(row, "PID") - row);
    row = strchr(row + 1, '\n');
    assert_memory_equal(row + column, "12 ", 3);
    assert_null(strstr(text, " \n"));
}

static void what_a_client_sent_cannot_steer_the_terminal(void **state)
{
    assert_null(strchr(render(page_text), 0x1b));
}

static void pages_that_lack_things_or_have_others_do_no_harm(void **state)
{
    const char *const odd[] = {
        "{}", "{\"front\":[],\"front_status\":null,\"supervisor_workers\":{}}",
        "{\"supervisor_workers\":[1,null,{}],\"front_status\":{\"backends\":[[],{}],\"websockets\":[[],{}]}}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_non_null(strstr(render(odd[i]), "bulkhead"));
}

static void long_cells_are_cut_not_overrun(void **state)
{
    static const char *const headings[] = {"A", "B", NULL};
    char text[2000];
    struct table t;
    struct buf out = {0};
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    table_init(&t, headings);
    table_add(&t, "%s", text);
    table_add(&t, "%s", "\xc3\xa4");
    table_put(&t, &out);
    assert_true(out.len < sizeof(text));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_of_interest_is_shown),
        cmocka_unit_test(columns_are_aligned_and_lines_end_without_spaces),
        cmocka_unit_test(what_a_client_sent_cannot_steer_the_terminal),
        cmocka_unit_test(pages_that_lack_things_or_have_others_do_no_harm),
        cmocka_unit_test(long_cells_are_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
