/* SPDX-License-Identifier: MIT
 *
 * keys: the keyword table: see keys.h. Rows stand in the order in which the dump, the sample and the man page show
 * them, and in which the parser reads them; backends come before the routes that name them.
 */
#include "config.h"

#include <string.h>

#include "config/conf.h"
#include "config/keys.h"
#include "config/units.h"

#define COUNT(array)                (sizeof(array) / sizeof((array)[0]))
#define AT(type, member)            .offset = offsetof(struct type, member)
#define MANY(type, member, counter) AT(type, member), .count_offset = offsetof(struct type, counter)
#define BETWEEN(low, high)          .min = (low), .max = (high)

static const char *const level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const format_words[] = {"json", "text", NULL};
static const char *const run_words[] = {"loop", "threads", "workers", NULL};
static const char *const protocol_words[] = {"http", "fastcgi", NULL};
static const char *const on_abandon_words[] = {"finish", "kill", NULL};
static const char *const target_words[] = {"stderr", NULL};
static const char *const listener_one_of[] = {"bind", "systemd", NULL};
static const char *const backend_one_of[] = {"command", "module", "cgi", "proxy", NULL};     /* enum conf_what */
static const char *const route_one_of[] = {"backend", "respond", "redirect", "files", NULL}; /* conf_route_action */
static const char *const route_at_most_one[] = {"path", "path_prefix", "path_regex", NULL};
static const char *const access_words[] = {"-", NULL};
static const char *const websocket_mode_words[] = {"messages", "bridge", "tunnel", NULL};
static const char *const websocket_format_words[] = {"plain", "events", NULL};
static const char *const websocket_on_error_words[] = {"message", "close", NULL};

/* ---- listeners -------------------------------------------------------------------------------------------------- */

static const struct key certificate_keys[] = {
    {"certificate", KEY_FILE, AT(conf_certificate, certificate), .flags = KEY_REQUIRED, .example = "\"site.crt\"",
     .reload = KEY_LIVE, .help = "PEM file with the certificate and the chain that leads to it."},
    {"key", KEY_FILE, AT(conf_certificate, key), .flags = KEY_REQUIRED, .example = "\"site.key\"", .reload = KEY_LIVE,
     .help = "PEM file with the private key. Workers never see it."},
};

const struct key_object keys_certificate = {
    .name = "tls",
    .title = "A certificate of a listener. With several, the client's server name (SNI) chooses.",
    .keys = certificate_keys,
    .nkeys = COUNT(certificate_keys),
    .size = sizeof(struct conf_certificate),
};

static const struct key listener_keys[] = {
    {"bind", KEY_BIND, .example = "\"127.0.0.1:8080\"", .live = "\"127.0.0.1:8080\"", .reload = KEY_RESTART_LISTENER,
     .help =
         "Where to listen: \"127.0.0.1:8080\", \"[::1]:8080\", \"*:80\" or \":80\" (every IPv4 address), \"[::]:80\" "
         "(every address), \"localhost:80\", or \"unix:/path\". Port 0 takes any free one."},
    {"systemd", KEY_STRING, AT(conf_listener, systemd), .example = "\"http\"", .reload = KEY_RESTART_LISTENER,
     .grammar = grammar_descriptor_name,
     .help = "Instead of bind: the FileDescriptorName= of a socket unit that hands the socket over."},
    {"mode", KEY_MODE, AT(conf_listener, mode), .fallback = "\"0660\"", .reload = KEY_RESTART_LISTENER,
     .fits = KEYS_UNIX, .help = "File mode of a Unix socket, in octal."},
    {"backlog", KEY_UNSIGNED, AT(conf_listener, backlog), BETWEEN(1, 65535), .fallback = "4096",
     .reload = KEY_RESTART_LISTENER, .fits = KEYS_TCP | KEYS_UNIX,
     .help = "Connections that the kernel holds until they are accepted; net.core.somaxconn caps it."},
    {"ipv6_only", KEY_BOOL, AT(conf_listener, ipv6_only), .fallback = "false", .reload = KEY_RESTART_LISTENER,
     .fits = KEYS_TCP, .help = "Whether \"[::]:port\" leaves IPv4 clients alone."},
    {"http2", KEY_BOOL, AT(conf_listener, http2), .fallback = "false", .reload = KEY_RESTART_LISTENER,
     .help = "Offers HTTP/2: by ALPN with tls, by prior knowledge without."},
    {"proxy_protocol", KEY_BOOL, AT(conf_listener, proxy_protocol), .fallback = "false", .reload = KEY_RESTART_LISTENER,
     .help = "Each connection begins with a PROXY protocol line (version 1) that names the client. Only for listeners "
             "that nobody but such a proxy can reach."},
    {"tls", KEY_LIST, MANY(conf_listener, certificates, ncertificates), BETWEEN(1, 256), .flags = KEY_ONE_OK,
     .object = &keys_certificate, .example = "{ \"certificate\": \"site.crt\", \"key\": \"site.key\" }",
     .reload = KEY_LIVE,
     .help = "Makes the listener speak TLS 1.2 and 1.3. A list of such objects holds one certificate for each name."},
};

static unsigned listener_kind(const void *object)
{
    const struct conf_listener *listener = object;
    return KEYS_TCP << listener->kind;
}

const struct key_object keys_listener = {
    .name = "listener",
    .title = "An address that accepts clients. Either bind or systemd says where.",
    .keys = listener_keys,
    .nkeys = COUNT(listener_keys),
    .size = sizeof(struct conf_listener),
    .kind = listener_kind,
    .one_of = listener_one_of,
};

/* ---- log -------------------------------------------------------------------------------------------------------- */

#define IN_ACCESS(member) .offset = offsetof(struct conf, log.access.member) - offsetof(struct conf, log.access)
#define IN_LOG(member)    .offset = offsetof(struct conf, log.member) - offsetof(struct conf, log)

static const struct key access_keys[] = {
    {"enabled", KEY_BOOL, IN_ACCESS(enabled), .fallback = "true", .reload = KEY_RESTART,
     .help = "Whether there is an access log; \"access\": false is short for this."},
    {"path", KEY_FILE, IN_ACCESS(path), .fallback = "\"-\"", .words = access_words, .reload = KEY_LIVE,
     .help = "A file, or \"-\" for the standard output."},
    {"format", KEY_WORD, IN_ACCESS(format), .words = format_words, .fallback = "\"json\"", .reload = KEY_LIVE,
     .help = "One JSON object a line, or text."},
};

const struct key_object keys_access = {
    .name = "access",
    .title =
        "The access log: a line for each call. A loop never waits for it: lines that cannot be written are dropped "
        "and counted.",
    .keys = access_keys,
    .nkeys = COUNT(access_keys),
    .size = sizeof(((struct conf *)0)->log.access),
    .short_form = "enabled",
};

