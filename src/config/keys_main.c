/* SPDX-License-Identifier: MIT
 *
 * bulkhead-keys: prints the documents that are made from the keyword table (`make update-keys` stores them), and a conf
 * file as plain JSON. A tool of the build and of the tests; not installed.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fd.h"
#include "config/jsonc.h"
#include "config/keys_doc.h"

#define FILE_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define PLACEHOLDER    "@KEYS@\n"

static char *read_file(const char *file, size_t *len_r)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : fd_read_all(fd, FILE_MAX_BYTES, len_r);
    if (text == NULL)
        perror(file);
    fd_close(&fd);
    return text;
}

/* the hand-written page with the key reference in its place */
static bool print_man(const char *frame, struct buf *out)
{
    size_t len;
    char *text = read_file(frame, &len);
    char *at = text == NULL ? NULL : strstr(text, PLACEHOLDER);
    if (at != NULL) {
        buf_append(out, text, (size_t)(at - text));
        keys_doc_man(out);
        buf_append_z(out, at + strlen(PLACEHOLDER));
    } else if (text != NULL) {
        fprintf(stderr, "%s: there is no line " PLACEHOLDER, frame);
    }
    free(text);
    return at != NULL;
}

static bool print_json(const char *file, struct buf *out)
{
    size_t len, at;
    const char *what;
    char *text = read_file(file, &len);
    bool ok = text != NULL && jsonc_blank(text, len, &at, &what);
    if (ok)
        buf_append(out, text, len);
    else if (text != NULL)
        fprintf(stderr, "%s: byte %zu: %s\n", file, at, what);
    free(text);
    return ok;
}

static bool print(int argc, char **argv, struct buf *out)
{
    const char *command = argc < 2 ? "" : argv[1];
    if (argc == 2 && strcmp(command, "schema") == 0) {
        keys_doc_schema(out);
        return true;
    }
    if (argc == 2 && strcmp(command, "sample") == 0) {
        keys_doc_sample(out);
        return true;
    }
    if (argc == 3 && strcmp(command, "man") == 0)
        return print_man(argv[2], out);
    if (argc == 3 && strcmp(command, "json") == 0)
        return print_json(argv[2], out);
    fputs("Usage: bulkhead-keys schema | sample | man FRAME | json FILE\n", stderr);
    return false;
}

int main(int argc, char **argv)
{
    struct buf out = {0};
    bool ok = print(argc, argv, &out) && fwrite(out.base, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_free(&out);
    return ok ? 0 : 1;
}
