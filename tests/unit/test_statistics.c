/* The histogram of a tensor: numpy.histogram's rule, against a search through the edges. */
#include "tests/support.h"
#include "quantize/statistics.h"
#include <math.h>

static void expect_counts(const float *values, int n)
{
    gpt2q_error err;
    struct statistics s;
    uint64_t expected[HISTOGRAM_BINS] = {0};
    const struct numbers numbers = {.rows = 1, .cols = n, .values = values};
    assert_int_equal(statistics_take(&numbers, &s, &err), GPT2Q_OK);
    for (int i = 0; i < n; i++) {
        int bin = 0;
        while (bin < HISTOGRAM_BINS - 1 && (double)values[i] >= statistics_edge(&s, bin + 1)) bin++;
        assert_true((double)values[i] >= statistics_edge(&s, bin));
        expected[bin]++;
    }
    assert_memory_equal(s.counts, expected, sizeof expected);
}

/* Values on every edge, and one rounding to either side of it, over ranges whose steps are not binary
 * fractions. */
static void test_edges(void **state)
{
    (void)state;
    static const float ranges[][2] = {{0, 0.1f}, {-1, 1}, {-0.3f, 0.7f}, {1e-3f, 3}, {-5, -1.1f}, {0, 32}};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        float values[3 * (HISTOGRAM_BINS + 1)];
        int n = 0;
        double lo = (double)ranges[r][0], hi = (double)ranges[r][1];
        for (int i = 0; i <= HISTOGRAM_BINS; i++) {
            float edge = i == HISTOGRAM_BINS ? ranges[r][1] : (float)(lo + i * ((hi - lo) / HISTOGRAM_BINS));
            values[n++] = edge;
            if (i > 0) values[n++] = nextafterf(edge, -INFINITY);
            if (i < HISTOGRAM_BINS) values[n++] = nextafterf(edge, INFINITY);
        }
        expect_counts(values, n);
    }
}

static void test_random(void **state)
{
    (void)state;
    struct rng rng = {3};
    float values[4096];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4096; i++)
            values[i] = (float)((int)rng_below(&rng, 65) - 32) * 0.1f; /* many on edges */
        expect_counts(values, 4096);
    }
}

/* numpy makes a range of 1 around a single number, which falls into its middle. */
static void test_one_number(void **state)
{
    (void)state;
    gpt2q_error err;
    struct statistics s;
    const float values[3] = {2, 2, 2};
    const struct numbers numbers = {.rows = 1, .cols = 3, .values = values};
    assert_int_equal(statistics_take(&numbers, &s, &err), GPT2Q_OK);
    assert_true(statistics_edge(&s, 0) == 1.5 && statistics_edge(&s, HISTOGRAM_BINS) == 2.5);
    assert_int_equal(s.counts[HISTOGRAM_BINS / 2], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edges), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_one_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
