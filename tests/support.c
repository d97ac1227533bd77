#include "support.h"
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char ring[4][4096];
static unsigned turn;

/* An absolute path stays as it is. */
static const char *below(const char *root, const char *relative)
{
    char path[sizeof ring[0]];
    if (*relative == '/') return relative;
    snprintf(path, sizeof path, "%s/%s", root, relative);
    return strcpy(ring[turn++ % 4], path);
}

/* A shell ignores SIGINT in what it starts in the background, and the program under test respects what is ignored. */
__attribute__((constructor)) static void signals_as_usual(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

const char *repo_path(const char *relative)
{
    const char *root = getenv("GPT2Q_ROOT");
    return below(root ? root : ".", relative);
}

const char *shared_path(const char *relative)
{
    const char *shared = getenv("GPT2Q_SHARED");
    const char *p = shared ? below(shared, relative) : below(repo_path("../shared"), relative);
    return access(p, R_OK) == 0 ? p : NULL;
}

static size_t page(void) { return (size_t)sysconf(_SC_PAGESIZE); }
static size_t pages_of(size_t n) { return (n + page() - 1) / page() * page(); }

void *guard_alloc(size_t n)
{
    size_t body = pages_of(n);
    uint8_t *map = mmap(NULL, body + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + body, page(), PROT_NONE), 0);
    return map + body - n;
}

void guard_free(void *p, size_t n)
{
    size_t body = pages_of(n);
    munmap((uint8_t *)p + n - body, body + page());
}

uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
uint32_t rng_below(struct rng *r, uint32_t n) { return (uint32_t)((rng_next(r) >> 32) * n >> 32); }
float rng_uniform(struct rng *r)
{
    return (float)((int64_t)(rng_next(r) >> 40) - (1 << 23)) / (float)(1 << 23);
}
float rng_normal(struct rng *r) { return rng_uniform(r) + rng_uniform(r) + rng_uniform(r); }

const char *temp_base(void)
{
    const char *base = getenv("TMPDIR");
    return base && *base ? base : "/tmp";
}

char *temp_directory(void)
{
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/gpt2q-test-XXXXXX", temp_base());
    assert_non_null(mkdtemp(path));
    return path;
}

int temp_file(char path[TEMP_PATH])
{
    int n = snprintf(path, TEMP_PATH, "%s/gpt2q-XXXXXX", temp_base());
    assert_in_range(n, 1, TEMP_PATH - 1);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

void temp_remove(char *directory)
{
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        char path[8192];
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            char *copy = strdup(path);
            temp_remove(copy);
        } else {
            unlink(path);
        }
    }
    if (d) closedir(d);
    rmdir(directory);
    free(directory);
}

void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void nothing_to_run(void **state)
{
    (void)state;
    skip();
}

int skip_all(const char *why)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_to_run)};
    printf("skipped: %s\n", why);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
