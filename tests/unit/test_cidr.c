/* SPDX-License-Identifier: MIT
 *
 * Tests of front/cidr: which texts are ranges, and which peers are in them.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "front/cidr.h"

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    struct sockaddr_in *in = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    if (strcmp(text, "unix:") == 0)
        ss.ss_family = AF_UNIX;
    else if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        ss.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        ss.ss_family = AF_INET6;
    return ss;
}

static bool contains(const char *range, const char *address)
{
    struct cidr cidr;
    struct sockaddr_storage ss = peer(address);
    assert_true(cidr_parse(range, &cidr));
    return cidr_contains(&cidr, (struct sockaddr *)&ss);
}

static void test_an_address_contains_itself_only(void **state)
{
    assert_true(contains("192.0.2.1", "192.0.2.1"));
    assert_false(contains("192.0.2.1", "192.0.2.2"));
    assert_true(contains("2001:db8::1", "2001:db8::1"));
    assert_false(contains("2001:db8::1", "2001:db8::2"));
}

static void test_a_range_ends_where_its_bits_say(void **state)
{
    assert_true(contains("10.0.0.0/8", "10.255.255.255"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("192.0.2.128/25", "192.0.2.129"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::"));
    assert_true(contains("0.0.0.0/0", "203.0.113.9"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("::/0", "203.0.113.9"));
}

static void test_an_ipv4_peer_on_an_ipv6_socket_is_its_ipv4_address(void **state)
{
    assert_true(contains("192.0.2.0/24", "::ffff:192.0.2.7"));
    assert_false(contains("192.0.2.0/24", "::ffff:192.0.3.7"));
}

static void test_unix_sockets_are_named_by_themselves(void **state)
{
    assert_true(contains("unix:", "unix:"));
    assert_false(contains("unix:", "127.0.0.1"));
    assert_false(contains("::/0", "unix:"));
}

static void test_what_is_no_range_is_refused(void **state)
{
    static const char *const texts[] = {
        "",         "192.0.2",     "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1", "192.0.2.1/8x", "::1/129",
        "::1/0000", "example.org", "/8",           "192.0.2.1 ", "unix:/x",      "1.2.3.4/+8"};
    struct cidr cidr;
    for (size_t i = 0; i != sizeof texts / sizeof texts[0]; ++i)
        assert_false(cidr_parse(texts[i], &cidr));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_contains_itself_only),
        cmocka_unit_test(test_a_range_ends_where_its_bits_say),
        cmocka_unit_test(test_an_ipv4_peer_on_an_ipv6_socket_is_its_ipv4_address),
        cmocka_unit_test(test_unix_sockets_are_named_by_themselves),
        cmocka_unit_test(test_what_is_no_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
