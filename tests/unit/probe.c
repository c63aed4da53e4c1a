/* SPDX-License-Identifier: MIT
 *
 * probe: a handler module that the unit tests of the room handler load. The path says what it does.
 *
 * Built three times: as it is; with PROBE_ABI, as a module of another version; with PROBE_BARE, without an entry.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bulkhead/handler.h>

#ifdef PROBE_ABI
#undef BULKHEAD_ABI_VERSION
#define BULKHEAD_ABI_VERSION PROBE_ABI
#endif

struct probe {
    pthread_barrier_t meeting; /* for "meet": options.meet calls at once */
};

struct deed {
    const char *path;
    int (*run)(struct bulkhead_call *call, struct probe *probe);
};

/* a wrong use whose return value nobody looks at, followed by a fine answer */
static int finish(struct bulkhead_call *call)
{
    bulkhead_write(call, "body", 4);
    return 0;
}

static int status_99(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_status(call, 99);
    return finish(call);
}

static int header_break(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_add_header(call, "x-a", "1\r\nx-b: 2");
    return finish(call);
}

static int header_name(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_add_header(call, "x a", "1");
    return finish(call);
}

static int header_connection(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_set_header(call, "Connection", "close");
    return finish(call);
}

static int header_length(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_set_header(call, "Content-Length", "4");
    return finish(call);
}

static int headers_many(struct bulkhead_call *call, struct probe *probe)
{
    for (int i = 0; i < 101; i++)
        bulkhead_add_header(call, "x-a", "1");
    return finish(call);
}

static int headers_large(struct bulkhead_call *call, struct probe *probe)
{
    char *value = bulkhead_alloc(call, 70000);
    memset(value, 'v', 69999);
    value[69999] = '\0';
    bulkhead_add_header(call, "x-a", value);
    return finish(call);
}

static int headers_replaced(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_add_header(call, "X-A", "1");
    bulkhead_add_header(call, "x-b", "2");
    bulkhead_add_header(call, "x-a", "3");
    bulkhead_set_header(call, "X-a", "4");
    return finish(call);
}

static int head_twice(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_write(call, "body", 4);
    bulkhead_flush(call);
    bulkhead_status(call, 404);
    return 0;
}

static int answer_twice(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_answer(call, 200, NULL, "a", 1);
    return bulkhead_answer(call, 200, NULL, "b", 1);
}

static int too_much(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_content_length(call, 3);
    return finish(call);
}

static int no_content(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_status(call, 204);
    return finish(call);
}

static int announced(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_content_length(call, 12345);
    return 0;
}

static int minus_two(struct bulkhead_call *call, struct probe *probe)
{
    return -2;
}

/* until nobody wants more; says in the error how many pieces were taken */
static int write_on(struct bulkhead_call *call, struct probe *probe)
{
    static const char piece[100000];
    int pieces = 0;
    while (bulkhead_write(call, piece, sizeof(piece)))
        pieces++;
    return bulkhead_failed(call, "%d pieces", pieces);
}

/* what texts and memory of a call are like */
static int memory(struct bulkhead_call *call, struct probe *probe)
{
    for (size_t bytes = 1; bytes < 200000; bytes = bytes * 3 / 2 + 1) {
        char *piece = bulkhead_alloc(call, bytes);
        if ((uintptr_t)piece % sizeof(void *) != 0)
            return bulkhead_failed(call, "not aligned");
        memset(piece, 1, bytes);
    }
    char *text = bulkhead_format(call, "%03000d", 7);
    if (strlen(text) != 3000 || text[2999] != '7')
        return bulkhead_failed(call, "bad text");
    if (bulkhead_header(call, "X-Probe") != bulkhead_header(call, "x-probe"))
        return bulkhead_failed(call, "a header's text was copied twice");
    return bulkhead_printf(call, "%03000d", 7) ? 0 : -1;
}

static int look(struct bulkhead_call *call, struct probe *probe)
{
    bool first = bulkhead_cancelled(call), second = bulkhead_cancelled(call);
    return bulkhead_printf(call, "%d %d", first, second) ? 0 : -1;
}

