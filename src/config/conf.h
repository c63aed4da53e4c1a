/* SPDX-License-Identifier: MIT
 *
 * conf: the frozen configuration tree. One parse yields one `struct conf`; nothing in it changes afterwards, and
 * conf_free gives all of it back at once (an arena). Every string is NUL-terminated and owned by the tree; an absent
 * optional string is NULL. File names are absolute. Durations are µs (-1: unlimited where a key allows that), sizes are
 * bytes. What a key means, its unit, bounds, default and reload class is in the keyword table (config/keys.c), which
 * also yields man page, schema, sample and dump. All processes.
 */
#ifndef BULKHEAD_CONFIG_CONF_H
#define BULKHEAD_CONFIG_CONF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"

#define CONF_UNLIMITED       INT64_MAX
#define CONF_UMASK_INHERITED UINT_MAX

/* ---- listeners -------------------------------------------------------------------------------------------------- */
enum conf_bind_kind { CONF_BIND_TCP, CONF_BIND_UNIX, CONF_BIND_SYSTEMD };

struct conf_certificate {
    const char *certificate; /* PEM chain file */
    const char *key;         /* PEM key file */
};

struct conf_listener {
    const char *bind;    /* as written: "127.0.0.1:8080", "[::]:443", "*:80", "unix:/path" */
    const char *systemd; /* FileDescriptorName, instead of bind */
    enum conf_bind_kind kind;
    struct sockaddr_storage address; /* TCP and UNIX */
    socklen_t address_len;
    unsigned mode;       /* Unix socket's file mode; default 0660 */
    unsigned backlog;    /* default 4096 */
    bool proxy_protocol; /* v1 line expected */
    bool http2;
    bool ipv6_only;
    struct conf_certificate *certificates; /* tls: { certificate, key } or tls: [ {…}, … ]; several: chosen by SNI */
    size_t ncertificates;                  /* 0: clear text */
};

/* ---- backends --------------------------------------------------------------------------------------------------- */
enum conf_run { CONF_RUN_LOOP, CONF_RUN_THREADS, CONF_RUN_WORKERS, CONF_RUN_COUNT };
enum conf_protocol { CONF_PROTOCOL_HTTP, CONF_PROTOCOL_FASTCGI, CONF_PROTOCOL_COUNT };
enum conf_on_abandon { CONF_ON_ABANDON_FINISH, CONF_ON_ABANDON_KILL, CONF_ON_ABANDON_COUNT };
/* what the backend runs: exactly one of command, module, cgi, proxy */
enum conf_what { CONF_WHAT_COMMAND, CONF_WHAT_MODULE, CONF_WHAT_CGI, CONF_WHAT_PROXY, CONF_WHAT_COUNT };

struct conf_pair {
    const char *name, *value;
};

struct conf_address {
    const char *text; /* "127.0.0.1:8000" or "unix:/run/x.sock" */
    struct sockaddr_storage address;
    socklen_t address_len;
};

/* of a child's resources, setrlimit(2): -1: as bulkhead has it; or CONF_UNLIMITED */
struct conf_rlimits {
    int64_t as, core, cpu /* µs */, data, fsize, memlock, nofile, nproc, stack;
};

