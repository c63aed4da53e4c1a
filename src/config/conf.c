/* SPDX-License-Identifier: MIT
 *
 * conf: see conf.h. A conf file becomes a tree in five steps: text (jsonc, conf_include) → nodes with places (node) →
 * values by the keyword table (conf_read) → values that follow from others (conf_default) → rules across keys
 * (conf_check*). All steps run even when one found something wrong, as long as there is something to look at.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "config/conf.h"
#include "config/conf_build.h"
#include "config/conf_change.h"
#include "config/conf_check.h"
#include "config/conf_default.h"
#include "config/conf_include.h"
#include "config/conf_read.h"
#include "config/node.h"
#include "config/paths.h"
#include "config/problems.h"
#include "config/source.h"

struct tree {
    struct conf conf; /* what the caller sees */
    struct region region;
};

static struct tree *tree_create(const char *path)
{
    struct region region = {0};
    struct tree *tree = region_alloc(&region, sizeof(*tree));
    tree->conf.path = region_strdup(&region, str_of(path));
    tree->region = region;
    return tree;
}

/* The block that holds the tree itself is freed with the rest, so the region is copied out first. */
void conf_free(struct conf **conf)
{
    struct tree *tree = (struct tree *)*conf;
    *conf = NULL;
    if (tree == NULL)
        return;
    struct region region = tree->region;
    region_free(&region);
}

/* the steps after the nodes; root may be NULL */
static struct conf *grow(const char *path, struct node *root, bool system, const struct conf *running,
                         struct problems *problems)
{
    if (root == NULL)
        return NULL;
    struct tree *tree = tree_create(path);
    struct conf *conf = &tree->conf;
    struct conf_reader reader = {.conf = conf, .region = &tree->region, .problems = problems, .resolve = system};
    conf_read(&reader, root);
    conf_default(conf, root, &tree->region);
    const struct check check = {conf, root, problems, &tree->region};
    conf_check(&check);
    if (system)
        conf_check_system(&check);
    if (running != NULL && problems->errors == 0)
        conf_check_restart(&check, running);
    if (system && problems->errors == 0)
        conf_check_unused(&check);
    if (problems->errors != 0)
        conf_free(&conf);
    return conf;
}

static struct conf *load(const struct conf *running, const char *path, struct buf *problems)
{
    struct region notes = {0};
    struct problems found = {.region = &notes};
    struct conf *conf = grow(path, conf_include_load(&notes, &found, path), true, running, &found);
    problems_write(&found, problems);
    region_free(&notes);
    return conf;
}

struct conf *conf_load(const char *path, struct buf *problems)
{
    return load(NULL, path, problems);
}

struct conf *conf_load_over(const struct conf *running, const char *path, struct buf *problems)
{
    return load(running, path, problems);
}

struct conf *conf_build(const struct conf_text *text, struct buf *problems)
{
    struct region notes = {0};
    struct problems found = {.region = &notes};
    const char *directory = text->directory != NULL ? text->directory : paths_directory(&notes, text->name);
    if (!utf8_valid(directory, strlen(directory)))
        directory = "/"; /* a dump has no relative names, and goes on working in any directory */
    struct source *source = source_create(&notes, text->name, directory, text->text);
    source->generated = text->generated;
    struct node *root = node_parse(&notes, source, &found);
    struct node *include = root == NULL ? NULL : node_member(root, "include");
    if (include != NULL)
        problems_key_error(&found, include, "works in a file only");
    struct conf *conf = grow(text->path != NULL ? text->path : text->name, root, text->system, NULL, &found);
    problems_write(&found, problems);
    region_free(&notes);
    return conf;
}

struct conf *conf_parse(const char *name, const char *text, size_t len, struct buf *problems)
{
    const struct conf_text input = {.name = name, .text = {(char *)text, len}};
    return conf_build(&input, problems);
}

const struct conf_backend *conf_backend_find(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->nbackends; i++)
        if (strcmp(conf->backends[i].name, name) == 0)
            return &conf->backends[i];
    return NULL;
}

/* ---- modules ---------------------------------------------------------------------------------------------------- */

/* "contrib/handlers" beside the running program: it has not been installed */
static char *build_directory(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0)
        return NULL;
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    return mem_printf("%s/contrib/handlers/%s", self, name);
}

char *conf_module_path(const struct conf *conf, const struct conf_backend *backend)
{
    (void)conf; /* a file name in the tree is absolute already */
    if (strchr(backend->module, '/') != NULL)
        return mem_strdup(backend->module);
    char *file = build_directory(backend->module);
    if (file != NULL && access(file, R_OK) == 0)
        return file;
    mem_free(&file);
    return mem_printf("%s/%s", HANDLERSDIR, backend->module);
}
