/* SPDX-License-Identifier: MIT
 *
 * ws_rig: see ws_rig.h.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/x509.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ws_rig.h"

/* ---- the owner -------------------------------------------------------------------------------------------------- */

static void on_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    struct ws_rig *w = (struct ws_rig *)ws;
    assert_int_equal(w->closed, 0);
    w->messages++;
    buf_printf(&w->log, "%s %.*s\n", opcode == WS_TEXT ? "text" : "binary", bytes.len > 64 ? 64 : STR_ARG(bytes));
    if (w->at_data != NULL)
        w->at_data(w);
}

static void on_piece(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes)
{
    struct ws_rig *w = (struct ws_rig *)ws;
    assert_int_equal(w->closed, 0);
    assert_true(last || bytes.len != 0);
    w->pieces++;
    w->messages += last;
    w->piece_bytes += bytes.len;
    if (w->log.len < 4096)
        buf_printf(&w->log, "piece%s%s %s %.*s\n", first ? " first" : "", last ? " last" : "",
                   opcode == WS_TEXT ? "text" : "binary", bytes.len > 64 ? 64 : STR_ARG(bytes));
    if (w->at_data != NULL)
        w->at_data(w);
}

static void on_room(struct ws *ws)
{
    struct ws_rig *w = (struct ws_rig *)ws;
    assert_int_equal(w->closed, 0);
    assert_true(ws_has_room(ws));
    w->rooms++;
    if (w->at_room != NULL)
        w->at_room(w);
}

static void on_peer_close(struct ws *ws, unsigned code, struct str reason)
{
    struct ws_rig *w = (struct ws_rig *)ws;
    assert_true(ws_is_closing(ws));
    buf_printf(&w->log, "peer close %u %.*s\n", code, STR_ARG(reason));
}

static void on_closed(struct ws *ws, const struct ws_ending *ending)
{
    struct ws_rig *w = (struct ws_rig *)ws;
    assert_int_equal(w->closed, 0);
    assert_true(ws_is_closing(ws));
    w->closed = 1;
    w->code = ending->code;
    w->by = ending->by;
    snprintf(w->why, sizeof(w->why), "%s", ending->why);
    snprintf(w->reason, sizeof(w->reason), "%.*s", STR_ARG(ending->reason));
}

static const struct ws_events events = {on_message, on_piece, on_room, on_peer_close, on_closed};

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void connect_tcp(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(listener, (struct sockaddr *)&address, len), errno);
    assert_return_code(listen(listener, 1), errno);
    assert_return_code(getsockname(listener, (struct sockaddr *)&address, &len), errno);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(connect(fds[1], (struct sockaddr *)&address, len), errno);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_return_code(fds[0], errno);
    close(listener);
}

void ws_rig_adopt(struct ws_rig *w, struct rig *rig, enum ws_role role, h2o_socket_t *sock, int peer)
{
    memset(w, 0, sizeof(*w));
    signal(SIGPIPE, SIG_IGN); /* as the front does */
    w->rig = rig;
    w->peer = peer;
    w->options = (struct ws_options){.role = role,
                                     .max_message = 1 << 20,
                                     .max_unsent = 64 * 1024,
                                     .control_rate = 10,
                                     .ping_interval_us = CLOCK_NEVER,
                                     .pong_timeout_us = CLOCK_NEVER,
                                     .idle_timeout_us = CLOCK_NEVER,
                                     .close_timeout_us = 5000000};
    rig->loop.now_us = clock_us() + rig->skew_us;
    ws_open(&w->ws, &rig->loop, sock, &w->options, &events);
}

void ws_rig_open(struct ws_rig *w, struct rig *rig, enum ws_role role, bool tcp)
{
    int fds[2];
    if (tcp)
        connect_tcp(fds);
    else
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), errno);
    assert_true(fd_set_nonblocking(fds[1], true));
    ws_rig_adopt(w, rig, role, h2o_evloop_socket_create(rig->context.loop, fds[0], 0), fds[1]);
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return context;
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    assert_null(err);
    *(int *)sock->data = 1;
}

