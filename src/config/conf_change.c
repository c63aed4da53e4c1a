/* SPDX-License-Identifier: MIT
 *
 * conf_change: see conf_change.h.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "config/conf.h"
#include "config/conf_change.h"
#include "config/conf_dump.h"
#include "config/keys.h"

/* one object of each conf */
struct pair {
    const struct conf *confs[2];
    const char *objects[2];
};

static bool differs(const struct pair *pair, const struct key_object *type, const struct key *key)
{
    json_t *before = conf_dump_key(pair->confs[0], type, key, pair->objects[0]);
    json_t *after = conf_dump_key(pair->confs[1], type, key, pair->objects[1]);
    bool same = before == NULL || after == NULL ? before == after : json_equal(before, after);
    json_decref(before);
    json_decref(after);
    return !same;
}

/* The worst of all that differs; keys of the reload class `restart` or milder than `from` do not count. */
static enum conf_change judge(const struct pair *pair, const struct key_object *type, enum key_reload from)
{
    enum conf_change worst = CONF_CHANGE_NONE;
    for (size_t i = 0; i < type->nkeys && worst != CONF_CHANGE_OTHER; i++) {
        const struct key *key = &type->keys[i];
        if (key->reload >= from && key->reload != KEY_RESTART && differs(pair, type, key))
            worst = key->reload == KEY_LIVE ? CONF_CHANGE_LIVE : CONF_CHANGE_OTHER;
    }
    return worst;
}

enum conf_change conf_change_of_backend(const struct conf *before, size_t i, const struct conf *after, size_t j)
{
    const struct pair limits = {{before, after}, {(const char *)&before->limits, (const char *)&after->limits}};
    const struct pair backends = {{before, after},
                                  {(const char *)&before->backends[i], (const char *)&after->backends[j]}};
    if (judge(&limits, &keys_limits, KEY_RESTART_BACKEND) != CONF_CHANGE_NONE)
        return CONF_CHANGE_OTHER;
    return judge(&backends, &keys_backend, KEY_LIVE);
}

bool conf_change_keeps_socket(const struct conf_listener *before, const struct conf_listener *after)
{
    if (before->kind != after->kind)
        return false;
    if (before->kind == CONF_BIND_SYSTEMD)
        return strcmp(before->systemd, after->systemd) == 0;
    return before->address_len == after->address_len && before->ipv6_only == after->ipv6_only &&
           memcmp(&before->address, &after->address, before->address_len) == 0;
}

char *conf_change_rule(const struct conf *conf, size_t route)
{
    json_t *json = json_object();
    for (size_t i = 0; i < keys_route.nkeys; i++) {
        const struct key *key = &keys_route.keys[i];
        json_t *value = strcmp(key->name, "name") == 0
                            ? NULL
                            : conf_dump_key(conf, &keys_route, key, (const char *)&conf->routes[route]);
        if (value != NULL)
            json_object_set_new(json, key->name, value);
    }
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    assert(text != NULL);
    return text;
}

struct conf *conf_change_part(const struct conf *conf, size_t backend)
{
    /* a conf without a listener and a route is none */
    struct conf_route route = {.name = "-",
                               .action = CONF_ROUTE_RESPOND,
                               .respond = {.status = 200, .body = ""},
                               .timeout = -1,
                               .queue_timeout = -1,
                               .max_body = -1,
                               .buffer = true};
    struct conf part = *conf;
    struct buf text = {0}, problems = {0};
    part.nlisteners = 1;
    part.admin = NULL;
    part.routes = &route;
    part.nroutes = 1;
    part.backends = &conf->backends[backend];
    part.nbackends = 1;
    conf_dump(&part, &text);
    struct conf *parsed = conf_parse(conf->path, text.base, text.len, &problems);
    assert(parsed != NULL); /* a dump dumps to itself */
    parsed->generation = conf->generation;
    buf_free(&text);
    buf_free(&problems);
    return parsed;
}
