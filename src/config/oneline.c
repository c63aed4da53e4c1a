/* SPDX-License-Identifier: MIT
 *
 * oneline: see oneline.h.
 */
#include "config.h"

#include <stdlib.h>

#include <jansson.h>

#include "base/buf.h"
#include "config/conf.h"
#include "config/conf_build.h"
#include "config/expand.h"
#include "config/oneline.h"

#define BACKEND "app"

/* What the shell has passed on is meant literally. Bytes that are no UTF-8 become U+FFFD, which no file has in its
 * name: the checks say so. */
static json_t *text(const char *s)
{
    struct buf escaped = {0}, quoted = {0};
    expand_escape(s, &escaped);
    buf_append_json(&quoted, buf_str(&escaped));
    json_t *json = json_loadb(quoted.base, quoted.len, JSON_DECODE_ANY, NULL);
    buf_free(&escaped);
    buf_free(&quoted);
    return json;
}

/* A number where it is one; what is none goes to the checks as it is. */
static json_t *number(const char *s)
{
    size_t len = strlen(s);
    bool is_number = len != 0 && len < 18 && s[strspn(s, "0123456789")] == '\0';
    return is_number ? json_integer(strtoll(s, NULL, 10)) : text(s);
}

static json_t *listeners(const struct oneline *o)
{
    json_t *list = json_array();
    for (size_t i = 0; i < o->nlisten; i++)
        json_array_append_new(list, json_pack("{s:o}", "bind", text(o->listen[i])));
    return list;
}

static json_t *backend(const struct oneline *o)
{
    json_t *command = json_array();
    for (char *const *word = o->command; *word != NULL; word++)
        json_array_append_new(command, text(*word));
    json_t *backend =
        json_pack("{s:s, s:o, s:o}", "run", "workers", "command", command, "directory", text(o->directory));
    if (o->workers != NULL)
        json_object_set_new(backend, "workers", number(o->workers));
    if (o->queue != NULL)
        json_object_set_new(backend, "queue", number(o->queue));
    if (o->timeout != NULL)
        json_object_set_new(backend, "timeout", text(o->timeout));
    return backend;
}

void oneline_text(const struct oneline *o, struct buf *out)
{
    json_t *conf = json_pack("{s:o, s:{s:o}, s:[{s:s, s:s}]}", "listeners", listeners(o), "backends", BACKEND,
                             backend(o), "routes", "path_prefix", "/", "backend", BACKEND);
    if (o->control != NULL)
        json_object_set_new(conf, "control", text(o->control));
    char *dumped = json_dumps(conf, JSON_INDENT(2));
    json_decref(conf);
    buf_append_z(out, dumped);
    free(dumped);
}

struct conf *oneline_conf(const struct oneline *o, struct buf *problems)
{
    struct buf out = {0};
    oneline_text(o, &out);
    const struct conf_text input = {.name = "command line",
                                    .path = "-",
                                    .directory = o->directory,
                                    .text = buf_str(&out),
                                    .generated = true,
                                    .system = true};
    struct conf *conf = conf_build(&input, problems);
    buf_free(&out);
    return conf;
}
