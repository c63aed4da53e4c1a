/* SPDX-License-Identifier: MIT
 *
 * status_command: see status_command.h. Asks, and shows the answer as it came (--json) or as tables (status_text).
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
#include "base/mem.h"
#include "cli/control_client.h"
#include "cli/status_command.h"
#include "cli/status_text.h"
#include "wire/command.h"

#define EXIT_BAD   2
#define PATIENCE_S 5

static const char usage[] =
    "Usage: bulkhead status [-c FILE | --control PATH] [--json]\n"
    "\n"
    "Shows what a running bulkhead is doing: each backend's limit, calls and refusals, each worker's call and age.\n"
    "\n"
    "  -c, --conf FILE      the conf file it runs with, which names its control socket\n"
    "      --control PATH   its control socket (default: where a conf that does not say puts it)\n"
    "      --json           everything, as one JSON object\n"
    "  -h, --help           print this\n"
    "\n"
    "Exit status: 0 shown, 1 nobody answers there, 2 the usage or the conf is bad.\n";

struct options {
    const char *file, *control;
    bool json, help, wrong;
};

static bool parse_options(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {{"conf", required_argument, NULL, 'c'},
                                          {"control", required_argument, NULL, 's'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int letter;
    optind = 0; /* begins anew: the caller may have used getopt for its own options */
    while ((letter = getopt_long(argc, argv, "c:h", names, NULL)) != -1) {
        o->file = letter == 'c' ? optarg : o->file;
        o->control = letter == 's' ? optarg : o->control;
        o->json = o->json || letter == 'j';
        o->help = o->help || letter == 'h';
        o->wrong = o->wrong || letter == '?';
    }
    if (o->help || o->wrong)
        return !o->wrong;
    if (optind < argc)
        fprintf(stderr, "bulkhead status: unexpected argument \"%s\"\n", argv[optind]);
    else if (o->file != NULL && o->control != NULL)
        fputs("bulkhead status: -c and --control both name the control socket; give one of them\n", stderr);
    else
        return true;
    return false;
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

static bool send_request(int fd)
{
    struct buf line = {0};
    buf_printf(&line, "{\"command\":\"%s\"}\n", wire_command_name(WIRE_COMMAND_STATUS));
    bool sent = send(fd, line.base, line.len, MSG_NOSIGNAL) == (ssize_t)line.len;
    buf_free(&line);
    return sent;
}

/* One line, without its newline. */
static bool receive_line(int fd, struct buf *line)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(line, 65536), 65536);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0 || line->len + (size_t)n > WIRE_ANSWER_MAX) {
            errno = n == 0 ? ECONNRESET : n > 0 ? EFBIG : errno == EAGAIN ? ETIMEDOUT : errno;
            return false;
        }
        line->len += (size_t)n;
        if (line->base[line->len - 1] == '\n') {
            line->len--;
            return true;
        }
    }
}

static bool ask(const char *control, struct buf *answer)
{
    int fd = control_client_connect(control, PATIENCE_S);
    bool answered = fd != -1 && send_request(fd) && receive_line(fd, answer);
    if (!answered)
        fprintf(stderr, "bulkhead status: control socket %s: %s; %s\n", control, strerror(errno),
                control_client_way_out(errno));
    fd_close(&fd);
    return answered;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* NULL when it is none, which has been said then */
static json_t *parse_answer(const struct buf *answer)
{
    json_error_t problem;
    json_t *page = json_loadb(answer->base, answer->len, 0, &problem);
    const char *words = json_string_value(json_object_get(page, "error"));
    if (json_is_object(page) && words == NULL)
        return page;
    struct buf said = {0};
    buf_append_printable(&said, str_of(words != NULL ? words : "its answer is not a status page"));
    fprintf(stderr, "bulkhead status: %s\n", buf_z(&said));
    buf_free(&said);
    json_decref(page);
    return NULL;
}

static bool print(const struct buf *out)
{
    if (fwrite(out->base, 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "bulkhead status: cannot write to the standard output: %s\n", strerror(errno));
    return false;
}

static bool show(struct buf *answer, bool as_json)
{
    struct buf text = {0};
    json_t *page = parse_answer(answer);
    if (page == NULL)
        return false;
    if (as_json) {
        buf_append_char(answer, '\n');
        buf_append_str(&text, buf_str(answer));
    } else {
        status_text(page, &text);
    }
    bool shown = print(&text);
    json_decref(page);
    buf_free(&text);
    return shown;
}

int status_command(int argc, char **argv)
{
    struct options options = {0};
    struct buf answer = {0};
    if (!parse_options(&options, argc, argv)) {
        fputs("Try \"bulkhead status --help\".\n", stderr);
        return EXIT_BAD;
    }
    if (options.help)
        return fputs(usage, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
    char *control = control_client_path(options.file, options.control);
    if (control == NULL)
        return EXIT_BAD;
    bool shown = ask(control, &answer) && show(&answer, options.json);
    buf_free(&answer);
    mem_free(&control);
    return shown ? 0 : 1;
}
