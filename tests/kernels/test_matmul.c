/* Products with quantized weights: every instruction set against the scalar definition by memcmp, the
 * definition against formulas written out here and against double, for every kind of scheme and activations.
 */
#include "tests/support.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "qtensor/isa.h"
#include "qtensor/qinput.h"
#include "qtensor/quantize.h"
#include "tests/schemes.h"
#include <math.h>

static const char *const *schemes; /* every_scheme's */
static size_t n_schemes;

/* ---- a weight, its input, a product
 * ------------------------------------------------------------------------------------ */

static bool fits(struct scheme s, int cols)
{
    return !scheme_has_codes(s) || s.gran != QG_GROUP || cols % s.group == 0;
}

/* A weight whose codes end at a guard page. */
struct weight {
    struct qtensor w;
    uint8_t *guarded;
    size_t guarded_bytes;
};

static struct scheme scheme_of(const char *spec)
{
    struct scheme s;
    assert_int_equal(scheme_parse(spec, &s, NULL), GPT2Q_OK);
    return s;
}

static struct weight weight_from(const float *m, struct scheme s, int rows, int cols)
{
    struct weight out = {0};
    gpt2q_error err = {0};
    struct qsource src = {"test", DT_F32, m, rows, cols, (size_t)cols, 1};
    assert_int_equal(qtensor_quantize(&src, s, &(struct quantize_run){.n_threads = 1}, &out.w, &err),
                     GPT2Q_OK);
    out.guarded_bytes = out.w.panel_bytes * (size_t)qtensor_panels(&out.w);
    out.guarded = guard_alloc(out.guarded_bytes);
    memcpy(out.guarded, out.w.codes, out.guarded_bytes);
    out.w.codes = out.guarded;
    return out;
}

static struct weight weight_create(const char *spec, int rows, int cols, uint64_t seed)
{
    struct rng rng = {seed};
    float *m = mem_array((size_t)rows * (size_t)cols, sizeof *m);
    for (int i = 0; i < rows * cols; i++) m[i] = 0.1f * rng_normal(&rng) + 0.02f;
    struct weight out = weight_from(m, scheme_of(spec), rows, cols);
    mem_free(m);
    return out;
}

static void weight_free(struct weight *w)
{
    guard_free(w->guarded, w->guarded_bytes);
    qtensor_free(&w->w);
}

static float *input_create(int n, size_t stride, uint64_t seed)
{
    struct rng rng = {seed};
    float *x = guard_alloc((size_t)n * stride * sizeof *x);
    for (size_t i = 0; i < (size_t)n * stride; i++) x[i] = rng_normal(&rng) * (i % 7 ? 1.0f : 4.0f);
    return x;
}

/* The rows [begin, end) of n. */
static void product_of_rows(const struct isa *isa, const struct qtensor *w, enum activations kind,
                            const float *x, size_t stride, int n, int begin, int end, float *y,
                            size_t y_stride, int p0, int p1)
{
    const struct format_ops *ops = &isa->formats[w->scheme.format];
    struct qinput in = {.f32 = x, .stride = stride};
    size_t bytes = qinput_layout(NULL, w, kind, n, NULL);
    void *memory = mem_alloc(bytes);
    memset(memory, 0xFF, bytes);
    assert_int_equal(qinput_layout(&in, w, kind, n, memory), bytes);
    if (qinput_needs_prepare(w, kind)) ops->prepare(w, &in, 0, n);
    in.begin = begin;
    in.end = end;
    y += (size_t)begin * y_stride + (size_t)p0 * PANEL;
    (kind == ACTIVATIONS_F32 ? ops->matmul : ops->matmul_q)(w, &in, y, y_stride, p0, p1);
    mem_free(memory);
}

static void product(const struct isa *isa, const struct qtensor *w, enum activations kind, const float *x,
                    size_t stride, int n, float *y, size_t y_stride, int p0, int p1)
{
    product_of_rows(isa, w, kind, x, stride, n, 0, n, y, y_stride, p0, p1);
}

static enum activations last_kind(const struct qtensor *w)
{
    return scheme_takes(w->scheme, ACTIVATIONS_I8) ? ACTIVATIONS_I8 : ACTIVATIONS_F32;
}

/* ---- instruction sets
 * ---------------------------------------------------------------------------------------------------- */

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
            if (!fits(scheme_of(schemes[s]), cols)) continue;
            struct weight w = weight_create(schemes[s], rows, cols, s * 100 + i);
            int n = (int)(1 + (s + i) % 7);
            float *x = input_create(n, (size_t)cols + 1, i);
            for (int kind = 0; kind <= (int)last_kind(&w.w); kind++)
                compare_isas(&w.w, (enum activations)kind, x, n);
            guard_free(x, (size_t)n * ((size_t)cols + 1) * sizeof *x);
            weight_free(&w);
        }
}

