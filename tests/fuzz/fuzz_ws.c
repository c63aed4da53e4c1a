/* SPDX-License-Identifier: MIT
 *
 * fuzz_ws: what a peer sends after the handshake, through a WebSocket connection on a loop of the library, with an owner
 * that does what owners may do. The first byte chooses the role, whole or relayed messages, and limits; then come
 * records: below 0x80, so many further bytes and one are the peer's; otherwise one of enum command.
 *
 * Held: each callback comes when it may, with what it may; the peer gets well-formed frames in order, and none after a
 * close frame; nothing that was read grows; and every connection ends by itself when time passes.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "upstream/h2o_api.h"
#include "upstream/ws.h"
#include "upstream/ws_head.h"

#define SECOND_US     1000000
#define COMMANDS_MAX  300
#define BIG_BYTES     20000
#define SETTLE_ROUNDS 100 /* of ten seconds */

enum command {
    TURN = 0x80,
    SECOND,
    MINUTE,
    PEER_READS,
    PEER_ENDS, /* it sends no more */
    PEER_LEAVES,
    HOLD,
    RELEASE,
    SEND,
    SEND_BIG,
    SEND_PIECE,
    SEND_LAST_PIECE,
    SEND_PING,
    CLOSE,
    ABORT,
    BEHAVE, /* the next byte: what the owner does when data comes, a command of its own */
    FRAME,  /* first byte of a frame, length, payload: its head is right */
    FRAME_BIG
};

static struct world {
    h2o_context_t context; /* only .loop is used */
    struct loop loop;
    struct ws ws;
    struct ws_options options;
    int peer; /* -1: gone */
    /* the owner */
    bool calling, held, closed, streaming, in_message;
    uint8_t behaviour;
    uint64_t message_bytes;
    /* what the peer got */
    struct buf got;
    bool got_close, got_open; /* a message has begun */
} world;

static void obey(uint8_t command);

/* ---- the owner -------------------------------------------------------------------------------------------------- */

static void called_back(void)
{
    FUZZ_ASSERT(!world.calling);
    FUZZ_ASSERT(!world.closed);
}

static void data_came(struct str bytes)
{
    called_back();
    FUZZ_ASSERT(!world.held);
    FUZZ_ASSERT(!ws_is_closing(&world.ws));
    world.message_bytes += bytes.len;
    FUZZ_ASSERT(world.message_bytes <= world.options.max_message);
}

static void on_message(struct ws *ws, enum ws_opcode opcode, struct str bytes)
{
    (void)ws;
    FUZZ_ASSERT(!world.options.relay);
    FUZZ_ASSERT(opcode == WS_BINARY || (opcode == WS_TEXT && utf8_valid(bytes.base, bytes.len)));
    world.message_bytes = 0;
    data_came(bytes);
    obey(world.behaviour);
}

static void on_piece(struct ws *ws, enum ws_opcode opcode, bool first, bool last, struct str bytes)
{
    (void)ws;
    FUZZ_ASSERT(world.options.relay);
    FUZZ_ASSERT(opcode == WS_BINARY || opcode == WS_TEXT);
    FUZZ_ASSERT(first == !world.in_message);
    FUZZ_ASSERT(last || bytes.len != 0);
    if (first)
        world.message_bytes = 0;
    world.in_message = !last;
    data_came(bytes);
    obey(world.behaviour);
}

static void on_room(struct ws *ws)
{
    called_back();
    FUZZ_ASSERT(ws_has_room(ws));
    FUZZ_ASSERT(!ws_is_closing(ws));
}

static void on_peer_close(struct ws *ws, unsigned code, struct str reason)
{
    called_back();
    FUZZ_ASSERT(ws_is_closing(ws));
    FUZZ_ASSERT(code == WS_CODE_NO_CODE || ws_code_is_sendable(code));
    FUZZ_ASSERT(reason.len <= WS_CONTROL_MAX - 2 && utf8_valid(reason.base, reason.len));
}

