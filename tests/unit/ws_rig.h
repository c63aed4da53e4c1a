/* SPDX-License-Identifier: MIT
 *
 * ws_rig: one end of a WebSocket connection on a loop (rig.h), a raw peer that writes and reads any bytes at its other
 * end, and an owner that writes down what it is told. The peer's socket is non-blocking; reading turns the loop.
 */
#ifndef BULKHEAD_TESTS_UNIT_WS_RIG_H
#define BULKHEAD_TESTS_UNIT_WS_RIG_H

#include <openssl/ssl.h>

#include "rig.h"
#include "upstream/ws.h"

struct ws_rig {
    struct ws ws; /* first */
    struct rig *rig;
    struct ws_options options;
    int peer; /* -1: gone */
    SSL *ssl; /* NULL: clear text */
    SSL_CTX *contexts[2];
    struct buf received;
    /* what the owner was told */
    struct buf log; /* "text abc\n", "piece first last text abc\n", "room\n", "peer close 1000 bye\n", "closed …\n" */
    int messages, pieces, rooms, closed;
    size_t piece_bytes;
    unsigned code;
    enum ws_by by;
    char why[128], reason[WS_CONTROL_MAX];
    /* how it behaves: called in on_message and on_piece, in on_room; NULL: not at all */
    void (*at_data)(struct ws_rig *w);
    void (*at_room)(struct ws_rig *w);
    void *arg;
};

/* A Unix socket pair, or a TCP connection. Options as follow; change what w->options points to before anything comes:
 * whole messages up to 1 MiB, 64 KiB unsent, ten control frames a second, no time limits but 5 s for closing. */
void ws_rig_open(struct ws_rig *w, struct rig *rig, enum ws_role role, bool tcp);
/* TCP and TLS, after the handshake */
void ws_rig_open_tls(struct ws_rig *w, struct rig *rig, enum ws_role role);
/* on a socket that somebody else has made */
void ws_rig_adopt(struct ws_rig *w, struct rig *rig, enum ws_role role, h2o_socket_t *sock, int peer);
/* waits for on_closed unless it came, breaking the connection, and frees */
void ws_rig_free(struct ws_rig *w);

void ws_rig_peer_close(struct ws_rig *w);
/* all of it must fit the socket */
void ws_rig_write(struct ws_rig *w, const void *bytes, size_t len);
/* Writes copies of a frame and reads nothing, until the socket is full and stays so, or `max` bytes have gone. Returns
 * how many. */
size_t ws_rig_flood(struct ws_rig *w, unsigned first, size_t len, size_t max);
/* a frame as this peer's role must write it; first: opcode, 0x80 for the last of its message */
void ws_rig_put(struct buf *out, enum ws_role sender, unsigned first, const void *payload, size_t len);
void ws_rig_frame(struct ws_rig *w, unsigned first, const char *text);
/* the loop turns until one frame has come; the payload is unmasked, valid until the next call. Fails the test when the
 * frame is not as this end's role must write it. */
unsigned ws_rig_read(struct ws_rig *w, struct str *payload_r);
void ws_rig_expect(struct ws_rig *w, unsigned first, const char *text);
void ws_rig_expect_close(struct ws_rig *w, unsigned code, const char *reason);
/* the loop turns until the connection has ended for the peer, without another byte */
void ws_rig_expect_end(struct ws_rig *w);
/* nothing is there to read, after a few turns */
void ws_rig_expect_nothing(struct ws_rig *w);
void ws_rig_expect_log(struct ws_rig *w, const char *log);

#endif
