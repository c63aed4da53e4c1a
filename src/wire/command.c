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
    const char *name, *argument; /* NULL: it takes none */
    bool is_number;
} commands[WIRE_COMMAND_COUNT] = {
    [WIRE_COMMAND_STATUS] = {"status", NULL, false},        [WIRE_COMMAND_KILL] = {"kill", "pid", true},
    [WIRE_COMMAND_RECYCLE] = {"recycle", "backend", false}, [WIRE_COMMAND_LOG_LEVEL] = {"log-level", "level", false},
    [WIRE_COMMAND_DRAIN] = {"drain", NULL, false},
    [WIRE_COMMAND_RELOAD] = {"reload", NULL, false},
};

const char *wire_command_name(enum wire_command c)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    return commands[c].name;
}

const char *wire_command_argument(enum wire_command c, bool *is_number_r)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    *is_number_r = commands[c].is_number;
    return commands[c].argument;
}

void wire_request_put(const struct wire_request *request, struct buf *out)
{
    const char *argument = commands[request->command].argument;
    buf_printf(out, "{\"command\":\"%s\"", wire_command_name(request->command));
    if (argument != NULL)
        buf_printf(out, ",\"%s\":", argument);
    if (argument != NULL && commands[request->command].is_number)
        buf_append_i64(out, request->number);
    else if (argument != NULL)
        buf_append_json(out, str_of(request->text));
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

static bool take_argument(struct wire_request *r, const json_t *value)
{
    const char *text = json_string_value(value);
    if (commands[r->command].is_number) {
        r->number = json_integer_value(value);
        return json_is_integer(value);
    }
    if (text == NULL || strlen(text) >= sizeof(r->text) || strlen(text) != json_string_length(value))
        return false;
    strcpy(r->text, text);
    return true;
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
    const char *argument = commands[r->command].argument;
    if (json_object_size(request) == (argument == NULL ? 1 : 2) &&
        (argument == NULL || take_argument(r, json_object_get(request, argument))))
        return true;
    if (argument == NULL)
        snprintf(error_r, error_size, "'%s' is a request of the form {\"command\": NAME}, without anything else", name);
    else
        snprintf(error_r, error_size, "'%s' needs \"%s\", a %s, and nothing else", name, argument,
                 commands[r->command].is_number ? "whole number" : "string");
    return false;
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
