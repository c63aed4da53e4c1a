/* SPDX-License-Identifier: MIT
 *
 * strays: processes that a worker started and that left its process group (daemons that call setsid). They still carry
 * the environment that the worker was given, and in it the path of a socket of this run, which no other process has.
 * Looking for them reads /proc once per process, so it is done at the very end only. Supervisor and guardian.
 */
#ifndef BULKHEAD_SUPERVISOR_STRAYS_H
#define BULKHEAD_SUPERVISOR_STRAYS_H

#include <stddef.h>

/* Kills every process whose environment has HERITAGE_ENV_SOCKET in this directory; returns how many. */
size_t strays_kill(const char *runtime_directory);

#endif
