/* SPDX-License-Identifier: MIT
 *
 * paths: see paths.h. ".." stays as it is: where it leads depends on symbolic links.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/paths.h"

/* in place: "//" becomes "/", "/./" becomes "/", a final "/." goes */
static void tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from != '\0';) {
        if (from[0] == '/' && from[1] == '/') {
            from++;
        } else if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || from[2] == '\0')) {
            from += 2;
        } else {
            *to++ = *from++;
        }
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

const char *paths_absolute(struct region *region, const char *directory, const char *name)
{
    char *path = name[0] == '/' ? region_strdup(region, str_of(name)) : region_printf(region, "%s/%s", directory, name);
    tidy(path);
    return path;
}

const char *paths_directory(struct region *region, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (slash == file)
        return "/";
    const char *directory =
        slash == NULL ? "." : region_strdup(region, (struct str){(char *)file, (size_t)(slash - file)});
    if (directory[0] == '/')
        return paths_absolute(region, "", directory);
    char *current = getcwd(NULL, 0);
    const char *absolute = paths_absolute(region, current == NULL ? "/" : current, directory);
    mem_free(&current);
    return absolute;
}
