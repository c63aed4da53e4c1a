/* SPDX-License-Identifier: MIT
 *
 * keys_schema: the keyword table as a JSON schema (draft 7), for editors. It describes the file as it is written, so a
 * string may hold ${NAME} wherever a word, duration or size is expected. See keys_doc.h.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/buf.h"
#include "config/keys.h"
#include "config/keys_doc.h"

#define VARIABLE "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}"

/* every json_pack format here is right or the program is wrong */
static json_t *packed(json_t *json)
{
    assert(json != NULL);
    return json;
}

static json_t *reference(const struct key_object *object)
{
    char path[64];
    snprintf(path, sizeof(path), "#/definitions/%s", object->name);
    return packed(json_pack("{s:s}", "$ref", path));
}

static json_t *any_of(json_t *a, json_t *b)
{
    return packed(json_pack("{s:[o, o]}", "anyOf", a, b));
}

/* or a string with a variable in it */
static json_t *or_variable(json_t *json)
{
    return any_of(json, packed(json_pack("{s:s}", "$ref", "#/definitions/variable")));
}

static json_t *pattern(const char *regex)
{
    return packed(json_pack("{s:s, s:s}", "type", "string", "pattern", regex));
}

static json_t *type_only(const char *type)
{
    return packed(json_pack("{s:s}", "type", type));
}

static json_t *schema_bool(const struct key *key)
{
    return type_only("boolean");
}

static json_t *schema_number(const struct key *key)
{
    return or_variable(packed(json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)key->min,
                                        "maximum", (json_int_t)key->max)));
}

static json_t *schema_duration(const struct key *key)
{
    bool none_ok = (key->flags & KEY_NONE_OK) != 0;
    return or_variable(pattern(none_ok ? "^([0-9]+(ms|s|m|h|d)|none)$" : "^[0-9]+(ms|s|m|h|d)$"));
}

static json_t *schema_size(const struct key *key)
{
    return or_variable(any_of(
        packed(json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)key->min, "maximum",
                         (json_int_t)key->max)),
        pattern((key->flags & KEY_NONE_OK) != 0 ? "^([0-9]+(B|KiB|MiB|GiB)|none)$" : "^[0-9]+(B|KiB|MiB|GiB)$")));
}

static json_t *schema_mode(const struct key *key)
{
    return or_variable(pattern("^0?[0-7]{3}$"));
}

static json_t *schema_word(const struct key *key)
{
    json_t *words = json_array();
    for (const char *const *word = key->words; *word != NULL; word++)
        json_array_append_new(words, json_string(*word));
    return or_variable(packed(json_pack("{s:o}", "enum", words)));
}

static json_t *schema_string(const struct key *key)
{
    bool empty_ok = (key->flags & KEY_EMPTY_OK) != 0;
    return packed(json_pack("{s:s, s:i}", "type", "string", "minLength", empty_ok ? 0 : 1));
}

static json_t *list_of(const struct key *key, json_t *member)
{
    json_t *single = (key->flags & KEY_ONE_OK) != 0 ? json_deep_copy(member) : NULL;
    json_t *list =
        packed(json_pack("{s:s, s:o, s:I}", "type", "array", "items", member, "minItems", (json_int_t)key->min));
    if (key->max != 0)
        json_object_set_new(list, "maxItems", json_integer((json_int_t)key->max));
    return single == NULL ? list : any_of(single, list);
}

static json_t *schema_strings(const struct key *key)
{
    return list_of(key, type_only("string"));
}

static json_t *schema_pairs(const struct key *key)
{
    return packed(json_pack("{s:s, s:o}", "type", "object", "additionalProperties", type_only("string")));
}

static json_t *schema_matches(const struct key *key)
{
    json_t *value = any_of(type_only("string"), packed(json_pack("{s:b}", "const", 1)));
    return packed(json_pack("{s:s, s:o, s:i}", "type", "object", "additionalProperties", value, "minProperties", 1));
}

static json_t *schema_json(const struct key *key)
{
    return type_only("object");
}

static json_t *schema_in_place(const struct key *key)
{
    return reference(key->object);
}

static json_t *schema_list(const struct key *key)
{
    return list_of(key, reference(key->object));
}

static json_t *schema_map(const struct key *key)
{
    return packed(json_pack("{s:s, s:o}", "type", "object", "additionalProperties", reference(key->object)));
}

