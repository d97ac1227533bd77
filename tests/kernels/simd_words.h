/* Compares every word of simd.h with its description there, lane by lane. One small program per
 * instruction set includes this and chooses the header under test. A NaN equals any NaN: payloads are not
 * specified. */
#include "kernels/simd.h"

enum { LANES = 16 };

static bool same(float a, float b) { return float_bits(a) == float_bits(b) || (a != a && b != b); }

/* Zeros, denormals, ties of rint, neighbours of powers of two, values beyond f16, infinities and NaN; then
 * any bits. */
static float sample(struct rng *r)
{
    static const float special[] = {
        0.0f,       -0.0f,     0x1p-149f, -0x1p-149f,      0x1p-126f,      0x1.fffffcp-127f, 0.5f,
        -0.5f,      1.5f,      2.5f,      -3.5f,           0x1.fffffep22f, 65504.0f,         65519.0f,
        65520.0f,   65536.0f,  0x1p-24f,  0x1p-25f,        0x1.8p-25f,     0x1.004p0f,       0x1.002p0f,
        0x1.006p0f, 0x1.01p0f, 0x1.03p0f, 0x1.fffffep127f, -0x1.ffp127f,   INFINITY,         -INFINITY,
        NAN,        -NAN};
    uint32_t n = sizeof special / sizeof *special, pick = rng_below(r, 2 * n);
    if (pick < n) return special[pick];
    return pick & 1 ? float_from_bits((uint32_t)rng_next(r)) : rng_normal(r);
}

static void fill(float *p, struct rng *r)
{
    for (int i = 0; i < LANES; i++) p[i] = sample(r);
}

#define EACH_LANE(got, expected)                                                                             \
    do {                                                                                                     \
        vf_store(y, got);                                                                                    \
        for (int i = 0; i < LANES; i++)                                                                      \
            if (!same(y[i], (expected)))                                                                     \
                fail_msg("%s, lane %d of %a %a %a: %a", #got, i, (double)a[i], (double)b[i], (double)c[i],   \
                         (double)y[i]);                                                                      \
    } while (0)

static void arithmetic(void **state)
{
    (void)state;
    struct rng r = {1};
    for (int round = 0; round < 2000; round++) {
        float a[LANES], b[LANES], c[LANES], y[LANES];
        fill(a, &r), fill(b, &r), fill(c, &r);
        vf va = vf_load(a), vb = vf_load(b), vc = vf_load(c);
        EACH_LANE(vf_add(va, vb), a[i] + b[i]);
        EACH_LANE(vf_sub(va, vb), a[i] - b[i]);
        EACH_LANE(vf_mul(va, vb), a[i] * b[i]);
        EACH_LANE(vf_div(va, vb), a[i] / b[i]);
        EACH_LANE(vf_fma(va, vb, vc), fmaf(a[i], b[i], c[i]));
        EACH_LANE(vf_sqrt(va), sqrtf(a[i]));
        EACH_LANE(vf_rint(va), rintf(a[i]));
        EACH_LANE(vf_max(va, vb), a[i] > b[i] ? a[i] : b[i]);
        EACH_LANE(vf_min(va, vb), a[i] < b[i] ? a[i] : b[i]);
        EACH_LANE(vf_abs(va), fabsf(a[i]));
        EACH_LANE(vf_neg(va), -a[i]);
        EACH_LANE(vf_copysign(va, vb), copysignf(a[i], b[i]));
        EACH_LANE(vf_select_lt(va, vb, vc, va), a[i] < b[i] ? c[i] : a[i]);
        EACH_LANE(vf_set1(a[3]), a[3]);
        EACH_LANE(vf_zero(), 0.0f);
        for (int n = 0; n <= LANES; n++) EACH_LANE(vf_first(n, va, vb), i < n ? a[i] : b[i]);
    }
}

