/* SPDX-License-Identifier: MIT
 *
 * conf_dump: the tree as JSON again, by the keyword table: every key that has a meaning where it stands, with its
 * effective value. Addresses are numeric and file names absolute, so that parsing it depends on nothing outside: that
 * is how the supervisor hands the tree to the front. Pure; any thread.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include <jansson.h>

#include "config/conf.h"
#include "config/conf_address.h"
#include "config/conf_dump.h"
#include "config/conf_read.h"
#include "config/expand.h"
#include "config/keys.h"
#include "config/units.h"

/* a row and the object that it belongs to */
struct item {
    const struct conf *conf;
    const struct key *key;
    const char *object;
};

static const void *place(const struct item *item)
{
    return item->object + item->key->offset;
}

static const void *pointer_at(const void *at)
{
    const void *pointer;
    memcpy(&pointer, at, sizeof(pointer));
    return pointer;
}

static size_t count_of(const struct item *item)
{
    size_t count;
    memcpy(&count, item->object + item->key->count_offset, sizeof(count));
    return count;
}

/* ---- single values; NULL: nothing to write ---------------------------------------------------------------------- */

static json_t *text(const char *s)
{
    struct buf escaped = {0};
    expand_escape(s, &escaped);
    json_t *json = json_stringn(escaped.base == NULL ? "" : escaped.base, escaped.len);
    buf_free(&escaped);
    return json;
}

static json_t *dump_bool(const struct item *item)
{
    return json_boolean(*(const bool *)place(item));
}

static json_t *dump_unsigned(const struct item *item)
{
    return json_integer(*(const unsigned *)place(item));
}

static json_t *dump_int(const struct item *item)
{
    return json_integer(*(const int *)place(item));
}

/* unset, or a word in place of a number; false: it is one */
static bool dump_no_number(int64_t n, json_t **json_r)
{
    *json_r = n == CONF_UNLIMITED ? json_string("unlimited") : NULL;
    return n < 0 || n == CONF_UNLIMITED;
}

static json_t *dump_count(const struct item *item)
{
    int64_t n = *(const int64_t *)place(item);
    json_t *word;
    return dump_no_number(n, &word) ? word : json_integer(n);
}

static json_t *dump_duration(const struct item *item)
{
    char out[UNITS_TEXT];
    int64_t us = *(const int64_t *)place(item);
    json_t *word;
    if (us < 0 && (item->key->flags & KEY_NONE_OK) != 0)
        return json_string("none");
    return dump_no_number(us, &word) ? word : json_string(units_format_duration(us, out));
}

static json_t *dump_size(const struct item *item)
{
    char out[UNITS_TEXT];
    int64_t bytes = *(const int64_t *)place(item);
    json_t *word;
    if (bytes < 0 && (item->key->flags & KEY_NONE_OK) != 0)
        return json_string("none");
    return dump_no_number(bytes, &word) ? word : json_string(units_format_size(bytes, out));
}

static json_t *dump_mode(const struct item *item)
{
    char out[16];
    unsigned mode = *(const unsigned *)place(item);
    snprintf(out, sizeof(out), "%04o", mode);
    return mode == CONF_READ_UNSET ? NULL : json_string(out);
}

static json_t *dump_word(const struct item *item)
{
    return json_string(item->key->words[*(const int *)place(item) - item->key->min]);
}

static json_t *dump_string(const struct item *item)
{
    const char *s = pointer_at(place(item));
    return s == NULL ? NULL : text(s);
}

/* Replaces the strings in it, which may hold "${"; names of members are taken as they are and stay. */
static json_t *escape_values(json_t *json)
{
    const char *key;
    json_t *member;
    size_t i;
    void *next;
    json_object_foreach_safe(json, next, key, member)
        json_object_set_new(json, key, escape_values(json_incref(member)));
    json_array_foreach(json, i, member) json_array_set_new(json, i, escape_values(json_incref(member)));
    if (!json_is_string(json))
        return json;
    json_t *escaped = text(json_string_value(json));
    json_decref(json);
    return escaped;
}

static json_t *dump_json(const struct item *item)
{
    return escape_values(json_loads(pointer_at(place(item)), 0, NULL));
}

static json_t *dump_bind(const struct item *item)
{
    const struct conf_listener *listener = place(item);
    return listener->bind == NULL ? NULL : text(listener->bind);
}

static json_t *dump_backend(const struct item *item)
{
    return text(item->conf->backends[*(const size_t *)place(item)].name);
}

/* ---- many values ------------------------------------------------------------------------------------------------ */

