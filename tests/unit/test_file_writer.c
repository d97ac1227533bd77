/* What a path stands for, and folders that appear whole. */
#include "tests/support.h"
#include "base/file.h"
#include "base/file_target.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/temporaries.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder; /* of the test that runs */

static int set_up(void **state)
{
    (void)state;
    folder = temp_directory();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_remove(folder);
    return 0;
}

static const char *in(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

static void expect_text(const char *path, const char *text)
{
    char *data;
    size_t n;
    gpt2q_error err;
    if (file_read(path, 1 << 20, &data, &n, &err)) fail_msg("%s", err.message);
    assert_string_equal(data, text);
    mem_free(data);
}

/* ---- targets ---- */

static bool same(const char *a, const char *b)
{
    struct file_target x, y;
    gpt2q_error err;
    if (file_target_find(a, &x, &err) || file_target_find(b, &y, &err)) fail_msg("%s", err.message);
    const bool result = file_target_same(&x, &y);
    assert_int_equal(result, file_target_same(&y, &x));
    file_target_free(&x);
    file_target_free(&y);
    return result;
}

static void one_file_by_many_names(void **state)
{
    (void)state;
    write_file(in("a"), "a", 1);
    write_file(in("b"), "a", 1);
    assert_int_equal(mkdir(in("sub"), 0777), 0);
    assert_int_equal(link(in("a"), in("hard")), 0);
    assert_int_equal(symlink("a", in("soft")), 0);
    assert_int_equal(symlink("../soft", in("sub/soft")), 0);
    assert_int_equal(symlink("sub", in("way")), 0);
    assert_int_equal(symlink("sub/new", in("to-new")), 0);
    static const char *const names[] = {"a",        "./a",      "hard",     "soft",
                                        "sub/soft", "way/soft", "way/../a", "sub/../sub/soft"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(same(in("a"), in(names[i])));
        assert_false(same(in("b"), in(names[i])));
        assert_false(same(in("c"), in(names[i])));
    }
    static const char *const new_names[] = {"sub/new", "way/new", "to-new", "sub/../way/./new"};
    for (size_t i = 0; i < sizeof new_names / sizeof *new_names; i++) {
        assert_true(same(in("sub/new"), in(new_names[i])));
        assert_false(same(in("new"), in(new_names[i])));
        assert_false(same(in("sub/other"), in(new_names[i])));
    }
    assert_false(same("/dev/null", "/dev/null")); /* it takes anything from anybody */
}

static void paths_that_lead_nowhere(void **state)
{
    (void)state;
    struct file_target t;
    gpt2q_error err;
    assert_int_equal(symlink("loop", in("loop")), 0);
    assert_int_equal(file_target_find(in("loop"), &t, &err), GPT2Q_IO);
    file_target_free(&t);
    assert_int_equal(file_target_find(in("none/a"), &t, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "none/a"));
    file_target_free(&t);
    assert_int_equal(file_target_find("", &t, &err), GPT2Q_IO);
    file_target_free(&t);
    assert_int_equal(file_target_find("-", &t, &err), GPT2Q_OK);
    assert_int_equal(t.kind, TARGET_DESCRIPTOR);
    assert_int_equal(t.descriptor, STDOUT_FILENO);
    file_target_free(&t);
}

/* ---- writers ---- */

static void modes_and_links(void **state)
{
    (void)state;
    struct stat st;
    gpt2q_error err;
    write_file(in("a"), "old", 3);
    assert_int_equal(chmod(in("a"), 0604), 0);
    assert_int_equal(symlink("a", in("link")), 0);
    assert_int_equal(symlink("sub-file", in("dangling")), 0);
    assert_int_equal(file_write_whole(in("link"), "new", 3, &err), GPT2Q_OK);
    expect_text(in("a"), "new");
    assert_int_equal(stat(in("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0604);
    assert_int_equal(lstat(in("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(file_write_whole(in("dangling"), "x", 1, &err), GPT2Q_OK);
    expect_text(in("sub-file"), "x");
    char name[256]; /* the longest that a file system takes */
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(file_write_whole(in(name), "y", 1, &err), GPT2Q_OK);
    expect_text(in(name), "y");
    assert_int_equal(entries(folder), 5);
}

static bool letters_are_known;

/* In place of the system's, so that a test knows the next temporary name. */
int getentropy(void *buffer, size_t n)
{
    static unsigned char turn;
    memset(buffer, letters_are_known ? 7 : ++turn, n);
    return 0;
}

/* Whoever guesses a temporary name and makes a link or a file there: it is not followed, and nothing is written. */
static void what_lies_at_a_temporary_name(void **state)
{
    (void)state;
    struct stat st;
    gpt2q_error err;
    char *name;
    write_file(in("a"), "old", 3);
    write_file(in("victim"), "precious", 8);
    letters_are_known = true;
    assert_int_equal(file_temporary_name(in("a"), &name, &err), GPT2Q_OK);
    assert_int_equal(symlink("victim", name), 0);
    assert_int_equal(file_write_whole(in("a"), "new", 3, &err), GPT2Q_IO);
    assert_int_equal(lstat(name, &st), 0); /* it is another's, and stays */
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(unlink(name), 0);
    assert_int_equal(symlink("nothing", name), 0);
    assert_int_equal(file_write_whole(in("a"), "new", 3, &err), GPT2Q_IO);
    assert_int_equal(access(in("nothing"), F_OK), -1);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(link(in("victim"), name), 0);
    assert_int_equal(file_write_whole(in("a"), "new", 3, &err), GPT2Q_IO);
    letters_are_known = false;
    expect_text(in("a"), "old");
    expect_text(in("victim"), "precious");
    assert_int_equal(file_write_whole(in("a"), "new", 3, &err), GPT2Q_OK);
    expect_text(in("a"), "new");
    mem_free(name);
}

static void more_writers_than_places(void **state)
{
    (void)state;
    static struct file_writer w[TEMPORARIES_MAX + 1];
    gpt2q_error err;
    char name[32];
    for (int i = 0; i < TEMPORARIES_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(file_writer_open(&w[i], in(name), &err), GPT2Q_OK);
    }
    assert_int_equal(file_writer_open(&w[TEMPORARIES_MAX], in("more"), &err), GPT2Q_IO);
    assert_int_equal(entries(folder), TEMPORARIES_MAX);
    file_writer_abort_all(); /* as a signal does */
    assert_int_equal(entries(folder), 0);
    for (int i = 0; i < TEMPORARIES_MAX; i++) file_writer_abort(&w[i]);
    assert_int_equal(file_write_whole(in("more"), "", 0, &err), GPT2Q_OK);
}

/* ---- folders ---- */

static bool belongs(const char *name) { return name[0] == 'm'; }

static gpt2q_status put(struct folder_writer *w, const char *name, const char *text, gpt2q_error *err)
{
    struct file_writer f;
    gpt2q_status s = folder_writer_file(w, name, &f, err);
    if (s) return s;
    s = file_writer_write(&f, text, strlen(text), err);
    if (!s) return file_writer_commit(&f, err);
    file_writer_abort(&f);
    return s;
}

static gpt2q_status write_folder(const char *path, gpt2q_error *err)
{
    struct folder_writer w;
    gpt2q_status s = folder_writer_open(&w, path, belongs, err);
    if (!s) s = put(&w, "m1", "new", err);
    if (!s) s = put(&w, "m2", "new too", err);
    if (!s) return folder_writer_commit(&w, err);
    folder_writer_abort(&w);
    return s;
}

static void make_old(const char *path)
{
    assert_int_equal(mkdir(path, 0750), 0);
    char file[600];
    static const char *const names[] = {"m1", "m3", "notes"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        write_file(file, "old", 3);
    }
}

/* Whenever memory runs out, the folder is the old or the new one, whole, and nothing is beside it. */
static void folders_are_old_or_new(void **state)
{
    (void)state;
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    make_old(in("d"));
    for (int64_t n = 0; s; n++) {
        gpt2q_error err = {.message = ""};
        assert_true(n < 200);
        mem_fail_after(n);
        s = write_folder(in("d"), &err);
        mem_fail_after(-1);
        if (s && s != GPT2Q_OUT_OF_MEMORY) fail_msg("after %d allocations: %s", (int)n, err.message);
        assert_int_equal(entries(folder), 1);
        expect_text(in("d/m1"), s ? "old" : "new");
        expect_text(in("d/notes"), "old");
        assert_int_equal(access(in("d/m3"), F_OK) == 0, s != GPT2Q_OK);
        assert_int_equal(access(in("d/m2"), F_OK) == 0, s == GPT2Q_OK);
    }
    struct stat st;
    assert_int_equal(stat(in("d"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
}

static void folders_that_are_not_replaced(void **state)
{
    (void)state;
    gpt2q_error err;
    make_old(in("d"));
    assert_int_equal(mkdir(in("d/sub"), 0777), 0);
    assert_int_equal(write_folder(in("d"), &err), GPT2Q_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "holds the folder 'sub'"));
    expect_text(in("d/m1"), "old");
    write_file(in("file"), "x", 1);
    assert_int_equal(write_folder(in("file"), &err), GPT2Q_IO);
    assert_int_equal(write_folder(in("none/d"), &err), GPT2Q_IO);
    assert_int_equal(write_folder(".", &err), GPT2Q_INVALID_ARGUMENT);
    assert_int_equal(entries(folder), 2);
    assert_int_equal(rmdir(in("d/sub")), 0);
    assert_int_equal(symlink("d", in("link")), 0);
    assert_int_equal(write_folder(in("link"), &err), GPT2Q_OK);
    expect_text(in("d/m1"), "new");
    assert_int_equal(entries(folder), 3);
}

static void a_signal_in_a_folder(void **state)
{
    (void)state;
    struct folder_writer w;
    struct file_writer open;
    gpt2q_error err;
    assert_int_equal(folder_writer_open(&w, in("d"), belongs, &err), GPT2Q_OK);
    assert_int_equal(put(&w, "m1", "new", &err), GPT2Q_OK);
    assert_int_equal(folder_writer_file(&w, "m2", &open, &err), GPT2Q_OK);
    file_writer_abort_all();
    assert_int_equal(entries(folder), 0);
    file_writer_abort(&open);
    folder_writer_abort(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_file_by_many_names),        TEST(paths_that_lead_nowhere),  TEST(modes_and_links),
        TEST(what_lies_at_a_temporary_name), TEST(more_writers_than_places), TEST(folders_are_old_or_new),
        TEST(folders_that_are_not_replaced), TEST(a_signal_in_a_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
