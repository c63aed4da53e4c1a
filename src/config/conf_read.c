/* SPDX-License-Identifier: MIT
 *
 * conf_read: see conf_read.h. Each type of the keyword table has a function that takes a node, checks it against the
 * row and stores the value at the place that the row names. Defaults go the same way: they are JSON in the table.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "config/conf.h"
#include "config/conf_address.h"
#include "config/conf_read.h"
#include "config/nearest.h"
#include "config/node.h"
#include "config/paths.h"
#include "config/problems.h"
#include "config/source.h"
#include "config/units.h"

#define STRING_MAX 65536

/* what is being read: a row, the node for it and the object that it belongs to */
struct item {
    struct conf_reader *reader;
    const struct key *key;
    struct node *node;
    char *object;
};

static void *place(const struct item *item)
{
    return item->object + item->key->offset;
}

static void store_count(const struct item *item, size_t count)
{
    memcpy(item->object + item->key->count_offset, &count, sizeof(count));
}

static void store_pointer(const struct item *item, const void *pointer)
{
    memcpy(place(item), &pointer, sizeof(pointer));
}

static const char *describe(const struct item *item)
{
    return node_describe(item->node, item->reader->problems->region);
}

static void must_be(const struct item *item, const char *what)
{
    problems_error(item->reader->problems, item->node, "must be %s (is %s)", what, describe(item));
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static void read_bool(const struct item *item)
{
    if (item->node->kind == NODE_BOOL)
        memcpy(place(item), &item->node->boolean, sizeof(bool));
    else
        must_be(item, "true or false");
}

/* A number may also come from an environment variable, which is always text. */
static bool take_integer(const struct node *node, int64_t *n_r)
{
    if (node->kind == NODE_STRING && node->expanded) {
        char *end;
        *n_r = strtoll(node->string, &end, 10);
        return end != node->string && *end == '\0';
    }
    *n_r = node->integer;
    return node->kind == NODE_INTEGER;
}

/* what else may stand there, for messages */
static const char *word_or(const struct item *item)
{
    if ((item->key->flags & KEY_NONE_OK) != 0)
        return "\"none\" or ";
    return (item->key->flags & KEY_UNLIMITED_OK) != 0 ? "\"unlimited\" or " : "";
}

static bool read_integer(const struct item *item, int64_t *n_r)
{
    const struct key *key = item->key;
    if (take_integer(item->node, n_r) && *n_r >= key->min && *n_r <= key->max)
        return true;
    problems_error(item->reader->problems, item->node, "must be %sa whole number between %lld and %lld (is %s)",
                   word_or(item), (long long)key->min, (long long)key->max, describe(item));
    return false;
}

static void read_unsigned(const struct item *item)
{
    int64_t n;
    if (!read_integer(item, &n))
        return;
    unsigned narrow = (unsigned)n;
    memcpy(place(item), &narrow, sizeof(narrow));
}

static void read_int(const struct item *item)
{
    int64_t n;
    if (!read_integer(item, &n))
        return;
    int narrow = (int)n;
    memcpy(place(item), &narrow, sizeof(narrow));
}

/* the word for no limit, where it is allowed */
static bool read_unlimited(const struct item *item)
{
    static const int64_t unlimited = CONF_UNLIMITED;
    const struct node *node = item->node;
    bool is_it = (item->key->flags & KEY_UNLIMITED_OK) != 0 && node->kind == NODE_STRING &&
                 strcmp(node->string, "unlimited") == 0;
    if (is_it)
        memcpy(place(item), &unlimited, sizeof(unlimited));
    return is_it;
}

static void read_count(const struct item *item)
{
    int64_t n;
    if (!read_unlimited(item) && read_integer(item, &n))
        memcpy(place(item), &n, sizeof(n));
}

static void check_range(const struct item *item, int64_t value,
                        const char *(*format)(int64_t value, char out[UNITS_TEXT]))
{
    char low[UNITS_TEXT], high[UNITS_TEXT];
    const struct key *key = item->key;
    if (value >= key->min && value <= key->max)
        memcpy(place(item), &value, sizeof(value));
    else
        problems_error(item->reader->problems, item->node, "must be between %s and %s (is %s)", format(key->min, low),
                       format(key->max, high), describe(item));
}

/* true: it is "none", where that is allowed, and has been stored */
static bool read_none(const struct item *item)
{
    static const int64_t none = -1;
    const struct node *node = item->node;
    bool is_none =
        (item->key->flags & KEY_NONE_OK) != 0 && node->kind == NODE_STRING && strcmp(node->string, "none") == 0;
    if (is_none)
        memcpy(place(item), &none, sizeof(none));
    return is_none;
}

static void read_duration(const struct item *item)
{
    int64_t us = 0;
    const struct node *node = item->node;
    if (read_unlimited(item) || read_none(item))
        return;
    const char *wrong = units_parse_duration(node->kind == NODE_STRING ? node->string : "", &us);
    if (wrong == NULL)
        check_range(item, us, units_format_duration);
    else if (node->kind == NODE_INTEGER)
        problems_error(item->reader->problems, item->node, "must be %s (is %s); write \"%llds\" for seconds", wrong,
                       describe(item), (long long)node->integer);
    else
        problems_error(item->reader->problems, item->node, "must be %s%s (is %s)", word_or(item), wrong,
                       describe(item));
}

static void read_size(const struct item *item)
{
    int64_t bytes = item->node->integer;
    const char *wrong = NULL;
    if (read_unlimited(item) || read_none(item))
        return;
    if (item->node->kind != NODE_INTEGER)
        wrong = units_parse_size(item->node->kind == NODE_STRING ? item->node->string : "", &bytes);
    if (wrong == NULL)
        check_range(item, bytes, units_format_size);
    else
        problems_error(item->reader->problems, item->node, "must be %s%s (is %s)", word_or(item), wrong,
                       describe(item));
}

static void read_mode(const struct item *item)
{
    const char *text = item->node->kind == NODE_STRING ? item->node->string : "";
    size_t digits = strspn(text, "01234567");
    if (digits < 3 || digits > 4 || text[digits] != '\0' || (digits == 4 && text[0] != '0')) {
        must_be(item, "a file mode in octal, as in \"0660\"");
        return;
    }
    unsigned mode = (unsigned)strtoul(text, NULL, 8);
    memcpy(place(item), &mode, sizeof(mode));
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void report_word(const struct item *item)
{
    struct buf list = {0};
    struct nearest nearest = {.written = item->node->kind == NODE_STRING ? item->node->string : ""};
    for (const char *const *word = item->key->words; *word != NULL; word++) {
        buf_printf(&list, "%s\"%s\"", list.len == 0 ? "" : ", ", *word);
        nearest_offer(&nearest, *word);
    }
    problems_error(item->reader->problems, item->node, "must be one of %s (is %s)%s%s%s", buf_z(&list), describe(item),
                   nearest.word == NULL ? "" : "; did you mean \"", nearest.word == NULL ? "" : nearest.word,
                   nearest.word == NULL ? "" : "\"?");
    buf_free(&list);
}

static void read_word(const struct item *item)
{
    for (int i = 0; item->node->kind == NODE_STRING && item->key->words[i] != NULL; i++)
        if (strcmp(item->key->words[i], item->node->string) == 0) {
            int value = i + (int)item->key->min;
            memcpy(place(item), &value, sizeof(value));
            return;
        }
    report_word(item);
}

/* a string without a value: one of its environment variables has been reported */
static bool is_spoilt(const struct node *node)
{
    return node->kind == NODE_STRING && node->bad;
}

/* Rules for the text of `node`, which is item's or one within it; a copy in the tree's region, or NULL when it is bad
 */
static char *take_text(const struct item *item, struct node *node, grammar_fn grammar, bool empty_ok)
{
    struct conf_reader *reader = item->reader;
    if (is_spoilt(node))
        return NULL;
    size_t max = item->key->type == KEY_STRING && item->key->max != 0 ? (size_t)item->key->max : STRING_MAX;
    if (node->kind != NODE_STRING) {
        problems_error(reader->problems, node, "must be a string (is %s)",
                       node_describe(node, reader->problems->region));
        return NULL;
    }
    size_t len = strlen(node->string);
    if (len > max || (len == 0 && !empty_ok)) {
        problems_error(reader->problems, node, len == 0 ? "must not be empty" : "must have at most %zu bytes (has %zu)",
                       max, len);
        return NULL;
    }
    char *text = region_strdup(reader->region, (struct str){(char *)node->string, len});
    const char *wrong = grammar == NULL ? NULL : grammar(reader->problems->region, text);
    if (wrong == NULL)
        return text;
    problems_error(reader->problems, node, "%s (is %s)", wrong, node_describe(node, reader->problems->region));
    return NULL;
}

static void read_string(const struct item *item)
{
    char *text = take_text(item, item->node, item->key->grammar, (item->key->flags & KEY_EMPTY_OK) != 0);
    if (text != NULL)
        store_pointer(item, text);
}

static bool is_special_word(const struct key *key, const char *text)
{
    for (const char *const *word = key->words; word != NULL && *word != NULL; word++)
        if (strcmp(*word, text) == 0)
            return true;
    return false;
}

static void read_file(const struct item *item)
{
    char *text = take_text(item, item->node, item->key->grammar, false);
    if (text == NULL)
        return;
    bool bare = (item->key->flags & KEY_BARE_OK) != 0 && strchr(text, '/') == NULL;
    if (bare || is_special_word(item->key, text))
        store_pointer(item, text);
    else
        store_pointer(item, paths_absolute(item->reader->region, item->node->source->directory, text));
}

static void read_json(const struct item *item)
{
    if (item->node->kind != NODE_OBJECT) {
        must_be(item, "an object");
        return;
    }
    json_t *json = node_json(item->node);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    assert(text != NULL); /* what came out of the parser goes back in */
    store_pointer(item, region_strdup(item->reader->region, str_of(text)));
    free(text);
}

/* ---- many ------------------------------------------------------------------------------------------------------- */

static bool check_members(const struct item *item)
{
    const struct key *key = item->key;
    size_t count = item->node->count;
    if (count >= (size_t)key->min && count <= (size_t)key->max)
        return true;
    if (count == 0)
        problems_error(item->reader->problems, item->node, "must not be empty");
    else
        problems_error(item->reader->problems, item->node, "must have at most %lld members (has %zu)",
                       (long long)key->max, count);
    return false;
}

/* The members of a list, or the one node that stands for a list; *count_r of them, along `next` when it is a list */
static struct node *members(const struct item *item, enum node_kind single, const char *what, size_t *count_r)
{
    struct node *node = item->node;
    bool single_ok = (item->key->flags & KEY_ONE_OK) != 0;
    *count_r = 0;
    if (node->kind == NODE_LIST) {
        *count_r = check_members(item) ? node->count : 0;
        return node->first;
    }
    if (single_ok && node->kind == single)
        *count_r = 1;
    else
        problems_error(item->reader->problems, node, "must be %s (is %s)", what, describe(item));
    return node;
}

static void read_strings(const struct item *item)
{
    size_t count, stored = 0;
    bool single_ok = (item->key->flags & KEY_ONE_OK) != 0;
    struct node *node =
        members(item, NODE_STRING, single_ok ? "a string or a list of strings" : "a list of strings", &count);
    const char **list = region_alloc(item->reader->region, (count + 1) * sizeof(list[0]));
    bool is_argument = item->key->type == KEY_STRINGS && item->key->offset == item->key->count_offset;
    for (size_t i = 0; i < count; i++, node = node->next) {
        char *text = take_text(item, node, item->key->grammar, is_argument && i != 0);
        if (text != NULL)
            list[stored++] = text;
    }
    if (!is_argument)
        store_count(item, stored);
    if (count != 0)
        store_pointer(item, list);
}

static struct node *object_members(const struct item *item, const char *what)
{
    if (item->node->kind != NODE_OBJECT) {
        must_be(item, what);
        return NULL;
    }
    return check_members(item) ? item->node->first : NULL;
}

static char *take_name(const struct item *item, struct node *member)
{
    struct conf_reader *reader = item->reader;
    char *name = region_strdup(reader->region, str_of(member->key));
    const char *wrong = name[0] == '\0' ? "a name must not be empty" : NULL;
    if (wrong == NULL && item->key->grammar != NULL)
        wrong = item->key->grammar(reader->problems->region, name);
    if (wrong != NULL)
        problems_key_error(reader->problems, member, "%s", wrong);
    return name;
}

static void read_pairs(const struct item *item)
{
    struct node *member = object_members(item, "an object of strings");
    struct conf_pair *pairs = region_alloc(item->reader->region, (item->node->count + 1) * sizeof(pairs[0]));
    size_t count = 0;
    for (; member != NULL; member = member->next) {
        const char *name = take_name(item, member);
        const char *value = take_text(item, member, item->key->value_grammar, true);
        if (value != NULL)
            pairs[count++] = (struct conf_pair){name, value};
    }
    store_pointer(item, pairs);
    store_count(item, count);
}

static void read_matches(const struct item *item)
{
    struct node *member = object_members(item, "an object of strings (or true)");
    struct conf_header_match *matches =
        region_alloc(item->reader->region, (item->node->count + 1) * sizeof(matches[0]));
    size_t count = 0;
    for (; member != NULL; member = member->next) {
        const char *name = take_name(item, member);
        bool present = member->kind == NODE_BOOL && member->boolean;
        const char *value = NULL;
        if (member->kind == NODE_STRING)
            value = take_text(item, member, item->key->value_grammar, true);
        else if (!present)
            problems_error(item->reader->problems, member, "must be a string or true (is %s)",
                           node_describe(member, item->reader->problems->region));
        if (present || value != NULL)
            matches[count++] = (struct conf_header_match){name, value};
    }
    store_pointer(item, matches);
    store_count(item, count);
}

/* ---- addresses and names ---------------------------------------------------------------------------------------- */

static void read_bind(const struct item *item)
{
    char *text = take_text(item, item->node, NULL, false);
    if (text == NULL)
        return;
    const char *wrong = conf_address_listen(item->reader->region, text, item->node->source->directory, place(item));
    if (wrong != NULL)
        problems_error(item->reader->problems, item->node, "%s (is %s)", wrong, describe(item));
}

static void read_upstreams(const struct item *item)
{
    struct conf_reader *reader = item->reader;
    size_t count, stored = 0;
    struct node *node = members(item, NODE_STRING, "an address or a list of addresses", &count);
    struct conf_address *list = region_alloc(reader->region, (count + 1) * sizeof(list[0]));
    for (size_t i = 0; i < count; i++, node = node->next) {
        char *text = take_text(item, node, NULL, false);
        if (text == NULL)
            continue;
        const char *wrong =
            conf_address_upstream(reader->region, text, node->source->directory, reader->resolve, &list[stored++]);
        if (wrong != NULL)
            problems_error(reader->problems, node, "%s (is %s)", wrong, node_describe(node, reader->problems->region));
    }
    store_pointer(item, list);
    store_count(item, stored);
}

static void read_backend_name(const struct item *item)
{
    const struct conf *conf = item->reader->conf;
    char *name = take_text(item, item->node, NULL, false);
    if (name == NULL)
        return;
    struct nearest nearest = {.written = name};
    for (size_t i = 0; i < conf->nbackends; i++) {
        if (strcmp(conf->backends[i].name, name) == 0) {
            memcpy(place(item), &i, sizeof(i));
            return;
        }
        nearest_offer(&nearest, conf->backends[i].name);
    }
    if (nearest.word != NULL)
        problems_error(item->reader->problems, item->node, "there is no backend \"%s\"; did you mean \"%s\"?", name,
                       nearest.word);
    else
        problems_error(item->reader->problems, item->node, "there is no backend \"%s\"; add it to backends", name);
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static void read_row(struct conf_reader *reader, const struct key *key, struct node *node, void *object);

/* Numbers without a default are CONF_READ_UNSET or -1: they depend on something else. */
static void set_default(struct conf_reader *reader, const struct key *key, char *object)
{
    static const int64_t unset = -1;
    static const unsigned unset_narrow = CONF_READ_UNSET;
    if (key->fallback != NULL)
        read_row(reader, key, node_literal(reader->problems->region, key->fallback), object);
    else if (key->type == KEY_DURATION || key->type == KEY_SIZE || key->type == KEY_COUNT)
        memcpy(object + key->offset, &unset, sizeof(unset));
    else if (key->type == KEY_UNSIGNED || key->type == KEY_MODE)
        memcpy(object + key->offset, &unset_narrow, sizeof(unset_narrow));
}

static const void *prototype(struct conf_reader *reader, const struct key_object *type);

static void set_defaults(struct conf_reader *reader, const struct key_object *type, char *object)
{
    for (size_t i = 0; i < type->nkeys; i++) {
        const struct key *key = &type->keys[i];
        if (key->type == KEY_OBJECT)
            memcpy(object + key->offset, prototype(reader, key->object), key->object->size);
        else
            set_default(reader, key, object);
    }
}

static const void *prototype(struct conf_reader *reader, const struct key_object *type)
{
    for (size_t i = 0; i < reader->nprototypes; i++)
        if (reader->prototypes[i].object == type)
            return reader->prototypes[i].bytes;
    void *bytes = region_alloc(reader->region, type->size);
    set_defaults(reader, type, bytes);
    assert(reader->nprototypes < CONF_READ_OBJECTS_MAX);
    reader->prototypes[reader->nprototypes++] = (struct conf_prototype){type, bytes};
    return bytes;
}

static void report_unknown(struct conf_reader *reader, const struct key_object *type, struct node *member)
{
    struct nearest nearest = {.written = member->key};
    for (size_t i = 0; i < type->nkeys; i++)
        nearest_offer(&nearest, type->keys[i].name);
    if (nearest.word != NULL)
        problems_key_error(reader->problems, member, "unknown key; did you mean \"%s\"?", nearest.word);
    else
        problems_key_error(reader->problems, member, "unknown key; bulkhead.conf(5) lists the keys of \"%s\"",
                           type->name);
}

static void read_members(struct conf_reader *reader, const struct key_object *type, struct node *node, char *object)
{
    for (struct node *member = node->first; member != NULL; member = member->next)
        if (keys_find(type, member->key) == NULL)
            report_unknown(reader, type, member);
    for (size_t i = 0; i < type->nkeys; i++) {
        const struct key *key = &type->keys[i];
        struct node *member = node_member(node, key->name);
        if (member != NULL)
            read_row(reader, key, member, object);
        else if ((key->flags & KEY_REQUIRED) != 0)
            problems_error(reader->problems, node, "needs the key \"%s\"", key->name);
    }
}

static void read_object(const struct item *item, struct node *node, void *object)
{
    struct conf_reader *reader = item->reader;
    const struct key_object *type = item->key->object;
    memcpy(object, prototype(reader, type), type->size);
    if (node->kind == NODE_OBJECT)
        read_members(reader, type, node, object);
    else if (type->short_form != NULL && node->kind != NODE_LIST && node->kind != NODE_NULL)
        read_row(reader, keys_find(type, type->short_form), node, object);
    else
        problems_error(reader->problems, node, "must be an object (is %s)",
                       node_describe(node, reader->problems->region));
}

static void read_in_place(const struct item *item)
{
    read_object(item, item->node, place(item));
}

static void read_pointer(const struct item *item)
{
    void *object = region_alloc(item->reader->region, item->key->object->size);
    read_object(item, item->node, object);
    store_pointer(item, object);
}

static void read_list(const struct item *item)
{
    size_t count, size = item->key->object->size;
    struct node *node = members(item, NODE_OBJECT, "a list of objects", &count);
    char *list = region_alloc(item->reader->region, (count + 1) * size);
    for (size_t i = 0; i < count; i++, node = node->next)
        read_object(item, node, list + i * size);
    store_pointer(item, list);
    store_count(item, count);
}

static void read_map(const struct item *item)
{
    size_t count = 0, size = item->key->object->size;
    struct node *member = object_members(item, "an object");
    char *list = region_alloc(item->reader->region, (item->node->count + 1) * size);
    for (; member != NULL; member = member->next, count++) {
        char *object = list + count * size;
        read_object(item, member, object);
        const char *name = take_name(item, member);
        memcpy(object, &name, sizeof(name));
    }
    store_pointer(item, list);
    store_count(item, count);
}

static void read_nothing(const struct item *item)
{
    (void)item;
}

static void read_row(struct conf_reader *reader, const struct key *key, struct node *node, void *object)
{
    static void (*const readers[KEY_TYPE_COUNT])(const struct item *) = {
        [KEY_BOOL] = read_bool,
        [KEY_UNSIGNED] = read_unsigned,
        [KEY_INT] = read_int,
        [KEY_COUNT] = read_count,
        [KEY_DURATION] = read_duration,
        [KEY_SIZE] = read_size,
        [KEY_MODE] = read_mode,
        [KEY_WORD] = read_word,
        [KEY_STRING] = read_string,
        [KEY_FILE] = read_file,
        [KEY_STRINGS] = read_strings,
        [KEY_PAIRS] = read_pairs,
        [KEY_MATCHES] = read_matches,
        [KEY_JSON] = read_json,
        [KEY_BIND] = read_bind,
        [KEY_UPSTREAMS] = read_upstreams,
        [KEY_BACKEND] = read_backend_name,
        [KEY_OBJECT] = read_in_place,
        [KEY_POINTER] = read_pointer,
        [KEY_LIST] = read_list,
        [KEY_MAP] = read_map,
        [KEY_IGNORED] = read_nothing,
        [KEY_INCLUDE] = read_nothing,
    };
    const struct item item = {reader, key, node, object};
    if (!is_spoilt(node))
        readers[key->type](&item);
}

void conf_read(struct conf_reader *reader, struct node *root)
{
    set_defaults(reader, &keys_root, (char *)reader->conf);
    read_members(reader, &keys_root, root, (char *)reader->conf);
}
