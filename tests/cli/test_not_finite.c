/* Weights and logits that are no finite numbers, or so large that sums lose the rest: never a figure, and never exit code 0. */
#include "tests/batch_files.h"
#include "model/safetensors.h"
#include <math.h>

static void copy_model(void)
{
    struct cli c =
        cli_run("--version >/dev/null && mkdir %s && cp models/tales-7m/*.json models/tales-7m/merges.txt "
                "models/tales-7m/model.safetensors %s",
                at("m"), at("m"));
    assert_int_equal(c.code, 0);
    cli_free(&c);
}

/* The first value of a tensor becomes `value`; what it was is given back. */
static float put(const char *name, float value)
{
    struct safetensors st;
    gpt2q_error err;
    char prefixed[128];
    float old = 0;
    assert_int_equal(safetensors_open(at("m/model.safetensors"), &st, &err), GPT2Q_OK);
    snprintf(prefixed, sizeof prefixed, "transformer.%s", name);
    const struct st_tensor *t = safetensors_find(&st, name);
    if (!t) t = safetensors_find(&st, prefixed);
    assert_non_null(t);
    const long offset = (long)(t->data - st.map.data);
    const enum st_dtype dtype = t->dtype;
    safetensors_close(&st);
    uint16_t half = value != value ? 0x7E00 : isinf(value) ? 0x7C00 : 0, old_half;
    FILE *f = fopen(at("m/model.safetensors"), "r+b");
    assert_non_null(f);
    fseek(f, offset, SEEK_SET);
    const size_t size = dtype == ST_F32 ? sizeof value : sizeof half;
    if (dtype != ST_F32) assert_int_equal(dtype, ST_F16);
    assert_int_equal(fread(dtype == ST_F32 ? (void *)&old : &old_half, size, 1, f), 1);
    fseek(f, offset, SEEK_SET);
    assert_int_equal(fwrite(dtype == ST_F32 ? (void *)&value : &half, size, 1, f), 1);
    fclose(f);
    return old;
}

static void expect(const char *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void expect(const char *sentence, const char *format, ...)
{
    char arguments[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    expect_failure(1, sentence, arguments);
}

static void weights(void **state)
{
    (void)state;
    static const char *const names[] = {"ln_f.weight",   "wpe.weight",          "h.0.attn.c_attn.bias",
                                        "h.1.ln_2.bias", "h.2.mlp.c_fc.weight", "wte.weight"};
    copy_model();
    write_text(at("p.txt"),
               "Once upon a time there was a little dog who lived in a house with a garden and a tree.");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const float value = i % 2 ? INFINITY : NAN;
        const float old = put(names[i], value);
        expect(names[i], "quantize -m %s -q i8 -o %s", at("m"), at("q.gpt2q"));
        FILE *f = fopen(at("q.gpt2q"), "rb");
        assert_null(f);
        expect(i < 4 ? "finite" : "",
               "compare -m %s --schemes f32,i8 -n 2 --quiet --window 8 --limit 8 --text %s Once", at("m"),
               at("p.txt"));
        expect("holds", "trace -m %s -q f32 --quiet Once -o %s", at("m"), at("t.safetensors"));
        put(names[i], old);
    }
}

/* A file of one window of `n` ids and logits that are all `value`. */
static void write_reference(const char *path, uint64_t n, float value)
{
    gpt2q_error err;
    struct file_writer w;
    const uint64_t vocab = 8193;
    const struct st_declaration d[] = {
        {.name = "input_ids", .dtype = ST_I64, .n_dims = 2, .shape = {1, n}},
        {.name = "logits", .dtype = ST_F32, .n_dims = 3, .shape = {1, n, vocab}}};
    const struct st_metadata format = {.key = (char[]){"format"}, .value = (char[]){"pt"}};
    assert_int_equal(file_writer_open(&w, path, &err), GPT2Q_OK);
    assert_int_equal(st_write_header(&w, d, 2, &format, 1, &err), GPT2Q_OK);
    for (int64_t i = 0; i < (int64_t)n; i++)
        assert_int_equal(file_writer_write(&w, &i, sizeof i, &err), GPT2Q_OK);
    for (uint64_t i = 0; i < n * vocab; i++)
        assert_int_equal(file_writer_write(&w, &value, sizeof value, &err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, &err), GPT2Q_OK);
}

static void reference_logits(void **state)
{
    (void)state;
    char arguments[1024];
    double kl = 0;
    write_reference(at("one"), 1, 0.0f);
    expect("windows of 1 token predict nothing", "eval --reference %s", at("one"));
    write_reference(at("inf"), 4, INFINITY);
    expect("not finite", "eval --reference %s", at("inf"));
    for (int i = 0; i < 3; i++) { /* however large they are, equal logits are equal chances */
        const float values[] = {0.0f, 3e38f, -3e38f};
        write_reference(at("equal"), 4, values[i]);
        snprintf(arguments, sizeof arguments, "eval --quiet --json --reference %s", at("equal"));
        cJSON *doc = expect_json(arguments);
        near(number(doc, "reference_nll"), log(8193), 1e-6);
        if (i) near(number(doc, "kl_mean"), kl, 1e-6);
        kl = number(doc, "kl_mean");
        assert_true(kl > 0.01);
        cJSON_Delete(doc);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, batch_set_up, batch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(weights), TEST(reference_logits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
