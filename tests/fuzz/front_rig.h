/* SPDX-License-Identifier: MIT
 *
 * front_rig: the front in one thread for the fuzz targets: the library, guard, conn, listener, sweep, router, exchange,
 * gate and reply as they are, in a loop that the target turns by hand, on a clock that moves only when it says so. There
 * is no supervisor, no network (listeners are Unix sockets without a name) and no backend process (stub.h). It takes the
 * place of front/thread.c and of the access log's writer, whose lines it checks.
 *
 * Up to FRONT_RIG_CLIENTS connections at a time. What the front sends to each is kept and checked when it ends:
 * HTTP/1 answers must be well-formed and as many as there were requests at most, HTTP/2 must be whole frames. Between
 * two inputs nothing may be left: no connection, call, place in a gate, deadline or descriptor.
 */
#ifndef BULKHEAD_TESTS_FUZZ_FRONT_RIG_H
#define BULKHEAD_TESTS_FUZZ_FRONT_RIG_H

#include "fuzz.h"

#define FRONT_RIG_CLIENTS 5

enum front_rig_door { FRONT_RIG_HTTP1, FRONT_RIG_PROXY, FRONT_RIG_HTTP2, FRONT_RIG_ADMIN, FRONT_RIG_DOOR_COUNT };

/* Before each input. The first one builds everything. */
void front_rig_begin(void);
/* Opens a connection and makes it the one that the following are about. false: FRONT_RIG_CLIENTS have been opened. */
bool front_rig_connect(enum front_rig_door door);
/* the number-th connection that was opened; no-op when there is none */
void front_rig_select(unsigned number);
/* What the front does not take within some turns of the loop is lost, as it is closing or busy with a request. */
void front_rig_send(const void *bytes, size_t len);
void front_rig_half_close(void);
void front_rig_close(void);
/* whether the client takes what is sent to it; it does at first */
void front_rig_read(bool reads);
void front_rig_turn(void);
/* the time of the next deadline comes */
void front_rig_wait(void);
/* After each input: the clients leave, all work ends, and what was promised is checked. */
void front_rig_end(void);

#endif
