/* base/: errors that are cut at a code point, memory that can be made to fail, files that are whole or not
 * there, and teams of threads that leave the caller's floating-point modes alone. */
#include "tests/support.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/cpu_quota.h"
#include "base/threads.h"
#include <dirent.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>
#include <fenv.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

/* ---- status ---- */

static void test_error_set_formats(void **state)
{
    (void)state;
    gpt2q_error err = {0};
    assert_int_equal(error_set(&err, GPT2Q_FORMAT, "%s: field %d", "a.json", 7), GPT2Q_FORMAT);
    assert_int_equal(err.status, GPT2Q_FORMAT);
    assert_string_equal(err.message, "a.json: field 7");
    assert_int_equal(error_set(NULL, GPT2Q_IO, "nobody %s", "listens"), GPT2Q_IO);
    assert_int_equal(error_memory(&err, "scratch", 12), GPT2Q_OUT_OF_MEMORY);
    assert_string_equal(err.message, "out of memory: scratch needs 12 bytes");
}

static void test_error_set_cuts_at_code_point(void **state)
{
    (void)state;
    enum { CAPACITY = sizeof((gpt2q_error *)0)->message };
    static const char *const units[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x91\x8D"};
    for (size_t u = 0; u < 4; u++) {
        for (size_t lead = 0; lead < 4; lead++) { /* every alignment of the cut within a code point */
            char text[2 * CAPACITY] = "abc";
            size_t n = lead, unit = strlen(units[u]);
            for (; n + unit < sizeof text; n += unit) memcpy(text + n, units[u], unit + 1);
            gpt2q_error err;
            error_set(&err, GPT2Q_IO, "%s", text);
            size_t kept = strlen(err.message) - 3;
            assert_string_equal(err.message + kept, "...");
            assert_memory_equal(err.message, text, kept);
            assert_int_equal((kept - lead) % unit, 0);
            assert_true(kept + 3 + unit >= CAPACITY - 1);
        }
    }
    char fits[CAPACITY];
    memset(fits, 'y', sizeof fits - 1);
    fits[sizeof fits - 1] = '\0';
    gpt2q_error err;
    error_set(&err, GPT2Q_IO, "%s", fits);
    assert_string_equal(err.message, fits);
}

static void test_status_texts(void **state)
{
    (void)state;
    assert_string_equal(gpt2q_status_text(GPT2Q_OK), "done");
    assert_string_equal(gpt2q_status_text(GPT2Q_CANCELLED), "cancelled");
    assert_string_equal(gpt2q_status_text((gpt2q_status)(GPT2Q_CANCELLED + 1)), "unknown status");
    assert_string_equal(gpt2q_status_text((gpt2q_status)-1), "unknown status");
}

/* ---- memory ---- */

static void test_memory_is_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, ((size_t)4 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = mem_zalloc(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % MEM_ALIGN, 0);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 0);
        mem_free(p);
    }
    mem_free(NULL);
}

static void test_memory_refuses_overflow(void **state)
{
    (void)state;
    size_t product, sum;
    assert_null(mem_array(SIZE_MAX / 4, 8));
    assert_null(mem_zarray(8, SIZE_MAX / 4));
    assert_null(mem_alloc(SIZE_MAX));
    assert_false(checked_mul(SIZE_MAX / 2 + 1, 2, &product));
    assert_true(checked_mul(SIZE_MAX / 2, 2, &product));
    assert_false(checked_add(SIZE_MAX, 1, &sum));
}

static void test_memory_grows(void **state)
{
    (void)state;
    char *p = mem_memdup("abcdef", 3);
    assert_string_equal(p, "abc");
    p = mem_grow(p, 4, 100);
    assert_string_equal(p, "abc");
    mem_fail_after(0);
    assert_null(mem_grow(p, 100, 200));
    mem_fail_after(-1);
    assert_string_equal(p, "abc"); /* still there after a failure */
    p = mem_grow(p, 100, 2);
    assert_memory_equal(p, "ab", 2);
    mem_free(p);
    p = mem_grow(NULL, 0, 8);
    assert_non_null(p);
    mem_free(p);
}