void ws_rig_open_tls(struct ws_rig *w, struct rig *rig, enum ws_role role)
{
    int fds[2], done = 0;
    SSL_CTX *server = server_context(), *client = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(client);
    connect_tcp(fds);
    assert_true(fd_set_nonblocking(fds[1], true));
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(ssl, fds[1]);
    h2o_socket_t *sock = h2o_evloop_socket_create(rig->context.loop, fds[0], 0);
    sock->data = &done;
    h2o_socket_ssl_handshake(sock, server, NULL, on_handshake);
    for (int i = 0; !done || !SSL_is_init_finished(ssl); i++) {
        assert_true(i < 1000);
        if (!SSL_is_init_finished(ssl))
            SSL_connect(ssl);
        rig_turn(rig, 1);
    }
    ws_rig_adopt(w, rig, role, sock, fds[1]);
    w->ssl = ssl;
    w->contexts[0] = server, w->contexts[1] = client;
}

void ws_rig_peer_close(struct ws_rig *w)
{
    SSL_free(w->ssl);
    w->ssl = NULL;
    fd_close(&w->peer);
}

void ws_rig_free(struct ws_rig *w)
{
    if (w->closed == 0)
        ws_abort(&w->ws);
    rig_until(w->rig, &w->closed);
    ws_rig_peer_close(w);
    for (int i = 0; i < 2; i++)
        SSL_CTX_free(w->contexts[i]);
    buf_free(&w->received);
    buf_free(&w->log);
}

/* ---- what the peer writes --------------------------------------------------------------------------------------- */

/* how many bytes went; -1: none, for now */
static ssize_t write_some(struct ws_rig *w, const void *bytes, size_t len)
{
    return w->ssl != NULL ? SSL_write(w->ssl, bytes, (int)len) : send(w->peer, bytes, len, MSG_NOSIGNAL);
}

void ws_rig_write(struct ws_rig *w, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = write_some(w, (const char *)bytes + sent, len - sent);
        assert_true(n > 0);
        sent += (size_t)n;
    }
}

void ws_rig_put(struct buf *out, enum ws_role sender, unsigned first, const void *payload, size_t len)
{
    static const char mask[4] = {'\x37', '\xfa', '\x21', '\x3d'};
    unsigned masked = sender == WS_CLIENT ? 0x80 : 0;
    buf_append_char(out, (char)first);
    if (len < 126) {
        buf_append_char(out, (char)(masked | len));
    } else if (len <= UINT16_MAX) {
        buf_append_char(out, (char)(masked | 126));
        buf_append(out, &(uint16_t){htons((uint16_t)len)}, 2);
    } else {
        buf_append_char(out, (char)(masked | 127));
        buf_append(out, &(uint64_t){htobe64(len)}, 8);
    }
    if (masked)
        buf_append(out, mask, sizeof(mask));
    for (size_t i = 0; i < len; i++)
        buf_append_char(out, (char)(((const char *)payload)[i] ^ (masked ? mask[i % 4] : 0)));
}

static enum ws_role peer_role(const struct ws_rig *w)
{
    return w->options.role == WS_SERVER ? WS_CLIENT : WS_SERVER;
}

void ws_rig_frame(struct ws_rig *w, unsigned first, const char *text)
{
    struct buf frame = {0};
    ws_rig_put(&frame, peer_role(w), first, text, strlen(text));
    ws_rig_write(w, frame.base, frame.len);
    buf_free(&frame);
}

size_t ws_rig_flood(struct ws_rig *w, unsigned first, size_t len, size_t max)
{
    struct buf bytes = {0};
    char *text = calloc(1, len + 1);
    size_t sent = 0, at = 0;
    while (bytes.len < 64 * 1024)
        ws_rig_put(&bytes, peer_role(w), first, text, len);
    for (int blocked = 0; blocked < 20 && sent < max;) {
        ssize_t n = write_some(w, bytes.base + at, bytes.len - at);
        blocked = n > 0 ? 0 : blocked + 1;
        sent += n > 0 ? (size_t)n : 0;
        at = (at + (n > 0 ? (size_t)n : 0)) % bytes.len;
        rig_turn(w->rig, 0);
    }
    buf_free(&bytes);
    free(text);
    return sent;
}

