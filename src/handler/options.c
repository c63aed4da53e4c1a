/* SPDX-License-Identifier: MIT
 *
 * options: JSON options of a module behind typed lookups. jansson stays in here: a module sees names and values only.
 * One node per object; the nodes of inner objects hang from their parent and share the root's error message. Runs on
 * the thread that opens the module; read-only afterwards.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/mem.h"
#include "bulkhead/handler.h"
#include "handler/options.h"

struct bulkhead_options {
    json_t *object;                        /* the root's is owned, inner ones are borrowed from it */
    json_t *asked;                         /* owned: an object whose keys are the names looked up */
    bool raw;                              /* the module reads the text itself: every name counts as asked for */
    char *text;                            /* owned: bulkhead_options_json's */
    char *path;                            /* owned: "" or "outer." in messages */
    struct bulkhead_options *root;         /* itself for the root */
    struct bulkhead_options *inner, *next; /* owned: inner objects that were asked for */
    char *error;                           /* owned; the root's only */
};

static struct bulkhead_options *node_create(json_t *object, struct bulkhead_options *root, char *path)
{
    struct bulkhead_options *o = mem_zalloc(sizeof(*o));
    o->object = object;
    o->asked = json_object();
    if (o->asked == NULL)
        abort();
    o->root = root == NULL ? o : root;
    o->path = path;
    return o;
}

struct bulkhead_options *options_parse(const char *json, char *error, size_t error_size)
{
    json_error_t where;
    json_t *object = json_loads(json == NULL || *json == '\0' ? "{}" : json, JSON_REJECT_DUPLICATES, &where);
    if (object == NULL) {
        snprintf(error, error_size, "options: line %d, column %d: %s", where.line, where.column, where.text);
        return NULL;
    }
    if (!json_is_object(object)) {
        json_decref(object);
        snprintf(error, error_size, "options: must be a JSON object, such as {\"cost\": 12}");
        return NULL;
    }
    return node_create(object, NULL, mem_strdup(""));
}

static void node_free(struct bulkhead_options *o)
{
    while (o->inner != NULL) {
        struct bulkhead_options *inner = o->inner;
        o->inner = inner->next;
        node_free(inner);
    }
    json_decref(o->asked);
    free(o->text);
    free(o->path);
    free(o->error);
    free(o);
}

void options_free(struct bulkhead_options **options)
{
    if (*options == NULL)
        return;
    json_t *object = (*options)->object;
    node_free(*options);
    json_decref(object);
    *options = NULL;
}