struct conf_backend {
    const char *name;
    enum conf_run run;
    enum conf_what what;
    char **command;     /* NULL-terminated argv */
    const char *module; /* path or bare name of a .so */
    const char *cgi;    /* program file, or a directory of programs ending in '/' */
    struct conf_address *proxy;
    size_t nproxy;
    enum conf_protocol protocol;
    const char *root;         /* fastcgi, cgi: DOCUMENT_ROOT */
    const char *index;        /* fastcgi: appended to a path ending in '/'; default index.php */
    const char *options_json; /* `options` as compact JSON text, "{}" when absent */
    unsigned workers;         /* default: online CPUs */
    unsigned concurrency;     /* default 1 */
    unsigned threads;         /* default 16 */
    bool in_front;            /* threads: in the front process instead of a host of its own */
    unsigned limit;           /* effective: threads; workers × concurrency; loop: as configured (default 100) */
    unsigned queue;           /* default 10 × limit */
    int64_t queue_timeout, timeout, warn_after, stop_timeout, start_timeout;
    int64_t connect_timeout, first_byte_timeout,
        idle_timeout;   /* towards proxy upstreams and workers; first_byte: -1 none */
    int64_t keep_alive; /* idle time after which a kept upstream connection is not used again */
    enum conf_on_abandon on_abandon;
    bool kill_only_if_queued; /* a worker past its call's timeout is left alone while no call waits */
    /* when a process is replaced; 0 and -1: never for that reason */
    int64_t max_requests;                    /* calls, give or take a tenth */
    int64_t max_lifetime;                    /* give or take a tenth */
    int64_t memory_limit, memory_limit_hard; /* bytes of resident memory of its process group */
    unsigned max_surge;                      /* processes beyond `workers` while others are replaced; default 1 */
    const char *ready_path;                  /* GET of it must be answered 2xx; NULL: to accept is enough */
    unsigned bridges;      /* bridged WebSockets and tunnels at once, on one worker or proxied server; default 1000 */
    int nice;              /* default by measurement */
    const char *directory; /* working directory of the child */
    struct conf_pair *environment;
    size_t nenvironment;
    const char *user, *group;    /* of the child */
    bool no_new_privileges;      /* of the child; default true */
    unsigned umask;              /* of the child; CONF_UMASK_INHERITED: bulkhead's */
    struct conf_rlimits rlimits; /* of the child; core 0 by default */
    int64_t max_response_buffer; /* bytes of an answer held for a slow client, memory then file; past it the backend
                                    waits */
};

/* ---- routes ----------------------------------------------------------------------------------------------------- */
enum conf_route_action {
    CONF_ROUTE_BACKEND,
    CONF_ROUTE_RESPOND,
    CONF_ROUTE_REDIRECT,
    CONF_ROUTE_FILES,
    CONF_ROUTE_COUNT
};

struct conf_header_match {
    const char *name;  /* lower case */
    const char *value; /* exact value; NULL: the field is present */
};

struct conf_header_rules { /* request_headers / response_headers: { "set": {…}, "add": {…}, "remove": […] } */
    struct conf_pair *set, *add;
    const char **remove;
    size_t nset, nadd, nremove;
};

enum conf_websocket_mode {
    CONF_WEBSOCKET_NONE, /* the route has no `websocket` */
    CONF_WEBSOCKET_MESSAGES,
    CONF_WEBSOCKET_BRIDGE,
    CONF_WEBSOCKET_TUNNEL,
    CONF_WEBSOCKET_MODE_COUNT
};
enum conf_websocket_format { CONF_WEBSOCKET_PLAIN, CONF_WEBSOCKET_EVENTS, CONF_WEBSOCKET_FORMAT_COUNT };
enum conf_websocket_on_error { CONF_WEBSOCKET_SAY, CONF_WEBSOCKET_CLOSE, CONF_WEBSOCKET_ON_ERROR_COUNT };

/* `websocket` of a route; the short form "messages" is {"mode": "messages"}. Durations -1: none. */
struct conf_websocket {
    enum conf_websocket_mode mode;
    enum conf_websocket_format format;     /* messages; default plain */
    enum conf_websocket_on_error on_error; /* messages: "message" (default) or "close" */
    unsigned in_flight;                    /* messages: calls of one connection at once; 1..64, default 1 */
    const char **origins;                  /* "https://example.org", "null"; none: any origin */
    size_t norigins;
    const char **protocols; /* messages: subprotocols, the most wanted first */
    size_t nprotocols;
    int64_t ping_interval, pong_timeout; /* 20 s, 20 s; not for tunnels */
    int64_t idle_timeout;                /* none; tunnels 5 min */
    int64_t max_message;                 /* bytes, either way; 1 MiB; not for tunnels */
    int64_t max_unsent;                  /* bytes; 256 KiB */
    int64_t read_ahead;                  /* messages: bytes of messages taken beyond those in flight; 64 KiB */
    unsigned max_connections;            /* on this route; 0: limits.connections bounds them (default) */
    unsigned control_frames;             /* a second, sustained; 10; not for tunnels */
    bool log_messages;                   /* messages: each call in the access log; default false */
    bool reconnect;                      /* bridge; default false */
    int64_t reconnect_timeout;           /* bridge; 10 s */
};

