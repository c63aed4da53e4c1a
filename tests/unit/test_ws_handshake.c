/* SPDX-License-Identifier: MIT
 *
 * test_ws_handshake: which handshakes are accepted, and which subprotocol is chosen. RFC 6455 §4.2.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/conf.h"
#include "front/ws_handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

#define FIELDS_MAX 8

static struct str names[FIELDS_MAX];
static struct field fields[FIELDS_MAX];
static size_t nfields;
static struct conf_websocket conf;
static struct ws_handshake found;
static char detail[256];

static void field(const char *name, const char *value)
{
    assert_true(nfields < FIELDS_MAX);
    names[nfields] = str_of(name);
    fields[nfields] = (struct field){.name = &names[nfields], .value = str_of(value)};
    nfields++;
}

static int setup(void **state)
{
    nfields = 0;
    conf = (struct conf_websocket){.mode = CONF_WEBSOCKET_MESSAGES};
    return 0;
}

static void good(void)
{
    field("sec-websocket-version", "13");
    field("sec-websocket-key", KEY);
}

static enum reason check_as(const char *method, int version)
{
    return ws_handshake_check(&found, &conf, str_of(method), version, fields, nfields, detail, sizeof(detail));
}

static enum reason check(void)
{
    return check_as("GET", 0x101);
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.base, expected, s.len);
}

static void test_the_key_of_the_rfc_has_the_answer_of_the_rfc(void **state)
{
    char accept[WS_ACCEPT_LENGTH];
    ws_handshake_accept(STR(KEY), accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_LENGTH);
}

static void test_keys_that_we_make_are_good_and_differ(void **state)
{
    char a[WS_KEY_LENGTH + 1] = "", b[WS_KEY_LENGTH + 1] = "";
    ws_handshake_make_key(a);
    ws_handshake_make_key(b);
    assert_string_not_equal(a, b);
    field("sec-websocket-version", "13");
    field("sec-websocket-key", a);
    assert_int_equal(check(), REASON_NONE);
}

static void test_a_good_handshake(void **state)
{
    good();
    assert_int_equal(check(), REASON_NONE);
    assert_str(found.key, KEY);
    assert_int_equal(found.protocol.len, 0);
}

static void test_only_a_get_of_http_1_1(void **state)
{
    good();
    assert_int_equal(check_as("POST", 0x101), REASON_BAD_REQUEST);
    assert_int_equal(check_as("GET", 0x100), REASON_BAD_REQUEST);
    assert_int_equal(check_as("GET", 0x200), REASON_BAD_REQUEST);
}

static void test_versions(void **state)
{
    static const char *const bad[] = {"12", "14", "", "013", "13, 8"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nfields = 0;
        field("sec-websocket-version", bad[i]);
        field("sec-websocket-key", KEY);
        assert_int_equal(check(), REASON_UPGRADE_REQUIRED);
    }
    nfields = 0;
    field("sec-websocket-key", KEY);
    assert_int_equal(check(), REASON_UPGRADE_REQUIRED);
    good();
    assert_int_equal(check(), REASON_BAD_REQUEST); /* the key came twice */
}

static void test_keys(void **state)
{
    static const char *const bad[] = {"",
                                      "short",
                                      "dGhlIHNhbXBsZSBub25jZQ=",
                                      "dGhlIHNhbXBsZSBub25jZQ===",
                                      "dGhlIHNhbXBsZSBub25jZQ!=",
                                      "dGhlIHNhbXBs*SBub25jZQ==",
                                      "dGhlIHNhbXBsZSBub25jZR==",
                                      "dGhlIHNhbXBsZSBub25jZWVl"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        nfields = 0;
        field("sec-websocket-version", "13");
        field("sec-websocket-key", bad[i]);
        assert_int_equal(check(), REASON_BAD_REQUEST);
    }
    nfields = 0;
    field("sec-websocket-version", "13");
    assert_int_equal(check(), REASON_BAD_REQUEST);
}

static void test_origins(void **state)
{
    const char *allowed[] = {"https://example.org", "null"};
    good();
    field("origin", "https://evil.example");
    assert_int_equal(check(), REASON_NONE); /* no list: any */
    conf.origins = allowed;
    conf.norigins = 2;
    assert_int_equal(check(), REASON_ORIGIN);
    assert_non_null(strstr(detail, "https://evil.example"));
    fields[2].value = STR("HTTPS://Example.org");
    assert_int_equal(check(), REASON_NONE);
    fields[2].value = STR("https://example.org.evil");
    assert_int_equal(check(), REASON_ORIGIN);
    fields[2].value = STR("null");
    assert_int_equal(check(), REASON_NONE);
    field("origin", "https://example.org");
    assert_int_equal(check(), REASON_ORIGIN); /* two of them */
    nfields = 2;
    assert_int_equal(check(), REASON_NONE); /* no browser */
}

static void test_the_most_wanted_subprotocol_is_chosen(void **state)
{
    const char *wanted[] = {"chat.v2", "chat.v1"};
    good();
    field("sec-websocket-protocol", "chat.v1 ,\tchat.v2");
    assert_int_equal(check(), REASON_NONE);
    assert_int_equal(found.protocol.len, 0);
    conf.protocols = wanted;
    conf.nprotocols = 2;
    assert_int_equal(check(), REASON_NONE);
    assert_str(found.protocol, "chat.v2");
    fields[2].value = STR("chat, chat.v1");
    assert_int_equal(check(), REASON_NONE);
    assert_str(found.protocol, "chat.v1");
    fields[2].value = STR("other");
    assert_int_equal(check(), REASON_NONE);
    assert_int_equal(found.protocol.len, 0);
}

static void test_subprotocols_in_several_fields_are_one_list(void **state)
{
    const char *wanted[] = {"b"};
    char huge[1024];
    conf.protocols = wanted;
    conf.nprotocols = 1;
    good();
    field("sec-websocket-protocol", "a");
    field("sec-websocket-protocol", "b, c");
    assert_int_equal(check(), REASON_NONE);
    assert_str(found.protocols, "a, b, c");
    assert_str(found.protocol, "b");
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    field("sec-websocket-protocol", huge);
    assert_int_equal(check(), REASON_BAD_REQUEST);
}

static void test_subprotocols_are_tokens(void **state)
{
    static const char *const bad[] = {"", "a,,b", "a b", "a,", "a;b"};
    good();
    field("sec-websocket-protocol", "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fields[2].value = str_of(bad[i]);
        assert_int_equal(check(), REASON_BAD_REQUEST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_key_of_the_rfc_has_the_answer_of_the_rfc, setup),
        cmocka_unit_test_setup(test_keys_that_we_make_are_good_and_differ, setup),
        cmocka_unit_test_setup(test_a_good_handshake, setup),
        cmocka_unit_test_setup(test_only_a_get_of_http_1_1, setup),
        cmocka_unit_test_setup(test_versions, setup),
        cmocka_unit_test_setup(test_keys, setup),
        cmocka_unit_test_setup(test_origins, setup),
        cmocka_unit_test_setup(test_the_most_wanted_subprotocol_is_chosen, setup),
        cmocka_unit_test_setup(test_subprotocols_in_several_fields_are_one_list, setup),
        cmocka_unit_test_setup(test_subprotocols_are_tokens, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
