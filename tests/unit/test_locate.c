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
    static const char *const variables[] = {"GPT2Q_MODEL", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                            "XDG_CACHE_HOME"};
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
    not_located(below("no-such-model"), "no-such-model: there is no such file or directory");
    not_located("./no-such-model", "no such file or directory");
    not_located("../../no-such-model", "no such file or directory");
    not_located("a/b/c", "no such file or directory");
    not_located("a/", "no such file or directory");
    not_located("no-such-model.gguf", "no such file or directory"); /* no name of a repository */
    not_located("no-such-model.gpt2q", "no such file or directory");
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

static void expands_variables(void **state)
{
    (void)state;
    make_directory("a b/models--x/snapshots/s");
    make_directory("a b/hub/models--x/snapshots/s");
    setenv("TEST_LOCATE", "a b", 1);
    static const struct {
        const char *variable, *value, *found;
    } cases[] = {{"HF_HUB_CACHE", "~/a b", "a b/models--x/snapshots/s"},
                 {"HUGGINGFACE_HUB_CACHE", "$HOME/$TEST_LOCATE", "a b/models--x/snapshots/s"},
                 {"HF_HUB_CACHE", "${HOME}/${TEST_LOCATE}/", "a b/models--x/snapshots/s"},
                 {"HF_HOME", "~/$TEST_LOCATE", "a b/hub/models--x/snapshots/s"},
                 {"HF_HOME", "$HOME/a b", "a b/hub/models--x/snapshots/s"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path;
        setenv(cases[i].variable, cases[i].value, 1);
        assert_int_equal(model_locate("x", &path, NULL), GPT2Q_OK);
        char resolved[4200], expected[4200];
        assert_non_null(realpath(path, resolved));
        assert_non_null(realpath(below(cases[i].found), expected));
        assert_string_equal(resolved, expected);
        mem_free(path);
        unsetenv(cases[i].variable);
    }
    setenv("HF_HUB_CACHE", "/$NO_SUCH_VARIABLE/${x/$", 1); /* stays */
    not_located("x", "cache /$NO_SUCH_VARIABLE/${x/$");
    setenv("HF_HUB_CACHE", "~nobody/x", 1);
    not_located("x", "cache ~nobody/x");
    setenv("HF_HUB_CACHE", below("a b"), 1); /* the newer name wins */
    setenv("HUGGINGFACE_HUB_CACHE", "/nowhere", 1);
    located("x", below("a b/models--x/snapshots/s"));
}

/* OpenAI's models lie under the name by which they were asked for, bare or with openai-community. */
static void knows_both_names_of_openai(void **state)
{
    (void)state;
    setenv("HF_HUB_CACHE", below("both"), 1);
    make_directory("both/models--gpt2/snapshots/s");
    located("openai-community/gpt2", below("both/models--gpt2/snapshots/s"));
    not_located("someone/gpt2", "no model");
    make_directory("both/models--openai-community--gpt2/snapshots/t");
    located("openai-community/gpt2", below("both/models--openai-community--gpt2/snapshots/t"));
    located("gpt2", below("both/models--gpt2/snapshots/s"));
}

/* An empty folder here hides no cached model. Without a cached model it is what the user meant. */
static void empty_folders_give_way(void **state)
{
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(root), 0);
    setenv("HF_HUB_CACHE", below("way"), 1);
    make_directory("tiny");
    located("tiny", "tiny");
    make_directory("way/models--tiny/snapshots/s");
    located("tiny", below("way/models--tiny/snapshots/s"));
    write_file(below("tiny/config.json"), "{}", 2);
    located("tiny", "tiny");
    assert_int_equal(chdir(here), 0);
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
    make_directory("refs/models--x/snapshots/new/deep");
    write_file(below("refs/models--x/snapshots/new/deep/f.gguf"), "x", 1);
    located("x:deep/f.gguf", below("refs/models--x/snapshots/new/deep/f.gguf"));
    not_located("x:deep/g.gguf", "no model \"x:deep/g.gguf\"");
    not_located("x:", "no such file or directory");
    not_located("x:../old", "no such file or directory");
    not_located(":f", "no such file or directory");
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
    not_located("test-locate", program); /* what a broken download leaves */
    not_located("test-locate/..", "no such file or directory");
    not_located("test-locate..", "no such file or directory");
    char config[4300];
    snprintf(config, sizeof config, "%s/config.json", folder);
    write_file(config, "{}", 2);
    located("test-locate", folder);
    unlink(config);
    make_directory("hub/models--test-locate/snapshots/aaa");
    setenv("HF_HUB_CACHE", below("hub"), 1);
    located("test-locate", below("hub/models--test-locate/snapshots/aaa"));
    unsetenv("HF_HUB_CACHE");
    rmdir(folder);
    not_located("test-locate", "no model \"test-locate\" ('gpt2q pull test-locate' gets it)");
    not_located("test locate", "no model \"test locate\": it is no path here"); /* no name that pull takes */
    not_located("-", "no model \"-\": it is no path here");
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
        cmocka_unit_test_setup_teardown(expands_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_both_names_of_openai, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_folders_give_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_the_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_beside_the_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gives_back_all_memory_when_there_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
