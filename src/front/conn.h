/* SPDX-License-Identifier: MIT
 *
 * conn: what we keep about each client connection beside the library's own: its listener, its peer, how many requests
 * it made, and since when it has been in its present state, for the sweep that enforces head, body, idle and write time
 * limits (the library has one timer for all of them together). Lives from accept to the socket's on_close; owned by the
 * loop thread.
 */
#ifndef BULKHEAD_FRONT_CONN_H
#define BULKHEAD_FRONT_CONN_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "upstream/h2o_api.h"

#include "base/list.h"
#include "base/str.h"

struct front_thread;
struct conf_listener;
struct departure;

/* What a connection is doing, as the sweep saw it last; each with the limit that applies (front/sweep.c) */
enum conn_state {
    CONN_STATE_QUIET,   /* the library knows no request: PROXY line, TLS handshake, HTTP/2 between requests, TLS being
                           closed */
    CONN_STATE_IDLE,    /* HTTP/1: between requests, or none yet */
    CONN_STATE_HEAD,    /* HTTP/1: a part of a head is here */
    CONN_STATE_BODY,    /* a body is arriving */
    CONN_STATE_RUNNING, /* with the exchange, nothing sent yet: the call's own deadlines apply */
    CONN_STATE_WRITING, /* an answer is on its way */
    CONN_STATE_COUNT
};

struct conn {
    uint32_t magic;
    struct list link; /* thread->conns */
    struct front_thread *thread;
    h2o_socket_t *sock;
    struct listener *listener; /* front/listener.h */
    union conn_peer { /* after PROXY protocol: what the line said; a Unix socket's peer has no more than a family */
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
    char peer_text[INET6_ADDRSTRLEN]; /* "192.0.2.1", "2001:db8::1", "unix:" */
    uint16_t peer_port;
    bool is_admin, is_tls, is_trusted_proxy, counted_per_address;
    bool is_http2;                      /* known from the first request on */
    bool is_upgraded;                   /* no HTTP any more: a WebSocket or a tunnel, with time limits of its own */
    bool is_cut;                        /* broken from our side; the library has yet to notice */
    uint64_t requests;                  /* begun on this connection */
    uint64_t http2_request_bytes;       /* that they may have taken to arrive, generously */
    unsigned glitches;                  /* HTTP/2: early resets, less the requests served since */
    unsigned active;                    /* requests now with the exchange */
    struct departure *departure;        /* departure.c: who is to hear of the client's leaving; NULL: nobody */
    bool is_unread;                     /* departure.c: in the loop without being read */
    struct conn_linger *linger;         /* private to conn.c; NULL: none */
    struct conn_proxy_line *proxy_line; /* private to listener.c; NULL: not waiting for one */
    struct {                            /* private to sweep.c */
        enum conn_state state, seen;
        int64_t since_us; /* in this state without progress */
        uint64_t round;   /* the sweep that filled `seen` and what follows */
        uint64_t requests, acked, sent, seen_sent;
        bool ended;                                 /* its reading side is shut down */
        uint64_t received, answered, request_bytes; /* TCP's counts, and http2_request_bytes, as of the last round */
        unsigned flooded;                           /* rounds in a row */
        int64_t arriving_us; /* how long the head or the body that is arriving has taken so far */
    } sweep;
};
#define CONN_MAGIC 0x636f6e6eu

/* Why a connection was ended from our side; counted in front_counters.cut */
#define CONN_CUT_TABLE(X)                                                                                              \
    X(CONN_CUT_IDLE, "idle")                                                                                           \
    X(CONN_CUT_HANDSHAKE, "handshake")                                                                                 \
    X(CONN_CUT_HEAD, "head-timeout")                                                                                   \
    X(CONN_CUT_BODY, "body-timeout")                                                                                   \
    X(CONN_CUT_WRITE, "write-timeout")                                                                                 \
    X(CONN_CUT_GLITCHES, "http2-glitches")                                                                             \
    X(CONN_CUT_ADDRESS, "connections-per-address")                                                                     \
    X(CONN_CUT_PROXY_LINE, "proxy-line")                                                                               \
    X(CONN_CUT_DRAIN, "drain")
enum conn_cut {
#define X(enumerator, word) enumerator,
    CONN_CUT_TABLE(X)
#undef X
        CONN_CUT_COUNT
};
const char *conn_cut_word(enum conn_cut why);

/* Takes fd, a client's connected socket; `peer` is who accept(2) named. NULL: refused and closed. Loop thread. */
struct conn *conn_create(struct listener *listener, int fd, const struct sockaddr_storage *peer);
/* The peer as the PROXY line says; judges address limit and trust by it. false: refused, the caller closes. */
bool conn_set_peer(struct conn *c, const struct sockaddr_storage *peer, socklen_t len);
/* The record of a request's connection. Loop thread. */
struct conn *conn_of(h2o_req_t *req);
/* The exchange brackets every request with these. begin counts requests_per_connection and turns persistence off at the
 * limit or while draining; end with reset=true (HTTP/2: disposed before answered) spends the connection's glitch budget
 * and cuts it past that. */
void conn_request_begin(struct conn *c, h2o_req_t *req);
void conn_request_end(struct conn *c, bool reset);
/* Breaks the connection with shutdown(2); the library cleans up by itself when it next looks. Idempotent. */
void conn_cut(struct conn *c, enum conn_cut why);
/* HTTP/1: the answer on its way is the last one, and the client may still be sending. Once the library has closed the
 * socket, what arrives is read and dropped for a moment, because closing with unread bytes would reset the connection
 * and could take the answer away from the client. Idempotent. */
void conn_linger(struct conn *c);
/* Open connections of the whole process on client listeners, and on the admin listener. Any thread. */
unsigned conn_count(bool is_admin);

#endif
