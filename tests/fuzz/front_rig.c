/* SPDX-License-Identifier: MIT
 *
 * front_rig: see front_rig.h. The monotonic clock is ours by the linker's --wrap; the wall clock, which libFuzzer goes
 * by, stays the system's.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "front_rig.h"
#include "stub.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/conf.h"
#include "diag/log.h"
#include "diag/writer.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange.h"
#include "front/generation.h"
#include "front/listener.h"
#include "front/sockets.h"
#include "front/steady_clock.h"
#include "front/sweep.h"
#include "front/thread_private.h"
#include "gate/gate.h"
#include "upstream/http1_response.h"

#define TURN_US       100
#define IDLE_TURNS    4   /* after these in a row nothing moves without the clock */
#define SETTLE_ROUNDS 400 /* by then every deadline of the conf below has passed, several times */
#define SEND_TRIES    8
#define LOG_LINE_MAX  65536

/* Small limits, so that they are met; short times, so that many pass in one input. */
static const char conf_text[] =
    "{ \"listeners\": [ { \"bind\": \"unix:/1\" }, { \"bind\": \"unix:/2\", \"proxy_protocol\": true },"
    "                   { \"bind\": \"unix:/3\", \"http2\": true } ],"
    "  \"admin\": { \"bind\": \"unix:/4\" }, \"spool_directory\": \"/tmp\","
    "  \"trusted_proxies\": [ \"192.0.2.0/24\", \"unix:\" ],"
    "  \"limits\": { \"head_bytes\": \"2KiB\", \"target_bytes\": \"1KiB\", \"header_fields\": 20, \"max_body\": "
    "\"16KiB\","
    "    \"body_memory\": \"4KiB\", \"chunk_overhead\": \"256B\", \"head_timeout\": \"2s\", \"body_timeout\": \"4s\","
    "    \"idle_timeout\": \"6s\", \"write_timeout\": \"3s\", \"requests_per_connection\": 12,"
    "    \"connections_per_address\": 2, \"http2_glitches\": 8, \"http2_handlers\": 6 },"
    "  \"backends\": {"
    "    \"work\": { \"run\": \"loop\", \"proxy\": \"127.0.0.1:9\", \"limit\": 3, \"queue\": 1,"
    "      \"queue_timeout\": \"300ms\", \"timeout\": \"1s\", \"max_response_buffer\": \"128KiB\" } },"
    "  \"routes\": ["
    "    { \"path\": \"/hello\", \"respond\": { \"status\": 200, \"body\": \"hello\\n\" } },"
    "    { \"path\": \"/long\", \"respond\": { \"status\": 200, \"body\": \"" /* more than is copied */
    "----------------------------------------------------------------------------------------------------"
    "----------------------------------------------------------------------------------------------------"
    "----------------------------------------------------------------------------------------------------"
    "----------------------------------------------------------------------------------------------------"
    "----------------------------------------------------------------------------------------------------"
    "----------------------------------------------------------------------------------------------------\" } },"
    "    { \"path_prefix\": \"/old/\", \"redirect\": { \"status\": 308, \"to\": \"https://$host/new$path?$query\" } },"
    "    { \"path_prefix\": \"/files/\", \"files\": \"" FUZZ_FILES "\" },"
    "    { \"path_regex\": \"^/r/[a-z]+(x|y)*$\", \"respond\": { \"status\": 410 } },"
    "    { \"host\": \"*.example.org\", \"methods\": [\"PUT\"], \"headers\": { \"x-key\": \"1\" },"
    "      \"respond\": { \"status\": 201 } },"
    "    { \"path_prefix\": \"/u/\", \"backend\": \"work\", \"strip_prefix\": \"/u\", \"buffer\": false,"
    "      \"max_body\": \"1KiB\", \"timeout\": \"200ms\" },"
    "    { \"path_prefix\": \"/w/\", \"backend\": \"work\", \"strip_prefix\": \"/w\","
    "      \"request_headers\": { \"set\": { \"x-a\": \"1\" }, \"remove\": [\"x-b\"] },"
    "      \"response_headers\": { \"add\": { \"x-c\": \"2\" }, \"remove\": [\"set-cookie\"] } } ] }";