static void test_memory_fails_on_demand(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    mem_fail_after(2);
    void *a = mem_alloc(8), *b = mem_zarray(2, 8), *c = mem_alloc(8);
    char *d = mem_strdup("d");
    mem_fail_after(-1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(c);
    assert_null(d);
    assert_int_equal(mem_count() - before, 4);
    mem_free(a);
    mem_free(b);
    void *again = mem_alloc(8);
    assert_non_null(again);
    mem_free(again);
}

/* ---- files ---- */

struct folder {
    char *name, *path;
};

static int folder_setup(void **state)
{
    struct folder *f = malloc(sizeof *f);
    f->name = temp_directory();
    f->path = path_join(f->name, "file");
    *state = f;
    return 0;
}

static int folder_teardown(void **state)
{
    struct folder *f = *state;
    mem_free(f->path);
    temp_remove(f->name);
    free(f);
    return 0;
}

static int entries(const char *directory)
{
    DIR *d = opendir(directory);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void expect_content(const char *path, const char *content)
{
    char *data;
    size_t n;
    assert_int_equal(file_read(path, 1 << 20, &data, &n, NULL), GPT2Q_OK);
    assert_int_equal(n, strlen(content));
    assert_string_equal(data, content);
    mem_free(data);
}

static void test_path_join(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        mem_free(path);
    }
}

static void test_file_read_limit(void **state)
{
    struct folder *f = *state;
    size_t size = 200000; /* more than one growth of the buffer */
    char *content = malloc(size);
    memset(content, 'z', size);
    write_file(f->path, content, size);
    char *data;
    size_t n;
    gpt2q_error err;
    assert_int_equal(file_read(f->path, size, &data, &n, &err), GPT2Q_OK);
    assert_int_equal(n, size);
    assert_memory_equal(data, content, size);
    assert_int_equal(data[n], '\0');
    mem_free(data);
    assert_int_equal(file_read(f->path, size - 1, &data, &n, &err), GPT2Q_IO);
    assert_null(data);
    assert_non_null(strstr(err.message, f->path));
    assert_non_null(strstr(err.message, "199999"));
    for (int allowed = 0; allowed < 3; allowed++) {
        mem_fail_after(allowed);
        assert_int_equal(file_read(f->path, size, &data, &n, &err), GPT2Q_OUT_OF_MEMORY);
        mem_fail_after(-1);
        assert_null(data);
    }
    write_file(f->path, "", 0);
    assert_int_equal(file_read(f->path, 0, &data, &n, &err), GPT2Q_OK);
    assert_int_equal(n, 0);
    assert_string_equal(data, "");
    mem_free(data);
    free(content);
}

static void expect_unreadable(const char *path, const char *reason)
{
    gpt2q_error err;
    struct file_map map;
    char *data;
    size_t n;
    assert_int_equal(file_map_open(path, &map, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, reason));
    assert_null(map.data);
    assert_null(map.path);
    assert_int_equal(file_read(path, 100, &data, &n, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, reason));
    assert_null(data);
}

static void test_file_errors_name_the_file(void **state)
{
    struct folder *f = *state;
    expect_unreadable(f->path, strerror(ENOENT));
    expect_unreadable(f->name, "directory");
    if (geteuid() == 0) return; /* root may read everything */
    write_file(f->path, "x", 1);
    assert_int_equal(chmod(f->path, 0), 0);
    expect_unreadable(f->path, strerror(EACCES));
}

static void test_file_map(void **state)
{
    struct folder *f = *state;
    struct file_map map;
    gpt2q_error err;
    write_file(f->path, "mapped", 6);
    assert_int_equal(file_map_open(f->path, &map, &err), GPT2Q_OK);
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "mapped", 6);
    assert_string_equal(map.path, f->path);
    file_map_close(&map);
    assert_null(map.data);
    file_map_close(&map); /* closing twice is harmless */
    write_file(f->path, "", 0);
    assert_int_equal(file_map_open(f->path, &map, &err), GPT2Q_OK);
    assert_int_equal(map.size, 0);
    assert_null(map.data);
    file_map_close(&map);
    mem_fail_after(0);
    assert_int_equal(file_map_open(f->path, &map, &err), GPT2Q_OUT_OF_MEMORY);
    mem_fail_after(-1);
    assert_int_equal(file_map_open("/dev/null", &map, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "regular"));
}

