/* gpt2q batch as its users meet it: three formats, bad lines, order, shards. */
#include "tests/batch_files.h"
#include <sys/wait.h>
#include <signal.h>

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
                        "line 3: 'x' is no token id: ids are whole numbers from 0 on");
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
         "line 12: temperature must be a number from 0 to 1000000, not a string"},
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
            OPENAI("b", "\"prompt\":[[3613],[438,1441]],\"n\":2,\"seed\":-4")
                OPENAI("c", "\"prompt\":\"x\",\"suffix\":\"y\"") OPENAI(
                    "d", "\"prompt\":\"x\",\"max_tokens\":0,\"logprobs\":0,\"echo\":true,\"stream\":false,"
                         "\"suffix\":null,\"user\":\"u\"")
                    OPENAI("e",
                           "\"prompt\":\"x\",\"temperature\":3") "{\"custom_id\":\"f\",\"method\":\"POST\","
                                                                 "\"url\":"
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
    assert_string_equal(text_at(all, "2.error.message"),
                        "line 3: suffix is not supported unless it is empty");
    assert_int_equal(number_at(all, "3.response.body.usage.completion_tokens"), 0);
    assert_string_equal(text_at(all, "4.error.message"),
                        "line 5: temperature must be a number from 0 to 2, not 3");
    assert_string_equal(text_at(all, "5.error.message"), "line 6: url must be \"/v1/completions\"");
    assert_true(cJSON_IsNull(field(all, "5.response")));
    cJSON_Delete(all);
}

/* ---- files from elsewhere ---- */

static char *answers_to(const char *bytes, size_t n, const char *options)
{
    write_file(at("in"), bytes, n);
    struct cli c = cli_run("batch -n 2 --quiet %s %s", options, at("in"));
    free(c.error);
    return c.out;
}

static void expect_same_answers(const char *want, const char *bytes, size_t n, const char *options)
{
    char *a = answers_to(want, strlen(want), options), *b = answers_to(bytes, n, options);
    assert_true(*a);
    assert_string_equal(a, b);
    free(a);
    free(b);
}
#define EXPECT_SAME_ANSWERS(want, bytes) expect_same_answers(want, bytes, sizeof bytes - 1, "")

static void files_of_windows(void **state)
{
    (void)state;
    EXPECT_SAME_ANSWERS("one\ntwo\n", "\xef\xbb\xbfone\r\ntwo\r\n");
    EXPECT_SAME_ANSWERS("one\n", "\xef\xbb\xbf\r\none");
    EXPECT_SAME_ANSWERS("{\"prompt\": \"one\"}\n{\"prompt\": \"two\"}\n",
                        "\xef\xbb\xbf{\"prompt\": \"one\"}\r\n\r\n{\"prompt\": \"two\"}");
    EXPECT_SAME_ANSWERS(OPENAI("a", "\"prompt\":\"x\""), "\xef\xbb\xbf" OPENAI("a", "\"prompt\":\"x\""));
    char arguments[600];
    write_file(at("in"), "\xff\xfeo\0n\0e\0\n\0", 10);
    snprintf(arguments, sizeof arguments, "batch --quiet %s", at("in"));
    expect_failure(1, "is text in UTF-16 where UTF-8 is expected", arguments);
}

/* A broken line costs only its own answer. It does not change the kind of the file. */
static void a_broken_first_line_costs_one_answer(void **state)
{
    (void)state;
    static const char *const broken = "{\"prompt\": \n";
    char text[2048];
    snprintf(text, sizeof text, "%s%s", broken, "{\"prompt\": \"one\", \"max_tokens\": 1, \"id\": \"x\"}\n");
    write_text(at("in"), text);
    cJSON *all = answers(1, at("in"));
    assert_int_equal(cJSON_GetArraySize(all), 2);
    assert_non_null(strstr(text_at(all, "0.error.message"), "line 1: not valid JSON"));
    assert_string_equal(text_at(all, "1.id"), "x");
    cJSON_Delete(all);
    snprintf(text, sizeof text, "%sno JSON\n%s", broken, OPENAI("a", "\"prompt\":\"one\",\"max_tokens\":1"));
    write_text(at("in"), text);
    all = answers(1, at("in"));
    assert_string_equal(text_at(all, "0.id"),
                        "batch_req_0"); /* a file is looked through before it is answered */
    assert_non_null(strstr(text_at(all, "1.error.message"), "line 2: not valid JSON"));
    assert_int_equal(number_at(all, "2.response.status_code"), 200);
    cJSON_Delete(all);
    struct cli c = cli_run("batch --quiet - < %s", at("in"));
    assert_int_equal(c.code, 1);
    assert_non_null(strstr(c.out, "\"custom_id\":\"a\",\"response\""));
    cli_free(&c);
    c = cli_run("help >/dev/null; cat %s | ${GPT2Q:-./gpt2q} batch --quiet -",
                at("in")); /* a pipe is answered line by line */
    assert_non_null(strstr(c.out, "{\"index\":0,\"id\":null,\"error\""));
    assert_non_null(strstr(c.out, "\"custom_id\":\"a\",\"response\""));
    cli_free(&c);
}

