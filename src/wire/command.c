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

static const char *const names[WIRE_COMMAND_COUNT] = {[WIRE_COMMAND_STATUS] = "status"};

const char *wire_command_name(enum wire_command c)
{
    assert((unsigned)c < WIRE_COMMAND_COUNT);
    return names[c];
}

static bool find(enum wire_command *c_r, const char *name)
{
    for (unsigned i = 0; i < WIRE_COMMAND_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *c_r = (enum wire_command)i;
            return true;
        }
    }
    return false;
}

bool wire_command_decode(enum wire_command *c_r, struct str line, char *error_r, size_t error_size)
{
    json_error_t problem;
    const char *name = NULL;
    bool found = false;
    json_t *request = json_loadb(line.base, line.len, JSON_REJECT_DUPLICATES, &problem);
    if (request == NULL)
        snprintf(error_r, error_size, "not a JSON object: %s", problem.text);
    else if (json_unpack_ex(request, &problem, JSON_STRICT, "{s:s}", "command", &name) != 0)
        snprintf(error_r, error_size, "not a request of the form {\"command\": NAME}: %s", problem.text);
    else if (!(found = find(c_r, name)))
        snprintf(error_r, error_size, "unknown command '%.64s'; there is: status", name);
    json_decref(request);
    return found;
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
