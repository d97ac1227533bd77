/* What surrounds the program goes wrong: standard streams that are closed or full, no descriptors, no room,
 * signals at any moment, two writers of one file, a mapped file that is cut, an output that is an input.
 * $GPT2Q_TORTURE=all: signals at more moments. */
#include "tests/torture/scene.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct fault none = {FAULT_ALLOCATION, -1, 0};
static long runs;

static bool is_bench(const struct command_line *c) { return (c->flags & MACHINE) != 0; }

/* ---- streams and limits ---- */

static void run_in(const struct reference *r, struct streams s, const char *what)
{
    prepare(r->command);
    struct outcome o = run_with(scene.run, r->command->line, s, none);
    snprintf(o.at, sizeof o.at, "%s", what);
    expect_files(r, o);
    runs++;
}

static void closed_and_full_streams(void **state)
{
    (void)state;
    char what[64];
    runs = 0;
    for (size_t i = 0; i < n_command_lines; i++) {
        if (is_bench(&command_lines[i])) continue;
        struct reference r = reference_of(&command_lines[i]);
        for (int mask = 1; mask < 8; mask++) {
            struct streams s = {mask & 1 ? NULL : "../empty", mask & 2 ? NULL : "stdout",
                                mask & 4 ? NULL : "stderr", 0, 0};
            snprintf(what, sizeof what, "closed streams %d", mask);
            run_in(&r, s, what);
        }
        run_in(&r, (struct streams){"../empty", "/dev/full", "stderr", 0, 0}, "a full stdout");
        run_in(&r, (struct streams){"../empty", "stdout", "/dev/full", 0, 0}, "a full stderr");
        run_in(&r, (struct streams){"/dev/full", "/dev/null", "/dev/null", 0, 0}, "endless zeros");
    }
    print_message("%ld runs\n", runs);
    expect_none_wrong();
}

static void few_descriptors_and_little_room(void **state)
{
    (void)state;
    if (LLVM_RUNTIME) skip();
    char what[64];
    runs = 0;
    for (size_t i = 0; i < n_command_lines; i++) {
        if (is_bench(&command_lines[i])) continue;
        struct reference r = reference_of(&command_lines[i]);
        for (int n = 3; n < 12; n++) {
            snprintf(what, sizeof what, "%d descriptors", n);
            run_in(&r, (struct streams){"../empty", "stdout", "stderr", n, 0}, what);
        }
        static const long sizes[] = {1, 100, 1000, 4096, 20000, 100000};
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            snprintf(what, sizeof what, "files of %ld bytes", sizes[k]);
            run_in(&r, (struct streams){"../empty", "stdout", "stderr", 0, sizes[k]}, what);
        }
    }
    print_message("%ld runs\n", runs);
    expect_none_wrong();
}

/* ---- signals ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void signals_at_any_moment(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGKILL};
    static const char *const names[] = {"batch", "quantize", "export", "batch-unordered"};
    struct rng rng = torture_rng();
    struct streams s = {"../empty", "stdout", "stderr", 0, 0};
    int n = torture_all() ? 200 : 12;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        for (size_t i = 0; i < n_command_lines; i++) {
            if (strcmp(command_lines[i].name, names[k])) continue;
            struct reference r = reference_of(&command_lines[i]);
            double begin = seconds();
            prepare(r.command);
            wait_for_end(start_program(scene.run, r.command->line, s));
            double whole = seconds() - begin;
            for (int j = 0; j < n; j++) {
                int number = numbers[rng_below(&rng, 4)];
                prepare(r.command);
                pid_t child = start_program(scene.run, r.command->line, s);
                usleep((useconds_t)(whole * 1e6 * (double)rng_below(&rng, 1200) / 1000.0));
                kill(child, number);
                struct outcome o = {.code = wait_for_end(child), .fd = -1};
                snprintf(o.at, sizeof o.at, "some moment");
                expect_promises(&r, o, FAULT_SIGNAL, number);
            }
        }
    expect_none_wrong();
}

/* ---- an output that is an input, the model or another output ---- */

