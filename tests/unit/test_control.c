/* SPDX-License-Identifier: MIT
 *
 * Messages between front and supervisor: what is encoded comes back equal, and nothing else is taken.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/control.h"

static const struct wire_control sample = {
    .type = WIRE_GRANT,
    .backend = 3,
    .slot = WIRE_SLOT_ADMIN,
    .generation = 0x01020304,
    .pid = -7,
    .count = 16,
    .at_us = -1234567890123LL,
    .text = {(char *)"/run/bulkhead/1/shop.0.sock", 27},
};

static void every_member_comes_back(void **state)
{
    char bytes[WIRE_CONTROL_MAX];
    struct wire_control m;
    size_t len = wire_control_encode(&sample, bytes, sizeof(bytes));
    assert_true(len > sample.text.len);
    assert_true(wire_control_decode(&m, bytes, len));
    assert_int_equal(m.type, sample.type);
    assert_int_equal(m.backend, sample.backend);
    assert_int_equal(m.slot, sample.slot);
    assert_int_equal(m.generation, sample.generation);
    assert_int_equal(m.pid, sample.pid);
    assert_int_equal(m.count, sample.count);
    assert_true(m.at_us == sample.at_us);
    assert_true(str_eq(m.text, sample.text));
}

static void every_type_has_a_name_and_travels(void **state)
{
    char bytes[64];
    unsigned known = 0;
    for (unsigned type = 0; type < WIRE_CONTROL_TYPE_END; type++) {
        if (strcmp(wire_control_name(type), "unknown") == 0)
            continue;
        struct wire_control m = {.type = (uint16_t)type}, back;
        size_t len = wire_control_encode(&m, bytes, sizeof(bytes));
        assert_true(wire_control_decode(&back, bytes, len));
        assert_int_equal(back.type, type);
        known++;
    }
    assert_int_equal(known, 31);
    assert_string_equal(wire_control_name(WIRE_CONTROL_TYPE_END), "unknown");
}

static void a_text_past_the_limit_is_not_encoded(void **state)
{
    static char text[WIRE_CONTROL_MAX], bytes[2 * WIRE_CONTROL_MAX];
    memset(text, 'x', sizeof(text));
    struct wire_control m = {.type = WIRE_FAILED, .text = {text, sizeof(text)}};
    assert_int_equal(wire_control_encode(&m, bytes, sizeof(bytes)), 0);
    m.text.len = WIRE_CONTROL_MAX - 36;
    assert_int_equal(wire_control_encode(&m, bytes, sizeof(bytes)), WIRE_CONTROL_MAX);
    assert_int_equal(wire_control_encode(&m, bytes, 100), 0);
}

static void any_other_length_is_refused(void **state)
{
    char bytes[WIRE_CONTROL_MAX];
    struct wire_control m;
    size_t len = wire_control_encode(&sample, bytes, sizeof(bytes));
    for (size_t i = 0; i < len; i++)
        assert_false(wire_control_decode(&m, bytes, i));
    assert_false(wire_control_decode(&m, bytes, len + 1));
}

static void other_versions_and_types_are_refused(void **state)
{
    char bytes[WIRE_CONTROL_MAX];
    struct wire_control m;
    size_t len = wire_control_encode(&sample, bytes, sizeof(bytes));
    bytes[0] = WIRE_CONTROL_VERSION + 1;
    assert_false(wire_control_decode(&m, bytes, len));
    bytes[0] = WIRE_CONTROL_VERSION;
    const unsigned bad[] = {0, WIRE_REOPEN + 1, WIRE_READY - 1, WIRE_CONTROL_TYPE_END, 0xff};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bytes[2] = (char)bad[i];
        assert_false(wire_control_decode(&m, bytes, len));
    }
}

static void a_text_with_a_nul_is_refused(void **state)
{
    char bytes[WIRE_CONTROL_MAX];
    struct wire_control m = {.type = WIRE_LOST, .text = {(char *)"a\0b", 3}}, back;
    size_t len = wire_control_encode(&m, bytes, sizeof(bytes));
    assert_false(wire_control_decode(&back, bytes, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_comes_back),
        cmocka_unit_test(every_type_has_a_name_and_travels),
        cmocka_unit_test(a_text_past_the_limit_is_not_encoded),
        cmocka_unit_test(any_other_length_is_refused),
        cmocka_unit_test(other_versions_and_types_are_refused),
        cmocka_unit_test(a_text_with_a_nul_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
