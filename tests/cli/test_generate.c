/* The command line as a script meets it: generate, tokenize, trace, help. */
#include "tests/cli.h"
#include "model/safetensors.h"
#include <math.h>
#include <unistd.h>

#define MODEL "-m models/tales-7m "
#define TALES MODEL "--quiet "

static const char *text_of(const cJSON *object, const char *key) { return item(object, key)->valuestring; }

static void generate_json_has_every_key(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n 5 'Once upon a time'");
    assert_string_equal(text_of(doc, "model"), "tales-7m");
    assert_string_equal(text_of(doc, "scheme"), "i8:channel:absmax");
    assert_string_equal(text_of(doc, "prompt"), "Once upon a time");
    assert_string_equal(text_of(doc, "finish_reason"), "length");
    assert_int_equal(cJSON_GetArraySize(item(doc, "ids")), 5);
    assert_true(cJSON_GetArraySize(item(doc, "prompt_ids")) > 1);
    assert_int_equal(item(doc, "seed")->valueint, 0);
    assert_null(cJSON_GetObjectItem(doc, "logprobs"));
    const cJSON *timings = item(doc, "timings");
    static const char *const keys[] = {"load_s", "prefill_s", "decode_s", "prefill_tokens_per_s",
                                       "decode_tokens_per_s"};
    for (size_t i = 0; i < 5; i++) assert_true(cJSON_IsNumber(item(timings, keys[i])));
    cJSON_Delete(doc);
}

static void plain_text_is_the_text(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n 12 'Once upon a time'");
    struct cli c = cli_run("generate " TALES "-n 12 'Once upon a time'");
    assert_int_equal(c.code, 0);
    assert_string_equal(c.error, "");
    char want[1024];
    snprintf(want, sizeof want, "%s\n", text_of(doc, "text"));
    assert_string_equal(c.out, want);
    cJSON_Delete(doc);
    cli_free(&c);
}

/* Greedy, sampled and penalized answers repeat. Another seed gives another answer. */
static void seeds(void **state)
{
    (void)state;
    cJSON *a = expect_json("generate " TALES "--json -n 24 -t 1 --seed 5 'Once'"),
          *b = expect_json("generate " TALES "--json -n 24 --temperature=1 --seed=5 -j 1 'Once'");
    cJSON *c = expect_json("generate " TALES "--json -n 24 -t 1 --seed 6 'Once'"),
          *s = expect_json("generate " TALES "--json -n 24 -t 1 --seed 5 --samples 2 'Once'");
    assert_string_equal(text_of(a, "text"), text_of(b, "text"));
    assert_string_not_equal(text_of(a, "text"), text_of(c, "text"));
    const cJSON *samples = item(s, "samples");
    assert_int_equal(cJSON_GetArraySize(samples), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(samples, 0), "text"), text_of(a, "text"));
    assert_string_equal(text_of(cJSON_GetArrayItem(samples, 1), "text"), text_of(c, "text"));
    assert_int_equal(item(cJSON_GetArrayItem(samples, 1), "seed")->valueint, 6);
    cJSON_Delete(a), cJSON_Delete(b), cJSON_Delete(c), cJSON_Delete(s);
}

static void stop_cuts_the_text_and_keeps_the_ids(void **state)
{
    (void)state;
    cJSON *whole =
        expect_json("generate " TALES "--json -n 40 'Once upon a time, there was a little girl named Lily.'");
    cJSON *cut = expect_json(
        "generate " TALES
        "--json -n 40 --stop '. ' --stop ',' 'Once upon a time, there was a little girl named Lily.'");
    assert_string_equal(text_of(cut, "finish_reason"), "stop");
    const char *text = text_of(cut, "text"), *all = text_of(whole, "text");
    size_t n = strlen(text);
    assert_true(n < strlen(all) && !strncmp(text, all, n));
    assert_true(!strncmp(all + n, ". ", 2) || all[n] == ',');
    assert_true(cJSON_GetArraySize(item(cut, "ids")) > 0);
    cJSON_Delete(whole), cJSON_Delete(cut);
}

