/* SPDX-License-Identifier: MIT
 *
 * conn: what we keep about each client connection beside the library's own: its listener, its peer, how many requests it
 * made, and since when it has been in its present state, for the sweep that enforces head, body, idle and write time
 * limits (the library has one wall-clock timer for all of them: guide §8). Lives from accept to the socket's on_close; owned by the loop thread.
 */
#ifndef BULKHEAD_FRONT_CONN_H
#define BULKHEAD_FRONT_CONN_H

#include <sys/socket.h>

#include "upstream/h2o_api.h"

#include "base/list.h"
#include "base/str.h"

struct front_thread;
struct conf_listener;

struct conn {
    uint32_t magic;
    struct list link; /* thread->conns */
    struct front_thread *thread;
    h2o_socket_t *sock;
    const struct listener *listener; /* front/listener.h */
    struct sockaddr_storage peer;    /* after PROXY protocol: what the line said */
    char peer_text[64];              /* "192.0.2.1", "2001:db8::1", "unix:" */
    uint16_t peer_port;
    bool is_admin, is_tls, is_trusted_proxy, counted_per_address;
    uint64_t requests;    /* begun on this connection */
    unsigned glitches;    /* HTTP/2: early resets and the like (THREATS.md) */
    unsigned active;      /* requests now with the exchange */
    int64_t state_since_us; /* private to the sweep, as all below */
    int state;
    uint64_t last_acked;
};
#define CONN_MAGIC 0x636f6e6eu

/* The record of a request's connection. Loop thread. */
struct conn *conn_of(h2o_req_t *req);
/* The exchange brackets every request with these. begin counts requests_per_connection and turns persistence off at the limit or while
 * draining; end with reset=true (HTTP/2: disposed before answered) spends the connection's glitch budget and cuts it past that. */
void conn_request_begin(struct conn *c, h2o_req_t *req);
void conn_request_end(struct conn *c, bool reset);

#endif
