/* Stands in for libFuzzer where there is no clang: runs every file of a corpus directory, then a fixed number
 * of seeded mutations of them. The same arguments give the same inputs on every machine, so that a failure
 * can be repeated: what failed is printed as "seed N mutation M".
 *
 * replay CORPUS-DIRECTORY [MUTATIONS [SEED]] */
#include "fuzz.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 256
#define INPUT_MAX (64 * 1024)

struct input {
    uint8_t data[INPUT_MAX];
    size_t size;
};

static struct input files[FILES_MAX];
static size_t file_count;

/* For the message of a crash. */
static uint64_t current_seed, current_mutation;

static uint64_t next_random(uint64_t *state) /* splitmix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t limit)
{
    return limit ? (size_t)(next_random(state) % limit) : 0;
}

/* Replaces `cut` bytes at `at` by `length` others, within the limit. */
static void splice(struct input *in, size_t at, size_t cut, const void *bytes, size_t length)
{
    if (in->size - cut + length > INPUT_MAX)
        return;
    memmove(in->data + at + length, in->data + at + cut, in->size - at - cut);
    memcpy(in->data + at, bytes, length);
    in->size = in->size - cut + length;
}

/* What breaks parsers of numbers and lines. */
static const char *const tokens[] = {
    "0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "max",
    "\n",
    "\r\n",
    " ",
    "\t",
    ":",
    "kB",
    ")",
    "(",
    ",",
    "/",
    "\\040",
    "..",
    "some ",
    "total=",
    "anon ",
    " - ",
    "=",
    "%",
};

static void mutate_once(struct input *in, uint64_t *state)
{
    static uint8_t chunk[INPUT_MAX];
    /* The first byte selects the parser: it is left alone, or every mutation of it would waste an input. */
    size_t at = 1 + below(state, in->size), left;
    const struct input *other;
    uint8_t byte;

    if (at > in->size)
        at = in->size;
    left = in->size - at;

    switch (next_random(state) % 8) {
    case 0: /* flip a bit */
        if (left > 0)
            in->data[at] ^= (uint8_t)(1 << below(state, 8));
        break;
    case 1: /* any byte instead */
        if (left > 0)
            in->data[at] = (uint8_t)next_random(state);
        break;
    case 2: /* any byte more */
        byte = (uint8_t)next_random(state);
        splice(in, at, 0, &byte, 1);
        break;
    case 3: /* some bytes less */
        splice(in, at, below(state, left < 16 ? left + 1 : 16), "", 0);
        break;
    case 4: /* cut off */
        in->size = at;
        break;
    case 5: { /* a token of its own */
        const char *token = tokens[below(state, sizeof(tokens) / sizeof(tokens[0]))];

        splice(in, at, below(state, left < 8 ? left + 1 : 8), token, strlen(token));
        break;
    }
    case 6: { /* a piece of it twice */
        size_t length = below(state, left < 128 ? left + 1 : 128);

        memcpy(chunk, in->data + at, length);
        splice(in, 1 + below(state, in->size), 0, chunk, length);
        break;
    }
    default: { /* a piece of another file */
        size_t from, length;

        other = &files[below(state, file_count)];
        from = below(state, other->size);
        length = below(state, other->size - from < 256 ? other->size - from + 1 : 256);
        splice(in, at, 0, other->data + from, length);
    }
    }
}

static void read_file(const char *directory, const char *name)
{
    struct input *in = &files[file_count];
    char path[4096];
    FILE *stream;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    stream = fopen(path, "rb");
    if (!stream) {
        perror(path);
        exit(2);
    }
    in->size = fread(in->data, 1, sizeof(in->data), stream);
    (void)fclose(stream);
    if (in->size > 0)
        file_count++;
}

static void read_corpus(const char *directory)
{
    struct dirent **entries;
    int n = scandir(directory, &entries, NULL, alphasort);

    if (n < 0) {
        perror(directory);
        exit(2);
    }
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.' && file_count < FILES_MAX)
            read_file(directory, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (file_count == 0) {
        (void)fprintf(stderr, "%s: no files\n", directory);
        exit(2);
    }
}

static void on_crash(int number)
{
    char line[128];
    int n =
        snprintf(line, sizeof(line), "broken by seed %" PRIu64 " mutation %" PRIu64 " (0: a file as it is)\n",
                 current_seed, current_mutation);

    (void)!write(STDERR_FILENO, line, (size_t)n);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

int main(int argc, char *argv[])
{
    uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    static struct input in;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY [MUTATIONS [SEED]]\n", argv[0]);
        return 2;
    }
    (void)signal(SIGABRT, on_crash);
    (void)signal(SIGSEGV, on_crash);
    current_seed = seed;

    read_corpus(argv[1]);
    for (size_t i = 0; i < file_count; i++)
        (void)LLVMFuzzerTestOneInput(files[i].data, files[i].size);

    for (current_mutation = 1; current_mutation <= mutations; current_mutation++) {
        uint64_t state = seed ^ current_mutation * UINT64_C(0xd1342543de82ef95);
        const struct input *from = &files[below(&state, file_count)];

        memcpy(in.data, from->data, from->size);
        in.size = from->size;
        for (size_t n = 1 + below(&state, 6); n > 0; n--)
            mutate_once(&in, &state);
        (void)LLVMFuzzerTestOneInput(in.data, in.size);
    }
    (void)printf("%zu files, %" PRIu64 " mutations\n", file_count, mutations);
    return 0;
}
