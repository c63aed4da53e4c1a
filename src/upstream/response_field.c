/* SPDX-License-Identifier: MIT
 *
 * response_field: reads header fields of backends' answers. On the path of every forwarded request: a name costs one
 * look-up a byte, a value a sixteenth of that. Pure.
 */
#include "config.h"

#include "base/lexis.h"
#include "upstream/response_field.h"

static const char *name_problem(const char *at, bool empty)
{
    switch (*at) {
    case ' ':
    case '\t':
        return empty ? "folded field, or white space before a field name" : "white space between field name and colon";
    case ':':
        return "empty field name";
    case '\r':
    case '\n':
        return "header line without a colon";
    default:
        return "field name is not a token";
    }
}

enum response_field response_field_read(char **at, char *end, struct call_field *f, const char **error_r)
{
    char *p = *at;
    f->name.base = p;
    for (uint8_t folded; p != end && (folded = lexis_lower_token[(uint8_t)*p]) != 0; p++)
        *p = (char)folded;
    if (p == end)
        return RESPONSE_FIELD_MORE;
    f->name.len = (size_t)(p - f->name.base);
    if (*p != ':' || f->name.len == 0) {
        *error_r = name_problem(p, f->name.len == 0);
        return RESPONSE_FIELD_BAD;
    }
    f->value.base = (char *)lexis_skip_blank(p + 1, end);
    p = (char *)lexis_skip_value(f->value.base, end);
    if (p == end)
        return RESPONSE_FIELD_MORE;
    *at = p;
    while (p != f->value.base && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    f->value.len = (size_t)(p - f->value.base);
    return RESPONSE_FIELD_READ;
}

static bool names(struct str connection, struct str name)
{
    struct str option;
    while (lexis_list_next(&connection, &option))
        if (str_case_eq(option, name))
            return true;
    return false;
}

size_t response_field_drop_named(struct call_field *fields, size_t n, struct str connection)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!names(connection, fields[i].name))
            fields[kept++] = fields[i];
    return kept;
}
