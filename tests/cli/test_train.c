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
                                   "-q i4:g16:affine --tensor wte.weight=i8:input", "-q f32 --loss ce",
                                   "-q i4:g8:minmax --recalibrate 7"};

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
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
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

/* ---- what comes of a run ---- */

static const char *words(const char *format, const char *more)
{
    static char text[4096];
    const int n = snprintf(text, sizeof text, RUN, directory, directory, directory);
    snprintf(text + n, sizeof text - (size_t)n, format, more);
    return text;
}

static void losses_fall_and_are_told(void **state)
{
    char options[1024];
    gpt2q_error err;
    char *text;
    size_t n;
    (void)state;
    snprintf(options, sizeof options,
             "-q i4:g8 --lr 3e-3 --eval-text %s --eval-every 10 --eval-tokens 128 --csv %s --html %s "
             "--export %s -o %s "
             "--json",
             in("b.txt"), in("curve.csv"), in("page.html"), in("latent"), in("out.gpt2q"));
    cJSON *doc = expect_json(words("%s", options));
    const cJSON *losses = item(doc, "losses"), *evaluations = item(doc, "evaluations");
    assert_int_equal(cJSON_GetArraySize(losses), 20);
    assert_int_equal(cJSON_GetArraySize(evaluations), 3);
    assert_true(number(cJSON_GetArrayItem(evaluations, 2), "kl") <
                number(cJSON_GetArrayItem(evaluations, 0), "kl"));
    assert_int_equal(number(doc, "steps_done"), 20);
    assert_string_equal(item(doc, "scales")->valuestring, "recalibrated");
    assert_int_equal(file_read(in("curve.csv"), 1 << 20, &text, &n, &err), GPT2Q_OK);
    int lines = 0;
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    assert_int_equal(lines, 22); /* head, 20 steps, the evaluation after the last */
    mem_free(text);
    assert_int_equal(file_read(in("page.html"), 1 << 20, &text, &n, &err), GPT2Q_OK);
    assert_true(strstr(text, "<svg") && strstr(text, "</html>"));
    mem_free(text);
    cJSON_Delete(doc);
    struct cli c = cli_run("inspect %s --check --json", in("out.gpt2q"));
    assert_int_equal(c.code, 0);
    if (!strstr(c.out, "train loss=kl steps=20 of 20")) fail_msg("%s", c.out);
    cli_free(&c);
}

/* What --export wrote, rounded by quantize, is what -o wrote. */
static void exported_weights_are_those_behind_the_codes(void **state)
{
    char a[1024], b[1024];
    (void)state;
    snprintf(a, sizeof a, "-q i4:g8 --export %s -o %s", in("latent"), in("out.gpt2q"));
    struct cli c = cli_run("%s", words("%s", a));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    c = cli_run("quantize -q i4:g8 %s -o %s --quiet", in("latent"), in("again.gpt2q"));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    snprintf(b, sizeof b, "generate -n 20 --ids '1 2 3' --quiet -m %s", in("out.gpt2q"));
    struct cli x = cli_run("%s", b),
               y = cli_run("generate -n 20 --ids '1 2 3' --quiet -m %s", in("again.gpt2q"));
    assert_int_equal(x.code, 0);
    assert_string_equal(x.out, y.out);
    cli_free(&x);
    cli_free(&y);
}

/* Every format with every grid: the same bytes on another machine, a file that is whole, and a divergence that falls. */
static void every_grid_is_trained(void **state)
{
    static const char *const grids[] = {
        "i4:tensor",     "i4:channel:affine --learn-scales",
        "i3:g32",        "i3:g32:affine --learn-scales",
        "i2:g16:signed", "i2:g16:minmax --learn-scales",
        "i2:g16:affine", "i2:input:affine",
        "nf4:g32",       "mxfp4",
        "nvfp4",         "fp8:e4m3 --lr 1e-4",
        "fp8:e5m2",      "i8:channel:minmax --learn-scales --lr 1e-4",
    };
    char options[1024], first[SHA256_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        const bool fine = strstr(grids[i], "--lr") != NULL; /* so near that noise decides whether it falls */
        snprintf(options, sizeof options,
                 "-q %s%s --eval-text %s --eval-every 20 --eval-tokens 256 --json -o %s", grids[i],
                 fine ? "" : " --lr 2e-3", in("a.txt"), in("out.gpt2q"));
        cJSON *doc = expect_json(words("-j 3 %s", options));
        const cJSON *e = item(doc, "evaluations");
        const double before = number(cJSON_GetArrayItem(e, 0), "kl"),
                     after = number(cJSON_GetArrayItem(e, 1), "kl");
        if (!fine && !(after < before)) fail_msg("%s: from %g to %g", grids[i], before, after);
        cJSON_Delete(doc);
        sum_of_file(in("out.gpt2q"), first);
        cJSON_Delete(expect_json(words("-j 1 --isa scalar %s", options)));
        expect_sum(first, "out.gpt2q", grids[i]);
        struct cli c = cli_run("inspect %s --check", in("out.gpt2q"));
        if (c.code) fail_msg("%s: %s", grids[i], c.error);
        cli_free(&c);
    }
}

