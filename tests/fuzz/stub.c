/* SPDX-License-Identifier: MIT
 *
 * stub: see stub.h.
 */
#include "config.h"

#include <stdlib.h>

#include "fuzz.h"
#include "stub.h"

#include "base/mem.h"

#define LENGTH      64 /* of the answer that says one */
#define LETTERS_MAX 48
#define WHILE_US    50000

struct stub {
    struct executor super;
    unsigned busy;
};

struct job {
    struct stub *stub;
    struct call *call;
    struct deadline deadline;
    char letters[LETTERS_MAX + 1];
    const char *at;
    bool is_head_request, ends_at_once, outlives;
    bool has_head, has_no_body, is_full, is_abandoned, has_ended, is_inside;
    int64_t left; /* of the length that the head said; -1: it said none */
    uint64_t checksum;
};

/* ---- what the answer is made of --------------------------------------------------------------------------------- */

static uint64_t checksum(uint64_t sum, struct str s)
{
    for (size_t i = 0; i != s.len; i++)
        sum = sum * 31 + (unsigned char)s.base[i];
    return sum;
}

/* everything that may be read is read, so that a sanitizer sees what has been freed */
static void read_request(struct job *job)
{
    const struct call_request *r = &job->call->request;
    uint64_t sum = checksum(checksum(0, r->method), r->path);
    for (size_t i = 0; !job->call->detached && i != r->nfields; i++)
        sum = checksum(checksum(sum, r->fields[i].name), r->fields[i].value);
    job->checksum = checksum(sum, call_body_take(job->call, 100));
}

static void send_head(struct job *job, char letter)
{
    static const struct call_field fields[] = {
        {{(char *)"content-type", 12}, {(char *)"text/plain", 10}},
        {{(char *)"x-empty", 7}, {(char *)"", 0}},
        {{(char *)"set-cookie", 10}, {(char *)"a=b", 3}},
    };
    struct call_response head = {.status = letter == 'n'   ? 204
                                           : letter == 'm' ? 304
                                                           : 200,
                                 .fields = fields,
                                 .nfields = sizeof(fields) / sizeof(fields[0]),
                                 .content_length = letter == 'l' ? LENGTH : -1};
    if (job->has_head)
        return;
    job->has_head = true;
    job->has_no_body = job->is_head_request || head.status != 200;
    job->left = job->has_no_body ? 0 : head.content_length;
    job->call->sink->on_head(job->call, &head);
}

static void send_body(struct job *job, size_t len)
{
    static char bytes[40000];
    if (!job->has_head || job->has_no_body)
        return;
    if (job->left != -1 && len > (size_t)job->left)
        len = (size_t)job->left;
    if (job->left != -1)
        job->left -= (int64_t)len;
    if (len != 0)
        job->is_full = !job->call->sink->on_body(job->call, (struct str){bytes, len});
}

/* ---- the job ---------------------------------------------------------------------------------------------------- */

static void later(struct job *job, int64_t us)
{
    heap_arm(&job->call->loop->deadlines, &job->deadline, job->call->loop->now_us + us);
}

static void finish(struct job *job)
{
    struct call *call = job->call;
    heap_disarm(&call->loop->deadlines, &job->deadline);
    FUZZ_ASSERT(job->stub->busy != 0);
    job->stub->busy--;
    free(job);
    call->sink->on_done(call);
}

static void end(struct job *job, bool failed)
{
    bool is_short = job->has_head && !job->has_no_body && job->left > 0;
    failed = failed || is_short || !job->has_head;
    job->has_ended = true;
    job->call->sink->on_end(job->call, failed ? REASON_UPSTREAM_RESET : REASON_NONE, failed ? "stub" : NULL);
}

/* true: there may be more to do in this turn */
static bool act(struct job *job, char letter)
{
    switch (letter) {
    case 'h':
    case 'l':
    case 'n':
    case 'm':
        send_head(job, letter);
        return true;
    case 'b':
        send_body(job, 16);
        return true;
    case 'B':
        send_body(job, 40000);
        return true;
    case '.':
        later(job, 0);
        return false;
    case ',':
        later(job, WHILE_US);
        return false;
    case 'f':
        end(job, true);
        return true;
    case 'z':
        return false;
    default:
        return true;
    }
}

/* The sink's callbacks may call abandon and resume, which look at is_inside and leave the rest to us. */
static void on_turn(struct deadline *d)
{
    struct job *job = LIST_ENTRY(d, struct job, deadline);
    read_request(job);
    job->is_inside = true;
    bool more = true;
    while (more && *job->at != '\0' && !job->is_full && !job->is_abandoned && !job->has_ended)
        more = act(job, *job->at++);
    if (more && *job->at == '\0' && !job->is_full && !job->is_abandoned && !job->has_ended) {
        end(job, false);
        if (job->outlives && !job->is_abandoned) {
            later(job, WHILE_US);
            job->is_inside = false;
            return;
        }
    }
    job->is_inside = false;
    if (job->is_abandoned || job->has_ended)
        finish(job);
}

static void stub_start(struct executor *ex, struct call *call)
{
    struct stub *stub = (struct stub *)ex;
    struct job *job = mem_zalloc(sizeof(*job));
    struct str path = call->request.path;
    *job = (struct job){.stub = stub, .call = call, .deadline = {.on_expired = on_turn}, .left = -1};
    size_t n = path.len < LETTERS_MAX ? path.len : LETTERS_MAX;
    memcpy(job->letters, path.base, n);
    job->at = job->letters;
    job->is_head_request = str_eq(call->request.method, STR("HEAD"));
    job->ends_at_once = strchr(job->letters, 'i') != NULL;
    job->outlives = strchr(job->letters, 'k') != NULL;
    call->executor_data = job;
    call->attempts++;
    stub->busy++;
    later(job, 0);
}

static void stub_abandon(struct executor *ex, struct call *call, enum executor_why why)
{
    struct job *job = call->executor_data;
    (void)ex;
    if (job->is_abandoned && why != EXECUTOR_DEADLINE)
        return;
    job->is_abandoned = true;
    if (job->is_inside)
        return; /* on_turn finishes */
    if (job->ends_at_once)
        finish(job);
    else
        later(job, job->outlives && why == EXECUTOR_CLIENT_LEFT ? WHILE_US : 0);
}

static void stub_resume(struct executor *ex, struct call *call)
{
    struct job *job = call->executor_data;
    (void)ex;
    FUZZ_ASSERT(job->is_full || job->is_abandoned || job->has_ended);
    job->is_full = false;
    if (!job->is_inside && !job->is_abandoned && !job->has_ended)
        later(job, 0);
}

static void stub_visit(struct executor *ex, executor_visit_fn fn, void *arg)
{
    const struct stub *stub = (struct stub *)ex;
    struct executor_row row = {.busy = stub->busy, .state = stub->busy != 0 ? "busy" : "idle"};
    fn(arg, &row);
}

static void stub_free(struct executor *ex)
{
    struct stub *stub = (struct stub *)ex;
    FUZZ_ASSERT(stub->busy == 0);
    free(stub);
}

static const struct executor_ops ops = {
    .start = stub_start, .abandon = stub_abandon, .resume = stub_resume, .visit = stub_visit, .free = stub_free};

struct executor *stub_create(const char *backend)
{
    struct stub *stub = mem_zalloc(sizeof(*stub));
    stub->super = (struct executor){.ops = &ops, .backend = backend, .run = CALL_CLASS_LOOP};
    return &stub->super;
}