static const struct key log_keys[] = {
    {"level", KEY_WORD, IN_LOG(level), .words = level_words, .fallback = "\"info\"", .reload = KEY_LIVE,
     .help = "The least important record that is written."},
    {"target", KEY_FILE, IN_LOG(target), .words = target_words, .fallback = "\"stderr\"", .reload = KEY_LIVE,
     .help = "A file, or \"stderr\"."},
    {"format", KEY_WORD, IN_LOG(format), .words = format_words, .fallback = "\"text\"", .reload = KEY_LIVE,
     .help = "Text, or one JSON object a line."},
    {"access", KEY_OBJECT, IN_LOG(access), .object = &keys_access, .reload = KEY_LIVE, .help = "The access log."},
};

const struct key_object keys_log = {
    .name = "log",
    .title = "The log of all processes; what workers write to their standard output and error goes there too.",
    .keys = log_keys,
    .nkeys = COUNT(log_keys),
    .size = sizeof(((struct conf *)0)->log),
};

/* ---- limits ----------------------------------------------------------------------------------------------------- */

#define LIMIT_AT(member, class) AT(conf_limits, member), .reload = class
#define LIMIT(member)           LIMIT_AT(member, KEY_LIVE)

static const struct key limits_keys[] = {
    {"head_bytes", KEY_SIZE, LIMIT(head_bytes), BETWEEN(UNITS_KIB, 256 * UNITS_KIB), .fallback = "\"16KiB\"",
     .help = "Head of a request, request line and fields together. Past it: 431, close."},
    {"target_bytes", KEY_SIZE, LIMIT(target_bytes), BETWEEN(64, 64 * UNITS_KIB), .fallback = "\"8KiB\"",
     .help = "Target of a request. Past it: 414, close."},
    {"header_fields", KEY_COUNT, LIMIT(header_fields), BETWEEN(1, 100), .fallback = "100",
     .help = "Fields of a request. Past it: 431, close."},
    {"max_body", KEY_SIZE, LIMIT(max_body), BETWEEN(0, 64 * UNITS_GIB), .fallback = "\"8MiB\"",
     .help = "Body of a request, where the route says nothing else. Past it: 413."},
    {"body_memory", KEY_SIZE, LIMIT_AT(body_memory, KEY_RESTART), BETWEEN(UNITS_KIB, 16 * UNITS_MIB),
     .fallback = "\"64KiB\"",
     .help = "A body up to here stays in memory; a longer one goes to an unlinked file in spool_directory."},
    {"chunk_overhead", KEY_SIZE, LIMIT(chunk_overhead), BETWEEN(0, UNITS_MIB), .fallback = "\"8KiB\"",
     .help = "Chunk extensions and trailers of a request. Past it: 400, close."},
    {"head_timeout", KEY_DURATION, LIMIT(head_timeout), BETWEEN(100 * UNITS_MS, UNITS_H), .fallback = "\"10s\"",
     .help = "Time in which the whole head of a request has to arrive."},
    {"body_timeout", KEY_DURATION, LIMIT(body_timeout), BETWEEN(100 * UNITS_MS, UNITS_D), .fallback = "\"60s\"",
     .help = "Time in which the whole body of a request has to arrive."},
    {"idle_timeout", KEY_DURATION, LIMIT(idle_timeout), BETWEEN(100 * UNITS_MS, UNITS_D), .fallback = "\"30s\"",
     .help = "How long a connection is kept between requests."},
    {"write_timeout", KEY_DURATION, LIMIT(write_timeout), BETWEEN(100 * UNITS_MS, UNITS_D), .fallback = "\"30s\"",
     .help = "How long a client may take none of the answer before the connection is reset."},
    {"tls_handshake_timeout", KEY_DURATION, LIMIT(tls_handshake_timeout), BETWEEN(100 * UNITS_MS, UNITS_H),
     .fallback = "\"5s\"", .help = "Time for a TLS handshake."},
    {"requests_per_connection", KEY_COUNT, LIMIT(requests_per_connection), BETWEEN(1, 1000000000), .fallback = "10000",
     .help = "Requests after which a connection is closed."},
    {"connections", KEY_COUNT, LIMIT(connections), BETWEEN(0, 10000000), .fallback = "0",
     .help = "Client connections at once; 0 means 80 % of the file descriptors that the front may have."},
    {"connections_per_address", KEY_COUNT, LIMIT(connections_per_address), BETWEEN(1, 10000000), .fallback = "256",
     .help = "Connections at once from one client address."},
    {"http2_streams", KEY_COUNT, LIMIT(http2_streams), BETWEEN(1, 1000), .fallback = "100",
     .help = "Streams at once on an HTTP/2 connection."},
    {"http2_handlers", KEY_COUNT, LIMIT_AT(http2_handlers, KEY_RESTART), BETWEEN(1, 1000), .fallback = "32",
     .help = "Of these, requests that are being worked on."},
    {"http2_glitches", KEY_COUNT, LIMIT(http2_glitches), BETWEEN(1, 1000000), .fallback = "100",
     .help = "Resets, empty frames and control floods that an HTTP/2 connection may spend before it is cut; served "
             "requests refill it."},
    {"response_head_bytes", KEY_SIZE, LIMIT_AT(response_head_bytes, KEY_RESTART_BACKEND), BETWEEN(UNITS_KIB, UNITS_MIB),
     .fallback = "\"64KiB\"", .help = "Head of a backend's answer. Past it: 502."},
    {"response_header_fields", KEY_COUNT, LIMIT_AT(response_header_fields, KEY_RESTART_BACKEND), BETWEEN(1, 100),
     .fallback = "100", .help = "Fields of a backend's answer. Past it: 502."},
    {"response_interim", KEY_COUNT, LIMIT_AT(response_interim, KEY_RESTART_BACKEND), BETWEEN(0, 1000), .fallback = "10",
     .help = "Interim answers (1xx) of a backend to one request. Past it: 502."},
    {"log_line", KEY_SIZE, LIMIT_AT(log_line, KEY_RESTART_BACKEND), BETWEEN(256, 8 * UNITS_KIB), .fallback = "\"8KiB\"",
     .help = "A line that a worker writes; a longer one is cut."},
    {"log_lines_per_second", KEY_COUNT, LIMIT_AT(log_lines_per_second, KEY_RESTART_BACKEND), BETWEEN(1, 1000000),
     .fallback = "1000", .help = "Lines that a worker may write in a second; more are dropped and counted."},
};

const struct key_object keys_limits = {
    .name = "limits",
    .title = "What one client, one connection or one answer may cost. Each refusal is counted by its reason.",
    .keys = limits_keys,
    .nkeys = COUNT(limits_keys),
    .size = sizeof(struct conf_limits),
};

/* ---- limits of processes ---------------------------------------------------------------------------------------- */

#define RLIMIT(member)                                                                                                 \
    AT(conf_rlimits, member), .flags = KEY_UNLIMITED_OK, .computed = "as bulkhead itself has it",                      \
                              .reload = KEY_RESTART_BACKEND

