/* gpt2q train as users meet it: the same bytes for any threads and instruction set and after a kill, what comes of a run, and what
 * is refused. */
#include "tests/cli.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "qtensor/isa.h"
#include "tests/tiny_vocabulary.h"
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY "tests/golden/data/tiny-gelu"

static char *directory;

static const char *in(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next = (next + 1) % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void copy(const char *from, const char *name)
{
    gpt2q_error err;
    char *data;
    size_t n;
    if (file_read(from, (size_t)1 << 30, &data, &n, &err)) fail_msg("%s", err.message);
    write_file(in(name), data, n);
    mem_free(data);
}

/* tiny-gelu with a vocabulary of bytes, and texts. */
static int make_model(void **state)
{
    char vocab[8192], text[9000];
    (void)state;
    directory = temp_directory();
    copy(TINY "/config.json", "config.json");
    copy(TINY "/model.safetensors", "model.safetensors");
    size_t n = tiny_vocab_open(vocab);
    n += (size_t)sprintf(vocab + n, ",\"<|endoftext|>\":256}");
    write_file(in("vocab.json"), vocab, n);
    write_file(in("merges.txt"), "#version: 0.2\n", 14);
    struct rng r = {11};
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 61 == 60 ? '\n' : (char)('a' + rng_below(&r, 26));
    write_file(in("a.txt"), text, 6000);
    write_file(in("b.txt"), text + 3000, 6000);
    write_file(in("short.txt"), text, 70);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

static void sum_of_file(const char *path, char text[SHA256_TEXT])
{
    gpt2q_error err;
    char *data;
    size_t n;
    struct sha256 sum;
    if (file_read(path, (size_t)1 << 30, &data, &n, &err)) fail_msg("%s", err.message);
    sha256_begin(&sum);
    sha256_add(&sum, data, n);
    sha256_print(&sum, text);
    mem_free(data);
}

/* 20 steps of two texts; %s: more options. */
#define RUN                                                                                                  \
    "train -m %s --text %s/a.txt --text %s/b.txt --steps 20 --batch-tokens 128 --window 32 --warmup 4 "      \
    "--quiet "

static void expect_sum(const char *want, const char *name, const char *what)
{
    char sum[SHA256_TEXT];
    sum_of_file(in(name), sum);
    if (strcmp(want, sum)) fail_msg("%s: other bytes", what);
}

static const char *const runs[] = {"-q i4:g8:signed --from gptq --calibrate-tokens 512",
                                   "-q i8 --learn-scales --loss ce --weight-decay 0.01",
                                   "-q i4:g16:affine --tensor wte.weight=i8:input", "-q f32 --loss ce"};

static void run(const char *options, const char *more, const char *out)
{
    const bool reads = strstr(options, "--from") != NULL;
    struct cli c =
        cli_run(RUN "%s %s%s%s %s -o %s", directory, directory, directory, options,
                reads ? "--calibrate " : "", reads ? directory : "", reads ? "/a.txt" : "", more, out);
    if (c.code) fail_msg("%s %s: %s", options, more, c.error);
    cli_free(&c);
}

static void files_are_the_same_to_the_byte(void **state)
{
    static const char *const machines[] = {"-j 1 --isa scalar", "-j 2 --isa avx2", "-j 3 --isa avx512vnni",
                                           "-j 3"};
    (void)state;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        char first[SHA256_TEXT] = "";
        for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
            const struct isa *isa;
            const char *name = strstr(machines[i], "--isa ");
            if (name && isa_choose(name + 6, &isa, NULL)) continue; /* not on this CPU */
            run(runs[r], machines[i], in("out.gpt2q"));
            if (!*first) sum_of_file(in("out.gpt2q"), first);
            expect_sum(first, "out.gpt2q", machines[i]);
        }
    }
}

/* ---- kills ---- */

/* Runs it until the checkpoint has changed, then sends the signal; returns the exit code as a shell has it. */
static int run_until_checkpoint(const char *options, int number)
{
    char command[4096];
    const char *program = getenv("GPT2Q");
    struct stat st;
    int status;
    snprintf(command, sizeof command,
             "exec %s " RUN "%s -o %s --checkpoint %s --checkpoint-every 1 --resume 2>/dev/null",
             program && *program ? program : "./gpt2q", directory, directory, directory, options,
             in("killed.gpt2q"), in("run.state"));
    const time_t before = stat(in("run.state"), &st) ? 0 : 1;
    const ino_t inode = before ? st.st_ino : 0;
    const pid_t child = fork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 4000 && !waitpid(child, &status, WNOHANG); i++) {
        if (!stat(in("run.state"), &st) && st.st_ino != inode) {
            kill(child, number);
            waitpid(child, &status, 0);
            break;
        }
        usleep(500);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_killed_run_goes_on_to_the_same_bytes(void **state)
{
    char first[SHA256_TEXT], resume[1200];
    int kills = 0;
    (void)state;
    for (size_t r = 1; r < sizeof runs / sizeof *runs; r++) {
        run(runs[r], "", in("out.gpt2q"));
        sum_of_file(in("out.gpt2q"), first);
        unlink(in("run.state"));
        unlink(in("killed.gpt2q"));
        for (int i = 0; i < 3; i++) kills += run_until_checkpoint(runs[r], SIGKILL) == 128 + SIGKILL;
        snprintf(resume, sizeof resume, "--checkpoint %s --checkpoint-every 1 --resume", in("run.state"));
        run(runs[r], resume, in("killed.gpt2q"));
        expect_sum(first, "killed.gpt2q", runs[r]);
    }
    assert_true(kills > 0);
}

static void an_interrupted_run_writes_what_there_is(void **state)
{
    char first[SHA256_TEXT], resume[1200];
    (void)state;
    run(runs[1], "", in("out.gpt2q"));
    sum_of_file(in("out.gpt2q"), first);
    unlink(in("run.state"));
    unlink(in("killed.gpt2q"));
    const int code = run_until_checkpoint(runs[1], SIGINT);
    assert_true(code == 130 || code == 0); /* 0: it was done before */
    struct cli c = cli_run("inspect %s --check", in("killed.gpt2q"));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    snprintf(resume, sizeof resume, "--checkpoint %s --resume", in("run.state"));
    run(runs[1], resume, in("killed.gpt2q"));
    expect_sum(first, "killed.gpt2q", "after an interrupt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_the_same_to_the_byte),
        cmocka_unit_test(a_killed_run_goes_on_to_the_same_bytes),
        cmocka_unit_test(an_interrupted_run_writes_what_there_is),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
