/* SPDX-License-Identifier: MIT
 *
 * guard: see guard.h. What the library gets to see, and why it may:
 *
 * - A refused head becomes a complete request without fields: no Host, no length, so the library neither looks for a
 * body nor for an upgrade, and calls our handler before it returns to its loop. Its path points into `refusals`, which
 * is how the verdict is recognised; nothing that a client sends can have that address. All input counts as consumed:
 * the connection ends behind the answer.
 * - A refused chunked body becomes a complete one; the library calls the handler before it returns from the read, so a
 *   thread-local word carries the verdict, valid for the body that ends at the remembered address.
 * - "PRI * HTTP/2" is an error, because that is where the library looks for HTTP/2 without TLS.
 * - An Upgrade to h2c is left out, as RFC 9113 §3.1 has it obsolete: the request is served as HTTP/1.
 */
#include "config.h"

#include <assert.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "front/guard.h"

#include "base/lexis.h"
#include "front/conn.h"
#include "front/strict.h"
#include "upstream/chunked.h"

/* picohttpparser's names and types, which libh2o calls; its header is not packaged */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
struct phr_chunked_decoder {
    size_t bytes_left_in_chunk;
    char consume_trailer, hex_count, state;
};
#define INTERPOSED __attribute__((visibility("default")))
INTERPOSED int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len,
                                 const char **path, size_t *path_len, int *minor_version, struct phr_header *headers,
                                 size_t *num_headers, size_t last_len);
INTERPOSED ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz);

_Static_assert(sizeof(struct phr_header) == sizeof(struct strict_field) &&
                   offsetof(struct phr_header, value_len) == offsetof(struct strict_field, value_len),
               "the library's array is filled as strict_field");
_Static_assert(sizeof(struct phr_chunked_decoder) == sizeof(struct chunked) &&
                   offsetof(struct phr_chunked_decoder, consume_trailer) == offsetof(struct chunked, library_flag),
               "the library's decoder holds a struct chunked");

#define LIBRARY_ERROR      -1
#define LIBRARY_INCOMPLETE -2

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static struct {
    _Atomic size_t head_bytes, target_bytes, header_fields, max_body, chunk_overhead;
} limits;

void guard_set_limits(const struct guard_limits *l)
{
    atomic_store_explicit(&limits.head_bytes, l->head_bytes, memory_order_relaxed);
    atomic_store_explicit(&limits.target_bytes, l->target_bytes, memory_order_relaxed);
    atomic_store_explicit(&limits.header_fields, l->header_fields, memory_order_relaxed);
    atomic_store_explicit(&limits.max_body, l->max_body, memory_order_relaxed);
    atomic_store_explicit(&limits.chunk_overhead, l->chunk_overhead, memory_order_relaxed);
}

