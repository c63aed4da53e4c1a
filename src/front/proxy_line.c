/* SPDX-License-Identifier: MIT
 *
 * proxy_line: see proxy_line.h.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "front/proxy_line.h"

#define WORDS 6 /* PROXY TCP4 source destination source-port destination-port */

/* Cuts the text at single spaces, in place. Returns how many words there are, WORDS + 1 when more than that. */
static size_t split(char *text, char *words[WORDS])
{
    size_t n = 0;
    for (char *word = text; word != NULL; ++n) {
        char *space = strchr(word, ' ');
        if (n == WORDS)
            return WORDS + 1;
        words[n] = word;
        if (space != NULL)
            *space++ = '\0';
        word = space;
    }
    return n;
}

static bool parse_port(const char *word, uint16_t *port_r)
{
    size_t digits = strspn(word, "0123456789");
    if (digits == 0 || digits > 5 || word[digits] != '\0' || (word[0] == '0' && digits > 1))
        return false;
    unsigned long port = strtoul(word, NULL, 10);
    *port_r = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool parse_ipv4(char *const words[WORDS], uint16_t port, struct sockaddr_storage *peer_r)
{
    struct sockaddr_in *in = (struct sockaddr_in *)peer_r;
    struct in_addr destination;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    return inet_pton(AF_INET, words[2], &in->sin_addr) == 1 && inet_pton(AF_INET, words[3], &destination) == 1;
}

static bool parse_ipv6(char *const words[WORDS], uint16_t port, struct sockaddr_storage *peer_r)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)peer_r;
    struct in6_addr destination;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return inet_pton(AF_INET6, words[2], &in6->sin6_addr) == 1 && inet_pton(AF_INET6, words[3], &destination) == 1;
}

bool proxy_line_parse(const char *line, size_t len, struct sockaddr_storage *peer_r, socklen_t *peer_len_r)
{
    char text[PROXY_LINE_MAX + 1];
    char *words[WORDS];
    uint16_t source_port, destination_port;
    memset(peer_r, 0, sizeof *peer_r);
    *peer_len_r = 0;
    if (len < 2 || len > PROXY_LINE_MAX || memcmp(line + len - 2, "\r\n", 2) != 0 || memchr(line, '\0', len) != NULL)
        return false;
    memcpy(text, line, len - 2);
    text[len - 2] = '\0';
    size_t n = split(text, words);
    if (n < 2 || strcmp(words[0], "PROXY") != 0)
        return false;
    if (strcmp(words[1], "UNKNOWN") == 0)
        return true; /* whatever follows is to be ignored */
    if (n != WORDS || !parse_port(words[4], &source_port) || !parse_port(words[5], &destination_port))
        return false;
    if (strcmp(words[1], "TCP4") == 0) {
        *peer_len_r = sizeof(struct sockaddr_in);
        return parse_ipv4(words, source_port, peer_r);
    }
    if (strcmp(words[1], "TCP6") == 0) {
        *peer_len_r = sizeof(struct sockaddr_in6);
        return parse_ipv6(words, source_port, peer_r);
    }
    return false;
}
