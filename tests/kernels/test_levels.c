/* Formats of levels: floats of a byte and NF4's tables against golden/calibrated, ties and scales of MXFP4 and NVFP4, and products by
 * formulas written out here. tests/golden/data/calibrated has the small goldens. */
#include "tests/support.h"
#include "base/json.h"
#include "base/memory.h"
#include "kernels/float8.h"
#include "model/safetensors.h"
#include "qtensor/dequantize.h"
#include "qtensor/levels.h"
#include "tests/products.h"
#include "base/file.h"
#include <cjson/cJSON.h>
#include <math.h>

static cJSON *golden(const char *name)
{
    gpt2q_error err;
    char path[64], *text;
    size_t n;
    cJSON *root = NULL;
    snprintf(path, sizeof path, "tests/golden/data/calibrated/%s", name);
    if (file_read(repo_path(path), 1 << 20, &text, &n, &err) || json_parse(text, n, name, &root, &err))
        fail_msg("%s", err.message);
    mem_free(text);
    return root;
}

static bool same(float a, double b) { return (double)a == b && !signbit(a) == !signbit(b); }

static void compare_float8(const cJSON *of, float from_code(uint8_t), uint8_t from_float(float))
{
    const cJSON *item;
    int code = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(of, "values"))
    {
        const float got = from_code((uint8_t)code++);
        if (cJSON_IsNull(item))
            assert_true(isnan(got));
        else if (cJSON_IsString(item))
            assert_true(isinf(got) && !signbit(got) == (item->valuestring[0] != '-'));
        else
            assert_true(same(got, item->valuedouble));
    }
    assert_int_equal(code, 256);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(of, "cases"))
    {
        const double x = cJSON_GetArrayItem(item, 0)->valuedouble;
        assert_int_equal(from_float((float)x), cJSON_GetArrayItem(item, 1)->valueint);
    }
}

static void test_floats_of_a_byte(void **state)
{
    (void)state;
    cJSON *root = golden("float8.json");
    compare_float8(cJSON_GetObjectItem(root, "e4m3"), float_from_e4m3, e4m3_from_float);
    compare_float8(cJSON_GetObjectItem(root, "e5m2"), float_from_e5m2, e5m2_from_float);
    cJSON_Delete(root);
    for (int code = 0; code < 255; code++) {
        assert_true(float_from_e8m0((uint8_t)code) == ldexpf(1.0f, code - 127));
        if (isfinite(float_from_e4m3((uint8_t)code)))
            assert_int_equal(e4m3_from_float(float_from_e4m3((uint8_t)code)), code);
        if (isfinite(float_from_e5m2((uint8_t)code)))
            assert_int_equal(e5m2_from_float(float_from_e5m2((uint8_t)code)), code);
    }
}

/* A book's int8 levels are rint(level / unit); the bounds are the last floats that round down. */
static void check_book(const struct code_book *book)
{
    for (int i = 0; i < BOOK_LEVELS; i++) {
        const float want = rintf(book->level[i] / book->unit);
        assert_true((float)book->integer[i] - 128.0f == want);
    }
    for (int i = 0; i < book->n; i++) {
        const double middle = ((double)book->level[i] + (double)book->level[i + 1]) / 2;
        const bool down = book == &book_nf4 || i % 2 == 0; /* ties */
        const float above = nextafterf(book->below[i], INFINITY);
        assert_true(down ? (double)book->below[i] <= middle : (double)book->below[i] < middle);
        assert_true(down ? (double)above > middle : (double)above >= middle);
    }
}

static void test_books(void **state)
{
    (void)state;
    cJSON *root = golden("nf4.json");
    for (int i = 0; i < BOOK_LEVELS; i++) {
        assert_true((double)book_nf4.level[i] ==
                    cJSON_GetArrayItem(cJSON_GetObjectItem(root, "levels"), i)->valuedouble);
        assert_int_equal(book_nf4.integer[i] - 128,
                         cJSON_GetArrayItem(cJSON_GetObjectItem(root, "int8_levels"), i)->valueint);
    }
    cJSON_Delete(root);
    check_book(&book_nf4);
    check_book(&book_e2m1);
}

