/* SPDX-License-Identifier: MIT
 *
 * What drives a fuzz target where libFuzzer is not linked: every file of its corpus, and many small changes of each,
 * the same ones on every run. The corpus of fuzz_NAME is tests/fuzz/corpus/NAME below $srcdir; or the files named as
 * arguments.
 */
#include "config.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES   2000
#define INPUT_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Each input is a block of its own size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (exact == NULL)
        abort();
    memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

/* bytes has room for one more than len */
static size_t change(uint8_t *bytes, size_t len, uint32_t *seed)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, '\r', '\n', ' ', ':', '"', '{', '0', '9'};
    size_t at = len == 0 ? 0 : next_random(seed) % len;
    uint8_t byte = odd[next_random(seed) % sizeof(odd)];
    switch (next_random(seed) % 4) {
    case 0:
        return at;
    case 1:
        memmove(bytes + at + 1, bytes + at, len - at);
        bytes[at] = byte;
        return len + 1;
    case 2:
        if (len != 0)
            memmove(bytes + at, bytes + at + 1, --len - at);
        return len;
    default:
        if (len != 0)
            bytes[at] = byte;
        return len;
    }
}

static void run_with_changes(const uint8_t *bytes, size_t len)
{
    uint32_t seed = 2463534242u;
    uint8_t *changed = malloc(len + 4);
    if (changed == NULL)
        abort();
    run(bytes, len);
    for (unsigned i = 0; i < CHANGES; i++) {
        size_t size = len;
        memcpy(changed, bytes, len);
        for (unsigned n = 1 + next_random(&seed) % 3; n > 0; n--)
            size = change(changed, size, &seed);
        run(changed, size);
    }
    free(changed);
}

static void replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    run_with_changes(bytes, len);
}

static int replay_corpus(const char *target)
{
    const char *top = getenv("srcdir"), *slash = strrchr(target, '/');
    const char *name = slash == NULL ? target : slash + 1;
    char dir[2048], path[4096];
    if (strncmp(name, "fuzz_", 5) == 0)
        name += 5;
    snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", top == NULL ? "." : top, name);
    DIR *files = opendir(dir);
    if (files == NULL) {
        perror(dir);
        return 1;
    }
    unsigned replayed = 0;
    for (struct dirent *e; (e = readdir(files)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        replay(path);
        replayed++;
    }
    closedir(files);
    printf("%s: %u files, %u changes of each\n", name, replayed, CHANGES);
    return replayed == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return replay_corpus(argv[0]);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    return 0;
}