static void speculation_is_not_seen(void **state)
{
    (void)state;
    static const char prompt[] = "'One, two, three, four. One, two, three, four. One, two,'";
    static const char *const settings[] = {"", "-t 0.7 --samples 3", "--echo --logprobs 2 --stop four"};
    static const char *const keys[] = {"ids", "text", "finish_reason", "logprobs", "samples"};
    for (size_t i = 0; i < 3; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "generate " TALES "--json -n 30 %s %s", settings[i], prompt);
        cJSON *want = expect_json(arguments);
        snprintf(arguments, sizeof arguments, "generate " TALES "--json -n 30 %s --speculate 8 %s",
                 settings[i], prompt);
        cJSON *got = expect_json(arguments);
        for (size_t k = 0; k < 5; k++) {
            const cJSON *a = cJSON_GetObjectItem(want, keys[k]), *b = cJSON_GetObjectItem(got, keys[k]);
            if ((a || b) && !cJSON_Compare(a, b, true)) fail_msg("%s: another %s", settings[i], keys[k]);
        }
        cJSON_Delete(want), cJSON_Delete(got);
    }
    struct cli c = cli_run("generate -m models/tales-7m -n 60 --speculate 4 %s", prompt);
    unsigned accepted = 0, proposed = 0;
    const char *counts = strrchr(c.error, ',');
    assert_true(counts && sscanf(counts, ", %u of %u proposed accepted", &accepted, &proposed) == 2);
    assert_true(0 < accepted && accepted <= proposed);
    cli_free(&c);
    expect_failure(2, "--speculate is '65' where an integer from 0 to 64 is expected",
                   "generate " TALES "--speculate 65 x");
}

static void logprobs_and_echo(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n 2 --echo --logprobs 3 'Once upon a time'");
    const cJSON *list = item(doc, "logprobs");
    int n_prompt = cJSON_GetArraySize(item(doc, "prompt_ids"));
    assert_int_equal(cJSON_GetArraySize(list), n_prompt + 2);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(list, 0)));
    assert_true(!strncmp(text_of(doc, "text"), "Once upon a time", 16));
    for (int i = 1; i < n_prompt + 2; i++) {
        const cJSON *entry = cJSON_GetArrayItem(list, i), *top = item(entry, "top");
        assert_int_equal(cJSON_GetArraySize(top), 3);
        assert_true(item(entry, "logprob")->valuedouble <=
                    item(cJSON_GetArrayItem(top, 0), "logprob")->valuedouble);
        if (i >= n_prompt)
            assert_int_equal(item(entry, "id")->valueint,
                             item(cJSON_GetArrayItem(top, 0), "id")->valueint); /* greedy */
    }
    cJSON *score = expect_json("generate " TALES "--json -n 0 --echo --logprobs 0 'Once upon a time'");
    const cJSON *scores = item(score, "logprobs");
    assert_int_equal(cJSON_GetArraySize(scores), n_prompt);
    assert_int_equal(cJSON_GetArraySize(item(score, "ids")), 0);
    for (int i = 1; i < n_prompt; i++)
        assert_true(item(cJSON_GetArrayItem(scores, i), "logprob")->valuedouble ==
                    item(cJSON_GetArrayItem(list, i), "logprob")->valuedouble);
    cJSON_Delete(doc), cJSON_Delete(score);
}

static void an_empty_prompt_is_bos(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n 1 ''");
    assert_int_equal(cJSON_GetArraySize(item(doc, "prompt_ids")), 1);
    assert_int_equal(cJSON_GetArrayItem(item(doc, "prompt_ids"), 0)->valueint, 8192);
    cJSON_Delete(doc);
}

static void ids_need_no_vocabulary(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate -m tests/golden/data/tiny-relu --ids --json -n 3 '1 2 3'");
    assert_int_equal(cJSON_GetArraySize(item(doc, "ids")), 3);
    cJSON_Delete(doc);
    expect_failure(1, "outside the vocabulary of 257",
                   "generate -m tests/golden/data/tiny-relu --ids --quiet '1 999'");
    expect_failure(2, "'x' is no token id", "generate -m tests/golden/data/tiny-relu --ids --quiet '1 x'");
}

