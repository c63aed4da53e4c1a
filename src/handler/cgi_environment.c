/* SPDX-License-Identifier: MIT
 *
 * cgi_environment: what a CGI program finds in its environment: this process's own (so that the conf file's
 * `environment` reaches it) without what is meant for this process, then the meta-variables, then a HTTP_* for every
 * header field. What a client could use to pose as something else is left out: Proxy (it would be HTTP_PROXY, which
 * HTTP clients obey), and names with other characters than letters, digits and '-', which become the same variable as
 * an innocent field.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "handler/cgi_environment.h"

struct environment {
    struct bulkhead_call *call;
    char **entries; /* in the call's memory */
    size_t count, capacity;
};

static void add_entry(struct environment *e, char *entry)
{
    if (e->count + 1 >= e->capacity) {
        size_t capacity = e->capacity == 0 ? 64 : 2 * e->capacity;
        char **entries = bulkhead_alloc(e->call, capacity * sizeof(*entries));
        if (e->count != 0)
            memcpy(entries, e->entries, e->count * sizeof(*entries));
        e->entries = entries;
        e->capacity = capacity;
    }
    e->entries[e->count++] = entry;
    e->entries[e->count] = NULL;
}

static void add(struct environment *e, const char *name, const char *value)
{
    add_entry(e, bulkhead_format(e->call, "%s=%s", name, value));
}

/* ---- this process's own ----------------------------------------------------------------------------------------- */

static bool is_inherited(const char *entry)
{
    /* a name, or with '_' at its end a family of names */
    static const char *const kept_back[] = {"HTTP_",         "LISTEN_",           "BULKHEAD_",     "WATCHDOG_",
                                            "SERVER_",       "REMOTE_",           "CONTENT_",      "PATH_",
                                            "SCRIPT_",       "REQUEST_",          "NOTIFY_SOCKET", "AUTH_TYPE",
                                            "DOCUMENT_ROOT", "GATEWAY_INTERFACE", "HTTPS",         "QUERY_STRING"};
    size_t name_len = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof(kept_back) / sizeof(kept_back[0]); i++) {
        size_t len = strlen(kept_back[i]);
        bool family = kept_back[i][len - 1] == '_';
        if ((family ? name_len > len : name_len == len) && strncmp(entry, kept_back[i], len) == 0)
            return false;
    }
    return true;
}

static void add_own(struct environment *e)
{
    for (char **entry = environ; *entry != NULL; entry++)
        if (is_inherited(*entry))
            add_entry(e, *entry);
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static void add_request(struct environment *e)
{
    const char *path = bulkhead_path(e->call), *query = bulkhead_query(e->call);
    size_t body_len;
    bulkhead_body(e->call, &body_len);
    const char *type = bulkhead_header(e->call, "content-type");
    add(e, "REQUEST_METHOD", bulkhead_method(e->call));
    add(e, "QUERY_STRING", query == NULL ? "" : query);
    if (query == NULL)
        add(e, "REQUEST_URI", path);
    else
        add_entry(e, bulkhead_format(e->call, "REQUEST_URI=%s?%s", path, query));
    add(e, "REMOTE_ADDR", bulkhead_peer(e->call));
    add(e, "REQUEST_SCHEME", bulkhead_scheme(e->call));
    if (strcmp(bulkhead_scheme(e->call), "https") == 0)
        add(e, "HTTPS", "on");
    if (body_len != 0 || bulkhead_header(e->call, "content-length") != NULL)
        add_entry(e, bulkhead_format(e->call, "CONTENT_LENGTH=%zu", body_len));
    if (type != NULL)
        add(e, "CONTENT_TYPE", type);
}

/* "[::1]:8080" has colons before the one that counts */
static void add_server(struct environment *e)
{
    const char *authority = bulkhead_authority(e->call), *bracket = strrchr(authority, ']');
    const char *colon = strrchr(bracket == NULL ? authority : bracket, ':');
    int name_len = colon == NULL ? (int)strlen(authority) : (int)(colon - authority);
    bool https = strcmp(bulkhead_scheme(e->call), "https") == 0;
    add(e, "GATEWAY_INTERFACE", "CGI/1.1");
    add(e, "SERVER_PROTOCOL", "HTTP/1.1");
    add(e, "SERVER_SOFTWARE", PACKAGE_NAME "/" PACKAGE_VERSION);
    add_entry(e, bulkhead_format(e->call, "SERVER_NAME=%.*s", name_len, authority));
    add(e, "SERVER_PORT", colon != NULL ? colon + 1 : https ? "443" : "80");
}

static void add_script(struct environment *e, const struct cgi_script *script, const char *root)
{
    add(e, "SCRIPT_NAME", script->name);
    add(e, "SCRIPT_FILENAME", script->file);
    if (script->info[0] != '\0')
        add(e, "PATH_INFO", script->info);
    if (root == NULL)
        return;
    add(e, "DOCUMENT_ROOT", root);
    if (script->info[0] != '\0')
        add_entry(e, bulkhead_format(e->call, "PATH_TRANSLATED=%s%s", root, script->info));
}

/* ---- header fields ---------------------------------------------------------------------------------------------- */

static bool is_passed_on(const char *name)
{
    static const char *const others[] = {"proxy", "content-type", "content-length"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcasecmp(name, others[i]) == 0)
            return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '-')
            return false;
    return true;
}

/* "accept-language" → "HTTP_ACCEPT_LANGUAGE" */
static char *variable_name(struct bulkhead_call *call, const char *field)
{
    char *name = bulkhead_format(call, "HTTP_%s", field);
    for (char *at = name; *at != '\0'; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return name;
}

/* several fields of one name are one variable: RFC 9110 §5.3, and for Cookie RFC 6265 §5.4 */
static void add_field(struct environment *e, size_t first_http, const char *field, const char *value)
{
    char *name = variable_name(e->call, field);
    size_t len = strlen(name);
    for (size_t i = first_http; i < e->count; i++)
        if (strncmp(e->entries[i], name, len) == 0 && e->entries[i][len] == '=') {
            const char *between = strcasecmp(field, "cookie") == 0 ? "; " : ", ";
            e->entries[i] = bulkhead_format(e->call, "%s%s%s", e->entries[i], between, value);
            return;
        }
    add(e, name, value);
}

static void add_fields(struct environment *e)
{
    size_t first_http = e->count;
    const char *name, *value;
    for (size_t i = 0; bulkhead_header_at(e->call, i, &name, &value); i++)
        if (is_passed_on(name))
            add_field(e, first_http, name, value);
}

char **cgi_environment_build(struct bulkhead_call *call, const struct cgi_script *script, const char *root)
{
    struct environment e = {.call = call};
    add_own(&e);
    add_server(&e);
    add_request(&e);
    add_script(&e, script, root);
    add_fields(&e);
    return e.entries;
}