/* Any number of rows, any range of panels: each row as it is alone. */
static void compare_numbers_of_rows(int cols)
{
    const int rows = 130, most = 96;
    float *x = input_create(most, (size_t)cols, 5);
    float *alone = mem_array((size_t)most * (size_t)rows, sizeof *alone),
          *y = mem_array((size_t)most * (size_t)rows, sizeof *y);
    for (size_t s = 0; s < n_schemes; s++) {
        if (!fits(scheme_of(schemes[s]), cols)) continue;
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
    compare_numbers_of_rows(1056);
}

/* More rows than any kernel takes together, and blocks of them: each row as it is alone, the others
 * untouched. */
static void compare_blocks_of_rows(const struct isa *isa, const struct qtensor *w, enum activations kind)
{
    enum { N = 300, ROWS = 70, COLS = 192 };
    static const int blocks[][2] = {{0, N}, {64, 96}, {0, 32}, {288, N}, {32, 289}};
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
        if (!fits(scheme_of(schemes[s]), 192)) continue;
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
        if (!fits(scheme_of(schemes[s]), cols)) continue;
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

/* ---- the definition
 * -------------------------------------------------------------------------------------------------------- */

/* The scalar formulas of the file heads, from codes read through the layout that qtensor.h states. */
static int code_at(const struct qtensor *w, int o, int k)
{
    const uint8_t *panel = w->codes + (size_t)(o / PANEL) * w->panel_bytes;
    if (w->scheme.format == QF_I8) return panel[(k / 4 * PANEL + o % PANEL) * 4 + k % 4] - 128;
    int pair = panel[(k / 8 * PANEL + o % PANEL) * 4 + k % 4];
    return (k % 8 < 4 ? pair & 15 : pair >> 4) - 8;
}

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

/* Products that underflow leave -0, which one more term of +0 would turn into +0. */
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
            total = fmaf(f16_at(w.w.scale, at),
                         fmaf(-f16_at(w.w.zero, at), lane_sum(x + g * group, group), a), total);
        }
        assert_memory_equal(&total, &y[o], sizeof total);
    }
    guard_free(x, (size_t)cols * sizeof *x);
    weight_free(&w);
}

/* Codes of one token as the goldens make them; returns the scale. */
static float token_codes(const float *x, int n, int qmax, int *codes)
{
    float most = 0.0f;
    for (int k = 0; k < n; k++) most = fmaxf(most, fabsf(x[k]));
    float scale = most / (float)qmax;
    for (int k = 0; k < n; k++) {
        float q = scale > 0.0f ? rintf(x[k] / scale) : 0.0f;
        codes[k] = (int)fminf(fmaxf(q, (float)-qmax), (float)qmax);
    }
    return scale;
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

/* ---- accuracy
 * ------------------------------------------------------------------------------------------------------------------
 */

/* x as the product sees it: quantized per token, QG_INPUT after scaling, with integer activations. */
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

static void test_scalar_against_double(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 192 };
    float *x = input_create(1, COLS, 11), y[ROWS], row[COLS];
    double seen[COLS];
    for (size_t s = 0; s < n_schemes; s++) {
        if (!fits(scheme_of(schemes[s]), COLS)) continue;
        struct weight w = weight_create(schemes[s], ROWS, COLS, s + 50);
        bool minimum =
            w.w.scheme.gran == QG_INPUT && w.w.scheme.grid == QGRID_MINMAX && scheme_has_codes(w.w.scheme);
        for (int kind = 0; kind <= (int)last_kind(&w.w); kind++) {
            product(isa_at(0), &w.w, (enum activations)kind, x, COLS, 1, y, ROWS, 0, 2);
            seen_input(&w.w, (enum activations)kind, x, seen);
            for (int o = 0; o < ROWS; o++) {
                double sum = 0.0, size = 0.0;
                isa_at(0)->formats[w.w.scheme.format].dequantize_row(&w.w, o, row);
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
    enum { ROWS = 65, COLS = 3072, MOST = 6 };
    static const char *const specs[] = {"i8:channel:absmax", "i8:channel:minmax", "i8:channel:affine",
                                        "i4:g32:absmax", "i4:channel:affine"};
    float *m = mem_array((size_t)ROWS * COLS, sizeof *m), *x = mem_array(MOST * COLS, sizeof *x),
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
                    for (int n = 1; n <= MOST; n += MOST - 1) {
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

/* Sums so large that neither a float nor, of a whole row, an int32 holds them: one rounding, and no more. */
static void test_large_sums_are_rounded_once(void **state)
{
    (void)state;
    enum { ROWS = 65, COLS = 6400, MOST = 7 };
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
        product(isa_at(i), &w.w, ACTIVATIONS_I16, x, COLS, 1, alone, ROWS, 0, 2);
        product(isa_at(i), &w.w, ACTIVATIONS_I16, x, COLS, MOST, y, ROWS, 0, 2);
        assert_memory_equal(alone, y, sizeof alone);
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

/* Inputs beside the middle of two codes, at scales of all sizes: the code is that of the rounded quotient. */
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
        cmocka_unit_test(test_scalar_against_double),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_large_sums_are_rounded_once),
        cmocka_unit_test(test_activation_edges),
        cmocka_unit_test(test_activation_codes),
        cmocka_unit_test(test_activation_codes_at_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
