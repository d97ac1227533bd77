/* The runs of gpt2q batch: going on after a kill, signals, pipes, memory. */
#include "tests/batch_files.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- resuming ---- */

static void copy_prefix(const char *from, const char *to, size_t n)
{
    size_t m;
    char *text = read_text(from, &m);
    write_file(to, text, n < m ? n : m);
    free(text);
}

static void resumes_from_every_kind_of_end(void **state)
{
    (void)state;
    write_requests(at("in"), 12);
    run_batch(1, "--quiet %s -o %s -n 5", at("in"), at("want"));
    size_t n;
    char *whole = read_text(at("want"), &n), command[2048];
    free(whole);
    for (size_t cut = 0; cut <= n; cut += n / 9 + (cut == 0)) {
        copy_prefix(at("want"), at("got"), cut);
        snprintf(command, sizeof command, "cp %s.fingerprint %s.fingerprint", at("want"), at("got"));
        assert_int_equal(system(command), 0);
        run_batch(1, "--quiet %s -o %s -n 5 --resume -b 3", at("in"), at("got"));
        expect_same_file(at("want"), at("got"));
    }
    unlink(at("fresh"));
    run_batch(1, "--quiet %s -o %s -n 5 --resume", at("in"),
              at("fresh")); /* nothing to go on with: from the beginning */
    expect_same_file(at("want"), at("fresh"));
}

static void expect_refusal(const char *sentence, const char *options)
{
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "batch --quiet %s -o %s --resume %s", at("in"), at("out"), options);
    expect_failure(1, sentence, arguments);
}

static void refuses_to_mix_runs(void **state)
{
    (void)state;
    write_requests(at("in"), 6);
    run_batch(0, "--quiet %s -o %s -n 2", at("in"), at("out"));
    copy_prefix(at("out"), at("whole"), SIZE_MAX);
    expect_refusal("the first run had other options", "-n 3");
    expect_refusal("the first run had other options", "-n 2 -q i4");
    expect_refusal("the first run had other options", "-n 2 --shard 1/2");
    expect_refusal("the first run had other options", "-n 2 --stop x");
    size_t n, m;
    char *whole = read_text(at("whole"), &n);
    char *second = strchr(whole, '\n') + 1;
    write_text(at("out"), second); /* the first line is missing */
    expect_refusal("line 1 answers request 1 where 0 is expected", "-n 2");
    write_text(at("out"), "garbage\n");
    expect_refusal("line 1 is no answer of this run", "-n 2");
    write_file(at("out"), whole, n);
    char *input = read_text(at("in"), &m);
    strchr(input, 'a')[0] = 'e';
    write_file(at("in"), input, m);
    expect_refusal("the first run had another input", "-n 2");
    unlink(at("out.fingerprint"));
    expect_refusal("out.fingerprint is missing", "-n 2");
    expect_same_file(at("whole"), at("out")); /* untouched by all that */
    free(whole);
    free(input);
    expect_failure(2, "--resume needs --output", "batch prompts.txt --resume");
    char arguments[600];
    snprintf(arguments, sizeof arguments, "batch - -o %s --resume --quiet </dev/null", at("out"));
    expect_failure(1, "standard input cannot be read twice", arguments);
}

/* ---- processes: kills, signals, pipes ---- */

