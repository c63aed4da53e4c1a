/* SPDX-License-Identifier: MIT
 *
 * run: see run.h. What a start without a conf file means is written in config/oneline.c; here its options are
 * collected.
 */
#include "config.h"

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/run.h"
#include "config/conf.h"
#include "config/oneline.h"
#include "supervisor/supervisor.h"

#define EXIT_BAD   2
#define LISTEN_MAX 16

static const char usage[] =
    "Usage: bulkhead run -c FILE\n"
    "       bulkhead run --listen ADDRESS... [OPTION]... -- COMMAND...\n"
    "\n"
    "Serves in the foreground until it is told to stop: with a conf file, or, without one, by putting copies of\n"
    "COMMAND, each serving one call at a time on the Unix socket it inherits as descriptor 3, behind one queue.\n"
    "\n"
    "  -c, --conf FILE        the conf file\n"
    "  -l, --listen ADDRESS   127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path; may be repeated\n"
    "      --workers N        copies of COMMAND (default: one per CPU)\n"
    "      --queue N          calls that may wait (default: 10 per worker)\n"
    "      --timeout TIME     how long a call may run, as in 500ms, 60s (default: 60s)\n"
    "      --control PATH     control socket, for bulkhead status\n"
    "  -h, --help             print this\n"
    "\n"
    "TERM or INT stop gracefully, a second one at once; USR1 opens log files anew.\n"
    "Exit status: 0 stopped as told, 1 failed to start, 2 the conf or the usage is bad.\n";

struct options {
    const char *file;
    char *listen[LISTEN_MAX];
    struct oneline oneline;
    bool help, wrong;
};

enum { OPTION_WORKERS = 256, OPTION_QUEUE, OPTION_TIMEOUT, OPTION_CONTROL };

static const struct option names[] = {{"conf", required_argument, NULL, 'c'},
                                      {"listen", required_argument, NULL, 'l'},
                                      {"workers", required_argument, NULL, OPTION_WORKERS},
                                      {"queue", required_argument, NULL, OPTION_QUEUE},
                                      {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                      {"control", required_argument, NULL, OPTION_CONTROL},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

static void add_listener(struct options *o, char *address)
{
    if (o->oneline.nlisten < LISTEN_MAX) {
        o->listen[o->oneline.nlisten++] = address;
        return;
    }
    fprintf(stderr, "bulkhead run: more than %d times --listen; a conf file takes as many as you like\n", LISTEN_MAX);
    o->wrong = true;
}

static void take_option(struct options *o, int letter)
{
    switch (letter) {
    case 'c':
        o->file = optarg;
        break;
    case 'l':
        add_listener(o, optarg);
        break;
    case OPTION_WORKERS:
        o->oneline.workers = optarg;
        break;
    case OPTION_QUEUE:
        o->oneline.queue = optarg;
        break;
    case OPTION_TIMEOUT:
        o->oneline.timeout = optarg;
        break;
    case OPTION_CONTROL:
        o->oneline.control = optarg;
        break;
    case 'h':
        o->help = true;
        break;
    default: /* getopt has said what */
        o->wrong = true;
    }
}

/* What does not go together; NULL when all is well. */
static const char *contradiction(const struct options *o, bool has_command)
{
    const struct oneline *l = &o->oneline;
    if (o->file != NULL && (has_command || l->nlisten > 0 || l->workers != NULL || l->queue != NULL ||
                            l->timeout != NULL || l->control != NULL))
        return "with -c everything else is said in the conf file";
    if (o->file != NULL)
        return NULL;
    if (!has_command && l->nlisten == 0)
        return "nothing to run; name a conf file with -c FILE, or give --listen ADDRESS -- COMMAND";
    if (!has_command)
        return "no command to run; it follows \"--\"";
    return l->nlisten == 0 ? "nowhere to listen; say --listen ADDRESS" : NULL;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    int letter;
    optind = 0; /* begins anew: the caller may have used getopt for its own options */
    while ((letter = getopt_long(argc, argv, "+c:l:h", names, NULL)) != -1)
        take_option(o, letter);
    if (o->wrong || o->help)
        return !o->wrong;
    const char *problem = contradiction(o, optind < argc);
    if (problem != NULL)
        fprintf(stderr, "bulkhead run: %s\n", problem);
    o->oneline.listen = o->listen;
    o->oneline.command = argv + optind;
    return problem == NULL;
}

static struct conf *make_conf(struct options *o, struct buf *problems)
{
    char directory[PATH_MAX];
    if (o->file != NULL)
        return conf_load(o->file, problems);
    if (getcwd(directory, sizeof(directory)) == NULL) {
        buf_append_z(problems, "bulkhead run: the current directory is gone; change to one that exists\n");
        return NULL;
    }
    o->oneline.directory = directory;
    return oneline_conf(&o->oneline, problems);
}

int run_command(int argc, char **argv)
{
    struct options options = {0};
    if (!parse_options(&options, argc, argv)) {
        fputs("Try \"bulkhead run --help\".\n", stderr);
        return EXIT_BAD;
    }
    if (options.help)
        return fputs(usage, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
    struct buf problems = {0};
    struct conf *conf = make_conf(&options, &problems);
    if (problems.len != 0)
        fwrite(problems.base, 1, problems.len, stderr);
    buf_free(&problems);
    if (conf == NULL)
        return EXIT_BAD;
    conf->generation = 1; /* the first in force */
    int code = supervisor_run(conf);
    conf_free(&conf);
    return code;
}
