/* gpt2q eval: against the goldens, against itself, and what it refuses. */
#include "tests/cli.h"
#include <math.h>
#include <unistd.h>

#define EVAL "eval --quiet --json "

static void nll_is_the_goldens(void **state)
{
    (void)state;
    slow_build_skips();
    cJSON *golden = json_of_file(repo_path("tests/golden/data/tales-7m/perplexity.json"));
    const cJSON *books = cJSON_GetObjectItem(golden, "books");
    cJSON *doc = expect_json(EVAL "-q f32 --window 256 --limit 20000");
    near(number(doc, "nll"), number(books, "nll"), 1e-4);
    assert_true(number(doc, "tokens") == number(books, "tokens"));
    near(number(doc, "perplexity"), exp(number(doc, "nll")), 1e-9);
    assert_true(number(doc, "nll_stderr") > 0.005 && number(doc, "nll_stderr") < 0.05);
    cJSON_Delete(doc), cJSON_Delete(golden);
}

static void a_dump_is_reproduced_exactly(void **state)
{
    (void)state;
    char *dir = temp_directory(), arguments[512];
    snprintf(arguments, sizeof arguments,
             EVAL "-q f32 --window 48 --stride 32 --limit 200 --logits %s/l.safetensors", dir);
    cJSON *a = expect_json(arguments);
    assert_true(number(a, "tokens") == 47 + 4 * 32);
    snprintf(arguments, sizeof arguments, EVAL "-q f32 -j 1 --reference %s/l.safetensors", dir);
    cJSON *b = expect_json(arguments);
    assert_true(number(b, "kl_max") == 0 && number(b, "max_difference") == 0 &&
                number(b, "top1_agreement") == 1);
    assert_true(number(b, "tokens") == 5 * 47 && number(b, "nll") == number(b, "reference_nll"));
    snprintf(arguments, sizeof arguments, EVAL "-q i4 --reference %s/l.safetensors --limit 100", dir);
    cJSON *c = expect_json(arguments);
    assert_true(number(c, "kl_mean") > 0.01 && number(c, "kl_p99") <= number(c, "kl_max") &&
                number(c, "tokens") == 2 * 47);
    snprintf(arguments, sizeof arguments, "eval -m tests/golden/data/tiny-relu --reference %s/l.safetensors",
             dir);
    expect_failure(1, "logits over a vocabulary of 8193 where the model's has 257", arguments);
    snprintf(arguments, sizeof arguments, "eval -c 32 --reference %s/l.safetensors", dir);
    expect_failure(1, "l.safetensors: its windows have 48 tokens, --ctx allows 32", arguments);
    cJSON_Delete(a), cJSON_Delete(b), cJSON_Delete(c);
    temp_remove(dir);
}

/* Hugging Face's logits, as the goldens hold them. */
static void another_programs_logits(void **state)
{
    (void)state;
    static const char *const models[] = {"tiny-relu", "tiny-odd", "tiny-gelu"};
    for (size_t i = 0; i < 3; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments,
                 EVAL "-q f32 -m tests/golden/data/%s --reference tests/golden/data/%s/golden.safetensors",
                 models[i], models[i]);
        cJSON *doc = expect_json(arguments);
        assert_true(number(doc, "kl_max") < 1e-6 && number(doc, "max_difference") < 1e-4);
        near(number(doc, "nll"), number(doc, "reference_nll"), 1e-6);
        assert_true(number(doc, "tokens") == 40);
        cJSON_Delete(doc);
    }
}

/* Four passages. No model predicts the last one's word: it is made up. */
static void last_words(void **state)
{
    (void)state;
    char *dir = temp_directory(), path[256], arguments[512];
    static const char lines[] =
        "{\"text\": \"Once upon a time, there was a little girl named Lily. She loved to play with her toys. "
        "Her name was Lily.\"}\n"
        "\n{\"text\": \"One day, Tom and Sam went to the park. Tom and Sam played in the park\"}\n"
        "{\"text\": \"The cat sat on a mat, and so we end with xqzvkjw\\n\"}\n";
    snprintf(path, sizeof path, "%s/lambada.jsonl", dir);
    write_file(path, lines, sizeof lines - 1);
    snprintf(arguments, sizeof arguments, EVAL "--lambada %s", path);
    cJSON *doc = expect_json(arguments);
    assert_true(number(doc, "examples") == 3);
    assert_true(number(doc, "accuracy") <= 2.0 / 3 + 1e-9 && number(doc, "accuracy") >= 1.0 / 3 - 1e-9);
    assert_true(number(doc, "nll") > 1);
    cJSON_Delete(doc);
    write_file(path, "{\"text\": 3}\n", 12);
    snprintf(arguments, sizeof arguments, "eval --lambada %s", path);
    expect_failure(1, "line 1: a string \"text\" is expected", arguments);
    write_file(path, "{\"text\": \"  \"}\n", 15);
    expect_failure(1, "several words", arguments);
    write_file(path, "\n", 1);
    expect_failure(1, "holds no passage", arguments);
    temp_remove(dir);
}

