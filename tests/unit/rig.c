/* SPDX-License-Identifier: MIT
 *
 * rig: see rig.h. Assertions of scripts run on backend threads, where cmocka's jumps must not be used: they abort.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "rig.h"

#define MUST(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s failed: %s\n", __FILE__, __LINE__, #what, strerror(errno));                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- a loop ----------------------------------------------------------------------------------------------------- */

static void rig_post(struct loop *loop, struct loop_task *task)
{
    struct rig *r = (struct rig *)loop;
    pthread_mutex_lock(&r->lock);
    list_append(&r->tasks, &task->link);
    pthread_mutex_unlock(&r->lock);
    MUST(write(h2o_socket_get_fd(r->bell), &(uint64_t){1}, 8) == 8);
}

static void on_bell(h2o_socket_t *bell, const char *err)
{
    struct rig *r = bell->data;
    uint64_t count;
    (void)err;
    MUST(read(h2o_socket_get_fd(bell), &count, sizeof(count)) == sizeof(count));
    for (;;) {
        pthread_mutex_lock(&r->lock);
        struct list *node = list_pop(&r->tasks);
        pthread_mutex_unlock(&r->lock);
        if (node == NULL)
            return;
        struct loop_task *task = LIST_ENTRY(node, struct loop_task, link);
        task->run(task);
    }
}

void rig_init(struct rig *r, unsigned id)
{
    memset(r, 0, sizeof(*r));
    r->loop.id = id;
    heap_init(&r->loop.deadlines);
    r->loop.post = rig_post;
    r->loop.h2o = &r->context;
    r->context.loop = h2o_evloop_create();
    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->tasks);
    r->bell =
        h2o_evloop_socket_create(r->context.loop, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), H2O_SOCKET_FLAG_DONT_READ);
    r->bell->data = r;
    h2o_socket_read_start(r->bell, on_bell);
    r->loop.now_us = clock_us();
}

void rig_destroy(struct rig *r)
{
    rig_settle(r);
    assert_true(list_empty(&r->tasks));
    h2o_socket_close(r->bell);
    h2o_evloop_run(r->context.loop, 0);
    h2o_evloop_destroy(r->context.loop);
    heap_destroy(&r->loop.deadlines);
    pthread_mutex_destroy(&r->lock);
}

void rig_turn(struct rig *r, int wait_ms)
{
    r->loop.now_us = clock_us() + r->skew_us;
    heap_expire(&r->loop.deadlines, r->loop.now_us);
    int64_t next = heap_next_us(&r->loop.deadlines);
    if (next != CLOCK_NEVER && next - r->loop.now_us < (int64_t)wait_ms * 1000)
        wait_ms = next <= r->loop.now_us ? 0 : (int)((next - r->loop.now_us) / 1000 + 1);
    h2o_evloop_run(r->context.loop, wait_ms);
    r->loop.now_us = clock_us() + r->skew_us;
}

void rig_until(struct rig *r, const int *flag)
{
    int64_t end = clock_us() + RIG_WAIT_S * 1000000ll;
    while (*flag == 0) {
        if (clock_us() > end)
            fail_msg("the loop waited %d s for nothing", RIG_WAIT_S);
        rig_turn(r, 100);
    }
}

void rig_settle(struct rig *r)
{
    for (int i = 0; i < 5; i++)
        rig_turn(r, 2);
}

void rig_skip(struct rig *r, int64_t us)
{
    r->skew_us += us;
    r->loop.now_us += us;
}

/* ---- a call and its sink ---------------------------------------------------------------------------------------- */

static void maybe_abandon(struct probe *p, enum probe_moment moment)
{
    if (p->abandons_at == moment)
        p->ex->ops->abandon(p->ex, &p->call, p->abandons_why);
}

static void on_head(struct call *call, const struct call_response *head)
{
    struct probe *p = (struct probe *)call;
    assert_int_equal(p->heads + p->ends + p->dones, 0);
    p->heads++;
    p->status = head->status;
    p->content_length = head->content_length;
    for (size_t i = 0; i < head->nfields; i++)
        buf_printf(&p->head_text, "%.*s: %.*s\n", STR_ARG(head->fields[i].name), STR_ARG(head->fields[i].value));
    maybe_abandon(p, PROBE_AT_HEAD);
}

static bool on_body(struct call *call, struct str bytes)
{
    struct probe *p = (struct probe *)call;
    assert_int_equal(p->heads, 1);
    assert_int_equal(p->ends + p->dones, 0);
    assert_true(bytes.len != 0);
    buf_append_str(&p->body, bytes);
    maybe_abandon(p, PROBE_AT_BODY);
    return p->body.len <= p->room;
}

static void on_end(struct call *call, enum reason reason, const char *detail)
{
    struct probe *p = (struct probe *)call;
    assert_int_equal(p->ends + p->dones, 0);
    p->ends++;
    p->reason = reason;
    snprintf(p->detail, sizeof(p->detail), "%s", detail != NULL ? detail : "");
    maybe_abandon(p, PROBE_AT_END);
}

static void on_done(struct call *call)
{
    struct probe *p = (struct probe *)call;
    assert_int_equal(p->dones, 0);
    p->dones++;
}

static const struct call_sink sink = {on_head, on_body, on_end, on_done};

