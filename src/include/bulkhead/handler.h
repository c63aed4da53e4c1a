/* SPDX-License-Identifier: MIT
 *
 * <bulkhead/handler.h>: write a handler module for bulkhead.
 *
 * A module is a shared object with one function that answers one call, synchronously:
 *
 *     #include <bulkhead/handler.h>
 *
 *     static int hello(struct bulkhead_call *call, void *state)
 *     {
 *         return bulkhead_answer(call, 200, "text/plain", "hello\n", 6);
 *     }
 *
 *     BULKHEAD_HANDLER(.name = "hello", .handle = hello);
 *
 *     cc -shared -fPIC $(pkg-config --cflags bulkhead) -o hello.so hello.c
 *
 * Where it runs is the conf file's word, not the module's: `"run": "loop"` calls it on the event loop (it must not
 * block then), `"threads"` on one thread per running call, `"workers"` in prefork processes, one call at a time each.
 * It links against nothing: the process that loads it provides the functions below.
 *
 * Threads. `open` and `close` are called once each, before the first and after the last call. `handle` is called from
 * several threads at once in the class `threads`: what calls share through `state` is the module's to lock. A call
 * belongs to the thread that runs `handle`; none of the functions below may be called for it from another one, nor
 * after `handle` has returned. A thread's stack is 1 MiB. Two backends that name the same file may share one process:
 * keep state in `state`, not in static variables.
 *
 * Memory. Every pointer that a function here returns for a call is the call's: it is valid until `handle` returns and
 * is never freed by the module. What the module passes in is copied or sent before the function returns. Text is
 * NUL-terminated unless a length comes with it. Allocation never returns NULL: a process without memory ends and is
 * replaced.
 *
 * Errors. `handle` returns 0 when it has answered, anything else when it has failed: the client gets a 500 with the
 * reason `handler-failed`, or a visibly cut body when a part of the answer was already sent; on a WebSocket, what the
 * route's `on_error` says. The message given to bulkhead_failed() goes to the log, never to the client. A wrong use of
 * a response function (a status of 99, a header value with a line break) fails the call in the same way, even if its
 * return value is not looked at.
 *
 * A module must not end the process, change signal dispositions, masks of other threads, the working directory or the
 * environment, nor close descriptors that it did not open; descriptors that it opens must be close-on-exec.
 *
 * The header is C99 and C++11. Names that begin with bulkhead_ or BULKHEAD_ are reserved for it.
 */
#ifndef BULKHEAD_HANDLER_H
#define BULKHEAD_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BULKHEAD_API                             __attribute__((visibility("default")))
#define BULKHEAD_PRINTF(format_at, arguments_at) __attribute__((format(printf, format_at, arguments_at)))
#else
#define BULKHEAD_API
#define BULKHEAD_PRINTF(format_at, arguments_at)
#endif

/* Raised when a module that was built before would no longer run. A host refuses a module of another version. */
#define BULKHEAD_ABI_VERSION 1u

/* One call: the request to read, the response to write. Opaque. */
struct bulkhead_call;
/* The backend's `options` object, or an object inside it. Opaque; valid while `open` runs. */
struct bulkhead_options;

/* ---- the module ------------------------------------------------------------------------------------------------- */

/* What a module consists of. The macro below fills in the first two members. */
struct bulkhead_handler {
    uint32_t abi_version; /* BULKHEAD_ABI_VERSION */
    uint32_t size;        /* sizeof(struct bulkhead_handler), so that later versions may append members */
    /* in log lines */
    const char *name;
    /* Answers one call. state: what `open` left, else NULL. 0: answered. Otherwise failed, see "Errors" above. */
    int (*handle)(struct bulkhead_call *call, void *state);
    /* May be NULL. Reads the options, makes the state that all calls share. 0: ready. Otherwise the module is not used
     * and the process says so at its start: return bulkhead_open_failed(). An option that no lookup asked for is an
     * error, as is one of a wrong type or out of range: look up every option that the module knows, in any case. */
    int (*open)(struct bulkhead_options *options, void **state);
    /* May be NULL. Frees the state; not called when `open` failed. The module is unloaded afterwards: nothing of it may
     * still be running. */
    void (*close)(void *state);
};

