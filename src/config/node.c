/* SPDX-License-Identifier: MIT
 *
 * node: see node.h. jansson decides whether the text is JSON; after that a scanner walks the same text, which can hold
 * no surprise any more, and notes where each value stands. The library's own tree is not used: it keeps no positions
 * and, of two members of one name, only the last.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "config/expand.h"
#include "config/jsonc.h"
#include "config/node.h"
#include "config/problems.h"
#include "config/source.h"

#define DESCRIPTION_MAX 60

struct scanner {
    struct region *region;
    struct problems *problems; /* NULL for a literal */
    const struct source *source;
    const char *text;
    size_t at;
};

void node_append(struct node *parent, struct node *member)
{
    member->next = NULL;
    if (parent->last == NULL)
        parent->first = member;
    else
        parent->last->next = member;
    parent->last = member;
    parent->count++;
}

struct node *node_member(const struct node *object, const char *key)
{
    struct node *member = object == NULL ? NULL : object->first;
    while (member != NULL && strcmp(member->key, key) != 0)
        member = member->next;
    return member;
}

/* ---- scanning --------------------------------------------------------------------------------------------------- */

static char skip_space(struct scanner *s)
{
    s->at += strspn(s->text + s->at, " \t\r\n");
    return s->text[s->at];
}

/* the string whose opening quote is next */
static const char *scan_string(struct scanner *s)
{
    size_t start = s->at;
    bool escaped = false;
    for (s->at++; s->text[s->at] != '"'; s->at++)
        if (s->text[s->at] == '\\') {
            escaped = true;
            s->at++;
        }
    s->at++;
    struct str quoted = {(char *)s->text + start, s->at - start};
    if (!escaped)
        return region_strdup(s->region, (struct str){quoted.base + 1, quoted.len - 2});
    json_t *decoded = json_loadb(quoted.base, quoted.len, JSON_DECODE_ANY, NULL);
    const char *text = region_strdup(s->region, str_of(json_string_value(decoded)));
    json_decref(decoded);
    return text;
}

static void scan_value(struct scanner *s, struct node *node);

static struct node *new_member(struct scanner *s, struct node *parent)
{
    struct node *member = region_alloc(s->region, sizeof(*member));
    member->source = s->source;
    member->parent = parent;
    member->index = parent->count;
    node_append(parent, member);
    return member;
}

static int compare_keys(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : x->key_at < y->key_at ? -1 : 1;
}

static void drop_marked(struct node *object, const struct node *marker)
{
    struct node *member = object->first;
    object->first = object->last = NULL;
    object->count = 0;
    for (struct node *next; member != NULL; member = next) {
        next = member->next;
        if (member->parent == marker)
            continue;
        node_append(object, member);
    }
}

/* Sorting finds them in n log n; maps may be long. Members that go are marked by a parent that is no parent. */
static void drop_duplicates(struct scanner *s, struct node *object)
{
    struct node marker = {.kind = NODE_NULL};
    struct node **members = mem_alloc(object->count * sizeof(struct node *));
    size_t n = 0, first = 0;
    bool any = false;
    for (struct node *member = object->first; member != NULL; member = member->next)
        members[n++] = member;
    qsort(members, n, sizeof(struct node *), compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(members[i]->key, members[first]->key) != 0) {
            first = i;
            continue;
        }
        problems_key_error(s->problems, members[i], "is written twice (first in line %u); remove one of them",
                           source_line(s->source, members[first]->key_at));
        members[i]->parent = &marker;
        any = true;
    }
    mem_free(&members);
    if (any)
        drop_marked(object, &marker);
}

static void scan_members(struct scanner *s, struct node *node)
{
    char close = node->kind == NODE_OBJECT ? '}' : ']';
    s->at++;
    while (skip_space(s) != close) {
        if (s->text[s->at] == ',') {
            s->at++;
            continue;
        }
        struct node *member = new_member(s, node);
        if (node->kind == NODE_OBJECT) {
            member->key_at = s->at;
            member->key = scan_string(s);
            skip_space(s);
            s->at++; /* the colon */
            skip_space(s);
        }
        scan_value(s, member);
    }
    s->at++;
    if (node->kind == NODE_OBJECT && node->count > 1 && s->problems != NULL)
        drop_duplicates(s, node);
}

static void scan_text(struct scanner *s, struct node *node)
{
    node->kind = NODE_STRING;
    node->string = scan_string(s);
    struct expand_result expanded = expand_variables(s->region, node->string);
    node->expanded = expanded.replaced;
    if (expanded.text != NULL)
        node->string = expanded.text;
    else if (s->problems != NULL)
        problems_error(s->problems, node, "%s", expanded.problem);
}

static void scan_number(struct scanner *s, struct node *node)
{
    const char *text = s->text + s->at;
    size_t len = strspn(text, "+-.0123456789eE");
    node->kind = strcspn(text, ".eE") < len ? NODE_REAL : NODE_INTEGER;
    if (node->kind == NODE_INTEGER)
        node->integer = strtoll(text, NULL, 10);
    else
        node->real = strtod(text, NULL);
    s->at += len;
}

