/* SPDX-License-Identifier: MIT
 *
 * cgi_head: a CGI header's lines end in LF or CRLF, each is a field; Status, Location and Content-Type have a meaning
 * of their own, and one of them must be there. What does not fit is an error of the program: guessing what it meant is
 * how two readers come to disagree. Pure; any thread.
 */
#include "config.h"

#include <assert.h>

#include "base/lexis.h"
#include "handler/cgi_head.h"

#define LINE_NAME_MAX 256

size_t cgi_head_find_end(const char *bytes, size_t len, size_t *scanned)
{
    while (*scanned < len) {
        const char *newline = memchr(bytes + *scanned, '\n', len - *scanned);
        size_t at = newline == NULL ? len : (size_t)(newline - bytes);
        /* the next line is empty, or is not here yet: then this newline is looked at again */
        if (newline == NULL || at + 1 == len || (bytes[at + 1] == '\r' && at + 2 == len)) {
            *scanned = at;
            return 0;
        }
        if (bytes[at + 1] == '\n')
            return at + 2;
        if (bytes[at + 1] == '\r' && bytes[at + 2] == '\n')
            return at + 3;
        *scanned = at + 1;
    }
    return 0;
}

static bool bad(struct cgi_head *head, const char *why)
{
    head->why = why;
    return false;
}

static struct str trim(struct str s)
{
    const char *at = lexis_skip_blank(s.base, s.base + s.len);
    s.len -= (size_t)(at - s.base);
    s.base = (char *)at;
    while (s.len != 0 && (s.base[s.len - 1] == ' ' || s.base[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* "404 Not Found"; the words are for humans */
static bool read_status(struct cgi_head *head, struct str value)
{
    if (value.len < 3 || !lexis_all((struct str){value.base, 3}, LEXIS_DIGIT) ||
        (value.len > 3 && value.base[3] != ' '))
        return bad(head, "its Status is not three digits");
    head->status = (value.base[0] - '0') * 100 + (value.base[1] - '0') * 10 + (value.base[2] - '0');
    return (head->status >= 200 && head->status <= 599) || bad(head, "its Status is not within 200 to 599");
}

static bool is_repeated(const struct cgi_head *head, struct str name)
{
    for (size_t i = 0; i < head->nfields; i++)
        if (str_case_eq(head->fields[i].name, name))
            return true;
    return false;
}

static bool read_plain_field(struct cgi_head *head, struct str name, struct str value)
{
    bool single = str_case_eq(name, STR("content-type")) || str_case_eq(name, STR("location"));
    if (single && is_repeated(head, name))
        return bad(head, "it has two Content-Type or two Location fields");
    if (head->nfields == CGI_HEAD_MAX_FIELDS)
        return bad(head, "its header has more than 100 fields");
    head->fields[head->nfields++] = (struct cgi_field){name, value};
    return true;
}

static bool is_connection_field(struct str name)
{
    char lower[32];
    if (name.len > sizeof(lower))
        return false;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)lexis_lower_token[(uint8_t)name.base[i]];
    return lexis_hop_by_hop((struct str){lower, name.len});
}

static bool read_field(struct cgi_head *head, struct str name, struct str value)
{
    if (str_case_eq(name, STR("status")))
        return head->status == 0 ? read_status(head, value) : bad(head, "it has two Status fields");
    if (str_case_eq(name, STR("content-length")))
        return (head->content_length == -1 && lexis_length(value, &head->content_length)) ||
               bad(head, "its Content-Length is malformed or repeated");
    if (is_connection_field(name))
        return true;
    return read_plain_field(head, name, value);
}

static bool read_line(struct cgi_head *head, struct str line)
{
    const char *colon = memchr(line.base, ':', line.len);
    if (colon == NULL)
        return bad(head, "a line of its header has no colon");
    struct str name = {line.base, (size_t)(colon - line.base)};
    struct str value = trim((struct str){(char *)colon + 1, line.len - name.len - 1});
    if (name.len > LINE_NAME_MAX || !lexis_is_token(name))
        return bad(head, "a field name in its header is no token");
    if (!lexis_is_value(value))
        return bad(head, "a field value in its header holds a control byte");
    return read_field(head, name, value);
}

/* RFC 3875 §6.2.3 and §6.2.4: a redirect to a local path is answered as one, too: the client asks again. */
static bool conclude(struct cgi_head *head)
{
    bool redirects = is_repeated(head, STR("location"));
    if (head->status == 0 && !redirects && !is_repeated(head, STR("content-type")))
        return bad(head, "its header has neither Content-Type nor Status nor Location");
    if (head->status == 0)
        head->status = redirects ? 302 : 200;
    return true;
}

bool cgi_head_parse(struct cgi_head *head, const char *bytes, size_t len)
{
    head->status = 0;
    head->content_length = -1;
    head->nfields = 0;
    head->why = NULL;
    for (const char *at = bytes, *end = bytes + len; at != end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        assert(newline != NULL);
        struct str line = {(char *)at, (size_t)(newline - at)};
        at = newline + 1;
        if (line.len != 0 && line.base[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            break;
        if (!read_line(head, line))
            return false;
    }
    return conclude(head);
}
