/* Products with quantized weights: every instruction set against the scalar definition by memcmp, and the
 * definition against formulas written out here. Accuracy and the codes of activations:
 * test_matmul_accuracy.c. */
#include "base/memory.h"
#include "kernels/half.h"
#include "qtensor/dequantize.h"
#include "tests/products.h"
#include "tests/schemes.h"
#include "tests/support.h"
#include <math.h>

static const char *const *schemes; /* every_scheme's */
static size_t n_schemes;

/* ---- instruction sets ---- */

static void compare_isas(const struct qtensor *w, enum activations kind, const float *x, int n)
{
    size_t stride = (size_t)w->cols + 1, y_stride = (size_t)w->rows + 3;
    size_t bytes = ((size_t)(n - 1) * y_stride + (size_t)w->rows) * sizeof(float);
    float *expected = mem_alloc(bytes), *y = guard_alloc(bytes);
    memset(expected, 0xA5, bytes);
    product(isa_at(0), w, kind, x, stride, n, expected, y_stride, 0, qtensor_panels(w));
    for (size_t i = 1; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        memset(y, 0xA5, bytes);
        product(isa_at(i), w, kind, x, stride, n, y, y_stride, 0, qtensor_panels(w));
        if (memcmp(expected, y, bytes)) {
            char text[SCHEME_TEXT_MAX];
            fail_msg("%s differs from scalar: %s, activations %d, %d x %d, n %d", isa_at(i)->name,
                     scheme_print(w->scheme, text), (int)kind, w->rows, w->cols, n);
        }
    }
    guard_free(y, bytes);
    mem_free(expected);
}

static void test_every_isa_gives_the_scalar_bits(void **state)
{
    static const int shapes[][2] = {{1, 1},    {3, 3},    {17, 4},   {64, 5},   {65, 7},
                                    {2, 8},    {63, 24},  {100, 60}, {130, 64}, {70, 96},
                                    {66, 257}, {67, 528}, {65, 520}, {66, 544}, {1, 3072}};
    (void)state;
    for (size_t s = 0; s < n_schemes; s++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            int rows = shapes[i][0], cols = shapes[i][1];
            if (!scheme_fits(scheme_of(schemes[s]), cols)) continue;
            struct weight w = weight_create(schemes[s], rows, cols, s * 100 + i);
            int n = (int)(1 + (s + i) % 7);
            float *x = input_create(n, (size_t)cols + 1, i);
            for (int kind = 0; kind <= (int)last_kind(&w.w); kind++)
                compare_isas(&w.w, (enum activations)kind, x, n);
            guard_free(x, (size_t)n * ((size_t)cols + 1) * sizeof *x);
            weight_free(&w);
        }
}

/* Any number of rows, any range of panels: each row is as it is alone. */
static void compare_numbers_of_rows(int cols)
{
    const int rows = 130, most = 96;
    float *x = input_create(most, (size_t)cols, 5);
    float *alone = mem_array((size_t)most * (size_t)rows, sizeof *alone),
          *y = mem_array((size_t)most * (size_t)rows, sizeof *y);
    for (size_t s = 0; s < n_schemes; s++) {
        if (!scheme_fits(scheme_of(schemes[s]), cols)) continue;
        struct weight w = weight_create(schemes[s], rows, cols, s);
        for (int kind = 0; kind <= (int)last_kind(&w.w); kind++)
            for (size_t i = isa_count(); i-- > 1;) {
                if (!isa_at(i)->supported()) continue;
                for (int r = 0; r < most; r++)
                    product(isa_at(i), &w.w, (enum activations)kind, x + r * cols, (size_t)cols, 1,
                            alone + r * rows, (size_t)rows, 0, 3);
                for (int n = 1; n <= most; n += n < 17 ? 1 : most - 17) {
                    memset(y, 0xA5, (size_t)most * (size_t)rows * sizeof *y);
                    product(isa_at(i), &w.w, (enum activations)kind, x, (size_t)cols, n, y, (size_t)rows, 1,
                            3);
                    product(isa_at(i), &w.w, (enum activations)kind, x, (size_t)cols, n, y, (size_t)rows, 0,
                            1);
                    assert_memory_equal(y, alone, (size_t)n * (size_t)rows * sizeof *y);
                }
            }
        weight_free(&w);
    }
    guard_free(x, (size_t)most * (size_t)cols * sizeof *x);
    mem_free(alone);
    mem_free(y);
}