static struct strict_limits head_limits(void)
{
    return (struct strict_limits){
        .head_bytes = atomic_load_explicit(&limits.head_bytes, memory_order_relaxed),
        .target_bytes = atomic_load_explicit(&limits.target_bytes, memory_order_relaxed),
        .header_fields = atomic_load_explicit(&limits.header_fields, memory_order_relaxed),
        .max_body = atomic_load_explicit(&limits.max_body, memory_order_relaxed),
    };
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

/* Each pair of reason and static text that was ever needed; entries are only added, so a pointer to one stays good. The
 * last place is for what finds no place. */
#define REFUSALS_MAX 128
struct refusal {
    char path[1];
    enum reason reason;
    const char *detail;
};
static struct {
    pthread_mutex_t lock;
    size_t count;
    struct refusal table[REFUSALS_MAX];
} refusals = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* the verdict on the chunked body that this thread has just read */
static __thread struct {
    const struct refusal *why;
    const char *body_end;
} chunked_verdict;

static const struct refusal *intern(enum reason reason, const char *detail)
{
    size_t i = 0;
    pthread_mutex_lock(&refusals.lock);
    while (i != refusals.count && (refusals.table[i].reason != reason || refusals.table[i].detail != detail))
        ++i;
    if (i == REFUSALS_MAX) {
        --i;
    } else if (i == refusals.count) {
        bool is_last = i == REFUSALS_MAX - 1;
        refusals.table[i] = (struct refusal){.path = {'/'},
                                             .reason = is_last ? REASON_BAD_REQUEST : reason,
                                             .detail = is_last ? "malformed request" : detail};
        ++refusals.count;
    }
    pthread_mutex_unlock(&refusals.lock);
    return &refusals.table[i];
}

static const struct refusal *refusal_of_path(h2o_iovec_t path)
{
    if ((uintptr_t)path.base < (uintptr_t)refusals.table ||
        (uintptr_t)path.base >= (uintptr_t)(refusals.table + REFUSALS_MAX))
        return NULL;
    return (const struct refusal *)(path.base - offsetof(struct refusal, path));
}

/* ---- instead of the library's parsers --------------------------------------------------------------------------- */

enum preface { PREFACE_NOT, PREFACE_PERHAPS, PREFACE_IS };

static enum preface preface_of(const char *buf, size_t len)
{
    static const char preface[] = "PRI * HTTP/2";
    size_t n = len < sizeof preface - 1 ? len : sizeof preface - 1;
    if (memcmp(buf, preface, n) != 0)
        return PREFACE_NOT;
    return n == sizeof preface - 1 ? PREFACE_IS : PREFACE_PERHAPS;
}

static bool is_h2c_upgrade(const struct phr_header *h)
{
    return h->name_len == 7 && strncasecmp(h->name, "upgrade", 7) == 0 && h->value_len >= 3 &&
           strncasecmp(h->value, "h2c", 3) == 0;
}

static size_t drop_h2c_upgrades(struct phr_header *headers, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i != n; ++i) {
        if (is_h2c_upgrade(&headers[i]))
            continue;
        if (kept != i)
            headers[kept] = headers[i];
        ++kept;
    }
    return kept;
}

int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path,
                      size_t *path_len, int *minor_version, struct phr_header *headers, size_t *num_headers,
                      size_t last_len)
{
    struct strict_limits now = head_limits();
    struct strict_head head = {.fields = (struct strict_field *)headers, .capacity = *num_headers};
    chunked_verdict.why = NULL;
    *num_headers = 0;
    if (len != 0 && *buf == 'P') {
        enum preface preface = preface_of(buf, len);
        if (preface != PREFACE_NOT)
            return preface == PREFACE_IS ? LIBRARY_ERROR : LIBRARY_INCOMPLETE;
    }
    enum strict_result result = strict_head_parse(buf, len, last_len, &now, &head);
    if (result == STRICT_INCOMPLETE)
        return LIBRARY_INCOMPLETE;
    *minor_version = head.minor;
    *method = head.method.len != 0 ? head.method.base : "-";
    *method_len = head.method.len != 0 ? head.method.len : 1;
    if (result == STRICT_REFUSED) {
        *path = intern(head.reason, head.detail)->path;
        *path_len = 1;
        return (int)len;
    }
    *path = head.target.base;
    *path_len = head.target.len;
    *num_headers = drop_h2c_upgrades(headers, head.nfields);
    return (int)head.bytes;
}

ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz)
{
    struct chunked *chunked = (struct chunked *)decoder;
    size_t overhead_max = atomic_load_explicit(&limits.chunk_overhead, memory_order_relaxed);
    chunked_verdict.why = NULL;
    ssize_t left = strict_chunked_decode(chunked, overhead_max, buf, bufsz);
    if (left != LIBRARY_ERROR)
        return left;
    chunked_verdict.why = intern(REASON_BAD_REQUEST, chunked_problem(chunked));
    chunked_verdict.body_end = buf + *bufsz;
    return 0;
}

/* ---- is it in effect? ------------------------------------------------------------------------------------------- */

