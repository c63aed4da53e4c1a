/* SPDX-License-Identifier: MIT
 *
 * rig: what tests of executors stand on: a real event loop of the library without the front, calls whose sink writes
 * down what it is told, and backends: a thread each behind a Unix or TCP socket, running a script in plain blocking C.
 * Every wait is bounded by RIG_WAIT_S and ends by an event. The clock of a loop can be moved forward.
 */
#ifndef BULKHEAD_TESTS_UNIT_RIG_H
#define BULKHEAD_TESTS_UNIT_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "upstream/h2o_api.h"

#include "base/buf.h"
#include "call/call.h"
#include "executor/executor.h"

#define RIG_WAIT_S 10

/* ---- a loop ----------------------------------------------------------------------------------------------------- */

struct rig {
    struct loop loop;
    h2o_context_t context; /* only .loop is used */
    pthread_mutex_t lock;
    struct list tasks;
    h2o_socket_t *bell;
    int64_t skew_us; /* added to the clock */
};

void rig_init(struct rig *r, unsigned id);
void rig_destroy(struct rig *r);
/* one turn; waits at most so long for something to happen */
void rig_turn(struct rig *r, int wait_ms);
/* turns the loop until *flag != 0; fails the test when it stays 0 */
void rig_until(struct rig *r, const int *flag);
/* a few turns, to see that nothing happens */
void rig_settle(struct rig *r);
void rig_skip(struct rig *r, int64_t us);

/* ---- a call and its sink ---------------------------------------------------------------------------------------- */

enum probe_moment { PROBE_NEVER, PROBE_AT_HEAD, PROBE_AT_BODY, PROBE_AT_END };

struct probe {
    struct call call; /* first */
    struct executor *ex;
    struct call_field fields[1];
    /* what the sink was told */
    int heads, ends, dones;
    int status;
    int64_t content_length;
    struct buf body, head_text; /* head_text: "name: value\n"… */
    enum reason reason;
    char detail[256];
    /* how it behaves */
    size_t room;                   /* on_body returns false once the body is longer */
    enum probe_moment abandons_at; /* calls abandon from inside this callback */
    enum executor_why abandons_why;
};

void probe_init(struct probe *p, struct rig *r, struct executor *ex, const char *method, const char *path);
void probe_set_body(struct probe *p, const char *bytes, size_t len);
void probe_start(struct probe *p);
void probe_abandon(struct probe *p, enum executor_why why);
/* starts it and runs the loop until on_done */
void probe_run(struct rig *r, struct probe *p);
void probe_free(struct probe *p);
/* on_done came, after exactly one on_end with this reason */
void probe_expect(const struct probe *p, enum reason reason);

/* ---- a backend -------------------------------------------------------------------------------------------------- */

struct backend;
typedef void (*backend_script)(struct backend *b);

struct backend {
    pthread_t thread;
    int listen_fd;
    struct sockaddr_storage address;
    socklen_t address_len;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    backend_script script;
    const void *arg;
    atomic_int accepted;
    int pipe_r, pipe_w; /* the test says go on */
    struct buf request; /* what backend_read_request read last */
};

/* listens on a Unix socket of its own, then runs the script (NULL: none) on a thread of its own */
void backend_start(struct backend *b, backend_script script);
void backend_start_tcp(struct backend *b, backend_script script);
/* runs a script on one that was started without */
void backend_run(struct backend *b, backend_script script);
/* waits for the script's end and closes */
void backend_stop(struct backend *b);
/* for scripts */
int backend_accept(struct backend *b);
/* reads a head and the body that its Content-Length announces; false at end of file */
bool backend_read_request(struct backend *b, int fd);
void backend_say(int fd, const char *text);
/* until end of file or error; returns how many bytes came */
size_t backend_drain(int fd);
void backend_wait_go(struct backend *b);
/* for tests */
void backend_go(struct backend *b);

#endif
