/* SPDX-License-Identifier: MIT
 *
 * inloop: a call becomes a job; the job's deadline, armed for at once, runs it in the next turn of the loop, so that
 * nothing happens before start returns and no lock or system call is spent on it. The handler runs to its end in one
 * go; what the sink has no room for meanwhile is held and delivered as it makes room. A job belongs to the loop of its
 * call.
 */
#include "config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "executor/inloop.h"
#include "handler/module.h"

#define PIECE_BYTES (64 * 1024)
#define ERROR_BYTES 256

_Static_assert(sizeof(struct module_field) == sizeof(struct call_field) &&
                   offsetof(struct module_field, value) == offsetof(struct call_field, value),
               "fields of modules and calls differ");

struct inloop {
    struct executor super;
    struct module *module; /* owned */
    _Atomic unsigned busy;
    _Atomic uint64_t calls;
};

struct job {
    struct inloop *in;
    struct call *call;
    struct deadline deadline; /* the next turn: begin, go on delivering, or end */
    bool begun;               /* the handler was called */
    bool inside;              /* on_turn is on the stack, and looks at what callbacks change when they return */
    bool failed;
    bool abandoned;
    bool full;       /* the sink has no room */
    struct buf held; /* body that the sink had no room for */
    size_t held_sent;
    char error[ERROR_BYTES];
};

static void go_on_soon(struct job *job)
{
    heap_arm(&job->call->loop->deadlines, &job->deadline, job->call->loop->now_us);
}

/* ---- the handler's answer --------------------------------------------------------------------------------------- */

static bool on_head(void *arg, int status, const struct module_field *fields, size_t nfields, int64_t content_length)
{
    struct job *job = arg;
    struct call_response head = {
        .status = status,
        .fields = (const struct call_field *)fields,
        .nfields = nfields,
        .content_length = content_length,
    };
    if (!job->abandoned)
        job->call->sink->on_head(job->call, &head);
    return !job->abandoned;
}

static bool on_body(void *arg, struct str bytes)
{
    struct job *job = arg;
    if (job->abandoned)
        return false;
    if (bytes.len == 0)
        return true;
    if (job->full)
        buf_append_str(&job->held, bytes);
    else
        job->full = !job->call->sink->on_body(job->call, bytes);
    return !job->abandoned;
}

static bool is_cancelled(void *arg)
{
    const struct job *job = arg;
    return job->abandoned || clock_us() >= job->call->deadline_us;
}

static void run_handler(struct job *job)
{
    const struct call_request *r = &job->call->request;
    const struct module_request request = {
        .kind = r->kind,
        .opcode = r->ws_opcode,
        .close_code = r->ws_code,
        .connection = r->connection,
        .method = r->method,
        .path = r->path,
        .query = r->query,
        .scheme = r->scheme,
        .authority = r->authority,
        .peer = r->peer,
        .id = r->id,
        .fields = (const struct module_field *)r->fields,
        .nfields = r->nfields,
        .body = r->body,
        .deadline_us = job->call->deadline_us,
        .cancelled = is_cancelled,
        .arg = job,
    };
    const struct module_writer writer = {.head = on_head, .body = on_body, .arg = job};
    job->failed = !module_handle(job->in->module, &request, &writer, job->error, sizeof(job->error));
}

/* ---- the job ---------------------------------------------------------------------------------------------------- */

/* true: nothing is left to deliver */
static bool deliver_held(struct job *job)
{
    while (!job->full && !job->abandoned && job->held_sent < job->held.len) {
        struct str piece = {job->held.base + job->held_sent, job->held.len - job->held_sent};
        if (piece.len > PIECE_BYTES)
            piece.len = PIECE_BYTES;
        job->held_sent += piece.len;
        job->full = !job->call->sink->on_body(job->call, piece);
    }
    return job->held_sent == job->held.len;
}

static void finish(struct job *job)
{
    struct call *call = job->call;
    atomic_fetch_sub_explicit(&job->in->busy, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->in->calls, 1, memory_order_relaxed);
    buf_free(&job->held);
    free(job);
    call->sink->on_done(call);
}

static void on_turn(struct deadline *d)
{
    struct job *job = (struct job *)((char *)d - offsetof(struct job, deadline));
    job->inside = true;
    if (!job->begun && !job->abandoned) {
        job->begun = true;
        run_handler(job);
    }
    if (!job->abandoned && !job->failed && !deliver_held(job) && !job->abandoned) {
        job->inside = false;
        return; /* until inloop_resume or inloop_abandon */
    }
    if (!job->abandoned) {
        struct call *call = job->call;
        call->sink->on_end(call, job->failed ? REASON_HANDLER_FAILED : REASON_NONE, job->failed ? job->error : NULL);
    }
    finish(job);
}

static void inloop_start(struct executor *ex, struct call *call)
{
    struct job *job = mem_zalloc(sizeof(*job));
    job->in = (struct inloop *)ex;
    job->call = call;
    job->deadline.on_expired = on_turn;
    call->executor_data = job;
    call->worker_pid = 0;
    call->attempts++;
    atomic_fetch_add_explicit(&job->in->busy, 1, memory_order_relaxed);
    go_on_soon(job);
}

/* A handler that runs right now (its sink called us) is let to its end; it can ask whether it is cancelled. */
static void inloop_abandon(struct executor *ex, struct call *call, enum executor_why why)
{
    struct job *job = call->executor_data;
    (void)ex;
    (void)why;
    if (job->abandoned)
        return;
    job->abandoned = true;
    if (!job->inside)
        go_on_soon(job);
}

static void inloop_resume(struct executor *ex, struct call *call)
{
    struct job *job = call->executor_data;
    (void)ex;
    job->full = false;
    if (job->begun && !job->inside)
        go_on_soon(job);
}

static void inloop_visit(struct executor *ex, executor_visit_fn fn, void *arg)
{
    struct inloop *in = (struct inloop *)ex;
    struct executor_row row = {.slot = 0};
    row.busy = atomic_load(&in->busy);
    row.calls = atomic_load(&in->calls);
    row.state = row.busy != 0 ? "busy" : "idle";
    fn(arg, &row);
}

/* No call may be left. */
static void inloop_free(struct executor *ex)
{
    struct inloop *in = (struct inloop *)ex;
    module_close(&in->module);
    free(in);
}

static const struct executor_ops inloop_ops = {
    .start = inloop_start,
    .abandon = inloop_abandon,
    .resume = inloop_resume,
    .visit = inloop_visit,
    .free = inloop_free,
};

struct executor *inloop_create(const char *backend, unsigned limit, struct module *module)
{
    struct inloop *in = mem_zalloc(sizeof(*in));
    (void)limit; /* the gate's to keep; a loop has as many slots as it is told */
    in->super = (struct executor){.ops = &inloop_ops, .backend = backend, .run = CALL_CLASS_LOOP};
    in->module = module;
    return &in->super;
}