static const char *at(const char *name)
{
    static char path[4][1024];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", scene.directory, name);
    return p;
}

static const struct overlap {
    const char *line; /* %s: the output */
    const char *input;
} overlaps[] = {
    {"batch in -n 1 -o %s", "in"},
    {"batch in -n 1 -o o --trace %s", "in"},
    {"batch in -n 1 -o o --stats %s", "in"},
    {"batch in -n 1 --trace %s", "in"},
    {"batch in -n 1 -m m.gpt2q -o %s", "m.gpt2q"},
    {"batch in -n 1 -m m.gpt2q -o o --stats %s", "m.gpt2q"},
    {"batch in -n 1 -m m -o %s", "m/vocab.json"},
    {"batch - -n 1 -o %s", "in"},
    {"batch - -n 1 --trace %s", "in"},
    {"quantize -m m -q i8 -o %s", "m/model.safetensors"},
    {"quantize -m m -q i8 -o %s", "m/config.json"},
    {"quantize -m m -q i4:g8 --method gptq --calibrate in --calibrate-tokens 8 --calibrate-window 8 -o %s",
     "in"},
    {"trace -m m.gpt2q hello -o %s", "m.gpt2q"},
    {"trace -m m hello -o %s", "m/model.safetensors"},
    {"eval -m m --text in --window 8 --limit 8 --logits %s", "in"},
    {"eval -m m.gpt2q --text in --window 8 --limit 8 --logits %s", "m.gpt2q"},
    {"compare -m m --schemes f32,i8 --text in --window 8 --limit 8 -n 1 --html %s hi", "in"},
    {"compare -m m --schemes f32,i8 --text in --window 8 --limit 8 -n 1 --csv %s hi", "in"},
    {"compare -m m --schemes f32,i8 --text in --window 8 --limit 8 -n 1 --html %s hi", "m/model.safetensors"},
    {"bench -m m --schemes i8 --decode 1 --prefill 1 --repeat 1 --csv", NULL},
};

static void set_the_stage(void)
{
    char command[4096];
    snprintf(command, sizeof command,
             "cd '%s' && rm -rf run && mkdir run && cd run && cp -R ../model m && cp ../model.gpt2q m.gpt2q "
             "&& cp ../lines.txt in && "
             "echo old > o",
             scene.directory);
    assert_int_equal(system(command), 0);
}

static bool same_bytes(const char *a, const char *b)
{
    char command[2600];
    snprintf(command, sizeof command, "cmp -s '%s' '%s'", a, b);
    return system(command) == 0;
}

static void keep_copy(const char *path)
{
    char command[2600];
    snprintf(command, sizeof command, "cp '%s' '%s'", path, at("kept"));
    assert_int_equal(system(command), 0);
}

static void refused_by_name(const char *line, const char *input, const char *output)
{
    struct streams s = {strstr(line, " - ") ? input : "../empty", "stdout", "stderr", 0, 0};
    struct outcome o = run_with(scene.run, line, s, none);
    char path[300], said[1024];
    snprintf(path, sizeof path, "run/%s", input);
    FILE *f = fopen(at("run/stderr"), "rb");
    said[f ? fread(said, 1, sizeof said - 1, f) : 0] = '\0';
    if (f) fclose(f);
    const char *newline = strchr(said, '\n');
    if (o.code != 1 && o.code != 2) fail_msg("%s: exit code %d, '%s'", line, o.code, said);
    if (!newline || newline[1] || !strstr(said, output))
        fail_msg("%s: no sentence that names '%s': '%s'", line, output, said);
    if (!same_bytes(at("kept"), at(path))) fail_msg("%s: %s is another file now", line, input);
    runs++;
}

