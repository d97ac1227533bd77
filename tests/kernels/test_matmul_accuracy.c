/* Products with quantized weights against double, with codes and activations at their extremes; and the
 * codes that activations become. */
#include "base/memory.h"
#include "qtensor/dequantize.h"
#include "qtensor/levels.h"
#include "tests/products.h"
#include "tests/schemes.h"
#include "tests/support.h"
#include <math.h>

static const char *const *schemes; /* every_scheme's */
static size_t n_schemes;

/* x as the product sees it: with integer activations, quantized per token, for QG_INPUT after scaling. */
static void seen_input(const struct qtensor *w, enum activations kind, const float *x, double *seen)
{
    int codes[512];
    float scaled[512];
    bool by_input = scheme_has_codes(w->scheme) && w->scheme.gran == QG_INPUT;
    for (int k = 0; k < w->cols; k++) {
        scaled[k] = by_input ? x[k] * ((const float *)w->scale)[k] : x[k];
        seen[k] = (double)x[k];
    }
    if (kind == ACTIVATIONS_F32) return;
    float scale = token_codes(scaled, w->cols, kind == ACTIVATIONS_I8 ? 127 : 32639, codes);
    for (int k = 0; k < w->cols; k++) {
        double s = by_input ? (double)((const float *)w->scale)[k] : 1.0;
        seen[k] = s != 0.0 ? (double)scale * codes[k] / s : 0.0;
    }
}

/* The weights of an output as the product sees them: with integer activations levels are int8. */
static void seen_row(const struct qtensor *w, enum activations kind, int o, float *row)
{
    isa_at(0)->formats[w->scheme.format].dequantize_row(w, o, row);
    if (w->scheme.format != QF_NF4 || kind == ACTIVATIONS_F32) return;
    for (int k = 0; k < w->cols; k++) {
        const float s = qtensor_parameter(w, w->scale, qtensor_parameter_of(w, o, k));
        row[k] = s * (float)(book_nf4.integer[qtensor_stored_code(w, o, k)] - 128) / 127.0f;
    }
}

static void test_scalar_against_double(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 192 };
    float *x = input_create(1, COLS, 11), y[ROWS], row[COLS];
    double seen[COLS];
    for (size_t s = 0; s < n_schemes; s++) {
        if (!scheme_fits(scheme_of(schemes[s]), COLS)) continue;
        struct weight w = weight_create(schemes[s], ROWS, COLS, s + 50);
        bool minimum =
            w.w.scheme.gran == QG_INPUT && w.w.scheme.grid == QGRID_MINMAX && scheme_has_codes(w.w.scheme);
        for (int kind = 0; kind <= (int)last_kind(&w.w); kind++) {
            product(isa_at(0), &w.w, (enum activations)kind, x, COLS, 1, y, ROWS, 0, 2);
            seen_input(&w.w, (enum activations)kind, x, seen);
            for (int o = 0; o < ROWS; o++) {
                double sum = 0.0, size = 0.0;
                seen_row(&w.w, (enum activations)kind, o, row);
                for (int k = 0; k < COLS; k++) {
                    double m =
                        minimum ? (double)((const float *)w.w.zero)[k] : 0.0; /* times x, never quantized */
                    sum += ((double)row[k] - m) * seen[k] + m * (double)x[k];
                    size += (fabs((double)row[k]) + fabs(m) + 0.3) * fabs((double)x[k]);
                }
                if (fabs((double)y[o] - sum) > 2e-6 * size)
                    fail_msg("%s, activations %d, output %d: %g, expected %g", schemes[s], kind, o,
                             (double)y[o], sum);
            }
        }
        weight_free(&w);
    }
    guard_free(x, COLS * sizeof *x);
}

/* All codes and activations at their extremes: the largest integer sums, in every instruction set. */
static void test_extremes(void **state)
{
    (void)state;
    enum { ROWS = 65, COLS = 3072, MOST = 49 }; /* the ways of few, and of many rows */
    static const char *const specs[] = {"i8:channel:absmax", "i8:channel:minmax", "i8:channel:affine",
                                        "i4:g32:absmax",     "i4:channel:affine", "i8:g256:affine",
                                        "i8:g256:minmax"};
    float *m = mem_array((size_t)ROWS * COLS, sizeof *m), *x = mem_array((size_t)MOST * COLS, sizeof *x),
          y[MOST * ROWS];
    for (int sign = -1; sign <= 1; sign += 2)
        for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
            for (int i = 0; i < ROWS * COLS; i++) m[i] = i % COLS == 0 ? -1.0f : 1.0f;
            for (int k = 0; k < MOST * COLS; k++) x[k] = k % COLS == 1 ? 1.0f : (float)sign;
            struct weight w = weight_from(m, scheme_of(specs[s]), ROWS, COLS);
            for (int kind = 0; kind < ACTIVATIONS_COUNT; kind++)
                for (size_t i = 0; i < isa_count(); i++) {
                    if (!isa_at(i)->supported()) continue;
                    double expected = sign < 0 ? -(COLS - 3.0) + 1.0 : COLS - 2.0;
                    for (int n = 1; n <= MOST; n = n == 1 ? 6 : n == 6 ? MOST : MOST + 1) {
                        product(isa_at(i), &w.w, (enum activations)kind, x, COLS, n, y, ROWS, 0, 2);
                        for (int o = 0; o < n * ROWS; o++)
                            assert_true(fabs((double)y[o] - expected) <
                                        (w.w.scheme.format == QF_I8 ? 5e-3 : 0.07) * COLS);
                        if (s == 0 && kind == ACTIVATIONS_I16)
                            assert_true(fabs((double)y[3] - expected) < 1e-3 * COLS / 100);
                    }
                }
            weight_free(&w);
        }
    mem_free(m);
    mem_free(x);
}

