/* SPDX-License-Identifier: MIT
 *
 * ws_push: the operator's side of the WebSockets that are open: the admin requests
 *
 *     GET /ws                lists them, newest first
 *     POST /ws/ID            sends the body to one, as a message; with close=CODE closes it behind that
 *     POST /ws?route=NAME    the same, to all of a route
 *
 * Sessions belong to their loop threads, so a request becomes a job with a part for each thread that has to do with it.
 * Parts run as posted tasks, a slice at a time; the last one to end sends the job home, where the request is answered,
 * if it is still there. A job is freed at home, once, whatever became of its request.
 */
#ifndef BULKHEAD_FRONT_WS_PUSH_H
#define BULKHEAD_FRONT_WS_PUSH_H

#include "upstream/h2o_api.h"

#include "base/str.h"

struct conn;

/* Answers a request whose path is push_request_is, now or later. Loop thread. */
void ws_push_serve(h2o_req_t *req, struct conn *conn, struct str path, struct str query);

#endif