/* ---- what generate says ---- */

/* The same requests as JSON lines, as OpenAI lines and to generate give the same ids, text, end and
 * log-probabilities. */
static void both_shapes_say_what_generate_says(void **state)
{
    (void)state;
    static const char *const prompts[] = {"Once upon a time", "The king", "D", "\xc3\xa9t\xc3\xa9 d",
                                          "She said"};
    struct rng rng = {23};
    for (int i = 0; i < 12; i++) {
        const char *prompt = prompts[rng_below(&rng, 5)], *stop = i % 3 ? "e" : "zzz";
        int n = 1 + (int)rng_below(&rng, 9), k = 1 + (int)rng_below(&rng, 20),
            seed = (int)rng_below(&rng, 1000);
        double temperature = i % 2 ? 1.25 : 0;
        char fields[512], text[2048], arguments[1024];
        snprintf(fields, sizeof fields,
                 "\"prompt\":\"%s\",\"max_tokens\":%d,\"temperature\":%g,\"seed\":%d,\"logprobs\":%d,"
                 "\"stop\":[\"%s\"]",
                 prompt, n, temperature, seed, k, stop);
        snprintf(text, sizeof text, "{%s}\n", fields);
        write_text(at("in"), text);
        cJSON *own = answers(0, at("in"));
        snprintf(text, sizeof text,
                 "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/"
                 "completions\",\"body\":{\"return_token_ids\":true,%s}}\n",
                 fields);
        write_text(at("in"), text);
        cJSON *openai = answers(0, at("in"));
        snprintf(arguments, sizeof arguments,
                 "generate --json --quiet -n %d -t %g --seed %d --logprobs %d --stop %s '%s'", n, temperature,
                 seed, k, stop, prompt);
        cJSON *want = expect_json(arguments);
        const cJSON *line = cJSON_GetArrayItem(own, 0), *choice = field(openai, "0.response.body.choices.0");
        assert_string_equal(text_at(line, "text"), text_at(want, "text"));
        assert_string_equal(text_at(choice, "text"), text_at(want, "text"));
        assert_string_equal(text_at(choice, "finish_reason"), text_at(want, "finish_reason"));
        assert_string_equal(text_at(line, "finish_reason"), text_at(want, "finish_reason"));
        assert_true(cJSON_Compare(field(line, "ids"), field(want, "ids"), true));
        assert_true(cJSON_Compare(field(choice, "token_ids"), field(want, "ids"), true));
        assert_true(cJSON_Compare(field(line, "logprobs"), field(want, "logprobs"), true));
        assert_int_equal(number_at(choice, "seed"), seed);
        const cJSON *position;
        int at_position = 0;
        cJSON_ArrayForEach(position, field(want, "logprobs"))
        {
            const cJSON *top = cJSON_GetArrayItem(field(choice, "logprobs.top_logprobs"), at_position),
                        *entry;
            assert_true(
                number_at(position, "logprob") ==
                cJSON_GetArrayItem(field(choice, "logprobs.token_logprobs"), at_position)->valuedouble);
            int drawn_is_among = 0;
            const cJSON *named = top->child; /* best first; no two tokens of this vocabulary have one name */
            cJSON_ArrayForEach(entry, field(position, "top"))
            {
                assert_true(named && named->valuedouble == number_at(entry, "logprob"));
                named = named->next;
                drawn_is_among |= number_at(entry, "id") == number_at(position, "id");
            }
            assert_int_equal(cJSON_GetArraySize(top), k + !drawn_is_among);
            at_position++;
        }
        cJSON_Delete(own);
        cJSON_Delete(openai);
        cJSON_Delete(want);
    }
}

/* ---- the same bytes ---- */

