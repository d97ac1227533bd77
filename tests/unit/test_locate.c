/* Names to paths, in a Hugging Face cache made for the test. */
#include "tests/support.h"
#include "base/memory.h"
#include "model/locate.h"
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static char *root; /* a temporary directory */

static const char *below(const char *relative)
{
    static char paths[4][4200];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, relative);
    return path;
}

static void make_directory(const char *relative)
{
    char path[4200];
    snprintf(path, sizeof path, "%s", below(relative));
    for (char *p = path + strlen(root) + 1;; p++) {
        if (*p && *p != '/') continue;
        char c = *p;
        *p = '\0';
        mkdir(path, 0700);
        *p = c;
        if (!c) return;
    }
}

static void located(const char *name, const char *expected)
{
    char *path;
    gpt2q_error err;
    if (model_locate(name, &path, &err)) fail_msg("%s: %s", name ? name : "(default)", err.message);
    assert_string_equal(path, expected);
    mem_free(path);
}

static void not_located(const char *name, const char *because)
{
    char *path;
    gpt2q_error err;
    assert_int_equal(model_locate(name, &path, &err), GPT2Q_IO);
    assert_null(path);
    if (!strstr(err.message, because)) fail_msg("'%s' does not say '%s'", err.message, because);
}

static int set_up(void **state)
{
    (void)state;
    root = temp_directory();
    static const char *const variables[] = {"GPT2Q_MODEL", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    setenv("HOME", root, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_remove(root);
    return 0;
}

static void takes_paths_as_they_are(void **state)
{
    (void)state;
    make_directory("a model");
    located(below("a model"), below("a model"));
    write_file(below("file.gpt2q"), "x", 1);
    located(below("file.gpt2q"), below("file.gpt2q"));
    located("/", "/");
    not_located(below("nothing"), "nothing: there is no such file or directory");
    not_located("./nothing", "no such file or directory");
    not_located("../../nothing", "no such file or directory");
    not_located("a/b/c", "no such file or directory");
    not_located("a/", "no such file or directory");
}

static void reads_the_environment(void **state)
{
    (void)state;
    make_directory("mine");
    setenv("GPT2Q_MODEL", below("mine"), 1);
    located(NULL, below("mine"));
    located("", below("mine"));
    located("/", "/"); /* a name given wins */
    setenv("GPT2Q_MODEL", "no-such-model", 1);
    not_located(NULL, "no model \"no-such-model\"");
    unsetenv("GPT2Q_MODEL");
}

static void finds_snapshots(void **state)
{
    (void)state;
    make_directory(".cache/huggingface/hub/models--gpt2/snapshots/aaa");
    located("gpt2", below(".cache/huggingface/hub/models--gpt2/snapshots/aaa"));
    make_directory("xdg/huggingface/hub/models--openai-community--gpt2/snapshots/bbb");
    setenv("XDG_CACHE_HOME", below("xdg"), 1);
    located("gpt2", below("xdg/huggingface/hub/models--openai-community--gpt2/snapshots/bbb"));
    located("openai-community/gpt2",
            below("xdg/huggingface/hub/models--openai-community--gpt2/snapshots/bbb"));
    not_located("other/gpt2", "no model \"other/gpt2\"");
    make_directory("hf/hub/models--me--tiny/snapshots/ccc");
    setenv("HF_HOME", below("hf"), 1);
    located("me/tiny", below("hf/hub/models--me--tiny/snapshots/ccc"));
    not_located("gpt2", below("hf/hub")); /* the variable that is set decides, and the sentence says so */
    make_directory("cache/models--me--tiny/snapshots/ddd");
    setenv("HF_HUB_CACHE", below("cache"), 1);
    located("me/tiny", below("cache/models--me--tiny/snapshots/ddd"));
}

static void follows_the_reference(void **state)
{
    (void)state;
    setenv("HF_HUB_CACHE", below("refs"), 1);
    make_directory("refs/models--x/snapshots/old");
    make_directory("refs/models--x/snapshots/new");
    make_directory("refs/models--x/refs");
    struct utimbuf past = {.actime = 1000, .modtime = 1000};
    assert_int_equal(utime(below("refs/models--x/snapshots/old"), &past), 0);
    write_file(below("refs/models--x/snapshots/file"), "x", 1);
    located("x", below("refs/models--x/snapshots/new"));
    write_file(below("refs/models--x/refs/main"), "old\n", 4);
    located("x", below("refs/models--x/snapshots/old"));
    write_file(below("refs/models--x/refs/main"), "gone", 4);
    located("x", below("refs/models--x/snapshots/new"));
    write_file(below("refs/models--x/refs/main"), "../..", 5);
    located("x", below("refs/models--x/snapshots/new"));
    write_file(below("refs/models--x/refs/main"), "", 0);
    located("x", below("refs/models--x/snapshots/new"));
    make_directory("refs/models--empty/snapshots");
    not_located("empty", "no model \"empty\"");
}

static void looks_beside_the_program(void **state)
{
    (void)state;
    char program[4096], folder[4200];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) skip();
    program[n] = '\0';
    *strrchr(program, '/') = '\0';
    snprintf(folder, sizeof folder, "%s/models", program);
    mkdir(folder, 0700);
    strcat(folder, "/test-locate");
    mkdir(folder, 0700);
    located("test-locate", folder);
    rmdir(folder);
    not_located("test-locate", program);
    *strrchr(folder, '/') = '\0';
    rmdir(folder);
}

static void gives_back_all_memory_when_there_is_none(void **state)
{
    (void)state;
    make_directory("sweep/models--openai-community--g/snapshots/s");
    make_directory("sweep/models--openai-community--g/refs");
    write_file(below("sweep/models--openai-community--g/refs/main"), "s", 1);
    setenv("HF_HUB_CACHE", below("sweep"), 1);
    int failures = 0;
    for (;; failures++) {
        char *path;
        mem_fail_after(failures);
        gpt2q_status s = model_locate("g", &path, NULL);
        mem_fail_after(-1);
        assert_true((s == GPT2Q_OK) == (path != NULL));
        mem_free(path);
        if (!s) break;
        assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
    }
    assert_true(failures >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_paths_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_the_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_snapshots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_the_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_beside_the_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_back_all_memory_when_there_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
