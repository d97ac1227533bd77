/* GGUF files as users make and use them. */
#include "tests/cli.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/gguf_file.h"
#include <unistd.h>

static char *directory;

/* The arguments with every "@" replaced by the test's own directory; valid until the next call. */
static const char *in_directory(const char *format)
{
    static char text[8192];
    size_t n = 0;
    for (const char *p = format; *p && n < sizeof text - 256; p++)
        if (*p == '@')
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", directory);
        else
            text[n++] = *p;
    text[n] = '\0';
    return text;
}

static void run_well(const char *format) { expect_exit(0, "%s", in_directory(format)); }

/* "text" of a greedy continuation. */
static char *text_of(const char *format)
{
    cJSON *doc = expect_json(in_directory(format));
    char *text = strdup(item(doc, "text")->valuestring);
    cJSON_Delete(doc);
    return text;
}

static void gives_the_same_text(void **state)
{
    (void)state;
    run_well("quantize -m models/tales-7m -q f32 -o @/f32.gguf --quiet");
    run_well("quantize -m models/tales-7m -q i4 -o @/i4.gguf --quiet");
    run_well("quantize -m models/tales-7m -o @/default.gguf --quiet");
    static const char *const pairs[][2] = {{"@/f32.gguf -q f32", "models/tales-7m -q f32"},
                                           {"@/i4.gguf -a i16", "models/tales-7m -q i4"},
                                           {"@/default.gguf", "models/tales-7m -q i8:g32"},
                                           {"@/f32.gguf", "models/tales-7m"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char a[256], b[256];
        snprintf(a, sizeof a, "generate -n 24 --json 'Once upon a time' -m %s", pairs[i][0]);
        snprintf(b, sizeof b, "generate -n 24 --json 'Once upon a time' -m %s", pairs[i][1]);
        char *left = text_of(a), *right = text_of(b);
        assert_string_equal(left, right);
        free(left), free(right);
    }
    cJSON *doc = expect_json(in_directory("inspect --json @/default.gguf"));
    const cJSON *wte = cJSON_GetArrayItem(item(doc, "tensors"), 0);
    assert_string_equal(item(wte, "name")->valuestring, "wte.weight");
    assert_string_equal(item(wte, "dtype")->valuestring, "Q8_0");
    assert_string_equal(item(wte, "scheme")->valuestring, "i8:g32:absmax");
    cJSON_Delete(doc);
}

static void types_by_name(void **state)
{
    (void)state;
    cJSON *doc =
        expect_json(in_directory("quantize --json -m models/tales-7m --gguf-type Q5_1 -o @/q5_1.gguf"));
    assert_string_equal(item(doc, "scheme")->valuestring, "mixed");
    const cJSON *weight;
    int rounded = 0;
    cJSON_ArrayForEach(weight, item(doc, "weights"))
    {
        const bool matrix = !strcmp(item(weight, "scheme")->valuestring, "i8:g32:minmax");
        assert_true(!matrix ||
                    (number(weight, "relative_error") > 1e-3 && number(weight, "relative_error") < 0.1));
        rounded += matrix;
    }
    assert_true(rounded > 8);
    cJSON_Delete(doc);
    run_well("quantize -m models/tales-7m --gguf-type bf16 -o @/bf16.gguf --quiet");
    run_well("quantize -m models/tales-7m -q bf16 -o @/same.gguf --quiet");
    struct cli c = cli_run("%s", in_directory("--version >/dev/null; cmp @/bf16.gguf @/same.gguf"));
    assert_int_equal(c.code, 0);
    cli_free(&c);
    run_well("quantize -m @/q5_1.gguf --requantize --gguf-type q4_0 -o @/q4_0.gguf --quiet");
    run_well("generate -m @/q4_0.gguf -n 2 --quiet hello");
}

static void usage(void **state)
{
    (void)state;
    expect_failure(2, "--gguf-type is 'q4_k', expected f32, f16",
                   in_directory("quantize --gguf-type q4_k -o @/x.gguf"));
    expect_failure(2, "--output FILE.gguf is needed", in_directory("quantize --gguf-type q4_0 -o @/x.gpt2q"));
    expect_failure(2, "exclude each other", in_directory("quantize --gguf-type q4_0 -q i4 -o @/x.gguf"));
    expect_failure(2, "exclude each other",
                   in_directory("quantize --gguf-type q4_0 --tensor wte.weight=i8 -o @/x.gguf"));
    expect_failure(2, "--method otherwise",
                   in_directory("quantize --gguf-type q4_0 --method mse -o @/x.gguf"));
    expect_failure(
        1, "quantized already",
        in_directory("quantize -m tests/golden/data/gguf/mixed.gguf --gguf-type q4_0 -o @/x.gguf"));
    expect_failure(1, "has no vocabulary",
                   in_directory("quantize --force -m tests/golden/data/tiny-odd -q f32 -o @/x.gguf"));
    assert_int_not_equal(access(in_directory("@/x.gguf"), F_OK), 0);
}

/* At whatever moment it comes: the whole file and 0, or nothing and 130. */
static void an_interrupt_leaves_nothing(void **state)
{
    (void)state;
    struct cli c =
        cli_run("%s", in_directory("--version >/dev/null; mkdir @/stop && { " WITH_SIGINT "${GPT2Q:-./gpt2q} "
                                   "quantize -j 1 -m models/tales-7m --gguf-type q4_0 "
                                   "-o @/stop/model.gguf >/dev/null & } "
                                   "&& sleep 0.05 && kill -INT $! ; wait $!"));
    if (c.code != 0 && c.code != 130) fail_msg("exit code %d: %s", c.code, c.error);
    assert_int_equal(unlink(in_directory("@/stop/model.gguf")), c.code ? -1 : 0);
    assert_int_equal(rmdir(in_directory("@/stop")), 0);
    cli_free(&c);
    c = cli_run("%s",
                in_directory("--version >/dev/null; mkdir @/full && trap '' XFSZ && ulimit -f 64 && "
                             "exec ${GPT2Q:-./gpt2q} quantize -m models/tales-7m -o @/full/model.gguf"));
    assert_int_equal(c.code, 1);
    assert_int_equal(rmdir(in_directory("@/full")), 0);
    cli_free(&c);
}

/* ---- what the format has no key for ---- */

static void run_shell(const char *commands)
{
    struct cli c = cli_run("--version >/dev/null; set -e; %s", in_directory(commands));
    if (c.code) fail_msg("%s: exit code %d: %s", commands, c.code, c.error);
    cli_free(&c);
}

static void other_config_with_force(void **state)
{
    (void)state;
    run_well("quantize -m tests/golden/data/gguf/mixed.gguf --export @/mixed --quiet");
    run_shell("cp -R @/mixed @/odd; sed -i 's/\"gelu_new\"/\"relu\"/; "
              "s/\"scale_attn_weights\": true/\"scale_attn_weights\": false/; "
              "s/_idx\": false/_idx\": true/; s/\"eos_token_id\": 288/\"eos_token_id\": [288, 3, 7]/' "
              "@/odd/config.json");
    expect_failure(1, "its activation_function is not GPT-2's",
                   in_directory("quantize @/odd -q f32 -o @/odd.gguf"));
    assert_int_not_equal(access(in_directory("@/odd.gguf"), F_OK), 0);
    run_well("quantize @/odd -q f32 -o @/odd.gguf --force --quiet");
    cJSON *a = expect_json(in_directory("inspect --json @/odd")),
          *b = expect_json(in_directory("inspect --json @/odd.gguf"));
    const cJSON *config = item(b, "config");
    assert_true(cJSON_Compare(item(a, "config"), config, true));
    assert_string_equal(item(config, "activation_function")->valuestring, "relu");
    assert_int_equal(cJSON_GetArraySize(item(config, "eos_token_id")), 3);
    assert_true(cJSON_IsFalse(item(config, "scale_attn_weights")));
    cJSON_Delete(a), cJSON_Delete(b);
    char *left = text_of("generate --json --ids 5 -n 12 -q f32 -m @/odd"),
         *right = text_of("generate --json --ids 5 -n 12 -q f32 -m @/odd.gguf");
    assert_string_equal(left, right);
    free(left), free(right);
}

/* Added tokens with their flags, ids around a text, a space before it. */
static void tokens_of_users(void **state)
{
    (void)state;
    static const char *const texts[] = {"<user> hello<|endoftext|>  the end", "a  < \xC3\xA9 x >b<user>",
                                        "re on the ", ""};
    run_shell(
        "cp -R @/mixed @/users; cd @/users; "
        "sed -i '/: 28[67],*$/d; s/: 288}/: 286}/' vocab.json; sed -i 's/288/286/g' config.json; "
        "sed -i '$d' merges.txt; sed -i '$d' merges.txt; "
        "printf '%s' '{\"add_prefix_space\": true, \"add_bos_token\": true, \"bos_token\": "
        "\"<|endoftext|>\", "
        "\"added_tokens_decoder\": {"
        "\"288\": {\"content\": \"< \xC3\xA9 x >\", \"special\": false, \"lstrip\": true, \"rstrip\": true, "
        "\"single_word\": false, \"normalized\": false}, "
        "\"287\": {\"content\": \"<user>\", \"special\": true, \"lstrip\": false, \"rstrip\": true, "
        "\"single_word\": false, \"normalized\": false}}}' > tokenizer_config.json");
    run_well("quantize @/users -q f32 -o @/users.gguf --quiet");
    run_well("quantize @/users.gguf --export @/users-hf --quiet");
    run_well("quantize @/users -q f32 -o @/users.gpt2q --quiet");
    run_well("quantize @/users.gpt2q -o @/again.gguf --quiet");
    run_well("quantize @/users.gpt2q --export @/again-hf --quiet");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int special = 0; special < 2; special++) {
            static const char *const others[] = {"users.gguf", "users-hf", "users.gpt2q", "again.gguf",
                                                 "again-hf"};
            char format[512];
            snprintf(format, sizeof format, "tokenize --json %s -m @/users '%s'", special ? "--special" : "",
                     texts[i]);
            cJSON *want = expect_json(in_directory(format));
            assert_int_equal(cJSON_GetArrayItem(item(want, "ids"), 0)->valueint, 286);
            for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
                snprintf(format, sizeof format, "tokenize --json %s -m @/%s '%s'", special ? "--special" : "",
                         others[k], texts[i]);
                cJSON *got = expect_json(in_directory(format));
                if (!cJSON_Compare(item(want, "ids"), item(got, "ids"), true))
                    fail_msg("%s: %s, not %s", others[k], cJSON_PrintUnformatted(item(got, "ids")),
                             cJSON_PrintUnformatted(item(want, "ids")));
                cJSON_Delete(got);
            }
            cJSON_Delete(want);
        }
}