static void the_same_bytes_in_every_company(void **state)
{
    (void)state;
    static const char *const settings[] = {"-b 1",
                                           "-b 3 --chunk 5 -j 2",
                                           "-b 32 --no-prefix-sharing",
                                           "--cache padded --chunk 7",
                                           "--isa avx2 -b 2 -j 1",
                                           "--speculate 8 -b 3"};
    write_requests(at("in"), 40);
    run_batch(1, "--quiet %s -o %s --stats %s --trace %s", at("in"), at("want"), at("stats"), at("trace"));
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
    run_batch(1, "--quiet %s -o %s", at("in"), at("want"));
    run_batch(0, "--quiet %s -o %s --shard 1/2", at("in"), at("1"));
    run_batch(1, "--quiet %s -o %s --shard 2/2 -b 2", at("in"), at("2"));
    char command[2048];
    snprintf(command, sizeof command, "sort -V %s %s > %s", at("1"), at("2"), at("got"));
    assert_int_equal(system(command), 0);
    expect_same_file(at("want"), at("got"));
}

/* The same lines as --shard I/N, wherever a job says which I and N. */
static void expect_place(const char *environment, const char *shard)
{
    char command[2048];
    run_batch(0, "--quiet --force %s -o %s -n 1 --shard %s", at("in"), at("want"), shard);
    snprintf(command, sizeof command,
             "env %s %s batch --quiet --force %s -o %s -n 1 --shard auto -m models/tales-7m", environment,
             getenv("GPT2Q") ? getenv("GPT2Q") : "./gpt2q", at("in"), at("got"));
    if (system(command) != 0) fail_msg("%s", command);
    expect_same_file(at("want"), at("got"));
}

static void expect_no_place(const char *environment, const char *message)
{
    char command[2048];
    snprintf(command, sizeof command, "env %s %s batch x --shard auto 2>%s", environment,
             getenv("GPT2Q") ? getenv("GPT2Q") : "./gpt2q", at("error"));
    assert_int_equal(WEXITSTATUS(system(command)), 2);
    size_t n;
    char *text = read_text(at("error"), &n);
    if (!strstr(text, message)) fail_msg("'%s' where '%s' is expected", text, message);
    free(text);
}

static void shards_of_a_job(void **state)
{
    (void)state;
    write_text(at("in"), "a\nb\nc\nd\ne\nf\ng\n");
    expect_place("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=3", "2/3");
    expect_place("PMI_RANK=0 PMI_SIZE=2", "1/2");
    expect_place("SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2", "2/2");
    expect_place("JOB_COMPLETION_INDEX=3 JOB_COMPLETIONS=4", "4/4");
    expect_place(
        "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=16 SLURM_ARRAY_TASK_COUNT=4 "
        "SLURM_PROCID=0",
        "3/4");
    expect_place(
        "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=2 SLURM_ARRAY_TASK_COUNT=2 "
        "PMI_RANK=1 PMI_SIZE=2",
        "4/4");
    expect_no_place("SLURM_PROCID=0", "no variable of Slurm, Open MPI, PMI or Kubernetes");
    expect_no_place("PMI_RANK=2 PMI_SIZE=2", "PMI_RANK is 2 and PMI_SIZE is 2 where a place");
    expect_no_place("JOB_COMPLETION_INDEX=0", "JOB_COMPLETIONS is not set, a number is expected");
    expect_no_place("SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2",
                    "SLURM_ARRAY_TASK_MIN is not set, a number is expected");
    expect_no_place(
        "SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=2 SLURM_ARRAY_TASK_COUNT=2",
        "SLURM_ARRAY_TASK_ID is 9 where 1 to 2");
    expect_no_place(
        "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=17 SLURM_ARRAY_TASK_COUNT=3",
        "the 3 tasks of this array, from 1 to 17, are not evenly spaced");
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, batch_set_up, batch_tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {TEST(text_lines_equal_generate),
                                       TEST(ids_and_empty_inputs),
                                       TEST(every_kind_of_bad_line_is_answered_in_its_place),
                                       TEST(too_long_a_line_or_prompt),
                                       TEST(openai_lines),
                                       TEST(files_of_windows),
                                       TEST(a_broken_first_line_costs_one_answer),
                                       TEST(both_shapes_say_what_generate_says),
                                       TEST(the_same_bytes_in_every_company),
                                       TEST(unordered_output_has_the_same_lines),
                                       TEST(shards_join),
                                       TEST(shards_of_a_job),
                                       TEST(wrong_usage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