void probe_init(struct probe *p, struct rig *r, struct executor *ex, const char *method, const char *path)
{
    memset(p, 0, sizeof(*p));
    p->ex = ex;
    p->room = SIZE_MAX;
    p->fields[0] = (struct call_field){STR("host"), STR("example.org")};
    p->call.magic = CALL_MAGIC;
    p->call.loop = &r->loop;
    p->call.sink = &sink;
    p->call.deadline_us = CLOCK_NEVER;
    p->call.request = (struct call_request){
        .method = str_of(method),
        .path = str_of(path),
        .scheme = STR("http"),
        .authority = STR("example.org"),
        .id = STR("id"),
        .peer = STR("192.0.2.1"),
        .fields = p->fields,
        .nfields = 1,
    };
}

void probe_set_body(struct probe *p, const char *bytes, size_t len)
{
    p->call.request.body = (struct str){(char *)bytes, len};
}

void probe_start(struct probe *p)
{
    p->call.loop->now_us = clock_us() + ((struct rig *)p->call.loop)->skew_us;
    p->ex->ops->start(p->ex, &p->call);
    assert_int_equal(p->heads + p->ends + p->dones, 0); /* never before start returns */
}

void probe_abandon(struct probe *p, enum executor_why why)
{
    if (why == EXECUTOR_CLIENT_LEFT)
        call_detach(&p->call);
    p->ex->ops->abandon(p->ex, &p->call, why);
}

void probe_run(struct rig *r, struct probe *p)
{
    probe_start(p);
    rig_until(r, &p->dones);
}

void probe_free(struct probe *p)
{
    buf_free(&p->body);
    buf_free(&p->head_text);
    call_cleanup(&p->call);
}

void probe_expect(const struct probe *p, enum reason reason)
{
    assert_int_equal(p->dones, 1);
    assert_int_equal(p->ends, 1);
    assert_string_equal(reason_word(p->reason), reason_word(reason));
}

/* ---- a backend -------------------------------------------------------------------------------------------------- */

static void bound(int fd)
{
    struct timeval limit = {.tv_sec = RIG_WAIT_S};
    MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
}

static void *backend_main(void *arg)
{
    struct backend *b = arg;
    b->script(b);
    return NULL;
}

static void start_listening(struct backend *b, int family, backend_script script)
{
    int pipes[2];
    b->listen_fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(b->listen_fd != -1);
    MUST(bind(b->listen_fd, (struct sockaddr *)&b->address, b->address_len) == 0);
    MUST(listen(b->listen_fd, 16) == 0);
    MUST(getsockname(b->listen_fd, (struct sockaddr *)&b->address, &b->address_len) == 0);
    bound(b->listen_fd);
    MUST(pipe(pipes) == 0);
    b->pipe_r = pipes[0];
    b->pipe_w = pipes[1];
    if (script != NULL)
        backend_run(b, script);
}

void backend_run(struct backend *b, backend_script script)
{
    b->script = script;
    MUST(pthread_create(&b->thread, NULL, backend_main, b) == 0);
}

void backend_start(struct backend *b, backend_script script)
{
    static int number;
    struct sockaddr_un *un = (struct sockaddr_un *)&b->address;
    const char *directory = getenv("TMPDIR");
    const void *arg = b->arg;
    memset(b, 0, sizeof(*b));
    b->arg = arg;
    snprintf(b->path, sizeof(b->path), "%.60s/rig-%d-%d.sock", directory != NULL ? directory : "/tmp", (int)getpid(),
             number++);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, b->path, sizeof(b->path));
    b->address_len = sizeof(*un);
    unlink(b->path);
    start_listening(b, AF_UNIX, script);
}

void backend_start_tcp(struct backend *b, backend_script script)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&b->address;
    const void *arg = b->arg;
    memset(b, 0, sizeof(*b));
    b->arg = arg;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    b->address_len = sizeof(*in);
    start_listening(b, AF_INET, script);
}

void backend_stop(struct backend *b)
{
    if (b->script != NULL)
        pthread_join(b->thread, NULL);
    fd_close(&b->listen_fd);
    fd_close(&b->pipe_r);
    fd_close(&b->pipe_w);
    if (b->path[0] != '\0')
        unlink(b->path);
    buf_free(&b->request);
}

int backend_accept(struct backend *b)
{
    int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    MUST(fd != -1);
    bound(fd);
    atomic_fetch_add(&b->accepted, 1);
    return fd;
}

static size_t announced_length(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field == NULL ? 0 : strtoul(field + sizeof("\r\ncontent-length:") - 1, NULL, 10);
}

bool backend_read_request(struct backend *b, int fd)
{
    size_t need = SIZE_MAX;
    buf_clear(&b->request);
    while (b->request.len < need) {
        ssize_t n = read(fd, buf_reserve(&b->request, 65536), 65536);
        if (n <= 0)
            return false;
        b->request.len += (size_t)n;
        const char *text = buf_z(&b->request), *end = strstr(text, "\r\n\r\n");
        if (end != NULL)
            need = (size_t)(end - text) + 4 + announced_length(text);
    }
    return true;
}

void backend_say(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the other side has gone, which some tests want */
        text += n;
        left -= (size_t)n;
    }
}

size_t backend_drain(int fd)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        total += (size_t)n;
    return total;
}

void backend_wait_go(struct backend *b)
{
    char c;
    MUST(read(b->pipe_r, &c, 1) == 1);
}

void backend_go(struct backend *b)
{
    MUST(write(b->pipe_w, "g", 1) == 1);
}