static void on_closed(struct ws *ws, const struct ws_ending *ending)
{
    called_back();
    FUZZ_ASSERT(ws_is_closing(ws));
    FUZZ_ASSERT(ending->why != NULL && ending->code >= 1000);
    FUZZ_ASSERT(!ws_send(ws, WS_TEXT, STR("late")));
    world.closed = true;
}

static const struct ws_events events = {on_message, on_piece, on_room, on_peer_close, on_closed};

static void send_something(uint8_t command)
{
    static char big[BIG_BYTES];
    if (command == SEND_PIECE || command == SEND_LAST_PIECE) {
        bool last = command == SEND_LAST_PIECE;
        if (ws_send_piece(&world.ws, WS_BINARY, last, (struct str){big, last ? 3 : BIG_BYTES}))
            world.streaming = !last;
    } else if (command == SEND_PING) {
        ws_send_ping(&world.ws, false, STR("?"));
    } else if (!world.streaming) {
        ws_send(&world.ws, WS_BINARY, (struct str){big, command == SEND ? 3 : BIG_BYTES});
    }
}

/* what owners do, in a callback and outside */
static void own(uint8_t command)
{
    switch (command) {
    case HOLD:
        ws_hold(&world.ws);
        world.held = true;
        break;
    case RELEASE:
        world.held = false;
        ws_release(&world.ws);
        break;
    case CLOSE:
        ws_close(&world.ws, WS_CODE_GOING_AWAY, STR("bye"));
        break;
    case ABORT:
        ws_abort(&world.ws);
        break;
    default:
        if (command >= SEND && command <= SEND_PING && ws_has_room(&world.ws))
            send_something(command);
        break;
    }
}

/* ---- the peer --------------------------------------------------------------------------------------------------- */

