/* SPDX-License-Identifier: MIT
 *
 * grammar: see grammar.h.
 */
#include "config.h"

#define PCRE2_CODE_UNIT_WIDTH 8

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>

#include <pcre2.h>

#include "base/lexis.h"
#include "config/grammar.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static void lower(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

static bool all_of(const char *text, const char *characters)
{
    return text[strspn(text, characters)] == '\0';
}

const char *grammar_backend_name(struct region *region, char *text)
{
    if (strlen(text) <= 40 && all_of(text, NAME_CHARACTERS "-.") && isalnum((unsigned char)text[0]))
        return NULL;
    return "the name of a backend is 1 to 40 letters, digits, '_', '-' or '.', the first one a letter or digit";
}

/* labels of letters, digits, '-' and '_' between dots */
static bool is_domain(const char *text)
{
    if (*text == '\0')
        return false;
    while (true) {
        size_t label = strspn(text, NAME_CHARACTERS "-");
        if (label == 0 || label > 63)
            return false;
        text += label;
        if (*text == '\0')
            return true;
        if (*text++ != '.')
            return false;
    }
}

static bool is_bracketed_ipv6(const char *text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    size_t len = strlen(text);
    if (len < 4 || len - 2 >= sizeof(address) || text[0] != '[' || text[len - 1] != ']')
        return false;
    memcpy(address, text + 1, len - 2);
    address[len - 2] = '\0';
    return inet_pton(AF_INET6, address, &binary) == 1;
}

const char *grammar_host(struct region *region, char *text)
{
    lower(text);
    const char *name = strncmp(text, "*.", 2) == 0 ? text + 2 : text;
    if (strlen(name) <= 253 && (is_domain(name) || is_bracketed_ipv6(text)))
        return NULL;
    if (strchr(text, ':') != NULL && text[0] != '[')
        return "must be a host name without a port";
    return "must be a host name, \"*.\" and a domain, or an address ([…] around IPv6)";
}

const char *grammar_method(struct region *region, char *text)
{
    for (char *at = text; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
    return lexis_is_token(str_of(text)) ? NULL : "must be an HTTP method, as in \"GET\"";
}

const char *grammar_path(struct region *region, char *text)
{
    if (text[0] != '/')
        return "must begin with '/'";
    if (strpbrk(text, "?#") != NULL)
        return "is compared with the path alone and cannot hold '?' or '#'";
    for (const char *at = text; *at != '\0'; at++)
        if (iscntrl((unsigned char)*at))
            return "cannot hold control characters";
    return NULL;
}

const char *grammar_target(struct region *region, char *text)
{
    if (text[0] != '/')
        return "must begin with '/'";
    for (const char *at = text; *at != '\0'; at++)
        if (!isgraph((unsigned char)*at) || *at == '#')
            return "cannot hold spaces, '#', control characters or what is not ASCII; write them percent-encoded";
    return NULL;
}

const char *grammar_regex(struct region *region, char *text)
{
    int code;
    size_t offset;
    char reason[120];
    pcre2_code *regex =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_DOLLAR_ENDONLY, &code, &offset, NULL);
    if (regex != NULL) {
        pcre2_code_free(regex);
        return NULL;
    }
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
    return region_printf(region, "does not compile: %s at offset %zu", reason, offset);
}

const char *grammar_field_name(struct region *region, char *text)
{
    return lexis_is_token(str_of(text)) ? NULL : "must be the name of an HTTP field, as in \"x-name\"";
}

const char *grammar_token(struct region *region, char *text)
{
    return lexis_is_token(str_of(text)) ? NULL : "must be the name of a subprotocol, as in \"chat\"";
}

/* the digits behind ':', as a browser writes them: it leaves out the port that the scheme stands for */
static bool is_origin_port(const char *text, const char *own_port)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 5 && text[digits] == '\0' && text[0] != '0' && strtol(text, NULL, 10) <= 65535 &&
           strcmp(text, own_port) != 0;
}