static void test_writer_commits_or_leaves_nothing(void **state)
{
    struct folder *f = *state;
    struct file_writer w;
    gpt2q_error err;
    write_file(f->path, "old", 3);
    assert_int_equal(file_writer_open(&w, f->path, &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, "new", 3, &err), GPT2Q_OK);
    expect_content(f->path, "old");
    file_writer_abort(&w);
    file_writer_abort(&w); /* aborting twice, or after a commit, is harmless */
    expect_content(f->path, "old");
    assert_int_equal(entries(f->name), 1);

    assert_int_equal(file_writer_open(&w, f->path, &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, "newer", 5, &err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, &err), GPT2Q_OK);
    file_writer_abort(&w);
    expect_content(f->path, "newer");
    assert_int_equal(entries(f->name), 1);
}

static void test_writer_open_errors(void **state)
{
    struct folder *f = *state;
    struct file_writer w;
    gpt2q_error err;
    char *below = path_join(f->path, "below");
    assert_int_equal(file_writer_open(&w, below, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, below));
    assert_int_equal(file_writer_open(&w, f->name, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "directory"));
    for (int allowed = 0; allowed < 3; allowed++) {
        mem_fail_after(allowed);
        assert_int_equal(file_writer_open(&w, f->path, &err), GPT2Q_OUT_OF_MEMORY);
        mem_fail_after(-1);
    }
    assert_int_equal(entries(f->name), 0);
    mem_free(below);
}

