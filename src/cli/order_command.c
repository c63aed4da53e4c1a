/* SPDX-License-Identifier: MIT
 *
 * order_command: see order_command.h. A command is a row of the table: the request that it makes, and how its answer is
 * told to a human.
 */
#include "config.h"

#include <assert.h>
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
#include "cli/order_command.h"
#include "config/units.h"
#include "wire/command.h"

#define EXIT_BAD   2
#define PATIENCE_S 5

struct order {
    enum wire_command command;
    const char *arguments; /* as the usage names them */
    unsigned patience_s;   /* 0: it takes as long as it takes */
    const char *help;
    void (*tell)(const json_t *answer, struct buf *out);
};

static long long number(const json_t *answer, const char *key)
{
    return (long long)json_integer_value(json_object_get(answer, key));
}

static double real(const json_t *answer, const char *key)
{
    return json_number_value(json_object_get(answer, key));
}

static void append_text(struct buf *out, const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer, key));
    buf_append_printable(out, str_of(text == NULL ? "" : text));
}

static void tell_kill(const json_t *answer, struct buf *out)
{
    buf_printf(out, "worker %lld of ", number(answer, "pid"));
    append_text(out, answer, "backend");
    buf_printf(out, " has been told to end (SIGTERM, and SIGKILL after %.3g s) and is replaced\n",
               real(answer, "stop_timeout_s"));
}

static void tell_recycle(const json_t *answer, struct buf *out)
{
    append_text(out, answer, "backend");
    buf_printf(out, ": %lld %s replaced in %.1f s\n", number(answer, "workers"),
               number(answer, "workers") == 1 ? "worker" : "workers", real(answer, "seconds"));
}

static void tell_pause(const json_t *answer, struct buf *out)
{
    append_text(out, answer, "backend");
    buf_append_z(out, " is paused, and no call runs on it; new ones are held until \"bulkhead resume\"\n");
}

static void tell_resume(const json_t *answer, struct buf *out)
{
    append_text(out, answer, "backend");
    buf_append_z(out, json_is_true(json_object_get(answer, "was_paused")) ? " is resumed\n" : " was not paused\n");
}

static void tell_resize(const json_t *answer, struct buf *out)
{
    bool has_workers = json_object_get(answer, "workers") != NULL;
    append_text(out, answer, "backend");
    if (has_workers)
        buf_printf(out, " has %lld %s\n", number(answer, "workers"),
                   number(answer, "workers") == 1 ? "worker" : "workers");
    else
        buf_printf(out, " runs at most %lld %s at a time\n", number(answer, "limit"),
                   number(answer, "limit") == 1 ? "call" : "calls");
}

static void tell_log_level(const json_t *answer, struct buf *out)
{
    buf_append_z(out, "the log level is ");
    append_text(out, answer, "level");
    buf_append_z(out, ", until bulkhead is started again\n");
}

static void tell_drain(const json_t *answer, struct buf *out)
{
    buf_append_z(out, "drained: every request has been answered, and bulkhead has ended\n");
}

static void tell_reload(const json_t *answer, struct buf *out)
{
    buf_printf(out, "generation %lld in force: ", number(answer, "generation"));
    append_text(out, answer, "changes");
    buf_append_char(out, '\n');
}

