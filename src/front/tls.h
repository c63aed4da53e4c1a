/* SPDX-License-Identifier: MIT
 *
 * tls: an SSL_CTX for a listener: TLS 1.2 and 1.3, its certificates chosen by the server name that the client asks for
 * (exact names before wildcards, the first certificate when nothing fits or no name was sent), ALPN, no renegotiation.
 * Made on the main thread, used by all loop threads (OpenSSL counts references); never changed afterwards, so that a
 * reload makes another and swaps the pointer. Everything that belongs to it goes when its last connection and its maker
 * have freed it.
 */
#ifndef BULKHEAD_FRONT_TLS_H
#define BULKHEAD_FRONT_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "upstream/h2o_api.h"

#include "config/conf.h"

/* NULL with a message that names file and cause; otherwise the caller owns one reference (SSL_CTX_free). */
SSL_CTX *tls_context_create(const struct conf_listener *listener, char *error, size_t error_size);

#endif