/* The codes and scales of a layer of tiny-plain. */
static void test_nf4_of_a_layer(void **state)
{
    (void)state;
    gpt2q_error err;
    struct safetensors want, model;
    need_shared(goldens, "golden/calibrated/linear.safetensors");
    if (safetensors_open(goldens, &want, &err) ||
        safetensors_open(shared_path("golden/tiny-plain/model.safetensors"), &model, &err))
        fail_msg("%s", err.message);
    const struct st_tensor *codes = safetensors_find(&want, "h.0.mlp.c_fc.nf4.codes"),
                           *absmax = safetensors_find(&want, "h.0.mlp.c_fc.nf4.absmax"),
                           *t = safetensors_find(&model, "h.0.mlp.c_fc.weight");
    if (!t) t = safetensors_find(&model, "transformer.h.0.mlp.c_fc.weight");
    assert_true(codes && absmax && t);
    const int cols = (int)t->shape[0], rows = (int)t->shape[1];
    const struct qsource src = {"c_fc", DT_F32, t->data, rows, cols, 1, (size_t)rows};
    struct qtensor w;
    assert_int_equal(
        qtensor_quantize(&src, scheme_of("nf4"), &(struct quantize_run){.n_threads = 1}, &w, &err), 0);
    for (int o = 0; o < rows; o++)
        for (int k = 0; k < cols; k++) {
            float m;
            memcpy(&m, absmax->data + (size_t)(o * cols + k) / 64 * sizeof m, sizeof m);
            const float s = qtensor_parameter(&w, w.scale, qtensor_parameter_of(&w, o, k));
            assert_true(s == float_from_f16(f16_from_float(m)));
            /* the golden's scale is not rounded: a code may differ at a tie */
            assert_true(abs(qtensor_stored_code(&w, o, k) - codes->data[o * cols + k]) <= (s == m ? 0 : 1));
        }
    qtensor_free(&w);
    safetensors_close(&want);
    safetensors_close(&model);
}

/* Quantizes one row, repeated until there are `cols` inputs. */
static struct qtensor quantized(const char *spec, const float *row, int n, int cols)
{
    float all[64];
    struct qtensor w;
    for (int i = 0; i < cols; i++) all[i] = i < n ? row[i] : 0.0f;
    const struct qsource src = {"m", DT_F32, all, 1, cols, (size_t)cols, 1};
    assert_int_equal(
        qtensor_quantize(&src, scheme_of(spec), &(struct quantize_run){.n_threads = 1}, &w, NULL), 0);
    return w;
}

static void test_mxfp4_scales_and_ties(void **state)
{
    (void)state;
    static const float row[] = {6.0f, 0.25f, 0.75f,  1.25f,  1.75f, 2.5f,
                                3.5f, 5.0f,  -0.25f, -0.75f, -5.0f, 0.26f};
    static const int codes[] = {7, 0, 2, 2, 4, 4, 6, 6, 8, 10, 14, 1};
    static const struct {
        float largest;
        int byte;
    } scales[] = {{6.0f, 127}, {4.0f, 127},    {3.9f, 126},    {7.99f, 127},   {8.0f, 128},
                  {0.0f, 0},   {0x1p-126f, 0}, {0x1p-124f, 1}, {0x1p-149f, 0}, {0x1.fffffep127f, 252}};
    struct qtensor w = quantized("mxfp4", row, 12, 32);
    for (int k = 0; k < 12; k++) assert_int_equal(qtensor_stored_code(&w, 0, k), codes[k]);
    qtensor_free(&w);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        w = quantized("mxfp4", &scales[i].largest, 1, 32);
        assert_int_equal(((const uint8_t *)w.scale)[0], scales[i].byte);
        qtensor_free(&w);
    }
    const float clipped = 7.5f; /* saturates at 6 */
    w = quantized("mxfp4", &clipped, 1, 32);
    assert_int_equal(qtensor_stored_code(&w, 0, 0), 7);
    qtensor_free(&w);
}