static void context_limits(void **state)
{
    (void)state;
    expect_failure(1, "the prompt has 9 tokens, which leaves no room in the context of 8",
                   "generate -m tests/golden/data/tiny-relu --quiet -c 8 --ids '1 2 3 4 5 6 7 8 9'");
    expect_failure(1, "has 8 tokens",
                   "generate -m tests/golden/data/tiny-relu --quiet -c 8 --ids '1 2 3 4 5 6 7 8'");
    cJSON *full = expect_json("generate -m tests/golden/data/tiny-relu -c 8 --ids --json -n 0 --echo "
                              "--logprobs 0 '1 2 3 4 5 6 7 8'");
    assert_int_equal(cJSON_GetArraySize(item(full, "logprobs")), 8);
    cJSON *left = expect_json(
        "generate -m tests/golden/data/tiny-relu -c 8 --ids --json -n 3 --truncate left '1 2 3 4 5 6 7 8 9'");
    cJSON *same = expect_json("generate -m tests/golden/data/tiny-relu -c 8 --ids --json -n 3 '5 6 7 8 9'");
    assert_true(cJSON_Compare(item(left, "ids"), item(same, "ids"), true));
    assert_true(cJSON_Compare(item(left, "prompt_ids"), item(same, "prompt_ids"), true));
    cJSON *end =
        expect_json("generate -m tests/golden/data/tiny-relu -c 8 --ids --ignore-eos --json -n 60 '5 6 7'");
    assert_int_equal(cJSON_GetArraySize(item(end, "ids")), 5);
    assert_string_equal(text_of(end, "finish_reason"), "length");
    cJSON_Delete(full), cJSON_Delete(left), cJSON_Delete(same), cJSON_Delete(end);
}

static void wrong_usage_is_exit_code_2(void **state)
{
    (void)state;
    expect_failure(2, "did you mean '--temperature'", "generate --temprature 1 x");
    expect_failure(2, "unknown option '-model': did you mean '--model'?", "generate -model gpt2 x");
    expect_failure(2, "unknown option '-help': did you mean '--help'?", "generate -help");
    expect_failure(2, "did you mean 'generate'", "genrate x");
    expect_failure(2, "help takes the name of one command, not 2: 'generate' and 'batch'",
                   "help generate batch");
    expect_failure(1, "a stop string is given, but the model has no vocabulary",
                   "generate -m tests/golden/data/tiny-relu --ids --stop a '5 6 7'");
    expect_failure(2, "put quotes around it", "generate Once upon");
    expect_failure(2, "a prompt is expected", "generate </dev/null");
    expect_failure(2, "--top-p is '2'", "generate --top-p 2 x");
    expect_failure(2, "--seed is '-1'", "generate --seed -1 x");
    expect_failure(2, "needs a value", "generate x -n");
    expect_failure(2, "--json takes no value", "generate --json=1 x");
    expect_failure(2, "did you mean", "generate -q i9 x");
    expect_failure(2, "did you mean", "generate -q i8:chanel x");
    expect_failure(2, "which takes f32 activations only", "generate -q f32 -a i16 x");
    expect_failure(2, "i8 do not go with fp8:e5m2, which takes f32 activations only",
                   "generate -q fp8:e5m2 -a i8 x");
    expect_failure(2, "--kv is 'f8' where f32, f16, i16 or i8 is expected", "generate --kv f8 x");
    expect_failure(2, "unknown instruction set", "generate --isa avx1024 x");
    expect_failure(2, "--truncate is 'right'", "generate --truncate right x");
    expect_failure(2, "GLOB=SPEC", "generate --tensor h.0 x");
    expect_failure(2, "--tensor is '=i8' where GLOB=SPEC", "generate --tensor =i8 x");
    struct cli alone = cli_run(" ");
    assert_int_equal(alone.code, 2);
    assert_non_null(strstr(alone.out, "Usage: gpt2q COMMAND"));
    struct cli help = cli_run("help help");
    assert_int_equal(help.code, 0);
    assert_string_equal(help.out, alone.out);
    cli_free(&alone), cli_free(&help);
}

