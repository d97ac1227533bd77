/* The errors of quantized tensors, against sums written out here; and panels against rows, on which they
 * rely. */
#include "tests/support.h"
#include "base/memory.h"
#include "qtensor/dequantize.h"
#include "qtensor/isa.h"
#include "quantize/errors.h"
#include <math.h>

static const char *const specs[] = {"f32",
                                    "f16",
                                    "bf16",
                                    "i8",
                                    "i8:tensor",
                                    "i8:input",
                                    "i8:g24",
                                    "i8:channel:minmax",
                                    "notes",
                                    "i4:g8:affine",
                                    "i4:g24:minmax",
                                    "i4:input:affine",
                                    "i4",
                                    "i4:tensor",
                                    "i4:channel:affine"};
#define N_SPECS (sizeof specs / sizeof *specs)
enum { ROWS_MAX = 131, COLS_MAX = 168 };

struct matrix {
    float w[ROWS_MAX * COLS_MAX];
    struct qsource src;
};

/* Every eighth column is far larger: absmax over a whole row leaves the others coarse. */
static void fill(struct matrix *m, int rows, int cols, uint64_t seed)
{
    struct rng rng = {seed};
    for (int i = 0; i < rows * cols; i++) m->w[i] = rng_normal(&rng) * (i % 8 == 0 ? 10.0f : 0.1f);
    m->src = (struct qsource){"m", DT_F32, m->w, rows, cols, (size_t)cols, 1};
}

static struct scheme scheme_of(const char *spec)
{
    struct scheme s;
    assert_int_equal(scheme_parse(spec, &s, NULL), GPT2Q_OK);
    return s;
}

/* False where the scheme does not fit. */
static bool measured(const struct matrix *m, const char *spec, int threads, struct qtensor *w,
                     struct tensor_errors *e)
{
    const struct quantize_run run = {.n_threads = threads};
    return tensor_quantize_measured(&m->src, scheme_of(spec), &run, w, e, NULL) == GPT2Q_OK;
}

static void row_of(const struct qtensor *w, int o, float *out)
{
    isa_at(0)->formats[w->scheme.format].dequantize_row(w, o, out);
}

static void test_panels_are_rows(void **state)
{
    (void)state;
    static struct matrix m;
    static float block[COLS_MAX * PANEL];
    static const int shapes[][2] = {{1, 72}, {64, 24}, {65, 168}, {131, 96}, {3, 7}};
    float row[COLS_MAX];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t s = 0; s < N_SPECS; s++) {
            int rows = shapes[i][0], cols = shapes[i][1];
            struct qtensor w;
            struct tensor_errors e;
            fill(&m, rows, cols, i + 1);
            if (!measured(&m, specs[s], 2, &w, &e)) continue;
            for (int o = 0; o < rows; o++) {
                row_of(&w, o, row);
                for (int k0 = 0; k0 < cols; k0 += 5) { /* from anywhere, not only where a group begins */
                    int k1 = k0 + 5 < cols ? k0 + 5 : cols;
                    if (o % PANEL == 0) dequantize_panel(&w, o / PANEL, k0, k1, block + k0 * PANEL);
                    for (int k = k0; k < k1; k++)
                        assert_memory_equal(&block[k * PANEL + o % PANEL], &row[k], sizeof *row);
                }
            }
            qtensor_free(&w);
        }
}

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

static void compare_sums(const struct matrix *m, const struct qtensor *w, const struct tensor_errors *e)
{
    double difference2 = 0, reference2 = 0, absolute = 0, max = 0, largest = 0;
    float row[COLS_MAX];
    for (int o = 0; o < w->rows; o++) {
        row_of(w, o, row);
        for (int k = 0; k < w->cols; k++) {
            float before = m->w[o * w->cols + k], d = fabsf(before - row[k]);
            difference2 += (double)d * (double)d;
            reference2 += (double)before * (double)before;
            absolute += (double)d;
            max = fmax(max, (double)d);
            largest = fmax(largest, fabs((double)before));
        }
    }
    near(e->relative_error, sqrt(difference2 / reference2));
    near(e->mean_error, absolute / e->n);
    assert_true(e->max_error == max && e->largest == largest);
    assert_true(e->n == (double)w->rows * (double)w->cols);
}