static json_t *dump_strings(const struct item *item)
{
    const char *const *list = pointer_at(place(item));
    json_t *json = list == NULL || list[0] == NULL ? NULL : json_array();
    for (; json != NULL && *list != NULL; list++)
        json_array_append_new(json, text(*list));
    return json;
}

static json_t *dump_pairs(const struct item *item)
{
    const struct conf_pair *pairs = pointer_at(place(item));
    size_t count = count_of(item);
    json_t *json = count == 0 ? NULL : json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(json, pairs[i].name, text(pairs[i].value));
    return json;
}

static json_t *dump_matches(const struct item *item)
{
    const struct conf_header_match *matches = pointer_at(place(item));
    size_t count = count_of(item);
    json_t *json = count == 0 ? NULL : json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(json, matches[i].name, matches[i].value == NULL ? json_true() : text(matches[i].value));
    return json;
}

static json_t *dump_upstreams(const struct item *item)
{
    const struct conf_address *list = pointer_at(place(item));
    size_t count = count_of(item);
    json_t *json = count == 0 ? NULL : json_array();
    for (size_t i = 0; i < count; i++) {
        struct buf address = {0};
        conf_address_format(&list[i], &address);
        json_array_append_new(json, text(buf_z(&address)));
        buf_free(&address);
    }
    return json;
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static json_t *dump_row(const struct item *item);

json_t *conf_dump_key(const struct conf *conf, const struct key_object *type, const struct key *key, const char *object)
{
    const struct item item = {conf, key, object};
    return type->kind == NULL || keys_fits(key, type->kind(object)) ? dump_row(&item) : NULL;
}

static json_t *dump_object(const struct conf *conf, const struct key_object *type, const char *object)
{
    json_t *json = json_object();
    for (size_t i = 0; i < type->nkeys; i++) {
        const struct key *key = &type->keys[i];
        json_t *value = conf_dump_key(conf, type, key, object);
        if (value != NULL)
            json_object_set_new(json, key->name, value);
    }
    return json;
}

/* an object with nothing in it (header rules) is left out */
static json_t *dump_in_place(const struct item *item)
{
    json_t *json = dump_object(item->conf, item->key->object, place(item));
    if (json_object_size(json) != 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *dump_pointer(const struct item *item)
{
    const char *object = pointer_at(place(item));
    return object == NULL ? NULL : dump_object(item->conf, item->key->object, object);
}

static json_t *dump_list(const struct item *item)
{
    const char *list = pointer_at(place(item));
    size_t count = count_of(item);
    json_t *json = count == 0 ? NULL : json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(json, dump_object(item->conf, item->key->object, list + i * item->key->object->size));
    return json;
}

static json_t *dump_map(const struct item *item)
{
    const char *list = pointer_at(place(item));
    size_t count = count_of(item);
    json_t *json = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *object = list + i * item->key->object->size;
        json_object_set_new(json, pointer_at(object), dump_object(item->conf, item->key->object, object));
    }
    return json;
}

static json_t *dump_row(const struct item *item)
{
    static json_t *(*const dumpers[KEY_TYPE_COUNT])(const struct item *) = {
        [KEY_BOOL] = dump_bool,           [KEY_UNSIGNED] = dump_unsigned, [KEY_INT] = dump_int,
        [KEY_COUNT] = dump_count,         [KEY_DURATION] = dump_duration, [KEY_SIZE] = dump_size,
        [KEY_MODE] = dump_mode,           [KEY_WORD] = dump_word,         [KEY_STRING] = dump_string,
        [KEY_FILE] = dump_string,         [KEY_STRINGS] = dump_strings,   [KEY_PAIRS] = dump_pairs,
        [KEY_MATCHES] = dump_matches,     [KEY_JSON] = dump_json,         [KEY_BIND] = dump_bind,
        [KEY_UPSTREAMS] = dump_upstreams, [KEY_BACKEND] = dump_backend,   [KEY_OBJECT] = dump_in_place,
        [KEY_POINTER] = dump_pointer,     [KEY_LIST] = dump_list,         [KEY_MAP] = dump_map,
    };
    return dumpers[item->key->type] == NULL ? NULL : dumpers[item->key->type](item);
}

void conf_dump(const struct conf *conf, struct buf *out)
{
    json_t *json = dump_object(conf, &keys_root, (const char *)conf);
    char *dumped = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    assert(dumped != NULL); /* all strings of the tree are UTF-8 */
    buf_append_z(out, dumped);
    buf_append_char(out, '\n');
    free(dumped);
}