/* A full disk, played by the limit of a file's size. */
static void test_writer_on_a_full_disk(void **state)
{
    struct folder *f = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static const char block[4 << 20];
    for (int small = 0; small < 2; small++) { /* failing in write, or not before the flush of commit */
        struct file_writer w;
        gpt2q_error err = {0};
        assert_int_equal(file_writer_open(&w, f->path, &err), GPT2Q_OK);
        struct rlimit limit = {.rlim_cur = 100, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        gpt2q_status s = file_writer_write(&w, block, small ? 200 : sizeof block, &err);
        gpt2q_status committed = s ? GPT2Q_OK : file_writer_commit(&w, &err);
        file_writer_abort(&w);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(small ? committed : s, GPT2Q_IO);
        assert_non_null(strstr(err.message, f->path));
        assert_non_null(strstr(err.message, strerror(EFBIG)));
        assert_int_equal(entries(f->name), 0);
    }
    signal(SIGXFSZ, handler);
}

static void test_writer_leaves_devices_alone(void **state)
{
    struct folder *f = *state;
    char *link = path_join(f->name, "null");
    assert_int_equal(symlink("/dev/null", link), 0);
    struct file_writer w;
    gpt2q_error err;
    assert_int_equal(file_writer_open(&w, link, &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, "gone", 4, &err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, &err), GPT2Q_OK);
    struct stat st;
    assert_int_equal(stat(link, &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(file_writer_open(&w, link, &err), GPT2Q_OK);
    file_writer_abort(&w);
    assert_int_equal(entries(f->name), 1);
    mem_free(link);
#ifdef __linux__
    assert_int_equal(file_writer_open(&w, "/dev/full", &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, "x", 1, &err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, strerror(ENOSPC)));
#endif
}

static void test_abort_all(void **state)
{
    struct folder *f = *state;
    char *second = path_join(f->name, "second");
    struct file_writer a, b;
    assert_int_equal(file_writer_open(&a, f->path, NULL), GPT2Q_OK);
    assert_int_equal(file_writer_open(&b, second, NULL), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&b, NULL), GPT2Q_OK);
    assert_int_equal(entries(f->name), 2);
    file_writer_abort_all();
    assert_int_equal(entries(f->name), 1);
    expect_content(second, "");
    file_writer_abort(&a);
    mem_free(second);
}

/* ---- threads ---- */

static void test_split_covers(void **state)
{
    (void)state;
    static const int64_t counts[] = {0, 1, 2, 63, 64, 65, 50257, (int64_t)1 << 40};
    static const int teams[] = {1, 2, 3, 7, 64, THREADS_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (size_t t = 0; t < sizeof teams / sizeof *teams; t++) {
            int64_t next = 0, least = counts[c] / teams[t];
            for (int thread = 0; thread < teams[t]; thread++) {
                int64_t begin, end;
                threads_split(counts[c], thread, teams[t], &begin, &end);
                assert_true(begin == next);
                assert_true(end - begin == least || end - begin == least + 1);
                next = end;
            }
            assert_true(next == counts[c]);
        }
    }
}

struct team {
    atomic_int seen[64];
    int size;
    _Atomic(int) rounding_changed;
    _Atomic(unsigned) flushed;
};

static unsigned flush_bits(void)
{
#ifdef __SSE2__
    return _mm_getcsr() & 0x8040u; /* flush to zero, denormals are zero */
#else
    return 0;
#endif
}

static void member(void *arg, int share, int n)
{
    struct team *team = arg;
    if (share == 0) team->size = n;
    atomic_fetch_add(&team->seen[share], 1);
    if (fegetround() != FE_TONEAREST) atomic_fetch_add(&team->rounding_changed, 1);
    atomic_fetch_or(&team->flushed, flush_bits());
}

static void expect_team(int n)
{
    struct team team = {0};
    threads_run(n, member, &team);
    assert_int_equal(team.size, n > 1 ? n : 1);
    for (int i = 0; i < 64; i++) assert_int_equal(team.seen[i], i < team.size);
    assert_int_equal(team.rounding_changed, 0);
    assert_int_equal(team.flushed, 0);
}

static void test_threads_run(void **state)
{
    (void)state;
    assert_in_range(threads_available(), 1, THREADS_MAX);
    assert_in_range(threads_default(), 1, THREADS_MAX);
    for (int n = 0; n <= 64; n++) expect_team(n);
    expect_team(1);
}

/* Phases whose items each see that all items of the phase before were done, and count themselves. */
enum { PHASES = 60, ITEMS = 40 };
static const int phase_sizes[] = {ITEMS, 1, 7, 0, 2, 16};
struct phases {
    int number, n_threads; /* of the phase under way */
    int sums[PHASES];      /* made by whoever ends the phase */
    atomic_int done[PHASES][ITEMS], busy[THREADS_MAX], wrong;
    int plain[ITEMS]; /* written by items without atomics, read by the next phase's maker */
};

static int size_of_phase(int number) { return phase_sizes[number % 6]; }

static void phase_item(void *arg, int item, int thread)
{
    struct phases *w = arg;
    if (thread < 0 || thread >= w->n_threads || atomic_exchange(&w->busy[thread], 1))
        atomic_fetch_add(&w->wrong, 1);
    atomic_fetch_add(&w->done[w->number][item], 1);
    w->plain[item] = item + 1;
    atomic_store(&w->busy[thread], 0);
}

static bool next_of_phases(void *arg, struct phase *next)
{
    struct phases *w = arg;
    if (w->number >= 0)
        for (int i = 0; i < size_of_phase(w->number); i++) w->sums[w->number] += w->plain[i];
    if (++w->number == PHASES) return false;
    *next = (struct phase){phase_item, size_of_phase(w->number)};
    return true;
}

static void run_phases(struct phases *w, int n)
{
    w->number = -1;
    w->n_threads = n > 1 ? n : 1;
    threads_run_phases(n, next_of_phases, w);
    assert_int_equal(atomic_load(&w->wrong), 0);
    assert_int_equal(w->number, PHASES);
    for (int p = 0; p < PHASES; p++) {
        int size = size_of_phase(p);
        assert_int_equal(w->sums[p], size * (size + 1) / 2);
        for (int i = 0; i < ITEMS; i++) assert_int_equal(atomic_load(&w->done[p][i]), i < size);
    }
}

static void test_phases_are_done_in_order(void **state)
{
    (void)state;
    static struct phases w;
    threads_retain();
    for (int n = 0; n <= 16; n++)
        for (int round = 0; round < 5; round++) {
            memset(&w, 0, sizeof w);
            run_phases(&w, n);
        }
    threads_release();
}

/* The first item waits until others have done the rest: nobody has to come back to it. */
struct helped {
    atomic_int others, helped;
};
static void wait_for_others(void *arg, int item, int thread)
{
    struct helped *h = arg;
    (void)thread;
    if (item) {
        atomic_fetch_add(&h->others, 1);
        return;
    }
    for (int i = 0; i < 10000 && atomic_load(&h->others) < 8; i++) usleep(1000);
    atomic_store(&h->helped, atomic_load(&h->others));
}

static void test_threads_help(void **state)
{
    (void)state;
    for (int n = 8; n <= 16; n += 4) {
        struct helped h = {0};
        threads_run_items(n, wait_for_others, 9, &h);
        assert_int_equal(atomic_load(&h.helped), 8);
    }
}

/* Threads of this process. */
static int n_tasks(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_teams_end_with_the_last_release(void **state)
{
    (void)state;
    if (n_tasks() < 0) skip();
    struct team team = {0};
#ifdef __clang__ /* libomp keeps its threads, asleep, for regions to come: only the host is new for certain */
    const int made = 1;
#else /* threads of the tests before may still be on their way out */
    const int made = 4;
    for (int i = 0; i < 5000 && n_tasks() > 1; i++) usleep(1000);
#endif
    int before = n_tasks();
    threads_retain();
    threads_retain();
    threads_run(4, member, &team);
    assert_in_range(n_tasks(), before + made, before + 64);
    threads_release();
    assert_in_range(n_tasks(), before + made, before + 64);
    threads_release();
#ifdef __clang__
    assert_in_range(n_tasks(), before, before + 64);
#else
    for (int i = 0; i < 5000 && n_tasks() > before; i++) usleep(1000);
    assert_int_equal(n_tasks(), before);
#endif
}

static void test_a_forked_child_has_teams_of_its_own(void **state)
{
    (void)state;
    static struct phases w;
    threads_retain();
    memset(&w, 0, sizeof w);
    run_phases(&w, 4);
    pid_t child = fork();
    if (!child) {
        struct team team = {0};
        alarm(20);
        threads_run(4, member, &team);
        threads_release();
        _exit(team.size == 4 && team.seen[0] == 1 && team.seen[3] == 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    memset(&w, 0, sizeof w);
    run_phases(&w, 4);
    threads_release();
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void make_directories(const char *root, const char *path)
{
    char full[256];
    int n = snprintf(full, sizeof full, "%s/", root);
    for (const char *p = path; *p; p++) {
        full[n++] = *p, full[n] = 0;
        if (p[1] == '/' || !p[1]) mkdir(full, 0700);
    }
}

static void test_cpu_quota(void **state)
{
    (void)state;
    char root[] = "/tmp/gpt2q-quota-XXXXXX", path[256];
    assert_non_null(mkdtemp(root));
    static const struct {
        const char *groups, *directory, *file, *text, *second, *second_text;
        int cores;
    } cases[] = {
        {"0::/a/b\n", "sys/fs/cgroup/a/b", "cpu.max", "150000 100000\n", NULL, NULL, 2},
        {"0::/a/b\n", "sys/fs/cgroup/a/b", "cpu.max", "max 100000\n", NULL, NULL, 0},
        {"0::/a/b\n", "sys/fs/cgroup/a", "cpu.max", "100000 100000\n", NULL, NULL, 1},
        {"0::/not/here\n", "sys/fs/cgroup", "cpu.max", "300000 100000\n", NULL, NULL, 3},
        {"0::/a/b\n", "sys/fs/cgroup/a/b", "cpu.max", "rubbish\n", NULL, NULL, 0},
        {"4:cpu,cpuacct:/c\n", "sys/fs/cgroup/cpu,cpuacct/c", "cpu.cfs_quota_us", "250000\n",
         "cpu.cfs_period_us", "100000\n", 3},
        {"4:cpu:/c\n", "sys/fs/cgroup/cpu/c", "cpu.cfs_quota_us", "-1\n", "cpu.cfs_period_us", "100000\n", 0},
        {"4:cpu:/c\n", "sys/fs/cgroup/cpu/c", "cpu.cfs_quota_us", "50000\n", "cpu.cfs_period_us", "100000\n",
         1},
        {"4:cpuset:/c\n", "sys/fs/cgroup/cpuset/c", "cpu.cfs_quota_us", "50000\n", "cpu.cfs_period_us",
         "100000\n", 0},
    };
    assert_int_equal(cpu_quota_cores_at(root), 0); /* nothing there */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_directories(root, "proc/self");
        make_directories(root, cases[i].directory);
        snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
        write_text(path, cases[i].groups);
        snprintf(path, sizeof path, "%s/%s/%s", root, cases[i].directory, cases[i].file);
        write_text(path, cases[i].text);
        if (cases[i].second) {
            snprintf(path, sizeof path, "%s/%s/%s", root, cases[i].directory, cases[i].second);
            write_text(path, cases[i].second_text);
        }
        assert_int_equal(cpu_quota_cores_at(root), cases[i].cores);
        char command[300];
        snprintf(command, sizeof command, "rm -rf '%s'/*", root);
        assert_int_equal(system(command), 0);
    }
    rmdir(root);
}

static void only_one(void *arg, int item, int thread)
{
    (void)item;
    if (thread != 0) atomic_fetch_add(&((struct phases *)arg)->wrong, 1);
}

static void nested(void *arg, int share, int n)
{
    (void)share, (void)n;
    threads_run_items(3, only_one, 5, arg);
}

static void *many_runs(void *arg)
{
    static const int sizes[] = {2, 5, 1, 3, 8, 2};
    struct phases *w = arg;
    for (int i = 0; i < 200; i++) {
        memset(w, 0, sizeof *w);
        run_phases(w, sizes[i % 6]);
        threads_run(sizes[i % 6], nested, w);
        if (atomic_load(&w->wrong)) return arg;
    }
    return NULL;
}

/* Runs at the same time have teams of their own. A run within a run is its caller's alone. */
static void test_threads_of_many_callers(void **state)
{
    (void)state;
    enum { CALLERS = 3 };
    static struct phases work[CALLERS];
    pthread_t callers[CALLERS];
    threads_retain();
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, many_runs, &work[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        void *wrong;
        pthread_join(callers[i], &wrong);
        assert_null(wrong);
    }
    threads_release();
}

static void test_threads_keep_the_callers_modes(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++) {
        fesetround(FE_UPWARD);
#ifdef __SSE2__
        _mm_setcsr(_mm_getcsr() | 0x8040u);
#endif
        unsigned flush = flush_bits();
        struct team team = {0};
        threads_run(n, member, &team);
        unsigned flush_after = flush_bits();
        int rounding_after = fegetround();
        fesetenv(FE_DFL_ENV);
        assert_int_equal(rounding_after, FE_UPWARD);
        assert_int_equal(flush_after, flush);
        assert_int_equal(team.rounding_changed, 0);
        assert_int_equal(team.flushed, 0);
    }
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_formats),
        cmocka_unit_test(test_error_set_cuts_at_code_point),
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_memory_is_aligned),
        cmocka_unit_test(test_memory_refuses_overflow),
        cmocka_unit_test(test_memory_grows),
        cmocka_unit_test(test_memory_fails_on_demand),
        cmocka_unit_test(test_path_join),
        with_folder(test_file_read_limit),
        with_folder(test_file_errors_name_the_file),
        with_folder(test_file_map),
        with_folder(test_writer_commits_or_leaves_nothing),
        with_folder(test_writer_open_errors),
        with_folder(test_writer_on_a_full_disk),
        with_folder(test_writer_leaves_devices_alone),
        with_folder(test_abort_all),
        cmocka_unit_test(test_split_covers),
        cmocka_unit_test(test_threads_run),
        cmocka_unit_test(test_phases_are_done_in_order),
        cmocka_unit_test(test_threads_help),
        cmocka_unit_test(test_teams_end_with_the_last_release),
        cmocka_unit_test(test_a_forked_child_has_teams_of_its_own),
        cmocka_unit_test(test_cpu_quota),
        cmocka_unit_test(test_threads_of_many_callers),
        cmocka_unit_test(test_threads_keep_the_callers_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