/* until somebody cancels */
static int wait_cancelled(struct bulkhead_call *call, struct probe *probe)
{
    while (!bulkhead_cancelled(call))
        usleep(1000);
    return bulkhead_failed(call, "cancelled");
}

/* asks for a fifth of a second, some hundred times, whether it was cancelled */
static int ask_on(struct bulkhead_call *call, struct probe *probe)
{
    for (int i = 0; i < 100; i++) {
        if (bulkhead_cancelled(call))
            return bulkhead_failed(call, "cancelled");
        usleep(2000);
    }
    return bulkhead_answer(call, 200, NULL, "not cancelled", 13);
}

/* answers when as many calls as were agreed upon run at the same time */
static int meet(struct bulkhead_call *call, struct probe *probe)
{
    pthread_barrier_wait(&probe->meeting);
    return bulkhead_answer(call, 200, NULL, "met", 3);
}

static int whole(struct bulkhead_call *call, struct probe *probe)
{
    return bulkhead_answer(call, 201, "text/plain", "hello", 5);
}

static int body_length(struct bulkhead_call *call, struct probe *probe)
{
    size_t length, sum = 0;
    const char *body = bulkhead_body(call, &length);
    for (size_t i = 0; i < length; i++)
        sum += (unsigned char)body[i];
    return bulkhead_printf(call, "%zu %zu", length, sum) ? 0 : -1;
}

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

static int silent(struct bulkhead_call *call, struct probe *probe)
{
    return 0;
}

static int websocket(struct bulkhead_call *call, struct probe *probe)
{
    return bulkhead_printf(call, "%d %d '%s' %d", (int)bulkhead_kind(call), (int)bulkhead_opcode(call),
                           bulkhead_connection(call), bulkhead_close_code(call))
               ? 0
               : -1;
}

static bool send_hello(struct bulkhead_call *call)
{
    return bulkhead_send(call, BULKHEAD_TEXT, "hello", 5);
}

static int send_two(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_set_header(call, "Content-Type", "text/plain");
    bulkhead_add_header(call, "Set-Meta-Room", "7");
    return send_hello(call) && bulkhead_send(call, BULKHEAD_BINARY, "\0\1", 2) ? 0 : -1;
}

static int send_empty(struct bulkhead_call *call, struct probe *probe)
{
    return bulkhead_send(call, BULKHEAD_TEXT, NULL, 0) ? 0 : -1;
}

/* the first message arrives although the handler does not return */
static int send_and_wait(struct bulkhead_call *call, struct probe *probe)
{
    send_hello(call);
    return wait_cancelled(call, probe);
}

static int send_on(struct bulkhead_call *call, struct probe *probe)
{
    int messages = 0;
    while (send_hello(call))
        messages++;
    return bulkhead_failed(call, "%d messages", messages);
}

static int send_and_write(struct bulkhead_call *call, struct probe *probe)
{
    send_hello(call);
    return finish(call);
}

static int send_and_answer(struct bulkhead_call *call, struct probe *probe)
{
    send_hello(call);
    return bulkhead_answer(call, 200, NULL, "body", 4);
}

static int write_and_send(struct bulkhead_call *call, struct probe *probe)
{
    finish(call);
    send_hello(call);
    return 0;
}

static int announce_and_send(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_content_length(call, 4);
    send_hello(call);
    return finish(call);
}

static int send_latin1(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_send(call, BULKHEAD_TEXT, "caf\xe9", 4);
    return 0;
}

static int send_opcode_3(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_send(call, (enum bulkhead_opcode)3, "", 0);
    return 0;
}

static int send_404(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_status(call, 404);
    send_hello(call);
    return 0;
}

static int send_204(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_status(call, 204);
    send_hello(call);
    return 0;
}

static int close_4000(struct bulkhead_call *call, struct probe *probe)
{
    return bulkhead_close(call, 4000, "bye") ? 0 : -1;
}

static int close_1002(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_close(call, 1002, NULL);
    return 0;
}

static int close_long(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_close(call, 1000, bulkhead_format(call, "%0124d", 0));
    return 0;
}

static int close_latin1(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_close(call, 1000, "caf\xe9");
    return 0;
}

