/* SPDX-License-Identifier: MIT
 *
 * keys_facts: what a row of the keyword table says in figures, in words. See keys_doc.h.
 */
#include "config.h"

#include "base/buf.h"
#include "config/keys.h"
#include "config/keys_doc.h"
#include "config/units.h"

struct type_name {
    const char *name;
    const char *single; /* what may stand for a list of one */
};

static const struct type_name types[KEY_TYPE_COUNT] = {
    [KEY_BOOL] = {"true or false", NULL},
    [KEY_UNSIGNED] = {"number", NULL},
    [KEY_INT] = {"number", NULL},
    [KEY_COUNT] = {"number", NULL},
    [KEY_DURATION] = {"duration", NULL},
    [KEY_SIZE] = {"size", NULL},
    [KEY_MODE] = {"file mode", NULL},
    [KEY_WORD] = {"word", NULL},
    [KEY_STRING] = {"string", NULL},
    [KEY_FILE] = {"file name", NULL},
    [KEY_STRINGS] = {"list of strings", "a string"},
    [KEY_PAIRS] = {"object of strings", NULL},
    [KEY_MATCHES] = {"object of strings or true", NULL},
    [KEY_JSON] = {"object", NULL},
    [KEY_BIND] = {"address", NULL},
    [KEY_UPSTREAMS] = {"list of addresses", "an address"},
    [KEY_BACKEND] = {"name of a backend", NULL},
    [KEY_OBJECT] = {"object", NULL},
    [KEY_POINTER] = {"object", NULL},
    [KEY_LIST] = {"list of objects", "an object"},
    [KEY_MAP] = {"object of objects", NULL},
    [KEY_IGNORED] = {"string", NULL},
    [KEY_INCLUDE] = {"list of strings", "a string"},
};

static void append_words(const struct key *key, struct buf *out)
{
    for (const char *const *word = key->words; *word != NULL; word++)
        buf_printf(out, "%s\"%s\"", word == key->words ? "" : word[1] == NULL ? " or " : ", ", *word);
}

static void append_bounds(const struct key *key, struct buf *out)
{
    char low[UNITS_TEXT], high[UNITS_TEXT];
    switch (key->type) {
    case KEY_UNSIGNED:
    case KEY_INT:
    case KEY_COUNT:
        buf_printf(out, " from %lld to %lld", (long long)key->min, (long long)key->max);
        break;
    case KEY_DURATION:
        buf_printf(out, " from %s to %s", units_format_duration(key->min, low), units_format_duration(key->max, high));
        break;
    case KEY_SIZE:
        buf_printf(out, " from %s to %s", units_format_size(key->min, low), units_format_size(key->max, high));
        break;
    default:
        break;
    }
    if ((key->flags & KEY_NONE_OK) != 0)
        buf_append_z(out, ", or \"none\"");
    if ((key->flags & KEY_UNLIMITED_OK) != 0)
        buf_append_z(out, ", or \"unlimited\"");
}

static void append_type(const struct key *key, struct buf *out)
{
    const struct type_name *type = &types[key->type];
    if (key->type == KEY_WORD)
        append_words(key, out);
    else
        buf_append_z(out, type->name);
    if ((key->flags & KEY_ONE_OK) != 0)
        buf_printf(out, ", or %s", type->single);
    append_bounds(key, out);
}

void keys_doc_facts(const struct key *key, struct buf *out)
{
    append_type(key, out);
    if ((key->flags & KEY_REQUIRED) != 0)
        buf_append_z(out, "; required");
    if (key->fallback != NULL)
        buf_printf(out, "; default %s", key->fallback);
    else if (key->computed != NULL)
        buf_printf(out, "; default: %s", key->computed);
    if (key->reload != KEY_LIVE)
        buf_printf(out, "; reload: %s", keys_reload_name(key->reload));
}