static pid_t start(char *const argv[], int in, int out)
{
    pid_t child = fork();
    if (child == 0) {
        if (in >= 0) dup2(in, STDIN_FILENO);
        if (out >= 0) dup2(out, STDOUT_FILENO);
        const char *program = getenv("GPT2Q");
        execv(program ? program : "./gpt2q", argv);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

static char *word(const char *text) { return (char *)(uintptr_t)text; }

static pid_t start_batch(const char *output, bool resume)
{
    char *argv[] = {word("gpt2q"),
                    word("batch"),
                    word("--quiet"),
                    word(at("in")),
                    word("-o"),
                    word(output),
                    word("-b"),
                    word("3"),
                    word(resume ? "--resume" : "--json"),
                    NULL};
    return start(argv, -1, -1);
}

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static double seconds(void)
{
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* Killed at random moments, resumed until it is done: 4 runs, 50 in a long test. */
static void kill_and_resume(void **state)
{
    (void)state;
    int runs = getenv("GPT2Q_TEST_LONG") ? 50 : 4, kills = 0;
    struct rng rng = {(uint64_t)getpid()};
    write_requests(at("in"), 60);
    double begin = seconds();
    assert_int_equal(wait_for(start_batch(at("want"), false)), 1);
    double whole = seconds() - begin;
    for (int i = 0; i < runs; i++) {
        unlink(at("got"));
        unlink(at("got.fingerprint"));
        int code = 128 + SIGKILL;
        for (int k = 0; code == 128 + SIGKILL; k++) {
            pid_t child = start_batch(at("got"), k > 0);
            usleep((useconds_t)(whole * 1e6 * (double)rng_below(&rng, 1000) / 1000.0 * (k < 3 ? 1 : 3)));
            kill(child, SIGKILL);
            code = wait_for(child);
            kills += code == 128 + SIGKILL;
        }
        assert_int_equal(code, 1); /* some lines are errors */
        expect_same_file(at("want"), at("got"));
    }
    assert_true(kills > 0);
}

/* The first signal finishes what is under way: whole answers in order, and the exit code of the signal. */
static void a_signal_finishes_what_was_begun(void **state)
{
    (void)state;
    write_requests(at("in"), 400);
    assert_int_equal(wait_for(start_batch(at("want"), false)), 1);
    pid_t child = start_batch(at("got"), false);
    struct stat st;
    while (stat(at("got"), &st) || st.st_size == 0) usleep(500);
    kill(child, SIGTERM);
    assert_int_equal(wait_for(child), 143);
    size_t n, m;
    char *want = read_text(at("want"), &n), *got = read_text(at("got"), &m);
    if (m == 0 || m >= n || got[m - 1] != '\n' || memcmp(want, got, m)) fail_msg("%zu bytes of %zu", m, n);
    free(want);
    free(got);
    assert_int_equal(wait_for(start_batch(at("got"), true)), 1);
    expect_same_file(at("want"), at("got"));
}

/* A pipe that gives no line that could be answered: one signal ends it all the same. The pipe is fed while `batch` runs. */
static void a_signal_ends_input_without_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shard;
    } inputs[] = {{"x", "1/1"}, {" \n", "1/1"}, {"a line\n", "999999999/999999999"}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        char block[8192];
        const size_t length = strlen(inputs[i].text), size = sizeof block / length * length;
        int in[2];
        for (size_t k = 0; k < size; k++) block[k] = inputs[i].text[k % length];
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        char *argv[] = {word("gpt2q"), word("batch"),   word("--quiet"), word("-"),
                        word("-o"),    word(at("out")), word("--shard"), word(inputs[i].shard),
                        word("-n"),    word("1"),       word("--force"), NULL};
        pid_t child = start(argv, in[0], -1);
        close(in[0]);
        double begin = seconds();
        while (seconds() - begin < 0.3) assert_true(write(in[1], block, size) > 0);
        kill(child, SIGTERM);
        begin = seconds();
        while (write(in[1], block, size) > 0)
            if (seconds() - begin > 10) kill(child, SIGKILL);
        assert_int_equal(errno, EPIPE);
        assert_int_equal(wait_for(child), 143);
        close(in[1]);
    }
}

static void read_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    do {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 60000) != 1) fail_msg("no answer within a minute, though the line was written");
        assert_int_equal(read(fd, line + n, 1), 1);
    } while (line[n++] != '\n' && n < size - 1);
    line[n] = '\0';
}

/* Line in, line out: an answer comes before the next line is written. */
static void a_pipe_is_served_as_it_arrives(void **state)
{
    (void)state;
    int in[2], out[2];
    char line[4096];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    char *argv[] = {word("gpt2q"), word("batch"), word("--quiet"), word("-"), word("-n"), word("3"), NULL};
    pid_t child = start(argv, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(in[1], "Once upon\n", 10), 10);
        read_line(out[0], line, sizeof line);
        cJSON *answer = cJSON_Parse(line);
        assert_int_equal(number_at(answer, "index"), i);
        cJSON_Delete(answer);
    }
    assert_int_equal(write(in[1], "no newline", 10), 10);
    close(in[1]);
    read_line(out[0], line, sizeof line);
    assert_non_null(strstr(line, "no newline"));
    close(out[0]);
    assert_int_equal(wait_for(child), 0);
}

