/* SPDX-License-Identifier: MIT
 *
 * stub: an executor for the fuzz targets of the front: it runs a call by the letters of the call's path, each at a
 * deadline of the loop, so that whoever sends the request decides how its answer comes. It keeps the contract of
 * executor/executor.h, and reads the request wherever the contract says that it may.
 *
 *   h l n m   the head of a 200 without a length, of a 200 with one, of a 204, of a 304
 *   b B       some bytes of body; many
 *   . ,       the next turn of the loop; a while
 *   f         the answer fails here
 *   z         nothing more, ever
 * At the end of the letters the answer is complete (or has failed, when it is shorter than it said). Anywhere among them:
 *   i         when it is abandoned, the work ends before abandon returns, not in the next turn
 *   k         when the client leaves, the work goes on for a while all the same; so it does behind its answer
 * Other letters mean nothing.
 */
#ifndef BULKHEAD_TESTS_FUZZ_STUB_H
#define BULKHEAD_TESTS_FUZZ_STUB_H

#include "executor/executor.h"

struct executor *stub_create(const char *backend);

#endif