/* ---- what is said of a model's files ---- */

/* Writes mixed.gguf with a scale below 0 in its Q4_K matrix, which has minima. */
static void turn_scale(const char *path)
{
    const char *mixed = repo_path("tests/golden/data/gguf/mixed.gguf");
    struct gguf_file f;
    gpt2q_error err;
    char *bytes;
    size_t n, at = 0;
    if (gguf_open(mixed, &f, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < f.n_tensors; i++)
        if (!strcmp(f.tensors[i].type->name, "Q4_K")) at = (size_t)(f.tensors[i].data - f.map.data);
    gguf_close(&f);
    assert_int_not_equal(at, 0);
    if (file_read(mixed, 1 << 20, &bytes, &n, &err)) fail_msg("%s", err.message);
    bytes[at + 1] = (char)(bytes[at + 1] ^ 0x80);
    FILE *to = fopen(in_directory(path), "wb");
    assert_true(to && fwrite(bytes, 1, n, to) == n && !fclose(to));
    mem_free(bytes);
}

static void remarks(void **state)
{
    (void)state;
    struct cli c = cli_run("generate -m tests/golden/data/gguf/mixed.gguf --ids 5 -n 1");
    assert_int_equal(c.code, 0);
    assert_null(strstr(c.error, "held as f32"));
    cli_free(&c);
    c = cli_run("generate -m tests/golden/data/gguf/mixed.gguf --ids 5 -n 1 -q f32 --requantize");
    assert_int_equal(c.code, 0);
    assert_null(strstr(c.error, "held as f32"));
    cli_free(&c);
    turn_scale("@/turned.gguf");
    c = cli_run("%s", in_directory("generate -m @/turned.gguf --ids 5 -n 1"));
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(
        c.error,
        "1 matrices with blocks that no scheme of codes holds exactly are held as f32: 65,536 bytes\n"));
    cli_free(&c);
    c = cli_run("generate -m tests/golden/data/heads/token --ids 5 -n 1 --ignore-eos");
    assert_non_null(strstr(
        c.error, "left out, for they belong to no language head: classifier.weight, classifier.bias\n"));
    cli_free(&c);
    c = cli_run("generate -m tests/golden/data/heads/token --ids 5 -n 1 --ignore-eos --quiet");
    assert_null(strstr(c.error, "left out"));
    cli_free(&c);
    c = cli_run("%s", in_directory("quantize tests/golden/data/heads/sequence -o @/sequence.gpt2q"));
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.error, "score.weight"));
    cli_free(&c);
    c = cli_run("inspect tests/golden/data/heads/double");
    assert_non_null(
        strstr(c.out, "left out, for they belong to no language head: multiple_choice_head.summary.bias, "));
    cli_free(&c);
    cJSON *doc = expect_json("inspect --json tests/golden/data/heads/sequence");
    assert_int_equal(cJSON_GetArraySize(item(doc, "left_out")), 1);
    cJSON_Delete(doc);
}

static int setup(void **state)
{
    (void)state;
    return (directory = temp_directory()) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_text),
        cmocka_unit_test(types_by_name),
        cmocka_unit_test(usage),
        cmocka_unit_test(an_interrupt_leaves_nothing),
        cmocka_unit_test(other_config_with_force),
        cmocka_unit_test(tokens_of_users),
        cmocka_unit_test(remarks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