struct client {
    int fd;            /* -1: closed from this side */
    bool reads, ended; /* ended: the front has closed its side */
    bool stayed;       /* was there until the input was over */
    enum front_rig_door door;
    const struct conn *conn; /* to find the client of a request; valid as long as it has any */
    struct buf got;          /* all that was sent to it */
    struct buf asked;        /* a character a request: 'H' for HEAD */
};

static struct {
    int64_t now_us;
    struct front_thread thread;
    struct front_private p;
    struct sockets *sockets;
    struct list tasks;
    struct client clients[FRONT_RIG_CLIENTS];
    size_t nclients;
    struct client *client; /* that is spoken for; NULL: none */
    char addresses[FRONT_RIG_DOOR_COUNT][sizeof(struct sockaddr_un)];
    socklen_t address_lens[FRONT_RIG_DOOR_COUNT];
    size_t descriptors;
    bool moved; /* bytes went either way, or a task ran, in this turn */
} rig;

/* ---- in place of the clock, the thread and the log's writer ------------------------------------------------------- */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    if (id != CLOCK_MONOTONIC)
        return __real_clock_gettime(id, ts);
    ts->tv_sec = rig.now_us / 1000000;
    ts->tv_nsec = rig.now_us % 1000000 * 1000;
    return 0;
}

struct front_thread *front_threads = &rig.thread;
unsigned front_nthreads = 1;

struct front_thread *thread_current(void)
{
    return &rig.thread;
}

bool thread_is_leaving(void)
{
    return false;
}

static void post(struct loop *loop, struct loop_task *task)
{
    list_append(&rig.tasks, &task->link);
}

static void run_tasks(void)
{
    struct list batch = {&batch, &batch}, *node;
    while ((node = list_pop(&rig.tasks)) != NULL)
        list_append(&batch, node);
    while ((node = list_pop(&batch)) != NULL) {
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        rig.moved = true;
        task->run(task);
    }
}

static char line[LOG_LINE_MAX];

char *writer_reserve(struct writer_ring *ring, size_t max)
{
    FUZZ_ASSERT(max <= sizeof(line));
    return line;
}

/* one line, and one JSON object */
void writer_commit(struct writer_ring *ring, size_t used)
{
    FUZZ_ASSERT(used > 2 && memchr(line, '\n', used) == line + used - 1);
    json_error_t error;
    json_t *record = json_loadb(line, used, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_object(record))
        fprintf(stderr, "not JSON: %s: %.*s", error.text, (int)used, line);
    FUZZ_ASSERT(json_is_object(record));
    json_decref(record);
}

static void drop_log_line(const char *text, size_t len)
{
    FUZZ_ASSERT(memchr(text, '\n', len) == text + len - 1);
}

/* ---- what is asked ------------------------------------------------------------------------------------------------ */

static int (*serve[2])(h2o_handler_t *self, h2o_req_t *req);

/* an earlier client's conn may have had the same address: the latest one has it now */
static struct client *client_of(const struct conn *conn)
{
    for (size_t i = rig.nclients; i-- > 0;)
        if (rig.clients[i].conn == conn)
            return &rig.clients[i];
    FUZZ_ASSERT(!"a request of no connection");
    return NULL;
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    const struct conn *conn = conn_of(req);
    bool is_head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
    buf_append_char(&client_of(conn)->asked, is_head ? 'H' : '-');
    return serve[conn->is_admin](self, req);
}

static void put_in_front(h2o_globalconf_t *library)
{
    h2o_pathconf_t *paths[] = {&library->hosts[0]->paths.entries[0], &library->hosts[0]->fallback_path};
    for (size_t i = 0; i != 2; i++) {
        h2o_handler_t *handler = paths[i]->handlers.entries[0];
        serve[handler->on_req == admin_on_request] = handler->on_req;
        handler->on_req = on_request;
    }
}

/* ---- building ----------------------------------------------------------------------------------------------------- */

