/* SPDX-License-Identifier: MIT
 *
 * check: see check.h.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/check.h"
#include "config/conf.h"

#define EXIT_BAD 2

static const char usage[] = "Usage: bulkhead check -c FILE [--dump]\n"
                            "\n"
                            "Reads a conf file with its includes and reports everything that is wrong with it.\n"
                            "\n"
                            "  -c, --conf FILE   the conf file\n"
                            "      --dump        print the effective conf with every default, as JSON\n"
                            "  -h, --help        print this\n"
                            "\n"
                            "Exit status: 0 the conf is fine, 1 the check could not run, 2 the conf or the usage is "
                            "bad.\n";

struct options {
    const char *file;
    bool dump, help;
};

static bool parse_options(int argc, char **argv, struct options *options_r)
{
    static const struct option names[] = {{"conf", required_argument, NULL, 'c'},
                                          {"dump", no_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int letter;
    optind = 0; /* begins anew: the caller may have used getopt for its own options */
    while ((letter = getopt_long(argc, argv, "c:h", names, NULL)) != -1) {
        if (letter == 'c')
            options_r->file = optarg;
        else if (letter == 'd')
            options_r->dump = true;
        else if (letter == 'h')
            options_r->help = true;
        else
            return false;
    }
    if (options_r->help)
        return true;
    if (optind < argc)
        fprintf(stderr, "bulkhead check: unexpected argument \"%s\"; a conf file is named by -c\n", argv[optind]);
    else if (options_r->file == NULL)
        fputs("bulkhead check: no conf file; name it with -c FILE\n", stderr);
    return optind == argc && options_r->file != NULL;
}

/* false when the standard output does not take it: a full disk must not look like success */
static bool print(struct str text)
{
    if (fwrite(text.base, 1, text.len, stdout) == text.len && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "bulkhead check: cannot write to the standard output: %s\n", strerror(errno));
    return false;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static bool print_result(const struct conf *conf, const struct options *options)
{
    struct buf out = {0};
    if (options->dump)
        conf_dump(conf, &out);
    else
        buf_printf(&out, "%s: ok, %zu listener%s, %zu backend%s, %zu route%s\n", options->file, conf->nlisteners,
                   plural(conf->nlisteners), conf->nbackends, plural(conf->nbackends), conf->nroutes,
                   plural(conf->nroutes));
    bool printed = print(buf_str(&out));
    buf_free(&out);
    return printed;
}

int check_command(int argc, char **argv)
{
    struct options options = {0};
    if (!parse_options(argc, argv, &options)) {
        fputs("Try \"bulkhead check --help\".\n", stderr);
        return EXIT_BAD;
    }
    if (options.help)
        return print(STR(usage)) ? 0 : 1;
    struct buf problems = {0};
    struct conf *conf = conf_load(options.file, &problems);
    if (problems.len != 0)
        fwrite(problems.base, 1, problems.len, stderr);
    buf_free(&problems);
    if (conf == NULL)
        return EXIT_BAD;
    bool printed = print_result(conf, &options);
    conf_free(&conf);
    return printed ? 0 : 1;
}