/* Zeros of both signs and equal values show the order of the operands. */
static void trees(void **state)
{
    (void)state;
    struct rng r = {2};
    for (int round = 0; round < 2000; round++) {
        float a[LANES], sum[LANES], top[LANES];
        double wide[LANES];
        fill(a, &r);
        vd d = vd_add_vf(vd_add_vf(vd_zero(), vf_load(a)), vf_set1(0x1p-30f));
        for (int i = 0; i < LANES; i++) {
            sum[i] = top[i] = a[i];
            wide[i] = 0.0 + (double)a[i] + 0x1p-30;
        }
        for (int half = LANES / 2; half; half /= 2)
            for (int i = 0; i < half; i++) {
                sum[i] += sum[i + half];
                wide[i] += wide[i + half];
                top[i] = top[i] > top[i + half] ? top[i] : top[i + half];
            }
        assert_true(same(vf_sum(vf_load(a)), sum[0]));
        assert_true(same(vf_hmax(vf_load(a)), top[0]));
        double got = vd_sum(d);
        assert_true(memcmp(&got, wide, sizeof got) == 0 || (got != got && wide[0] != wide[0]));
    }
}

static void integers(void **state)
{
    (void)state;
    struct rng r = {3};
    for (int round = 0; round < 500; round++) {
        int32_t m[LANES], n[LANES], z[LANES];
        float f[LANES], y[LANES];
        for (int i = 0; i < LANES; i++) {
            m[i] = (int32_t)rng_next(&r), n[i] = (int32_t)rng_next(&r);
            f[i] = (float)(n[i] >> rng_below(&r, 24));
            if (f[i] >= 0x1p31f) f[i] = 0.0f;
        }
        vi_store(z, vi_add(vi_load(m), vi_load(n)));
        for (int i = 0; i < LANES; i++) assert_int_equal(z[i], (int32_t)((uint32_t)m[i] + (uint32_t)n[i]));
        vi_store(z, vi_sub(vi_load(m), vi_load(n)));
        for (int i = 0; i < LANES; i++) assert_int_equal(z[i], (int32_t)((uint32_t)m[i] - (uint32_t)n[i]));
        vi_store(z, vf_to_int(vf_load(f)));
        for (int i = 0; i < LANES; i++) assert_int_equal(z[i], (int32_t)f[i]);
        vf_store(y, vi_to_float(vi_load(m)));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], (float)m[i]));
        vi_store(z, vi_sub(vi_set1(m[0]), vi_zero()));
        for (int i = 0; i < LANES; i++) assert_int_equal(z[i], m[0]);
    }
    for (int n = -126; n <= 127; n++) {
        float y[LANES];
        vf_store(y, vf_pow2(vi_set1(n)));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], ldexpf(1.0f, n)));
    }
}

/* The first n lanes at the very end of readable memory. Nothing is stored beyond. */
static void parts(void **state)
{
    (void)state;
    struct rng r = {4};
    for (int n = 0; n <= LANES; n++) {
        float a[LANES], y[LANES], *end = guard_alloc(LANES * sizeof *end);
        float *p = end + LANES - n;
        fill(a, &r);
        memset(end, 0x5A, LANES * sizeof *end);
        vf_store_n(p, vf_load(a), n);
        assert_memory_equal(p, a, (size_t)n * sizeof *p);
        for (float *before = end; before < p; before++) assert_int_equal(float_bits(*before), 0x5A5A5A5A);
        vf_store(y, vf_load_n(p, n));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], i < n ? a[i] : 0.0f));
        memset(end, 0x5A, LANES * sizeof *end);
        vf_store_n(end, vf_load(a), n);
        for (int i = n; i < LANES; i++) assert_int_equal(float_bits(end[i]), 0x5A5A5A5A);

        uint16_t *h = guard_alloc((size_t)n * sizeof *h);
        int8_t *b = guard_alloc((size_t)n);
        for (int i = 0; i < n; i++) h[i] = (uint16_t)rng_next(&r), b[i] = (int8_t)rng_next(&r);
        vf_store(y, vf_load_f16_n(h, n));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], i < n ? float_from_f16(h[i]) : 0.0f));
        vf_store(y, vf_load_bf16_n(h, n));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], i < n ? float_from_bf16(h[i]) : 0.0f));
        vf_store(y, vf_load_i8_n(b, n));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], i < n ? (float)b[i] : 0.0f));
        guard_free(h, (size_t)n * sizeof *h);
        guard_free(b, (size_t)n);
        guard_free(end, LANES * sizeof *end);
    }
}

