/* SPDX-License-Identifier: MIT
 *
 * reply: see reply.h. The streaming half is one step function: it looks at what is there and what the source has said,
 * and hands the library exactly one piece, or waits, or yields, or ends. It never hands over an empty piece in the
 * middle (the library would end or spin), never a body where there may be none, and always a length where one is known.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "diag/log.h"
#include "front/door.h"
#include "front/fields.h"
#include "front/reply.h"

/* kept in memory before the spool file is used, and the size of one read from a file */
#define PIECE_MAX ((size_t)64 * 1024)
/* waiting bytes that are sent without waiting for the end of the turn */
#define SEND_AT ((size_t)32 * 1024)
/* what one answer may send before other requests get their turn */
#define BURST_MAX ((size_t)256 * 1024)
/* a buffer this large goes back to the allocator instead of staying with its exchange */
#define KEEP_MAX ((size_t)16 * 1024)
const char *reply_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {226, "IM Used"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {511, "Network Authentication Required"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].phrase;
    return "Unknown";
}

static bool is_head_request(const h2o_req_t *req)
{
    return req->input.method.len == 4 && memcmp(req->input.method.base, "HEAD", 4) == 0;
}

static bool status_has_no_body(int status)
{
    return status == 204 || status == 304;
}

static void begin(h2o_req_t *req, struct door *door)
{
    if (door->thread->draining)
        req->http1_is_persistent = 0;
    door_count(&door->thread->counters.responses_by_class[(unsigned)req->res.status / 100 % 6]);
}

/* ---- at once ---------------------------------------------------------------------------------------------------- */

h2o_header_t reply_header(h2o_mem_pool_t *pool, struct str name, struct str value)
{
    h2o_header_t h = {.value = {value.base, value.len}};
    const h2o_token_t *token = h2o_lookup_token(name.base, name.len);
    if (token != NULL) {
        h.name = (h2o_iovec_t *)&token->buf;
    } else {
        h.name = h2o_mem_alloc_pool(pool, sizeof(*h.name));
        *h.name = h2o_iovec_init(name.base, name.len);
    }
    return h;
}

size_t reply_body_bytes(const h2o_req_t *req, const struct reply_whole *answer)
{
    return status_has_no_body(answer->status) || is_head_request(req) ? 0 : answer->body.len;
}

void reply_now(h2o_req_t *req, struct door *door, const struct reply_whole *answer)
{
    static h2o_generator_t nothing_more;
    h2o_iovec_t body = {answer->body.base, answer->body.len};
    req->res.status = answer->status;
    req->res.reason = reply_phrase(answer->status);
    req->res.content_length = status_has_no_body(answer->status) ? SIZE_MAX : body.len;
    /* full as it stands, so that whoever adds a field to it makes a copy first */
    req->res.headers = (h2o_headers_t){(h2o_header_t *)answer->headers, answer->nheaders, answer->nheaders};
    if (answer->close)
        req->http1_is_persistent = 0;
    begin(req, door);
    h2o_start_response(req, &nothing_more);
    h2o_send(req, &body, reply_body_bytes(req, answer) != 0, H2O_SEND_STATE_FINAL);
}

/* ---- what is kept for the client -------------------------------------------------------------------------------- */

static uint64_t in_file(const struct reply *r)
{
    return r->file_end - r->file_at;
}

static int64_t kept(const struct reply *r)
{
    return (int64_t)(r->waiting.len + in_file(r));
}

/* A file without a name: it is gone when the descriptor is, however the process ends. */
static int open_spool(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd != -1)
        return fd;
    /* a file system without O_TMPFILE: make a name and take it away at once */
    char *name = mem_printf("%s/spool-XXXXXX", directory);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd != -1)
        (void)unlink(name);
    free(name);
    return fd;
}

static bool spool_write(struct reply *r, struct str bytes)
{
    uint64_t end = r->file_end;
    while (bytes.len != 0) {
        ssize_t n = pwrite(r->file, bytes.base, bytes.len, (off_t)end);
        if (n <= 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            log_limited(LOG_LEVEL_WARNING, "front", "cannot write to a spool file in %s: %s", r->spool_directory,
                        strerror(errno));
            return false;
        }
        end += (uint64_t)n;
        bytes = (struct str){bytes.base + n, bytes.len - (size_t)n};
    }
    r->file_end = end;
    return true;
}

