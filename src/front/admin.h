/* SPDX-License-Identifier: MIT
 *
 * admin: how requests of the admin listener, and of clients that speak HTTP on the control socket, are answered. They
 * never pass a gate and are never in the access log. Loop thread.
 */
#ifndef BULKHEAD_FRONT_ADMIN_H
#define BULKHEAD_FRONT_ADMIN_H

#include "upstream/h2o_api.h"

#include "base/buf.h"
#include "base/str.h"

struct conn;
struct problem;

/* Each answers the request and ends it for its connection; the request may be gone on return. The body is copied. */
void admin_answer(h2o_req_t *req, struct conn *conn, int status, struct str type, const struct buf *body);
void admin_refuse(h2o_req_t *req, struct conn *conn, const struct problem *p);

#endif