/* One lane decides, any lane. NaN is not below anything. */
static void comparing_all_lanes(void **state)
{
    (void)state;
    static const float not_below[] = {2.0f, 3.0f, INFINITY, NAN};
    float a[LANES], b[LANES];
    for (int i = 0; i < LANES; i++) a[i] = i % 2 ? -INFINITY : 1.0f, b[i] = 2.0f;
    assert_true(vf_all_lt(vf_load(a), vf_load(b)));
    for (int i = 0; i < LANES; i++) {
        float kept = a[i];
        for (size_t k = 0; k < sizeof not_below / sizeof *not_below; k++) {
            a[i] = not_below[k];
            assert_false(vf_all_lt(vf_load(a), vf_load(b)));
        }
        a[i] = kept;
        b[i] = NAN;
        assert_false(vf_all_lt(vf_load(a), vf_load(b)));
        b[i] = 2.0f;
    }
}

/* Every 16-bit pattern and every byte; and values that f16 and bf16 must not round twice, flush or
 * saturate. */
static void conversions(void **state)
{
    (void)state;
    float y[LANES];
    for (uint32_t u = 0; u < 65536; u += LANES) {
        uint16_t h[LANES], back[LANES];
        int8_t b[LANES];
        for (uint32_t i = 0; i < LANES; i++) h[i] = (uint16_t)(u + i), b[i] = (int8_t)(uint8_t)(u + i);
        vf_store(y, vf_load_f16(h));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], float_from_f16(h[i])));
        vf_store_f16(back, vf_load(y));
        for (int i = 0; i < LANES; i++)
            assert_true(back[i] == h[i] || (y[i] != y[i] && back[i] == (h[i] | 0x200)));
        vf_store(y, vf_load_bf16(h));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], float_from_bf16(h[i])));
        vf_store_bf16(back, vf_load(y));
        for (int i = 0; i < LANES; i++)
            assert_true(back[i] == h[i] || (y[i] != y[i] && back[i] == (h[i] | 0x40)));
        vf_store(y, vf_load_i8(b));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], (float)b[i]));
    }
    for (uint32_t u = 0; u < 256; u += LANES) {
        uint8_t b[LANES];
        for (uint32_t i = 0; i < LANES; i++) b[i] = (uint8_t)(u + i);
        vf_store(y, vf_load_e4m3(b));
        for (int i = 0; i < LANES; i++)
            assert_true(same(256.0f * y[i], float_from_e4m3(b[i])) || (b[i] & 0x7F) == 0x7F);
        vf_store(y, vf_load_e5m2(b));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], float_from_e5m2(b[i])));
        vf_store(y, vf_load_e8m0(b));
        for (int i = 0; i < LANES; i++) assert_true(same(y[i], float_from_e8m0(b[i])) || b[i] == 255);
    }
    struct rng r = {5};
    for (int round = 0; round < 20000; round++) {
        uint16_t h[LANES];
        fill(y, &r);
        if (round & 1)
            for (int i = 0; i < LANES; i++)
                y[i] = float_from_bits((0x33000000u + rng_below(&r, 0x15000000u)) & 0xFFFFF000u);
        vf_store_f16(h, vf_load(y));
        for (int i = 0; i < LANES; i++) assert_int_equal(h[i], f16_from_float(y[i]));
        vf_store_bf16(h, vf_load(y));
        for (int i = 0; i < LANES; i++) assert_int_equal(h[i], bf16_from_float(y[i]));
    }
}

static int check_words(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic),          cmocka_unit_test(trees), cmocka_unit_test(integers),
        cmocka_unit_test(comparing_all_lanes), cmocka_unit_test(parts), cmocka_unit_test(conversions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