static struct generation *build_generation(void)
{
    struct buf problems = {NULL};
    char error[512] = "";
    struct conf *conf = conf_parse("/fuzz.conf", conf_text, sizeof(conf_text) - 1, &problems);
    if (conf == NULL)
        fprintf(stderr, "%s", buf_z(&problems));
    FUZZ_ASSERT(conf != NULL);
    buf_free(&problems);
    struct generation *g = generation_create(conf, NULL, NULL, 1, error, sizeof(error));
    if (g == NULL)
        fprintf(stderr, "%s\n", error);
    FUZZ_ASSERT(g != NULL);
    for (size_t i = 0; i != conf->nbackends; i++) {
        g->backends[i]->executor->ops->free(g->backends[i]->executor);
        g->backends[i]->executor = stub_create(conf->backends[i].name);
    }
    return g;
}

/* the kernel finds an address that is in nobody's way */
static int listen_somewhere(enum front_rig_door door)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rig.address_lens[door] = sizeof(any);
    FUZZ_ASSERT(fd != -1 && bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) == 0 && listen(fd, 64) == 0 &&
                getsockname(fd, (struct sockaddr *)rig.addresses[door], &rig.address_lens[door]) == 0);
    return fd;
}

static void build_setup(const struct conf *conf)
{
    int fds[FRONT_RIG_DOOR_COUNT];
    char error[512] = "";
    for (int door = 0; door != FRONT_RIG_DOOR_COUNT; door++)
        fds[door] = listen_somewhere((enum front_rig_door)door);
    struct setup *setup = setup_create(conf, error, sizeof(error));
    rig.sockets = sockets_create(conf, fds, 1, error, sizeof(error));
    if (setup == NULL || rig.sockets == NULL)
        fprintf(stderr, "%s\n", error);
    FUZZ_ASSERT(setup != NULL && rig.sockets != NULL && rig.sockets->count == FRONT_RIG_DOOR_COUNT);
    for (int door = 0; door != FRONT_RIG_DOOR_COUNT; door++)
        close(fds[door]);
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; kind++)
        put_in_front(setup->library[kind]);
    rig.p.setup = setup;
}

static void build_contexts(void)
{
    h2o_evloop_t *loop = h2o_evloop_create();
    for (size_t kind = 0; kind != SETUP_KIND_COUNT; kind++) {
        rig.p.contexts[kind] = kind == SETUP_KIND_CLIENT ? &rig.thread.ctx : mem_alloc(sizeof(h2o_context_t));
        h2o_context_init(rig.p.contexts[kind], loop, rig.p.setup->library[kind]);
    }
    rig.thread.globalconf = rig.p.setup->library[SETUP_KIND_CLIENT];
    rig.thread.loop.h2o = &rig.thread.ctx;
}

static void build_thread(struct generation *g)
{
    struct front_thread *thread = &rig.thread;
    thread->p = &rig.p;
    thread->count = 1;
    thread->loop.post = post;
    thread->loop.now_us = rig.now_us;
    heap_init(&thread->loop.deadlines);
    list_init(&thread->conns);
    list_init(&rig.tasks);
    thread->generation = g;
    thread->access_ring = (struct writer_ring *)line; /* never looked into: see writer_reserve */
    build_setup(g->conf);
    build_contexts();
    exchange_thread_init(thread);
    sweep_start(thread);
    rig.p.listeners = mem_zalloc(FRONT_RIG_DOOR_COUNT * sizeof(struct listener *));
    for (; rig.p.nlisteners != FRONT_RIG_DOOR_COUNT; rig.p.nlisteners++)
        rig.p.listeners[rig.p.nlisteners] = listener_open(thread, &rig.sockets->entries[rig.p.nlisteners]);
}

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    FUZZ_ASSERT(d != NULL);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void build(void)
{
    rig.now_us = INT64_C(1000000000);
    signal(SIGPIPE, SIG_IGN); /* as the front does */
    log_init("fuzz", LOG_LEVEL_WARNING, false);
    log_set_sink(drop_log_line);
    steady_clock_start();
    steady_clock_report_to(&rig.thread.loop.now_us);
    build_thread(build_generation());
    front_rig_turn();
}

/* ---- turning ------------------------------------------------------------------------------------------------------ */

