/* SPDX-License-Identifier: MIT
 *
 * proxy_line: the parser of the PROXY protocol's version 1 line, which a load balancer sends ahead of a client's bytes
 * to tell the client's address. Strict: the library's own parser takes a missing or broken line for the first bytes of
 * HTTP, which would let anybody who reaches the listener speak as the balancer's address. Pure.
 */
#ifndef BULKHEAD_FRONT_PROXY_LINE_H
#define BULKHEAD_FRONT_PROXY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* the longest line with its CRLF that version 1 of the protocol knows */
#define PROXY_LINE_MAX 107

/* `line` is one whole line, CRLF included. false: not a PROXY line. *peer_len_r is 0 for "PROXY UNKNOWN", which means:
 * the peer is who is at the other end of the socket. */
bool proxy_line_parse(const char *line, size_t len, struct sockaddr_storage *peer_r, socklen_t *peer_len_r);

#endif