struct conf_route {
    const char *name; /* for the access log; where it stands ("file:line") unless it was given one */
    /* match keys; absent ones match everything */
    const char **hosts; /* lower case, without port; "*.example.org" matches any depth of sub-domains */
    size_t nhosts;
    const char *path, *path_prefix, *path_regex;
    const char **methods; /* upper case */
    size_t nmethods;
    struct conf_header_match *headers;
    size_t nheaders;
    /* what serves it */
    enum conf_route_action action;
    size_t backend; /* index into conf.backends */
    struct {
        int status;
        const char *body;
        const char *content_type;
    } respond;
    struct {
        int status;
        const char *to;
    } redirect; /* "to" may hold $path $query $host */
    struct {
        const char *root;
        const char *index;
    } files;                         /* path below root = request path less path_prefix */
    struct conf_websocket websocket; /* with a backend only */
    /* overrides; -1: the backend's or the general value */
    int64_t timeout, queue_timeout, max_body;
    bool buffer; /* default true */
    const char *strip_prefix;
    struct conf_header_rules request_headers, response_headers;
    /* where it stands, for messages of the pass that read it */
    const char *file;
    unsigned line;
};

/* ---- the whole -------------------------------------------------------------------------------------------------- */
enum conf_log_format { CONF_LOG_JSON, CONF_LOG_TEXT, CONF_LOG_FORMAT_COUNT };

struct conf_limits {
    int64_t head_bytes, target_bytes, header_fields; /* 16 KiB, 8 KiB, 100 (at most 100) */
    int64_t max_body, body_memory, chunk_overhead;   /* 8 MiB, 64 KiB, 8 KiB */
    int64_t head_timeout, body_timeout, idle_timeout, write_timeout,
        tls_handshake_timeout;                                             /* 10 s 60 s 30 s 30 s 5 s */
    int64_t requests_per_connection;                                       /* 10000 */
    int64_t connections;                                                   /* 0: 80 % of the descriptors */
    int64_t connections_per_address;                                       /* 256 */
    int64_t http2_streams, http2_handlers, http2_glitches;                 /* 100, 32, 100 */
    int64_t response_head_bytes, response_header_fields, response_interim; /* 64 KiB, 100, 10 */
    int64_t log_line, log_lines_per_second;                                /* 8 KiB, 1000: of workers */
};

struct conf {
    uint64_t generation;
    const char *path; /* of the main file, for messages and relative names; "-" for the one-line start */
    struct conf_listener *listeners;
    size_t nlisteners;
    struct conf_listener *admin;   /* NULL: none */
    const char *control;           /* socket path */
    const char *runtime_directory; /* workers' sockets */
    const char *spool_directory;   /* unlinked temporary files */
    unsigned threads;
    const char *user, *group;                              /* of the front */
    int64_t drain_delay, drain_timeout, heartbeat_timeout; /* 0, 30 s, 5 s */
    const char **trusted_proxies;                          /* addresses or CIDR */
    size_t ntrusted_proxies;
    struct {
        int level;          /* enum log_level */
        const char *target; /* "stderr" or a file */
        enum conf_log_format format;
        struct {
            bool enabled;
            const char *path;
            enum conf_log_format format;
        } access; /* "-": stdout */
    } log;
    struct conf_limits limits;
    struct conf_backend *backends;
    size_t nbackends;
    struct conf_route *routes;
    size_t nroutes;
};

/* Reads a file with its includes, and checks what it says against files, users, PATH and the resolver (which may take
 * as long as the resolver likes). NULL when anything is wrong; every problem of the pass is then in `problems`, a line
 * each: "file:line:column: error: path: problem (limit); hint". Warnings may be there on success too. */
struct conf *conf_load(const char *path, struct buf *problems);
/* The same from text, for a dump handed to another process: looks at nothing outside, so it cannot include files or
 * resolve host names. `name` stands for the file in messages; relative file names are relative to where it would be. */
struct conf *conf_parse(const char *name, const char *text, size_t len, struct buf *problems);
void conf_free(struct conf **conf);
/* The effective configuration with every default, as JSON that conf_parse accepts and that dumps to itself again. */
void conf_dump(const struct conf *conf, struct buf *out);
const struct conf_backend *conf_backend_find(const struct conf *conf, const char *name);
/* Where a module's file is, for the caller to free: as it is in the tree if it has a '/' (conf_load leaves the file's
 * absolute name there), else among the handlers beside a program that has not been installed, else the installed ones.
 */
char *conf_module_path(const struct conf *conf, const struct conf_backend *backend);

#endif
