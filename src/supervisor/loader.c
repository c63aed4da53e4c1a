/* SPDX-License-Identifier: MIT
 *
 * loader: see loader.h. The child has a descriptor for the conf's dump and one for the words, both memory; it is told
 * by its exit status whether the dump is whole.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "supervisor/loader.h"

#define LIMIT_S        30.
#define DUMP_BYTES_MAX (64 * 1024 * 1024)
#define WORD_BYTES_MAX (1024 * 1024)

struct loader {
    struct ev_loop *loop;
    loader_done_fn done;
    void *arg;
    pid_t pid;
    bool late; /* killed for it */
    int dump, words;
    char *path; /* the conf file's */
    ev_child child;
    ev_timer timer;
};

/* ---- in the child ----------------------------------------------------------------------------------------------- */

static void put(int fd, const struct buf *text)
{
    for (size_t at = 0; at < text->len;) {
        ssize_t n = write(fd, text->base + at, text->len - at);
        if (n <= 0)
            _exit(2);
        at += (size_t)n;
    }
}

static _Noreturn void read_conf(const struct loader *l, const struct conf *running)
{
    struct buf dump = {0}, words = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "bulkhead-conf");
    struct conf *conf = conf_load_over(running, running->path, &words);
    if (conf != NULL)
        conf_dump(conf, &dump);
    put(l->words, &words);
    put(l->dump, &dump);
    _exit(conf == NULL ? 1 : 0);
}

/* ---- in the supervisor ------------------------------------------------------------------------------------------ */

static void discard(struct loader *l)
{
    ev_child_stop(l->loop, &l->child);
    ev_timer_stop(l->loop, &l->timer);
    fd_close(&l->dump);
    fd_close(&l->words);
    free(l->path);
    free(l);
}

static char *read_back(int fd, size_t max, size_t *len_r)
{
    *len_r = 0;
    return lseek(fd, 0, SEEK_SET) == -1 ? NULL : fd_read_all(fd, max, len_r);
}

static struct conf *take_conf(const struct loader *l, struct buf *problems)
{
    size_t len;
    char *text = read_back(l->dump, DUMP_BYTES_MAX, &len);
    struct conf *conf = text == NULL ? NULL : conf_parse(l->path, text, len, problems);
    free(text);
    return conf;
}

static void explain(const struct loader *l, int status, struct buf *words)
{
    if (l->late)
        buf_printf(words, "reading the conf took longer than %g s: a host name that the resolver does not answer for?",
                   LIMIT_S);
    else if (WIFSIGNALED(status))
        buf_printf(words, "the process that reads the conf was killed by signal %d", WTERMSIG(status));
    else
        buf_append_z(words, "the process that reads the conf has failed: no memory?");
}

static void on_exit_of_process(struct ev_loop *loop, ev_child *w, int events)
{
    struct loader *l = w->data;
    struct buf words = {0}, problems = {0};
    struct conf *conf = NULL;
    size_t len;
    char *text = read_back(l->words, WORD_BYTES_MAX, &len);
    buf_append(&words, text == NULL ? "" : text, len);
    if (WIFEXITED(w->rstatus) && WEXITSTATUS(w->rstatus) == 0)
        conf = take_conf(l, &problems);
    if (conf == NULL && words.len == 0)
        explain(l, w->rstatus, &words);
    loader_done_fn done = l->done;
    void *arg = l->arg;
    discard(l);
    done(arg, conf, buf_str(&words));
    free(text);
    buf_free(&words);
    buf_free(&problems);
}

static void on_late(struct ev_loop *loop, ev_timer *w, int events)
{
    struct loader *l = w->data;
    l->late = true;
    kill(l->pid, SIGKILL);
}

static bool start(struct loader *l, const struct conf *running)
{
    sigset_t all, before;
    l->dump = memfd_create("bulkhead-next-conf", MFD_CLOEXEC);
    l->words = memfd_create("bulkhead-problems", MFD_CLOEXEC);
    if (l->dump == -1 || l->words == -1)
        return false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    l->pid = fork();
    if (l->pid == 0) {
        for (int s = 1; s < NSIG; s++)
            signal(s, SIG_DFL); /* the loop's handlers would wake the supervisor */
        sigprocmask(SIG_SETMASK, &before, NULL);
        read_conf(l, running);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return l->pid != -1;
}

struct loader *loader_start(struct ev_loop *loop, const struct conf *running, loader_done_fn done, void *arg)
{
    struct loader *l = mem_zalloc(sizeof(*l));
    l->loop = loop;
    l->done = done;
    l->arg = arg;
    l->path = mem_strdup(running->path);
    l->dump = l->words = -1;
    ev_timer_init(&l->timer, on_late, LIMIT_S, 0.);
    ev_child_init(&l->child, on_exit_of_process, 0, 0);
    l->child.data = l->timer.data = l;
    if (!start(l, running)) {
        int problem = errno;
        discard(l);
        errno = problem;
        return NULL;
    }
    ev_child_set(&l->child, l->pid, 0);
    ev_child_start(loop, &l->child);
    ev_timer_start(loop, &l->timer);
    return l;
}

void loader_stop(struct loader **loader)
{
    if (*loader == NULL)
        return;
    kill((*loader)->pid, SIGKILL); /* reaped by the loop as any orphan */
    discard(*loader);
    *loader = NULL;
}