static const struct key rlimits_keys[] = {
    {"as", KEY_SIZE, RLIMIT(as), BETWEEN(UNITS_MIB, 1024 * 1024 * UNITS_GIB), .example = "\"4GiB\"",
     .help =
         "Address space. Runtimes that reserve far more than they use (Java, Go, Node) need a lot, or none at all."},
    {"core", KEY_SIZE, AT(conf_rlimits, core), BETWEEN(0, 1024 * 1024 * UNITS_GIB), .flags = KEY_UNLIMITED_OK,
     .fallback = "\"0B\"", .reload = KEY_RESTART_BACKEND,
     .help = "A core dump. Off by default: what a process has in its memory may be anybody's."},
    {"cpu", KEY_DURATION, RLIMIT(cpu), BETWEEN(UNITS_S, 365 * UNITS_D), .example = "\"1h\"",
     .help = "CPU time of a process in all its life, in whole seconds. Past it: it is killed, and replaced."},
    {"data", KEY_SIZE, RLIMIT(data), BETWEEN(UNITS_MIB, 1024 * 1024 * UNITS_GIB), .example = "\"1GiB\"",
     .help = "Private writable memory."},
    {"fsize", KEY_SIZE, RLIMIT(fsize), BETWEEN(0, 1024 * 1024 * UNITS_GIB), .example = "\"1GiB\"",
     .help = "A file that it writes."},
    {"memlock", KEY_SIZE, RLIMIT(memlock), BETWEEN(0, 1024 * 1024 * UNITS_GIB), .example = "\"8MiB\"",
     .help = "Memory that is locked against swapping."},
    {"nofile", KEY_COUNT, RLIMIT(nofile), BETWEEN(16, 1073741816), .example = "1024", .help = "Open files."},
    {"nproc", KEY_COUNT, RLIMIT(nproc), BETWEEN(1, 4194304), .example = "256",
     .help = "Processes and threads of its user, all of them counted, whoever has started them. Root is not bound."},
    {"stack", KEY_SIZE, RLIMIT(stack), BETWEEN(64 * UNITS_KIB, 1024 * UNITS_GIB), .example = "\"8MiB\"",
     .help = "The stack of the first thread, and by default of every other."},
};

const struct key_object keys_rlimits = {
    .name = "rlimits",
    .title = "What each process of a backend may use, see setrlimit(2). Beyond what bulkhead itself is allowed only as "
             "root.",
    .keys = rlimits_keys,
    .nkeys = COUNT(rlimits_keys),
    .size = sizeof(struct conf_rlimits),
};

/* ---- backends --------------------------------------------------------------------------------------------------- */

#define CHILD (KEYS_WORKERS | KEYS_THREADS)

