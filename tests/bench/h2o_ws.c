/* SPDX-License-Identifier: MIT
 *
 * h2o_ws: libh2o's own WebSocket glue, the raw floor for handshakes and connections: echoes every message. No limits, no
 * timers, no backpressure. Usage: h2o_ws PORT
 */
#include "config.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <wslay/wslay.h>

#include "upstream/h2o_api.h"

#include <h2o/http1.h>
#include <h2o/websocket.h>

static h2o_globalconf_t conf;
static h2o_context_t context;
static h2o_accept_ctx_t acceptor;

static void on_message(h2o_websocket_conn_t *c, const struct wslay_event_on_msg_recv_arg *arg)
{
    if (arg == NULL) {
        h2o_websocket_close(c);
    } else if (!wslay_is_ctrl_frame(arg->opcode)) {
        struct wslay_event_msg msg = {arg->opcode, arg->msg, arg->msg_length};
        wslay_event_queue_msg(c->ws_ctx, &msg);
    }
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    const char *key;
    if (h2o_is_websocket_handshake(req, &key) != 0 || key == NULL)
        return -1;
    h2o_upgrade_to_websocket(req, key, NULL, on_message);
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    for (int n = 0; n < 16; n++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL)
            return;
        h2o_accept(&acceptor, sock);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files = {200000, 200000};
    (void)setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    if (argc != 2)
        return 2;
    h2o_config_init(&conf);
    h2o_hostconf_t *host = h2o_config_register_host(&conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
    h2o_context_init(&context, h2o_evloop_create(), &conf);
    acceptor.ctx = &context;
    acceptor.hosts = conf.hosts;
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0) {
        perror("h2o_ws");
        return 1;
    }
    h2o_socket_read_start(h2o_evloop_socket_create(context.loop, fd, H2O_SOCKET_FLAG_DONT_READ), on_accept);
    for (;;)
        h2o_evloop_run(context.loop, INT32_MAX);
}