static void test_rows_do_not_depend_on_their_number(void **state)
{
    (void)state;
    compare_numbers_of_rows(192);
    compare_numbers_of_rows(257); /* a last step with one input */
    compare_numbers_of_rows(544); /* groups of 136, which go alone */
    compare_numbers_of_rows(1056);
}

/* More rows than any kernel takes together, and blocks of them: each row is as it is alone, and the others
 * are untouched. */
static void compare_blocks_of_rows(const struct isa *isa, const struct qtensor *w, enum activations kind)
{
    enum { N = 300, ROWS = 70, COLS = 192 };
    static const int blocks[][2] = {{0, N}, {64, 96}, {0, 32},  {288, N}, {32, 289},
                                    {0, 1}, {32, 34}, {64, 67}, {96, 103}};
    float *x = input_create(N, COLS, 9), *alone = mem_array((size_t)N * ROWS, sizeof *alone),
          *y = mem_array((size_t)N * ROWS, sizeof *y);
    for (int r = 0; r < N; r++) product(isa, w, kind, x + r * COLS, COLS, 1, alone + r * ROWS, ROWS, 0, 2);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        const int begin = blocks[b][0], end = blocks[b][1];
        memset(y, 0xA5, (size_t)N * ROWS * sizeof *y);
        product_of_rows(isa, w, kind, x, COLS, N, begin, end, y, ROWS, 0, 2);
        assert_memory_equal(y + begin * ROWS, alone + begin * ROWS, (size_t)(end - begin) * ROWS * sizeof *y);
        for (int i = 0; i < N * ROWS; i++)
            if (i / ROWS < begin || i / ROWS >= end)
                assert_memory_equal(y + i, "\xA5\xA5\xA5\xA5", sizeof *y);
    }
    guard_free(x, (size_t)N * COLS * sizeof *x);
    mem_free(alone);
    mem_free(y);
}

static void test_blocks_of_rows(void **state)
{
    (void)state;
    for (size_t s = 0; s < n_schemes; s++) {
        if (!scheme_fits(scheme_of(schemes[s]), 192)) continue;
        struct weight w = weight_create(schemes[s], 70, 192, s);
        for (int kind = 0; kind <= (int)last_kind(&w.w); kind++)
            for (size_t i = isa_count(); i-- > 1;)
                if (isa_at(i)->supported()) compare_blocks_of_rows(isa_at(i), &w.w, (enum activations)kind);
        weight_free(&w);
    }
}

static void test_panels_write_their_outputs_only(void **state)
{
    (void)state;
    const int rows = 150, cols = 24, n = 7;
    float *x = input_create(n, (size_t)cols, 6), y[7 * 150];
    for (size_t s = 0; s < n_schemes; s++) {
        if (!scheme_fits(scheme_of(schemes[s]), cols)) continue;
        struct weight w = weight_create(schemes[s], rows, cols, s);
        for (int kind = 0; kind <= (int)last_kind(&w.w); kind++)
            for (size_t i = 0; i < isa_count(); i++) {
                if (!isa_at(i)->supported()) continue;
                for (int j = 0; j < n * rows; j++) y[j] = -77.0f;
                product(isa_at(i), &w.w, (enum activations)kind, x, (size_t)cols, n, y, (size_t)rows, 1, 2);
                for (int j = 0; j < n * rows; j++) assert_true((y[j] != -77.0f) == (j % rows / PANEL == 1));
            }
        weight_free(&w);
    }
    guard_free(x, (size_t)n * (size_t)cols * sizeof *x);
}

/* ---- the definition ---- */

static void test_f32_is_one_chain(void **state)
{
    (void)state;
    struct weight w = weight_create("f32", 70, 57, 1);
    float *x = input_create(1, 57, 2), y[70], row[57];
    product(isa_at(0), &w.w, ACTIVATIONS_F32, x, 57, 1, y, 70, 0, 2);
    for (int o = 0; o < 70; o++) {
        float acc = 0.0f;
        isa_at(0)->formats[QF_F32].dequantize_row(&w.w, o, row);
        for (int k = 0; k < 57; k++) acc = fmaf(row[k], x[k], acc);
        assert_memory_equal(&acc, &y[o], sizeof acc);
    }
    guard_free(x, 57 * sizeof *x);
    weight_free(&w);
}