static const struct order orders[] = {
    {WIRE_COMMAND_KILL, " PID", PATIENCE_S,
     "Ends the worker with this process id (SIGTERM, and SIGKILL after stop_timeout), and has it replaced. The call "
     "that\n"
     "runs on it is answered with 502. \"bulkhead workers\" shows the process ids.\n",
     tell_kill},
    {WIRE_COMMAND_RECYCLE, " BACKEND", 0,
     "Replaces every worker of a backend, one after the other (max_surge at a time): each serves on until another is\n"
     "ready in its place, and until its calls have ended. Waits, and says whether it was done.\n",
     tell_recycle},
    {WIRE_COMMAND_PAUSE, " [--hold TIME] BACKEND", 0,
     "Holds new calls of a backend in its queue, each as long as it may wait there (queue_timeout), or for TIME "
     "(\"30s\",\n"
     "\"2m\"). Waits until the calls that run have ended: then the backend can be restarted by hand.\n",
     tell_pause},
    {WIRE_COMMAND_RESUME, " BACKEND", PATIENCE_S, "Lets the calls of a paused backend go.\n", tell_resume},
    {WIRE_COMMAND_RESIZE, " BACKEND N", 0,
     "Changes the number of workers of a backend, or how many calls it runs at a time if it has none, until bulkhead "
     "is\n"
     "started again. Calls that run are not disturbed. Waits until there are so many workers.\n",
     tell_resize},
    {WIRE_COMMAND_LOG_LEVEL, " LEVEL", PATIENCE_S,
     "Sets the least important level that is written to the log: error, warning, info or debug.\n", tell_log_level},
    {WIRE_COMMAND_RELOAD, "", 0,
     "Reads the conf file again, and puts it in force without an interruption: connections stay, and backends that "
     "have\n"
     "not changed keep their workers. Waits for the verdict. A conf that is bad, or cannot come into force, changes\n"
     "nothing.\n",
     tell_reload},
    {WIRE_COMMAND_DRAIN, "", 0,
     "Ends bulkhead as SIGTERM does: drain_delay passes, there are no new connections, running requests have\n"
     "drain_timeout. Waits for the end.\n",
     tell_drain},
};

/* Problems of a conf are a line each. */
static void append_lines(struct buf *out, const char *text)
{
    for (size_t len; *text != '\0'; text += len + (text[len] != '\0')) {
        len = strcspn(text, "\n");
        buf_append_printable(out, (struct str){(char *)text, len});
        buf_append_char(out, '\n');
    }
}

static const struct order *find_order(const char *name)
{
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (strcmp(wire_command_name(orders[i].command), name) == 0)
            return &orders[i];
    }
    assert(!"main.c knows an order that is none");
    return NULL;
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

struct options {
    const char *file, *control, *hold;
    char **arguments; /* behind the options */
    bool json, help, wrong;
};

static int print_usage(const struct order *order)
{
    printf("Usage: bulkhead %s [-c FILE | --control PATH] [--json]%s\n"
           "\n"
           "%s"
           "\n"
           "  -c, --conf FILE      the conf file it runs with, which names its control socket\n"
           "      --control PATH   its control socket (default: where a conf that does not say puts it)\n"
           "      --json           the answer as a JSON object\n"
           "  -h, --help           print this\n"
           "\n"
           "Exit status: 0 done, 1 not done, 2 the usage or the conf is bad.\n",
           wire_command_name(order->command), order->arguments, order->help);
    return fflush(stdout) == 0 ? 0 : 1;
}

static bool takes_hold(const struct order *order)
{
    return order->command == WIRE_COMMAND_PAUSE;
}

/* A text, then a number; but one that may be left out is an option. */
static int count_wanted(const struct order *order)
{
    bool is_optional;
    bool has_number = wire_command_number(order->command, &is_optional) != NULL && !is_optional;
    return (wire_command_text(order->command) != NULL) + has_number;
}

/* What is wrong with the arguments; NULL when all is well. */
static const char *take_arguments(struct options *o, const struct order *order, int argc, char **argv)
{
    int wanted = count_wanted(order);
    if (o->file != NULL && o->control != NULL)
        return "-c and --control both name the control socket; give one of them";
    if (o->hold != NULL && !takes_hold(order))
        return "--hold is for \"bulkhead pause\"";
    if (argc - optind < wanted)
        return "an argument is missing";
    if (argc - optind > wanted)
        return "there are too many arguments";
    o->arguments = argv + optind;
    return NULL;
}