/* A command refuses options that would change nothing, and suggests only near names. */
static void options_that_a_command_does_not_take(void **state)
{
    (void)state;
    static const char *const refused[] = {"quantize -a i8",    "quantize --kv f16",    "quantize -c 8",
                                          "compare -q i8",     "generate --verbose x", "batch --verbose",
                                          "compare --verbose", "trace --verbose x",    "quantize --verbose",
                                          "bench --ctx 8",     "inspect --kv f16",     "tokenize --quiet x"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_failure(2, "unknown option", refused[i]);
    expect_failure(2, "--logprobs needs --json", "generate --logprobs 1 x");
    expect_failure(2, "--special is about texts", "tokenize --special --decode 5");
    expect_failure(2, "--check looks at numbers", "inspect --shape gpt2 --check");
    expect_failure(2, "did you mean '--temperature'", "generate --temp 1 x");
    expect_failure(2, "did you mean '--max-tokens'", "generate --max-new-tokens 1 x");
    expect_failure(2, "did you mean 'generate'", "gen x");
    expect_failure(2, "'gpt2q help' lists", "frobnicate x");
    expect_failure(2, "'gpt2q help generate' lists", "generate --frobnicate x");
    static const char *const commands[] = {"generate", "batch",    "compare", "eval",
                                           "trace",    "quantize", "inspect", "bench"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct cli c = cli_run("help %s", commands[i]);
        if (strcmp(commands[i], "eval") != 0) assert_null(strstr(c.out, "--verbose"));
        cli_free(&c);
    }
}

/* The largest and the least value of an option are valid. */
static void values_at_the_limits_of_options(void **state)
{
    (void)state;
    static const char *const taken[] = {"-n 1 --top-k 2147483647", "-n 1 --top-p 1",
                                        "-n 1 -t 1000000",         "-n 1 --min-p 1",
                                        "-n 1 --top-k 0",          "-n 1 --seed 18446744073709551615"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct cli c = cli_run("generate " TALES "--quiet %s x", taken[i]);
        if (c.code) fail_msg("%s: %s", taken[i], c.error);
        cli_free(&c);
    }
    static const char *const beyond[] = {
        "--top-k 2147483648", "--top-p 1.0001", "-t 1000001",
        "--min-p -0.1",       "-n -1",          "--seed 18446744073709551616"};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        char arguments[120];
        snprintf(arguments, sizeof arguments, "generate %s x", beyond[i]);
        expect_failure(2, "is expected", arguments);
    }
}

/* -n 0 says how likely the prompt is: the sum of --logprobs. */
static void the_score_of_a_prompt(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "-n 0 --echo --logprobs 0 --json 'Once upon a time'");
    double sum = 0, said, each;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, item(doc, "logprobs")) if (cJSON_IsObject(entry)) sum +=
        number(entry, "logprob");
    struct cli c = cli_run("generate " TALES "-n 0 'Once upon a time'");
    int n;
    assert_int_equal(sscanf(c.out, "log-probability %lf of %d tokens after the first; %lf", &said, &n, &each),
                     3);
    assert_int_equal(n, cJSON_GetArraySize(item(doc, "logprobs")) - 1);
    assert_true(fabs(said - sum) < 1e-3 && fabs(each - sum / n) < 1e-3);
    assert_null(strstr(c.error, "made"));
    cli_free(&c);
    cJSON_Delete(doc);
}

/* What a user tries without reading the help. */
static void what_it_looks_like(void **state)
{
    (void)state;
    struct cli a = cli_run("--version >/dev/null; echo 'Once upon a time' | ${GPT2Q:-./gpt2q} generate " TALES
                           "--quiet -n 4");
    struct cli b = cli_run("generate " TALES "--quiet -n 4 'Once upon a time'");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out, b.out);
    cli_free(&a), cli_free(&b);
    a = cli_run("inspect -m models/tales-7m"), b = cli_run("inspect models/tales-7m");
    assert_string_equal(a.out, b.out);
    cli_free(&a), cli_free(&b);
    a = cli_run("tokenize " MODEL "--decode '[438, 1441]'"),
    b = cli_run("tokenize " MODEL "--decode '438 1441'");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out, b.out);
    cli_free(&a), cli_free(&b);
    expect_failure(2, "without ']'", "tokenize " MODEL "--decode '[438, 1441'");
    a = cli_run("tokenize " MODEL "--show \"$(printf 'Once\\n\\200')\"");
    assert_non_null(strstr(a.out, "\"Once\"                 4f 6e 63 65\n"));
    assert_non_null(strstr(a.out, "\"\\n\""));
    assert_non_null(strstr(a.out, "\"\\x80\""));
    cli_free(&a);
}

