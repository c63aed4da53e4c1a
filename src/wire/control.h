/* SPDX-License-Identifier: MIT
 *
 * control: the messages between front and supervisor, over a SOCK_SEQPACKET socketpair: one datagram a message, a fixed
 * head and at most WIRE_CONTROL_MAX bytes of payload; descriptors travel along (SCM_RIGHTS). Both ends check version, type and lengths
 * and treat a violation as the death of the other side. No I/O here: encode and decode only.
 */
#ifndef BULKHEAD_WIRE_CONTROL_H
#define BULKHEAD_WIRE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define WIRE_CONTROL_VERSION 1
#define WIRE_CONTROL_MAX 8192

enum wire_control_type {
    /* supervisor → front */
    WIRE_CONF = 1,    /* fd[0]: memfd with the effective conf (conf_dump); generation in `generation` */
    WIRE_LISTENER,    /* fd[0]: listening socket; `slot`: index in conf.listeners, or WIRE_SLOT_ADMIN */
    WIRE_BACKEND,     /* behind WIRE_CONF, one for each backend: `slot`: its index in conf.backends; `backend`: the id that names it in
                       * all other messages. The id of a backend that is served already: it goes on. */
    WIRE_CONF_END,    /* all of the conf has been sent: build it, then answer WIRE_READY or WIRE_FAILED; while another one is
                       * in force: WIRE_PREPARED or WIRE_FAILED */
    WIRE_COMMIT,      /* the conf that was prepared is to be in force, then WIRE_READY; generation */
    WIRE_ABORT,       /* it is to be forgotten, or not even to be built; generation */
    WIRE_GRANT,       /* worker ready and leased: backend, slot, generation, pid, count (its concurrency), text: its socket's path */
    WIRE_LOST,        /* worker gone (or being stopped): backend, slot, generation, text: why. Never used again. */
    WIRE_WORKER,      /* for the status page only: backend, slot, generation, pid, text: "starting" "ready" "stopping" "backoff"; count: restarts */
    WIRE_DOWN,        /* count 1: no worker of this backend can be started (text: why); 0: it is coming back */
    WIRE_STATUS_ASK,  /* count: request number */
    WIRE_DRAIN,       /* finish and exit within `at_us` from now; count: enum wire_drain */
    WIRE_ADMIN_CLIENT,/* fd[0]: a client of the control socket that speaks HTTP; nothing has been read from it */
    WIRE_RECALL,      /* give it no new call, and return it when its calls have ended: backend, slot, generation */
    WIRE_LOG_LEVEL,   /* count: enum log_level */
    WIRE_PAUSE,       /* backend; count 1: its calls are held, at_us: for how long each (-1: their queue_timeout), and WIRE_QUIET is
                       * to come; 0: they are let go */
    WIRE_RESIZE,      /* backend, count: the most calls at a time, from now on */
    WIRE_LEAVE,       /* a drain is to come: everything is served, but /readyz says no */
    WIRE_REOPEN,      /* log file opened anew: fd[0], `slot`: WIRE_LOG_ACCESS or WIRE_LOG_OWN; only of those that are files */
    /* front → supervisor */
    WIRE_READY = 64,  /* serving this generation */
    WIRE_FAILED,      /* text: why the conf cannot be put in force */
    WIRE_PREPARED,    /* it can be: generation */
    WIRE_RETIRED,     /* nothing of this front will use this backend any more: backend */
    WIRE_HEARTBEAT,   /* every 250 ms while all loops turn */
    WIRE_RETURN,      /* lease given back after WIRE_RECALL: backend, slot, generation, count: calls served */
    WIRE_SPENT,       /* it has served its max_requests, and goes on until it is recalled: as WIRE_RETURN */
    WIRE_KILL,        /* kill and replace: backend, slot, generation, text: why */
    WIRE_STUCK,       /* a call has run for warn_after: backend, slot, generation, count: its age in ms, at_us: CPU time of the process when
                       * it began (-1: not known), text: its id, a line feed, its request line. Nothing is to be done. */
    WIRE_QUIET,       /* no call runs on a paused backend any more: backend; once for each WIRE_PAUSE at most */
    WIRE_STATUS,      /* fd[0]: memfd with the front's status JSON; count: request number */
    WIRE_DRAINED,
    WIRE_CONTROL_TYPE_END
};
/* What follows the front that drains: WebSockets are told by their close code. */
enum wire_drain { WIRE_DRAIN_STOP, WIRE_DRAIN_RESTART };
#define WIRE_SLOT_ADMIN 0xffffffffu
#define WIRE_LOG_ACCESS 0
#define WIRE_LOG_OWN    1 /* where fd 2 goes */

struct wire_control {
    uint16_t type;
    uint32_t backend; /* its id: WIRE_BACKEND */
    uint32_t slot;
    uint32_t generation; /* of the worker, or of the conf for WIRE_CONF/READY */
    int32_t pid;
    uint32_t count;
    int64_t at_us;
    struct str text; /* borrowed from the datagram when decoded */
};

/* returns the bytes written, 0 when the text does not fit */
size_t wire_control_encode(const struct wire_control *m, char *out, size_t capacity);
bool wire_control_decode(struct wire_control *m_r, const char *bytes, size_t len);
const char *wire_control_name(unsigned type);

#endif