#if __ELF_NATIVE_CLASS == 64
#define RELOCATION_SYMBOL(info) ELF64_R_SYM(info)
#else
#define RELOCATION_SYMBOL(info) ELF32_R_SYM(info)
#endif

struct relocations {
    const ElfW(Rela) * first;
    size_t count;
    const ElfW(Sym) * symbols;
    const char *names;
};

static struct relocations jump_relocations(const struct link_map *object)
{
    struct relocations r = {.count = 0};
    for (const ElfW(Dyn) *d = object->l_ld; d->d_tag != DT_NULL; ++d) {
        if (d->d_tag == DT_JMPREL)
            r.first = (const void *)d->d_un.d_ptr;
        else if (d->d_tag == DT_PLTRELSZ)
            r.count = d->d_un.d_val / sizeof *r.first;
        else if (d->d_tag == DT_SYMTAB)
            r.symbols = (const void *)d->d_un.d_ptr;
        else if (d->d_tag == DT_STRTAB)
            r.names = (const void *)d->d_un.d_ptr;
    }
    return r;
}

/* The library calls this name through its table, and not directly as a library linked with -Bsymbolic would. True as
 * well when there is no such shared object: in a test binary with the library's own objects the linker has settled it.
 */
static bool library_looks_up(const char *name)
{
    void *library = dlopen("libh2o-evloop.so.0.13", RTLD_LAZY | RTLD_NOLOAD);
    struct link_map *object;
    if (library == NULL || dlinfo(library, RTLD_DI_LINKMAP, &object) != 0)
        return true;
    struct relocations r = jump_relocations(object);
    bool found = false;
    for (size_t i = 0; i != r.count && !found; ++i)
        found = strcmp(r.names + r.symbols[RELOCATION_SYMBOL(r.first[i].r_info)].st_name, name) == 0;
    dlclose(library);
    return found;
}

bool guard_in_effect(void)
{
    return dlsym(RTLD_DEFAULT, "phr_parse_request") == (void *)phr_parse_request &&
           dlsym(RTLD_DEFAULT, "phr_decode_chunked") == (void *)phr_decode_chunked &&
           library_looks_up("phr_parse_request") && library_looks_up("phr_decode_chunked");
}

/* ---- verdicts --------------------------------------------------------------------------------------------------- */

static enum reason refuse_http1(h2o_req_t *req, const struct refusal *why, const char **detail_r)
{
    req->http1_is_persistent = 0;
    conn_linger(conn_of(req));
    *detail_r = why->detail;
    return why->reason;
}

void guard_set_persistence(h2o_req_t *req)
{
    bool keep_alive = req->version >= 0x101, close = false, any = false;
    for (ssize_t at = -1; (at = h2o_find_header(&req->headers, H2O_TOKEN_CONNECTION, at)) != -1; any = true) {
        struct str options = {req->headers.entries[at].value.base, req->headers.entries[at].value.len}, option;
        while (lexis_list_next(&options, &option)) {
            close |= lexis_word_is(option, STR("close"));
            keep_alive |= lexis_word_is(option, STR("keep-alive"));
        }
    }
    if (any)
        req->http1_is_persistent = keep_alive && !close && !req->conn->ctx->shutdown_requested;
}

static enum reason http1_verdict(h2o_req_t *req, const char **detail_r)
{
    const struct refusal *why = refusal_of_path(req->input.path);
    if (why == NULL && chunked_verdict.why != NULL && req->entity.base + req->entity.len == chunked_verdict.body_end)
        why = chunked_verdict.why;
    chunked_verdict.why = NULL;
    if (why != NULL)
        return refuse_http1(req, why, detail_r);
    return REASON_NONE;
}