/* Declares the module, once, at file scope. In C the members are named; in C++ they are listed in order:
 *     BULKHEAD_HANDLER(.name = "x", .handle = x_handle, .open = x_open, .close = x_close);
 *     BULKHEAD_HANDLER("x", x_handle, x_open, x_close);                                       */
#ifdef __cplusplus
#define BULKHEAD_HANDLER_LINKAGE extern "C"
#else
#define BULKHEAD_HANDLER_LINKAGE extern
#endif
#define BULKHEAD_HANDLER(...)                                                                                          \
    BULKHEAD_HANDLER_LINKAGE BULKHEAD_API const struct bulkhead_handler bulkhead_handler_entry;                        \
    const struct bulkhead_handler bulkhead_handler_entry = {BULKHEAD_ABI_VERSION,                                      \
                                                            (uint32_t)sizeof(struct bulkhead_handler), __VA_ARGS__}

/* ---- options: in `open` only ------------------------------------------------------------------------------------ */

/* Each returns the option's value, or fallback when it is absent (or null). A value of another type or outside
 * minimum..maximum fails the start of the module once `open` has returned; until then fallback stands in. Strings live
 * as long as the module, sub-objects as long as `open` runs. */
BULKHEAD_API const char *bulkhead_option_string(struct bulkhead_options *options, const char *name,
                                                const char *fallback);
BULKHEAD_API int64_t bulkhead_option_int(struct bulkhead_options *options, const char *name, int64_t fallback,
                                         int64_t minimum, int64_t maximum);
/* an integer is a double, too */
BULKHEAD_API double bulkhead_option_double(struct bulkhead_options *options, const char *name, double fallback,
                                           double minimum, double maximum);
BULKHEAD_API bool bulkhead_option_bool(struct bulkhead_options *options, const char *name, bool fallback);
/* An object inside the options; NULL when absent. All lookups work on it. */
BULKHEAD_API struct bulkhead_options *bulkhead_option_object(struct bulkhead_options *options, const char *name);
/* The name of option number `index`, in the order of the conf file; NULL past the last. For objects whose names the
 * operator chooses. Lives as long as the module. */
BULKHEAD_API const char *bulkhead_option_name(struct bulkhead_options *options, size_t index);
/* The object as JSON text, for a module that brings a parser of its own. It then answers for unknown names itself.
 * Lives as long as the module. */
BULKHEAD_API const char *bulkhead_options_json(struct bulkhead_options *options);
/* Sets the message that the operator reads, and returns -1: `return bulkhead_open_failed(options, "…")`. */
BULKHEAD_API int bulkhead_open_failed(struct bulkhead_options *options, const char *format, ...) BULKHEAD_PRINTF(2, 3);

/* ---- the request ------------------------------------------------------------------------------------------------ */

/* "GET", "POST", …: as sent, a token */
BULKHEAD_API const char *bulkhead_method(struct bulkhead_call *call);
/* The path, normalised, still percent-encoded, without the query; begins with '/' */
BULKHEAD_API const char *bulkhead_path(struct bulkhead_call *call);
/* The raw query without '?'; NULL when the request has none */
BULKHEAD_API const char *bulkhead_query(struct bulkhead_call *call);
/* "http" or "https", as the client speaks it */
BULKHEAD_API const char *bulkhead_scheme(struct bulkhead_call *call);
/* The validated Host: "example.org" or "example.org:8443"; "" for an HTTP/1.0 request without one */
BULKHEAD_API const char *bulkhead_authority(struct bulkhead_call *call);
/* The client's address as text; "unix:" for a client on a Unix socket */
BULKHEAD_API const char *bulkhead_peer(struct bulkhead_call *call);
/* The request's id, the same as in X-Request-Id and in the access log; "" where there is none */
BULKHEAD_API const char *bulkhead_request_id(struct bulkhead_call *call);

/* The first query parameter of that name, with %XX and '+' decoded (a '%' that no two hexadecimal digits follow stands
 * for itself); "" when it has no '='; NULL when absent. length: its bytes, which may include NUL; may be NULL. Every
 * look-up makes a new copy. */