/* ---- what the peer reads ---------------------------------------------------------------------------------------- */

/* 1: bytes came; 0: the end; -1: nothing yet */
static int receive(struct ws_rig *w)
{
    char *space = buf_reserve(&w->received, 65536);
    ssize_t n;
    if (w->ssl == NULL) {
        n = recv(w->peer, space, 65536, 0);
        assert_true(n >= 0 || errno == EAGAIN);
    } else {
        n = SSL_read(w->ssl, space, 65536);
        if (n <= 0) /* the end, with TLS's own goodbye or without */
            n = SSL_get_error(w->ssl, (int)n) == SSL_ERROR_WANT_READ ? -1 : 0;
    }
    if (n > 0)
        w->received.len += (size_t)n;
    return n > 0 ? 1 : (int)n;
}

static bool take_frame(struct ws_rig *w, unsigned *first_r, struct str *payload_r)
{
    static struct buf payload;
    const unsigned char *b = (unsigned char *)w->received.base;
    size_t have = w->received.len, size = 2, len, masked = w->options.role == WS_CLIENT ? 4 : 0;
    if (have < 2)
        return false;
    assert_int_equal(b[1] >> 7, masked != 0);
    len = b[1] & 127;
    if (len == 126) {
        size += 2;
        len = (size_t)b[2] << 8 | b[3];
    } else if (len == 127) {
        size += 8;
        for (size_t i = len = 0; i < 8; i++)
            len = len << 8 | b[2 + i];
    }
    if (have < size + masked || have - size - masked < len)
        return false;
    *first_r = b[0];
    buf_clear(&payload);
    buf_append(&payload, b + size + masked, len);
    for (size_t i = 0; masked != 0 && i < len; i++)
        payload.base[i] = (char)(payload.base[i] ^ b[size + i % 4]);
    buf_consume(&w->received, size + masked + len);
    *payload_r = buf_str(&payload);
    return true;
}

unsigned ws_rig_read(struct ws_rig *w, struct str *payload_r)
{
    int64_t end = clock_us() + RIG_WAIT_S * 1000000ll;
    unsigned first;
    while (!take_frame(w, &first, payload_r)) {
        if (clock_us() > end)
            fail_msg("no frame came");
        int got = receive(w);
        if (got == 0)
            fail_msg("the connection ended before a frame came");
        if (got == -1)
            rig_turn(w->rig, 10);
    }
    return first;
}

void ws_rig_expect(struct ws_rig *w, unsigned first, const char *text)
{
    struct str payload;
    assert_int_equal(ws_rig_read(w, &payload), first);
    assert_int_equal(payload.len, strlen(text));
    if (payload.len != 0)
        assert_memory_equal(payload.base, text, payload.len);
}

void ws_rig_expect_close(struct ws_rig *w, unsigned code, const char *reason)
{
    struct str payload;
    assert_int_equal(ws_rig_read(w, &payload), 0x88);
    if (code == WS_CODE_NO_CODE) {
        assert_int_equal(payload.len, 0);
        return;
    }
    assert_true(payload.len >= 2);
    assert_int_equal((unsigned char)payload.base[0] << 8 | (unsigned char)payload.base[1], code);
    assert_true(str_eq((struct str){payload.base + 2, payload.len - 2}, str_of(reason)));
}

void ws_rig_expect_end(struct ws_rig *w)
{
    int64_t end = clock_us() + RIG_WAIT_S * 1000000ll;
    for (int got; (got = receive(w)) != 0;) {
        assert_int_equal(got, -1);
        if (clock_us() > end)
            fail_msg("the connection did not end");
        rig_turn(w->rig, 10);
    }
    assert_int_equal(w->received.len, 0);
}

void ws_rig_expect_nothing(struct ws_rig *w)
{
    rig_settle(w->rig);
    assert_int_equal(receive(w), -1);
    assert_int_equal(w->received.len, 0);
}

void ws_rig_expect_log(struct ws_rig *w, const char *log)
{
    assert_string_equal(buf_z(&w->log), log);
}
