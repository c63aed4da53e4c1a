/* SPDX-License-Identifier: MIT
 *
 * command: requests of the control socket, read strictly: see command.h. The peer may be anybody who got past the
 * socket's permissions, so a request that is not exactly one known command is refused with words.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "wire/command.h"

static const struct {
    const char *name, *text, *number; /* text, number: names of arguments; NULL: it takes none */
    bool is_optional;                 /* the number */
} commands[WIRE_COMMAND_COUNT] = {
    [WIRE_COMMAND_STATUS] = {"status", NULL, NULL, false},
    [WIRE_COMMAND_KILL] = {"kill", NULL, "pid", false},
    [WIRE_COMMAND_RECYCLE] = {"recycle", "backend", NULL, false},
    [WIRE_COMMAND_LOG_LEVEL] = {"log-level", "level", NULL, false},
    [WIRE_COMMAND_DRAIN] = {"drain", NULL, NULL, false},
    [WIRE_COMMAND_PAUSE] = {"pause", "backend", "hold_ms", true},
    [WIRE_COMMAND_RESUME] = {"resume", "backend", NULL, false},
    [WIRE_COMMAND_RESIZE] = {"resize", "backend", "size", false},
    [WIRE_COMMAND_RELOAD] = {"reload", NULL, NULL, false},
};

const char *wire_command_name(enum wire_command c)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    return commands[c].name;
}

const char *wire_command_text(enum wire_command c)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    return commands[c].text;
}

const char *wire_command_number(enum wire_command c, bool *is_optional_r)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    *is_optional_r = commands[c].is_optional;
    return commands[c].number;
}

static bool has_number(const struct wire_request *request)
{
    return commands[request->command].number != NULL &&
           (!commands[request->command].is_optional || request->number >= 0);
}

void wire_request_put(const struct wire_request *request, struct buf *out)
{
    buf_printf(out, "{\"command\":\"%s\"", wire_command_name(request->command));
    if (commands[request->command].text != NULL) {
        buf_printf(out, ",\"%s\":", commands[request->command].text);
        buf_append_json(out, str_of(request->text));
    }
    if (has_number(request)) {
        buf_printf(out, ",\"%s\":", commands[request->command].number);
        buf_append_i64(out, request->number);
    }
    buf_append_z(out, "}\n");
}

static bool find(enum wire_command *c_r, const char *name)
{
    for (unsigned i = 0; i < WIRE_COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            *c_r = (enum wire_command)i;
            return true;
        }
    }
    return false;
}

static void say_what_there_is(const char *name, char *error_r, size_t error_size)
{
    size_t len = (size_t)snprintf(error_r, error_size, "unknown command '%.64s'; there is:", name);
    for (unsigned i = 0; i < WIRE_COMMAND_COUNT && len < error_size; i++)
        len += (size_t)snprintf(error_r + len, error_size - len, "%s %s", i == 0 ? "" : ",", commands[i].name);
}

static bool take_text(struct wire_request *r, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) >= sizeof(r->text) || strlen(text) != json_string_length(value))
        return false;
    strcpy(r->text, text);
    return true;
}

static bool take_number(struct wire_request *r, const json_t *value)
{
    bool is_left_out = value == NULL && commands[r->command].is_optional;
    r->number = is_left_out ? -1 : json_integer_value(value);
    return is_left_out || (json_is_integer(value) && r->number >= 0);
}

/* Exactly the arguments that it takes. */
static bool take_arguments(struct wire_request *r, const json_t *request)
{
    const char *text = commands[r->command].text, *number = commands[r->command].number;
    size_t members = 1;
    if (text != NULL && !take_text(r, json_object_get(request, text)))
        return false;
    if (number != NULL && !take_number(r, json_object_get(request, number)))
        return false;
    members += text != NULL;
    members += has_number(r);
    return json_object_size(request) == members;
}

/* "'resize' needs "backend", a string, and "size", a whole number, and nothing else" */
static void say_what_it_takes(enum wire_command c, char *error_r, size_t error_size)
{
    const char *text = commands[c].text, *number = commands[c].number;
    char first[64] = "", second[64] = "";
    if (text == NULL && number == NULL) {
        snprintf(error_r, error_size, "'%s' is a request of the form {\"command\": NAME}, without anything else",
                 commands[c].name);
        return;
    }
    if (text != NULL)
        snprintf(first, sizeof(first), "\"%s\", a string, and ", text);
    if (number != NULL)
        snprintf(second, sizeof(second), "%s\"%s\", a whole number, and ", commands[c].is_optional ? "perhaps " : "",
                 number);
    snprintf(error_r, error_size, "'%s' needs %s%snothing else", commands[c].name, first, second);
}

static bool take(struct wire_request *r, const json_t *request, char *error_r, size_t error_size)
{
    const char *name = json_string_value(json_object_get(request, "command"));
    if (name == NULL) {
        snprintf(error_r, error_size, "not a request of the form {\"command\": NAME}");
        return false;
    }
    if (!find(&r->command, name)) {
        say_what_there_is(name, error_r, error_size);
        return false;
    }
    bool taken = take_arguments(r, request);
    if (!taken)
        say_what_it_takes(r->command, error_r, error_size);
    return taken;
}

bool wire_request_decode(struct wire_request *request_r, struct str line, char *error_r, size_t error_size)
{
    json_error_t problem;
    json_t *request = json_loadb(line.base, line.len, JSON_REJECT_DUPLICATES, &problem);
    bool taken = false;
    memset(request_r, 0, sizeof(*request_r));
    if (request == NULL)
        snprintf(error_r, error_size, "not a JSON object: %s", problem.text);
    else
        taken = take(request_r, request, error_r, error_size);
    json_decref(request);
    return taken;
}

bool wire_command_is_object(struct str json)
{
    json_t *root = json_loadb(json.base, json.len, 0, NULL);
    bool is_object = json_is_object(root);
    json_decref(root);
    return is_object;
}

void wire_command_fold(char *json, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (json[i] == '\n' || json[i] == '\r')
            json[i] = ' ';
    }
}