static bool is_origin_authority(struct region *region, const char *authority, const char *own_port)
{
    const char *host_end = authority[0] == '[' ? strchr(authority, ']') : NULL;
    const char *colon = strchr(host_end != NULL ? host_end : authority, ':');
    size_t host_len = colon == NULL ? strlen(authority) : (size_t)(colon - authority);
    const char *host = region_strdup(region, (struct str){(char *)authority, host_len});
    return (is_domain(host) || is_bracketed_ipv6(host)) && (colon == NULL || is_origin_port(colon + 1, own_port));
}

const char *grammar_origin(struct region *region, char *text)
{
    static const char form[] = "must be an origin as browsers send it: \"https://example.org\", followed by \":port\" "
                               "where that is not the scheme's own, or \"null\"";
    lower(text);
    if (strcmp(text, "null") == 0)
        return NULL;
    if (strcmp(text, "*") == 0)
        return "must be an origin; without this key any may connect";
    const char *colon = strstr(text, "://");
    if (colon == NULL || colon == text || !isalpha((unsigned char)text[0]) ||
        strspn(text, NAME_CHARACTERS "+-.") != (size_t)(colon - text))
        return form;
    if (strncmp(text, "ws:", 3) == 0 || strncmp(text, "wss:", 4) == 0)
        return "must be the origin of a page, which begins with \"http://\" or \"https://\"";
    const char *own_port = strncmp(text, "http:", 5) == 0 ? "80" : strncmp(text, "https:", 6) == 0 ? "443" : "";
    return is_origin_authority(region, colon + 3, own_port) ? NULL : form;
}

const char *grammar_match_name(struct region *region, char *text)
{
    lower(text);
    return grammar_field_name(region, text);
}

const char *grammar_rule_name(struct region *region, char *text)
{
    const char *wrong = grammar_field_name(region, text);
    if (wrong != NULL)
        return wrong;
    char *name = region_strdup(region, str_of(text));
    lower(name);
    if (lexis_hop_by_hop(str_of(name)))
        return "belongs to the connection or to the framing of a message, which are not for rules to change";
    return NULL;
}

const char *grammar_field_value(struct region *region, char *text)
{
    return lexis_is_value(str_of(text)) ? NULL : "cannot hold CR, LF or another control character";
}

const char *grammar_variable(struct region *region, char *text)
{
    return strchr(text, '=') == NULL ? NULL : "the name of an environment variable cannot hold '='";
}

/* the digits behind '/' */
static bool is_prefix_length(const char *text, long max)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 3 && text[digits] == '\0' && strtol(text, NULL, 10) <= max;
}

const char *grammar_network(struct region *region, char *text)
{
    char host[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    size_t len = strcspn(text, "/");
    const char *slash = text[len] == '/' ? text + len + 1 : NULL;
    if (strcmp(text, "unix:") == 0)
        return NULL;
    if (len < sizeof(host)) {
        memcpy(host, text, len);
        host[len] = '\0';
        if (inet_pton(AF_INET, host, &binary) == 1 && (slash == NULL || is_prefix_length(slash, 32)))
            return NULL;
        if (inet_pton(AF_INET6, host, &binary) == 1 && (slash == NULL || is_prefix_length(slash, 128)))
            return NULL;
    }
    return "must be an address, a network as in \"192.0.2.0/24\" or \"2001:db8::/32\", or \"unix:\"";
}

const char *grammar_redirect(struct region *region, char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return "must be a URL or a path, without blanks or control characters";
    return NULL;
}

const char *grammar_descriptor_name(struct region *region, char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at == ':' || iscntrl((unsigned char)*at))
            return "must be the FileDescriptorName= of a socket unit, which cannot hold ':'";
    return NULL;
}

const char *grammar_file_leaf(struct region *region, char *text)
{
    return strchr(text, '/') == NULL ? NULL : "must be a file name without '/'";
}
