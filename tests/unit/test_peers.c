/* SPDX-License-Identifier: MIT
 *
 * Tests of front/peers: who counts as the same client, and that places come back.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "front/peers.h"

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage ss = {.ss_family = AF_INET};
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&ss)->sin_addr) == 1)
        return ss;
    ss.ss_family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&ss)->sin6_addr), 1);
    return ss;
}

static bool enter(const char *text, unsigned limit)
{
    struct sockaddr_storage ss = peer(text);
    return peers_enter((struct sockaddr *)&ss, limit);
}

static void leave(const char *text)
{
    struct sockaddr_storage ss = peer(text);
    peers_leave((struct sockaddr *)&ss);
}

static void test_the_limit_is_per_address(void **state)
{
    assert_true(enter("192.0.2.1", 2));
    assert_true(enter("192.0.2.1", 2));
    assert_false(enter("192.0.2.1", 2));
    assert_true(enter("192.0.2.2", 2));
    leave("192.0.2.1");
    assert_true(enter("192.0.2.1", 2));
    leave("192.0.2.1");
    leave("192.0.2.1");
    leave("192.0.2.2");
}

static void test_an_ipv6_client_is_its_64(void **state)
{
    assert_true(enter("2001:db8:0:1::1", 1));
    assert_false(enter("2001:db8:0:1:ffff::2", 1));
    assert_true(enter("2001:db8:0:2::1", 1));
    leave("2001:db8:0:1::1");
    leave("2001:db8:0:2::1");
}

static void test_an_ipv4_client_is_the_same_on_an_ipv6_socket(void **state)
{
    assert_true(enter("192.0.2.1", 1));
    assert_false(enter("::ffff:192.0.2.1", 1));
    assert_true(enter("::ffff:192.0.2.2", 1));
    leave("192.0.2.1");
    leave("::ffff:192.0.2.2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limit_is_per_address),
        cmocka_unit_test(test_an_ipv6_client_is_its_64),
        cmocka_unit_test(test_an_ipv4_client_is_the_same_on_an_ipv6_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