static void test_nvfp4_scales(void **state)
{
    (void)state;
    float row[32] = {2.0f, -0.5f}, values[32];
    row[16] = 0.7f, row[17] = -0.3f;
    struct qtensor w = quantized("nvfp4", row, 32, 32);
    const float f = 2.0f / 2688.0f;
    assert_true(*w.factor == f);
    for (int g = 0; g < 2; g++) {
        const float m = g ? 0.7f : 2.0f;
        const uint8_t code = e4m3_from_float(m / 6.0f / f);
        assert_int_equal(((const uint8_t *)w.scale)[g * PANEL], code);
        assert_true(qtensor_parameter(&w, w.scale, (size_t)(g * PANEL)) == float_from_e4m3(code) * f);
    }
    dequantize_row_nvfp4(&w, 0, values);
    for (int k = 0; k < 32; k++) assert_true(fabsf(values[k] - row[k]) <= 0.2f * fabsf(row[k]));
    qtensor_free(&w);
    w = quantized("nvfp4", values, 0, 32); /* nothing but 0 */
    assert_true(*w.factor == 0.0f && ((const uint8_t *)w.scale)[0] == 0 &&
                qtensor_stored_code(&w, 0, 3) == 0);
    qtensor_free(&w);
}

/* Float activations: a chain over levels for each group. Integers: the exact sum of int8 levels, rounded once. */
static void compare_products(const char *spec, const struct code_book *book)
{
    enum { ROWS = 70, COLS = 128 };
    struct weight w = weight_create(spec, ROWS, COLS, 5);
    float *x = input_create(1, COLS, 6), y[ROWS], z[ROWS];
    int codes[COLS];
    const int group = w.w.scheme.group;
    const float token = token_codes(x, COLS, 32639, codes);
    product(isa_at(0), &w.w, ACTIVATIONS_F32, x, COLS, 1, y, ROWS, 0, 2);
    product(isa_at(0), &w.w, ACTIVATIONS_I16, x, COLS, 1, z, ROWS, 0, 2);
    for (int o = 0; o < ROWS; o++) {
        float floats = 0.0f, integers = 0.0f;
        for (int k0 = 0; k0 < COLS; k0 += group) {
            const float s = qtensor_parameter(&w.w, w.w.scale, qtensor_parameter_of(&w.w, o, k0));
            float chain = 0.0f;
            int sum = 0;
            for (int k = k0; k < k0 + group; k++) {
                const int code = qtensor_stored_code(&w.w, o, k);
                chain = fmaf(book->level[code], x[k], chain);
                sum += (book->integer[code] - 128) * codes[k];
            }
            floats = fmaf(s, chain, floats);
            integers = fmaf(s * book->unit, (float)sum, integers);
        }
        integers *= token;
        assert_memory_equal(&floats, &y[o], sizeof floats);
        assert_memory_equal(&integers, &z[o], sizeof integers);
    }
    guard_free(x, COLS * sizeof *x);
    weight_free(&w);
}

static void test_products(void **state)
{
    (void)state;
    compare_products("nf4:g32", &book_nf4);
    compare_products("mxfp4", &book_e2m1);
    compare_products("nvfp4", &book_e2m1);
}

static void test_fp8_scales_once(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 57 };
    static const char *const specs[] = {"fp8:e4m3", "fp8:e5m2"};
    for (int f = 0; f < 2; f++) {
        struct weight w = weight_create(specs[f], ROWS, COLS, 8);
        float *x = input_create(1, COLS, 9), y[ROWS];
        const float unit = f ? 1.0f : 256.0f;
        assert_false(scheme_takes(w.w.scheme, ACTIVATIONS_I16));
        product(isa_at(0), &w.w, ACTIVATIONS_F32, x, COLS, 1, y, ROWS, 0, 2);
        for (int o = 0; o < ROWS; o++) {
            float chain = 0.0f;
            for (int k = 0; k < COLS; k++)
                chain = fmaf(format_level(w.w.scheme.format, qtensor_stored_code(&w.w, o, k)) / unit, x[k],
                             chain);
            chain = unit * ((const float *)w.w.scale)[o] * chain;
            assert_memory_equal(&chain, &y[o], sizeof chain);
        }
        guard_free(x, COLS * sizeof *x);
        weight_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_of_a_byte), cmocka_unit_test(test_books),
        cmocka_unit_test(test_nf4_of_a_layer),   cmocka_unit_test(test_mxfp4_scales_and_ties),
        cmocka_unit_test(test_nvfp4_scales),     cmocka_unit_test(test_products),
        cmocka_unit_test(test_fp8_scales_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
