/* SPDX-License-Identifier: MIT
 *
 * heritage: what a child inherits, in one place: descriptors and environment names. The whole contract between the
 * supervisor and its children.
 */
#ifndef BULKHEAD_WIRE_HERITAGE_H
#define BULKHEAD_WIRE_HERITAGE_H

/* front: the control socketpair (wire/control.h). stderr and, for an access log on "-", stdout are inherited too. */
#define HERITAGE_FRONT_CONTROL_FD 3

/* worker, thread host and foreign commands: the listening Unix socket, as systemd hands over sockets (sd_listen_fds(3)).
 * FastCGI children have it on 0 as well. */
#define HERITAGE_WORKER_SOCKET_FD 3
#define HERITAGE_ENV_SOCKET "BULKHEAD_SOCKET"   /* path of that socket */
#define HERITAGE_ENV_BACKEND "BULKHEAD_BACKEND" /* name of the backend */
#define HERITAGE_ENV_WORKER "BULKHEAD_WORKER"   /* index of the worker, from 0 */
/* LISTEN_FDS=1, LISTEN_PID=<its pid>, LISTEN_FDNAMES=bulkhead */

/* bulkhead-worker only: argv = { "bulkhead-worker", "--threads", "N", "--module", PATH | "--cgi", PATH, "--root", PATH,
 * "--options", JSON, "--name", BACKEND } */

#endif
