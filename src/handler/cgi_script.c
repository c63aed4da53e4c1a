/* SPDX-License-Identifier: MIT
 *
 * cgi_script: from a path to a program. Segments are decoded one by one and must be plain names, so that nothing climbs
 * out of the directory by spelling; what symbolic links make of the result is checked against the directory once
 * more. Any thread.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "handler/cgi_script.h"
#include "handler/params.h"

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool cgi_place_open(struct cgi_place *place, const char *program, char *error, size_t error_size)
{
    size_t len = strlen(program);
    *place = (struct cgi_place){.path = realpath(program, NULL), .directory = len != 0 && program[len - 1] == '/'};
    if (place->path == NULL)
        snprintf(error, error_size, "cgi: %s: %s", program, strerror(errno));
    else if (place->directory && !is_directory(place->path))
        snprintf(error, error_size, "cgi: %s: not a directory; a program's name does not end in '/'", program);
    else if (!place->directory && is_directory(place->path))
        snprintf(error, error_size, "cgi: %s: a directory; write it with a '/' at its end", program);
    else if (!place->directory && !is_program(place->path))
        snprintf(error, error_size, "cgi: %s: not an executable file; chmod +x makes it one", program);
    else
        return true;
    cgi_place_close(place);
    return false;
}

void cgi_place_close(struct cgi_place *place)
{
    mem_free(&place->path);
}

/* The segment at *at, which stands on its '/', decoded; moves *at behind it. false: no name for a file. */
static bool next_segment(const char **at, struct buf *segment)
{
    size_t len = strcspn(*at + 1, "/");
    buf_clear(segment);
    char *out = buf_reserve(segment, len + 1);
    segment->len = params_decode_path(out, (struct str){(char *)*at + 1, len});
    *at += 1 + len;
    struct str s = buf_str(segment);
    bool plain = s.len != 0 && !str_eq(s, STR(".")) && !str_eq(s, STR("..")) && memchr(s.base, '/', s.len) == NULL &&
                 memchr(s.base, '\0', s.len) == NULL;
    buf_z(segment);
    return plain;
}

static char *decoded_info(const char *encoded)
{
    size_t len = strlen(encoded);
    char *info = mem_alloc(len + 1);
    size_t used = params_decode_path(info, (struct str){(char *)encoded, len});
    info[used] = '\0';
    if (strlen(info) != used)
        mem_free(&info);
    return info;
}

/* Moves down the directory until a segment names something else than a directory. *rest_r: what is behind it. */
static bool walk(const struct cgi_place *place, const char *path, struct buf *file, const char **rest_r)
{
    struct buf segment = {0};
    struct stat st;
    bool found = false;
    buf_append_z(file, place->path);
    while (!found && *path == '/' && next_segment(&path, &segment)) {
        buf_append_char(file, '/');
        buf_append_str(file, buf_str(&segment));
        if (stat(buf_z(file), &st) != 0)
            break;
        found = !S_ISDIR(st.st_mode);
    }
    *rest_r = path;
    buf_free(&segment);
    return found;
}

static bool is_inside(const char *file, const char *directory)
{
    size_t len = strlen(directory);
    /* "/" itself is the one directory whose name ends in a '/' */
    return strncmp(file, directory, len) == 0 && (file[len] == '/' || strcmp(directory, "/") == 0);
}

static int find_inside(struct cgi_script *script, const struct cgi_place *place, const char *path)
{
    struct buf file = {0};
    const char *rest;
    int status = 404;
    if (walk(place, path, &file, &rest)) {
        script->name = mem_strdup(buf_z(&file) + strlen(place->path));
        script->file = realpath(buf_z(&file), NULL);
        script->info = decoded_info(rest);
    }
    if (script->file != NULL && script->info != NULL)
        status = is_inside(script->file, place->path) && is_program(script->file) ? 200 : 403;
    buf_free(&file);
    return status;
}

/* The segment that is the program's own name ends SCRIPT_NAME, if there is one; the whole path is PATH_INFO otherwise.
 */
static const char *behind_own_name(const char *path, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = path; (at = strstr(at, name)) != NULL; at += len)
        if (at != path && at[-1] == '/' && (at[len] == '/' || at[len] == '\0'))
            return at + len;
    return path;
}

static int find_configured(struct cgi_script *script, const struct cgi_place *place, const char *path)
{
    const char *rest = behind_own_name(path, strrchr(place->path, '/') + 1);
    char *before = mem_strdup_str((struct str){(char *)path, (size_t)(rest - path)});
    script->file = mem_strdup(place->path);
    script->name = decoded_info(before);
    script->info = decoded_info(rest);
    free(before);
    if (script->name == NULL || script->info == NULL)
        return 404;
    return is_program(script->file) ? 200 : 403;
}

int cgi_script_find(struct cgi_script *script, const struct cgi_place *place, const char *path)
{
    *script = (struct cgi_script){0};
    int status = place->directory ? find_inside(script, place, path) : find_configured(script, place, path);
    if (status != 200) {
        cgi_script_free(script);
        return status;
    }
    const char *slash = strrchr(script->file, '/');
    size_t len = slash == script->file ? 1 : (size_t)(slash - script->file);
    script->directory = mem_strdup_str((struct str){script->file, len});
    return status;
}

void cgi_script_free(struct cgi_script *script)
{
    mem_free(&script->file);
    mem_free(&script->directory);
    mem_free(&script->name);
    mem_free(&script->info);
}
