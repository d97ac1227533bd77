/* The .gpt2q container: a written file reads back, damage is found, nonsense is refused by name, memory
 * may run out. */
#include "tests/quantized.h"
#include "base/memory.h"
#include "engine/fingerprint.h"
#include "kernels/half.h"
#include "model/gpt2q_check.h"
#include "model/gpt2q_read.h"
#include "qtensor/dequantize.h"
#include "quantize/inventory.h"
#include <math.h>
#include <unistd.h>

#define MODEL  "tests/golden/data/tiny-gelu"
#define MATRIX "h.0.mlp.c_fc.weight"

/* A file's bytes in memory, to be damaged. It is aligned to 64 bytes, like a map. */
struct image {
    uint8_t *bytes;
    size_t size, header; /* header: where data begin */
};

static struct image image_from(const char *path)
{
    struct image image = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    image.size = (size_t)ftell(f);
    rewind(f);
    image.bytes = mem_alloc(image.size);
    assert_int_equal(fread(image.bytes, 1, image.size, f), image.size);
    fclose(f);
    for (size_t i = 0; i < 8; i++) image.header |= (size_t)image.bytes[i] << (8 * i);
    image.header += 8;
    return image;
}

static struct image image_of(const char *spec)
{
    gpt2q_error err;
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    if (quantize_to(MODEL, spec, NULL, 0, path, &err)) fail_msg("%s", err.message);
    struct image image = image_from(path);
    temp_remove(directory);
    return image;
}

static gpt2q_status load(const uint8_t *bytes, size_t size, struct gpt2_weights *w, gpt2q_error *err)
{
    struct safetensors st;
    struct gpt2q_file f;
    gpt2q_status s = safetensors_from_memory(bytes, size, "m.gpt2q", &st, err);
    if (!s) s = gpt2q_file_from(&st, &f, err);
    if (s) return s;
    s = gpt2q_file_weights(&f, w, err);
    gpt2q_file_close(&f);
    return s;
}

/* Loads the file and expects this in the error's sentence, or success if it is NULL. */
static void expect_load(const struct image *image, const char *words)
{
    gpt2q_error err = {.message = ""};
    struct gpt2_weights w;
    gpt2q_status s = load(image->bytes, image->size, &w, &err);
    if (!s) weights_free(&w);
    if (!words && s) fail_msg("refused: %s", err.message);
    if (words && (!s || !strstr(err.message, words)))
        fail_msg("'%s' where '%s' is expected", err.message, words);
}

/* The bytes of a tensor within the image. */
static uint8_t *tensor(const struct image *image, const char *name, size_t *size)
{
    struct safetensors st;
    gpt2q_error err;
    assert_int_equal(safetensors_from_memory(image->bytes, image->size, "m.gpt2q", &st, &err), 0);
    const struct st_tensor *t = safetensors_find(&st, name);
    if (!t) fail_msg("there is no %s", name);
    uint8_t *data = image->bytes + (t->data - image->bytes);
    if (size) *size = t->size;
    safetensors_close(&st);
    return data;
}

/* Replaces text of the header by one of the same length. */
static void replace(struct image *image, const char *from, const char *to)
{
    uint8_t *at = memmem(image->bytes, image->header, from, strlen(from));
    assert_int_equal(strlen(from), strlen(to));
    if (!at) fail_msg("there is no %s", from);
    memcpy(at, to, strlen(to));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const char *const specs[] = {"f32",       "f16",  "bf16", "i8", "i4:g8:minmax", "i8:input:affine",
                                        "i4:tensor", "notes"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct image image = image_of(specs[i]);
        struct gpt2_weights w;
        struct scheme asked;
        gpt2q_error err;
        if (load(image.bytes, image.size, &w, &err)) fail_msg("%s: %s", specs[i], err.message);
        assert_int_equal(scheme_parse(specs[i], &asked, &err), 0);
        assert_true(scheme_equal(asked, w.scheme) && scheme_equal(asked, w.wte.scheme) && !w.mixed &&
                    w.lm_head_is_wte);
        assert_int_equal(w.n_tensors, 16);
        assert_string_equal(w.config.activation_function, "gelu");
        assert_true(w.wte.codes > image.bytes && w.wte.codes < image.bytes + image.size);
        assert_int_equal((uintptr_t)w.wte.codes % 64, 0);
        weights_free(&w);
        mem_free(image.bytes);
    }
}

