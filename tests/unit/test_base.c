/* base/: errors are cut at a code point, memory can be made to fail, files appear whole or not at all. */
#include "tests/support.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/status.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void test_error_quote_cuts_at_code_point(void **state)
{
    (void)state;
    char text[200], sixty[64];
    memset(text, 'a', sizeof text);
    memcpy(sixty, text, 60);
    sixty[60] = '\0';
    assert_string_equal(error_quote(text, 0).text, "");
    assert_string_equal(error_quote(text, 60).text, sixty);
    strcpy(sixty + 60, "...");
    assert_string_equal(error_quote(text, 61).text, sixty);
    memcpy(text + 59, "\xC3\xA9", 2);
    strcpy(sixty + 59, "...");
    assert_string_equal(error_quote(text, sizeof text).text, sixty);
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

/* A full disk, simulated by the limit on a file's size. */
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

/* A file that cannot be looked at is there: who opens it says why it cannot. */
static void test_what_exists(void **state)
{
    struct folder *f = *state;
    char *link = path_join(f->name, "link"), *loop = path_join(f->name, "loop"), far[5000];
    memset(far, 'a', sizeof far - 1);
    far[sizeof far - 1] = '\0';
    assert_int_equal(symlink("nothing", link), 0);
    assert_int_equal(symlink("loop", loop), 0);
    char *below = path_join("/dev/null", "x");
    const char *const absent[] = {f->path, below, far}, *const present[] = {f->name, loop};
    for (int i = 0; i < 3; i++) assert_false(file_exists(absent[i]) || file_name_exists(absent[i]));
    for (int i = 0; i < 2; i++) assert_true(file_exists(present[i]) && file_name_exists(present[i]));
    assert_true(!file_exists(link) && file_name_exists(link));
    mem_free(link);
    mem_free(loop);
    mem_free(below);
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

#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_formats),
        cmocka_unit_test(test_error_set_cuts_at_code_point),
        cmocka_unit_test(test_error_quote_cuts_at_code_point),
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_memory_is_aligned),
        cmocka_unit_test(test_memory_refuses_overflow),
        cmocka_unit_test(test_memory_grows),
        cmocka_unit_test(test_memory_fails_on_demand),
        cmocka_unit_test(test_path_join),
        with_folder(test_what_exists),
        with_folder(test_file_read_limit),
        with_folder(test_file_errors_name_the_file),
        with_folder(test_file_map),
        with_folder(test_writer_commits_or_leaves_nothing),
        with_folder(test_writer_open_errors),
        with_folder(test_writer_on_a_full_disk),
        with_folder(test_writer_leaves_devices_alone),
        with_folder(test_abort_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
