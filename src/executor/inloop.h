/* SPDX-License-Identifier: MIT
 *
 * inloop: the executor of `run: loop` backends with `module`: the handler is called on the loop thread itself and
 * promises not to block. The answer is handed to the sink from a posted task, so the executor's rule "never before
 * start returns" holds. Slots = limit, constant.
 */
#ifndef BULKHEAD_EXECUTOR_INLOOP_H
#define BULKHEAD_EXECUTOR_INLOOP_H

#include "executor/executor.h"

struct module;
struct executor *inloop_create(const char *backend, unsigned limit, struct module *module /* taken */);

#endif