/* A second copy of the head counts as bytes, not as parameters. */
static void a_head_apart(void **state)
{
    (void)state;
    static const char *const overrides[] = {"wte.weight=f32", "lm_head.weight=i8"};
    gpt2q_error err;
    struct gpt2q_file f;
    struct gpt2_weights w;
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    assert_int_equal(quantize_to(MODEL, "i8", overrides, 2, path, &err), 0);
    assert_int_equal(gpt2q_file_open(path, &f, &err), 0);
    assert_int_equal(gpt2q_file_weights(&f, &w, &err), 0);
    gpt2q_file_close(&f);
    assert_true(w.mixed && !w.lm_head_is_wte);
    assert_int_equal(w.wte.scheme.format, QF_F32);
    assert_int_equal(w.lm_head.scheme.format, QF_I8);
    assert_int_equal(w.n_tensors, 17);
    assert_int_equal(w.parameters, 257 * 32 + 64 * 32 + 12 * 32 * 32 + 13 * 32 + 2 * 32);
    weights_free(&w);
    temp_remove(directory);
}

static void truncated_at_every_header_byte(void **state)
{
    (void)state;
    struct image image = image_of("i8");
    for (size_t n = 0; n <= image.header; n++) {
        gpt2q_error err = {.message = ""};
        struct gpt2_weights w;
        if (!load(image.bytes, n, &w, &err) || !*err.message) fail_msg("%zu bytes are taken for a model", n);
    }
    mem_free(image.bytes);
}

/* The result is an error or a working model: one byte may change an epsilon or a name. */
static void every_header_byte_changed(void **state)
{
    (void)state;
    static const uint8_t changes[] = {0x01, 0x80};
    struct image image = image_of("i4:g8:affine");
    for (size_t i = 0; i < image.header; i++)
        for (size_t c = 0; c < sizeof changes; c++) {
            gpt2q_error err = {.message = ""};
            struct gpt2_weights w;
            image.bytes[i] ^= changes[c];
            if (!load(image.bytes, image.size, &w, &err))
                weights_free(&w);
            else if (!*err.message)
                fail_msg("byte %zu: an error without a sentence", i);
            image.bytes[i] ^= changes[c];
        }
    expect_load(&image, NULL);
    mem_free(image.bytes);
}

static gpt2q_status checksum(const struct image *image, const char *path)
{
    struct safetensors st;
    write_file(path, image->bytes, image->size);
    gpt2q_status s = safetensors_open(path, &st, NULL);
    if (s) return s;
    s = gpt2q_checksum_check(&st, NULL);
    safetensors_close(&st);
    return s;
}

static void any_byte_counts_in_the_checksum(void **state)
{
    (void)state;
    struct image image = image_of("i8");
    struct rng r = {7};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    assert_int_equal(checksum(&image, path), 0);
    for (int i = 0; i < 200; i++) {
        uint8_t *at = &image.bytes[rng_below(&r, (uint32_t)image.size)],
                flip = (uint8_t)(1u << rng_below(&r, 8));
        *at ^= flip;
        assert_int_not_equal(checksum(&image, path), 0);
        *at ^= flip;
    }
    temp_remove(directory);
    mem_free(image.bytes);
}

/* `inspect` says the same, and keeps nothing (the address sanitizer looks). */
static void expect_inspect(const struct image *image, const char *words)
{
    struct inventory v;
    gpt2q_error err = {.message = ""};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    write_file(path, image->bytes, image->size);
    if (!inventory_open(path, &v, &err) || !strstr(err.message, words))
        fail_msg("'%s' where '%s' is expected", err.message, words);
    temp_remove(directory);
}