static const struct key backend_keys[] = {
    {"run", KEY_WORD, AT(conf_backend, run), .words = run_words, .flags = KEY_REQUIRED, .live = "\"loop\"",
     .reload = KEY_RESTART_BACKEND,
     .help = "Where calls run: \"loop\": in the event loop (proxy, or a module that never blocks); \"threads\": one "
             "thread for each running call (module, cgi); \"workers\": child processes (command, module)."},
    {"command", KEY_STRINGS, MANY(conf_backend, command, command), BETWEEN(1, 1024), .fits = KEYS_COMMAND,
     .example = "[\"uvicorn\", \"--fd\", \"3\", \"shop:app\"]", .reload = KEY_RESTART_BACKEND,
     .help = "What it runs, one of command, module, cgi and proxy. command: a program and its arguments, as a list (no "
             "shell). The listening socket that the program serves is its file descriptor 3, announced by LISTEN_FDS "
             "as systemd does, and named in BULKHEAD_SOCKET. A program without '/' is looked up in PATH."},
    {"module", KEY_FILE, AT(conf_backend, module), .flags = KEY_BARE_OK, .fits = KEYS_MODULE, .example = "\"hash.so\"",
     .reload = KEY_RESTART_BACKEND,
     .help = "A C handler (see bulkhead-handler(3)): a file, or without '/' one of the installed handlers."},
    {"cgi", KEY_FILE, AT(conf_backend, cgi), .fits = KEYS_CGI, .example = "\"cgi-bin/\"", .reload = KEY_RESTART_BACKEND,
     .help = "A CGI program, or a directory of such programs when it ends in '/'."},
    {"proxy", KEY_UPSTREAMS, MANY(conf_backend, proxy, nproxy), BETWEEN(1, 256), .flags = KEY_ONE_OK,
     .fits = KEYS_PROXY, .example = "[\"127.0.0.1:8000\", \"unix:/run/app.sock\"]", .live = "\"127.0.0.1:8000\"",
     .reload = KEY_RESTART_BACKEND,
     .help = "HTTP servers that run elsewhere: \"host:port\" or \"unix:/path\", or a list of these, of which the least "
             "busy is asked. A name is resolved once, when the conf is loaded; IPv4 is preferred."},
    {"protocol", KEY_WORD, AT(conf_backend, protocol), .words = protocol_words, .fallback = "\"http\"",
     .fits = KEYS_COMMAND, .reload = KEY_RESTART_BACKEND,
     .help = "What the command speaks on its socket; \"fastcgi\" programs get the socket on descriptor 0 as well."},
    {"root", KEY_FILE, AT(conf_backend, root), .fits = KEYS_FASTCGI | KEYS_CGI, .example = "\"/srv/www\"",
     .reload = KEY_RESTART_BACKEND, .help = "DOCUMENT_ROOT of FastCGI and CGI programs."},
    {"index", KEY_STRING, AT(conf_backend, index), .fallback = "\"index.php\"", .fits = KEYS_FASTCGI,
     .grammar = grammar_file_leaf, .reload = KEY_RESTART_BACKEND,
     .help = "FastCGI: the file that is meant by a path that ends in '/'."},
    {"options", KEY_JSON, AT(conf_backend, options_json), .fallback = "{}", .fits = KEYS_MODULE,
     .example = "{ \"cost\": 12 }", .reload = KEY_RESTART_BACKEND,
     .help = "What the module is to know: any JSON object; its documentation says what is in it."},
    {"workers", KEY_UNSIGNED, AT(conf_backend, workers), BETWEEN(1, 1024), .computed = "the number of online CPUs",
     .example = "4", .fits = KEYS_WORKERS, .reload = KEY_RESTART_BACKEND, .help = "Child processes."},
    {"concurrency", KEY_UNSIGNED, AT(conf_backend, concurrency), BETWEEN(1, 1024), .fallback = "1",
     .fits = KEYS_WORKERS, .reload = KEY_RESTART_BACKEND,
     .help = "Calls that one worker is given at once. With 1, a worker that blocks delays its own call only."},
    {"threads", KEY_UNSIGNED, AT(conf_backend, threads), BETWEEN(1, 1024), .fallback = "16", .fits = KEYS_THREADS,
     .reload = KEY_RESTART_BACKEND, .help = "Calls that run at once, each on a thread of its own."},
    {"in_front", KEY_BOOL, AT(conf_backend, in_front), .fallback = "false", .fits = KEYS_THREADS | KEYS_MODULE,
     .reload = KEY_RESTART_BACKEND,
     .help = "Runs the threads in the process that holds the client connections instead of one of their own: a little "
             "faster, and a crash of the module is a crash of the front."},
    {"limit", KEY_UNSIGNED, AT(conf_backend, limit), BETWEEN(1, 100000), .fallback = "100", .fits = KEYS_LOOP,
     .reload = KEY_RESTART_BACKEND,
     .help = "Calls at once. For the other classes this follows: threads, or workers times concurrency."},
    {"queue", KEY_UNSIGNED, AT(conf_backend, queue), BETWEEN(0, 1000000), .computed = "ten times the limit",
     .example = "40", .reload = KEY_LIVE,
     .help = "Calls that may wait when the limit is reached. Past it: 503 queue-full, at once."},
    {"queue_timeout", KEY_DURATION, AT(conf_backend, queue_timeout), BETWEEN(UNITS_MS, UNITS_H), .fallback = "\"5s\"",
     .reload = KEY_LIVE, .help = "How long a call may wait. Past it: 503 queue-timeout."},
    {"timeout", KEY_DURATION, AT(conf_backend, timeout), BETWEEN(UNITS_MS, UNITS_D), .fallback = "\"60s\"",
     .reload = KEY_LIVE,
     .help = "How long a call may run; while its client does not take the answer (see max_response_buffer) the clock "
             "stands still. Past it: 504 deadline; a worker is then killed and replaced, a thread's slot stays taken "
             "until the thread returns. When every thread of a backend is past its time and calls wait, the process "
             "is replaced as a worker is, unless in_front."},
    {"warn_after", KEY_DURATION, AT(conf_backend, warn_after), BETWEEN(UNITS_MS, UNITS_D),
     .computed = "5s, or timeout if that is less", .example = "\"5s\"", .reload = KEY_LIVE,
     .help =
         "A call that runs longer is reported in the log while it runs, once: its request and age, and of the process "
         "that runs it the state, the system call and the CPU time that it has taken for it."},
    {"start_timeout", KEY_DURATION, AT(conf_backend, start_timeout), BETWEEN(100 * UNITS_MS, UNITS_H),
     .fallback = "\"30s\"", .fits = CHILD, .reload = KEY_LIVE,
     .help = "Time in which a new process must be able to serve; then it is killed and another is tried."},
    {"stop_timeout", KEY_DURATION, AT(conf_backend, stop_timeout), BETWEEN(UNITS_MS, UNITS_H), .fallback = "\"10s\"",
     .fits = CHILD, .reload = KEY_LIVE, .help = "Time between SIGTERM and SIGKILL for a process that has to go."},
    {"connect_timeout", KEY_DURATION, AT(conf_backend, connect_timeout), BETWEEN(UNITS_MS, UNITS_H),
     .fallback = "\"5s\"", .reload = KEY_RESTART_BACKEND, .help = "Time to connect to a proxied server or a worker."},
    {"first_byte_timeout", KEY_DURATION, AT(conf_backend, first_byte_timeout), BETWEEN(UNITS_MS, UNITS_D),
     .flags = KEY_NONE_OK, .fallback = "\"none\"", .reload = KEY_RESTART_BACKEND,
     .help = "Time until an answer begins; \"none\" leaves it to timeout."},
    {"idle_timeout", KEY_DURATION, AT(conf_backend, idle_timeout), BETWEEN(UNITS_MS, UNITS_D), .fallback = "\"30s\"",
     .reload = KEY_RESTART_BACKEND, .help = "The longest silence within an answer that has begun."},
    {"keep_alive", KEY_DURATION, AT(conf_backend, keep_alive), BETWEEN(0, UNITS_D), .fallback = "\"30s\"",
     .reload = KEY_RESTART_BACKEND, .help = "How long an unused connection to a proxied server or a worker is kept."},
    {"on_abandon", KEY_WORD, AT(conf_backend, on_abandon), .words = on_abandon_words, .fallback = "\"finish\"",
     .fits = KEYS_WORKERS, .reload = KEY_RESTART_BACKEND,
     .help = "What becomes of a running call whose client has left: it finishes, or its worker is killed and replaced. "
             "Its slot is free when the work has ended, not before."},
    {"kill_only_if_queued", KEY_BOOL, AT(conf_backend, kill_only_if_queued), .fallback = "false", .fits = KEYS_WORKERS,
     .reload = KEY_RESTART_BACKEND,
     .help = "A worker whose call runs past timeout is killed only if other calls wait for a slot, then or later; else "
             "it may finish what it does. The client gets its 504 in either case."},
    {"max_requests", KEY_COUNT, AT(conf_backend, max_requests), BETWEEN(0, 1000000000), .fallback = "0", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND,
     .help = "Calls after which a process is replaced, give or take a tenth, so that not all go at once; 0: never. It "
             "is replaced politely: another is started and ready first, then it gets no new calls, and it is stopped "
             "when those that it has have ended."},
    {"max_lifetime", KEY_DURATION, AT(conf_backend, max_lifetime), BETWEEN(UNITS_S, 366 * UNITS_D),
     .flags = KEY_NONE_OK, .fallback = "\"none\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "Age at which a process is replaced politely, give or take a tenth."},
    {"memory_limit", KEY_SIZE, AT(conf_backend, memory_limit), BETWEEN(UNITS_MIB, 1024 * UNITS_GIB),
     .flags = KEY_NONE_OK, .fallback = "\"none\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "Resident memory of a process and of what it has started, looked at every second, above which it is "
             "replaced politely. Pages that processes share count for each of them."},
    {"memory_limit_hard", KEY_SIZE, AT(conf_backend, memory_limit_hard), BETWEEN(UNITS_MIB, 1024 * UNITS_GIB),
     .flags = KEY_NONE_OK, .fallback = "\"none\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "The same, above which it is killed at once: calls that run on it are answered with 502 worker-lost."},
    {"max_surge", KEY_UNSIGNED, AT(conf_backend, max_surge), BETWEEN(1, 1024), .fallback = "1", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND,
     .help = "How many processes there may be beyond workers while others are being replaced. They serve no more calls "
             "at once than before."},
    {"ready_path", KEY_STRING, AT(conf_backend, ready_path), .example = "\"/healthz\"",
     .fits = KEYS_WORKERS | KEYS_HTTP, .grammar = grammar_target, .reload = KEY_RESTART_BACKEND,
     .help = "A new worker is ready when it answers GET of this path with 2xx; without it, when it accepts a "
             "connection."},
    {"bridges", KEY_UNSIGNED, AT(conf_backend, bridges), BETWEEN(1, 100000), .fallback = "1000", .fits = KEYS_HTTP,
     .reload = KEY_RESTART_BACKEND,
     .help = "Bridged WebSockets and tunnels (see websocket of a route) at once on one worker or proxied server. They "
             "take no slot of a call."},
    {"nice", KEY_INT, AT(conf_backend, nice), BETWEEN(-20, 19), .fallback = "10", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND,
     .help = "CPU priority of the processes below that of the front: a higher number is a lower priority."},
    {"directory", KEY_FILE, AT(conf_backend, directory), .computed = "the directory of the conf file",
     .example = "\"/srv/shop\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "Working directory of the processes."},
    {"environment", KEY_PAIRS, MANY(conf_backend, environment, nenvironment), BETWEEN(0, 1024),
     .grammar = grammar_variable, .example = "{ \"DATABASE\": \"shop.db\" }", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND, .help = "Environment variables of the processes, added to bulkhead's own."},
    {"user", KEY_STRING, AT(conf_backend, user), .example = "\"shop\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "User that the processes run as: a name or a number."},
    {"group", KEY_STRING, AT(conf_backend, group), .example = "\"shop\"", .fits = CHILD, .reload = KEY_RESTART_BACKEND,
     .help = "Group that the processes run as: a name or a number."},
    {"no_new_privileges", KEY_BOOL, AT(conf_backend, no_new_privileges), .fallback = "true", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND,
     .help =
         "Whether programs that the processes execute gain no privileges by being set-user-ID or the like. False is "
         "for backends that use sudo or a sendmail program; it has no effect where bulkhead itself runs so."},
    {"umask", KEY_MODE, AT(conf_backend, umask), .computed = "bulkhead's own", .example = "\"0027\"", .fits = CHILD,
     .reload = KEY_RESTART_BACKEND, .help = "Permissions that files lack that the processes create, in octal."},
    {"rlimits", KEY_OBJECT, AT(conf_backend, rlimits), .object = &keys_rlimits, .fits = CHILD,
     .example = "{ \"nofile\": 1024, \"core\": \"unlimited\" }", .reload = KEY_RESTART_BACKEND,
     .help = "What each process may use."},
    {"max_response_buffer", KEY_SIZE, AT(conf_backend, max_response_buffer), BETWEEN(64 * UNITS_KIB, 64 * UNITS_GIB),
     .fallback = "\"64MiB\"", .reload = KEY_RESTART_BACKEND,
     .help = "How much of an answer is taken from the backend ahead of a slow client, in memory and then in a file; "
             "past it the backend waits, and the call keeps its slot as long as the client takes 64KiB within "
             "limits.write_timeout; one that takes less has its answer cut."},
};

static unsigned backend_kind(const void *object)
{
    const struct conf_backend *backend = object;
    unsigned kind = KEYS_LOOP << backend->run | KEYS_COMMAND << backend->what;
    if (backend->what == CONF_WHAT_COMMAND)
        kind |= backend->protocol == CONF_PROTOCOL_FASTCGI ? KEYS_FASTCGI : KEYS_HTTP;
    return backend->what == CONF_WHAT_PROXY ? kind | KEYS_HTTP : kind;
}

const struct key_object keys_backend = {
    .name = "backend",
    .title = "A compartment: what runs, where, how much of it at once, and for how long.",
    .keys = backend_keys,
    .nkeys = COUNT(backend_keys),
    .size = sizeof(struct conf_backend),
    .kind = backend_kind,
    .one_of = backend_one_of,
};

/* ---- routes ----------------------------------------------------------------------------------------------------- */

#define IN_RESPOND(member) .offset = offsetof(struct conf_route, respond.member) - offsetof(struct conf_route, respond)
#define IN_REDIRECT(member)                                                                                            \
    .offset = offsetof(struct conf_route, redirect.member) - offsetof(struct conf_route, redirect)
#define IN_FILES(member) .offset = offsetof(struct conf_route, files.member) - offsetof(struct conf_route, files)

static const struct key respond_keys[] = {
    {"status", KEY_INT, IN_RESPOND(status), BETWEEN(200, 599), .fallback = "200", .reload = KEY_LIVE,
     .help = "Status of the answer."},
    {"body", KEY_STRING, IN_RESPOND(body), BETWEEN(0, UNITS_MIB), .flags = KEY_EMPTY_OK, .fallback = "\"\"",
     .reload = KEY_LIVE, .help = "Body of the answer."},
    {"content_type", KEY_STRING, IN_RESPOND(content_type), .fallback = "\"text/plain; charset=utf-8\"",
     .grammar = grammar_field_value, .reload = KEY_LIVE, .help = "Its Content-Type."},
};

const struct key_object keys_respond = {
    .name = "respond",
    .title = "A fixed answer.",
    .keys = respond_keys,
    .nkeys = COUNT(respond_keys),
    .size = sizeof(((struct conf_route *)0)->respond),
};

static const struct key redirect_keys[] = {
    {"status", KEY_INT, IN_REDIRECT(status), BETWEEN(301, 308), .fallback = "302", .reload = KEY_LIVE,
     .help = "Status of the answer: 301, 302, 303, 307 or 308."},
    {"to", KEY_STRING, IN_REDIRECT(to), .flags = KEY_REQUIRED, .example = "\"https://$host$path$query\"",
     .grammar = grammar_redirect, .reload = KEY_LIVE,
     .help = "The Location, in which $host, $path and $query stand for those of the request ($query with its '?')."},
};

const struct key_object keys_redirect = {
    .name = "redirect",
    .title = "A redirection; a plain string is short for {\"to\": string}.",
    .keys = redirect_keys,
    .nkeys = COUNT(redirect_keys),
    .size = sizeof(((struct conf_route *)0)->redirect),
    .short_form = "to",
};

static const struct key files_keys[] = {
    {"root", KEY_FILE, IN_FILES(root), .flags = KEY_REQUIRED, .example = "\"/srv/www\"", .reload = KEY_LIVE,
     .help = "Directory that holds the files. What is served is the path of the request, less the route's path_prefix, "
             "below it."},
    {"index", KEY_STRING, IN_FILES(index), .fallback = "\"index.html\"", .grammar = grammar_file_leaf,
     .reload = KEY_LIVE, .help = "The file that is meant by a directory."},
};

const struct key_object keys_files = {
    .name = "files",
    .title = "Files of a directory; a plain string is short for {\"root\": string}.",
    .keys = files_keys,
    .nkeys = COUNT(files_keys),
    .size = sizeof(((struct conf_route *)0)->files),
    .short_form = "root",
};

static const struct key header_rules_keys[] = {
    {"set", KEY_PAIRS, MANY(conf_header_rules, set, nset), BETWEEN(0, 100), .grammar = grammar_rule_name,
     .value_grammar = grammar_field_value, .example = "{ \"x-frame-options\": \"deny\" }", .reload = KEY_LIVE,
     .help = "Fields that replace those of the same name."},
    {"add", KEY_PAIRS, MANY(conf_header_rules, add, nadd), BETWEEN(0, 100), .grammar = grammar_rule_name,
     .value_grammar = grammar_field_value, .example = "{ \"vary\": \"accept\" }", .reload = KEY_LIVE,
     .help = "Fields that are added."},
    {"remove", KEY_STRINGS, MANY(conf_header_rules, remove, nremove), BETWEEN(0, 100), .flags = KEY_ONE_OK,
     .grammar = grammar_rule_name, .example = "[\"server\"]", .reload = KEY_LIVE, .help = "Names of fields that go."},
};

const struct key_object keys_header_rules = {
    .name = "header_rules",
    .title = "Changes to the fields of a request or an answer: first remove, then set, then add.",
    .keys = header_rules_keys,
    .nkeys = COUNT(header_rules_keys),
    .size = sizeof(struct conf_header_rules),
};

#define ANY_WEBSOCKET (KEYS_MESSAGES | KEYS_BRIDGE | KEYS_TUNNEL)
#define FRAMED        (KEYS_MESSAGES | KEYS_BRIDGE)

static const struct key websocket_keys[] = {
    {"mode", KEY_WORD, AT(conf_websocket, mode), BETWEEN(CONF_WEBSOCKET_MESSAGES, CONF_WEBSOCKET_TUNNEL),
     .words = websocket_mode_words, .flags = KEY_REQUIRED, .fits = ANY_WEBSOCKET, .example = "\"messages\"",
     .reload = KEY_LIVE,
     .help =
         "\"messages\": each message is a call of the backend, and its answer a message; whatever is no handshake is "
         "answered with 426. \"bridge\": the backend speaks WebSocket itself, and messages pass between it and the "
         "client. \"tunnel\": the backend upgrades the connection, to any protocol, and bytes pass. A request that "
         "is no handshake is an ordinary one to a bridge or a tunnel."},
    {"format", KEY_WORD, AT(conf_websocket, format), .words = websocket_format_words, .fallback = "\"plain\"",
     .fits = KEYS_MESSAGES, .reload = KEY_LIVE,
     .help = "\"plain\": the body of a call is the message. \"events\": it is application/websocket-events, and the "
             "backend hears of the opening and the end of each connection as well."},
    {"on_error", KEY_WORD, AT(conf_websocket, on_error), .words = websocket_on_error_words, .fallback = "\"message\"",
     .fits = KEYS_MESSAGES, .reload = KEY_LIVE,
     .help = "What the client gets for a message whose call was refused or failed: a message, {\"error\": {…}}, or the "
             "end of the connection with the close code that says the same."},
    {"in_flight", KEY_UNSIGNED, AT(conf_websocket, in_flight), BETWEEN(1, 64), .fallback = "1", .fits = KEYS_MESSAGES,
     .reload = KEY_LIVE,
     .help = "Calls of one connection at once. The answers go out in the order of the messages all the same."},
    {"origins", KEY_STRINGS, MANY(conf_websocket, origins, norigins), BETWEEN(1, 1024), .flags = KEY_ONE_OK,
     .grammar = grammar_origin, .fits = ANY_WEBSOCKET, .computed = "any", .example = "[\"https://www.example.org\"]",
     .reload = KEY_LIVE,
     .help = "The pages that may connect, by their origins as browsers send them; \"null\" is the origin of local "
             "files. Any other: 403 origin-not-allowed. A client that sends no Origin is no browser and may connect."},
    {"protocols", KEY_STRINGS, MANY(conf_websocket, protocols, nprotocols), BETWEEN(1, 64), .flags = KEY_ONE_OK,
     .grammar = grammar_token, .fits = KEYS_MESSAGES, .example = "[\"chat.v2\", \"chat\"]", .reload = KEY_LIVE,
     .help =
         "The subprotocols that are spoken here, the most wanted first: of these, the first that the client offers is "
         "chosen, or none."},
    {"ping_interval", KEY_DURATION, AT(conf_websocket, ping_interval), BETWEEN(100 * UNITS_MS, UNITS_D),
     .flags = KEY_NONE_OK, .fallback = "\"20s\"", .fits = FRAMED, .reload = KEY_LIVE,
     .help = "Silence after which the client is pinged, and the proxied server of a bridge."},
    {"pong_timeout", KEY_DURATION, AT(conf_websocket, pong_timeout), BETWEEN(100 * UNITS_MS, UNITS_D),
     .fallback = "\"20s\"", .fits = FRAMED, .reload = KEY_LIVE,
     .help = "Silence after a ping that means that the client is lost. A bridge waits for no pong of its "
             "backend, which could send none while it blocks."},
    {"idle_timeout", KEY_DURATION, AT(conf_websocket, idle_timeout), BETWEEN(100 * UNITS_MS, UNITS_D),
     .flags = KEY_NONE_OK, .fits = ANY_WEBSOCKET, .computed = "\"none\", and 5m for a tunnel", .example = "\"5m\"",
     .reload = KEY_LIVE,
     .help =
         "How long a connection may be without a message either way (a tunnel: without a byte); pings do not "
         "count, and one whose message is being worked on is not idle. Past it: close code 1000, or a tunnel's end."},
    {"max_message", KEY_SIZE, AT(conf_websocket, max_message), BETWEEN(UNITS_KIB, 64 * UNITS_MIB),
     .fallback = "\"1MiB\"", .fits = FRAMED, .reload = KEY_LIVE,
     .help = "The largest message, either way. Past it: close code 1009; an answer: 502 answer-too-large."},
    {"max_unsent", KEY_SIZE, AT(conf_websocket, max_unsent), BETWEEN(4 * UNITS_KIB, 64 * UNITS_MIB),
     .fallback = "\"256KiB\"", .fits = ANY_WEBSOCKET, .reload = KEY_LIVE,
     .help = "What a peer that reads slowly may leave unsent; past it no more is taken for it until half has gone."},
    {"read_ahead", KEY_SIZE, AT(conf_websocket, read_ahead), BETWEEN(0, 16 * UNITS_MIB), .fallback = "\"64KiB\"",
     .fits = KEYS_MESSAGES, .reload = KEY_LIVE,
     .help = "Messages that are taken while in_flight calls run, in bytes; past it nothing is read but what is not "
             "data."},
    {"max_connections", KEY_UNSIGNED, AT(conf_websocket, max_connections), BETWEEN(0, 10000000), .fallback = "0",
     .fits = ANY_WEBSOCKET, .reload = KEY_LIVE,
     .help = "WebSockets at once on this route; 0 leaves it to limits.connections. Past it: 503 websockets-full."},
    {"control_frames", KEY_UNSIGNED, AT(conf_websocket, control_frames), BETWEEN(1, 1000000), .fallback = "10",
     .fits = FRAMED, .reload = KEY_LIVE,
     .help = "Pings and pongs that may come in a second, ten seconds' worth of them at once. Past it: close code "
             "1008."},
    {"log_messages", KEY_BOOL, AT(conf_websocket, log_messages), .fallback = "false", .fits = KEYS_MESSAGES,
     .reload = KEY_LIVE, .help = "Whether the access log has a line for each message as it has for each request."},
    {"reconnect", KEY_BOOL, AT(conf_websocket, reconnect), .fallback = "false", .fits = KEYS_BRIDGE, .reload = KEY_LIVE,
     .help = "Whether a bridge whose backend's side broke is connected anew, with the same handshake, while the client "
             "stays; without, the client is told: close code 1012. The backend has to cope with a client that it has "
             "not seen from the beginning."},
    {"reconnect_timeout", KEY_DURATION, AT(conf_websocket, reconnect_timeout), BETWEEN(100 * UNITS_MS, UNITS_H),
     .fallback = "\"10s\"", .fits = KEYS_BRIDGE, .reload = KEY_LIVE,
     .help = "Time for that. Past it: close code 1012."},
};

static unsigned websocket_kind(const void *object)
{
    static const unsigned kinds[CONF_WEBSOCKET_MODE_COUNT] = {
        [CONF_WEBSOCKET_MESSAGES] = KEYS_MESSAGES,
        [CONF_WEBSOCKET_BRIDGE] = KEYS_BRIDGE,
        [CONF_WEBSOCKET_TUNNEL] = KEYS_TUNNEL,
    };
    const struct conf_websocket *websocket = object;
    return kinds[websocket->mode];
}

const struct key_object keys_websocket = {
    .name = "websocket",
    .title = "What becomes of WebSocket handshakes; a plain string is short for {\"mode\": string}.",
    .keys = websocket_keys,
    .nkeys = COUNT(websocket_keys),
    .size = sizeof(struct conf_websocket),
    .short_form = "mode",
    .kind = websocket_kind,
};

static const struct key route_keys[] = {
    {"name", KEY_STRING, AT(conf_route, name), BETWEEN(1, 128), .grammar = grammar_field_value,
     .computed = "its place, as \"file:line\"", .example = "\"checkout\"", .reload = KEY_LIVE,
     .help = "What the access log calls this route."},
    {"host", KEY_STRINGS, MANY(conf_route, hosts, nhosts), BETWEEN(1, 1024), .flags = KEY_ONE_OK,
     .grammar = grammar_host, .example = "[\"example.org\", \"*.example.org\"]", .reload = KEY_LIVE,
     .help = "What a request must look like: every match key that is there must match. host: the name, or one of the "
             "names, that the client asks for, without a port; \"*.\" stands for any sub-domain."},
    {"path", KEY_STRING, AT(conf_route, path), BETWEEN(1, 8 * UNITS_KIB), .grammar = grammar_path,
     .example = "\"/healthz\"", .reload = KEY_LIVE, .help = "The whole path."},
    {"path_prefix", KEY_STRING, AT(conf_route, path_prefix), BETWEEN(1, 8 * UNITS_KIB), .grammar = grammar_path,
     .example = "\"/\"", .live = "\"/\"", .reload = KEY_LIVE, .help = "What the path begins with."},
    {"path_regex", KEY_STRING, AT(conf_route, path_regex), BETWEEN(1, 4 * UNITS_KIB), .grammar = grammar_regex,
     .example = "\"^/q/[a-z]+$\"", .reload = KEY_LIVE,
     .help = "A regular expression (PCRE2) that matches somewhere in the path. Of path, path_prefix and path_regex, a "
             "route has at most one."},
    {"methods", KEY_STRINGS, MANY(conf_route, methods, nmethods), BETWEEN(1, 64), .flags = KEY_ONE_OK,
     .grammar = grammar_method, .example = "[\"GET\", \"HEAD\"]", .reload = KEY_LIVE, .help = "The methods."},
    {"headers", KEY_MATCHES, MANY(conf_route, headers, nheaders), BETWEEN(1, 64), .grammar = grammar_match_name,
     .value_grammar = grammar_field_value, .example = "{ \"x-version\": \"2\", \"x-debug\": true }", .reload = KEY_LIVE,
     .help = "Fields of the request and their values; true asks only for the field to be there."},
    {"backend", KEY_BACKEND, AT(conf_route, backend), .fits = KEYS_BACKEND, .example = "\"app\"", .live = "\"app\"",
     .reload = KEY_LIVE,
     .help = "What serves it, one of backend, respond, redirect and files. backend: the name of a backend."},
    {"respond", KEY_OBJECT, AT(conf_route, respond), .object = &keys_respond, .fits = KEYS_RESPOND,
     .example = "{ \"status\": 200, \"body\": \"ok\\n\" }", .reload = KEY_LIVE, .help = "A fixed answer."},
    {"redirect", KEY_OBJECT, AT(conf_route, redirect), .object = &keys_redirect, .fits = KEYS_REDIRECT,
     .example = "\"/new/\"", .reload = KEY_LIVE, .help = "A redirection."},
    {"files", KEY_OBJECT, AT(conf_route, files), .object = &keys_files, .fits = KEYS_FILES, .example = "\"/srv/www\"",
     .reload = KEY_LIVE, .help = "Files of a directory."},
    {"websocket", KEY_OBJECT, AT(conf_route, websocket), .object = &keys_websocket, .fits = KEYS_BACKEND,
     .example = "\"messages\"", .reload = KEY_LIVE,
     .help = "Takes WebSocket connections, which outlive whatever the backend is doing: pings are answered here."},
    {"timeout", KEY_DURATION, AT(conf_route, timeout), BETWEEN(UNITS_MS, UNITS_D), .computed = "the backend's",
     .example = "\"10s\"", .fits = KEYS_BACKEND, .reload = KEY_LIVE,
     .help = "How long a call may run, be it a request or a WebSocket message."},
    {"queue_timeout", KEY_DURATION, AT(conf_route, queue_timeout), BETWEEN(UNITS_MS, UNITS_H),
     .computed = "the backend's", .example = "\"1s\"", .fits = KEYS_BACKEND, .reload = KEY_LIVE,
     .help = "How long a call may wait."},
    {"max_body", KEY_SIZE, AT(conf_route, max_body), BETWEEN(0, 64 * UNITS_GIB), .computed = "limits.max_body",
     .example = "\"64KiB\"", .fits = KEYS_REQUESTS, .reload = KEY_LIVE,
     .help = "The largest body of a request. Past it: 413. What bounds WebSocket messages is websocket.max_message."},
    {"buffer", KEY_BOOL, AT(conf_route, buffer), .fallback = "true", .fits = KEYS_REQUESTS | KEYS_BACKEND,
     .reload = KEY_LIVE,
     .help = "Whether the backend's answer is taken as fast as it comes and held for the client. With false it streams "
             "(server-sent events, long downloads), and a slow client holds a slot."},
    {"strip_prefix", KEY_STRING, AT(conf_route, strip_prefix), BETWEEN(1, 8 * UNITS_KIB), .grammar = grammar_path,
     .example = "\"/app\"", .fits = KEYS_BACKEND, .reload = KEY_LIVE,
     .help = "What is taken from the beginning of the path that the backend sees."},
    {"request_headers", KEY_OBJECT, AT(conf_route, request_headers), .object = &keys_header_rules, .fits = KEYS_BACKEND,
     .example = "{ \"set\": { \"x-tenant\": \"a\" } }", .reload = KEY_LIVE,
     .help = "Changes to the fields that the backend sees."},
    {"response_headers", KEY_OBJECT, AT(conf_route, response_headers), .object = &keys_header_rules,
     .example = "{ \"remove\": [\"server\"] }", .reload = KEY_LIVE,
     .help = "Changes to the fields that the client sees."},
};

static unsigned route_kind(const void *object)
{
    const struct conf_route *route = object;
    unsigned kind = KEYS_BACKEND << route->action;
    return route->websocket.mode == CONF_WEBSOCKET_MESSAGES ? kind : kind | KEYS_REQUESTS;
}

const struct key_object keys_route = {
    .name = "route",
    .title = "A rule: what a request must look like, what serves it, and what is special about it.",
    .keys = route_keys,
    .nkeys = COUNT(route_keys),
    .size = sizeof(struct conf_route),
    .kind = route_kind,
    .one_of = route_one_of,
    .at_most_one = route_at_most_one,
};

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static const struct key root_keys[] = {
    {"$schema", KEY_IGNORED, .example = "\"bulkhead.schema.json\"", .reload = KEY_LIVE,
     .help = "For editors that check a file while it is written; not read otherwise."},
    {"include", KEY_INCLUDE, .flags = KEY_ONE_OK, .example = "\"conf.d/*.conf\"", .reload = KEY_LIVE,
     .help = "Files, or a list of files, with more of the conf, as patterns relative to this file. Their listeners and "
             "routes come behind those of this file, in the order of their names; a backend or another key may "
             "stand in one file only."},
    {"listeners", KEY_LIST, MANY(conf, listeners, nlisteners), BETWEEN(1, 256), .flags = KEY_REQUIRED,
     .object = &keys_listener, .live = "", .reload = KEY_LIVE, .help = "Where clients come in."},
    {"admin", KEY_POINTER, AT(conf, admin), .object = &keys_listener, .example = "{ \"bind\": \"127.0.0.1:8081\" }",
     .reload = KEY_LIVE,
     .help =
         "A listener of its own for /healthz, /readyz and /status, and for what is pushed to WebSockets, /ws. Not for "
         "the public."},
    {"control", KEY_FILE, AT(conf, control),
     .computed = "control.sock in $RUNTIME_DIRECTORY (set by systemd), else in /run/bulkhead for root, else in "
                 "$XDG_RUNTIME_DIR/bulkhead, else in /tmp/bulkhead-UID",
     .example = "\"/run/bulkhead/control.sock\"", .reload = KEY_RESTART,
     .help = "Unix socket through which the commands reach the running bulkhead."},
    {"runtime_directory", KEY_FILE, AT(conf, runtime_directory), .computed = "the directory of control",
     .example = "\"/run/bulkhead\"", .reload = KEY_RESTART, .help = "Directory for the sockets of the workers."},
    {"spool_directory", KEY_FILE, AT(conf, spool_directory), .computed = "$TMPDIR, else /var/tmp",
     .example = "\"/var/tmp\"", .reload = KEY_RESTART, .help = "Directory for bodies that are too large for memory."},
    {"threads", KEY_UNSIGNED, AT(conf, threads), BETWEEN(1, 64), .fallback = "1", .reload = KEY_RESTART,
     .help = "Event-loop threads of the front. One serves a core's worth of requests; blocking work is not their "
             "business."},
    {"user", KEY_STRING, AT(conf, user), .example = "\"bulkhead\"", .reload = KEY_RESTART,
     .help = "User that the front runs as when bulkhead is started by root: a name or a number."},
    {"group", KEY_STRING, AT(conf, group), .example = "\"bulkhead\"", .reload = KEY_RESTART,
     .help = "Group that the front runs as: a name or a number."},
    {"drain_delay", KEY_DURATION, AT(conf, drain_delay), BETWEEN(0, UNITS_H), .fallback = "\"0s\"", .reload = KEY_LIVE,
     .help = "Before it stops, bulkhead serves on for this long while /readyz of the admin listener says no (503), so "
             "that load "
             "balancers turn elsewhere first."},
    {"drain_timeout", KEY_DURATION, AT(conf, drain_timeout), BETWEEN(UNITS_MS, UNITS_D), .fallback = "\"30s\"",
     .reload = KEY_LIVE, .help = "Time for running calls when bulkhead stops."},
    {"heartbeat_timeout", KEY_DURATION, AT(conf, heartbeat_timeout), BETWEEN(UNITS_S, UNITS_H), .fallback = "\"5s\"",
     .reload = KEY_LIVE, .help = "A front whose loops have not turned for this long is killed and replaced."},
    {"trusted_proxies", KEY_STRINGS, MANY(conf, trusted_proxies, ntrusted_proxies), BETWEEN(0, 1024),
     .flags = KEY_ONE_OK, .grammar = grammar_network, .example = "[\"192.0.2.0/24\", \"unix:\"]", .reload = KEY_LIVE,
     .help = "Peers whose X-Forwarded-* and Forwarded fields are believed: addresses, networks, or \"unix:\" for every "
             "Unix socket."},
    {"log", KEY_OBJECT, AT(conf, log), .object = &keys_log, .reload = KEY_LIVE, .help = "The logs."},
    {"limits", KEY_OBJECT, AT(conf, limits), .object = &keys_limits, .reload = KEY_LIVE, .help = "The limits."},
    {"backends", KEY_MAP, MANY(conf, backends, nbackends), BETWEEN(0, 1000), .flags = KEY_EMPTY_OK,
     .object = &keys_backend, .grammar = grammar_backend_name, .live = "", .reload = KEY_LIVE,
     .help = "The compartments, by name."},
    {"routes", KEY_LIST, MANY(conf, routes, nroutes), BETWEEN(1, 100000), .flags = KEY_REQUIRED, .object = &keys_route,
     .live = "{ \"path\": \"/healthz\", \"respond\": { \"body\": \"ok\\n\" } }", .reload = KEY_LIVE,
     .help = "The rules. The first that matches a request serves it."},
};

const struct key_object keys_root = {
    .name = "top level",
    .title = "Listeners, backends and routes, and what holds for all of them.",
    .keys = root_keys,
    .nkeys = COUNT(root_keys),
    .size = sizeof(struct conf),
};

/* ---- looking up ------------------------------------------------------------------------------------------------- */

const struct key *keys_find(const struct key_object *object, const char *name)
{
    for (size_t i = 0; i < object->nkeys; i++)
        if (strcmp(object->keys[i].name, name) == 0)
            return &object->keys[i];
    return NULL;
}

bool keys_fits(const struct key *key, unsigned kind)
{
    const unsigned groups[] = {0x00fu, ~0x00fu};
    for (size_t i = 0; i < COUNT(groups); i++) {
        unsigned wanted = key->fits & groups[i];
        if (wanted != 0 && (wanted & kind) == 0)
            return false;
    }
    return true;
}

const char *keys_reload_name(enum key_reload reload)
{
    static const char *const names[KEY_RELOAD_COUNT] = {"live", "restart-listener", "restart-backend", "restart"};
    return names[reload];
}
