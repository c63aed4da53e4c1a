/* SPDX-License-Identifier: MIT
 *
 * tls: see tls.h. One SSL_CTX per certificate; the first is the listener's and owns, as ex_data, the table of names and
 * the references to the others.
 */
#include "config.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "front/tls.h"

#include "base/mem.h"

#define NAME_MAX_BYTES 255 /* a host name */
/* forward secrecy and authenticated encryption only; TLS 1.3 has its own list, all of it fine */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

struct tls_name {
    char *name; /* lower case; "*.example.org" stands for exactly one label */
    SSL_CTX *certificate;
    UT_hash_handle hh;
};

struct tls_set {
    struct tls_name *names;
    SSL_CTX **others; /* certificates after the first */
    size_t nothers;
};

static int set_index = -1; /* of struct tls_set in an SSL_CTX's ex_data */
static pthread_once_t set_index_once = PTHREAD_ONCE_INIT;

static void set_free(struct tls_set *set)
{
    struct tls_name *name, *next;
    HASH_ITER(hh, set->names, name, next)
    {
        HASH_DEL(set->names, name);
        mem_free(&name->name);
        mem_free(&name);
    }
    for (size_t i = 0; i != set->nothers; ++i)
        SSL_CTX_free(set->others[i]);
    mem_free(&set->others);
    mem_free(&set);
}

static void on_context_freed(void *parent, void *data, CRYPTO_EX_DATA *ex, int index, long number, void *pointer)
{
    if (data != NULL)
        set_free(data);
}

static void make_set_index(void)
{
    set_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_freed);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* lower case, NUL-terminated; false when it cannot be a host name */
static bool normalise_name(const char *bytes, size_t len, char out[NAME_MAX_BYTES + 1])
{
    if (len != 0 && bytes[len - 1] == '.')
        --len;
    if (len == 0 || len > NAME_MAX_BYTES || memchr(bytes, '\0', len) != NULL)
        return false;
    for (size_t i = 0; i != len; ++i)
        out[i] = (char)tolower((unsigned char)bytes[i]);
    out[len] = '\0';
    return true;
}

/* the first certificate that has a name keeps it */
static void add_name(struct tls_set *set, const char *bytes, size_t len, SSL_CTX *certificate)
{
    char text[NAME_MAX_BYTES + 1];
    struct tls_name *name;
    if (!normalise_name(bytes, len, text))
        return;
    HASH_FIND_STR(set->names, text, name);
    if (name != NULL)
        return;
    name = mem_zalloc(sizeof *name);
    name->name = mem_strdup(text);
    name->certificate = certificate;
    HASH_ADD_KEYPTR(hh, set->names, name->name, strlen(name->name), name);
}

static void add_common_name(struct tls_set *set, X509 *x509, SSL_CTX *certificate)
{
    X509_NAME *subject = X509_get_subject_name(x509);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return;
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len > 0)
        add_name(set, (const char *)utf8, (size_t)len, certificate);
    OPENSSL_free(utf8);
}

/* The DNS names of the subject alternative name; the common name only where there are none (RFC 6125 §6.4.4). */
static void add_names(struct tls_set *set, SSL_CTX *certificate)
{
    X509 *x509 = SSL_CTX_get0_certificate(certificate);
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    bool has_dns = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); ++i) {
        const GENERAL_NAME *alternative = sk_GENERAL_NAME_value(alternatives, i);
        if (alternative->type != GEN_DNS)
            continue;
        has_dns = true;
        add_name(set, (const char *)ASN1_STRING_get0_data(alternative->d.dNSName),
                 (size_t)ASN1_STRING_length(alternative->d.dNSName), certificate);
    }
    GENERAL_NAMES_free(alternatives);
    if (!has_dns)
        add_common_name(set, x509, certificate);
}

static SSL_CTX *find_certificate(const struct tls_set *set, const char *asked)
{
    char text[NAME_MAX_BYTES + 1];
    struct tls_name *name;
    if (!normalise_name(asked, strlen(asked), text))
        return NULL;
    HASH_FIND_STR(set->names, text, name);
    char *dot = strchr(text, '.');
    if (name == NULL && dot != NULL && dot != text) {
        *--dot = '*';
        HASH_FIND_STR(set->names, dot, name);
    }
    return name != NULL ? name->certificate : NULL;
}

/* Loop thread, during the handshake. The library keeps serving the connection whatever certificate it shows. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_set *set = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *certificate = asked != NULL ? find_certificate(set, asked) : NULL;
    if (certificate == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (certificate != SSL_get_SSL_CTX(ssl))
        SSL_set_SSL_CTX(ssl, certificate);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts --------------------------------------------------------------------------------------------------- */

/* An encrypted key would make OpenSSL ask on the terminal; refuse it instead. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    return -1;
}

static void set_protocols(SSL_CTX *ctx, bool http2)
{
    static const h2o_iovec_t with_http2[] = {{(char *)"h2", 2}, {(char *)"http/1.1", 8}, {NULL, 0}};
    static const h2o_iovec_t http1_only[] = {{(char *)"http/1.1", 8}, {NULL, 0}};
    h2o_ssl_register_alpn_protocols(ctx, http2 ? with_http2 : http1_only);
}

static SSL_CTX *create_bare(bool http2)
{
    static const unsigned char session_context[] = "bulkhead";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* resumption is by tickets, whose keys live in the context; a server-side cache would be memory for clients to fill
     */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1 ||
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    set_protocols(ctx, http2);
    return ctx;
}

/* "what file: OpenSSL's words"; empties OpenSSL's error queue */
static void explain(const char *what, const char *file, char *error, size_t error_size)
{
    unsigned long code = ERR_peek_last_error();
    char words[256] = "not usable";
    if (code != 0)
        ERR_error_string_n(code, words, sizeof words);
    snprintf(error, error_size, "%s %s: %s", what, file, words);
    ERR_clear_error();
}

static bool load_files(SSL_CTX *ctx, const char *certificate, const char *key, char *error, size_t error_size)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
        explain("certificate", certificate, error, error_size);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        explain("key", key, error, error_size);
        return false;
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        snprintf(error, error_size, "key %s does not belong to certificate %s", key, certificate);
        return false;
    }
    return true;
}

static SSL_CTX *create_with_files(const struct conf_certificate *files, bool http2, char *error, size_t error_size)
{
    SSL_CTX *ctx = create_bare(http2);
    if (ctx == NULL) {
        explain("TLS for", files->certificate, error, error_size);
        return NULL;
    }
    if (load_files(ctx, files->certificate, files->key, error, error_size))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *tls_context_create(const struct conf_listener *listener, char *error, size_t error_size)
{
    pthread_once(&set_index_once, make_set_index);
    SSL_CTX *first = create_with_files(&listener->certificates[0], listener->http2, error, error_size);
    if (first == NULL)
        return NULL;
    struct tls_set *set = mem_zalloc(sizeof *set);
    set->others = mem_alloc(listener->ncertificates * sizeof *set->others);
    SSL_CTX_set_ex_data(first, set_index, set); /* from here on `first` owns it */
    add_names(set, first);
    for (size_t i = 1; i != listener->ncertificates; ++i) {
        SSL_CTX *other = create_with_files(&listener->certificates[i], listener->http2, error, error_size);
        if (other == NULL) {
            SSL_CTX_free(first);
            return NULL;
        }
        set->others[set->nothers++] = other;
        add_names(set, other);
    }
    SSL_CTX_set_tlsext_servername_callback(first, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(first, set);
    return first;
}