/* A word's nll equals the one from generate's log-probabilities. */
static void a_last_word_is_scored_as_generate_scores_it(void **state)
{
    (void)state;
    char *dir = temp_directory(), path[256], arguments[512];
    static const char line[] = "{\"text\": \"Once upon a time there was a little dog\"}";
    snprintf(path, sizeof path, "%s/one.jsonl", dir);
    write_file(path, line, sizeof line - 1);
    snprintf(arguments, sizeof arguments, EVAL "-q f32 --lambada %s", path);
    cJSON *doc = expect_json(arguments);
    cJSON *generated = expect_json(
        "generate --json --quiet -q f32 -n 0 --echo --logprobs 0 'Once upon a time there was a little dog'");
    const cJSON *list = cJSON_GetObjectItem(generated, "logprobs");
    const cJSON *last = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
    near(number(doc, "nll"), -number(last, "logprob"), 1e-5);
    cJSON_Delete(doc), cJSON_Delete(generated);
    temp_remove(dir);
}

static void what_is_refused(void **state)
{
    (void)state;
    char *dir = temp_directory(), arguments[512];
    snprintf(arguments, sizeof arguments, "%s/short.txt", dir);
    write_file(arguments, "too short", 9);
    snprintf(arguments, sizeof arguments, "eval --quiet --text %s/short.txt", dir);
    expect_failure(1, "too few for one window of 512", arguments);
    expect_failure(1, "more than the model's context of 512", "eval --window 513");
    expect_failure(2, "--stride is 65 where at most the window, 64, is expected",
                   "eval --window 64 --stride 65");
    expect_failure(2, "--window is '1'", "eval --window 1");
    expect_failure(2, "--window is 64 where at most --ctx, 32, is expected", "eval -c 32 --window 64");
    expect_failure(2, "a text is given by --text", "eval file.txt");
    expect_failure(2, "did you mean '--stride'", "eval --strid 3");
    expect_failure(2, "--lambada goes with no other", "eval --lambada x --window 3");
    expect_failure(2, "brings its own text", "eval --reference x --text y");
    expect_failure(1, "no-such-file", "eval --text no-such-file");
    expect_failure(1, "eval: an empty path is no file that can be read", "eval --text ''");
    expect_failure(1, "batch: an empty path is no file that can be read", "batch ''");
    expect_failure(2, "unknown scheme \"\"", "bench --schemes ''");
    expect_failure(1, "a tensor 'input_ids' is expected",
                   "eval --reference models/tales-7m/model.safetensors");
    expect_failure(1, "no-such-folder", "eval --quiet --limit 512 --logits no-such-folder/x.safetensors");
    temp_remove(dir);
}

/* Messages name it as people do, not by its sign. */
static void standard_input_is_named(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"eval --quiet --text - <<'X'\nshort\nX", "eval: standard input: 3 tokens are too few"},
        {"compare --quiet --text - <<'X'\nshort\nX", "compare: standard input: 3 tokens are too few"},
        {"eval --quiet --lambada - <<'X'\nshort\nX", "eval: standard input, line 1: not valid JSON"},
        {"explain - <<'X'\n{\"W\": []}\nX", "explain: standard input: W is not a list"},
        {"train -q i4 --text - -o /dev/null <<'X'\nshort\nX",
         "train: standard input: its 3 tokens are too few"},
        {"bench --tokenizer - </dev/null", "bench: standard input: is empty"}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) expect_failure(1, lines[i][1], lines[i][0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nll_is_the_goldens),
                                       cmocka_unit_test(a_dump_is_reproduced_exactly),
                                       cmocka_unit_test(another_programs_logits),
                                       cmocka_unit_test(last_words),
                                       cmocka_unit_test(a_last_word_is_scored_as_generate_scores_it),
                                       cmocka_unit_test(what_is_refused),
                                       cmocka_unit_test(standard_input_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