static size_t widest_line(const char *text)
{
    size_t widest = 0;
    for (; *text; text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n'))
        if (strcspn(text, "\n") > widest) widest = strcspn(text, "\n");
    return widest;
}

static void widths(void **state)
{
    (void)state;
    struct cli list = cli_run("help --commands");
    for (char *name = strtok(list.out, "\n"); name; name = strtok(NULL, "\n"))
        for (int columns = 60; strcmp(name, "help") && columns <= 100; columns += 20) {
            struct cli c =
                cli_run("--version >/dev/null; COLUMNS=%d ${GPT2Q:-./gpt2q} help %s", columns, name);
            if (widest_line(c.out) > (size_t)columns)
                fail_msg("help %s: %zu of %d columns", name, widest_line(c.out), columns);
            cli_free(&c);
        }
    cli_free(&list);
    static const char *const tables[] = {
        "inspect " MODEL,
        "inspect -q notes " MODEL,
        "inspect -q i4 " MODEL,
        "inspect " MODEL "--tensor wte.weight -q i8",
        "explain",
        "compare " TALES "--quiet -n 0 --limit 128 --window 64 --schemes f32,i8@i8,i8:g32:affine"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct cli c = cli_run("%s", tables[i]);
        assert_int_equal(c.code, 0);
        if (widest_line(c.out) > 80 + strlen("\u2588") * 60 * (size_t)(i == 3))
            fail_msg("%s: %zu columns", tables[i], widest_line(c.out));
        cli_free(&c);
    }
}

static void what_cannot_be_done_is_exit_code_1(void **state)
{
    (void)state;
    expect_failure(1, "/nowhere", "generate -m /nowhere x");
    expect_failure(1, "no-such-prompt", "generate -f no-such-prompt");
    expect_failure(1, "tests", "generate -f tests");
    expect_failure(1, "group", "generate -q i8:g24 x");
}

static void options_end_and_values_join(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n1 -- '--n'");
    assert_string_equal(text_of(doc, "prompt"), "--n");
    cJSON_Delete(doc);
    struct cli c = cli_run("generate --help");
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.out, "--repetition-penalty"));
    assert_non_null(strstr(c.out, "Examples:"));
    cli_free(&c);
    c = cli_run("--version");
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.out, "unicode: 15"));
    assert_non_null(strstr(c.out, "models/tales-7m"));
    cli_free(&c);
}

/* Any bytes may be in a prompt. JSON is valid UTF-8 all the same. */
static void broken_prompts(void **state)
{
    (void)state;
    cJSON *doc = expect_json("generate " TALES "--json -n 2 \"$(printf 'a\\377\\300b')\"");
    assert_string_equal(text_of(doc, "prompt"), "a\xEF\xBF\xBD\xEF\xBF\xBD"
                                                "b");
    cJSON_Delete(doc);
}

