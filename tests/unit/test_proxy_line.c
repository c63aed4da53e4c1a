/* SPDX-License-Identifier: MIT
 *
 * Tests of front/proxy_line: what is a PROXY line of version 1, and whom it names.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "front/proxy_line.h"

/* "192.0.2.1 56324", "" for an unknown peer, NULL when it is no PROXY line */
static const char *read_line(const char *line)
{
    static char text[80];
    struct sockaddr_storage peer;
    socklen_t len;
    char address[INET6_ADDRSTRLEN];
    if (!proxy_line_parse(line, strlen(line), &peer, &len))
        return NULL;
    if (len == 0)
        return "";
    const struct sockaddr_in *in = (const struct sockaddr_in *)&peer;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&peer;
    bool is_ipv4 = peer.ss_family == AF_INET;
    assert_int_equal(len, is_ipv4 ? sizeof *in : sizeof *in6);
    inet_ntop(peer.ss_family, is_ipv4 ? (const void *)&in->sin_addr : (const void *)&in6->sin6_addr, address,
              sizeof address);
    snprintf(text, sizeof text, "%s %u", address, ntohs(is_ipv4 ? in->sin_port : in6->sin6_port));
    return text;
}

static void test_the_source_is_the_peer(void **state)
{
    assert_string_equal(read_line("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1 56324");
    assert_string_equal(read_line("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), "2001:db8::1 1");
    assert_string_equal(
        read_line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                  "65535 65535\r\n"),
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535");
}

static void test_unknown_names_nobody(void **state)
{
    assert_string_equal(read_line("PROXY UNKNOWN\r\n"), "");
    assert_string_equal(read_line("PROXY UNKNOWN ffff::1 ffff::2 65535 65535 and more\r\n"), "");
}

static void test_anything_else_is_no_proxy_line(void **state)
{
    static const char *const lines[] = {
        "",
        "\r\n",
        "PROXY\r\n",
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.1 56324 443\r\n",
        ("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535xxxx\r\n"),
    };
    for (size_t i = 0; i != sizeof lines / sizeof lines[0]; ++i)
        assert_null(read_line(lines[i]));
}

static void test_a_nul_is_not_the_end_of_it(void **state)
{
    static const char line[] = "PROXY UNKNOWN\0\r\n";
    struct sockaddr_storage peer;
    socklen_t len;
    assert_false(proxy_line_parse(line, sizeof line - 1, &peer, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_source_is_the_peer),
        cmocka_unit_test(test_unknown_names_nobody),
        cmocka_unit_test(test_anything_else_is_no_proxy_line),
        cmocka_unit_test(test_a_nul_is_not_the_end_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
