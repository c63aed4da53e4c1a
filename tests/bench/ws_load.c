/* SPDX-License-Identifier: MIT
 *
 * ws_load: WebSocket clients in one loop, so light that what they measure is the server. All connect to 127.0.0.1 from
 * addresses of 127.0.1.0/24 in turn.
 *
 *     ws_load PORT PATH load IDLE BUSY PING_MS SECONDS MESSAGE
 *         every connection pings each PING_MS; a busy one sends MESSAGE, waits for an answer, and sends it again. Prints
 *         the time from the moment when a ping was due to its pong, and what was dropped: a pong later than 2 s, or never
 *     ws_load PORT PATH echo CLIENTS SECONDS BYTES
 *         messages of so many bytes, one at a time on each connection
 *     ws_load PORT PATH shake CLIENTS SECONDS
 *         handshakes, each on a connection of its own, so many at a time
 *     ws_load PORT PATH hold COUNT
 *         idle connections that answer pings; says "ready", and ends with its standard input
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DROPPED_NS 2000000000ll
#define SAMPLES    4000000

enum opcode { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

struct client {
    int fd;
    bool is_open, is_busy;
    int64_t ping_due, ping_sent; /* ping_sent 0: none is on its way */
    char head[512];              /* of the answer to the handshake, then of a frame */
    size_t nhead;
    uint64_t left; /* of the frame's payload */
    unsigned opcode;
};

static struct client *clients;
static int loop, nclients, port;
static const char *path, *message = "";
static size_t message_len;
static int64_t *took;
static size_t ntook, pings, dropped, lost, messages, shakes;
static bool shaking;

