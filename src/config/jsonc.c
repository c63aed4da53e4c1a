/* SPDX-License-Identifier: MIT
 *
 * jsonc: see jsonc.h.
 */
#include "config.h"

#include <string.h>

#include "base/utf8.h"
#include "config/jsonc.h"

bool jsonc_check_text(const char *text, size_t len, size_t *at_r, const char **what_r)
{
    *at_r = 0;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        *what_r = "begins with a byte order mark; save it as UTF-8 without one";
        return false;
    }
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        *what_r = "is UTF-16; save it as UTF-8";
        return false;
    }
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(text + i, len - i);
        if (n == 0 || text[i] == '\0') {
            *at_r = i;
            *what_r = n == 0 ? "is not UTF-8 here; save it as UTF-8" : "has a NUL byte here; a conf file is text";
            return false;
        }
        i += n;
    }
    return true;
}

static void blank(char *from, char *to)
{
    for (; from != to; from++)
        if (*from != '\n' && *from != '\r')
            *from = ' ';
}

/* behind the string whose opening quote is at `at` */
static char *skip_string(char *at, char *end)
{
    for (at++; at < end && *at != '"' && *at != '\n'; at++)
        if (*at == '\\' && at + 1 < end)
            at++;
    return at < end ? at + 1 : end;
}

/* behind the comment at `at`, blanked; `at` itself: there is none; NULL: it has no end */
static char *skip_comment(char *at, char *end)
{
    char *behind = at;
    if (end - at >= 2 && at[1] == '/') {
        behind = memchr(at, '\n', (size_t)(end - at));
        behind = behind == NULL ? end : behind;
    } else if (end - at >= 2 && at[1] == '*') {
        behind = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
        if (behind == NULL)
            return NULL;
        behind += 2;
    }
    blank(at, behind);
    return behind;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool jsonc_blank(char *text, size_t len, size_t *at_r, const char **what_r)
{
    char *end = text + len;
    char *comma = NULL; /* one that follows a value and has had only blanks behind it so far */
    char last = '\0';   /* the last character that was no blank */
    for (char *at = text; at < end;) {
        char c = *at;
        if (c == '/') {
            char *behind = skip_comment(at, end);
            if (behind == NULL) {
                *at_r = (size_t)(at - text);
                *what_r = "a comment that begins here has no end; close it with */";
                return false;
            }
            if (behind != at) {
                at = behind;
                continue;
            }
        }
        if ((c == '}' || c == ']') && comma != NULL)
            *comma = ' ';
        if (!is_space(c)) {
            comma = c == ',' && last != '\0' && strchr("[{,:", last) == NULL ? at : NULL;
            last = c;
        }
        at = c == '"' ? skip_string(at, end) : at + 1;
    }
    return true;
}