static bool spool_ready(struct reply *r)
{
    if (r->file == -1 && (r->file = open_spool(r->spool_directory)) == -1)
        log_limited(LOG_LEVEL_WARNING, "front",
                    "cannot open a spool file in %s: %s; slow clients hold their backend's slot meanwhile. Make the "
                    "directory writable or choose another spool_directory",
                    r->spool_directory, strerror(errno));
    return r->file != -1;
}

/* The order is: sending, waiting, file. So while the file holds bytes, newer ones must go there too. false: the file
 * failed while it held bytes; what comes now has no place behind them. */
static bool keep(struct reply *r, struct str bytes)
{
    bool fits = in_file(r) == 0 && r->waiting.len + bytes.len <= PIECE_MAX;
    if (!fits && r->may_spool && spool_ready(r)) {
        if (spool_write(r, bytes))
            return true;
    }
    /* without a file only a little is kept, in memory: from here on the source goes as fast as the client */
    if (!fits) {
        r->may_spool = false;
        r->limit = (int64_t)PIECE_MAX;
    }
    if (in_file(r) != 0)
        return false;
    buf_append(&r->waiting, bytes.base, bytes.len);
    return true;
}

/* ---- one piece after the other ---------------------------------------------------------------------------------- */

static void release_file(struct reply *r)
{
    fd_close(&r->file);
    r->file_at = r->file_end = 0;
}

/* Refills `sending` from the file. false: the file is shorter than it was. */
static bool read_piece(struct reply *r)
{
    uint64_t left = in_file(r);
    size_t want = left < PIECE_MAX ? (size_t)left : PIECE_MAX;
    char *to = buf_reserve(&r->sending, want);
    ssize_t n = pread(r->file, to, want, (off_t)r->file_at);
    if (n <= 0)
        return false;
    r->sending.len += (size_t)n;
    r->file_at += (uint64_t)n;
    if (r->file_at == r->file_end)
        r->file_at = r->file_end = 0; /* a spool file is written from its beginning again */
    return true;
}

/* Fills the empty `sending` with what is next, if anything is. false: the source cannot give what it promised. */
static bool next_piece(struct reply *r)
{
    if (r->waiting.len != 0) {
        struct buf empty = r->sending;
        r->sending = r->waiting;
        r->waiting = empty;
        return true;
    }
    return in_file(r) == 0 || read_piece(r);
}

/* The source may deliver, and even end, before this returns. */
static void make_room(struct reply *r)
{
    if (!r->is_full || r->ending != REPLY_OPEN)
        return;
    if (kept(r) > r->limit / 2) {
        r->on_taken(r);
        return;
    }
    r->is_full = false;
    r->on_room(r);
}

/* A body that ends with its connection looks whole however it ends, unless the end is a reset. */
static void reset_instead_of_close(struct reply *r)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    h2o_socket_t *sock = r->req->conn->callbacks->get_socket(r->req->conn);
    if (r->is_close_delimited && sock != NULL)
        (void)setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* The response begins with the first piece: now it is known whether there is a length. */
static void start(struct reply *r)
{
    h2o_req_t *req = r->req;
    bool whole = r->ending == REPLY_COMPLETE && in_file(r) == 0 && r->waiting.len == 0;
    if (req->res.content_length == SIZE_MAX && !r->no_body) {
        if (whole)
            req->res.content_length = r->sending.len;
        else
            r->is_close_delimited = req->version < 0x101;
    }
    if (r->is_close_delimited)
        req->http1_is_persistent = 0;
    begin(req, r->door);
    /* the library's encoder takes on chunks for a 200 only, and looks at the status here and nowhere else */
    int status = req->res.status;
    if (req->res.content_length == SIZE_MAX && !r->no_body)
        req->res.status = 200;
    h2o_start_response(req, &r->generator);
    req->res.status = status;
}

static void hand_over(struct reply *r)
{
    bool last = r->ending != REPLY_OPEN && r->waiting.len == 0 && in_file(r) == 0;
    h2o_send_state_t state = !last                         ? H2O_SEND_STATE_IN_PROGRESS
                             : r->ending == REPLY_COMPLETE ? H2O_SEND_STATE_FINAL
                                                           : H2O_SEND_STATE_ERROR;
    h2o_iovec_t piece = {r->sending.base, r->sending.len};
    r->burst_bytes += piece.len;
    r->state = last ? REPLY_DONE : REPLY_SENDING;
    make_room(r);
    if (state == H2O_SEND_STATE_ERROR)
        reset_instead_of_close(r);
    /* the request may be gone when this returns */
    h2o_send(r->req, &piece, piece.len != 0, state);
}

