/* SPDX-License-Identifier: MIT
 *
 * A front that serves nobody: speaks with the supervisor as bulkhead-front does and writes down what it is told, a line
 * a message, into the file that FAKE_FRONT_LOG names. FAKE_FRONT says how it is to misbehave:
 *
 *   fail       answers the conf with WIRE_FAILED       exit       ends with status 3 before it is ready
 *   mute       sends no heartbeat                       stubborn   does not end when it is to drain
 *   silent     does not answer for its status           garbage    sends bytes that are no message, once it is ready
 *   lie        answers for its status with no JSON      late       never gets ready
 *   refuse reload   answers another conf with WIRE_FAILED
 *   die on reload   ends with status 3 when it gets another conf
 *   keep       gives no worker back
 *
 * SIGUSR2 makes it ask for the worker that was granted last to be killed.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "wire/control.h"
#include "wire/heritage.h"

#define BEAT_MS 50

static FILE *notes;
static struct wire_control last_granted;
static volatile sig_atomic_t kill_wanted;
static bool is_ready;

static bool is(const char *how)
{
    const char *mode = getenv("FAKE_FRONT");
    return mode != NULL && strcmp(mode, how) == 0;
}

static void send_message(const struct wire_control *m, int fd)
{
    char bytes[WIRE_CONTROL_MAX];
    size_t len = wire_control_encode(m, bytes, sizeof(bytes));
    if (fd_send_message(HERITAGE_FRONT_CONTROL_FD, bytes, len, &fd, fd == -1 ? 0 : 1) == -1)
        _exit(4);
}

static void note(const struct wire_control *m, size_t nfds)
{
    fprintf(notes, "%ld %s backend=%u slot=%u generation=%u pid=%d count=%u fds=%zu text=%.*s\n", (long)getpid(),
            wire_control_name(m->type), m->backend, m->slot, m->generation, m->pid, m->count, nfds, STR_ARG(m->text));
    fflush(notes);
}

static void get_ready(void)
{
    if (is("exit"))
        _exit(3);
    if (is("late"))
        return;
    if (is("fail")) {
        send_message(&(struct wire_control){.type = WIRE_FAILED, .text = STR("told to fail")}, -1);
        pause();
    }
    is_ready = true;
    send_message(&(struct wire_control){.type = WIRE_READY, .generation = 1}, -1);
    if (is("garbage"))
        fd_send_message(HERITAGE_FRONT_CONTROL_FD, "garbage", 7, NULL, 0);
}

static void answer_status(uint32_t number)
{
    const char *text = is("lie") ? "{\"backends\":" : "{\"backends\":[],\n\"requests\":42}";
    int fd = fd_memory("status", text, strlen(text));
    send_message(&(struct wire_control){.type = WIRE_STATUS, .count = number}, fd);
    fd_close(&fd);
}

/* to another conf */
static void go_over(const struct wire_control *m)
{
    struct wire_control answer = {.type = m->type == WIRE_COMMIT ? WIRE_READY : WIRE_PREPARED,
                                  .generation = m->generation};
    if (is("die on reload"))
        _exit(3);
    if (is("refuse reload")) {
        answer.type = WIRE_FAILED;
        answer.text = STR("told to refuse");
    }
    send_message(&answer, -1);
}

static void obey(const struct wire_control *m)
{
    if (m->type == WIRE_CONF_END && !is_ready)
        get_ready();
    else if (m->type == WIRE_CONF_END || m->type == WIRE_COMMIT)
        go_over(m);
    else if (m->type == WIRE_GRANT)
        last_granted = (struct wire_control){
            .type = WIRE_KILL, .backend = m->backend, .slot = m->slot, .generation = m->generation};
    else if (m->type == WIRE_RECALL && !is("keep"))
        send_message(
            &(struct wire_control){
                .type = WIRE_RETURN, .backend = m->backend, .slot = m->slot, .generation = m->generation, .count = 7},
            -1);
    else if (m->type == WIRE_STATUS_ASK && !is("silent"))
        answer_status(m->count);
    else if (m->type == WIRE_DRAIN && !is("stubborn"))
        _exit(0);
}

static void receive(void)
{
    char bytes[WIRE_CONTROL_MAX];
    int fds[FD_PASS_MAX];
    size_t nfds;
    struct wire_control m;
    ssize_t len = fd_receive_message(HERITAGE_FRONT_CONTROL_FD, bytes, sizeof(bytes), fds, &nfds);
    if (len == 0)
        _exit(0);
    if (len < 0 || !wire_control_decode(&m, bytes, (size_t)len))
        _exit(5);
    note(&m, nfds);
    obey(&m);
    while (nfds > 0)
        fd_close(&fds[--nfds]);
}

static void on_signal(int signal)
{
    kill_wanted = 1;
}

static void send_kill(void)
{
    kill_wanted = 0;
    last_granted.text = STR("the test wants it");
    send_message(&last_granted, -1);
}

int main(void)
{
    const char *path = getenv("FAKE_FRONT_LOG");
    struct pollfd p = {.fd = HERITAGE_FRONT_CONTROL_FD, .events = POLLIN};
    notes = fopen(path == NULL ? "/dev/null" : path, "ae");
    if (notes == NULL)
        return 1;
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = on_signal}, NULL);
    for (;;) {
        if (poll(&p, 1, BEAT_MS) > 0)
            receive();
        if (kill_wanted)
            send_kill();
        if (!is("mute"))
            send_message(&(struct wire_control){.type = WIRE_HEARTBEAT}, -1);
    }
}
