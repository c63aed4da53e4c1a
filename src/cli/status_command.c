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
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/status_command.h"
#include "cli/status_text.h"
#include "config/conf.h"
#include "config/conf_default.h"
#include "config/region.h"
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

/* The conf is read for its control socket; its mistakes are told, as they may be the reason for not finding any. */
static char *control_of_conf(const char *file)
{
    struct buf problems = {0};
    struct conf *conf = conf_load(file, &problems);
    char *control = conf == NULL ? NULL : mem_strdup(conf->control);
    if (conf == NULL)
        fwrite(problems.base, 1, problems.len, stderr);
    buf_free(&problems);
    conf_free(&conf);
    return control;
}

static char *default_control(void)
{
    struct region region = {0};
    char *control = mem_strdup(conf_default_control(&region));
    region_free(&region);
    return control;
}

/* ---- the question ----------------------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    size_t len = strlen(path);
    if (len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == -1 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == -1)
        fd_close(&fd);
    return fd;
}

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

static const char *way_out(int problem)
{
    switch (problem) {
    case ENOENT:
    case ECONNREFUSED:
        return "no bulkhead runs with it; name another with -c FILE or --control PATH";
    case EACCES:
    case ECONNRESET:
        return "only root and the user that runs bulkhead may ask";
    default:
        return "is it bulkhead that listens there?";
    }
}

static bool ask(const char *control, struct buf *answer)
{
    int fd = connect_to(control);
    bool answered = fd != -1 && send_request(fd) && receive_line(fd, answer);
    if (!answered)
        fprintf(stderr, "bulkhead status: control socket %s: %s; %s\n", control, strerror(errno), way_out(errno));
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
    char *control = options.control != NULL ? mem_strdup(options.control)
                    : options.file != NULL  ? control_of_conf(options.file)
                                            : default_control();
    if (control == NULL)
        return EXIT_BAD;
    bool shown = ask(control, &answer) && show(&answer, options.json);
    buf_free(&answer);
    mem_free(&control);
    return shown ? 0 : 1;
}
