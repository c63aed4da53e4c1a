/* SPDX-License-Identifier: MIT
 *
 * ws_handshake: see ws_handshake.h. The fields come from the library's parser behind our strict one, so names are tokens
 * and values hold no control bytes; what their values mean is found out here.
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "base/lexis.h"
#include "config/conf.h"
#include "front/ws_handshake.h"

/* RFC 6455 §1.3 */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool ws_handshake_is_asked(struct str upgrade)
{
    return str_case_eq(upgrade, STR("websocket"));
}

/* ---- the digest ------------------------------------------------------------------------------------------------- */

void ws_handshake_accept(struct str key, char out[WS_ACCEPT_LENGTH])
{
    static _Thread_local EVP_MD *sha1; /* looked up once a thread: the look-up costs more than the digest */
    char text[WS_KEY_LENGTH + sizeof(GUID) - 1];
    unsigned char digest[EVP_MAX_MD_SIZE], encoded[WS_ACCEPT_LENGTH + 1];
    unsigned len = 0;
    assert(key.len == WS_KEY_LENGTH);
    memcpy(text, key.base, key.len);
    memcpy(text + key.len, GUID, sizeof(GUID) - 1);
    if (sha1 == NULL)
        sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    int done = EVP_Digest(text, sizeof(text), digest, &len, sha1, NULL);
    assert(done == 1 && len == 20);
    (void)done;
    EVP_EncodeBlock(encoded, digest, (int)len);
    memcpy(out, encoded, WS_ACCEPT_LENGTH);
}

void ws_handshake_make_key(char out[WS_KEY_LENGTH])
{
    unsigned char random[16], encoded[WS_KEY_LENGTH + 1];
    ssize_t got = getrandom(random, sizeof(random), 0);
    assert(got == (ssize_t)sizeof(random));
    (void)got;
    EVP_EncodeBlock(encoded, random, sizeof(random));
    memcpy(out, encoded, WS_KEY_LENGTH);
}

/* ---- the fields ------------------------------------------------------------------------------------------------- */

struct found {
    struct str version, key, origin;
    unsigned versions, keys, origins, protocols;
};

static void note_field(struct ws_handshake *h, struct found *f, const struct field *field)
{
    if (str_eq(*field->name, STR("sec-websocket-version"))) {
        f->version = field->value;
        f->versions++;
    } else if (str_eq(*field->name, STR("sec-websocket-key"))) {
        f->key = field->value;
        f->keys++;
    } else if (str_eq(*field->name, STR("origin"))) {
        f->origin = field->value;
        f->origins++;
    } else if (str_eq(*field->name, STR("sec-websocket-protocol"))) {
        h->protocols = field->value;
        f->protocols++;
    }
}

/* Base64 of sixteen bytes */
static bool is_key(struct str key)
{
    if (key.len != WS_KEY_LENGTH || memcmp(key.base + 22, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key.base[i];
        bool is_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_digit && c != '+' && c != '/')
            return false;
    }
    return strchr("AQgw", key.base[21]) != NULL; /* the last four bits carry nothing */
}

static bool is_listed(const struct conf_websocket *conf, struct str origin)
{
    for (size_t i = 0; i < conf->norigins; i++)
        if (str_case_eq(origin, str_of(conf->origins[i])))
            return true;
    return false;
}

static bool allows_origin(const struct conf_websocket *conf, const struct found *f, char *detail, size_t detail_size)
{
    if (conf->norigins == 0 || f->origins == 0 || (f->origins == 1 && is_listed(conf, f->origin)))
        return true;
    snprintf(detail, detail_size, "the origin %.*s is not one of this route's websocket.origins",
             f->origin.len > 128 ? 128 : (int)f->origin.len, f->origin.base);
    return false;
}

/* ---- subprotocols ----------------------------------------------------------------------------------------------- */

