/* The words of simd.h in plain C; and half.h, on which they rely, against the arithmetic of the formats. */
#include "tests/support.h"
#define GPT2Q_ISA scalar
#include "tests/kernels/simd_words.h"

/* The nearest f16, found by trying all. Of two equally near, it is the one with an even code. Codes below
 * 0x7C00 ascend with the value; 0x7C00 stands for 65536 here. */
static uint16_t nearest_f16(double x)
{
    uint16_t best = 0;
    double distance = INFINITY;
    for (uint16_t h = 0; h <= 0x7C00; h++) {
        double value = h < 0x400 ? h * 0x1p-24 : ldexp(1024 + (h & 0x3FF), (h >> 10) - 25),
               d = fabs(x - value);
        if (d < distance || (d == distance && !(h & 1))) {
            best = h;
            distance = d;
        }
    }
    return best;
}

static void f16_is_nearest_even(void **state)
{
    (void)state;
    static const float x[] = {0.0f,       0x1p-24f,     0x1p-25f,     0x1.000002p-25f, 0x1.8p-24f,
                              0x1.4p-23f, 0x1.ff8p-15f, 0x1.ffcp-15f, 0x1.ffffp-15f,   0x1p-14f,
                              0x1.002p0f, 0x1.006p0f,   0x1.0021p0f,  0x1.001fp0f,     1000.3f,
                              65504.0f,   65519.99f,    65520.0f};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        assert_int_equal(f16_from_float(x[i]), nearest_f16((double)x[i]));
        assert_int_equal(f16_from_float(-x[i]), 0x8000 | nearest_f16((double)x[i]));
    }
    assert_int_equal(f16_from_float(1e30f), 0x7C00);
    assert_true(float_from_f16(0x7C00) == INFINITY && float_from_f16(0xFC00) == -INFINITY);
}

static void bf16_is_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(bf16_from_float(0x1.01p0f), 0x3F80); /* tie to even: down */
    assert_int_equal(bf16_from_float(0x1.03p0f), 0x3F82); /* tie to even: up */
    assert_int_equal(bf16_from_float(0x1.010002p0f), 0x3F81);
    assert_int_equal(bf16_from_float(0x1p-133f), 0x0001);
    assert_int_equal(bf16_from_float(0x1.fffffep127f), 0x7F80);
    assert_int_equal(bf16_from_float(-INFINITY), 0xFF80);
    assert_int_equal(bf16_from_float(float_from_bits(0x7F800001u)),
                     0x7FC0); /* a NaN whose payload rounds away */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(f16_is_nearest_even),
                                       cmocka_unit_test(bf16_is_nearest_even)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return check_words() + failed;
}
