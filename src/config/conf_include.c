/* SPDX-License-Identifier: MIT
 *
 * conf_include: see conf_include.h. Members of an included file move into the tree of the including one and keep their
 * source and parent, so that messages about them name the place where they were written.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "config/conf_include.h"
#include "config/node.h"
#include "config/paths.h"
#include "config/source.h"

#define FILE_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define DEPTH_MAX      16

struct loader {
    struct region *region;
    struct problems *problems;
    unsigned nsources;
    size_t depth;
    struct {
        dev_t device;
        ino_t inode;
    } open[DEPTH_MAX]; /* the files that are being read, each included by the one before */
};

static struct node *load(struct loader *l, const char *file, struct node *include);

/* ---- reading one file ------------------------------------------------------------------------------------------- */

/* about a file: at the include that names it, or at the file itself when nothing does */
static void report(struct loader *l, const char *file, struct node *include, const char *what)
{
    if (include != NULL)
        problems_error(l->problems, include, "%s %s", file, what);
    else
        problems_file_error(l->problems, file, "%s", what);
}

static bool is_open(const struct loader *l, const struct stat *status)
{
    for (size_t i = 0; i < l->depth; i++)
        if (l->open[i].device == status->st_dev && l->open[i].inode == status->st_ino)
            return true;
    return false;
}

static const char *check_file(const struct loader *l, const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return "is not a regular file";
    if (is_open(l, status))
        return "includes itself, directly or through others; remove one of the includes";
    return l->depth == DEPTH_MAX ? "is included too deeply (16 files)" : NULL;
}

/* NULL with the trouble reported; else the text, in the region */
static char *read_file(struct loader *l, const char *file, struct node *include, size_t *len_r, struct stat *status)
{
    *len_r = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *trouble = NULL;
    char *bytes = NULL;
    if (fd < 0 || fstat(fd, status) != 0)
        trouble = region_printf(l->region, "cannot be opened: %s", strerror(errno));
    else
        trouble = check_file(l, status);
    if (trouble == NULL && (bytes = fd_read_all(fd, FILE_MAX_BYTES, len_r)) == NULL)
        trouble =
            errno == EFBIG ? "is larger than 64 MiB" : region_printf(l->region, "cannot be read: %s", strerror(errno));
    fd_close(&fd);
    if (trouble != NULL) {
        report(l, file, include, trouble);
        return NULL;
    }
    char *text = region_strdup(l->region, (struct str){bytes, *len_r});
    mem_free(&bytes);
    return text;
}

/* ---- merging ---------------------------------------------------------------------------------------------------- */

static void already_set(struct loader *l, struct node *member, const struct node *existing)
{
    problems_key_error(l->problems, member, "is already set in %s:%u; it may stand in one file only",
                       existing->source->name, source_line(existing->source, existing->key_at));
}

static void merge_list(struct node *into, struct node *list)
{
    for (struct node *next, *node = list->first; node != NULL; node = next) {
        next = node->next;
        node_append(into, node);
    }
}

static void merge_map(struct loader *l, struct node *into, struct node *map)
{
    for (struct node *next, *node = map->first; node != NULL; node = next) {
        next = node->next;
        const struct node *existing = node_member(into, node->key);
        if (existing != NULL)
            already_set(l, node, existing);
        else
            node_append(into, node);
    }
}

static void merge_member(struct loader *l, struct node *root, struct node *member)
{
    bool is_list = strcmp(member->key, "listeners") == 0 || strcmp(member->key, "routes") == 0;
    bool is_map = strcmp(member->key, "backends") == 0;
    struct node *existing = node_member(root, member->key);
    if (strcmp(member->key, "include") == 0 || strcmp(member->key, "$schema") == 0)
        return;
    if (existing == NULL)
        node_append(root, member);
    else if (is_list && member->kind == NODE_LIST && existing->kind == NODE_LIST)
        merge_list(existing, member);
    else if (is_map && member->kind == NODE_OBJECT && existing->kind == NODE_OBJECT)
        merge_map(l, existing, member);
    else
        already_set(l, member, existing);
}

static void merge(struct loader *l, struct node *root, struct node *included)
{
    for (struct node *next, *member = included->first; member != NULL; member = next) {
        next = member->next;
        merge_member(l, root, member);
    }
}

/* ---- includes --------------------------------------------------------------------------------------------------- */

/* The pattern is relative to the file, whose own name is no pattern. */
static const char *full_pattern(struct region *region, const struct source *source, const char *pattern)
{
    const char *slash = strrchr(source->name, '/');
    if (pattern[0] == '/' || slash == NULL)
        return pattern;
    struct buf out = {0};
    for (const char *at = source->name; at <= slash; at++) {
        if (strchr("*?[]\\", *at) != NULL)
            buf_append_char(&out, '\\');
        buf_append_char(&out, *at);
    }
    buf_append_z(&out, pattern);
    const char *full = region_strdup(region, buf_str(&out));
    buf_free(&out);
    return full;
}

static bool is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* glob(3) sorts the names. A pattern may match nothing: an empty conf.d is fine. */
static void include_pattern(struct loader *l, struct node *root, struct node *include)
{
    glob_t found = {0};
    if (include->kind != NODE_STRING) {
        problems_error(l->problems, include, "must be a file name or a list of file names (is %s)",
                       node_describe(include, l->region));
        return;
    }
    int status = glob(full_pattern(l->region, include->source, include->string), GLOB_ERR, NULL, &found);
    if (status == GLOB_NOMATCH && is_pattern(include->string))
        return;
    if (status != 0)
        problems_error(l->problems, include, "%s (is %s)",
                       status == GLOB_NOMATCH ? "there is no such file"
                                              : "its directory does not exist or cannot be read",
                       node_describe(include, l->region));
    for (size_t i = 0; status == 0 && i < found.gl_pathc; i++) {
        struct node *included = load(l, region_strdup(l->region, str_of(found.gl_pathv[i])), include);
        if (included != NULL)
            merge(l, root, included);
    }
    globfree(&found);
}

static void include_all(struct loader *l, struct node *root)
{
    struct node *include = node_member(root, "include");
    if (include == NULL)
        return;
    if (include->kind != NODE_LIST) {
        include_pattern(l, root, include);
        return;
    }
    for (struct node *pattern = include->first; pattern != NULL; pattern = pattern->next)
        include_pattern(l, root, pattern);
}

static struct node *load(struct loader *l, const char *file, struct node *include)
{
    size_t len;
    struct stat status = {0};
    char *text = read_file(l, file, include, &len, &status);
    if (text == NULL)
        return NULL;
    const char *directory = paths_directory(l->region, file);
    if (!utf8_valid(directory, strlen(directory))) {
        report(l, file, include, "is in a directory whose name is not UTF-8; relative names cannot be resolved there");
        return NULL;
    }
    struct source *source = source_create(l->region, file, directory, (struct str){text, len});
    source->index = l->nsources++;
    struct node *root = node_parse(l->region, source, l->problems);
    if (root == NULL)
        return NULL;
    l->open[l->depth].device = status.st_dev;
    l->open[l->depth].inode = status.st_ino;
    l->depth++;
    include_all(l, root);
    l->depth--;
    return root;
}

struct node *conf_include_load(struct region *region, struct problems *problems, const char *file)
{
    struct loader l = {.region = region, .problems = problems};
    return load(&l, file, NULL);
}