static bool may_end(const struct reply *r)
{
    return r->ending != REPLY_OPEN && r->waiting.len == 0 && in_file(r) == 0;
}

/* HEADED, WAITING or YIELDED: the library has nothing of ours. */
static void step(struct reply *r)
{
    buf_clear(&r->sending);
    if (!next_piece(r)) {
        r->ending = REPLY_CUT;
        r->file_at = r->file_end = 0;
    }
    if (r->sending.len == 0 && !may_end(r)) {
        if (r->state != REPLY_HEADED)
            r->state = REPLY_WAITING;
        make_room(r);
        return;
    }
    if (r->state == REPLY_HEADED)
        start(r);
    hand_over(r);
}

static void on_burst_over(struct deadline *d)
{
    struct reply *r = LIST_ENTRY(d, struct reply, burst);
    assert(r->state == REPLY_YIELDED);
    r->burst_bytes = 0;
    step(r);
}

/* A deadline for now fires in the next turn of the loop: everybody else who is ready comes first. */
static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct reply *r = (struct reply *)generator;
    assert(r->state == REPLY_SENDING && r->req == req);
    if (req->version < 0x200)
        h2o_api_poll_anew(req->conn->callbacks->get_socket(req->conn));
    if (r->burst_bytes >= BURST_MAX) {
        struct loop *loop = &r->door->thread->loop;
        r->state = REPLY_YIELDED;
        heap_arm(&loop->deadlines, &r->burst, loop->now_us);
    } else {
        r->state = REPLY_WAITING;
        step(r);
    }
}

/* the connection broke while a piece was with the library; the guard's dispose follows */
static void on_stop(h2o_generator_t *generator, h2o_req_t *req)
{
    struct reply *r = (struct reply *)generator;
    r->state = REPLY_STOPPED;
}

/* ---- the source's side ------------------------------------------------------------------------------------------ */

void reply_open(struct reply *r, h2o_req_t *req, struct door *door)
{
    r->generator = (h2o_generator_t){on_proceed, on_stop};
    r->req = req;
    r->door = door;
    r->state = REPLY_NONE;
    r->ending = REPLY_OPEN;
    list_init(&r->held_link);
    r->burst = (struct deadline){.on_expired = on_burst_over};
    r->file = -1;
    r->file_at = r->file_end = 0;
    r->limit = (int64_t)PIECE_MAX;
    r->burst_bytes = r->received = 0;
    r->may_spool = r->no_body = r->is_full = r->is_close_delimited = false;
}

/* names and values that are no library tokens get one block of the request's pool together */
void reply_fields(h2o_req_t *req, const struct call_response *head, const struct fields_rules *rules)
{
    size_t bytes = 0, added = rules == NULL ? 0 : rules->nadded;
    for (size_t i = 0; i < head->nfields; i++)
        bytes += head->fields[i].name.len + head->fields[i].value.len;
    char *at = h2o_mem_alloc_pool(&req->pool, bytes + 1);
    h2o_vector_reserve(&req->pool, &req->res.headers, req->res.headers.size + head->nfields + added);
    for (size_t i = 0; i < head->nfields; i++) {
        struct str name = head->fields[i].name, value = head->fields[i].value;
        if (!fields_response_pass(name) || (rules != NULL && fields_rules_drop(rules, name)))
            continue;
        memcpy(at, name.base, name.len);
        name.base = at;
        at += name.len;
        if (value.len != 0)
            memcpy(at, value.base, value.len);
        value.base = at;
        at += value.len;
        req->res.headers.entries[req->res.headers.size++] = reply_header(&req->pool, name, value);
    }
    /* the route's own live as long as the generation, which the exchange holds */
    for (size_t i = 0; i < added; i++)
        req->res.headers.entries[req->res.headers.size++] =
            reply_header(&req->pool, rules->added[i].name, rules->added[i].value);
}

void reply_head(struct reply *r, const struct call_response *head, const struct fields_rules *rules)
{
    assert(r->state == REPLY_NONE);
    h2o_req_t *req = r->req;
    req->res.status = head->status;
    req->res.reason = reply_phrase(head->status);
    r->no_body = status_has_no_body(head->status) || is_head_request(req);
    bool has_length = head->content_length >= 0 && head->status != 204;
    req->res.content_length = has_length ? (size_t)head->content_length : SIZE_MAX;
    reply_fields(req, head, rules);
    r->state = REPLY_HEADED;
}

