/* SPDX-License-Identifier: MIT
 *
 * send_command: see send_command.h. On the control socket this is an HTTP request, which the front answers: POST to
 * /ws/ID or /ws?route=NAME, as any HTTP client may send it there.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/lexis.h"
#include "base/mem.h"
#include "cli/control_client.h"
#include "cli/send_command.h"

#define EXIT_BAD    2
#define PATIENCE_S  30
#define READ_BYTES  65536
#define MESSAGE_MAX (1024 * 1024 * 1024)
/* its answers are a few hundred bytes */
#define ANSWER_MAX 65536

static const char usage[] =
    "Usage: bulkhead send [-c FILE | --control PATH] (ID | --route NAME) [--binary]\n"
    "                     [--close CODE [--reason TEXT]] [MESSAGE | -]\n"
    "\n"
    "Sends MESSAGE to an open WebSocket, by its Connection-Id, or to all of a route.\n"
    "\n"
    "  -r, --route NAME     all WebSockets of the route of that name\n"
    "  -b, --binary         a binary message; else it is text, in UTF-8\n"
    "      --close CODE     close it, behind the message if there is one: 1000, 4000, ...\n"
    "      --reason TEXT    what the close frame says, at most 123 bytes\n"
    "  -c, --conf FILE      the conf file that it runs with, which names its control socket\n"
    "      --control PATH   its control socket (default: where a conf that does not say puts it)\n"
    "  -h, --help           print this\n"
    "\n"
    "A MESSAGE of \"-\" is read from the standard input.\n"
    "\n"
    "Exit status: 0 sent, 1 not sent, 2 the usage or the conf is bad.\n";

struct options {
    const char *file, *control, *id, *route, *close, *reason, *message;
    bool binary, help, wrong;
};

/* ---- the command line ------------------------------------------------------------------------------------------- */

static void take_option(struct options *o, int letter)
{
    switch (letter) {
    case 'c':
        o->file = optarg;
        break;
    case 's':
        o->control = optarg;
        break;
    case 'r':
        o->route = optarg;
        break;
    case 'x':
        o->close = optarg;
        break;
    case 'y':
        o->reason = optarg;
        break;
    case 'b':
        o->binary = true;
        break;
    case 'h':
        o->help = true;
        break;
    default:
        o->wrong = true;
        break;
    }
}

/* NULL: fine */
static const char *find_fault(const struct options *o)
{
    if (o->file != NULL && o->control != NULL)
        return "-c and --control both name the control socket; give one of them";
    if (o->id == NULL && o->route == NULL)
        return "to which WebSocket? give its id, or --route NAME";
    if (o->message == NULL && o->close == NULL)
        return "what is to be sent? give a MESSAGE, - for the standard input, or --close CODE";
    if (o->reason != NULL && o->close == NULL)
        return "--reason goes with --close CODE";
    return NULL;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"conf", required_argument, NULL, 'c'},  {"control", required_argument, NULL, 's'},
        {"route", required_argument, NULL, 'r'}, {"binary", no_argument, NULL, 'b'},
        {"close", required_argument, NULL, 'x'}, {"reason", required_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    int letter;
    optind = 0; /* begins anew: the caller may have used getopt for its own options */
    while ((letter = getopt_long(argc, argv, "c:r:bh", names, NULL)) != -1)
        take_option(o, letter);
    if (o->help || o->wrong)
        return !o->wrong;
    if (o->route == NULL && optind < argc)
        o->id = argv[optind++];
    if (optind < argc)
        o->message = argv[optind++];
    const char *fault = find_fault(o);
    if (optind < argc)
        fprintf(stderr, "bulkhead send: unexpected argument \"%s\"\n", argv[optind]);
    else if (fault != NULL)
        fprintf(stderr, "bulkhead send: %s\n", fault);
    else
        return true;
    return false;
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static bool read_input(struct buf *message)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf_reserve(message, READ_BYTES), READ_BYTES);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == -1)
                fprintf(stderr, "bulkhead send: the standard input: %s\n", strerror(errno));
            return n == 0;
        }
        message->len += (size_t)n;
        if (message->len > MESSAGE_MAX) {
            fprintf(stderr, "bulkhead send: the standard input has more than %d MiB\n", MESSAGE_MAX / (1024 * 1024));
            return false;
        }
    }
}

