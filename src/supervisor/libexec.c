/* SPDX-License-Identifier: MIT
 *
 * libexec: looks for the other executables: see libexec.h.
 */
#include "config.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "supervisor/libexec.h"

static char *beside_us(const char *program)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0)
        return NULL;
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    char *found = mem_printf("%s/%s", path, program);
    if (access(found, X_OK) == -1)
        mem_free(&found);
    return found;
}

char *libexec_find(const char *program)
{
    const char *directory = secure_getenv("BULKHEAD_LIBEXEC");
    if (directory != NULL && *directory != '\0')
        return mem_printf("%s/%s", directory, program);
    char *found = beside_us(program);
    return found != NULL ? found : mem_printf("%s/%s", LIBEXECDIR, program);
}
