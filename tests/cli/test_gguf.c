/* GGUF files as users make and use them. */
#include "tests/cli.h"
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

static void run_well(const char *format)
{
    struct cli c = cli_run("%s", in_directory(format));
    if (c.code) fail_msg("%s: exit code %d: %s", format, c.code, c.error);
    cli_free(&c);
}

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
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
