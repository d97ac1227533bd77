/* gpt2q batch as its users meet it: three formats, bad lines, order, shards, pipes, signals, and going on
 * after a kill. */
#include "tests/cli.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char *directory; /* of the test that runs */

static int set_up(void **state)
{
    (void)state;
    directory = temp_directory();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

static const char *at(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static char *read_text(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    *n = 0;
    if (!f) return calloc(1, 1);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    char *text = malloc(size + 1);
    rewind(f);
    *n = fread(text, 1, size, f);
    fclose(f);
    text[*n] = '\0';
    return text;
}

static void expect_same_file(const char *want, const char *got)
{
    size_t n, m;
    char *a = read_text(want, &n), *b = read_text(got, &m);
    if (n != m || memcmp(a, b, n)) fail_msg("%s (%zu bytes) and %s (%zu bytes) differ", want, n, got, m);
    free(a);
    free(b);
}

static void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

static void run(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void run(int code, const char *format, ...)
{
    char arguments[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    struct cli c = cli_run("batch %s", arguments);
    if (c.code != code)
        fail_msg("gpt2q batch %s: exit code %d where %d is expected: %s", arguments, c.code, code, c.error);
    cli_free(&c);
}

/* The answers of a run, one JSON document a line. */
static cJSON *answers(int code, const char *arguments)
{
    struct cli c = cli_run("batch --quiet %s", arguments);
    if (c.code != code)
        fail_msg("gpt2q batch %s: exit code %d where %d is expected: %s", arguments, c.code, code, c.error);
    cJSON *all = cJSON_CreateArray();
    const char *text = c.out;
    while (*text) {
        const char *end;
        cJSON *line = cJSON_ParseWithOpts(text, &end, 0);
        if (!line || *end != '\n') fail_msg("no line of JSON: %.100s", text);
        cJSON_AddItemToArray(all, line);
        text = end + 1;
    }
    cli_free(&c);
    return all;
}

static const cJSON *field(const cJSON *o, const char *path)
{
    char key[64];
    while (o && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        o = key[0] >= '0' && key[0] <= '9' ? cJSON_GetArrayItem(o, atoi(key))
                                           : cJSON_GetObjectItemCaseSensitive(o, key);
        path += n + (path[n] == '.');
    }
    return o;
}

static double number_at(const cJSON *o, const char *path)
{
    const cJSON *item = field(o, path);
    if (!cJSON_IsNumber(item)) fail_msg("%s is no number", path);
    return item->valuedouble;
}

static const char *text_at(const cJSON *o, const char *path)
{
    const cJSON *item = field(o, path);
    if (!cJSON_IsString(item)) fail_msg("%s is no text", path);
    return item->valuestring;
}

/* Requests of every kind, n of them. */
static void write_requests(const char *path, int n)
{
    static const char *const beginnings[] = {"Once upon a time", "The king", "She said",
                                             "Once upon a time there was a little dog who", "A"};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    struct rng rng = {5};
    for (int i = 0; i < n; i++) {
        fprintf(f, "{\"prompt\": \"%s\", \"max_tokens\": %d, \"id\": \"r%d\"", beginnings[rng_below(&rng, 5)],
                (int)rng_below(&rng, 12), i);
        if (rng_below(&rng, 3) == 0) fprintf(f, ", \"temperature\": 1.1, \"seed\": %d", i);
        if (rng_below(&rng, 4) == 0) fprintf(f, ", \"stop\": [\" the\", \".\"]");
        if (rng_below(&rng, 6) == 0) fprintf(f, ", \"logprobs\": 2, \"echo\": true");
        if (rng_below(&rng, 6) == 0) fprintf(f, ", \"n\": 2");
        fprintf(f, i % 10 == 7 ? ", \"nonsense\": 1}\n" : "}\n");
    }
    fclose(f);
}

/* ---- formats ---- */

static void text_lines_equal_generate(void **state)
{
    (void)state;
    write_text(at("in"), "The king\r\n\n  \t\nOnce upon a time\nA \"quoted\" word \xff\xc3\n\xe6\xad\xaa");
    char arguments[600];
    snprintf(arguments, sizeof arguments, "-n 12 -t 0.8 --seed 3 --logprobs 1 %s", at("in"));
    cJSON *all = answers(0, arguments);
    static const char *const prompts[] = {"The king", "Once upon a time", "A \"quoted\" word \xff\xc3",
                                          "\xe6\xad\xaa"};
    assert_int_equal(cJSON_GetArraySize(all), 4);
    for (int i = 0; i < 4; i++) {
        const cJSON *got = cJSON_GetArrayItem(all, i);
        write_text(at("prompt"), prompts[i]);
        snprintf(arguments, sizeof arguments, "generate --json -n 12 -t 0.8 --seed 3 --logprobs 1 -f %s",
                 at("prompt"));
        cJSON *want = expect_json(arguments);
        static const char *const same[] = {"ids", "text", "prompt", "finish_reason", "logprobs"};
        for (size_t k = 0; k < 5; k++)
            if (!cJSON_Compare(field(got, same[k]), field(want, same[k]), true))
                fail_msg("line %d: %s differs from generate's", i, same[k]);
        assert_int_equal(number_at(got, "index"), i);
        assert_true(cJSON_IsNull(field(got, "id")));
        assert_int_equal(number_at(got, "prompt_tokens"), cJSON_GetArraySize(field(want, "prompt_ids")));
        assert_int_equal(number_at(got, "completion_tokens"), cJSON_GetArraySize(field(want, "ids")));
        cJSON_Delete(want);
    }
    cJSON_Delete(all);
}

static void ids_and_empty_inputs(void **state)
{
    (void)state;
    write_text(at("in"), "438 1441\n5, 6\nx\n99999\n");
    char arguments[600];
    snprintf(arguments, sizeof arguments, "-n 3 --ids %s", at("in"));
    cJSON *all = answers(1, arguments);
    assert_int_equal(cJSON_GetArraySize(field(all, "0.ids")), 3);
    assert_string_equal(text_at(all, "2.error.message"),
                        "line 3: 'x' in the ids is not a whole number of a token");
    assert_string_equal(text_at(all, "3.error.message"),
                        "line 4: id 99999 of the prompt is outside the vocabulary of 8193");
    cJSON_Delete(all);
    write_text(at("empty"), "\n\n");
    all = answers(0, at("empty"));
    assert_int_equal(cJSON_GetArraySize(all), 0);
    cJSON_Delete(all);
}

static void every_kind_of_bad_line_is_answered_in_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"{\"prompt\": \"ok\", \"max_tokens\": 2}", NULL},
        {"{\"prompt\": \"x\", \"id\": \"x\", \"max_tokens\": -3}",
         "line 2: max_tokens must be an integer >= 0, not -3"},
        {"{\"prompt\": \"x\", \"max_tokns\": 3}",
         "line 3: unknown field 'max_tokns': did you mean 'max_tokens'?"},
        {"{\"prompt\":", "line 4: not valid JSON"},
        {"plain text", "line 5: not valid JSON"},
        {"[1]", "line 6: must be an object"},
        {"{\"prompt\": [1, \"b\"]}", "line 7: prompt must be a text or an array of ids, entry 2 is no id"},
        {"{\"prompt\": [1.5]}", "line 8: prompt must be a text or an array of ids, entry 1 is no id"},
        {"{\"prompt\": [123456]}", "line 9: id 123456 of the prompt is outside the vocabulary of 8193"},
        {"{\"prompt\": \"a\", \"stop\": [\"\"]}", "line 10: stop must be"},
        {"{\"prompt\": \"a\", \"stop\": 3}", "line 11: stop must be"},
        {"{\"prompt\": \"a\", \"temperature\": \"hot\"}",
         "line 12: temperature must be a number from 0 to 1e+06, not a string"},
        {"{\"prompt\": \"a\", \"n\": 0}", "line 13: n must be an integer >= 1, not 0"},
        {"{\"prompt\": \"a\", \"n\": 5000}",
         "line 14: 5000 samples were asked for where 1 to 1024 are possible"},
        {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "line 15: "},
        {"{\"prompt\": \"\\u0000\"}", "line 16: not valid JSON: \\u0000"},
        {"{\"seed\": 1}", "line 17: prompt is missing"},
        {"{\"prompt\": \"a\", \"seed\": 9007199254740993}", "line 18: "},
        {"{\"prompt\": \"a\", \"id\": 7}", "line 19: id must be a text"},
        {"{\"prompt\": \"\xff\"}", "line 20: not valid JSON"},
        {"{\"prompt\": \"a\", \"logprobs\": 9000}",
         "line 21: logprobs is 9000 but the vocabulary has only 8193 tokens"},
        {"{\"prompt\": \"fine\", \"max_tokens\": 1, \"id\": \"last\"}", NULL},
    };
    size_t n = sizeof cases / sizeof *cases;
    FILE *f = fopen(at("in"), "w");
    for (size_t i = 0; i < n; i++) fprintf(f, "%s\n", cases[i].line);
    fclose(f);
    cJSON *all = answers(1, at("in"));
    assert_int_equal(cJSON_GetArraySize(all), n);
    for (size_t i = 0; i < n; i++) {
        const cJSON *got = cJSON_GetArrayItem(all, (int)i);
        assert_int_equal(number_at(got, "index"), i);
        const cJSON *error = field(got, "error");
        if (!cases[i].message) {
            assert_null(error);
            continue;
        }
        assert_string_equal(text_at(got, "error.code"), "invalid_request");
        if (strncmp(text_at(got, "error.message"), cases[i].message, strlen(cases[i].message)))
            fail_msg("'%s' where '%s' is expected", text_at(got, "error.message"), cases[i].message);
        assert_null(field(got, "ids"));
    }
    assert_string_equal(text_at(all, "1.id"), "x");
    cJSON_Delete(all);
}

static void too_long_a_line_or_prompt(void **state)
{
    (void)state;
    FILE *f = fopen(at("in"), "w");
    fputs("first\n", f);
    for (int i = 0; i < (17 << 20); i++) fputc('x', f);
    fputs("\n", f);
    for (int i = 0; i < 3000; i++) fputs("word ", f);
    fputs("\nlast", f);
    fclose(f);
    char arguments[600];
    snprintf(arguments, sizeof arguments, "-n 1 %s", at("in"));
    cJSON *all = answers(1, arguments);
    assert_int_equal(cJSON_GetArraySize(all), 4);
    assert_string_equal(text_at(all, "1.error.message"), "line 2: a line may have 16777216 bytes at most");
    assert_non_null(strstr(text_at(all, "2.error.message"), "which leaves no room in the context of"));
    assert_string_equal(text_at(all, "3.prompt"), "last");
    cJSON_Delete(all);
    snprintf(arguments, sizeof arguments, "-n 1 --truncate left %s", at("in"));
    all = answers(1, arguments);
    assert_null(field(all, "2.error"));
    cJSON_Delete(all);
}

#define OPENAI(id, body)                                                                                     \
    "{\"custom_id\":\"" id                                                                                   \
    "\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"model\":\"m\"," body "}}\n"

static void openai_lines(void **state)
{
    (void)state;
    write_text(
        at("in"),
        OPENAI("a",
               "\"prompt\":\"Once upon a\",\"temperature\":0,\"max_tokens\":3,\"logprobs\":2,\"echo\":true")
            OPENAI("b", "\"prompt\":[\"Hello\",[438,1441]],\"n\":2,\"seed\":-4") OPENAI(
                "c", "\"prompt\":\"x\",\"logit_bias\":{\"4\":1}")
                OPENAI("d", "\"prompt\":\"x\",\"max_tokens\":0,\"logprobs\":0,\"echo\":true,\"stream\":false,"
                            "\"suffix\":null,\"user\":\"u\"") OPENAI(
                    "e",
                    "\"prompt\":\"x\",\"temperature\":3") "{\"custom_id\":\"f\",\"method\":\"POST\",\"url\":"
                                                          "\"/v1/chat/completions\",\"body\":{}}\n");
    cJSON *all = answers(1, at("in"));
    assert_int_equal(cJSON_GetArraySize(all), 6);
    assert_string_equal(text_at(all, "0.custom_id"), "a");
    assert_true(cJSON_IsNull(field(all, "0.error")));
    assert_int_equal(number_at(all, "0.response.status_code"), 200);
    assert_int_equal(number_at(all, "0.response.body.created"), 0);
    assert_string_equal(text_at(all, "0.response.body.object"), "text_completion");
    assert_int_equal(number_at(all, "0.response.body.usage.total_tokens"), 6);
    assert_string_equal(text_at(all, "0.response.body.choices.0.text"), "Once upon a time, there");
    const cJSON *logprobs = field(all, "0.response.body.choices.0.logprobs");
    static const char *const arrays[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    for (size_t i = 0; i < 4; i++) assert_int_equal(cJSON_GetArraySize(field(logprobs, arrays[i])), 6);
    assert_true(cJSON_IsNull(field(logprobs, "token_logprobs.0")));
    assert_string_equal(text_at(logprobs, "tokens.1"), " upon");
    assert_int_equal(number_at(logprobs, "text_offset.2"), strlen("Once upon"));
    assert_int_equal(cJSON_GetArraySize(field(logprobs, "top_logprobs.1")), 2);
    assert_int_equal(cJSON_GetArraySize(field(all, "1.response.body.choices")),
                     4); /* index = prompt * n + sample */
    for (int i = 0; i < 4; i++)
        assert_int_equal(number_at(cJSON_GetArrayItem(field(all, "1.response.body.choices"), i), "index"), i);
    assert_int_equal(number_at(all, "1.response.body.usage.prompt_tokens"),
                     3); /* He|llo, or one token, and two ids */
    assert_string_equal(text_at(all, "2.error.message"), "line 3: logit_bias is not supported");
    assert_int_equal(number_at(all, "3.response.body.usage.completion_tokens"), 0);
    assert_string_equal(text_at(all, "4.error.message"),
                        "line 5: temperature must be a number from 0 to 2, not 3");
    assert_string_equal(text_at(all, "5.error.message"), "line 6: url must be \"/v1/completions\"");
    assert_true(cJSON_IsNull(field(all, "5.response")));
    cJSON_Delete(all);
}

/* ---- the same bytes ---- */

static void the_same_bytes_in_every_company(void **state)
{
    (void)state;
    static const char *const settings[] = {"-b 1", "-b 3 --chunk 5 -j 2", "-b 32 --no-prefix-sharing",
                                           "--cache padded --chunk 7", "--isa avx2 -b 2 -j 1",
                                           "--speculate 8 -b 3"};
    write_requests(at("in"), 40);
    run(1, "--quiet %s -o %s --stats %s --trace %s", at("in"), at("want"), at("stats"), at("trace"));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct cli c = cli_run("batch --quiet %s -o %s %s", at("in"), at("got"), settings[i]);
        bool lacking = strstr(c.error, "this CPU");
        cli_free(&c);
        if (!lacking) expect_same_file(at("want"), at("got"));
    }
    size_t n;
    char *text = read_text(at("stats"), &n);
    cJSON *stats = cJSON_Parse(text);
    assert_int_equal(number_at(stats, "requests"), 40);
    assert_int_equal(number_at(stats, "errors"), 4);
    static const char *const keys[] = {"prompt_tokens", "completion_tokens", "steps",
                                       "prefill_s",     "decode_s",          "wall_s",
                                       "tokens_per_s",  "mean_rows",         "peak_kv_bytes"};
    for (size_t i = 0; i < 9; i++) assert_true(number_at(stats, keys[i]) > 0);
    cJSON_Delete(stats);
    free(text);
}

static void unordered_output_has_the_same_lines(void **state)
{
    (void)state;
    write_text(at("in"), "{\"prompt\":\"a\",\"max_tokens\":30}\n{\"prompt\":\"b\",\"max_tokens\":1}\n{"
                         "\"prompt\":\"c\",\"max_tokens\":9}\n");
    char arguments[600];
    snprintf(arguments, sizeof arguments, "--ignore-eos %s", at("in"));
    cJSON *ordered = answers(0, arguments);
    snprintf(arguments, sizeof arguments, "--ignore-eos --unordered %s", at("in"));
    cJSON *unordered = answers(0, arguments);
    static const int order[] = {1, 2, 0};
    for (int i = 0; i < 3; i++)
        assert_true(
            cJSON_Compare(cJSON_GetArrayItem(unordered, i), cJSON_GetArrayItem(ordered, order[i]), true));
    cJSON_Delete(ordered);
    cJSON_Delete(unordered);
}

/* Lines of two shards, put together line by line, are the whole. */
static void shards_join(void **state)
{
    (void)state;
    write_requests(at("in"), 21);
    run(1, "--quiet %s -o %s", at("in"), at("want"));
    run(0, "--quiet %s -o %s --shard 1/2", at("in"), at("1"));
    run(1, "--quiet %s -o %s --shard 2/2 -b 2", at("in"), at("2"));
    char command[2048];
    snprintf(command, sizeof command, "sort -V %s %s > %s", at("1"), at("2"), at("got"));
    assert_int_equal(system(command), 0);
    expect_same_file(at("want"), at("got"));
}

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
    run(1, "--quiet %s -o %s -n 5", at("in"), at("want"));
    size_t n;
    char *whole = read_text(at("want"), &n), command[2048];
    free(whole);
    for (size_t cut = 0; cut <= n; cut += n / 9 + (cut == 0)) {
        copy_prefix(at("want"), at("got"), cut);
        snprintf(command, sizeof command, "cp %s.fingerprint %s.fingerprint", at("want"), at("got"));
        assert_int_equal(system(command), 0);
        run(1, "--quiet %s -o %s -n 5 --resume -b 3", at("in"), at("got"));
        expect_same_file(at("want"), at("got"));
    }
    unlink(at("fresh"));
    run(1, "--quiet %s -o %s -n 5 --resume", at("in"),
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
    run(0, "--quiet %s -o %s -n 2", at("in"), at("out"));
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

/* The first signal finishes what is under way: whole answers, in order, and the exit code of the signal. */
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

/* Line in, line out: the answer comes before the next line is written. */
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

/* ---- memory ---- */

static long peak_of(int n_lines)
{
    struct rusage usage;
    int status;
    FILE *f = fopen(at("in"), "w");
    for (int i = 0; i < n_lines; i++) fprintf(f, "The quick brown fox %d\n", i);
    fclose(f);
    char *argv[] = {word("gpt2q"),  word("batch"), word("--quiet"), word("-n"), word("0"),
                    word(at("in")), word("-o"),    word(at("out")), NULL};
    pid_t child = start(argv, -1, -1);
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, 0);
    return usage.ru_maxrss;
}

/* 20,000 lines, or a million, take no more than 1,000. */
static void memory_does_not_grow_with_the_file(void **state)
{
    (void)state;
    const char *config = getenv("CONFIG");
    if (config && (!strcmp(config, "sanitize") || !strcmp(config, "tsan")))
        skip(); /* their memory is not ours */
    long few = peak_of(1000), many = peak_of(getenv("GPT2Q_TEST_LONG") ? 1000000 : 20000);
    if (many > few + 1024) fail_msg("%ld KB for a thousand lines, %ld KB for many", few, many);
}

static void wrong_usage(void **state)
{
    (void)state;
    expect_failure(2, "a file of prompts is expected", "batch");
    expect_failure(2, "one file is expected, not 2", "batch a b");
    expect_failure(2, "--shard is '3/2'", "batch x --shard 3/2");
    expect_failure(2, "--shard is '1'", "batch x --shard 1");
    expect_failure(2, "unknown --format 'jsnl': did you mean 'jsonl'?", "batch x --format jsnl");
    expect_failure(2, "unknown --cache 'pad': did you mean", "batch x --cache pad");
    expect_failure(2, "--speculate needs --cache ragged", "batch x --cache padded --speculate 2");
    expect_failure(1, "/nonexistent: cannot be opened", "batch /nonexistent");
    expect_failure(1, "is a directory", "batch .");
    write_text(at("in"), "x\n");
    char arguments[600];
    snprintf(arguments, sizeof arguments, "batch %s -o /nonexistent/out", at("in"));
    expect_failure(1, "/nonexistent/out: cannot be written", arguments);
    snprintf(arguments, sizeof arguments, "batch --quiet %s -o /dev/full", at("in"));
    expect_failure(1, "/dev/full: cannot be written: No space left on device", arguments);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {TEST(text_lines_equal_generate),
                                       TEST(ids_and_empty_inputs),
                                       TEST(every_kind_of_bad_line_is_answered_in_its_place),
                                       TEST(too_long_a_line_or_prompt),
                                       TEST(openai_lines),
                                       TEST(the_same_bytes_in_every_company),
                                       TEST(unordered_output_has_the_same_lines),
                                       TEST(shards_join),
                                       TEST(resumes_from_every_kind_of_end),
                                       TEST(refuses_to_mix_runs),
                                       TEST(kill_and_resume),
                                       TEST(a_signal_finishes_what_was_begun),
                                       TEST(a_pipe_is_served_as_it_arrives),
                                       TEST(memory_does_not_grow_with_the_file),
                                       TEST(wrong_usage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
