/* Layer norm, sums and activations over vectors of every length: the definition's bits in every
 * instruction set, nothing read or written beyond the end, and the 16-lane rule itself. */
#include "tests/support.h"
#include "tests/kernels/isas.h"
#include <math.h>

static const int lengths[] = {255, 257, 768, 1000};
enum { COUNT = 70 + 4 };
static int length_at(int i) { return i < 70 ? i + 1 : lengths[i - 70]; }

static float *vector(int n, struct rng *r, float offset)
{
    float *x = guard_alloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) x[i] = rng_normal(r) + offset;
    return x;
}
static void release(float *x, int n) { guard_free(x, (size_t)n * sizeof *x); }

/* The definition once more in plain C: lane i mod 16, the tree, tail lanes cleared after the mean is
 * subtracted. */
static float tree(float lane[16])
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}
static void plain_norm(const float *x, const float *w, const float *b, float epsilon, int n, float *y)
{
    float sum[16] = {0}, squares[16] = {0};
    for (int i = 0; i < n; i++) sum[i % 16] += x[i];
    float mean = tree(sum) / (float)n;
    for (int i = 0; i < n; i++) squares[i % 16] = fmaf(x[i] - mean, x[i] - mean, squares[i % 16]);
    float inv = 1.0f / sqrtf(tree(squares) / (float)n + epsilon);
    for (int i = 0; i < n; i++) y[i] = fmaf((x[i] - mean) * inv, w[i], b[i]);
}

static void layer_norm_follows_its_formula(void **state)
{
    (void)state;
    struct rng r = {21};
    for (int l = 0; l < COUNT; l++) {
        int n = length_at(l);
        size_t bytes = (size_t)n * sizeof(float);
        float *x = vector(n, &r, 3.0f), *w = vector(n, &r, 1.0f), *b = vector(n, &r, 0.0f),
              *y = vector(n, &r, 0.0f);
        float *expected = malloc(bytes);
        plain_norm(x, w, b, 1e-5f, n, expected);
        for_each_isa(isa)
        {
            isa->kernels->layer_norm(x, w, b, 1e-5f, n, y);
            assert_memory_equal(y, expected, bytes);
        }
        release(x, n), release(w, n), release(b, n), release(y, n);
        free(expected);
    }
}

static void layer_norm_agrees_with_double_precision(void **state)
{
    (void)state;
    enum { N = 768 };
    struct rng r = {22};
    float *x = vector(N, &r, 10.0f), *w = vector(N, &r, 1.0f), *b = vector(N, &r, 0.0f), y[N];
    kernels_table_scalar.layer_norm(x, w, b, 1e-5f, N, y);
    double mean = 0, variance = 0;
    for (int i = 0; i < N; i++) mean += (double)x[i] / N;
    for (int i = 0; i < N; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
    for (int i = 0; i < N; i++) {
        double expected = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)w[i] + (double)b[i];
        assert_float_equal(y[i], (float)expected, 1e-5f);
    }
    release(x, N), release(w, N), release(b, N);
}

/* A constant row has no variance. A tail lane that counts -mean would show. */
static void constant_rows_give_the_bias(void **state)
{
    (void)state;
    for_each_isa(isa) for (int n = 1; n <= 40; n++)
    {
        float x[40], w[40], b[40], y[40];
        for (int i = 0; i < n; i++) x[i] = 1024.0f, w[i] = 2.0f, b[i] = (float)i;
        isa->kernels->layer_norm(x, w, b, 1e-5f, n, y);
        assert_memory_equal(y, b, (size_t)n * sizeof *b);
    }
}

static void sums_and_activations_at_every_length(void **state)
{
    (void)state;
    struct rng r = {23};
    for (int l = 0; l < COUNT; l++) {
        int n = length_at(l);
        size_t bytes = (size_t)n * sizeof(float);
        float *x = vector(n, &r, 0.0f), *y = vector(n, &r, 0.0f), *start = malloc(bytes),
              *expected = malloc(bytes);
        memcpy(start, y, bytes);
        for (int f = 0; f <= ACT_COUNT; f++) for_each_isa(isa)
            {
                memcpy(y, start, bytes);
                if (f < ACT_COUNT)
                    isa->kernels->activation[f](start, (size_t)n, y);
                else
                    isa->kernels->add(y, x, (size_t)n);
                if (is_definition(isa)) memcpy(expected, y, bytes);
                assert_memory_equal(y, expected, bytes);
            }
        for (int i = 0; i < n; i++) assert_true(expected[i] == start[i] + x[i]);
        release(x, n), release(y, n);
        free(start), free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_follows_its_formula),
        cmocka_unit_test(layer_norm_agrees_with_double_precision),
        cmocka_unit_test(constant_rows_give_the_bias),
        cmocka_unit_test(sums_and_activations_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