static bool is_sound_field(const h2o_header_t *h)
{
    struct str name = {h->name->base, h->name->len}, value = {h->value.base, h->value.len};
    if (!h2o_iovec_is_token(h->name)) {
        if (!lexis_is_token(name))
            return false;
        for (size_t i = 0; i != name.len; ++i) {
            if (lexis_is(name.base[i], LEXIS_UPPER))
                return false;
        }
    }
    return lexis_is_value(value);
}

/* RFC 9113 §8.2.2. The library resets streams that have most of them, but not all. */
static bool is_connection_field(struct str name)
{
    static const struct str names[] = {{(char *)"connection", 10},
                                       {(char *)"keep-alive", 10},
                                       {(char *)"upgrade", 7},
                                       {(char *)"proxy-connection", 16},
                                       {(char *)"transfer-encoding", 17}};
    for (size_t i = 0; i != sizeof names / sizeof names[0]; ++i) {
        if (str_eq(name, names[i]))
            return true;
    }
    return false;
}

static enum reason http2_fields_verdict(const h2o_req_t *req, const char **detail_r)
{
    struct strict_limits now = head_limits();
    size_t bytes = req->input.path.len + req->input.authority.len + req->input.method.len;
    *detail_r = "more header fields than the limit (limits.header_fields)";
    if (req->headers.size > now.header_fields)
        return REASON_HEAD_TOO_LARGE;
    *detail_r = "request head over the limit (limits.head_bytes)";
    for (size_t i = 0; i != req->headers.size; ++i) {
        bytes += req->headers.entries[i].name->len + req->headers.entries[i].value.len;
        if (bytes > now.head_bytes)
            return REASON_HEAD_TOO_LARGE;
    }
    for (size_t i = 0; i != req->headers.size; ++i) {
        const h2o_header_t *h = &req->headers.entries[i];
        *detail_r = "a header field is not well-formed";
        if (!is_sound_field(h))
            return REASON_BAD_REQUEST;
        *detail_r = "a header field that HTTP/2 forbids";
        if (is_connection_field((struct str){h->name->base, h->name->len}))
            return REASON_BAD_REQUEST;
    }
    *detail_r = NULL;
    return REASON_NONE;
}

/* the library has put its own host's name where the client sent no :authority */
static bool has_authority(const h2o_req_t *req)
{
    return req->input.authority.base != NULL &&
           req->input.authority.base != req->conn->hosts[0]->authority.hostport.base;
}

static enum reason http2_verdict(h2o_req_t *req, const char **detail_r)
{
    struct str method = {req->input.method.base, req->input.method.len};
    struct str target = {req->input.path.base, req->input.path.len};
    struct strict_limits now = head_limits();
    *detail_r = "this connection has been cut";
    if (conn_of(req)->is_cut)
        return REASON_BAD_REQUEST;
    *detail_r = "request target over the limit (limits.target_bytes)";
    if (target.len > now.target_bytes)
        return REASON_TARGET_TOO_LONG;
    *detail_r = "the method is not a token";
    if (!lexis_is_token(method) || method.len > STRICT_METHOD_MAX)
        return REASON_BAD_REQUEST;
    *detail_r = "CONNECT: this server is no forward proxy";
    if (str_eq(method, STR("CONNECT")))
        return REASON_METHOD_NOT_ALLOWED;
    bool is_asterisk = str_eq(target, STR("*")) && str_eq(method, STR("OPTIONS"));
    *detail_r = is_asterisk ? NULL : strict_target_problem(target);
    if (*detail_r != NULL)
        return REASON_BAD_REQUEST;
    *detail_r = ":authority is missing, or not a name or address with an optional port";
    if (!has_authority(req) || !strict_is_authority((struct str){req->input.authority.base, req->input.authority.len}))
        return REASON_BAD_REQUEST;
    return http2_fields_verdict(req, detail_r);
}

enum reason guard_verdict(h2o_req_t *req, const char **detail_r)
{
    *detail_r = NULL;
    return req->version >= 0x200 ? http2_verdict(req, detail_r) : http1_verdict(req, detail_r);
}
