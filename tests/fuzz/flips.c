/* What a fuzz target accepts, cut at every byte and with every bit of its head turned: each file of the
 * target's corpus, through the same function as the fuzzer's, in a build of any compiler. The sanitizers
 * watch where they are built in. $GPT2Q_TORTURE=all: all of it; else a part, chosen by seed, within a second
 * or so. */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD    ((size_t)4096) /* bytes in which every bit is turned */
#define SECONDS 5              /* an input that takes longer hangs */
#define SAMPLE  400            /* inputs made of a file where not all are */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    const char *file;
    const char *how;
    size_t at;
} now;
static unsigned long long state;
static long inputs;

static void say_where(int number)
{
    char line[512];
    int n = snprintf(line, sizeof line, "%s, %s at %zu: %s\n", now.file, now.how, now.at,
                     number == SIGALRM ? "hangs" : "crashes");
    if (write(STDERR_FILENO, line, (size_t)n) < 0) _exit(3);
    signal(number, SIG_DFL);
    raise(number);
}

static unsigned long long next_random(void)
{
    unsigned long long z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The bytes lie in a block of just their size, so that a sanitizer sees a read beyond them. */
static void try(const uint8_t *data, size_t n, const char *how, size_t at)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact) abort();
    if (n) memcpy(exact, data, n);
    now.how = how;
    now.at = at;
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    inputs++;
    free(exact);
}

static void turn(uint8_t *data, size_t n, size_t bit)
{
    data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    try(data, n, "bit turned", bit);
    data[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void flip_file(const char *path, int all)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st)) abort();
    size_t n = (size_t)st.st_size, bits = 8 * (n < HEAD ? n : HEAD);
    uint8_t *data = malloc(n ? n : 1);
    if (!data || fread(data, 1, n, f) != n) abort();
    fclose(f);
    now.file = path;
    try(data, n, "whole", 0);
    if (all || n + bits <= SAMPLE) {
        for (size_t i = 0; i < n; i++) try(data, i, "cut", i);
        for (size_t i = 0; i < bits; i++) turn(data, n, i);
    } else {
        for (int i = 0; i < SAMPLE / 2; i++) {
            size_t end = (size_t)(next_random() % n);
            try(data, end, "cut", end);
            turn(data, n, (size_t)(next_random() % bits));
        }
    }
    free(data);
}

int main(int argc, char **argv)
{
    const char *how = getenv("GPT2Q_TORTURE"), *seed = getenv("GPT2Q_TORTURE_SEED");
    const char *name = argc ? strrchr(argv[0], '/') : NULL;
    char directory[512], path[1024];
    state = seed ? strtoull(seed, NULL, 10) : (unsigned long long)time(NULL);
    snprintf(directory, sizeof directory, "tests/fuzz/corpus/fuzz_%s",
             name && strchr(name, '_') ? strchr(name, '_') + 1 : "");
    printf("seed %llu\n", state);
    signal(SIGALRM, say_where);
    signal(SIGABRT, say_where);
    signal(SIGSEGV, say_where);
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        flip_file(path, how && !strcmp(how, "all"));
    }
    if (d) closedir(d);
    if (!inputs) fprintf(stderr, "%s: no corpus\n", directory);
    printf("%ld inputs\n[  %s  ] 1 test(s).\n", inputs, inputs ? "PASSED" : "FAILED");
    return !inputs;
}