static void die(const char *what)
{
    fprintf(stderr, "ws_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

static void shake(struct client *c)
{
    static unsigned turn;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char request[512];
    int on = 1, len;
    from.sin_addr.s_addr = htonl(0x7f000101u + turn++ % 250);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (c->fd == -1 || bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die("connect");
    len = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                   path);
    if (write(c->fd, request, (size_t)len) != len)
        die("handshake");
    c->is_open = false;
    c->nhead = 0;
    c->left = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

/* without the four steps of TCP's farewell, which would use up the ports */
static void reset(struct client *c)
{
    struct linger linger = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(c->fd);
    c->fd = -1;
    c->is_open = false;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

/* Frames are small, and a socket that does not take one whole is as good as lost. The mask is all zeros. */
static void put_frame(struct client *c, enum opcode opcode, const void *payload, size_t len)
{
    char frame[70000];
    size_t n = 0;
    frame[n++] = (char)(0x80 | opcode);
    if (len < 126) {
        frame[n++] = (char)(0x80 | len);
    } else {
        frame[n++] = (char)(0x80 | 126);
        frame[n++] = (char)(len >> 8);
        frame[n++] = (char)len;
    }
    memset(frame + n, 0, 4);
    memcpy(frame + n + 4, payload, len);
    n += 4 + len;
    if (send(c->fd, frame, n, MSG_NOSIGNAL) != (ssize_t)n)
        reset(c);
}

static void put_message(struct client *c)
{
    put_frame(c, TEXT, message, message_len);
}

static void put_ping(struct client *c)
{
    c->ping_sent = c->ping_due;
    pings++;
    put_frame(c, PING, "ping", 4);
}

static void got_pong(struct client *c)
{
    if (c->ping_sent == 0)
        return;
    int64_t ns = now_ns() - c->ping_sent;
    c->ping_sent = 0;
    dropped += ns > DROPPED_NS;
    if (ntook < SAMPLES)
        took[ntook++] = ns;
}

static void got_frame(struct client *c)
{
    switch (c->opcode) {
    case PONG:
        got_pong(c);
        break;
    case PING:
        put_frame(c, PONG, c->head + 2, c->nhead - 2 < 125 ? c->nhead - 2 : 0);
        break;
    case CLOSE:
        lost++;
        reset(c);
        break;
    default:
        messages++;
        if (c->is_busy)
            put_message(c);
    }
    c->nhead = 0;
}

static size_t head_length(const struct client *c)
{
    unsigned len = c->nhead < 2 ? 0 : c->head[1] & 0x7f;
    return len == 126 ? 4 : len == 127 ? 10 : 2;
}

static uint64_t payload_length(const struct client *c)
{
    unsigned len = c->head[1] & 0x7f;
    if (len < 126)
        return len;
    uint64_t n = 0;
    for (size_t i = 2; i < head_length(c); i++)
        n = n << 8 | (unsigned char)c->head[i];
    return n;
}

/* Takes frames apart. A control frame's payload is kept behind its head, a message's is dropped. */
static void got_bytes(struct client *c, const char *bytes, size_t len)
{
    while (len != 0 && c->fd != -1) {
        if (c->left == 0) {
            c->head[c->nhead++] = *bytes++;
            len--;
            if (c->nhead < 2 || c->nhead < head_length(c))
                continue;
            c->opcode = (unsigned char)c->head[0] & 0x0f;
            c->left = payload_length(c);
            if (c->left == 0)
                got_frame(c);
            continue;
        }
        size_t n = len < c->left ? len : (size_t)c->left;
        if (c->opcode >= CLOSE) {
            memcpy(c->head + c->nhead, bytes, n);
            c->nhead += n;
        }
        bytes += n;
        len -= n;
        c->left -= n;
        if (c->left == 0)
            got_frame(c);
    }
}

static void got_answer(struct client *c)
{
    if (memcmp(c->head + 9, "101", 3) != 0) {
        fprintf(stderr, "ws_load: refused: %.60s\n", c->head);
        exit(1);
    }
    c->nhead = 0;
    c->is_open = true;
    shakes++;
    if (shaking) {
        reset(c);
        shake(c);
    } else if (c->is_busy) {
        put_message(c);
    }
}

static void on_readable(struct client *c)
{
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == -1 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lost++;
        reset(c);
        return;
    }
    ssize_t i = 0;
    while (!c->is_open && c->fd != -1 && i < n) {
        if (c->nhead == sizeof(c->head))
            die("long answer to a handshake");
        c->head[c->nhead++] = bytes[i++];
        if (c->nhead >= 4 && memcmp(c->head + c->nhead - 4, "\r\n\r\n", 4) == 0) {
            got_answer(c);
            if (shaking)
                return;
        }
    }
    got_bytes(c, bytes + i, (size_t)(n - i));
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void turn(int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(loop, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (c == NULL)
            exit(0);
        if (c->fd != -1)
            on_readable(c);
    }
}

static void open_all(int count, int busy)
{
    nclients = count;
    clients = calloc((size_t)count + 1, sizeof(clients[0]));
    took = malloc(SAMPLES * sizeof(took[0]));
    if (clients == NULL || took == NULL)
        die("memory");
    for (int i = 0; i < count; i++) {
        clients[i].is_busy = i < busy;
        shake(&clients[i]);
        while (!shaking && i - (int)shakes > 50)
            turn(1000);
    }
    while (!shaking && (int)shakes < count)
        turn(1000);
}

static void ping_due_ones(int64_t now, int64_t every_ns)
{
    for (int i = 0; i < nclients; i++) {
        struct client *c = &clients[i];
        if (c->fd == -1 || now < c->ping_due)
            continue;
        if (c->ping_sent == 0)
            put_ping(c);
        c->ping_due += every_ns;
    }
}

static void count_unanswered(int64_t now)
{
    for (int i = 0; i < nclients; i++)
        dropped += clients[i].ping_sent != 0 && now - clients[i].ping_sent > DROPPED_NS;
}

static double ms(size_t percent)
{
    return ntook == 0 ? -1 : (double)took[(ntook - 1) * percent / 100] / 1e6;
}

static void load(int idle, int busy, int ping_ms, int seconds)
{
    open_all(idle + busy, busy);
    int64_t begin = now_ns(), every = (int64_t)ping_ms * 1000000, end = begin + (int64_t)seconds * 1000000000;
    for (int i = 0; i < nclients; i++)
        clients[i].ping_due = begin + every * i / nclients;
    for (int64_t now = begin; now < end; now = now_ns()) {
        ping_due_ones(now, every);
        turn(1);
    }
    count_unanswered(now_ns());
    qsort(took, ntook, sizeof(took[0]), by_value);
    printf("{\"pings\": %zu, \"pongs\": %zu, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"dropped\": %zu, \"lost\": "
           "%zu, "
           "\"messages\": %zu}\n",
           pings, ntook, ms(50), ms(99), ms(100), dropped, lost, messages);
}

static void run_for(int seconds)
{
    int64_t end = now_ns() + (int64_t)seconds * 1000000000;
    size_t messages_before = messages, shakes_before = shakes;
    while (now_ns() < end)
        turn(100);
    printf("{\"messages\": %zu, \"handshakes\": %zu, \"lost\": %zu}\n", messages - messages_before,
           shakes - shakes_before, lost);
}

static void hold(int count)
{
    open_all(count, 0);
    printf("ready\n");
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, 0, &event) != 0)
        die("epoll_ctl");
    for (;;)
        turn(-1);
}

int main(int argc, char **argv)
{
    struct rlimit files = {200000, 200000};
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    loop = epoll_create1(0);
    if (argc < 5)
        return 2;
    port = atoi(argv[1]);
    path = argv[2];
    if (strcmp(argv[3], "load") == 0 && argc == 9) {
        message = argv[8];
        message_len = strlen(message);
        load(atoi(argv[4]), atoi(argv[5]), atoi(argv[6]), atoi(argv[7]));
    } else if (strcmp(argv[3], "echo") == 0 && argc == 7) {
        message_len = (size_t)atoi(argv[6]);
        char *text = malloc(message_len + 1);
        if (text == NULL || message_len > 65000)
            return 2;
        memset(text, 'x', message_len);
        message = text;
        open_all(atoi(argv[4]), atoi(argv[4]));
        run_for(atoi(argv[5]));
    } else if (strcmp(argv[3], "shake") == 0 && argc == 6) {
        shaking = true;
        open_all(atoi(argv[4]), 0);
        run_for(atoi(argv[5]));
    } else if (strcmp(argv[3], "hold") == 0 && argc == 5) {
        hold(atoi(argv[4]));
    } else {
        return 2;
    }
    return 0;
}
