/* SPDX-License-Identifier: MIT
 *
 * conf_check_system: see conf_check.h. Looks without opening anything: what is found here may be gone when it is
 * needed, so these rules exist to report mistakes early and together, not to replace handling the failure.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/conf_check.h"
#include "config/node.h"
#include "config/paths.h"
#include "config/problems.h"

/* ---- files ------------------------------------------------------------------------------------------------------ */

static void check_file(const struct check *c, struct node *node, const char *path, int access_mode)
{
    if (node != NULL && path != NULL && access(path, access_mode) != 0)
        problems_error(c->problems, node, "%s: %s", path, strerror(errno));
}

static void check_directory(const struct check *c, struct node *node, const char *path)
{
    struct stat status;
    if (node == NULL || path == NULL)
        return;
    if (stat(path, &status) != 0)
        problems_error(c->problems, node, "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        problems_error(c->problems, node, "%s is not a directory", path);
}

/* a log file may be made, its directory is not */
static void check_log_file(const struct check *c, struct node *node, const char *path)
{
    if (node != NULL && path[0] == '/')
        check_directory(c, node, paths_directory(c->problems->region, path));
}

static void check_log(const struct check *c)
{
    const struct node *log = conf_check_good(c->root, "log");
    const struct node *access = log == NULL ? NULL : conf_check_good(log, "access");
    if (log != NULL)
        check_log_file(c, conf_check_good(log, "target"), c->conf->log.target);
    if (access != NULL)
        check_log_file(c, conf_check_good(access, "path"), c->conf->log.access.path);
}

static void check_certificate(const struct check *c, const struct conf_certificate *certificate,
                              const struct node *node)
{
    check_file(c, conf_check_good(node, "certificate"), certificate->certificate, R_OK);
    check_file(c, conf_check_good(node, "key"), certificate->key, R_OK);
}

static void check_tls(const struct check *c, const struct conf_listener *listener, const struct node *node)
{
    const struct node *tls = node->kind == NODE_OBJECT ? node_member(node, "tls") : NULL;
    for (size_t i = 0; tls != NULL && i < listener->ncertificates; i++) {
        const struct node *member = tls;
        if (tls->kind == NODE_LIST)
            for (size_t k = 0; k <= i; k++)
                member = k == 0 ? tls->first : member->next;
        check_certificate(c, &listener->certificates[i], member);
    }
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

static bool is_number(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0' && strlen(text) < 10;
}

static void check_owner(const struct check *c, const struct node *node, const char *user, const char *group)
{
    struct node *user_node = conf_check_good(node, "user"), *group_node = conf_check_good(node, "group");
    if (user_node != NULL && user != NULL && !is_number(user) && getpwnam(user) == NULL)
        problems_error(c->problems, user_node, "there is no user \"%s\"; create it or name another", user);
    if (group_node != NULL && group != NULL && !is_number(group) && getgrnam(group) == NULL)
        problems_error(c->problems, group_node, "there is no group \"%s\"; create it or name another", group);
}

/* ---- backends --------------------------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* The PATH that the child will have: execvp(3) in the supervisor's environment with the backend's added */
static const char *search_path(const struct conf_backend *backend)
{
    const char *path = getenv("PATH");
    for (size_t i = 0; i < backend->nenvironment; i++)
        if (strcmp(backend->environment[i].name, "PATH") == 0)
            path = backend->environment[i].value;
    return path == NULL ? "/usr/local/bin:/usr/bin:/bin" : path;
}

static bool is_in_path(const struct conf_backend *backend, const char *program)
{
    bool found = false;
    for (const char *at = search_path(backend); at != NULL && !found;) {
        size_t len = strcspn(at, ":");
        char *file = mem_printf("%s%s%.*s/%s", at[0] == '/' ? "" : backend->directory, at[0] == '/' ? "" : "/",
                                (int)len, at, program);
        found = is_program(file);
        mem_free(&file);
        at = at[len] == ':' ? at + len + 1 : NULL;
    }
    return found;
}

static void check_command(const struct check *c, const struct conf_backend *backend, const struct node *node)
{
    const struct node *command = conf_check_good(node, "command");
    if (command == NULL)
        return;
    const char *program = backend->command[0];
    struct node *where = command->kind == NODE_LIST ? command->first : (struct node *)command;
    if (strchr(program, '/') == NULL) {
        if (!is_in_path(backend, program))
            problems_error(c->problems, where,
                           "the program \"%s\" is in no directory of PATH; install it or write where it is", program);
        return;
    }
    const char *file = paths_absolute(c->problems->region, backend->directory, program);
    if (!is_program(file))
        problems_error(c->problems, where, "%s is no program that can be executed", file);
}

static void check_module(const struct check *c, struct conf_backend *backend, const struct node *node)
{
    struct node *module = conf_check_good(node, "module");
    if (module == NULL)
        return;
    char *file = conf_module_path(c->conf, backend);
    if (access(file, R_OK) != 0)
        problems_error(c->problems, module, "%s: %s", file, strerror(errno));
    else
        backend->module = region_strdup(c->region, str_of(file));
    mem_free(&file);
}

static void check_cgi(const struct check *c, const struct conf_backend *backend, const struct node *node)
{
    struct node *cgi = conf_check_good(node, "cgi");
    if (cgi == NULL)
        return;
    if (backend->cgi[strlen(backend->cgi) - 1] == '/')
        check_directory(c, cgi, backend->cgi);
    else if (!is_program(backend->cgi))
        problems_error(c->problems, cgi, "%s is no program that can be executed; a directory of programs ends in '/'",
                       backend->cgi);
}

static void check_backend(const struct check *c, struct conf_backend *backend, const struct node *node)
{
    check_directory(c, conf_check_good(node, "directory"), backend->directory);
    check_directory(c, conf_check_good(node, "root"), backend->root);
    check_owner(c, node, backend->user, backend->group);
    switch (backend->what) {
    case CONF_WHAT_COMMAND:
        if (backend->directory != NULL)
            check_command(c, backend, node);
        break;
    case CONF_WHAT_MODULE:
        check_module(c, backend, node);
        break;
    case CONF_WHAT_CGI:
        check_cgi(c, backend, node);
        break;
    default:
        break;
    }
}

static void check_files_root(const struct check *c, const struct conf_route *route, const struct node *node)
{
    struct node *files = conf_check_good(node, "files");
    if (files == NULL || route->action != CONF_ROUTE_FILES)
        return;
    check_directory(c, files->kind == NODE_OBJECT ? conf_check_good(files, "root") : files, route->files.root);
}

void conf_check_system(const struct check *c)
{
    const struct conf *conf = c->conf;
    const struct node *node = conf_check_first(c, "listeners");
    for (size_t i = 0; i < conf->nlisteners && node != NULL; i++, node = node->next)
        check_tls(c, &conf->listeners[i], node);
    if (conf->admin != NULL && (node = node_member(c->root, "admin")) != NULL)
        check_tls(c, conf->admin, node);
    check_owner(c, c->root, conf->user, conf->group);
    check_log(c);
    check_directory(c, conf_check_good(c->root, "spool_directory"), conf->spool_directory);
    node = conf_check_first(c, "backends");
    for (size_t i = 0; i < conf->nbackends && node != NULL; i++, node = node->next)
        check_backend(c, &conf->backends[i], node);
    node = conf_check_first(c, "routes");
    for (size_t i = 0; i < conf->nroutes && node != NULL; i++, node = node->next)
        check_files_root(c, &conf->routes[i], node);
}