static void put_encoded(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (lexis_is_token((struct str){(char *)text, 1}) && *text != '%' && *text != '&' && *text != '+' &&
            *text != '#')
            buf_append_char(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void put_parameter(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_append_char(out, memchr(out->base, '?', out->len) == NULL ? '?' : '&');
    buf_append_z(out, name);
    buf_append_char(out, '=');
    put_encoded(out, value);
}

static void put_request(struct buf *out, const struct options *o, const struct buf *message)
{
    buf_append_z(out, "POST /ws");
    if (o->id != NULL) {
        buf_append_char(out, '/');
        put_encoded(out, o->id);
    }
    put_parameter(out, "route", o->route);
    put_parameter(out, "close", o->close);
    put_parameter(out, "reason", o->reason);
    buf_printf(out,
               " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
               o->binary ? "application/octet-stream" : "text/plain; charset=utf-8", message->len);
    buf_append_str(out, buf_str(message));
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* false: the other side does not take it; it may have answered all the same */
static bool send_all(int fd, struct str bytes)
{
    while (bytes.len != 0) {
        ssize_t n = send(fd, bytes.base, bytes.len, MSG_NOSIGNAL);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return false;
        bytes = (struct str){bytes.base + n, bytes.len - (size_t)n};
    }
    return true;
}

static bool receive_all(int fd, struct buf *answer)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(answer, READ_BYTES), READ_BYTES);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == 0 || (n == -1 && errno == ECONNRESET && answer->len != 0))
            return true;
        if (n == -1)
            return false;
        answer->len += (size_t)n;
        if (answer->len > ANSWER_MAX) {
            errno = EFBIG;
            return false;
        }
    }
}

/* The status; 0: this is no answer. */
static int status_of(const struct buf *answer, struct str *body_r)
{
    int status;
    size_t end;
    if (answer->len == 0 || lexis_head_end(answer->base, 0, answer->len, &end) != LEXIS_HEAD_COMPLETE ||
        sscanf(answer->base, "HTTP/1.1 %3d ", &status) != 1)
        return 0;
    *body_r = (struct str){answer->base + end, answer->len - end};
    return status;
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_words(const json_t *body, int status)
{
    struct buf line = {0};
    const char *detail = json_string_value(json_object_get(body, "detail"));
    const char *title = json_string_value(json_object_get(body, "title"));
    if (json_object_get(body, "sent") != NULL)
        buf_append_z(&line, number(body, "full") != 0 ? "it has too much unsent already" : "it is being closed");
    else
        buf_append_printable(&line, str_of(detail != NULL ? detail : title != NULL ? title : "no reason was given"));
    fprintf(stderr, "bulkhead send: not sent: %s (status %d)\n", buf_z(&line), status);
    buf_free(&line);
}

static void print_numbers(const json_t *body)
{
    printf("sent to %lld", number(body, "sent"));
    if (number(body, "full") != 0)
        printf(", not to %lld that have too much unsent", number(body, "full"));
    if (number(body, "closing") != 0)
        printf(", not to %lld that are being closed", number(body, "closing"));
    putchar('\n');
}

static int report(struct buf *answer)
{
    struct str body = STR_NONE;
    buf_z(answer);
    int status = status_of(answer, &body);
    json_t *object = status == 0 ? NULL : json_loadb(body.base, body.len, 0, NULL);
    if (status == 200 && json_object_get(object, "sent") != NULL)
        print_numbers(object);
    else if (status != 0)
        print_words(object, status);
    else
        fputs("bulkhead send: the answer cannot be read; is it bulkhead that listens there?\n", stderr);
    json_decref(object);
    return status == 200 ? 0 : status == 400 ? EXIT_BAD : 1;
}

static int send_to(const char *control, const struct buf *request)
{
    struct buf answer = {0};
    int fd = control_client_connect(control, PATIENCE_S), result = 1;
    if (fd != -1 && (send_all(fd, buf_str(request)) || errno == EPIPE || errno == ECONNRESET) &&
        receive_all(fd, &answer))
        result = report(&answer);
    else
        fprintf(stderr, "bulkhead send: control socket %s: %s; %s\n", control, strerror(errno),
                control_client_way_out(errno));
    buf_free(&answer);
    fd_close(&fd);
    return result;
}

static int run(const struct options *o)
{
    struct buf message = {0}, request = {0};
    int result = 1;
    char *control = control_client_path(o->file, o->control);
    if (control == NULL)
        return EXIT_BAD;
    bool is_input = o->message != NULL && strcmp(o->message, "-") == 0;
    if (o->message != NULL && !is_input)
        buf_append_z(&message, o->message);
    if (!is_input || read_input(&message)) {
        put_request(&request, o, &message);
        result = send_to(control, &request);
    }
    buf_free(&request);
    buf_free(&message);
    mem_free(&control);
    return result;
}

int send_command(int argc, char **argv)
{
    struct options options = {0};
    if (!parse_options(&options, argc, argv)) {
        fputs("Try \"bulkhead send --help\".\n", stderr);
        return EXIT_BAD;
    }
    if (options.help)
        return fputs(usage, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
    int result = run(&options);
    return fflush(stdout) == 0 ? result : 1;
}