/* Sums so large that a float cannot hold them, nor, over a whole row, an int32: they are rounded exactly
 * once. */
static void test_large_sums_are_rounded_once(void **state)
{
    (void)state;
    enum { ROWS = 65, COLS = 6400, MOST = 49 };
    struct rng rng = {21};
    float *m = mem_array((size_t)ROWS * COLS, sizeof *m), *x = mem_array((size_t)MOST * COLS, sizeof *x);
    float alone[ROWS], y[MOST * ROWS];
    int *codes = mem_array(COLS, sizeof *codes);
    for (int i = 0; i < ROWS * COLS; i++) m[i] = i % COLS == 0 ? 1.0f : 0.85f + 0.15f * rng_uniform(&rng);
    for (int i = 0; i < MOST * COLS; i++) x[i] = i % COLS == 5 ? -1.0f : -0.8f + 0.2f * rng_uniform(&rng);
    struct weight w = weight_from(m, scheme_of("i8"), ROWS, COLS);
    float scale = token_codes(x, COLS, 32639, codes);
    for (size_t i = 0; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        product(isa_at(i), &w.w, ACTIVATIONS_I16, x, COLS, MOST, y, ROWS, 0, 2);
        for (int r = 0; r < MOST; r++) {
            product(isa_at(i), &w.w, ACTIVATIONS_I16, x + (size_t)r * COLS, COLS, 1, alone, ROWS, 0, 2);
            assert_memory_equal(alone, y + (size_t)r * ROWS, sizeof alone);
        }
        for (int o = 0; o < ROWS; o++) {
            int64_t sum = 0;
            for (int k = 0; k < COLS; k++) sum += codes[k] * code_at(&w.w, o, k);
            assert_true(sum < -((int64_t)1 << 33));
            float expected = ((const float *)w.w.scale)[o] * (float)sum * scale;
            assert_memory_equal(&expected, &y[o], sizeof expected);
        }
    }
    weight_free(&w);
    mem_free(m);
    mem_free(x);
    mem_free(codes);
}

static void test_activation_edges(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    struct weight w = weight_create("i8", 64, 60, 12);
    float x[60] = {0}, y[64];
    for (size_t i = 0; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        for (int kind = ACTIVATIONS_I16; kind <= ACTIVATIONS_I8; kind++) {
            memset(x, 0, sizeof x);
            product(isa_at(i), &w.w, (enum activations)kind, x, 60, 1, y, 64, 0, 1);
            for (int o = 0; o < 64; o++) assert_true(y[o] == 0.0f);
            for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
                x[59] = bad[b];
                product(isa_at(i), &w.w, (enum activations)kind, x, 60, 1, y, 64, 0, 1);
                for (int o = 0; o < 64; o++) assert_true(isnan(y[o]));
            }
        }
    }
    weight_free(&w);
}

/* Code k of the first row. */
static int activation_code(const struct format_ops *ops, const struct qinput *x, int k)
{
    static const int place[4] = {0, 2, 1, 3};
    if (ops->wide_codes[x->kind]) return qinput_wide(x, 0, k / 4 * 4)[place[k % 4]];
    return x->lo ? 256 * x->hi[k] + x->lo[k] : x->hi[k];
}

