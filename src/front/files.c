/* SPDX-License-Identifier: MIT
 *
 * files: see files.h. The kernel keeps names below the root (openat2 with RESOLVE_BENEATH); where it cannot, a walk
 * that follows no symbolic link does. The descriptor goes to the reply, which reads and closes it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "diag/log.h"
#include "front/conn.h"
#include "front/door.h"
#include "front/exchange_private.h"
#include "front/field.h"
#include "front/file_request.h"
#include "front/files.h"
#include "front/path.h"
#include "front/route.h"

/* O_NONBLOCK: a FIFO must not stop the loop before fstat tells what it is */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

struct file {
    int fd;
    struct stat st;
    char etag[48];
    char modified[H2O_TIMESTR_RFC1123_LEN + 1];
    struct str name; /* for the type */
};

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* For kernels without openat2: one segment after the other, no symbolic links at all. */
static int walk(int root, char *name)
{
    int at = dup(root);
    while (at != -1) {
        char *slash = strchr(name, '/');
        if (slash == NULL || slash[1] == '\0')
            break;
        *slash = '\0';
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        *slash = '/';
        fd_close(&at);
        at = next;
        for (name = slash; *name == '/'; name++)
            ;
    }
    int fd = at == -1 ? -1 : openat(at, *name == '\0' ? "." : name, OPEN_FLAGS | O_NOFOLLOW);
    fd_close(&at);
    return fd;
}

static int open_below(int root, char *name)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
    /* EPERM: a system call filter that does not know it */
    return fd == -1 && (errno == ENOSYS || errno == EPERM) ? walk(root, name) : (int)fd;
}

/* false: errno says why */
static bool open_file(int root, char *name, struct file *f)
{
    f->fd = open_below(root, name);
    if (f->fd == -1)
        return false;
    if (fstat(f->fd, &f->st) == 0 && (S_ISREG(f->st.st_mode) || S_ISDIR(f->st.st_mode)))
        return true;
    fd_close(&f->fd);
    errno = ENOENT;
    return false;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void refuse(struct arrival *a, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
    case EACCES:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
        exchange_refuse(a, &(struct problem){.reason = REASON_NOT_FOUND});
        return;
    default:
        log_limited(LOG_LEVEL_WARNING, "front", "%s: cannot open a file for %.*s: %s", a->route->label,
                    STR_ARG(a->path), strerror(error));
        exchange_refuse(a, &(struct problem){.reason = REASON_INTERNAL, .detail = "the file cannot be opened"});
    }
}

/* /dir → /dir/, so that relative links in its index work; never a Location that begins with two slashes */
static void redirect_to_directory(struct arrival *a)
{
    h2o_mem_pool_t *pool = &a->req->pool;
    struct str path = a->path;
    while (path.len > 1 && path.base[0] == '/' && path.base[1] == '/')
        path = (struct str){path.base + 1, path.len - 1};
    h2o_iovec_t location =
        h2o_concat(pool, h2o_iovec_init(path.base, path.len), h2o_iovec_init(H2O_STRLIT("/")),
                   h2o_iovec_init("?", a->query.base != NULL), h2o_iovec_init(a->query.base, a->query.len));
    h2o_header_t *headers = h2o_mem_alloc_pool(pool, sizeof(headers[0]));
    headers[0] = reply_header(pool, STR("location"), (struct str){location.base, location.len});
    exchange_answer(a, &(struct reply_whole){.status = 301, .headers = headers, .nheaders = 1});
}

static struct str request_field(const struct arrival *a, struct str name)
{
    const struct field *fields = (const struct field *)a->req->headers.entries;
    for (size_t i = 0; i < a->req->headers.size; i++)
        if (str_eq(*fields[i].name, name))
            return fields[i].value;
    return STR_NONE;
}

static bool parse_date(struct str text, int64_t *seconds_r)
{
    struct tm tm;
    if (text.len == 0 || h2o_time_parse_rfc1123(text.base, text.len, &tm) != 0)
        return false;
    *seconds_r = (int64_t)timegm(&tm);
    return true;
}

/* RFC 9110 §13.2.2, here and below: a date counts only where there is no tag */
static bool is_as_expected(const struct arrival *a, const struct file *f)
{
    struct str tags = request_field(a, STR("if-match"));
    if (tags.base != NULL)
        return file_request_etag_listed_strong(tags, str_of(f->etag));
    int64_t since;
    return !parse_date(request_field(a, STR("if-unmodified-since")), &since) || f->st.st_mtim.tv_sec <= since;
}

static bool is_unchanged(const struct arrival *a, const struct file *f)
{
    struct str tags = request_field(a, STR("if-none-match"));
    if (tags.base != NULL)
        return file_request_etag_listed(tags, str_of(f->etag));
    int64_t since;
    return parse_date(request_field(a, STR("if-modified-since")), &since) && f->st.st_mtim.tv_sec <= since;
}

static enum file_range wanted_range(const struct arrival *a, const struct file *f, uint64_t *from, uint64_t *len)
{
    struct str range = request_field(a, STR("range")), same = request_field(a, STR("if-range"));
    bool is_get = a->req->input.method.len == 3;
    if (range.base == NULL || !is_get)
        return FILE_RANGE_WHOLE;
    if (same.base != NULL && !str_eq(same, str_of(f->etag)) && !str_eq(same, str_of(f->modified)))
        return FILE_RANGE_WHOLE;
    return file_request_range(range, (uint64_t)f->st.st_size, from, len);
}

