/* SPDX-License-Identifier: MIT
 *
 * status_command: see status_command.h. Asks, and shows the answer as it came (--json), as tables (status_text), or the
 * part of it that is about workers.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/control_client.h"
#include "cli/status_command.h"
#include "cli/status_text.h"
#include "wire/command.h"

#define EXIT_BAD   2
#define PATIENCE_S 5

/* the two commands that are made of the same page */
struct view {
    const char *name, *usage;
    void (*put_text)(const json_t *page, struct buf *out);
    void (*put_json)(const json_t *page, struct buf *out); /* NULL: the page as it came */
};

#define OPTIONS                                                                                                        \
    "  -c, --conf FILE      the conf file it runs with, which names its control socket\n"                              \
    "      --control PATH   its control socket (default: where a conf that does not say puts it)\n"                    \
    "      --json           everything, as one JSON object\n"                                                          \
    "  -h, --help           print this\n"                                                                              \
    "\n"                                                                                                               \
    "Exit status: 0 shown, 1 nobody answers there, 2 the usage or the conf is bad.\n"

static const struct view status_view = {
    "status",
    "Usage: bulkhead status [-c FILE | --control PATH] [--json]\n"
    "\n"
    "Shows what a running bulkhead is doing: each backend's limit, calls and refusals, each worker's call and age.\n"
    "\n" OPTIONS,
    status_text, NULL};

static const struct view workers_view = {
    "workers",
    "Usage: bulkhead workers [-c FILE | --control PATH] [--json]\n"
    "\n"
    "Shows the workers of a running bulkhead: where they are in their lives, how long, and what they work on.\n"
    "\n" OPTIONS,
    status_text_workers, status_json_workers};

struct options {
    const char *file, *control;
    bool json, help, wrong;
};

static bool parse_options(struct options *o, int argc, char **argv, const struct view *view)
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
        fprintf(stderr, "bulkhead %s: unexpected argument \"%s\"\n", view->name, argv[optind]);
    else if (o->file != NULL && o->control != NULL)
        fprintf(stderr, "bulkhead %s: -c and --control both name the control socket; give one of them\n", view->name);
    else
        return true;
    return false;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* NULL when it is none, which has been said then */
static json_t *parse_answer(const struct buf *answer, const struct view *view)
{
    json_error_t problem;
    json_t *page = json_loadb(answer->base, answer->len, 0, &problem);
    const char *words = json_string_value(json_object_get(page, "error"));
    if (json_is_object(page) && words == NULL)
        return page;
    struct buf said = {0};
    buf_append_printable(&said, str_of(words != NULL ? words : "its answer is not a status page"));
    fprintf(stderr, "bulkhead %s: %s\n", view->name, buf_z(&said));
    buf_free(&said);
    json_decref(page);
    return NULL;
}

static bool print(const struct buf *out, const struct view *view)
{
    if (fwrite(out->base, 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "bulkhead %s: cannot write to the standard output: %s\n", view->name, strerror(errno));
    return false;
}

static bool show(struct buf *answer, bool as_json, const struct view *view)
{
    struct buf text = {0};
    json_t *page = parse_answer(answer, view);
    if (page == NULL)
        return false;
    if (!as_json)
        view->put_text(page, &text);
    else if (view->put_json != NULL)
        view->put_json(page, &text);
    else
        buf_append_str(&text, buf_str(answer));
    if (as_json)
        buf_append_char(&text, '\n');
    bool shown = print(&text, view);
    json_decref(page);
    buf_free(&text);
    return shown;
}

static int view_command(int argc, char **argv, const struct view *view)
{
    static const struct wire_request request = {.command = WIRE_COMMAND_STATUS};
    struct options options = {0};
    struct buf answer = {0};
    if (!parse_options(&options, argc, argv, view)) {
        fprintf(stderr, "Try \"bulkhead %s --help\".\n", view->name);
        return EXIT_BAD;
    }
    if (options.help)
        return fputs(view->usage, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
    char *control = control_client_path(options.file, options.control);
    if (control == NULL)
        return EXIT_BAD;
    bool shown =
        control_client_ask(view->name, control, &request, PATIENCE_S, &answer) && show(&answer, options.json, view);
    buf_free(&answer);
    mem_free(&control);
    return shown ? 0 : 1;
}

int status_command(int argc, char **argv)
{
    return view_command(argc, argv, &status_view);
}

int workers_command(int argc, char **argv)
{
    return view_command(argc, argv, &workers_view);
}
