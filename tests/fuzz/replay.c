/* SPDX-License-Identifier: MIT
 *
 * replay: runs a fuzz target without a fuzzer: over each file given, or of each directory given, and over mutations of
 * each. Without arguments it takes the target's own corpus, $srcdir/tests/fuzz/corpus/<target>; so `make check`
 * replays every input that once mattered, with any compiler. Mutations are the same on every run. On a crash it says
 * which input it was; `-w FILE` writes that input, when given again with the file and `-m NUMBER`.
 *
 *   fuzz_x [-n MUTATIONS] [-m ONLY_THIS_MUTATION [-w FILE]] [FILE|DIRECTORY]...
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX   (1 << 20)
#define STACKED_MAX 4 /* changes in one mutation */
#ifndef MUTATIONS_DEFAULT
#define MUTATIONS_DEFAULT 4000
#endif

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct options {
    unsigned long mutations, only;
    const char *write_to;
} options = {.mutations = MUTATIONS_DEFAULT, .only = ULONG_MAX};

/* for the signal handler */
static char current[PATH_MAX + 64];
static unsigned long runs;

static void die(const char *what, const char *which)
{
    fprintf(stderr, "replay: %s %s: %s\n", what, which, strerror(errno));
    exit(2);
}

static void on_crash(int signal_number)
{
    ssize_t ignored = write(STDERR_FILENO, current, strlen(current));
    (void)ignored;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static struct input read_input(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die("cannot open", path);
    struct input in = {.bytes = malloc(INPUT_MAX)};
    if (in.bytes == NULL)
        die("no memory for", path);
    in.len = fread(in.bytes, 1, INPUT_MAX, f);
    if (ferror(f))
        die("cannot read", path);
    fclose(f);
    return in;
}

/* --- mutations ---------------------------------------------------------------------------------------------------- */

static size_t below(uint64_t *random, size_t n)
{
    return n == 0 ? 0 : (size_t)(fuzz_random(random) % n);
}

static uint8_t telling_byte(uint64_t *random)
{
    static const uint8_t bytes[] = "\0\r\n \t:;,=\"/%?#[]0189afAFzZ\x01\x7f\x80\xff";
    return bytes[below(random, sizeof(bytes))];
}

static void cut_out(struct input *in, uint64_t *random)
{
    size_t at = below(random, in->len), n = 1 + below(random, 8);
    if (n > in->len - at)
        n = in->len - at;
    memmove(in->bytes + at, in->bytes + at + n, in->len - at - n);
    in->len -= n;
}

static void put_in(struct input *in, uint64_t *random)
{
    size_t at = below(random, in->len + 1), n = 1 + below(random, 4);
    if (in->len + n > INPUT_MAX)
        return;
    memmove(in->bytes + at + n, in->bytes + at, in->len - at);
    for (size_t i = 0; i < n; i++)
        in->bytes[at + i] = telling_byte(random);
    in->len += n;
}

static void repeat(struct input *in, uint64_t *random)
{
    size_t at = below(random, in->len), n = 1 + below(random, 64);
    if (n > in->len - at)
        n = in->len - at;
    if (in->len + n > INPUT_MAX)
        return;
    memmove(in->bytes + at + n, in->bytes + at, in->len - at);
    in->len += n;
}

static void change(struct input *in, uint64_t *random)
{
    if (in->len == 0) {
        put_in(in, random);
        return;
    }
    switch (below(random, 6)) {
    case 0:
        in->bytes[below(random, in->len)] ^= (uint8_t)(1u << below(random, 8));
        break;
    case 1:
        in->bytes[below(random, in->len)] = telling_byte(random);
        break;
    case 2:
        cut_out(in, random);
        break;
    case 3:
        put_in(in, random);
        break;
    case 4:
        repeat(in, random);
        break;
    default:
        in->len = below(random, in->len);
        break;
    }
}

static void mutate(struct input *in, const struct input *seed, unsigned long number)
{
    memcpy(in->bytes, seed->bytes, seed->len);
    in->len = seed->len;
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15) * (number + 1);
    for (size_t n = 1 + below(&random, STACKED_MAX); n > 0; n--)
        change(in, &random);
}

/* --- replaying ---------------------------------------------------------------------------------------------------- */

static void run(const char *path, unsigned long number, const struct input *in)
{
    if (options.write_to != NULL && number == options.only) {
        FILE *f = fopen(options.write_to, "wb");
        if (f == NULL || fwrite(in->bytes, 1, in->len, f) != in->len || fclose(f) != 0)
            die("cannot write", options.write_to);
    }
    snprintf(current, sizeof(current), "replay: crashed at %s, -m %lu\n", path, number);
    char *exact = fuzz_exact(in->bytes, in->len);
    LLVMFuzzerTestOneInput((const uint8_t *)exact, in->len);
    fuzz_give_back(exact);
    runs++;
}

/* mutation 0 is the file as it is */
static void replay_file(const char *path)
{
    struct input seed = read_input(path), mutant = {.bytes = malloc(INPUT_MAX)};
    if (mutant.bytes == NULL)
        die("no memory for", path);
    for (unsigned long i = 0; i <= options.mutations; i++) {
        if (options.only != ULONG_MAX && i != options.only)
            continue;
        if (i != 0)
            mutate(&mutant, &seed, i);
        run(path, i, i == 0 ? &seed : &mutant);
    }
    free(seed.bytes);
    free(mutant.bytes);
}

static void replay_directory(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0)
        die("cannot list", path);
    for (int i = 0; i < n; i++) {
        char file[PATH_MAX];
        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
            replay_file(file);
        }
        free(names[i]);
    }
    free(names);
}

static void replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        die("no such corpus:", path);
    if (S_ISDIR(st.st_mode))
        replay_directory(path);
    else
        replay_file(path);
}

/* "…/fuzz_frame" → "$srcdir/tests/fuzz/corpus/frame" */
static void replay_own_corpus(char *program)
{
    const char *name = basename(program), *source = getenv("srcdir");
    char path[PATH_MAX];
    if (strncmp(name, "fuzz_", 5) == 0)
        name += 5;
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".", name);
    replay(path);
}

int main(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "n:m:w:")) != -1;) {
        if (c == 'n')
            options.mutations = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            options.only = strtoul(optarg, NULL, 10);
        else if (c == 'w')
            options.write_to = optarg;
        else
            return 2;
    }
    if (options.only != ULONG_MAX && options.only > options.mutations)
        options.mutations = options.only;
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    for (int i = optind; i < argc; i++)
        replay(argv[i]);
    if (optind == argc)
        replay_own_corpus(argv[0]);
    printf("%lu inputs\n", runs);
    return runs != 0 ? 0 : 1;
}