static void expect_same_answer(const char *a, const char *b)
{
    struct cli x = cli_run("generate -n 20 --ids '1 2 3' --logprobs 2 --json --quiet -m %s", a),
               y = cli_run("generate -n 20 --ids '1 2 3' --logprobs 2 --json --quiet -m %s", b);
    assert_int_equal(x.code, 0);
    assert_int_equal(y.code, 0);
    cJSON *p = cJSON_Parse(x.out), *q = cJSON_Parse(y.out);
    if (!cJSON_Compare(item(p, "logprobs"), item(q, "logprobs"), true)) fail_msg("%s, %s: differ", a, b);
    cJSON_Delete(p);
    cJSON_Delete(q);
    cli_free(&x);
    cli_free(&y);
}

/* With every N scales follow from the weights at steps 0, N, 2N, ..., as quantize has them. Between, they stay. */
static void scales_are_recalibrated_every_n_steps(void **state)
{
    static const char *const schemes[] = {"i4:g8", "i3:g32:signed", "i4:g16:affine", "i4:g8:minmax",
                                          "i8:channel:absmax"};
    char options[1024], every[SHA256_TEXT];
    (void)state;
    run("-q i4:g8", "", in("every.gpt2q"));
    sum_of_file(in("every.gpt2q"), every);
    run("-q i4:g8", "--recalibrate", in("out.gpt2q"));
    expect_sum(every, "out.gpt2q", "--recalibrate alone");
    run("-q i4:g8", "--recalibrate=1", in("out.gpt2q"));
    expect_sum(every, "out.gpt2q", "--recalibrate=1");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        snprintf(options, sizeof options, "--recalibrate 10 --lr 3e-3 --export %s", in("latent"));
        char q[64];
        snprintf(q, sizeof q, "-q %s", schemes[i]);
        run(q, options, in("out.gpt2q"));
        struct cli c = cli_run("quantize %s -m %s -o %s --quiet --force", q, in("latent"), in("again.gpt2q"));
        if (c.code) fail_msg("%s", c.error);
        cli_free(&c);
        expect_same_answer(in("out.gpt2q"), in("again.gpt2q"));
    }
    snprintf(options, sizeof options, "-q i4:g8 --lr 3e-3 --recalibrate 7 --json -o %s", in("out.gpt2q"));
    cJSON *seven = expect_json(words("%s", options));
    snprintf(options, sizeof options, "-q i4:g8 --lr 3e-3 --json -o %s", in("every.gpt2q"));
    cJSON *one = expect_json(words("%s", options));
    const cJSON *a = item(seven, "losses"), *b = item(one, "losses");
    assert_true(cJSON_GetArrayItem(a, 0)->valuedouble == cJSON_GetArrayItem(b, 0)->valuedouble);
    assert_true(cJSON_GetArrayItem(a, 5)->valuedouble != cJSON_GetArrayItem(b, 5)->valuedouble);
    assert_int_equal(number(seven, "recalibrate"), 7);
    assert_int_equal(number(one, "recalibrate"), 1);
    cJSON_Delete(seven);
    cJSON_Delete(one);
    struct cli c = cli_run("inspect %s", in("out.gpt2q"));
    if (!strstr(c.out, "scales=recalibrated every 7 steps")) fail_msg("%s", c.out);
    cli_free(&c);
}