static void refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\"gpt2q.version\":\"1\"", "\"gpt2q.version\":\"3\"",
         "is of version 3, this gpt2q reads versions up to 2"},
        {"\"gpt2q.version\":\"1\"", "\"gpt2q.version\":\"x\"", "gpt2q.version is \"x\""},
        {"\"gpt2q.version\"", "\"gpt2q.versiom\"", "gpt2q.version is missing"},
        {"\"format\":\"gpt2q\"", "\"format\":\"gpt2x\"", "is no .gpt2q file"},
        {"scheme." MATRIX "\":\"i8:", "scheme." MATRIX "\":\"i9:", "unknown scheme \"i9:"},
        {"scheme." MATRIX "\":\"i8:", "scheme." MATRIX "\":\"i4:",
         MATRIX ".codes does not have the dtype and shape"},
        {"\"scheme." MATRIX "\"", "\"scheme.h.0.mlp.c_fc.weighs\"", "scheme." MATRIX " is missing"},
        {"\"" MATRIX ".scale\"", "\"h.0.mlp.c_fc.weight.scald\"", MATRIX ".scale is missing"},
        {"\"padding.0\"", "\"paddinG.0\"", "holds 1 tensors that are no part"},
        {"\\\"n_layer\\\"", "\\\"n_layex\\\"", "fewer than the"},
        {"\\\"gpt2\\\"", "\\\"gpt3\\\"", "model_type is \"gpt3\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image image = image_of("i8:tensor");
        replace(&image, cases[i].from, cases[i].to);
        expect_load(&image, cases[i].words);
        if (!strstr(cases[i].from, "format"))
            expect_inspect(&image, cases[i].words); /* else it is any safetensors file */
        mem_free(image.bytes);
    }
}

static void put_float(uint8_t *at, float value) { memcpy(at, &value, sizeof value); }
static void put_half(uint8_t *at, float value)
{
    uint16_t half = f16_from_float(value);
    memcpy(at, &half, sizeof half);
}

static void scales_that_are_none(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, -1.0f, -0.0f};
    struct image channel = image_of("i8"), group = image_of("i4:g8:affine");
    uint8_t *scale = tensor(&channel, MATRIX ".scale", NULL), *half = tensor(&group, MATRIX ".scale", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_float(scale + 4 * 5, bad[i]);
        put_half(half + 2 * 70, bad[i]);
        expect_load(&channel, "scale 5 of " MATRIX " is ");
        expect_load(&group, "scale 70 of " MATRIX " is ");
    }
    put_float(scale + 4 * 5, 0.0f); /* the codes of output 5 say something */
    put_half(half + 2 * 70, 0.0f);
    expect_load(&channel, "but its scale is 0");
    expect_load(&group, "but its scale is 0");
    mem_free(channel.bytes);
    mem_free(group.bytes);
}

/* Of formats of levels: scales of a byte, the factor, and floats of a byte. */
static void scales_of_levels_that_are_none(void **state)
{
    (void)state;
    struct image nvfp4 = image_of("nvfp4"), fp8 = image_of("fp8:e4m3"), nf4 = image_of("nf4:g16");
    uint8_t *scale = tensor(&nvfp4, MATRIX ".scale", NULL), *factor = tensor(&nvfp4, MATRIX ".factor", NULL);
    static const float bad[] = {NAN, INFINITY, -1.0f};
    expect_load(&nvfp4, NULL), expect_load(&fp8, NULL), expect_load(&nf4, NULL);
    const uint8_t was = scale[70];
    scale[70] = 0x7F;
    expect_load(&nvfp4, "scale 70 of " MATRIX " is nan");
    scale[70] = 0x80 | was;
    expect_load(&nvfp4, "scale 70 of " MATRIX " is -");
    scale[70] = 0;
    expect_load(&nvfp4, "but its scale is 0");
    scale[70] = was;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_float(factor, bad[i]);
        expect_load(&nvfp4, "scale 0 of " MATRIX " is ");
    }
    put_half(tensor(&nf4, MATRIX ".scale", NULL) + 2 * 70, -1.0f);
    expect_load(&nf4, "scale 70 of " MATRIX " is -1");
    put_float(tensor(&fp8, MATRIX ".scale", NULL) + 4 * 5, 0x1p120f); /* 448 of them are no float */
    expect_load(&fp8, "scale 5 of " MATRIX " is ");
    mem_free(nvfp4.bytes);
    mem_free(fp8.bytes);
    mem_free(nf4.bytes);
}

/* A row of zeros has scale 0, which is right. */
static void a_scale_of_0_over_codes_of_0(void **state)
{
    (void)state;
    struct image image = image_of("i8");
    size_t size;
    uint8_t *scale = tensor(&image, MATRIX ".scale", NULL), *codes = tensor(&image, MATRIX ".codes", &size);
    put_float(scale + 4 * 5, 0.0f);
    for (size_t i = 0; i < size / 2; i++) /* panel 0 */
        if (i / 4 % 64 == 5) codes[i] = 128;
    expect_load(&image, NULL);
    mem_free(image.bytes);
}