/* RFC 9110 §5.3: several fields are one list */
static bool join_protocols(struct ws_handshake *h, const struct field *fields, size_t nfields)
{
    size_t len = 0;
    for (size_t i = 0; i < nfields; i++) {
        if (!str_eq(*fields[i].name, STR("sec-websocket-protocol")))
            continue;
        struct str value = fields[i].value;
        if (len + 2 + value.len > sizeof(h->joined))
            return false;
        if (len != 0) {
            memcpy(h->joined + len, ", ", 2);
            len += 2;
        }
        memcpy(h->joined + len, value.base, value.len);
        len += value.len;
    }
    h->protocols = (struct str){h->joined, len};
    return true;
}

/* The next element of a list, without the blanks around it; false at its end. */
static bool next_element(struct str *rest, struct str *element_r)
{
    if (rest->base == NULL)
        return false;
    const char *end = rest->base + rest->len, *comma = memchr(rest->base, ',', rest->len);
    const char *stop = comma == NULL ? end : comma;
    const char *from = lexis_skip_blank(rest->base, stop);
    size_t len = (size_t)(stop - from);
    while (len != 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    *element_r = (struct str){(char *)from, len};
    *rest = comma == NULL ? STR_NONE : (struct str){(char *)comma + 1, (size_t)(end - comma - 1)};
    return true;
}

static bool are_tokens(struct str list)
{
    struct str element;
    while (next_element(&list, &element))
        if (!lexis_is_token(element))
            return false;
    return true;
}

bool ws_handshake_offers(struct str list, struct str protocol)
{
    struct str element;
    while (next_element(&list, &element))
        if (str_eq(element, protocol))
            return true;
    return false;
}

static struct str choose_protocol(const struct conf_websocket *conf, struct str offered)
{
    for (size_t i = 0; i < conf->nprotocols; i++)
        if (ws_handshake_offers(offered, str_of(conf->protocols[i])))
            return str_of(conf->protocols[i]);
    return STR_NONE;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

bool ws_handshake_allows_origin(const struct conf_websocket *conf, const struct field *fields, size_t nfields,
                                char *detail, size_t detail_size)
{
    struct ws_handshake unused;
    struct found f = {0};
    for (size_t i = 0; i < nfields; i++)
        note_field(&unused, &f, &fields[i]);
    return allows_origin(conf, &f, detail, detail_size);
}

enum reason ws_handshake_check(struct ws_handshake *h, const struct conf_websocket *conf, struct str method,
                               int version, const struct field *fields, size_t nfields, char *detail,
                               size_t detail_size)
{
    struct found f = {0};
    h->protocols = STR_NONE;
    for (size_t i = 0; i < nfields; i++)
        note_field(h, &f, &fields[i]);
    if (!str_eq(method, STR("GET")) || version != 0x101) {
        snprintf(detail, detail_size, "a WebSocket handshake is a GET of HTTP/1.1");
        return REASON_BAD_REQUEST;
    }
    if (f.versions != 1 || !str_eq(f.version, STR("13"))) {
        snprintf(detail, detail_size, "this server speaks version 13 of the WebSocket protocol");
        return REASON_UPGRADE_REQUIRED;
    }
    if (f.keys != 1 || !is_key(f.key)) {
        snprintf(detail, detail_size, "Sec-WebSocket-Key must be there once, and be 16 bytes in base64");
        return REASON_BAD_REQUEST;
    }
    if (!allows_origin(conf, &f, detail, detail_size))
        return REASON_ORIGIN;
    if ((f.protocols > 1 && !join_protocols(h, fields, nfields)) || !are_tokens(h->protocols)) {
        snprintf(detail, detail_size, "Sec-WebSocket-Protocol must be a list of tokens, of at most %zu bytes",
                 sizeof(h->joined));
        return REASON_BAD_REQUEST;
    }
    h->key = f.key;
    h->protocol = choose_protocol(conf, h->protocols);
    return REASON_NONE;
}