/* The front is done with the client when it has closed its side. */
static void take(struct client *c)
{
    char bytes[65536];
    while (c->fd != -1 && c->reads && !c->ended) {
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        rig.moved = true;
        if (n <= 0)
            c->ended = true;
        else
            buf_append(&c->got, bytes, (size_t)n);
    }
}

void front_rig_turn(void)
{
    struct front_thread *thread = &rig.thread;
    rig.moved = false;
    rig.now_us += TURN_US;
    (void)h2o_evloop_run(thread->ctx.loop, 0);
    run_tasks();
    thread->loop.now_us = clock_us();
    rig.moved |= heap_expire(&thread->loop.deadlines, thread->loop.now_us) != 0;
    exchange_turn(thread);
    for (size_t i = 0; i != rig.nclients; i++)
        take(&rig.clients[i]);
}

static void turn_until_idle(void)
{
    for (int idle = 0; idle != IDLE_TURNS; idle = rig.moved ? 0 : idle + 1)
        front_rig_turn();
}

void front_rig_wait(void)
{
    turn_until_idle();
    int64_t next_us = heap_next_us(&rig.thread.loop.deadlines);
    if (next_us > rig.now_us)
        rig.now_us = next_us;
    front_rig_turn();
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

void front_rig_begin(void)
{
    if (rig.now_us == 0)
        build();
    rig.descriptors = count_descriptors(); /* libFuzzer opens some between inputs */
}

bool front_rig_connect(enum front_rig_door door)
{
    struct front_thread *thread = &rig.thread;
    if (rig.nclients == FRONT_RIG_CLIENTS)
        return false;
    struct client *c = &rig.clients[rig.nclients++];
    *c = (struct client){.reads = true, .door = door};
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_ASSERT(c->fd != -1 && connect(c->fd, (struct sockaddr *)rig.addresses[door], rig.address_lens[door]) == 0);
    const struct list *last = thread->conns.prev;
    for (int i = 0; thread->conns.prev == last; i++) {
        FUZZ_ASSERT(i != SEND_TRIES);
        front_rig_turn();
    }
    c->conn = LIST_ENTRY(thread->conns.prev, struct conn, link);
    rig.client = c;
    return true;
}

void front_rig_select(unsigned number)
{
    if (number < rig.nclients)
        rig.client = &rig.clients[number];
}

void front_rig_send(const void *bytes, size_t len)
{
    struct client *c = rig.client;
    for (int tries = 0; len != 0 && tries != SEND_TRIES && c != NULL && c->fd != -1; tries++) {
        ssize_t n = send(c->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return;
        if (n > 0) {
            bytes = (const char *)bytes + n;
            len -= (size_t)n;
            tries = 0;
        }
        if (len != 0)
            front_rig_turn();
    }
}

void front_rig_half_close(void)
{
    if (rig.client != NULL && rig.client->fd != -1)
        shutdown(rig.client->fd, SHUT_WR);
}

void front_rig_close(void)
{
    if (rig.client != NULL && rig.client->fd != -1) {
        close(rig.client->fd);
        rig.client->fd = -1;
    }
}

void front_rig_read(bool reads)
{
    if (rig.client != NULL)
        rig.client->reads = reads;
}

/* ---- what was promised -------------------------------------------------------------------------------------------- */

static const struct http1_limits answer_limits = {
    .head_bytes = 65536, .fields = 100, .interim = 100, .chunk_overhead = 1 << 20};

/* How the library ends a chunked answer that failed: what cannot be a chunk's size, and the end of the connection. */
static bool is_visibly_cut(const struct client *c)
{
    static const char mark[] = "\r\n1\r\n";
    const size_t len = sizeof(mark) - 1;
    return (c->ended || !c->stayed) && c->got.len > len && memcmp(c->got.base + c->got.len - len, mark, len) == 0;
}

/* One answer out of got[*at..]. false: it is cut, or not there yet. */
static bool check_http1_answer(struct client *c, bool is_head, size_t *at)
{
    struct http1_response r;
    struct str body;
    enum http1_event event;
    http1_response_init(&r, is_head, &answer_limits);
    do
        event = http1_response_next(&r, c->got.base, c->got.len, at, &body);
    while (event == HTTP1_HEAD || event == HTTP1_BODY);
    if (event == HTTP1_ERROR && !is_visibly_cut(c)) {
        fprintf(stderr, "a malformed answer: %s\n%.*s\n", r.error, STR_ARG(buf_str(&c->got)));
        FUZZ_ASSERT(event != HTTP1_ERROR);
    }
    http1_response_free(&r);
    return event == HTTP1_END;
}

/* SETTINGS come first; frames are whole, unless the connection was broken in the middle of one */
static void check_http2(const struct client *c, size_t at)
{
    const unsigned char *bytes = (const unsigned char *)c->got.base;
    FUZZ_ASSERT(c->got.len - at < 4 || bytes[at + 3] == 4);
    while (c->got.len - at >= 9) {
        size_t len = (size_t)bytes[at] << 16 | (size_t)bytes[at + 1] << 8 | bytes[at + 2];
        FUZZ_ASSERT(len <= 16384 && bytes[at + 3] <= 9);
        if (c->got.len - at - 9 < len)
            return;
        at += 9 + len;
    }
}

/* What the front and the library say by themselves comes behind all answers, and is the last thing. Where HTTP/2 is on,
 * the library takes its preface between two requests, too. */
static void check_http1(struct client *c)
{
    size_t at = 0;
    for (size_t i = 0; at != c->got.len; i++) {
        bool is_own_word = i >= c->asked.len;
        if (c->door == FRONT_RIG_HTTP2 && c->got.base[at] == 0) {
            check_http2(c, at);
            return;
        }
        if (!check_http1_answer(c, !is_own_word && c->asked.base[i] == 'H', &at))
            return;
        FUZZ_ASSERT(!is_own_word || at == c->got.len);
    }
}

static void check_client(struct client *c)
{
    if (c->got.len == 0)
        return;
    if (c->got.base[0] == 'H')
        check_http1(c);
    else {
        FUZZ_ASSERT(c->door == FRONT_RIG_HTTP2);
        check_http2(c, 0);
    }
}

static bool is_gate_empty(const struct backend *b)
{
    struct gate_stats s = gate_stats(b->gate, clock_us());
    FUZZ_ASSERT(s.entered - s.released == s.running);
    return s.running == 0 && s.waiting == 0;
}

static bool is_quiet(void)
{
    const struct generation *g = rig.thread.generation;
    for (size_t i = 0; i != g->conf->nbackends; i++)
        if (!is_gate_empty(g->backends[i]))
            return false;
    return list_empty(&rig.thread.conns) && conn_count(false) + conn_count(true) == 0;
}

static void check_nothing_is_left(void)
{
    const struct front_thread *thread = &rig.thread;
    FUZZ_ASSERT(atomic_load(&thread->generation->references) == 1);
    FUZZ_ASSERT(list_empty(&thread->door->held) && list_empty(&thread->door->young) && list_empty(&rig.tasks));
    FUZZ_ASSERT(atomic_load(&thread->counters.connections_open) == 0);
    /* the sweep, and what is armed once for many: young_due, held_flush, each listener's pause */
    FUZZ_ASSERT(thread->loop.deadlines.count <= 3 + rig.p.nlisteners);
    FUZZ_ASSERT(count_descriptors() == rig.descriptors);
}

void front_rig_end(void)
{
    turn_until_idle();
    for (size_t i = 0; i != rig.nclients; i++) {
        front_rig_select((unsigned)i);
        rig.client->stayed = rig.client->fd != -1;
        front_rig_close();
    }
    for (int round = 0; !is_quiet(); round++) {
        FUZZ_ASSERT(round != SETTLE_ROUNDS);
        front_rig_wait();
    }
    front_rig_wait(); /* the library frees sockets in the turn after the one that closed them */
    check_nothing_is_left();
    for (size_t i = 0; i != rig.nclients; i++) {
        check_client(&rig.clients[i]);
        buf_free(&rig.clients[i].got);
        buf_free(&rig.clients[i].asked);
    }
    rig.nclients = 0;
    rig.client = NULL;
}