/* The latent weights begin at the centres of the file's bins. Its zero points stay. */
static void a_file_begins_at_its_own_codes(void **state)
{
    static const char *const schemes[] = {"i4:g8:affine", "i4:g8:minmax", "i3:g32:signed"};
    char options[1024];
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct cli c =
            cli_run("quantize -q %s --method gptq --calibrate %s --calibrate-tokens 512 -m %s -o %s "
                    "--quiet --force",
                    schemes[i], in("a.txt"), directory, in("start.gpt2q"));
        if (schemes[i][6] != 'm' && c.code) fail_msg("%s", c.error);
        cli_free(&c);
        if (schemes[i][6] == 'm') {
            c = cli_run("quantize -q %s -m %s -o %s --quiet --force", schemes[i], directory,
                        in("start.gpt2q"));
            if (c.code) fail_msg("%s", c.error);
            cli_free(&c);
        }
        snprintf(options, sizeof options, "--from %s --lr 1e-12 --scale-lr 1e-12 -o %s", in("start.gpt2q"),
                 in("out.gpt2q"));
        c = cli_run("%s", words("%s", options));
        if (c.code) fail_msg("%s", c.error);
        cli_free(&c);
        expect_same_answer(in("start.gpt2q"), in("out.gpt2q"));
    }
}

static void a_file_is_trained_on(void **state)
{
    char options[1024];
    (void)state;
    struct cli c = cli_run("quantize -q i4:g8:affine -m %s -o %s --quiet", directory, in("start.gpt2q"));
    assert_int_equal(c.code, 0);
    cli_free(&c);
    snprintf(options, sizeof options, "--from %s -o %s --json", in("start.gpt2q"), in("out.gpt2q"));
    cJSON *doc = expect_json(words("%s", options));
    assert_string_equal(item(doc, "scheme")->valuestring, "i4:g8:affine");
    assert_string_equal(item(doc, "scales")->valuestring, "learned");
    cJSON_Delete(doc);
    snprintf(options, sizeof options, "--from %s -q i8 -o %s", in("start.gpt2q"), in("out.gpt2q"));
    expect_failure(1, "is held as i4:g8:affine and cannot be made i8", words("%s", options));
}

/* ---- what is refused, and what is not lost ---- */

static void refuse(int code, const char *error, const char *format, const char *more)
{
    char options[2048];
    snprintf(options, sizeof options, format, more);
    expect_failure(code, error, words("%s", options));
}

static void bad_input_gets_a_sentence(void **state)
{
    char arguments[2048];
    (void)state;
    refuse(2, "--output FILE or --export DIR is needed", "-q i4:g8%s", "");
    refuse(2, "x.gguf' where a .gpt2q file is expected: 'gpt2q quantize", "-q i4:g8 -o %s", in("x.gguf"));
    refuse(2, "--quantize SPEC is needed", "-o %s", in("x.gpt2q"));
    refuse(2, "gptq lets the model read a text", "-q i4:g8 --from gptq -o %s", in("x.gpt2q"));
    refuse(2, "exclude each other", "-q i4:g8 --learn-scales --recalibrate -o %s", in("x.gpt2q"));
    refuse(2, "--recalibrate is '0'", "-q i4:g8 --recalibrate 0 -o %s", in("x.gpt2q"));
    refuse(1, "scales are kept between steps for integer codes by group or channel, not for nf4:g32",
           "-q nf4:g32 --recalibrate 2 -o %s", in("x.gpt2q"));
    refuse(2, "--loss is 'mse'", "-q i4:g8 --loss mse -o %s", in("x.gpt2q"));
    refuse(2, "--resume needs --checkpoint", "-q i4:g8 --resume -o %s", in("x.gpt2q"));
    refuse(2, "the model has 64 positions", "-q i4:g8 --batch-tokens 512 --window 128 -o %s", in("x.gpt2q"));
    refuse(2, "is not a multiple of", "-q i4:g8 --batch-tokens 100 -o %s", in("x.gpt2q"));
    refuse(1, "scales are learned for integer codes", "-q i4:tensor --learn-scales -o %s", in("x.gpt2q"));
    refuse(1, "notes", "-q notes -o %s", in("x.gpt2q"));
    refuse(1, "does not fit its", "-q i4:g24 -o %s", in("x.gpt2q"));
    refuse(2, "a.txt", "-q i4:g8 -o %s", in("a.txt"));
    refuse(2, "b.txt", "-q i4:g8 -o x --csv %s", in("b.txt"));
    refuse(2, "model", "-q i4:g8 -o %s", in("model.safetensors"));
    refuse(2, "is the folder of the model", "-q i4:g8 -o %s", directory);
    snprintf(arguments, sizeof arguments,
             "train -m %s -q i4:g8 --text %s -o %s --batch-tokens 128 --window 32", directory,
             in("short.txt"), in("x.gpt2q"));
    expect_failure(1, "short.txt: its 2 windows of 32 tokens are too few for a step, which takes 4",
                   arguments);
    snprintf(arguments, sizeof arguments,
             "train -m %s -q i4:g8 --text %s -o %s --batch-tokens 128 --window 32", directory, directory,
             in("x.gpt2q"));
    expect_failure(1, "is a directory where a", arguments);
    assert_false(file_exists(in("x.gpt2q")));
}