/* Codes of activations: ties to even, and 127*256 + 127 as the largest, so that both bytes are signed. */
static void test_activation_codes(void **state)
{
    (void)state;
    struct weight w = weight_create("i8", 64, 24, 13);
    float x[24] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127.0f};
    static const int8_t expected[24] = {127, 0, 2, 2, 0, -2, -2, -127};
    float wide[24] = {32639.0f, 32512.0f, 127.0f,  128.0f,  129.0f,  383.0f,
                      384.0f,   -128.0f,  -129.0f, -384.0f, -385.0f, -32639.0f};
    for (size_t i = 0; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        for (int kind = ACTIVATIONS_I16; kind <= ACTIVATIONS_I8; kind++) {
            struct qinput in = {.f32 = kind == ACTIVATIONS_I8 ? x : wide, .stride = 24};
            size_t bytes = qinput_layout(NULL, &w.w, (enum activations)kind, 1, NULL);
            void *memory = mem_alloc(bytes);
            memset(memory, 0xFF, bytes);
            qinput_layout(&in, &w.w, (enum activations)kind, 1, memory);
            isa_at(i)->formats[QF_I8].prepare(&w.w, &in, 0, 1);
            assert_true(in.code_scale[0] == 1.0f);
            for (int k = 0; k < 64; k++) {
                float want = k >= 24 ? 0.0f : kind == ACTIVATIONS_I8 ? (float)expected[k] : wide[k];
                assert_true((float)activation_code(&isa_at(i)->formats[QF_I8], &in, k) == want);
            }
            mem_free(memory);
        }
    }
    weight_free(&w);
}

/* Inputs beside the middle of two codes, at scales of all sizes. The code is that of the rounded quotient. */
static void test_activation_codes_at_ties(void **state)
{
    (void)state;
    enum { COLS = 256, ROUNDS = 400 };
    static const int qmax[ACTIVATIONS_COUNT] = {[ACTIVATIONS_I16] = 32639, [ACTIVATIONS_I8] = 127};
    struct weight w = weight_create("i8", 1, COLS, 14);
    struct rng rng = {15};
    float x[COLS];
    int codes[COLS];
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = ACTIVATIONS_I16; kind <= ACTIVATIONS_I8; kind++) {
            const float most = ldexpf(1.0f + rng_uniform(&rng), round % 10 == 9 ? -100 : round % 41 - 20);
            const float scale = most / (float)qmax[kind];
            for (int k = 0; k < COLS; k++) {
                float half = (float)((int)(rng_uniform(&rng) * (float)qmax[kind])) - 0.5f;
                x[k] = half * scale;
                for (int step = k % 5 - 2; step; step += step < 0 ? 1 : -1)
                    x[k] = nextafterf(x[k], step < 0 ? -INFINITY : INFINITY);
            }
            x[0] = -most;
            token_codes(x, COLS, qmax[kind], codes);
            for (size_t i = 0; i < isa_count(); i++) {
                if (!isa_at(i)->supported()) continue;
                struct qinput in = {.f32 = x, .stride = COLS};
                size_t bytes = qinput_layout(NULL, &w.w, (enum activations)kind, 1, NULL);
                void *memory = mem_alloc(bytes);
                qinput_layout(&in, &w.w, (enum activations)kind, 1, memory);
                isa_at(i)->formats[QF_I8].prepare(&w.w, &in, 0, 1);
                for (int k = 0; k < COLS; k++)
                    assert_int_equal(activation_code(&isa_at(i)->formats[QF_I8], &in, k), codes[k]);
                mem_free(memory);
            }
        }
    weight_free(&w);
}

/* A subnormal scale is inexact, up to 1.5 times too small: codes end at the largest all the same. */
static void test_activation_codes_of_subnormals(void **state)
{
    (void)state;
    struct weight w = weight_create("i8", 1, 64, 16);
    for (int kind = ACTIVATIONS_I16; kind <= ACTIVATIONS_I8; kind++) {
        const int qmax = kind == ACTIVATIONS_I16 ? 32639 : 127, most = qmax + qmax / 2 - 1;
        float x[64] = {(float)most * 0x1p-149f, (float)-most * 0x1p-149f, 0x1p-149f};
        const int want[4] = {qmax, -qmax, 1, 0};
        for (size_t i = 0; i < isa_count(); i++) {
            if (!isa_at(i)->supported()) continue;
            struct qinput in = {.f32 = x, .stride = 64};
            size_t bytes = qinput_layout(NULL, &w.w, (enum activations)kind, 1, NULL);
            void *memory = mem_alloc(bytes);
            qinput_layout(&in, &w.w, (enum activations)kind, 1, memory);
            isa_at(i)->formats[QF_I8].prepare(&w.w, &in, 0, 1);
            assert_true(in.code_scale[0] == 0x1p-149f);
            for (int k = 0; k < 4; k++)
                assert_int_equal(activation_code(&isa_at(i)->formats[QF_I8], &in, k), want[k]);
            mem_free(memory);
        }
    }
    weight_free(&w);
}

int main(void)
{
    schemes = every_scheme(&n_schemes);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar_against_double),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_large_sums_are_rounded_once),
        cmocka_unit_test(test_activation_edges),
        cmocka_unit_test(test_activation_codes),
        cmocka_unit_test(test_activation_codes_at_ties),
        cmocka_unit_test(test_activation_codes_of_subnormals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