BULKHEAD_API const char *bulkhead_query_value(struct bulkhead_call *call, const char *name, size_t *length);
/* All query parameters in order: start with *cursor = 0, until false. Decoded as above; length may be NULL. */
BULKHEAD_API bool bulkhead_query_next(struct bulkhead_call *call, size_t *cursor, const char **name, const char **value,
                                      size_t *length);

/* The value of the first header field of that name (letter case does not matter); NULL when absent */
BULKHEAD_API const char *bulkhead_header(struct bulkhead_call *call, const char *name);
BULKHEAD_API size_t bulkhead_header_count(struct bulkhead_call *call);
/* Field number `index`; false past the last. Names are lower case. */
BULKHEAD_API bool bulkhead_header_at(struct bulkhead_call *call, size_t index, const char **name, const char **value);

/* The whole body, *length bytes, not NUL-terminated; never NULL */
BULKHEAD_API const char *bulkhead_body(struct bulkhead_call *call, size_t *length);

/* Returned by bulkhead_time_left_us for a call without a deadline */
#define BULKHEAD_NO_DEADLINE INT64_MAX
/* Microseconds until the call's `timeout` is over, 0 when it is. At that instant the client is told 504; the work's
 * fate is its class's: a worker is killed, a thread should notice and return. */
BULKHEAD_API int64_t bulkhead_time_left_us(struct bulkhead_call *call);
/* True once nobody waits for the answer: the client has left or the time is over. It stays true. Cheap enough for a
 * tight loop: the connection is looked at no more than once in a millisecond. */
BULKHEAD_API bool bulkhead_cancelled(struct bulkhead_call *call);

/* ---- WebSocket: routes with `"websocket": "messages"` ----------------------------------------------------------- */

/* On such a route every message is a call of its own: method POST; path, query and header fields are the handshake's;
 * the body is the message. A module that knows nothing of this serves it all the same: what it answers goes back as one
 * message (text if its Content-Type is text/ or JSON, or if it has none and the message was text; else binary; none if
 * the body is empty). One that does know may send any number of messages in a call, the first while it still works on
 * the last. With `"format": "events"` the opening and the end of a connection are calls, too. A connection's messages
 * become calls in their order, `in_flight` (1) of them at a time. */
enum bulkhead_kind {
    /* an HTTP request */
    BULKHEAD_REQUEST,
    /* A client wants to connect: a status of 200..299 lets it, anything else is its answer. Messages may be sent
     * already; header fields go out with the handshake. */
    BULKHEAD_OPEN,
    /* A client has sent a message. A status other than 200..299 counts as a failure of the call. */
    BULKHEAD_MESSAGE,
    /* The connection has ended; nobody reads an answer. The body is the reason that came with the code, if any. */
    BULKHEAD_CLOSE
};
/* What the call is. To return 0 from any kind but BULKHEAD_REQUEST without having answered is right: it lets the client
 * in, or sends no reply. */
BULKHEAD_API enum bulkhead_kind bulkhead_kind(struct bulkhead_call *call);
enum bulkhead_opcode { BULKHEAD_TEXT = 1, BULKHEAD_BINARY = 2 };
/* Of a BULKHEAD_MESSAGE, whose text is valid UTF-8; neither of them for another kind */
BULKHEAD_API enum bulkhead_opcode bulkhead_opcode(struct bulkhead_call *call);
/* The connection's id, the same in all of its calls, and the one that server push takes; "" for a BULKHEAD_REQUEST */
BULKHEAD_API const char *bulkhead_connection(struct bulkhead_call *call);
/* Of a BULKHEAD_CLOSE: what the client's close frame said, 1005 if it said nothing, 1006 if the connection broke; or
 * what it was told. 0 for another kind */
BULKHEAD_API int bulkhead_close_code(struct bulkhead_call *call);

/* Sends one message now, before `handle` returns; any number of them. Text must be UTF-8. May block while the client is
 * slow. The status must be 200..299 and not 204; a call that sends messages cannot write a body as well. A single reply
 * with nothing to do behind it costs less with bulkhead_answer(). false: nobody wants it any more (always so in a
 * BULKHEAD_CLOSE), or the call has failed, as it does in a BULKHEAD_REQUEST. */
