/* SPDX-License-Identifier: MIT
 *
 * cgi: one CGI program per call. Objects: `cgi` is the backend's setting, shared by all calls and read-only; `cgi_run`
 * is one call: the script (cgi_script.c), its process (cgi_process.c), and the output read so far, whose header
 * cgi_head.c reads. Built on <bulkhead/handler.h> alone, so that a CGI program is served, limited, cancelled and logged
 * like any module's call. The program's stderr is this process's. Any thread, several at once.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "handler/cgi.h"
#include "handler/cgi_environment.h"
#include "handler/cgi_head.h"
#include "handler/cgi_process.h"
#include "handler/cgi_script.h"

/* the header and the body's beginning; one read of a full pipe */
#define OUTPUT_BYTES (CGI_HEAD_MAX_BYTES + 1)

struct cgi {
    struct cgi_place place;
    char *root; /* NULL: none */
};

struct cgi_run {
    struct bulkhead_call *call;
    const char *file; /* in messages */
    struct cgi_process process;
    char *output; /* OUTPUT_BYTES, in the call's memory */
    size_t len;
};

void *cgi_create(const char *program, const char *root, char *error, size_t error_size)
{
    struct cgi *cgi = mem_zalloc(sizeof(*cgi));
    if (!cgi_place_open(&cgi->place, program, error, error_size)) {
        mem_free(&cgi);
        return NULL;
    }
    cgi->root = root == NULL ? NULL : mem_strdup(root);
    return cgi;
}

static void cgi_close(void *state)
{
    struct cgi *cgi = state;
    cgi_place_close(&cgi->place);
    mem_free(&cgi->root);
    free(cgi);
}

/* ---- the program's output --------------------------------------------------------------------------------------- */

/* bytes read behind `len`; 0 at the end; -1: the call has failed */
static ssize_t read_more(struct cgi_run *run)
{
    ssize_t n = cgi_process_read(&run->process, run->call, run->output + run->len, OUTPUT_BYTES - run->len);
    if (n < 0 && bulkhead_cancelled(run->call))
        bulkhead_failed(run->call, "cgi: %s: stopped: its time is over or its client has left", run->file);
    else if (n < 0)
        bulkhead_failed(run->call, "cgi: %s: cannot read its output: %s", run->file, strerror(errno));
    else
        run->len += (size_t)n;
    return n;
}

/* The header's length; 0: the call has failed. */
static size_t read_head(struct cgi_run *run)
{
    size_t scanned = 0, end;
    while ((end = cgi_head_find_end(run->output, run->len, &scanned)) == 0) {
        if (run->len == OUTPUT_BYTES) {
            bulkhead_failed(run->call, "cgi: %s: its header is longer than %d bytes", run->file, CGI_HEAD_MAX_BYTES);
            return 0;
        }
        ssize_t n = read_more(run);
        if (n == 0)
            bulkhead_failed(run->call, "cgi: %s: ended before its header did", run->file);
        if (n <= 0)
            return 0;
    }
    return end;
}

static bool answer_head(struct cgi_run *run, size_t len)
{
    struct bulkhead_call *call = run->call;
    struct cgi_head *head = bulkhead_alloc(call, sizeof(*head));
    if (!cgi_head_parse(head, run->output, len)) {
        bulkhead_failed(call, "cgi: %s: %s", run->file, head->why);
        return false;
    }
    bool ok = bulkhead_status(call, head->status);
    for (size_t i = 0; ok && i < head->nfields; i++) {
        const struct cgi_field *f = &head->fields[i];
        ok = bulkhead_add_header(call, bulkhead_format(call, "%.*s", STR_ARG(f->name)),
                                 bulkhead_format(call, "%.*s", STR_ARG(f->value)));
    }
    return ok && (head->content_length == -1 || bulkhead_content_length(call, (uint64_t)head->content_length));
}

static bool answer_body(struct cgi_run *run, size_t head_len)
{
    bool wanted = bulkhead_write(run->call, run->output + head_len, run->len - head_len);
    while (wanted) {
        run->len = 0;
        ssize_t n = read_more(run);
        if (n <= 0)
            return n == 0;
        wanted = bulkhead_write(run->call, run->output, (size_t)n);
    }
    return false;
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

/* A program that a signal has ended did not get to the end of its answer. Its exit status is its own business. */
static int judge_end(struct cgi_run *run, int status, bool answered)
{
    if (answered && WIFEXITED(status)) {
        if (WEXITSTATUS(status) != 0)
            bulkhead_log(run->call, BULKHEAD_WARNING, "cgi: %s: exit status %d", run->file, WEXITSTATUS(status));
        return 0;
    }
    if (answered)
        return bulkhead_failed(run->call, "cgi: %s: ended by signal %d", run->file, WTERMSIG(status));
    return -1;
}

static int run_script(struct bulkhead_call *call, const struct cgi_script *script, const char *root)
{
    struct cgi_command command = {script->file, script->directory, cgi_environment_build(call, script, root)};
    struct cgi_run run = {.call = call, .file = script->file, .output = bulkhead_alloc(call, OUTPUT_BYTES)};
    size_t body_len;
    const char *body = bulkhead_body(call, &body_len);
    if (!cgi_process_start(&run.process, &command, (struct str){(char *)body, body_len}))
        return bulkhead_failed(call, "cgi: cannot run %s: %s", script->file, strerror(errno));
    size_t head_len = read_head(&run);
    bool answered = head_len != 0 && answer_head(&run, head_len) && answer_body(&run, head_len) &&
                    cgi_process_wait(&run.process, call);
    return judge_end(&run, cgi_process_finish(&run.process), answered);
}

static int refuse(struct bulkhead_call *call, int status)
{
    const char *text = status == 404 ? "no such program\n" : "not a program that may be run\n";
    return bulkhead_answer(call, status, "text/plain", text, strlen(text));
}

static int cgi_handle(struct bulkhead_call *call, void *state)
{
    const struct cgi *cgi = state;
    struct cgi_script script;
    int status = cgi_script_find(&script, &cgi->place, bulkhead_path(call));
    if (status != 200)
        return refuse(call, status);
    int result = run_script(call, &script, cgi->root);
    cgi_script_free(&script);
    return result;
}

const struct bulkhead_handler cgi_handler = {
    .abi_version = BULKHEAD_ABI_VERSION,
    .size = sizeof(struct bulkhead_handler),
    .name = "cgi",
    .handle = cgi_handle,
    .close = cgi_close,
};
