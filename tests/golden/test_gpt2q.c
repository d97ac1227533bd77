/* A model from a .gpt2q file gives the bits of the same model quantized while loading. */
#include "golden.h"
#include "tests/quantized.h"

static const int32_t ids[] = {12, 7, 99, 3, 250, 41, 41, 8, 0, 17, 200, 5};
#define N (sizeof ids / sizeof *ids)

static void compare(const char *model, const char *spec, const char *path)
{
    gpt2q_error err;
    if (quantize_to(model, spec, NULL, 0, path, &err)) fail_msg("%s", err.message);
    struct runner a =
        runner_open(repo_path(model), (struct run_settings){.scheme = spec, .n_outputs = (int32_t)N});
    struct runner b = runner_open(path, (struct run_settings){.scheme = NULL, .n_outputs = (int32_t)N});
    runner_decode(&a, ids, N, 0, 0, true);
    runner_decode(&b, ids, N, 0, 0, true);
    size_t bytes = (size_t)gpt2q_model_config(a.model)->vocab_size * sizeof(float);
    for (int32_t i = 0; i < (int32_t)N; i++)
        if (memcmp(gpt2q_logits(a.ctx, i), gpt2q_logits(b.ctx, i), bytes))
            fail_msg("%s in %s: other logits at %d", model, spec, (int)i);
    assert_string_equal(gpt2q_model_scheme(a.model), gpt2q_model_scheme(b.model));
    assert_int_equal(gpt2q_model_bytes(a.model), gpt2q_model_bytes(b.model));
    assert_int_equal(gpt2q_model_parameters(a.model), gpt2q_model_parameters(b.model));
    runner_close(&a);
    runner_close(&b);
}

static void the_same_bits(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "f32",       "f16",  "bf16", "i8", "i8:tensor:affine", "i8:input:minmax", "i4:channel:minmax",
        "i4:tensor", "notes"};
    static const char *const models[] = {"tests/golden/data/tiny-odd", "tests/golden/data/tiny-f16-sharded",
                                         "tests/golden/data/tiny-bf16-prefix-masks"};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) compare(models[m], specs[i], path);
    compare("tests/golden/data/tiny-gelu", "i4:g8:affine", path);
    compare("models/tales-7m", "i4:g32:minmax", path);
    temp_remove(directory);
}

/* i8 and i4:g32 files of the default model are within 1 % of their least size. */
static void files_are_small(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        double bits, scales; /* of a weight; of 32 inputs */
    } cases[] = {{"i8", 8, 0}, {"i4:g32", 4, 16}};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gpt2q_error err;
        assert_int_equal(quantize_to("models/tales-7m", cases[i].spec, NULL, 0, path, &err), 0);
        double d = 256, matrices = 8193 * d + 6 * 12 * d * d, vectors = 512 * d + 6 * 13 * d + 2 * d;
        double outputs = cases[i].scales > 0 ? 0 : 8193 + 6 * 9 * d;
        double tokenizer = 131586 + 66203;
        double least =
            matrices * (cases[i].bits + cases[i].scales / 32) / 8 + 4 * outputs + 4 * vectors + tokenizer;
        FILE *f = fopen(path, "rb");
        fseek(f, 0, SEEK_END);
        double size = (double)ftell(f);
        fclose(f);
        if (size < least || size > 1.01 * least)
            fail_msg("%s: %.0f bytes, %.0f would do", cases[i].spec, size, least);
    }
    temp_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits), cmocka_unit_test(files_are_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