/* Padded outputs do not count, and threads change nothing. A whole model's figures beside another's are
 * the same. */
static void test_figures(void **state)
{
    (void)state;
    static struct matrix m;
    for (size_t s = 0; s < N_SPECS; s++) {
        struct qtensor w, again, f32;
        struct tensor_errors e, f, between;
        fill(&m, ROWS_MAX, 96, s + 1);
        assert_true(measured(&m, specs[s], 1, &w, &e));
        compare_sums(&m, &w, &e);
        assert_true(measured(&m, specs[s], 3, &again, &f));
        assert_memory_equal(&e, &f, sizeof e);
        assert_true(measured(&m, "f32", 1, &f32, &f) && f.relative_error == 0 && f.max_error == 0);
        between = tensor_errors_between(&f32, &w, (struct unfolding){0});
        between.clipped = e.clipped;
        assert_memory_equal(&e, &between, sizeof e);
        qtensor_free(&w);
        qtensor_free(&again);
        qtensor_free(&f32);
    }
}

/* Scales come from the range, so nothing is clipped. But scales of groups and their minima are float16,
 * which has nothing between 1000 and 1000.5. */
static void test_clipped(void **state)
{
    (void)state;
    static struct matrix m;
    struct qtensor w;
    struct tensor_errors e;
    for (size_t s = 0; s < N_SPECS; s++) {
        fill(&m, 70, 96, 9);
        assert_true(measured(&m, specs[s], 1, &w, &e));
        assert_true(e.clipped <= (w.scheme.gran == QG_GROUP ? 0.02 : 0));
        qtensor_free(&w);
    }
    fill(&m, 1, 16, 1);
    for (int i = 0; i < 16; i++) m.w[i] = (i < 8 ? 1000.3f : 0.3f) + 0.001f * (float)i;
    assert_true(measured(&m, "i4:g8:minmax", 1, &w, &e));
    assert_true(e.clipped == 0.5);
    qtensor_free(&w);
    /* The scale is float16's smallest, 7.55/7 of it rounded: one weight lies 0.55 steps beyond the last code. */
    for (int i = 0; i < 16; i++) m.w[i] = (i ? (float)(i % 7) : 7.55f) * 0x1p-24f;
    assert_true(measured(&m, "i4:g16:absmax", 1, &w, &e));
    assert_true(e.clipped == 1.0 / 16);
    qtensor_free(&w);
}

static void test_values(void **state)
{
    (void)state;
    float before[131], after[131];
    for (size_t n = 1; n <= 131; n += 13) {
        for (size_t i = 0; i < n; i++) before[i] = (float)(i + 1), after[i] = before[i] + 0.5f;
        struct tensor_errors e = values_errors(before, after, n);
        near(e.mean_error, 0.5);
        assert_true(e.max_error == 0.5 && e.clipped == 0 && e.n == (double)n && e.largest == (double)n);
        near(e.difference2, 0.25 * (double)n);
    }
}

static void test_join(void **state)
{
    (void)state;
    float a[3] = {1, 2, 3}, b[3] = {1, 2, 4}, c[1] = {8}, d[1] = {6}, ac[4] = {1, 2, 3, 8},
          bd[4] = {1, 2, 4, 6};
    struct tensor_errors joined = tensor_errors_join(values_errors(a, b, 3), values_errors(c, d, 1)),
                         whole = values_errors(ac, bd, 4);
    near(joined.relative_error, whole.relative_error);
    near(joined.mean_error, whole.mean_error);
    assert_true(joined.max_error == 2 && joined.largest == 8 && joined.n == 4);
}

static void test_no_memory(void **state)
{
    (void)state;
    static struct matrix m;
    fill(&m, 70, 72, 1);
    for (int64_t allowed = 0;; allowed++) {
        struct qtensor w;
        struct tensor_errors e;
        mem_fail_after(allowed);
        bool ok = measured(&m, "i8", 1, &w, &e);
        mem_fail_after(-1);
        if (!ok) {
            assert_null(w.owned);
            continue;
        }
        assert_true(allowed == 3);
        qtensor_free(&w);
        return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panels_are_rows),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_clipped),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