static void tokenize_round_trip(void **state)
{
    (void)state;
    cJSON *doc = expect_json("tokenize -m models/tales-7m --json 'Once upon a time'");
    assert_int_equal(cJSON_GetArraySize(item(doc, "ids")), cJSON_GetArraySize(item(doc, "tokens")));
    cJSON_Delete(doc);
    char ids[TEMP_PATH];
    close(temp_file(ids));
    struct cli c = cli_run("tokenize -m models/tales-7m < models/tales-7m/MODEL_CARD.md > %s; "
                           "${GPT2Q:-./gpt2q} tokenize -m models/tales-7m --decode - < %s | "
                           "cmp - models/tales-7m/MODEL_CARD.md; rm %s",
                           ids, ids, ids);
    assert_int_equal(c.code, 0);
    assert_string_equal(c.out, "");
    cli_free(&c);
    c = cli_run("tokenize -m models/tales-7m --decode 255");
    assert_int_equal(c.out_size, 1);
    cli_free(&c);
    expect_failure(1, "outside the vocabulary of 8193", "tokenize -m models/tales-7m --decode 8193");
    doc = expect_json("tokenize -m models/tales-7m --special --json '<|endoftext|>'");
    assert_int_equal(cJSON_GetArraySize(item(doc, "ids")), 1);
    cJSON_Delete(doc);
    doc = expect_json("tokenize -m models/tales-7m --json '<|endoftext|>'");
    assert_true(cJSON_GetArraySize(item(doc, "ids")) > 1);
    cJSON_Delete(doc);
}

static void trace_writes_every_intermediate(void **state)
{
    (void)state;
    char *directory = temp_directory(), path[512];
    snprintf(path, sizeof path, "%s/t.safetensors", directory);
    struct cli c =
        cli_run("trace -m models/tales-7m -q f32 -o %s 'The quick brown fox jumped over the'", path);
    assert_int_equal(c.code, 0);
    cli_free(&c);
    struct safetensors a, b;
    gpt2q_error err;
    assert_int_equal(safetensors_open(path, &a, &err), GPT2Q_OK);
    assert_int_equal(safetensors_open(repo_path("tests/golden/data/tales-7m/trace.safetensors"), &b, &err),
                     GPT2Q_OK);
    assert_int_equal(a.n_tensors, b.n_tensors);
    for (size_t i = 0; i < b.n_tensors; i++) {
        const struct st_tensor *t = safetensors_find(&a, b.tensors[i].name);
        if (!t) fail_msg("%s is missing", b.tensors[i].name);
        assert_int_equal(t->dtype, b.tensors[i].dtype);
        assert_memory_equal(t->shape, b.tensors[i].shape, sizeof t->shape);
    }
    safetensors_close(&a);
    safetensors_close(&b);
    snprintf(path, sizeof path, "trace -m models/tales-7m -o %s/nowhere/t 'x'", directory);
    expect_failure(1, "cannot be written", path);
    temp_remove(directory);
}

/* Floats and the notes' codes among integer matrices, with any activations of the others. */
static void schemes_mix(void **state)
{
    (void)state;
    static const char *const bases[] = {"i8", "i4", "f32"}, *const others[] = {"f32",           "f16",
                                                                               "bf16",          "i8",
                                                                               "i4:g32:signed", "notes"};
    static const char *const names[] = {"h.0.mlp.c_proj.weight", "wte.weight", "lm_head.weight"};
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
        for (size_t o = 0; o < sizeof others / sizeof *others; o++)
            for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
                struct cli c = cli_run("generate --quiet -n 3 -m tests/golden/data/tiny-gelu --ids -q %s "
                                       "--tensor %s=%s '1 2 3' --json",
                                       bases[b], names[n], others[o]);
                if (c.code)
                    fail_msg("-q %s --tensor %s=%s: exit code %d, %s", bases[b], names[n], others[o], c.code,
                             c.error);
                cli_free(&c);
            }
}

static void works_from_any_directory(void **state)
{
    (void)state;
    char root[1024];
    assert_non_null(getcwd(root, sizeof root));
    const char *program = getenv("GPT2Q");
    const bool whole = program && *program == '/';
    struct cli c = cli_run("--version >/dev/null && cd / && %s%s%s generate --quiet -n 3 'Once upon a time'",
                           whole ? "" : root, whole ? "" : "/", program ? program : "gpt2q");
    assert_int_equal(c.code, 0);
    assert_true(c.out_size > 1);
    cli_free(&c);
}