static void outputs_that_are_inputs(void **state)
{
    (void)state;
    static const char *const ways[] = {NULL, "ln '%s' alias", "ln -s '%s' alias",
                                       "mkdir -p d && ln -s ../'%s' d/alias && ln -s d/alias alias"};
    char line[512], path[300], command[2048], way[512];
    runs = 0;
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++) {
        const struct overlap *v = &overlaps[i];
        if (!v->input) continue;
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            set_the_stage();
            snprintf(path, sizeof path, "run/%s", v->input);
            keep_copy(at(path));
            if (ways[k]) {
                snprintf(way, sizeof way, ways[k], v->input);
                snprintf(command, sizeof command, "cd '%s' && %s", scene.run, way);
                assert_int_equal(system(command), 0);
            }
            snprintf(line, sizeof line, v->line, ways[k] ? "alias" : v->input);
            refused_by_name(line, v->input, ways[k] ? "alias" : v->input);
        }
    }
    print_message("%ld runs\n", runs);
}

static void outputs_that_are_outputs(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "batch in -n 1 -o o --trace o", "batch in -n 1 -o o --stats o", "batch in -n 1 --stats o --trace o",
        "batch in -n 1 -o p --trace ./p",
        "compare -m m --schemes f32,i8 --text in --window 8 --limit 8 -n 1 --html o --csv o hi"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        set_the_stage();
        keep_copy(at("run/o"));
        refused_by_name(lines[i], "o", strstr(lines[i], "p --trace") ? "p" : "o");
    }
}

/* ---- two writers, and a file that is cut ---- */

static void wait_for_bytes(const char *path)
{
    struct stat st;
    for (int i = 0; stat(path, &st) || st.st_size == 0; i++) {
        if (i > 30000) fail_msg("%s: nothing is written", path);
        usleep(1000);
    }
}

static pid_t start_on_pipe(const char *line, int *in)
{
    assert_int_equal(mkfifo(at("run/pipe"), 0600), 0);
    pid_t child = start_program(scene.run, line, (struct streams){"pipe", "stdout", "stderr", 0, 0});
    *in = open(at("run/pipe"), O_WRONLY);
    assert_true(*in >= 0);
    assert_int_equal(write(*in, "the king\n", 9), 9);
    return child;
}

static void two_writers(void **state)
{
    (void)state;
    set_the_stage();
    int in;
    pid_t first = start_on_pipe("batch - -n 2 -o answers --quiet", &in);
    wait_for_bytes(at("run/answers"));
    keep_copy(at("run/answers"));
    struct outcome o = run_with(scene.run, "batch in -n 1 -o answers",
                                (struct streams){"../empty", "out2", "error2", 0, 0}, none);
    assert_int_equal(o.code, 1);
    assert_true(same_bytes(at("kept"), at("run/answers")));
    assert_int_equal(write(in, "hello\n", 6), 6);
    close(in);
    assert_int_equal(wait_for_end(first), 0);
}

static void a_mapped_file_is_cut(void **state)
{
    (void)state;
    set_the_stage();
    int in;
    pid_t child = start_on_pipe("batch - -m m.gpt2q -n 2 -o answers --quiet -j 1", &in);
    wait_for_bytes(at("run/answers"));
    assert_int_equal(truncate(at("run/m.gpt2q"), 100), 0);
    assert_int_equal(write(in, "hello\n", 6), 6);
    close(in);
    assert_int_equal(wait_for_end(child), 1);
    char said[512];
    FILE *f = fopen(at("run/stderr"), "rb");
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
    assert_non_null(strstr(said, "m.gpt2q: became shorter"));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_and_full_streams),  cmocka_unit_test(few_descriptors_and_little_room),
        cmocka_unit_test(signals_at_any_moment),    cmocka_unit_test(outputs_that_are_inputs),
        cmocka_unit_test(outputs_that_are_outputs), cmocka_unit_test(two_writers),
        cmocka_unit_test(a_mapped_file_is_cut),
    };
    if (getenv("GPT2Q_TORTURE_TEST")) cmocka_set_test_filter(getenv("GPT2Q_TORTURE_TEST"));
    return cmocka_run_group_tests(tests, scene_open, scene_close);
}
