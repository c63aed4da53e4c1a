/* SPDX-License-Identifier: MIT
 *
 * library_log: see library_log.h.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "front/library_log.h"

#include "diag/log.h"

/* of glibc's assert, and of the library's way to give up */
static bool are_last_words(const char *bytes, size_t len)
{
    static const char assertion[] = "Assertion `", fatal[] = "fatal:";
    return memmem(bytes, len, assertion, sizeof assertion - 1) != NULL ||
           (len >= sizeof fatal - 1 && memcmp(bytes, fatal, sizeof fatal - 1) == 0);
}

static ssize_t on_print(void *cookie, const char *bytes, size_t len)
{
    size_t text = len;
    while (text != 0 && bytes[text - 1] == '\n')
        --text;
    if (are_last_words(bytes, len)) {
        ssize_t ignored = write(STDERR_FILENO, bytes, len);
        (void)ignored;
    } else if (text != 0) {
        log_limited(LOG_LEVEL_WARNING, "libh2o", "%.*s", (int)text, bytes);
    }
    return (ssize_t)len;
}

bool library_log_start(void)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = on_print});
    if (stream == NULL)
        return false;
    (void)setvbuf(stream, NULL, _IONBF, 0); /* no memory is asked for: it does not fail */
    stderr = stream;
    return true;
}