static bool parse_options(struct options *o, const struct order *order, int argc, char **argv)
{
    static const struct option names[] = {
        {"conf", required_argument, NULL, 'c'}, {"control", required_argument, NULL, 's'},
        {"hold", required_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int letter;
    optind = 0; /* begins anew: the caller may have used getopt for its own options */
    while ((letter = getopt_long(argc, argv, "c:h", names, NULL)) != -1) {
        o->file = letter == 'c' ? optarg : o->file;
        o->control = letter == 's' ? optarg : o->control;
        o->hold = letter == 'w' ? optarg : o->hold;
        o->json = o->json || letter == 'j';
        o->help = o->help || letter == 'h';
        o->wrong = o->wrong || letter == '?';
    }
    if (o->help || o->wrong)
        return !o->wrong;
    const char *wrong = take_arguments(o, order, argc, argv);
    if (wrong != NULL)
        fprintf(stderr, "bulkhead %s: %s\n", argv[0], wrong);
    return wrong == NULL;
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static bool complain(const struct order *order, const char *argument, const char *what)
{
    fprintf(stderr, "bulkhead %s: \"%.64s\" %s\n", wire_command_name(order->command), argument, what);
    return false;
}

static bool put_text(struct wire_request *request, const struct order *order, const char *text)
{
    if (strlen(text) >= sizeof(request->text))
        return complain(order, text, "is too long");
    strcpy(request->text, text);
    return true;
}

static bool put_number(struct wire_request *request, const struct order *order, const char *text)
{
    char *end = NULL;
    errno = 0;
    request->number = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && request->number >= 0)
        return true;
    return complain(order, text,
                    order->command == WIRE_COMMAND_KILL ? "is no process id: a whole number" : "is no whole number");
}

static bool put_hold(struct wire_request *request, const struct order *order, const char *text)
{
    int64_t us = -1000;
    const char *wrong = text == NULL ? NULL : units_parse_duration(text, &us);
    request->number = us / 1000;
    return wrong == NULL || complain(order, text, "is no time: it must be a whole number with a unit, as in \"30s\"");
}

static bool make_request(struct wire_request *request, const struct order *order, const struct options *o)
{
    char **next = o->arguments;
    bool is_optional;
    *request = (struct wire_request){.command = order->command};
    if (wire_command_text(order->command) != NULL && !put_text(request, order, *next++))
        return false;
    if (wire_command_number(order->command, &is_optional) == NULL)
        return true;
    return is_optional ? put_hold(request, order, o->hold) : put_number(request, order, *next);
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static bool show(const struct order *order, struct buf *answer, bool as_json)
{
    const char *name = wire_command_name(order->command);
    json_t *page = json_loadb(answer->base, answer->len, 0, NULL);
    const char *error = json_string_value(json_object_get(page, "error"));
    bool is_done = json_is_true(json_object_get(page, "ok"));
    struct buf text = {0};
    if (as_json) {
        buf_append_str(&text, buf_str(answer));
        buf_append_char(&text, '\n');
    } else if (is_done) {
        order->tell(page, &text);
    } else {
        buf_printf(&text, "bulkhead %s: ", name);
        append_lines(&text, error != NULL ? error : "its answer is none");
    }
    FILE *to = is_done || as_json ? stdout : stderr;
    bool is_told = fwrite(text.base, 1, text.len, to) == text.len && fflush(to) == 0;
    buf_free(&text);
    json_decref(page);
    return is_done && is_told;
}

int order_command(int argc, char **argv)
{
    const struct order *order = find_order(argv[0]);
    struct options options = {0};
    struct wire_request request;
    struct buf answer = {0};
    if (!parse_options(&options, order, argc, argv) || (!options.help && !make_request(&request, order, &options))) {
        fprintf(stderr, "Try \"bulkhead %s --help\".\n", argv[0]);
        return EXIT_BAD;
    }
    if (options.help)
        return print_usage(order);
    char *control = control_client_path(options.file, options.control);
    if (control == NULL)
        return EXIT_BAD;
    bool done = control_client_ask(argv[0], control, &request, order->patience_s, &answer) &&
                show(order, &answer, options.json);
    buf_free(&answer);
    mem_free(&control);
    return done ? 0 : 1;
}