/* The same with a zero point: the codes of zeros are the zero point's. */
static void a_scale_of_0_over_codes_of_the_zero_point(void **state)
{
    (void)state;
    struct image image = image_of("i8:channel:affine");
    size_t size;
    uint8_t *scale = tensor(&image, MATRIX ".scale", NULL), *codes = tensor(&image, MATRIX ".codes", &size);
    put_float(scale + 4 * 5, 0.0f);
    put_float(tensor(&image, MATRIX ".zero", NULL) + 4 * 5, -100.0f);
    for (size_t i = 0; i < size / 2; i++) /* panel 0 */
        if (i / 4 % 64 == 5) codes[i] = 28;
    expect_load(&image, NULL);
    for (size_t i = 0; i < size / 2; i++)
        if (i / 4 % 64 == 5) codes[i] = 128;
    expect_load(&image, "but its scale is 0");
    mem_free(image.bytes);
}

static void zero_points_that_are_none(void **state)
{
    (void)state;
    struct image affine = image_of("i8:channel:affine"), minmax = image_of("i8:channel:minmax");
    uint8_t *zero = tensor(&affine, MATRIX ".zero", NULL), *minimum = tensor(&minmax, MATRIX ".zero", NULL);
    static const float bad[] = {0.5f, 128.0f, -129.0f, NAN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_float(zero, bad[i]);
        expect_load(&affine, "zero point 0 of " MATRIX " is ");
    }
    put_float(minimum, INFINITY);
    expect_load(&minmax, "minimum 0 of " MATRIX " is inf");
    mem_free(affine.bytes);
    mem_free(minmax.bytes);
}

/* Zero points of 16 bits, as files of version 1 have them, become bits. */
static void zero_points_of_16_bits(void **state)
{
    (void)state;
    struct image image = image_from("tests/golden/data/zero-points-f16.gpt2q"),
                 fresh = image_of("i8:g16:affine");
    uint8_t *zero = tensor(&image, MATRIX ".zero", NULL), was[2];
    static const float bad[] = {0.5f, 128.0f, -129.0f, NAN, INFINITY};
    expect_load(&image, NULL);
    memcpy(was, zero + 2 * 70, sizeof was);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_half(zero + 2 * 70, bad[i]);
        expect_load(&image, "zero point 70 of " MATRIX " is ");
    }
    memcpy(zero + 2 * 70, was, sizeof was);
    expect_load(&image, NULL);
    struct gpt2_weights old, new;
    gpt2q_error err;
    assert_int_equal(load(image.bytes, image.size, &old, &err), 0);
    assert_int_equal(load(fresh.bytes, fresh.size, &new, &err), 0);
    const struct qtensor *a = &old.h[0].c_fc.weight, *b = &new.h[0].c_fc.weight;
    assert_memory_equal(a->zero, b->zero, qtensor_parameters(a)); /* of 8 bits */
    weights_free(&old);
    weights_free(&new);
    mem_free(image.bytes);
    mem_free(fresh.bytes);
}

static gpt2q_status check_matrix(const struct image *image, gpt2q_error *err)
{
    struct gpt2_weights w;
    gpt2q_status s = load(image->bytes, image->size, &w, err);
    if (s) return s;
    s = qtensor_check_codes(&w.h[0].c_fc.weight, "m.gpt2q", MATRIX, err);
    weights_free(&w);
    return s;
}

