/* SPDX-License-Identifier: MIT
 *
 * record: the handler of the chaos tests. It writes down the id of every call before it works on it, so that what was
 * executed, and how often, is known whatever becomes of the answer.
 *
 * Options: "journal": the file to which a line a call is appended.
 * Id:      the path's last segment; of a WebSocket message, the message.
 * Query:   ms=N    works for N milliseconds, without taking CPU
 *          leak=N  N bytes are allocated, used and forgotten
 * Answer:  "ID LENGTH", LENGTH being that of the body.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bulkhead/handler.h>

struct journal {
    int fd;
};

static int record_open(struct bulkhead_options *options, void **state)
{
    const char *path = bulkhead_option_string(options, "journal", "");
    struct journal *journal = malloc(sizeof(*journal));
    if (journal == NULL)
        return bulkhead_open_failed(options, "out of memory");
    if ((journal->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666)) == -1) {
        free(journal);
        return bulkhead_open_failed(options, "journal: cannot open %s", path);
    }
    *state = journal;
    return 0;
}

static void record_close(void *state)
{
    struct journal *journal = state;
    close(journal->fd);
    free(journal);
}

static const char *id_of(struct bulkhead_call *call)
{
    size_t length;
    const char *body = bulkhead_body(call, &length);
    if (bulkhead_kind(call) == BULKHEAD_MESSAGE)
        return bulkhead_format(call, "%.*s", (int)length, body);
    return strrchr(bulkhead_path(call), '/') + 1;
}

static bool write_down(const struct journal *journal, struct bulkhead_call *call, const char *id)
{
    const char *line = bulkhead_format(call, "%s\n", id);
    size_t length = strlen(line);
    return write(journal->fd, line, length) == (ssize_t)length;
}

static long number(struct bulkhead_call *call, const char *name)
{
    const char *text = bulkhead_query_value(call, name, NULL);
    return text == NULL ? 0 : strtol(text, NULL, 10);
}

static void leak(size_t bytes)
{
    volatile char *lost = malloc(bytes); /* volatile: the compiler must not see that it is of no use */
    for (size_t i = 0; lost != NULL && i < bytes; i += 4096)
        lost[i] = 'l';
}

static void work_for(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0)
        ;
}

static int record_handle(struct bulkhead_call *call, void *state)
{
    const char *id = id_of(call);
    size_t length;
    bulkhead_body(call, &length);
    if (!write_down(state, call, id))
        return bulkhead_failed(call, "the journal cannot be written");
    leak((size_t)number(call, "leak"));
    work_for(number(call, "ms"));
    bulkhead_set_header(call, "content-type", "text/plain; charset=utf-8");
    return bulkhead_printf(call, "%s %zu", id, length) ? 0 : -1;
}

BULKHEAD_HANDLER(.name = "record", .handle = record_handle, .open = record_open, .close = record_close);
