/* SPDX-License-Identifier: MIT
 *
 * fastcgi_private: the numbers of FastCGI 1.0 that its writer and its reader share.
 */
#ifndef BULKHEAD_UPSTREAM_FASTCGI_PRIVATE_H
#define BULKHEAD_UPSTREAM_FASTCGI_PRIVATE_H

#define FASTCGI_VERSION     1
#define FASTCGI_RECORD_HEAD 8     /* version, type, id, content length, padding length, reserved */
#define FASTCGI_CONTENT_MAX 65535 /* of one record */
#define FASTCGI_REQUEST_ID  1     /* one request at a time on a connection, so always the same */
#define FASTCGI_RESPONDER   1
#define FASTCGI_KEEP_CONN   1

enum fastcgi_type {
    FASTCGI_BEGIN_REQUEST = 1,
    FASTCGI_END_REQUEST = 3,
    FASTCGI_PARAMS,
    FASTCGI_STDIN,
    FASTCGI_STDOUT,
    FASTCGI_STDERR,
    FASTCGI_GET_VALUES_RESULT = 10,
    FASTCGI_UNKNOWN_TYPE
};

#endif