static void codes_that_are_none(void **state)
{
    (void)state;
    gpt2q_error err;
    struct image i8 = image_of("i8"), i4 = image_of("i4:g8");
    assert_int_equal(check_matrix(&i8, &err), 0);
    assert_int_equal(check_matrix(&i4, &err), 0);
    tensor(&i8, MATRIX ".codes", NULL)[3 * 256 + 7 * 4 + 2] = 0; /* output 7, input 14 */
    assert_int_not_equal(check_matrix(&i8, &err), 0);
    assert_non_null(strstr(err.message, "output 7 and input 14 of " MATRIX " is -128"));
    tensor(&i4, MATRIX ".codes", NULL)[2 * 256 + 9 * 4 + 1] &= 0x0F; /* output 9, input 16 + 4 + 1 */
    assert_int_not_equal(check_matrix(&i4, &err), 0);
    assert_non_null(strstr(err.message, "output 9 and input 21 of " MATRIX " is -8"));
    struct image fp8 = image_of("fp8:e5m2");
    assert_int_equal(check_matrix(&fp8, &err), 0);
    tensor(&fp8, MATRIX ".codes", NULL)[3 * 64 + 7] = 0x7C;
    assert_int_not_equal(check_matrix(&fp8, &err), 0);
    assert_non_null(
        strstr(err.message, "output 7 and input 3 of " MATRIX " is 124, which is no finite number"));
    mem_free(fp8.bytes);
    mem_free(i8.bytes);
    mem_free(i4.bytes);
}

/* Every allocation of writing and reading may fail: an error, no file, and under the sanitizer no leak. */
static void memory_runs_out(void **state)
{
    (void)state;
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    for (int64_t n = 0; s; n++) {
        gpt2q_error err = {.message = ""};
        mem_fail_after(n);
        s = quantize_to(MODEL, "notes", NULL, 0, path, &err);
        mem_fail_after(-1);
        if (s && s != GPT2Q_OUT_OF_MEMORY) fail_msg("after %d allocations: %s", (int)n, err.message);
        assert_int_equal(access(path, F_OK) == 0, s == 0);
    }
    s = GPT2Q_OUT_OF_MEMORY;
    for (int64_t n = 0; s; n++) {
        struct gpt2q_file f;
        struct gpt2_weights w;
        gpt2q_error err = {.message = ""};
        mem_fail_after(n);
        s = gpt2q_file_open(path, &f, &err);
        if (!s) s = gpt2q_file_weights(&f, &w, &err);
        mem_fail_after(-1);
        if (s && s != GPT2Q_OUT_OF_MEMORY) fail_msg("after %d allocations: %s", (int)n, err.message);
        gpt2q_file_close(&f);
        if (!s) weights_free(&w);
    }
    temp_remove(directory);
}

static void a_full_disk(void **state)
{
    (void)state;
    gpt2q_error err;
    assert_int_equal(quantize_to(MODEL, "i8", NULL, 0, "/dev/full", &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "/dev/full: cannot be written: No space left"));
}

/* The fingerprint is that of the weights, whatever lies behind them in memory. */
static void the_same_fingerprint(void **state)
{
    (void)state;
    static const char *const specs[] = {"i4:g8:affine", "i4:g8:minmax:f32", "nvfp4"};
    char *directory = temp_directory(), path[4200], text[2][FINGERPRINT_TEXT];
    gpt2q_error err;
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        if (quantize_to(MODEL, specs[i], NULL, 0, path, &err)) fail_msg("%s", err.message);
        for (int stored = 0; stored < 2; stored++) {
            gpt2q_model_params p = gpt2q_model_params_default();
            gpt2q_context_params c = gpt2q_context_params_default();
            gpt2q_model *model;
            gpt2q_context *ctx;
            p.weights_only = true;
            if (!stored) p.scheme = specs[i];
            if (gpt2q_model_open(stored ? path : repo_path(MODEL), &p, &model, &err))
                fail_msg("%s", err.message);
            if (gpt2q_context_create(model, &c, &ctx, &err)) fail_msg("%s", err.message);
            fingerprint_make(model, ctx, text[stored]);
            gpt2q_context_free(ctx);
            gpt2q_model_close(model);
        }
        if (strcmp(text[0], text[1])) fail_msg("%s: %s, from a file %s", specs[i], text[0], text[1]);
    }
    temp_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_head_apart),
        cmocka_unit_test(truncated_at_every_header_byte),
        cmocka_unit_test(every_header_byte_changed),
        cmocka_unit_test(any_byte_counts_in_the_checksum),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(scales_that_are_none),
        cmocka_unit_test(scales_of_levels_that_are_none),
        cmocka_unit_test(a_scale_of_0_over_codes_of_0),
        cmocka_unit_test(a_scale_of_0_over_codes_of_the_zero_point),
        cmocka_unit_test(zero_points_that_are_none),
        cmocka_unit_test(zero_points_of_16_bits),
        cmocka_unit_test(codes_that_are_none),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(the_same_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