static void scan_word(struct scanner *s, struct node *node)
{
    char first = s->text[s->at];
    node->kind = first == 'n' ? NODE_NULL : NODE_BOOL;
    node->boolean = first == 't';
    s->at += first == 'f' ? 5 : 4;
}

static void scan_value(struct scanner *s, struct node *node)
{
    char first = skip_space(s);
    node->at = s->at;
    if (first == '{' || first == '[') {
        node->kind = first == '{' ? NODE_OBJECT : NODE_LIST;
        scan_members(s, node);
    } else if (first == '"') {
        scan_text(s, node);
    } else if (first == '-' || (first >= '0' && first <= '9')) {
        scan_number(s, node);
    } else {
        scan_word(s, node);
    }
}

struct node *node_literal(struct region *region, const char *json)
{
    struct scanner s = {.region = region, .text = json};
    struct node *node = region_alloc(region, sizeof(*node));
    scan_value(&s, node);
    return node;
}

/* ---- parsing ---------------------------------------------------------------------------------------------------- */

/* The library points behind the token that it did not expect, and quotes the token when it is short. */
static size_t offset_of(const json_error_t *error)
{
    size_t at = error->position < 0 ? 0 : (size_t)error->position;
    const char *near = strstr(error->text, " near '");
    if (near == NULL)
        return at;
    size_t token = strlen(near + strlen(" near '")) - 1;
    return token <= at ? at - token : at;
}

static bool check_syntax(const char *text, size_t len, const struct source *source, struct problems *problems)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, 0, &error);
    if (json == NULL) {
        bool is_nul = json_error_code(&error) == json_error_null_character;
        problems_text_error(problems, source, offset_of(&error), "%s",
                            is_nul ? "a string cannot hold a NUL character" : error.text);
        return false;
    }
    bool is_object = json_is_object(json);
    json_decref(json);
    if (!is_object)
        problems_text_error(problems, source, strspn(text, " \t\r\n"), "a conf file is one object: { … }");
    return is_object;
}

struct node *node_parse(struct region *region, const struct source *source, struct problems *problems)
{
    size_t at, len = source->text.len;
    const char *what;
    if (!jsonc_check_text(source->text.base, len, &at, &what)) {
        problems_text_error(problems, source, at, "the file %s", what);
        return NULL;
    }
    char *text = region_strdup(region, source->text);
    if (!jsonc_blank(text, len, &at, &what)) {
        problems_text_error(problems, source, at, "%s", what);
        return NULL;
    }
    if (!check_syntax(text, len, source, problems))
        return NULL;
    struct scanner s = {.region = region, .problems = problems, .source = source, .text = text};
    struct node *root = region_alloc(region, sizeof(*root));
    root->source = source;
    scan_value(&s, root);
    return root;
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

void node_path(const struct node *node, struct buf *out)
{
    if (node->parent == NULL)
        return;
    node_path(node->parent, out);
    if (node->key == NULL) {
        buf_printf(out, "[%zu]", node->index);
        return;
    }
    if (out->len != 0)
        buf_append_char(out, '.');
    buf_append_z(out, node->key);
}

static const char *describe_string(const char *text, struct region *region)
{
    size_t len = strlen(text), shown = len;
    if (len > DESCRIPTION_MAX) {
        shown = DESCRIPTION_MAX;
        while (((unsigned char)text[shown] & 0xc0) == 0x80)
            shown--;
    }
    return region_printf(region, "\"%.*s%s\"", (int)shown, text, shown < len ? "…" : "");
}

const char *node_describe(const struct node *node, struct region *region)
{
    static const char *const words[NODE_KIND_COUNT] = {
        [NODE_NULL] = "null", [NODE_LIST] = "a list", [NODE_OBJECT] = "an object"};
    switch (node->kind) {
    case NODE_BOOL:
        return node->boolean ? "true" : "false";
    case NODE_INTEGER:
        return region_printf(region, "%lld", (long long)node->integer);
    case NODE_REAL:
        return region_printf(region, "%g", node->real);
    case NODE_STRING:
        return describe_string(node->string, region);
    default:
        return words[node->kind];
    }
}

static json_t *json_members(const struct node *node)
{
    json_t *json = node->kind == NODE_OBJECT ? json_object() : json_array();
    for (const struct node *member = node->first; member != NULL; member = member->next)
        if (node->kind == NODE_OBJECT)
            json_object_set_new(json, member->key, node_json(member));
        else
            json_array_append_new(json, node_json(member));
    return json;
}

json_t *node_json(const struct node *node)
{
    switch (node->kind) {
    case NODE_BOOL:
        return json_boolean(node->boolean);
    case NODE_INTEGER:
        return json_integer(node->integer);
    case NODE_REAL:
        return json_real(node->real);
    case NODE_STRING:
        return json_string(node->string);
    case NODE_LIST:
    case NODE_OBJECT:
        return json_members(node);
    default:
        return json_null();
    }
}