/* A signal after the first tokens: the output so far stays, and the exit code names the signal. */
static void interrupted_by(const char *name, int code)
{
    struct cli c = cli_run(
        "--version >/dev/null; out=$(mktemp); " WITH_SIGINT "${GPT2Q:-./gpt2q} generate --isa scalar " TALES
        "-n 500 --ignore-eos 'Once upon a time' >$out & pid=$!; "
        "until [ -s $out ]; do sleep 0.02; done; kill -%s $pid; wait $pid; echo $? >&2; cat $out; rm $out",
        name);
    assert_int_equal(atoi(c.error), code);
    assert_true(c.out_size > 1 && c.out[c.out_size - 1] == '\n');
    struct cli whole = cli_run("generate " TALES "-n 500 --ignore-eos 'Once upon a time'");
    assert_true(c.out_size < whole.out_size &&
                !strncmp(c.out, whole.out, c.out_size - 4)); /* but for a code point under way */
    cli_free(&whole);
    cli_free(&c);
}

/* What --json says of a generation that a signal ended. On a busy machine the first signal may come before the
 * first token. The signal waits until the program asks for it. */
static void interrupted_json(void **state)
{
    (void)state;
    cJSON *doc = NULL;
    for (int tenths = 5; !doc && tenths <= 160; tenths *= 2) {
        struct cli c =
            cli_run("--version >/dev/null; out=$(mktemp); " WITH_SIGINT
                    "${GPT2Q:-./gpt2q} generate --isa scalar -j 1 " TALES
                    "-n 500 --samples 1024 --ignore-eos --json 'Once upon a time' >$out & pid=$!; "
                    "until grep -q '^SigCgt:.*[2367abef]$' /proc/$pid/status || ! test -e /proc/$pid; do "
                    "sleep 0.02; done; "
                    "sleep %d.%d; kill -INT $pid; wait $pid; echo $? >&2; cat $out; rm $out",
                    tenths / 10, tenths % 10);
        assert_int_equal(atoi(c.error), 130);
        doc = cJSON_Parse(c.out);
        cli_free(&c);
    }
    const cJSON *last = cJSON_GetArrayItem(item(doc, "samples"), 1023);
    assert_string_equal(text_of(last, "finish_reason"), "cancelled");
    cJSON_Delete(doc);
}

static void interrupt(void **state)
{
    (void)state;
    interrupted_by("INT", 130);
    interrupted_by("TERM", 143);
}

/* A stop string may have 4,096 bytes, and no more. */
static void stop_strings_have_a_limit(void **state)
{
    (void)state;
    char stop[4098], arguments[4300];
    memset(stop, 'z', sizeof stop);
    stop[4096] = '\0';
    struct cli c = cli_run("generate " TALES "--quiet -n 1 --stop %s x", stop);
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    stop[4096] = 'z';
    stop[4097] = '\0';
    snprintf(arguments, sizeof arguments, "generate " TALES "--quiet -n 1 --stop %s x", stop);
    expect_failure(1, "a stop string has 4097 bytes", arguments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_strings_have_a_limit),
        cmocka_unit_test(generate_json_has_every_key),
        cmocka_unit_test(plain_text_is_the_text),
        cmocka_unit_test(seeds),
        cmocka_unit_test(stop_cuts_the_text_and_keeps_the_ids),
        cmocka_unit_test(speculation_is_not_seen),
        cmocka_unit_test(logprobs_and_echo),
        cmocka_unit_test(an_empty_prompt_is_bos),
        cmocka_unit_test(ids_need_no_vocabulary),
        cmocka_unit_test(context_limits),
        cmocka_unit_test(wrong_usage_is_exit_code_2),
        cmocka_unit_test(options_that_a_command_does_not_take),
        cmocka_unit_test(values_at_the_limits_of_options),
        cmocka_unit_test(the_score_of_a_prompt),
        cmocka_unit_test(what_it_looks_like),
        cmocka_unit_test(widths),
        cmocka_unit_test(what_cannot_be_done_is_exit_code_1),
        cmocka_unit_test(options_end_and_values_join),
        cmocka_unit_test(broken_prompts),
        cmocka_unit_test(tokenize_round_trip),
        cmocka_unit_test(trace_writes_every_intermediate),
        cmocka_unit_test(schemes_mix),
        cmocka_unit_test(works_from_any_directory),
        cmocka_unit_test(interrupted_json),
        cmocka_unit_test(interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
