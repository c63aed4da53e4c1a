/* SPDX-License-Identifier: MIT
 *
 * h2o_api: the only way to include h2o.h. The packaged headers select the libuv flavour, with other struct layouts than
 * the evloop library's, unless told otherwise; that binary would link and corrupt memory.
 */
#ifndef BULKHEAD_UPSTREAM_H2O_API_H
#define BULKHEAD_UPSTREAM_H2O_API_H

#if !defined(H2O_USE_LIBUV) || H2O_USE_LIBUV != 0
#error "compile with -DH2O_USE_LIBUV=0 (see H2O_CPPFLAGS in configure.ac)"
#endif
#include <h2o.h>
#include <h2o/http1.h>

#endif