/* Products that underflow leave -0. One more term of +0 would turn it into +0. */
static void test_no_padded_term(void **state)
{
    (void)state;
    float x[9], w[9], y[3];
    for (int k = 0; k < 9; k++) x[k] = 0x1p-120f, w[k] = -0x1p-120f;
    for (int cols = 1; cols <= 9; cols++)
        for (size_t i = 0; i < isa_count(); i++) {
            if (!isa_at(i)->supported()) continue;
            float m[27];
            for (int k = 0; k < 3 * cols; k++) m[k] = w[0];
            struct weight q = weight_from(m, scheme_of(cols % 2 ? "f32" : "bf16"), 3, cols);
            product(isa_at(i), &q.w, ACTIVATIONS_F32, x, (size_t)cols, 1, y, 3, 0, 1);
            assert_true(y[0] == 0.0f && signbit(y[0]) && signbit(y[2]));
            weight_free(&q);
        }
}

static float f16_at(const void *p, size_t i) { return float_from_f16(((const uint16_t *)p)[i]); }

static void test_i8_channel_scales_once(void **state)
{
    (void)state;
    struct weight w = weight_create("i8", 70, 61, 3);
    float *x = input_create(1, 61, 4), y[70];
    product(isa_at(0), &w.w, ACTIVATIONS_F32, x, 61, 1, y, 70, 0, 2);
    for (int o = 0; o < 70; o++) {
        float acc = 0.0f;
        for (int k = 0; k < 61; k++) acc = fmaf((float)code_at(&w.w, o, k), x[k], acc);
        acc = ((const float *)w.w.scale)[o] * acc;
        assert_memory_equal(&acc, &y[o], sizeof acc);
    }
    guard_free(x, 61 * sizeof *x);
    weight_free(&w);
}

static float lane_sum(const float *x, int n)
{
    float lanes[16] = {0};
    for (int i = 0; i < n; i++) lanes[i % 16] += x[i];
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

static void test_i4_groups_affine(void **state)
{
    (void)state;
    const int cols = 96, group = 24;
    struct weight w = weight_create("i4:g24:affine", 70, cols, 5);
    float *x = input_create(1, (size_t)cols, 6), y[70];
    product(isa_at(0), &w.w, ACTIVATIONS_F32, x, (size_t)cols, 1, y, 70, 0, 2);
    for (int o = 0; o < 70; o++) {
        float total = 0.0f;
        for (int g = 0; g < cols / group; g++) {
            size_t at = ((size_t)(o / PANEL) * 4 + (size_t)g) * PANEL + (size_t)(o % PANEL);
            float a = 0.0f;
            for (int k = g * group; k < (g + 1) * group; k++) a = fmaf((float)code_at(&w.w, o, k), x[k], a);
            total =
                fmaf(f16_at(w.w.scale, at),
                     fmaf(-qtensor_parameter(&w.w, w.w.zero, at), lane_sum(x + g * group, group), a), total);
        }
        assert_memory_equal(&total, &y[o], sizeof total);
    }
    guard_free(x, (size_t)cols * sizeof *x);
    weight_free(&w);
}

static void test_i16_rounds_the_exact_sum(void **state)
{
    (void)state;
    enum { COLS = 61 };
    struct weight w = weight_create("i8", 70, COLS, 7);
    float *x = input_create(1, COLS, 8), y[70];
    int codes[COLS];
    float scale = token_codes(x, COLS, 32639, codes);
    product(isa_at(0), &w.w, ACTIVATIONS_I16, x, COLS, 1, y, 70, 0, 2);
    for (int o = 0; o < 70; o++) {
        int hi = 0, lo = 0;
        for (int k = 0; k < COLS; k++) {
            int h = (int)floor((codes[k] + 128) / 256.0);
            hi += h * code_at(&w.w, o, k);
            lo += (codes[k] - 256 * h) * code_at(&w.w, o, k);
        }
        float expected = ((const float *)w.w.scale)[o] * fmaf((float)hi, 256.0f, (float)lo) * scale;
        assert_memory_equal(&expected, &y[o], sizeof expected);
    }
    guard_free(x, COLS * sizeof *x);
    weight_free(&w);
}

int main(void)
{
    schemes = every_scheme(&n_schemes);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_isa_gives_the_scalar_bits),
        cmocka_unit_test(test_rows_do_not_depend_on_their_number),
        cmocka_unit_test(test_blocks_of_rows),
        cmocka_unit_test(test_panels_write_their_outputs_only),
        cmocka_unit_test(test_f32_is_one_chain),
        cmocka_unit_test(test_no_padded_term),
        cmocka_unit_test(test_i8_channel_scales_once),
        cmocka_unit_test(test_i4_groups_affine),
        cmocka_unit_test(test_i16_rounds_the_exact_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
