/* SPDX-License-Identifier: MIT
 *
 * keys_man: the keyword table as the key reference of bulkhead.conf(5). See keys_doc.h.
 */
#include "config.h"

#include "base/buf.h"
#include "config/keys.h"
#include "config/keys_doc.h"

/* text in which nothing is a request or an escape; '-' is a minus, so that it can be copied */
static void append_roff(struct str text, struct buf *out)
{
    if (text.len != 0 && (text.base[0] == '.' || text.base[0] == '\''))
        buf_append_z(out, "\\&");
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] == '\\')
            buf_append_z(out, "\\e");
        else if (text.base[i] == '-')
            buf_append_z(out, "\\-");
        else
            buf_append_char(out, text.base[i]);
    }
}

/* a sentence a line, as man pages are written */
static void append_sentences(const char *text, struct buf *out)
{
    while (*text != '\0') {
        const char *end = strstr(text, ". ");
        struct str sentence = {(char *)text, end == NULL ? strlen(text) : (size_t)(end - text) + 1};
        append_roff(sentence, out);
        buf_append_char(out, '\n');
        text += sentence.len;
        text += strspn(text, " ");
    }
}

static void append_key(const struct key *key, struct buf *out)
{
    struct buf facts = {0};
    buf_append_z(out, ".It Cm ");
    append_roff(str_of(key->name), out);
    buf_append_char(out, '\n');
    append_sentences(key->help, out);
    keys_doc_facts(key, &facts);
    buf_append_char(out, '[');
    append_roff(buf_str(&facts), out);
    buf_append_z(out, "]\n");
    buf_free(&facts);
}

/* "listeners[]", "backends.NAME", "routes[].respond": where such an object stands */
static void append_where(const struct key *key, const char *path, struct buf *out)
{
    buf_printf(out, "%s%s%s%s", path, path[0] == '\0' ? "" : ".", key->name,
               key->type == KEY_LIST  ? "[]"
               : key->type == KEY_MAP ? ".NAME"
                                      : "");
}

struct visited {
    const struct key_object *objects[32];
    size_t count;
};

static bool visit(struct visited *visited, const struct key_object *object)
{
    for (size_t i = 0; i < visited->count; i++)
        if (visited->objects[i] == object)
            return false;
    visited->objects[visited->count++] = object;
    return true;
}

static void append_object(const struct key_object *object, const char *path, struct visited *visited, struct buf *out)
{
    buf_append_z(out, ".Ss ");
    append_roff(str_of(path[0] == '\0' ? "Top level" : path), out);
    buf_append_char(out, '\n');
    append_sentences(object->title, out);
    buf_append_z(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < object->nkeys; i++)
        append_key(&object->keys[i], out);
    buf_append_z(out, ".El\n");
    for (size_t i = 0; i < object->nkeys; i++) {
        const struct key *key = &object->keys[i];
        if (key->object == NULL || !visit(visited, key->object))
            continue;
        struct buf inner = {0};
        append_where(key, path, &inner);
        append_object(key->object, buf_z(&inner), visited, out);
        buf_free(&inner);
    }
}

void keys_doc_man(struct buf *out)
{
    struct visited visited = {.count = 0};
    append_object(&keys_root, "", &visited, out);
}