static json_t *schema_row(const struct key *key)
{
    static json_t *(*const types[KEY_TYPE_COUNT])(const struct key *) = {
        [KEY_BOOL] = schema_bool,         [KEY_UNSIGNED] = schema_number,   [KEY_INT] = schema_number,
        [KEY_COUNT] = schema_number,      [KEY_DURATION] = schema_duration, [KEY_SIZE] = schema_size,
        [KEY_MODE] = schema_mode,         [KEY_WORD] = schema_word,         [KEY_STRING] = schema_string,
        [KEY_FILE] = schema_string,       [KEY_STRINGS] = schema_strings,   [KEY_PAIRS] = schema_pairs,
        [KEY_MATCHES] = schema_matches,   [KEY_JSON] = schema_json,         [KEY_BIND] = schema_string,
        [KEY_UPSTREAMS] = schema_strings, [KEY_BACKEND] = schema_string,    [KEY_OBJECT] = schema_in_place,
        [KEY_POINTER] = schema_in_place,  [KEY_LIST] = schema_list,         [KEY_MAP] = schema_map,
        [KEY_IGNORED] = schema_string,    [KEY_INCLUDE] = schema_strings,
    };
    json_t *type = types[key->type](key);
    if ((key->flags & KEY_UNLIMITED_OK) != 0)
        type = any_of(type, packed(json_pack("{s:s}", "const", "unlimited")));
    json_t *row = packed(json_pack("{s:s, s:[o]}", "description", key->help, "allOf", type));
    if (key->fallback != NULL)
        json_object_set_new(row, "default", json_loads(key->fallback, JSON_DECODE_ANY, NULL));
    return row;
}

/* Exactly one of the keys, or (pairs of them) not two */
static void add_alternatives(json_t *schema, const struct key_object *object)
{
    json_t *one_of = json_array(), *pairs = json_array();
    for (size_t i = 0; object->one_of != NULL && object->one_of[i] != NULL; i++)
        json_array_append_new(one_of, json_pack("{s:[s]}", "required", object->one_of[i]));
    for (size_t i = 0; object->at_most_one != NULL && object->at_most_one[i] != NULL; i++)
        for (size_t k = 0; k < i; k++)
            json_array_append_new(pairs,
                                  json_pack("{s:[s, s]}", "required", object->at_most_one[k], object->at_most_one[i]));
    if (json_array_size(one_of) != 0)
        json_object_set(schema, "oneOf", one_of);
    if (json_array_size(pairs) != 0)
        json_object_set_new(schema, "not", json_pack("{s:O}", "anyOf", pairs));
    json_decref(one_of);
    json_decref(pairs);
}

static json_t *schema_object(const struct key_object *object)
{
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < object->nkeys; i++) {
        const struct key *key = &object->keys[i];
        json_object_set_new(properties, key->name, schema_row(key));
        if ((key->flags & KEY_REQUIRED) != 0)
            json_array_append_new(required, json_string(key->name));
    }
    json_t *schema = packed(json_pack("{s:s, s:s, s:o, s:b}", "description", object->title, "type", "object",
                                      "properties", properties, "additionalProperties", 0));
    if (json_array_size(required) != 0)
        json_object_set(schema, "required", required);
    json_decref(required);
    add_alternatives(schema, object);
    if (object->short_form == NULL)
        return schema;
    return any_of(schema, schema_row(keys_find(object, object->short_form)));
}

static void add_definitions(json_t *definitions, const struct key_object *object)
{
    for (size_t i = 0; i < object->nkeys; i++) {
        const struct key_object *inner = object->keys[i].object;
        if (inner == NULL || json_object_get(definitions, inner->name) != NULL)
            continue;
        json_object_set_new(definitions, inner->name, schema_object(inner));
        add_definitions(definitions, inner);
    }
}

/* What a file that includes others does not have may be in those. */
static void relax_required(json_t *root)
{
    json_t *required = json_incref(json_object_get(root, "required"));
    json_object_del(root, "required");
    json_object_set_new(root, "anyOf",
                        packed(json_pack("[{s:o}, {s:[s]}]", "required", required, "required", "include")));
}

void keys_doc_schema(struct buf *out)
{
    json_t *root = schema_object(&keys_root), *definitions = json_object();
    json_object_set_new(definitions, "variable", pattern(VARIABLE));
    add_definitions(definitions, &keys_root);
    relax_required(root);
    json_t *schema =
        packed(json_pack("{s:s, s:s}", "$schema", "http://json-schema.org/draft-07/schema#", "title", "bulkhead.conf"));
    json_object_update(schema, root);
    json_object_set_new(schema, "definitions", definitions);
    json_decref(root);
    char *text = json_dumps(schema, JSON_INDENT(2));
    json_decref(schema);
    buf_append_z(out, text);
    buf_append_char(out, '\n');
    free(text);
}
