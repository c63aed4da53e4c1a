/* SPDX-License-Identifier: MIT
 *
 * keys_sample: the keyword table as a conf file that shows every key, most of them in comments, and runs as it stands.
 * See keys_doc.h.
 */
#include "config.h"

#include "base/buf.h"
#include "config/keys.h"
#include "config/keys_doc.h"

#define COLUMNS 110
#define STEP    2

/* where a line stands: how deep, and whether it is a comment as a whole */
struct place {
    unsigned depth, comment_depth;
    bool commented;
};

static void begin_line(const struct place *at, struct buf *out)
{
    unsigned depth = at->commented ? at->comment_depth : at->depth;
    buf_printf(out, "%*s%s%*s", (int)(depth * STEP), "", at->commented ? "// " : "", (int)((at->depth - depth) * STEP),
               "");
}

static struct place inside(struct place at)
{
    at.depth++;
    return at;
}

static struct place as_comment(struct place at)
{
    if (!at.commented)
        at.comment_depth = at.depth;
    at.commented = true;
    return at;
}

static void append_comment(const struct place *at, const char *text, struct buf *out)
{
    while (*text != '\0') {
        size_t start = out->len;
        begin_line(at, out);
        buf_append_z(out, "//");
        while (*text != '\0') {
            size_t word = strcspn(text, " ");
            if (out->len - start + 1 + word > COLUMNS)
                break;
            buf_append_char(out, ' ');
            buf_append(out, text, word);
            text += word;
            text += strspn(text, " ");
        }
        buf_append_char(out, '\n');
    }
}

static void append_help(const struct place *at, const struct key *key, struct buf *out)
{
    struct buf text = {0};
    buf_printf(&text, "%s [", key->help);
    keys_doc_facts(key, &text);
    buf_append_char(&text, ']');
    append_comment(at, buf_z(&text), out);
    buf_free(&text);
}

static void append_value(const struct place *at, const char *name, const char *value, struct buf *out)
{
    begin_line(at, out);
    buf_printf(out, "\"%s\": %s,\n", name, value);
}

static void append_bracket(const struct place *at, const char *name, const char *bracket, struct buf *out)
{
    begin_line(at, out);
    if (name != NULL)
        buf_printf(out, "\"%s\": ", name);
    buf_printf(out, "%s\n", bracket);
}

static void append_keys(const struct place *at, const struct key_object *object, struct buf *out);

/* the one member that shows the keys; a list may have another before it, on one line */
static void append_members(const struct place *at, const struct key *key, struct buf *out)
{
    struct place in = inside(*at), within = inside(in);
    bool is_map = key->type == KEY_MAP;
    append_bracket(at, key->name, is_map ? "{" : "[", out);
    if (key->live != NULL && key->live[0] != '\0') {
        begin_line(&in, out);
        buf_printf(out, "%s,\n", key->live);
    }
    append_bracket(&in, is_map ? "app" : NULL, "{", out);
    append_keys(&within, key->object, out);
    append_bracket(&in, NULL, "},", out);
    append_bracket(at, NULL, is_map ? "}," : "],", out);
}

static void append_block(const struct place *at, const struct key *key, struct buf *out)
{
    struct place in = inside(*at);
    append_bracket(at, key->name, "{", out);
    append_keys(&in, key->object, out);
    append_bracket(at, NULL, "},", out);
}

/* An object that is optional as a whole (it has required keys, or does something by being there) stays in comments. */
static bool is_harmless(const struct key *key)
{
    return key->type == KEY_OBJECT && key->example == NULL;
}

/* The listener keys have been shown where listeners are: once is enough. */
static bool is_repeated(const struct key *key)
{
    return key->type == KEY_POINTER;
}

static void append_key(const struct place *at, const struct key *key, struct buf *out)
{
    struct place commented = as_comment(*at);
    append_help(at, key, out);
    if ((key->type == KEY_LIST || key->type == KEY_MAP) && key->live != NULL)
        append_members(at, key, out);
    else if (key->object != NULL && !is_repeated(key))
        append_block(is_harmless(key) ? at : &commented, key, out);
    else if (key->live != NULL && !at->commented)
        append_value(at, key->name, key->live, out);
    else
        append_value(&commented, key->name, key->fallback != NULL ? key->fallback : key->example, out);
}

static void append_keys(const struct place *at, const struct key_object *object, struct buf *out)
{
    for (size_t i = 0; i < object->nkeys; i++) {
        if (i != 0)
            buf_append_char(out, '\n');
        append_key(at, &object->keys[i], out);
    }
}

void keys_doc_sample(struct buf *out)
{
    static const struct place top = {0};
    const struct place in = inside(top);
    append_comment(
        &top,
        "Every key of bulkhead.conf(5). What is in comments shows the default, or an example where there is "
        "none; the rest is a conf that works: a listener, a fixed answer, and a service that runs elsewhere. "
        "Check a conf with: bulkhead check -c FILE",
        out);
    append_bracket(&top, NULL, "{", out);
    append_keys(&in, &keys_root, out);
    append_bracket(&top, NULL, "}", out);
}
