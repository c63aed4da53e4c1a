/* SPDX-License-Identifier: MIT
 *
 * library_spool: see library_spool.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/library_spool.h"

#include "config/conf.h"
#include "upstream/h2o_api.h"

#define CAPACITY_FIRST 8192

bool library_spool_set(const struct conf *conf, char *error, size_t error_size)
{
    static char template[4096];
    size_t threshold = CAPACITY_FIRST;
    int len = snprintf(template, sizeof template, "%s/bulkhead-body-XXXXXX", conf->spool_directory);
    if (len < 0 || (size_t)len >= sizeof template || access(conf->spool_directory, W_OK | X_OK) != 0) {
        snprintf(error, error_size, "spool_directory %s: %s", conf->spool_directory,
                 (size_t)len >= sizeof template ? "name too long" : strerror(errno));
        return false;
    }
    while (threshold < (size_t)conf->limits.body_memory)
        threshold *= 2;
    h2o_socket_buffer_mmap_settings.threshold = threshold * 2;
    strcpy(h2o_socket_buffer_mmap_settings.fn_template, template);
    return true;
}

/* The library asks for room in a file that is empty only when it has just made it. */
static bool is_new(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
}

/* Interposed: libh2o calls it through the dynamic symbol table. posix_fallocate64 is the C library's own under its other
 * name. errno is set because the library tells the operator that instead of what is returned. */
__attribute__((visibility("default"))) int posix_fallocate(int fd, off_t offset, off_t length)
{
    bool made = is_new(fd);
    int error = posix_fallocate64(fd, offset, length);
    if (error != 0 && made)
        close(fd);
    errno = error;
    return error;
}