/* The first message stays: what follows it is often its consequence. */
static void complain(struct bulkhead_options *o, const char *format, ...)
{
    if (o->root->error != NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    char text[1024];
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    o->root->error = mem_strdup(text);
}

static const char *find_unknown(const struct bulkhead_options *o, const char **path_r)
{
    if (o->raw)
        return NULL;
    const char *name;
    json_t *value;
    json_object_foreach(o->object, name, value) if (json_object_get(o->asked, name) == NULL)
    {
        *path_r = o->path;
        return name;
    }
    for (const struct bulkhead_options *inner = o->inner; inner != NULL; inner = inner->next)
        if ((name = find_unknown(inner, path_r)) != NULL)
            return name;
    return NULL;
}

/* What the module did ask for is the list of what it knows. */
static void list_known(const struct bulkhead_options *o, char *out, size_t size)
{
    size_t used = 0;
    const char *name;
    json_t *value;
    out[0] = '\0';
    json_object_foreach(o->asked, name, value)
    {
        int n = snprintf(out + used, size - used, "%s\"%s\"", used == 0 ? "" : ", ", name);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}

bool options_check(const struct bulkhead_options *o, bool check_unknown, char *error, size_t error_size)
{
    if (o->error != NULL) {
        snprintf(error, error_size, "%s", o->error);
        return false;
    }
    const char *path = "", *name = check_unknown ? find_unknown(o, &path) : NULL;
    if (name == NULL)
        return true;
    char known[512];
    list_known(o, known, sizeof(known));
    if (known[0] == '\0')
        snprintf(error, error_size, "options.%s%s: unknown option; this module takes none", path, name);
    else
        snprintf(error, error_size, "options.%s%s: unknown option; this module takes %s", path, name, known);
    return false;
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

/* NULL when absent or null; remembers that it was asked for */
static json_t *look_up(struct bulkhead_options *o, const char *name)
{
    assert(name != NULL);
    if (json_object_set_new(o->asked, name, json_true()) != 0)
        complain(o, "options: a name that is no UTF-8 was looked up");
    json_t *value = json_object_get(o->object, name);
    return json_is_null(value) ? NULL : value;
}

static void complain_type(struct bulkhead_options *o, const char *name, const char *wanted, const json_t *value)
{
    complain(o, "options.%s%s: must be %s, is %s", o->path, name, wanted, type_name(value));
}

const char *bulkhead_option_string(struct bulkhead_options *o, const char *name, const char *fallback)
{
    json_t *value = look_up(o, name);
    if (value == NULL)
        return fallback;
    if (json_is_string(value))
        return json_string_value(value);
    complain_type(o, name, "a string", value);
    return fallback;
}

int64_t bulkhead_option_int(struct bulkhead_options *o, const char *name, int64_t fallback, int64_t minimum,
                            int64_t maximum)
{
    json_t *value = look_up(o, name);
    if (value == NULL)
        return fallback;
    if (!json_is_integer(value)) {
        complain_type(o, name, "an integer", value);
        return fallback;
    }
    int64_t n = json_integer_value(value);
    if (n >= minimum && n <= maximum)
        return n;
    complain(o, "options.%s%s: %" PRId64 " is out of range (%" PRId64 " to %" PRId64 ")", o->path, name, n, minimum,
             maximum);
    return fallback;
}

double bulkhead_option_double(struct bulkhead_options *o, const char *name, double fallback, double minimum,
                              double maximum)
{
    json_t *value = look_up(o, name);
    if (value == NULL)
        return fallback;
    if (!json_is_number(value)) {
        complain_type(o, name, "a number", value);
        return fallback;
    }
    double n = json_number_value(value);
    if (n >= minimum && n <= maximum)
        return n;
    complain(o, "options.%s%s: %g is out of range (%g to %g)", o->path, name, n, minimum, maximum);
    return fallback;
}

bool bulkhead_option_bool(struct bulkhead_options *o, const char *name, bool fallback)
{
    json_t *value = look_up(o, name);
    if (value == NULL)
        return fallback;
    if (json_is_boolean(value))
        return json_is_true(value);
    complain_type(o, name, "true or false", value);
    return fallback;
}

struct bulkhead_options *bulkhead_option_object(struct bulkhead_options *o, const char *name)
{
    json_t *value = look_up(o, name);
    if (value == NULL)
        return NULL;
    if (!json_is_object(value)) {
        complain_type(o, name, "an object", value);
        return NULL;
    }
    for (struct bulkhead_options *inner = o->inner; inner != NULL; inner = inner->next)
        if (inner->object == value)
            return inner;
    struct bulkhead_options *inner = node_create(value, o->root, mem_printf("%s%s.", o->path, name));
    inner->next = o->inner;
    o->inner = inner;
    return inner;
}

const char *bulkhead_option_name(struct bulkhead_options *o, size_t index)
{
    const char *name;
    json_t *value;
    json_object_foreach(o->object, name, value) if (index-- == 0) return name;
    return NULL;
}

const char *bulkhead_options_json(struct bulkhead_options *o)
{
    o->raw = true;
    if (o->text == NULL)
        o->text = json_dumps(o->object, JSON_COMPACT | JSON_ENCODE_ANY);
    if (o->text == NULL)
        abort();
    return o->text;
}

int bulkhead_open_failed(struct bulkhead_options *o, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    complain(o, "%s", text);
    return -1;
}