static void describe(struct file *f)
{
    struct tm tm;
    time_t modified = f->st.st_mtim.tv_sec;
    gmtime_r(&modified, &tm);
    h2o_time2str_rfc1123(f->modified, &tm);
    f->modified[H2O_TIMESTR_RFC1123_LEN] = '\0';
    snprintf(f->etag, sizeof(f->etag), "\"%llx%08lx-%llx\"", (unsigned long long)f->st.st_mtim.tv_sec,
             (unsigned long)f->st.st_mtim.tv_nsec, (unsigned long long)f->st.st_size);
}

struct answer {
    int status;
    uint64_t from, len;
    char content_range[80];
};

static struct answer decide(const struct arrival *a, const struct file *f)
{
    uint64_t size = (uint64_t)f->st.st_size;
    struct answer answer = {.status = 200, .len = size};
    if (is_unchanged(a, f)) {
        answer.status = 304;
        answer.len = 0;
        return answer;
    }
    switch (wanted_range(a, f, &answer.from, &answer.len)) {
    case FILE_RANGE_WHOLE:
        break;
    case FILE_RANGE_PART:
        answer.status = 206;
        snprintf(answer.content_range, sizeof(answer.content_range), "bytes %llu-%llu/%llu",
                 (unsigned long long)answer.from, (unsigned long long)(answer.from + answer.len - 1),
                 (unsigned long long)size);
        break;
    case FILE_RANGE_UNSATISFIABLE:
        answer.status = 416;
        answer.len = 0;
        snprintf(answer.content_range, sizeof(answer.content_range), "bytes */%llu", (unsigned long long)size);
        break;
    }
    return answer;
}

/* takes f->fd */
static void send_file(struct arrival *a, struct file *f)
{
    describe(f);
    if (!is_as_expected(a, f)) {
        fd_close(&f->fd);
        exchange_refuse(a, &(struct problem){.reason = REASON_PRECONDITION});
        return;
    }
    struct answer answer = decide(a, f);
    struct call_field fields[5];
    size_t n = 0;
    if (answer.status == 200 || answer.status == 206)
        fields[n++] = (struct call_field){STR("content-type"), file_request_type(f->name)};
    if (answer.content_range[0] != '\0')
        fields[n++] = (struct call_field){STR("content-range"), str_of(answer.content_range)};
    fields[n++] = (struct call_field){STR("etag"), str_of(f->etag)};
    fields[n++] = (struct call_field){STR("last-modified"), str_of(f->modified)};
    fields[n++] = (struct call_field){STR("accept-ranges"), STR("bytes")};
    struct call_response head = {
        .status = answer.status,
        .fields = fields,
        .nfields = n,
        .content_length = answer.status == 304 ? -1 : (int64_t)answer.len,
    };
    struct exchange *ex = exchange_open(a);
    reply_head(&ex->reply, &head, &a->route->response_rules);
    reply_file(&ex->reply, f->fd, answer.from, answer.len);
}

/* The name below the root: what is behind the route's prefix. */
static struct str below_prefix(const struct arrival *a)
{
    struct str prefix = str_of(a->route->conf->path_prefix);
    if (a->route->strip_prefix.len != 0)
        return path_strip(a->path, a->route->strip_prefix);
    return (struct str){a->path.base + prefix.len, a->path.len - prefix.len};
}

static const char *index_of(const struct arrival *a)
{
    const char *index = a->route->conf->files.index;
    return index == NULL ? "index.html" : index;
}

static void serve_below(struct arrival *a, int root, char *name, size_t room)
{
    struct file f;
    size_t len = strlen(name);
    if (!open_file(root, name, &f)) {
        refuse(a, errno);
        return;
    }
    if (S_ISDIR(f.st.st_mode)) {
        fd_close(&f.fd);
        if (a->path.base[a->path.len - 1] != '/') {
            redirect_to_directory(a);
            return;
        }
        snprintf(name + len, room - len, "/%s", index_of(a));
        if (!open_file(root, name, &f) || S_ISDIR(f.st.st_mode)) {
            fd_close(&f.fd);
            refuse(a, ENOENT);
            return;
        }
    }
    f.name = str_of(name);
    send_file(a, &f);
}

static bool is_read(const h2o_req_t *req)
{
    return h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("GET")) ||
           h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
}

void files_serve(struct arrival *a)
{
    if (!is_read(a->req)) {
        exchange_refuse(a, &(struct problem){.reason = REASON_METHOD_NOT_ALLOWED, .allow = "GET, HEAD"});
        return;
    }
    struct str path = below_prefix(a);
    size_t room = path.len + strlen(index_of(a)) + 8;
    char *name = h2o_mem_alloc_pool(&a->req->pool, room);
    if (!file_request_name(path, name)) {
        refuse(a, ENOENT);
        return;
    }
    int root = open(a->route->conf->files.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root == -1) {
        log_limited(LOG_LEVEL_WARNING, "front", "%s: cannot open the directory %s: %s", a->route->label,
                    a->route->conf->files.root, strerror(errno));
        exchange_refuse(a, &(struct problem){.reason = REASON_NOT_FOUND});
        return;
    }
    serve_below(a, root, name, room);
    fd_close(&root);
}
