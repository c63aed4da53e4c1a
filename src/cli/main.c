/* SPDX-License-Identifier: MIT
 *
 * main: the program `bulkhead`: finds the command and hands over to it. A command is a row of the table.
 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/order_command.h"
#include "cli/run.h"
#include "cli/send_command.h"
#include "cli/status_command.h"

#define EXIT_USAGE 2

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", run_command, "serve: with a conf file, or with a command to put behind a queue"},
    {"check", check_command, "report everything that is wrong with a conf file"},
    {"status", status_command, "show what a running bulkhead is doing"},
    {"workers", workers_command, "show the workers of a running bulkhead"},
    {"kill", order_command, "end a worker, and have it replaced"},
    {"recycle", order_command, "replace every worker of a backend, without losing a request"},
    {"pause", order_command, "hold new calls of a backend, so that it can be restarted by hand"},
    {"resume", order_command, "let the calls of a paused backend go"},
    {"resize", order_command, "change the number of workers of a backend, or its limit"},
    {"log-level", order_command, "have a running bulkhead write more to its log, or less"},
    {"reload", order_command, "put the changed conf of a running bulkhead in force"},
    {"drain", order_command, "end a running bulkhead when its requests have been answered"},
    {"send", send_command, "send a message to open WebSockets, or close them"},
};

static void print_usage(FILE *out)
{
    fputs("Usage: bulkhead COMMAND [OPTION]...\n\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\nbulkhead COMMAND --help says more about each.\n"
          "  -h, --help      print this\n"
          "  -V, --version   print the version\n",
          out);
}

static int print_help(void)
{
    print_usage(stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int print_version(void)
{
    puts("bulkhead " PACKAGE_VERSION);
    return fflush(stdout) == 0 ? 0 : 1;
}

static bool is_version(const char *word)
{
    return strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

int main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(name, commands[i].name) == 0)
            return argc == 3 && is_version(argv[2]) ? print_version() : commands[i].run(argc - 1, argv + 1);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return print_help();
    if (is_version(name))
        return print_version();
    if (*name != '\0')
        fprintf(stderr, "bulkhead: there is no command \"%s\"\n", name);
    print_usage(stderr);
    return EXIT_USAGE;
}