void reply_drop_head(struct reply *r)
{
    assert(r->state == REPLY_NONE || r->state == REPLY_HEADED);
    if (r->state == REPLY_HEADED) {
        r->req->res.headers = (h2o_headers_t){NULL};
        r->req->res.content_length = SIZE_MAX;
    }
    reply_close(r);
}

/* Bytes that come in one turn go out together at its end. The deadline is for bytes that come outside of a turn. */
static void hold(struct reply *r)
{
    struct door *door = r->door;
    if (list_linked(&r->held_link))
        return;
    if (list_empty(&door->held))
        heap_arm(&door->thread->loop.deadlines, &door->held_flush, door->thread->loop.now_us);
    list_append(&door->held, &r->held_link);
}

static bool library_is_idle(const struct reply *r)
{
    return r->state == REPLY_HEADED || r->state == REPLY_WAITING;
}

/* Much goes at once, before it would have to be spooled; this cannot end the request, since there is more to come. */
static void send_or_hold(struct reply *r)
{
    if (r->waiting.len < SEND_AT) {
        hold(r);
    } else {
        list_unlink(&r->held_link);
        step(r);
    }
}

static bool takes_more(const struct reply *r)
{
    return r->ending == REPLY_OPEN && r->state != REPLY_NONE && r->state < REPLY_DONE;
}

static void end(struct reply *r, enum reply_ending ending)
{
    r->ending = ending;
    list_unlink(&r->held_link);
    if (library_is_idle(r))
        step(r);
}

void reply_cut(struct reply *r)
{
    if (takes_more(r))
        end(r, REPLY_CUT);
}

/* The source is at work on the request, which may go with its answer: the cut waits for the end of the turn. */
static void cut_soon(struct reply *r)
{
    r->ending = REPLY_CUT;
    if (library_is_idle(r))
        hold(r);
}

bool reply_body(struct reply *r, struct str bytes)
{
    if (r->no_body || bytes.len == 0 || !takes_more(r))
        return true;
    r->received += bytes.len;
    if (r->received > r->req->res.content_length || !keep(r, bytes)) {
        cut_soon(r);
        return true;
    }
    if (library_is_idle(r))
        send_or_hold(r);
    r->is_full = kept(r) >= r->limit;
    return !r->is_full;
}

/* What was promised must have come: a client would wait for the rest, or take it from the next answer. */
static bool is_short(const struct reply *r)
{
    return !r->no_body && r->req->res.content_length != SIZE_MAX && r->received != r->req->res.content_length;
}

void reply_complete(struct reply *r)
{
    if (takes_more(r))
        end(r, is_short(r) ? REPLY_CUT : REPLY_COMPLETE);
}

void reply_file(struct reply *r, int fd, uint64_t from, uint64_t len)
{
    assert(r->state == REPLY_HEADED && r->file == -1);
    r->file = fd;
    r->file_at = from;
    r->file_end = r->no_body ? from : from + len;
    r->received = len;
    reply_complete(r);
}

/* A step can make a source deliver more at once; what it holds then waits for the deadline, not for this loop. */
void reply_flush(struct door *door)
{
    if (list_empty(&door->held))
        return;
    heap_disarm(&door->thread->loop.deadlines, &door->held_flush);
    struct list now;
    list_init(&now);
    list_append(&door->held, &now);
    list_unlink(&door->held);
    for (struct list *node; (node = list_pop(&now)) != NULL;) {
        struct reply *r = LIST_ENTRY(node, struct reply, held_link);
        if (library_is_idle(r))
            step(r);
    }
}

static void release_buffer(struct buf *b)
{
    if (b->capacity > KEEP_MAX)
        buf_free(b);
    buf_clear(b);
}

void reply_close(struct reply *r)
{
    struct door *door = r->door;
    list_unlink(&r->held_link);
    if (list_empty(&door->held))
        heap_disarm(&door->thread->loop.deadlines, &door->held_flush);
    heap_disarm(&door->thread->loop.deadlines, &r->burst);
    release_file(r);
    release_buffer(&r->waiting);
    release_buffer(&r->sending);
    if (r->state == REPLY_HEADED)
        r->state = REPLY_NONE;
}