/* Sets the last weight of the model. */
static void set_weight(float value)
{
    gpt2q_error err;
    char *data;
    size_t n;
    if (file_read(TINY "/model.safetensors", (size_t)1 << 30, &data, &n, &err)) fail_msg("%s", err.message);
    memcpy(data + n - sizeof value, &value, sizeof value);
    write_file(in("model.safetensors"), data, n);
    mem_free(data);
}

static void nan_is_refused_before_the_first_step(void **state)
{
    (void)state;
    set_weight(NAN);
    refuse(1, "wte.weight holds NaN", "-q i4:g8 -o %s", in("x.gpt2q"));
    refuse(1, "wte.weight holds NaN", "-q f32 --loss ce -o %s", in("x.gpt2q"));
    assert_false(file_exists(in("x.gpt2q")));
    copy(TINY "/model.safetensors", "model.safetensors");
}

static void divergence_keeps_the_last_good_weights(void **state)
{
    char options[1024];
    (void)state;
    snprintf(options, sizeof options, "-q i4:g8 --lr 10 --warmup 0 -o %s", in("diverged.gpt2q"));
    expect_failure(1, "training diverged; what is written are the weights of step", words("%s", options));
    struct cli c = cli_run("inspect %s --check", in("diverged.gpt2q"));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
}

static void a_full_disk_loses_nothing(void **state)
{
    char options[1024];
    (void)state;
    if (!file_exists("/dev/full")) skip();
    unlink(in("run.state"));
    snprintf(options, sizeof options, "-q i8 -o /dev/full --checkpoint %s", in("run.state"));
    expect_failure(1, "--resume", words("%s", options));
    snprintf(options, sizeof options, "--checkpoint %s --resume", in("run.state"));
    run("-q i8", options, in("late.gpt2q"));
    char first[SHA256_TEXT];
    run("-q i8", "", in("out.gpt2q"));
    sum_of_file(in("out.gpt2q"), first);
    expect_sum(first, "late.gpt2q", "after a full disk");
    snprintf(options, sizeof options, "-q i8 -o %s --checkpoint /dev/full --checkpoint-every 5",
             in("kept.gpt2q"));
    expect_failure(1, "training goes on", words("%s", options));
    expect_sum(first, "kept.gpt2q", "without checkpoints");
}

/* A run of --from `from`, then --resume with what `change` has made of its file. */
static void expect_refused_after(const char *from, void (*change)(void), const char *error)
{
    char options[2048];
    unlink(in("run.state"));
    snprintf(options, sizeof options, "%s -o %s --checkpoint %s", from, in("out.gpt2q"), in("run.state"));
    struct cli c = cli_run("%s", words("%s", options));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    if (change) change();
    snprintf(options, sizeof options, "%s -o %s --checkpoint %s --resume", from, in("x.gpt2q"),
             in("run.state"));
    expect_failure(1, error, words("%s", options));
    assert_false(file_exists(in("x.gpt2q")));
}

static void make_start(const char *spec)
{
    struct cli c = cli_run("quantize -q %s -m %s -o %s --quiet --force", spec, directory, in("start.gpt2q"));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
}

static void other_start(void)
{
    struct cli c =
        cli_run("quantize -q i4:g8:affine --method mse -m %s -o %s --quiet", directory, in("start.gpt2q"));
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
}

static void other_calibration(void) { copy(in("b.txt"), "c.txt"); }