static int close_and_send(struct bulkhead_call *call, struct probe *probe)
{
    bulkhead_close(call, 1000, NULL);
    send_hello(call);
    return 0;
}

static const struct deed deeds[] = {
    {"/status-99", status_99},
    {"/header-break", header_break},
    {"/header-name", header_name},
    {"/header-connection", header_connection},
    {"/header-length", header_length},
    {"/headers-many", headers_many},
    {"/headers-large", headers_large},
    {"/headers-replaced", headers_replaced},
    {"/head-twice", head_twice},
    {"/answer-twice", answer_twice},
    {"/too-much", too_much},
    {"/no-content", no_content},
    {"/announced", announced},
    {"/minus-two", minus_two},
    {"/write-on", write_on},
    {"/memory", memory},
    {"/look", look},
    {"/wait-cancelled", wait_cancelled},
    {"/ask-on", ask_on},
    {"/meet", meet},
    {"/whole", whole},
    {"/body-length", body_length},
    {"/silent", silent},
    {"/websocket", websocket},
    {"/send-two", send_two},
    {"/send-empty", send_empty},
    {"/send-and-wait", send_and_wait},
    {"/send-on", send_on},
    {"/send-and-write", send_and_write},
    {"/send-and-answer", send_and_answer},
    {"/write-and-send", write_and_send},
    {"/announce-and-send", announce_and_send},
    {"/send-latin1", send_latin1},
    {"/send-opcode-3", send_opcode_3},
    {"/send-404", send_404},
    {"/send-204", send_204},
    {"/close-4000", close_4000},
    {"/close-1002", close_1002},
    {"/close-long", close_long},
    {"/close-latin1", close_latin1},
    {"/close-and-send", close_and_send},
};

static int probe_handle(struct bulkhead_call *call, void *state)
{
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
        if (strcmp(deeds[i].path, bulkhead_path(call)) == 0)
            return deeds[i].run(call, state);
    return bulkhead_answer(call, 404, NULL, "", 0);
}

/* "expect": what the lookups must have found, as text; a mismatch is the message */
static int check_lookups(struct bulkhead_options *options)
{
    struct bulkhead_options *inner = bulkhead_option_object(options, "inner");
    const char *expected = bulkhead_option_string(options, "expect", NULL);
    char found[256];
    size_t names = 0;
    while (inner != NULL && bulkhead_option_name(inner, names) != NULL)
        names++;
    snprintf(found, sizeof(found), "%s %lld %g %d %s %zu", bulkhead_option_string(options, "string", "none"),
             (long long)bulkhead_option_int(options, "int", 7, 1, 9),
             bulkhead_option_double(options, "double", 0.5, 0, 10), bulkhead_option_bool(options, "bool", true),
             inner == NULL ? "-" : bulkhead_option_string(inner, "string", "none"), names);
    if (bulkhead_option_bool(options, "json", false))
        return bulkhead_open_failed(options, "%s", bulkhead_options_json(options));
    if (expected != NULL && strcmp(expected, found) != 0)
        return bulkhead_open_failed(options, "found %s", found);
    return bulkhead_option_bool(options, "silent", false) ? -1 : 0;
}

static int probe_open(struct bulkhead_options *options, void **state)
{
    struct probe *probe = malloc(sizeof(*probe));
    if (probe == NULL)
        return -1;
    pthread_barrier_init(&probe->meeting, NULL, (unsigned)bulkhead_option_int(options, "meet", 1, 1, 100));
    *state = probe;
    if (check_lookups(options) == 0)
        return 0;
    pthread_barrier_destroy(&probe->meeting);
    free(probe);
    return -1;
}

static void probe_close(void *state)
{
    struct probe *probe = state;
    pthread_barrier_destroy(&probe->meeting);
    free(probe);
}

#if defined(PROBE_BARE)
extern const struct bulkhead_handler probe_is_not_exported;
const struct bulkhead_handler probe_is_not_exported = {
    .name = "probe", .handle = probe_handle, .open = probe_open, .close = probe_close};
#else
BULKHEAD_HANDLER(.name = "probe", .handle = probe_handle, .open = probe_open, .close = probe_close);
#endif
