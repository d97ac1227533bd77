/* The project's own exp, tanh, erf (through the kernels that use them) and the scalar log and exp:
 * compared with the C library in higher precision, at their edges, and the same bits in every instruction
 * set. */
#include "tests/support.h"
#include "tests/kernels/isas.h"
#include <math.h>
#include "kernels/half.h"
#include "kernels/scalar_math.h"

enum { N = 40000 };

/* |got - expected| in units of the last place of a float at expected (not below the normal range). */
static double ulps(float got, double expected)
{
    int exponent;
    frexp(expected, &exponent);
    return fabs((double)got - expected) / ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

static float *inputs(float low, float high)
{
    float *x = malloc(N * sizeof *x);
    struct rng r = {9};
    for (int i = 0; i < N; i++) x[i] = low + (high - low) * (0.5f + 0.5f * rng_uniform(&r));
    for (int i = 0; i < N / 8; i++) x[i] *= ldexpf(1.0f, -(i % 140)); /* near 0, down to denormals */
    return x;
}

static void exponential(const struct kernels *k, float *x, size_t n) { k->row_exp(x, n, 1.0f, 0.0f, x); }
static void hyperbolic(const struct kernels *k, float *x, size_t n) { k->activation[ACT_TANH](x, n, x); }

static void exp_is_accurate(void **state)
{
    (void)state;
    float *x = inputs(-86.6f, 88.72f), *y = malloc(N * sizeof *y);
    memcpy(y, x, N * sizeof *y);
    exponential(&kernels_table_scalar, y, N);
    for (int i = 0; i < N; i++)
        if (ulps(y[i], exp((double)x[i])) > 1.1) fail_msg("exp(%a) = %a", (double)x[i], (double)y[i]);
    free(x);
    free(y);
}

static void exp_at_its_edges(void **state)
{
    (void)state;
    for_each_isa(isa)
    {
        float x[] = {0.0f, -0.0f, -86.7f, -88.0f, -1e30f, -INFINITY, 88.8f, 1e30f, INFINITY, NAN, 1e-45f};
        const float expected[] = {1.0f,     1.0f,     0.0f,     0.0f, 0.0f, 0.0f,
                                  INFINITY, INFINITY, INFINITY, NAN,  1.0f};
        enum { COUNT = sizeof x / sizeof *x };
        exponential(isa->kernels, x, COUNT);
        for (int i = 0; i < COUNT; i++)
            assert_true(float_bits(x[i]) == float_bits(expected[i]) || (x[i] != x[i] && isnan(expected[i])));
    }
}

static void tanh_is_accurate(void **state)
{
    (void)state;
    float *x = inputs(-9.5f, 9.5f), *y = malloc(N * sizeof *y);
    memcpy(y, x, N * sizeof *y);
    hyperbolic(&kernels_table_scalar, y, N);
    for (int i = 0; i < N; i++)
        if (ulps(y[i], tanh((double)x[i])) > 2.5) fail_msg("tanh(%a) = %a", (double)x[i], (double)y[i]);
    free(x);
    free(y);
    for_each_isa(isa)
    {
        float z[] = {0.0f, -0.0f, 1e-45f, 20.0f, -1e30f, INFINITY, -INFINITY, NAN};
        const float expected[] = {0.0f, -0.0f, 1e-45f, 1.0f, -1.0f, 1.0f, -1.0f, NAN};
        hyperbolic(isa->kernels, z, 8);
        for (int i = 0; i < 8; i++)
            assert_true(float_bits(z[i]) == float_bits(expected[i]) || (z[i] != z[i] && isnan(expected[i])));
    }
}

static double reference(enum activation_function f, double x)
{
    switch (f) {
    case ACT_GELU_NEW: return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ACT_RELU: return x > 0.0 ? x : 0.0;
    case ACT_SILU: return x / (1.0 + exp(-x));
    case ACT_GELU: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    default: return tanh(x);
    }
}

static void activations_agree_with_double_precision(void **state)
{
    (void)state;
    float *x = inputs(-20.0f, 20.0f), *y = malloc(N * sizeof *y);
    for (enum activation_function f = 0; f < ACT_COUNT; f++) {
        memcpy(y, x, N * sizeof *y);
        kernels_table_scalar.activation[f](y, N, y);
        for (int i = 0; i < N; i++) {
            double expected = reference(f, (double)x[i]);
            double allowed = 1.5e-7 * fmax(fmin(fabs((double)x[i]), 1.0), fabs(expected)) + 1e-45;
            if (fabs((double)y[i] - expected) > allowed)
                fail_msg("activation %d of %a = %a, not %a", (int)f, (double)x[i], (double)y[i], expected);
        }
    }
    free(x);
    free(y);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    float *x = inputs(-100.0f, 100.0f), *y = malloc(N * sizeof *y), *expected = malloc(N * sizeof *y);
    struct rng r = {11};
    for (int i = N / 2; i < N; i++) {
        x[i] = float_from_bits((uint32_t)rng_next(&r)); /* any float but NaN, whose payload is free */
        if (x[i] != x[i]) x[i] = INFINITY;
    }
    for (int f = 0; f <= ACT_COUNT; f++) for_each_isa(isa)
        {
            memcpy(y, x, N * sizeof *y);
            if (f < ACT_COUNT)
                isa->kernels->activation[f](y, N, y);
            else
                exponential(isa->kernels, y, N);
            for (int i = 0; i < N; i++)
                if (y[i] != y[i]) y[i] = NAN;
            if (is_definition(isa)) memcpy(expected, y, N * sizeof *y);
            assert_memory_equal(y, expected, N * sizeof *y);
        }
    free(x);
    free(y);
    free(expected);
}

static void not_a_number_stays_so(void **state)
{
    (void)state;
    for_each_isa(isa) for (int f = 0; f < ACT_COUNT; f++)
    {
        float x[3] = {1.0f, NAN, -1.0f};
        isa->kernels->activation[f](x, 3, x);
        assert_true(isnan(x[1]) && !isnan(x[0]) && !isnan(x[2]));
    }
}

static double double_ulps(double got, long double expected)
{
    int exponent;
    frexpl(expected, &exponent);
    return (double)(fabsl((long double)got - expected) /
                    ldexpl(1.0L, (exponent < -1021 ? -1021 : exponent) - 53));
}

static void scalar_functions_are_within_one_ulp(void **state)
{
    (void)state;
    struct rng r = {12};
    for (int i = 0; i < 200000; i++) {
        double u = (double)(int64_t)rng_next(&r) * 0x1p-63;
        double x = u * 745.0;
        if (x < 709.78 && double_ulps(math_exp(x), expl((long double)x)) > 1.0)
            fail_msg("exp(%a) = %a", x, math_exp(x));
        x = i & 1 ? fabs(1.0 + u * 0.5) : ldexp(1.0 + fabs(u), (int)rng_below(&r, 2098) - 1074);
        if (x != 1.0 && double_ulps(math_log(x), logl((long double)x)) > 1.0)
            fail_msg("log(%a) = %a", x, math_log(x));
    }
    assert_true(math_exp(0.0) == 1.0 && math_exp(-INFINITY) == 0.0 && math_exp(-746.0) == 0.0);
    assert_true(math_exp(710.0) == INFINITY && math_exp(INFINITY) == INFINITY && isnan(math_exp(NAN)));
    assert_true(math_exp(-745.0) == 0x1p-1074);
    assert_true(math_log(1.0) == 0.0 && math_log(0.0) == -INFINITY && math_log(-0.0) == -INFINITY);
    assert_true(math_log(INFINITY) == INFINITY && isnan(math_log(-1.0)) && isnan(math_log(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(exp_at_its_edges),
        cmocka_unit_test(tanh_is_accurate),
        cmocka_unit_test(activations_agree_with_double_precision),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(not_a_number_stays_so),
        cmocka_unit_test(scalar_functions_are_within_one_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