static void other_model(void) { set_weight(0.25f); }

static void files_of_a_run_count_by_their_content(void **state)
{
    char from[1024];
    (void)state;
    make_start("i4:g8:affine");
    snprintf(from, sizeof from, "--from %s", in("start.gpt2q"));
    expect_refused_after(from, other_start, "belongs to a run with --from a file with SHA-256");
    copy(in("a.txt"), "c.txt");
    snprintf(from, sizeof from, "-q i4:g8 --from gptq --calibrate %s --calibrate-tokens 512", in("c.txt"));
    expect_refused_after(from, other_calibration, "belongs to a run with --calibrate 1 with SHA-256");
    expect_refused_after("-q i8 --loss ce", other_model, "belongs to a run with model with SHA-256");
    copy(TINY "/model.safetensors", "model.safetensors");
}

static void another_runs_checkpoint_is_refused(void **state)
{
    char options[1024];
    gpt2q_error err;
    char *data;
    size_t n;
    (void)state;
    unlink(in("run.state"));
    snprintf(options, sizeof options, "--checkpoint %s", in("run.state"));
    run("-q i8", options, in("out.gpt2q"));
    snprintf(options, sizeof options, "-q i8 --lr 0.5 -o %s --checkpoint %s --resume", in("x.gpt2q"),
             in("run.state"));
    expect_failure(1, "belongs to a run with --lr 0.0002, not 0.5", words("%s", options));
    snprintf(options, sizeof options, "-q i8 --recalibrate 2 -o %s --checkpoint %s --resume", in("x.gpt2q"),
             in("run.state"));
    expect_failure(1, "belongs to a run with scales recalibrated, not recalibrated every 2 steps",
                   words("%s", options));
    snprintf(options, sizeof options, "-q i8 --steps 21 -o %s --checkpoint %s --resume", in("x.gpt2q"),
             in("run.state"));
    expect_failure(1, "belongs to a run with --steps 20, not 21", words("%s", options));
    unlink(in("run.state"));
    snprintf(options, sizeof options, "--tensor wte.weight=i4:g8 --checkpoint %s", in("run.state"));
    run("-q i8", options, in("out.gpt2q"));
    snprintf(options, sizeof options, "-q i8 -o %s --checkpoint %s --resume", in("x.gpt2q"), in("run.state"));
    expect_failure(1, "belongs to a run with --tensor 1 wte.weight=i4:g8, which is missing here",
                   words("%s", options));
    unlink(in("run.state"));
    snprintf(options, sizeof options, "--checkpoint %s", in("run.state"));
    run("-q i8", options, in("out.gpt2q"));
    assert_int_equal(file_read(in("run.state"), (size_t)1 << 28, &data, &n, &err), GPT2Q_OK);
    data[n - 5000] ^= 1;
    write_file(in("damaged.state"), data, n);
    write_file(in("half.state"), data, n / 2);
    mem_free(data);
    snprintf(options, sizeof options, "-q i8 -o %s --checkpoint %s --resume", in("x.gpt2q"),
             in("damaged.state"));
    expect_failure(1, "the file is damaged", words("%s", options));
    snprintf(options, sizeof options, "-q i8 -o %s --checkpoint %s --resume", in("x.gpt2q"),
             in("half.state"));
    expect_failure(1, "half.state", words("%s", options));
    assert_false(file_exists(in("x.gpt2q")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_fall_and_are_told),
        cmocka_unit_test(exported_weights_are_those_behind_the_codes),
        cmocka_unit_test(every_grid_is_trained),
        cmocka_unit_test(scales_are_recalibrated_every_n_steps),
        cmocka_unit_test(a_file_begins_at_its_own_codes),
        cmocka_unit_test(a_file_is_trained_on),
        cmocka_unit_test(bad_input_gets_a_sentence),
        cmocka_unit_test(nan_is_refused_before_the_first_step),
        cmocka_unit_test(divergence_keeps_the_last_good_weights),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(another_runs_checkpoint_is_refused),
        cmocka_unit_test(files_of_a_run_count_by_their_content),
        cmocka_unit_test(files_are_the_same_to_the_byte),
        cmocka_unit_test(a_killed_run_goes_on_to_the_same_bytes),
        cmocka_unit_test(an_interrupted_run_writes_what_there_is),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