static void peer_writes(const void *bytes, size_t len)
{
    if (world.peer != -1 && len != 0 && send(world.peer, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
        FUZZ_ASSERT(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
}

static void check_order(const struct ws_head *head)
{
    FUZZ_ASSERT(!world.got_close);
    if (head->opcode == WS_FRAME_CLOSE)
        world.got_close = true;
    if (ws_opcode_is_control(head->opcode))
        return;
    FUZZ_ASSERT((head->opcode == WS_FRAME_CONTINUATION) == world.got_open);
    world.got_open = !head->fin;
}

static void check_frames(void)
{
    struct ws_head head;
    const char *why;
    for (;;) {
        enum ws_head_result result = ws_head_read(buf_str(&world.got), world.options.role == WS_CLIENT, &head, &why);
        FUZZ_ASSERT(result != WS_HEAD_BAD);
        if (result == WS_HEAD_MORE || world.got.len - head.size < head.length)
            return;
        check_order(&head);
        buf_consume(&world.got, head.size + (size_t)head.length);
    }
}

static void peer_reads(void)
{
    if (world.peer == -1)
        return;
    for (;;) {
        ssize_t n = recv(world.peer, buf_reserve(&world.got, 65536), 65536, MSG_DONTWAIT);
        if (n <= 0)
            break;
        world.got.len += (size_t)n;
    }
    check_frames();
}

static void peer_leaves(void)
{
    if (world.peer != -1)
        close(world.peer);
    world.peer = -1;
}

/* a right head, then what there is of the payload */
static void peer_frames(uint8_t first, uint64_t length, struct str payload)
{
    unsigned char head[WS_HEAD_MAX] = {first};
    size_t size = 2;
    unsigned masked = world.options.role == WS_SERVER ? 0x80 : 0;
    int bytes = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8;
    head[1] = (unsigned char)(masked | (bytes == 0 ? length : bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; i--)
        head[size++] = (unsigned char)(length >> 8 * i);
    if (masked)
        size += 4; /* a mask of zeros, so that the payload is the input's */
    peer_writes(head, size);
    peer_writes(payload.base, payload.len);
}

/* ---- one input -------------------------------------------------------------------------------------------------- */

static void turn(void)
{
    heap_expire(&world.loop.deadlines, world.loop.now_us);
    h2o_evloop_run(world.context.loop, 0);
    if (world.closed)
        return;
    FUZZ_ASSERT(world.ws.sock->input->size <= WS_READ_BYTES);
    FUZZ_ASSERT(ws_unsent(&world.ws) <= world.options.max_unsent + 2 * BIG_BYTES);
}

static void pass_time(int64_t us)
{
    world.loop.now_us += us;
    turn();
}

static void obey(uint8_t command)
{
    if (world.closed)
        return;
    own(command);
}

static void obey_outside(uint8_t command)
{
    world.calling = true;
    obey(command);
    world.calling = false;
}

static void open_world(uint8_t choice)
{
    int fds[2];
    bool small = choice & 8;
    if (world.context.loop == NULL) {
        signal(SIGPIPE, SIG_IGN);
        world.context.loop = h2o_evloop_create();
        world.loop.h2o = &world.context;
        heap_init(&world.loop.deadlines);
    }
    world.loop.now_us = SECOND_US;
    world.closed = world.held = world.streaming = world.in_message = world.got_close = world.got_open = false;
    world.behaviour = TURN; /* nothing */
    buf_clear(&world.got);
    world.options = (struct ws_options){.role = choice & 1 ? WS_CLIENT : WS_SERVER,
                                        .relay = choice & 2,
                                        .reads_when_full = choice & 4,
                                        .max_message = small ? 100 : 1 << 20,
                                        .max_unsent = choice & 16 ? 300 : 64 * 1024,
                                        .control_rate = choice & 32 ? 1 : 0,
                                        .ping_interval_us = 20 * SECOND_US,
                                        .pong_timeout_us = 10 * SECOND_US,
                                        .idle_timeout_us = choice & 64 ? CLOCK_NEVER : 120 * SECOND_US,
                                        .close_timeout_us = 5 * SECOND_US};
    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    FUZZ_ASSERT(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)) == 0);
    world.peer = fds[1];
    world.calling = true;
    ws_open(&world.ws, &world.loop, h2o_evloop_socket_create(world.context.loop, fds[0], 0), &world.options, &events);
    world.calling = false;
}

static void close_world(void)
{
    world.behaviour = TURN;
    obey_outside(RELEASE);
    for (int i = 0; i < SETTLE_ROUNDS && !world.closed; i++) {
        pass_time(10 * SECOND_US);
        peer_reads();
    }
    FUZZ_ASSERT(world.closed);
    FUZZ_ASSERT(world.loop.deadlines.count == 0);
    peer_leaves();
    turn();
}

/* the command at the front of the input; returns how many bytes it took */
static size_t follow(const uint8_t *data, size_t size)
{
    uint8_t command = data[0];
    size_t left = size - 1, n;
    if (command < 0x80) {
        n = left < command + 1u ? left : command + 1u;
        peer_writes(data + 1, n);
        return 1 + n;
    }
    switch (command) {
    case TURN:
        turn();
        break;
    case SECOND:
        pass_time(SECOND_US);
        break;
    case MINUTE:
        pass_time(60 * SECOND_US);
        break;
    case PEER_READS:
        peer_reads();
        break;
    case PEER_ENDS:
        if (world.peer != -1)
            shutdown(world.peer, SHUT_WR);
        break;
    case PEER_LEAVES:
        peer_leaves();
        break;
    case BEHAVE:
        world.behaviour = left != 0 ? data[1] : (uint8_t)TURN;
        return left != 0 ? 2 : 1;
    case FRAME:
        if (left < 2)
            return size;
        n = data[2] < left - 2 ? data[2] : left - 2;
        peer_frames(data[1], data[2], (struct str){(char *)data + 3, n});
        return 3 + n;
    case FRAME_BIG:
        if (left < 2)
            return size;
        static char zeros[255 * 256];
        peer_frames(data[1], data[2] * 256u, (struct str){zeros, data[2] * 256u});
        return 3;
    default:
        obey_outside(command);
        break;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    open_world(data[0]);
    for (size_t at = 1, i = 0; at < size && i < COMMANDS_MAX; i++)
        at += follow(data + at, size - at);
    turn();
    peer_reads();
    close_world();
    return 0;
}
