/* The largest value, its id and sums of exponentials over rows of logits: ties, values that are not
 * finite, every length, the same bits in every instruction set. */
#include "tests/support.h"
#include "tests/kernels/isas.h"
#include <math.h>

static const int lengths[] = {255, 257, 1023, 1024, 1025, 50257};
enum { COUNT = 70 + 6 };
static int length_at(int i) { return i < 70 ? i + 1 : lengths[i - 70]; }

static float *logits(int n, uint64_t seed, float offset)
{
    struct rng r = {seed};
    float *x = guard_alloc((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++) x[i] = 10.0f * rng_normal(&r) + offset;
    return x;
}

/* All values are below zero: a tail lane taken as 0 would win. */
static void largest_value_and_its_id(void **state)
{
    (void)state;
    for (int l = 0; l < COUNT; l++) {
        int n = length_at(l), best = 0;
        float *x = logits(n, (uint64_t)n, -100.0f);
        for (int i = 1; i < n; i++)
            if (x[i] > x[best]) best = i;
        for_each_isa(isa)
        {
            assert_true(isa->kernels->row_max(x, (size_t)n) == x[best]);
            assert_int_equal(kernels_argmax(isa->kernels, x, (size_t)n), best);
        }
        guard_free(x, (size_t)n * sizeof *x);
    }
}

static void ties_go_to_the_lowest_id(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float x[N];
    static const int places[][2] = {{0, 1},       {3, 19},      {19, 36},    {15, 16},
                                    {1023, 1024}, {1000, 4999}, {4095, 4998}};
    for_each_isa(isa) for (size_t k = 0; k < sizeof places / sizeof *places; k++) for (int zero = 0; zero < 2;
                                                                                       zero++)
    {
        for (int i = 0; i < N; i++) x[i] = -5.0f;
        x[places[k][0]] = zero ? -0.0f : 7.0f; /* -0 and +0 are equal */
        x[places[k][1]] = zero ? 0.0f : 7.0f;
        assert_int_equal(kernels_argmax(isa->kernels, x, N), places[k][0]);
    }
}

/* In pieces and in any order, as the panels of a head come. */
static void pieces_join_in_any_order(void **state)
{
    (void)state;
    enum { N = 1025, PIECE = 64, PIECES = (N + PIECE - 1) / PIECE };
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct rng r = {seed};
        float *x = logits(N, seed, 0.0f);
        if (seed % 2) /* many ties */
            for (int i = 0; i < N; i++) x[i] = (float)(int)(x[i] / 8);
        if (seed % 8 == 7) x[rng_below(&r, N)] = seed % 16 == 7 ? NAN : -INFINITY;
        int32_t order[PIECES], want = kernels_argmax(&kernels_table_scalar, x, N);
        for (int i = 0; i < PIECES; i++) {
            uint32_t j = rng_below(&r, (uint32_t)i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        for_each_isa(isa)
        {
            struct best best[2] = {BEST_OF_NONE, BEST_OF_NONE}; /* of two threads */
            for (int i = 0; i < PIECES; i++) {
                int first = order[i] * PIECE;
                size_t n = N - first < PIECE ? (size_t)(N - first) : PIECE;
                isa->kernels->row_best(x + first, n, first, &best[i % 3 == 0]);
            }
            best_join(&best[0], best[1]);
            assert_int_equal(best[0].id, want);
            assert_true((want < 0) == (seed % 8 == 7));
            if (want >= 0) assert_true(best[0].value == x[want]);
        }
        guard_free(x, N * sizeof *x);
    }
}

static void what_is_not_finite_has_no_argmax(void **state)
{
    (void)state;
    enum { N = 2100 };
    static float x[N];
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    static const int places[] = {0, 17, 1024, 2098, 2099};
    for_each_isa(isa) for (int b = 0; b < 3; b++) for (int p = 0; p < 5; p++)
    {
        for (int i = 0; i < N; i++) x[i] = (float)(i % 97) - 3e38f;
        assert_int_equal(kernels_argmax(isa->kernels, x, N), 0);
        x[places[p]] = bad[b];
        assert_int_equal(kernels_argmax(isa->kernels, x, N), -1);
    }
}

static void sums_of_exponentials(void **state)
{
    (void)state;
    for (int l = 0; l < COUNT; l++) {
        int n = length_at(l);
        size_t bytes = (size_t)n * sizeof(float);
        float *x = logits(n, (uint64_t)n + 7, 0.0f), *y = guard_alloc(bytes), *expected = malloc(bytes);
        float top = kernels_table_scalar.row_max(x, (size_t)n), scale = 1.0f / 0.7f;
        double sum = kernels_table_scalar.row_exp(x, (size_t)n, scale, top * scale, expected);
        double plain = kernels_table_scalar.row_sum_exp(x, (size_t)n, top), reference = 0, lanes[16] = {0};
        for (int i = 0; i < n; i++) {
            reference += exp((double)x[i] - (double)top);
            lanes[i % 16] += (double)expected[i];
        }
        for (int half = 8; half; half /= 2)
            for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
        assert_true(sum == lanes[0]);
        assert_true(fabs(plain - reference) <= 3e-7 * reference);
        for_each_isa(isa)
        {
            double s = isa->kernels->row_exp(x, (size_t)n, scale, top * scale, y);
            double t = isa->kernels->row_sum_exp(x, (size_t)n, top);
            assert_memory_equal(y, expected, bytes);
            assert_memory_equal(&s, &sum, sizeof s);
            assert_memory_equal(&t, &plain, sizeof t);
        }
        guard_free(x, bytes);
        guard_free(y, bytes);
        free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_value_and_its_id), cmocka_unit_test(ties_go_to_the_lowest_id),
        cmocka_unit_test(pieces_join_in_any_order), cmocka_unit_test(what_is_not_finite_has_no_argmax),
        cmocka_unit_test(sums_of_exponentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
