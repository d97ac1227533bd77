/* The choice of a level for every tensor within a budget. */
#include "tests/support.h"
#include "study/sensitivity.h"

enum { N = 12, LEVELS = 3 };

/* Random sizes and costs; lower levels are smaller and mostly cost more. */
static uint64_t random_tensors(uint64_t seed, struct sensitive_tensor t[N])
{
    struct rng r = {seed};
    uint64_t total = 1000; /* bytes of other tensors */
    for (size_t i = 0; i < N; i++) {
        uint64_t size = 100 + rng_below(&r, 900);
        double cost = (double)rng_below(&r, 1000) / 1000;
        t[i] = (struct sensitive_tensor){.bytes = {8 * size, 2 * size, size},
                                         .kl = {0, cost / 10, cost + 0.001}};
        if (i == 3) t[i].kl[1] = -0.01; /* costs are measured, so a quantized tensor may be better */
        total += 8 * size;
    }
    return total;
}

static uint64_t bytes_of(const struct sensitive_tensor t[N])
{
    uint64_t bytes = 1000;
    for (size_t i = 0; i < N; i++) bytes += t[i].bytes[t[i].level];
    return bytes;
}
static double kl_of(const struct sensitive_tensor t[N])
{
    double kl = 0;
    for (size_t i = 0; i < N; i++) kl += t[i].kl[t[i].level];
    return kl;
}

static void it_fits_and_leaves_no_room_unused(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sensitive_tensor t[N];
        uint64_t all = random_tensors(seed, t), least = (all - 1000) / 8 + 1000, total;
        double before = -1;
        for (int step = 0; step <= 10; step++) {
            uint64_t budget = least + (all - least) * (uint64_t)step / 10;
            assert_true(sensitivity_choose(t, N, LEVELS, all, budget, &total));
            assert_true(total <= budget && total == bytes_of(t));
            for (size_t i = 0; i < N; i++) /* nothing better fits any more */
                for (size_t l = 0; l < LEVELS; l++)
                    if (t[i].kl[l] < t[i].kl[t[i].level])
                        assert_true(total - t[i].bytes[t[i].level] + t[i].bytes[l] > budget);
            if (step == 0) before = kl_of(t);
            assert_true(kl_of(t) <= before); /* never worse than with the smallest budget */
        }
        assert_int_equal(t[3].level, 1); /* a tensor that gains goes down though all fits */
        assert_false(sensitivity_choose(t, N, LEVELS, all, least - 1, &total));
        assert_int_equal(total, least);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_fits_and_leaves_no_room_unused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
