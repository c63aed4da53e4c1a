/* SPDX-License-Identifier: MIT
 *
 * expand: see expand.h.
 */
#include "config.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "config/expand.h"

#define NAME_FIRST "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_REST  NAME_FIRST "0123456789"

/* The variable whose "${" is at `at` goes to out; returns what is behind its '}', or NULL with *problem_r set. */
static const char *replace(struct region *region, const char *at, struct buf *out, const char **problem_r)
{
    const char *name = at + 2;
    size_t len = strspn(name, NAME_REST);
    if (len == 0 || strchr(NAME_FIRST, name[0]) == NULL || name[len] != '}') {
        *problem_r = "\"${\" must be followed by the name of an environment variable and \"}\"; write \"$${\" for a "
                     "literal \"${\"";
        return NULL;
    }
    char *variable = region_strdup(region, (struct str){(char *)name, len});
    const char *value = getenv(variable);
    if (value == NULL)
        *problem_r = region_printf(region,
                                   "the environment variable %s is not set; set it, or write \"$${\" for a literal "
                                   "\"${\"",
                                   variable);
    else if (!utf8_valid(value, strlen(value)))
        *problem_r = region_printf(region, "the environment variable %s is not UTF-8", variable);
    else
        buf_append_z(out, value);
    return *problem_r == NULL ? name + len + 1 : NULL;
}

struct expand_result expand_variables(struct region *region, const char *text)
{
    struct expand_result result = {.text = text};
    if (strstr(text, "${") == NULL)
        return result;
    struct buf out = {0};
    for (const char *at = text; at != NULL && *at != '\0';) {
        if (strncmp(at, "$${", 3) == 0) {
            buf_append_z(&out, "${");
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            at = replace(region, at, &out, &result.problem);
            result.replaced = true;
        } else {
            buf_append_char(&out, *at++);
        }
    }
    result.text = result.problem == NULL ? region_strdup(region, buf_str(&out)) : NULL;
    buf_free(&out);
    return result;
}

void expand_escape(const char *text, struct buf *out)
{
    for (; *text != '\0'; text++) {
        if (strncmp(text, "${", 2) == 0)
            buf_append_char(out, '$');
        buf_append_char(out, *text);
    }
}