/* Another program can leave a pipe non-blocking. A full one is waited for. */
static void a_full_pipe_is_waited_for(void **state)
{
    (void)state;
    int out[2], lines = 0;
    char buffer[4096];
    FILE *f = fopen(at("in"), "w");
    for (int i = 0; i < 1500; i++) fprintf(f, "The quick brown fox jumped over the lazy dog %d\n", i);
    fclose(f);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(fcntl(out[1], F_SETFL, O_NONBLOCK), 0);
    char *argv[] = {word("gpt2q"),  word("batch"), word("--quiet"), word("-n"), word("0"),
                    word(at("in")), NULL};
    pid_t child = start(argv, -1, out[1]);
    close(out[1]);
    usleep(300000); /* it fills */
    for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) > 0;)
        for (ssize_t i = 0; i < n; i++) lines += buffer[i] == '\n';
    close(out[0]);
    assert_int_equal(wait_for(child), 0);
    assert_int_equal(lines, 1500);
}

/* ---- memory ---- */

static long peak_of(int n_lines)
{
    struct rusage usage;
    int status;
    FILE *f = fopen(at("in"), "w");
    for (int i = 0; i < n_lines; i++) fprintf(f, "The quick brown fox %d\n", i);
    fclose(f);
    char *argv[] = {word("gpt2q"),  word("batch"), word("--quiet"), word("-n"),      word("0"),
                    word(at("in")), word("-o"),    word(at("out")), word("--force"), NULL};
    pid_t child = start(argv, -1, -1);
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, 0);
    return usage.ru_maxrss;
}

/* Whether `many` lines take at most `allowed` KB more than `few`. A peak also counts what the system maps of files and libraries,
 * up to a megabyte by chance. So the runs may be repeated: the most that few lines took, the least that many took. */
static void assert_peaks_alike(long peak(int), int few_lines, int many_lines, long allowed)
{
    const char *config = getenv("CONFIG");
    if (config && (!strcmp(config, "sanitize") || !strcmp(config, "tsan")))
        skip(); /* their memory is not ours */
    long few = 0, many = LONG_MAX;
    for (int i = 0; i < 5 && many > few + allowed; i++) {
        long p = peak(few_lines), q = peak(many_lines);
        few = p > few ? p : few, many = q < many ? q : many;
    }
    if (many > few + allowed)
        fail_msg("%ld KB for %d lines, %ld KB for %d", few, few_lines, many, many_lines);
}

/* 20,000 lines, or a million, take no more memory than 1,000. */
static void memory_does_not_grow_with_the_file(void **state)
{
    (void)state;
    assert_peaks_alike(peak_of, 1000, getenv("GPT2Q_TEST_LONG") ? 1000000 : 20000, 1024);
}

/* The peak of OpenAI lines, all under way at once, whose "user" and "metadata" have a megabyte each; of every second one the prompt has
 * it, too, and does not fit. */
static long peak_of_large_lines(int n_lines)
{
    const int n = 1 << 20;
    struct rusage usage;
    int status;
    FILE *f = fopen(at("in"), "w");
    for (int i = 0; i < n_lines; i++) {
        fprintf(f, "{\"custom_id\":\"%d\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{", i);
        fprintf(f, "\"user\":\"%0*d\",\"metadata\":{\"a\":\"%0*d\"},", n, i, n, i);
        fprintf(f, "\"max_tokens\":2,\"prompt\":\"%0*d\"}}\n", i % 2 ? n : 1, i);
    }
    fclose(f);
    char *argv[] = {word("gpt2q"),  word("batch"), word("--quiet"), word("-b"),      word("16"),
                    word(at("in")), word("-o"),    word(at("out")), word("--force"), NULL};
    pid_t child = start(argv, -1, -1);
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, W_EXITCODE(1, 0));
    return usage.ru_maxrss;
}

/* What a line says and nobody needs any more goes as soon as it is read: of 28 lines of 2 and 3 MB more none stays. */
static void memory_does_not_grow_with_large_lines(void **state)
{
    (void)state;
    assert_peaks_alike(peak_of_large_lines, 4, 32, 4 * 1024);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, batch_set_up, batch_tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {TEST(resumes_from_every_kind_of_end),
                                       TEST(refuses_to_mix_runs),
                                       TEST(kill_and_resume),
                                       TEST(a_signal_finishes_what_was_begun),
                                       TEST(a_signal_ends_input_without_lines),
                                       TEST(a_pipe_is_served_as_it_arrives),
                                       TEST(a_full_pipe_is_waited_for),
                                       TEST(memory_does_not_grow_with_the_file),
                                       TEST(memory_does_not_grow_with_large_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