BULKHEAD_API bool bulkhead_send(struct bulkhead_call *call, enum bulkhead_opcode opcode, const void *bytes,
                                size_t length);
/* Closes the connection behind what was sent; the last thing that a call can send. code: 1000, 1001, 1003, 1007..1014
 * or 3000..4999; reason: at most 123 bytes of UTF-8, NULL: none. Returns as bulkhead_send does. */
BULKHEAD_API bool bulkhead_close(struct bulkhead_call *call, int code, const char *reason);

/* ---- the response ----------------------------------------------------------------------------------------------- */

/* The whole response in one: status, Content-Type (NULL: none) and body. Header fields that were set before go with it.
 * Returns 0, or -1 when the call has failed: `return bulkhead_answer(…)`. */
BULKHEAD_API int bulkhead_answer(struct bulkhead_call *call, int status, const char *content_type, const void *body,
                                 size_t length);

/* Or in pieces: status, header fields, then the body. All of them return false once the call has failed or nobody wants
 * the answer any more; it is then no use to go on. */

/* 200..599; 200 when never called. Not after the head was sent. */
BULKHEAD_API bool bulkhead_status(struct bulkhead_call *call, int status);
/* Sets a field, replacing all of that name; bulkhead_add_header adds one more. The name must be a token; the value must
 * hold no control byte other than tab. Connection, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding and
 * Upgrade are the front's own, Content-Length is set by bulkhead_content_length(). At most 100 fields, 64 KiB. */
BULKHEAD_API bool bulkhead_set_header(struct bulkhead_call *call, const char *name, const char *value);
BULKHEAD_API bool bulkhead_add_header(struct bulkhead_call *call, const char *name, const char *value);
/* Announces the number of body bytes that will be written. Needless for an answer of up to 64 KiB: it is counted. A
 * longer one is sent chunked without it. Writing more or less than announced fails the call. */
BULKHEAD_API bool bulkhead_content_length(struct bulkhead_call *call, uint64_t length);
/* Appends to the body. Up to 64 KiB are held back until `handle` returns, so that a short answer is sent whole, and a
 * failure can still become a 500; past that the head and what is there are sent. May block while the receiver is slow.
 * To HEAD, and with 204 and 304, the bytes are counted but not sent. */
BULKHEAD_API bool bulkhead_write(struct bulkhead_call *call, const void *bytes, size_t length);
BULKHEAD_API bool bulkhead_printf(struct bulkhead_call *call, const char *format, ...) BULKHEAD_PRINTF(2, 3);
/* Appends the bytes as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
BULKHEAD_API bool bulkhead_write_json(struct bulkhead_call *call, const char *bytes, size_t length);
/* Sends what was held back, the head first. On a route with `"buffer": false` the client sees it at once. */
BULKHEAD_API bool bulkhead_flush(struct bulkhead_call *call);

/* Sets the message for the log, and returns -1: `return bulkhead_failed(call, "…")`. The first message stays. */
BULKHEAD_API int bulkhead_failed(struct bulkhead_call *call, const char *format, ...) BULKHEAD_PRINTF(2, 3);

/* ---- help ------------------------------------------------------------------------------------------------------- */

/* Memory for this call, aligned for any type, not cleared; freed when `handle` has returned. */
BULKHEAD_API void *bulkhead_alloc(struct bulkhead_call *call, size_t bytes);
/* Formatted text in such memory */
BULKHEAD_API char *bulkhead_format(struct bulkhead_call *call, const char *format, ...) BULKHEAD_PRINTF(2, 3);

enum bulkhead_level { BULKHEAD_ERROR, BULKHEAD_WARNING, BULKHEAD_INFO, BULKHEAD_DEBUG };
/* One line in bulkhead's log, with the module's name and the request's id. call may be NULL (in `open`, in `close`, in
 * threads of the module's own); this is the only function here that any thread may call at any time. Control bytes
 * become '?'; lines are cut at 2 KiB. */
BULKHEAD_API void bulkhead_log(struct bulkhead_call *call, enum bulkhead_level level, const char *format, ...)
    BULKHEAD_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
