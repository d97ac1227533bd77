/* Attention and appending to the cache: every instruction set gives the definition's bits for any tiling;
 * the definition agrees with a plain one in double precision; stale memory is never a term. */
#include "tests/support.h"
#include "tests/kernels/isas.h"
#include <math.h>
#include "kernels/half.h"

enum { HEADS = 2, LENGTH = 83, BLOCKS = (LENGTH + KV_BLOCK - 1) / KV_BLOCK, HEAD_DIM_MAX = 128 };
static const int head_dims[] = {1, 8, 20, 64, 80, 128};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* One sequence of LENGTH positions. Its blocks lie in a pool in no order, before a guard page. What is not
 * appended is NaN. */
struct fixture {
    struct kv_view kv;
    size_t pool_bytes;
    int32_t table[BLOCKS];
    float k[HEADS][LENGTH][HEAD_DIM_MAX], v[HEADS][LENGTH][HEAD_DIM_MAX];
    float q[LENGTH][HEAD_DIM_MAX];
};

static void append(const struct kernels *kernels, const struct kv_view *kv, int head, int position,
                   const float *k, const float *v)
{
    kernels->kv_append(kv, head, &(struct kv_rows){.k = k, .v = v, .n_rows = 1, .first_position = position});
}

static struct fixture *fixture_over(int stale, enum kv_format format, int head_dim,
                                    const struct kernels *kernels)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct rng r = {(uint64_t)head_dim};
    for (int i = 0; i < BLOCKS; i++) f->table[i] = (i * 5 + 3) % BLOCKS;
    size_t block_bytes = kv_block_bytes(format, HEADS, head_dim);
    f->pool_bytes = BLOCKS * block_bytes;
    f->kv = (struct kv_view){.format = format,
                             .n_head = HEADS,
                             .head_dim = head_dim,
                             .block_bytes = block_bytes,
                             .pool = guard_alloc(f->pool_bytes),
                             .table = f->table};
    memset(f->kv.pool, stale, f->pool_bytes);
    for (int t = 0; t < LENGTH; t++)
        for (int c = 0; c < head_dim; c++) f->q[t][c] = 2.0f * rng_normal(&r);
    for (int h = 0; h < HEADS; h++)
        for (int t = 0; t < LENGTH; t++) {
            for (int c = 0; c < head_dim; c++) {
                f->k[h][t][c] = rng_normal(&r);
                f->v[h][t][c] = rng_normal(&r);
            }
            append(kernels, &f->kv, h, t, f->k[h][t], f->v[h][t]);
        }
    return f;
}

static struct fixture *fixture_new(enum kv_format format, int head_dim, const struct kernels *kernels)
{
    return fixture_over(0xFF, format, head_dim, kernels); /* NaN in f32, f16 and the scales of i8 */
}

static void fixture_free(struct fixture *f)
{
    guard_free(f->kv.pool, f->pool_bytes);
    free(f);
}

/* Rows [first, first + n) of head h into y (n, head_dim), all buffers before guard pages. */
static void attend(const struct kernels *kernels, const struct fixture *f, int h, int first, int n, float *y)
{
    int d = f->kv.head_dim;
    size_t bytes = (size_t)(n * d) * sizeof(float);
    size_t scratch_bytes = attention_scratch_floats(first + n) * sizeof(float);
    float *q = guard_alloc(bytes), *out = guard_alloc(bytes), *scratch = guard_alloc(scratch_bytes);
    for (int r = 0; r < n; r++) memcpy(q + r * d, f->q[first + r], (size_t)d * sizeof(float));
    memset(scratch, 0xFF, scratch_bytes);
    memset(out, 0xFF, bytes);
    struct attention_rows rows = {.q = q,
                                  .y = out,
                                  .q_stride = (size_t)d,
                                  .y_stride = (size_t)d,
                                  .n_rows = n,
                                  .first_position = first,
                                  .scale = 1.0f / sqrtf((float)d)};
    kernels->attention(&f->kv, h, &rows, scratch);
    memcpy(y, out, bytes);
    guard_free(q, bytes);
    guard_free(out, bytes);
    guard_free(scratch, scratch_bytes);
}

/* The cached form of a key or a value. */
static double stored(enum kv_format format, const float *x, int d, int c)
{
    if (format == KV_F32) return (double)x[c];
    if (format == KV_F16) return (double)float_from_f16(f16_from_float(x[c]));
    float top = 0.0f;
    for (int i = 0; i < d; i++) top = fmaxf(top, fabsf(x[i]));
    float scale = top / (format == KV_I16 ? 32767.0f : 127.0f);
    return (double)scale * (double)rintf(x[c] / scale);
}

static void plain(const struct fixture *f, int h, int position, double *y)
{
    int d = f->kv.head_dim;
    double score[LENGTH], top = -INFINITY, sum = 0;
    for (int t = 0; t <= position; t++) {
        score[t] = 0;
        for (int c = 0; c < d; c++)
            score[t] += (double)f->q[position][c] * stored(f->kv.format, f->k[h][t], d, c);
        score[t] /= sqrt((double)d);
        top = fmax(top, score[t]);
    }
    memset(y, 0, (size_t)d * sizeof *y);
    for (int t = 0; t <= position; t++) {
        double p = exp(score[t] - top);
        sum += p;
        for (int c = 0; c < d; c++) y[c] += p * stored(f->kv.format, f->v[h][t], d, c);
    }
    for (int c = 0; c < d; c++) y[c] /= sum;
}

static void definition_agrees_with_double_precision(void **state)
{
    (void)state;
    static float y[LENGTH * HEAD_DIM_MAX];
    double expected[HEAD_DIM_MAX];
    for (enum kv_format format = 0; format < KV_COUNT; format++)
        for (size_t i = 0; i < COUNT(head_dims); i++) {
            int d = head_dims[i];
            struct fixture *f = fixture_new(format, d, &kernels_table_scalar);
            attend(&kernels_table_scalar, f, 1, 0, LENGTH, y);
            for (int t = 0; t < LENGTH; t++) {
                plain(f, 1, t, expected);
                for (int c = 0; c < d; c++) assert_float_equal((float)expected[c], y[t * d + c], 4e-6f);
            }
            fixture_free(f);
        }
}

/* Every instruction set, with the rows in runs of every length, against the definition one row at a time. */
static void bits_depend_on_nothing(void **state)
{
    (void)state;
    static float expected[LENGTH * HEAD_DIM_MAX], y[LENGTH * HEAD_DIM_MAX];
    for (enum kv_format format = 0; format < KV_COUNT; format++)
        for (size_t i = 0; i < COUNT(head_dims); i++) {
            int d = head_dims[i];
            struct fixture *f = fixture_new(format, d, &kernels_table_scalar);
            for (int t = 0; t < LENGTH; t++) attend(&kernels_table_scalar, f, 1, t, 1, expected + t * d);
            for_each_isa(isa)
            {
                for (int run = 1; run <= 11; run++)
                    for (int t = 0; t < LENGTH; t += run) {
                        int n = LENGTH - t < run ? LENGTH - t : run;
                        attend(isa->kernels, f, 1, t, n, y + t * d);
                        assert_memory_equal(y + t * d, expected + t * d, (size_t)(n * d) * sizeof *y);
                        if (is_definition(isa) && run > 2)
                            t += 3 * run; /* the definition is slow: fewer of its runs */
                    }
                attend(isa->kernels, f, 1, 0, LENGTH, y);
                assert_memory_equal(y, expected, (size_t)(LENGTH * d) * sizeof *y);
            }
            fixture_free(f);
        }
}

/* 0x7C: infinity in f16 and 5e36 elsewhere; 0x41: 12, whose scores would be the maximum. */
static void stale_memory_makes_no_difference(void **state)
{
    (void)state;
    static const int stale[] = {0xFF, 0x00, 0x41, 0x7C, 0xC1};
    float expected[20] = {0}, y[20];
    for_each_isa(isa)
    {
        for (enum kv_format format = 0; format < KV_COUNT; format++)
            for (size_t i = 0; i < COUNT(stale); i++) {
                struct fixture *f = fixture_over(stale[i], format, 20, isa->kernels);
                attend(isa->kernels, f, 1, LENGTH - 1, 1, y);
                if (i == 0) memcpy(expected, y, sizeof y);
                assert_memory_equal(y, expected, sizeof y);
                fixture_free(f);
            }
    }
}

/* -0 at the end of a chain stays -0: 2^-10 * -2^-149 rounds to it. A masked position taken as the term 0 *
 * 0 would make it +0. */
static void masked_positions_are_no_terms(void **state)
{
    (void)state;
    enum { D = 20 };
    float k[D] = {0}, v[D], q[D] = {0}, y[D], zeros[D];
    size_t bytes = kv_block_bytes(KV_F32, 1, D);
    int32_t table[1] = {0};
    struct kv_view kv = {KV_F32, 1, D, bytes, guard_alloc(bytes), table};
    memset(kv.pool, 0, bytes);
    for (int c = 0; c < D; c++) zeros[c] = -0.0f;
    q[0] = 1.0f;
    for_each_isa(isa)
    {
        float scratch[ATTENTION_TILE * 2 * KV_BLOCK] = {0};
        k[0] = -7.0f;
        for (int c = 0; c < D; c++) v[c] = -0x1p-149f;
        append(isa->kernels, &kv, 0, 0, k, v);
        k[0] = 0.0f;
        append(isa->kernels, &kv, 0, 1, k, zeros);
        struct attention_rows rows = {q, y, D, D, 1, 1, 1.0f};
        isa->kernels->attention(&kv, 0, &rows, scratch);
        assert_memory_equal(y, zeros, sizeof y);
    }
    guard_free(kv.pool, bytes);
}

/* Kinds: any, zero, edges of f16, ties of the int8 code, subnormal scale, too large for f16, not finite. */
static void fill(float *x, int n, int kind, struct rng *r)
{
    static const float special[] = {-0.0f,    1e-45f,     -1e-40f,    65504.0f,
                                    65520.0f, 0x1.002p0f, 0x1.006p0f, 0x1p-25f};
    for (int i = 0; i < n; i++) {
        x[i] = rng_normal(r);
        if (kind == 1) x[i] = 0.0f;
        if (kind == 2) x[i] = special[rng_below(r, COUNT(special))];
        if (kind == 3) x[i] = i ? (float)rng_below(r, 254) * 0.5f - 63.5f : 127.0f;
        if (kind == 4) x[i] = (float)(i % 180) * 0x1p-149f;
        if (kind == 5) x[i] = 1e38f * rng_uniform(r);
        if (kind == 6 && i == n / 2) x[i] = INFINITY;
    }
}

static void append_gives_the_same_bytes(void **state)
{
    (void)state;
    for (enum kv_format format = 0; format < KV_COUNT; format++)
        for (int d = 1; d <= 70; d++) {
            size_t bytes = kv_block_bytes(format, HEADS, d), vector = (size_t)d * sizeof(float);
            uint8_t *expected = malloc(bytes);
            float *k = guard_alloc(vector), *v = guard_alloc(vector);
            for_each_isa(isa)
            {
                struct rng r = {7};
                int32_t table[1] = {0};
                struct kv_view kv = {format, HEADS, d, bytes, guard_alloc(bytes), table};
                memset(kv.pool, 0xA5, bytes);
                for (int t = 0; t < KV_BLOCK; t++) {
                    fill(k, d, t % 7, &r);
                    fill(v, d, t / 2 % 7, &r);
                    append(isa->kernels, &kv, 1, t, k, v);
                }
                if (is_definition(isa)) memcpy(expected, kv.pool, bytes);
                assert_memory_equal(kv.pool, expected, bytes);
                guard_free(kv.pool, bytes);
            }
            guard_free(k, vector);
            guard_free(v, vector);
            free(expected);
        }
}

/* Rows side by side in a wider matrix, across the ends of blocks, give the same as one by one. */
static void rows_are_appended_like_one_by_one(void **state)
{
    (void)state;
    enum { D = 20, N = 37, STRIDE = 3 * D + 1 };
    const size_t matrix = ((N - 1) * STRIDE + 2 * D) * sizeof(float);
    float *x = guard_alloc(matrix);
    struct rng r = {11};
    for (size_t i = 0; i < matrix / sizeof *x; i++) x[i] = rng_normal(&r);
    for_each_isa(isa) for (enum kv_format format = 0; format < KV_COUNT; format++) for (int n = 1; n <= N;
                                                                                        n += 3)
    {
        const int32_t table[4] = {2, 0, 3, 1};
        const size_t block = kv_block_bytes(format, HEADS, D), bytes = COUNT(table) * block;
        const int first = n % 19;
        struct kv_view one = {format, HEADS, D, block, malloc(bytes), table}, all = one;
        all.pool = guard_alloc(bytes);
        memset(one.pool, 0xA5, bytes);
        memset(all.pool, 0xA5, bytes);
        for (int i = 0; i < n; i++)
            append(isa->kernels, &one, 1, first + i, x + i * STRIDE, x + i * STRIDE + D);
        isa->kernels->kv_append(&all, 1, &(struct kv_rows){x, x + D, STRIDE, n, first});
        assert_memory_equal(all.pool, one.pool, bytes);
        free(one.pool);
        guard_free(all.pool, bytes);
    }
    guard_free(x, matrix);
}

static void int8_codes_are_rounded_to_even(void **state)
{
    (void)state;
    enum { D = 8 };
    static const float k[D] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, -127};
    static const int8_t code[D] = {127, 0, 2, 2, 0, -2, -126, -127};
    static const float zero[D] = {0, -0.0f};
    size_t bytes = kv_block_bytes(KV_I8, 1, D);
    int32_t table[1] = {0};
    for_each_isa(isa)
    {
        struct kv_view kv = {KV_I8, 1, D, bytes, malloc(bytes), table};
        append(isa->kernels, &kv, 0, 3, k, zero);
        const int8_t *codes = (const int8_t *)(kv.pool + kv_scales_bytes(KV_I8));
        const float *scales = (const float *)(const void *)kv.pool;
        for (int c = 0; c < D; c++) {
            assert_int_equal(codes[c * KV_BLOCK + 3], code[c]);
            assert_int_equal(codes[(KV_BLOCK + 3) * D + c], 0);
        }
        assert_true(scales[3] == 1.0f && scales[KV_BLOCK + 3] == 0.0f);
        free(kv.pool);
    }
}

/* A subnormal scale is inexact, 1.5 times too small here: quotients of 190 end at the largest code. */
static void int8_codes_end_at_127(void **state)
{
    (void)state;
    enum { D = 4 };
    static const float k[D] = {190 * 0x1p-149f, -190 * 0x1p-149f, 0x1p-149f, 0};
    static const int8_t code[D] = {127, -127, 1, 0};
    size_t bytes = kv_block_bytes(KV_I8, 1, D);
    int32_t table[1] = {0};
    for_each_isa(isa)
    {
        struct kv_view kv = {KV_I8, 1, D, bytes, malloc(bytes), table};
        append(isa->kernels, &kv, 0, 3, k, k);
        const int8_t *codes = (const int8_t *)(kv.pool + kv_scales_bytes(KV_I8));
        for (int c = 0; c < D; c++) {
            assert_int_equal(codes[c * KV_BLOCK + 3], code[c]);
            assert_int_equal(codes[(KV_BLOCK + 3) * D + c], code[c]);
        }
        free(kv.pool);
    }
}

/* Ties to even, both ends, a scale of 0, and a subnormal scale, which is inexact: quotients end at the largest
 * code. */
static void int16_codes_are_rounded_to_even_and_end_at_32767(void **state)
{
    (void)state;
    enum { D = 6 };
    static const float k[3][D] = {{32767, 0.5f, 1.5f, -2.5f, -32766.5f, -32767},
                                  {0, -0.0f},
                                  {49000 * 0x1p-149f, -49000 * 0x1p-149f, 0x1p-149f}};
    static const int16_t code[3][D] = {{32767, 0, 2, -2, -32766, -32767}, {0}, {32767, -32767, 1}};
    static const float scale[3] = {1.0f, 0.0f, 0x1p-149f};
    size_t bytes = kv_block_bytes(KV_I16, 1, D);
    int32_t table[1] = {0};
    for_each_isa(isa)
    {
        struct kv_view kv = {KV_I16, 1, D, bytes, malloc(bytes), table};
        const float *scales = (const float *)(const void *)kv.pool;
        const int16_t *codes = (const int16_t *)(const void *)(kv.pool + kv_scales_bytes(KV_I16));
        for (int i = 0; i < 3; i++) {
            append(isa->kernels, &kv, 0, 3, k[i], k[(i + 1) % 3]);
            assert_true(scales[3] == scale[i] && scales[KV_BLOCK + 3] == scale[(i + 1) % 3]);
            for (int c = 0; c < D; c++) {
                assert_int_equal(codes[c * KV_BLOCK + 3], code[i][c]);
                assert_int_equal(codes[(KV_BLOCK + 3) * D + c], code[(i + 1) % 3][c]);
            }
        }
        free(kv.pool);
    }
}

/* A key or a value that is not finite must not turn into a plausible answer. */
static void not_finite_stays_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for_each_isa(isa) for (enum kv_format format = 0; format < KV_COUNT; format++) for (int i = 0; i < 6; i++)
    {
        struct fixture *f = fixture_new(format, 20, isa->kernels);
        float y[20];
        (i < 3 ? f->k : f->v)[1][17][7] = bad[i % 3];
        append(isa->kernels, &f->kv, 1, 17, f->k[1][17], f->v[1][17]);
        f->q[40][7] = 1.0f;
        attend(isa->kernels, f, 1, 40, 1, y);
        bool finite = true;
        for (int c = 0; c < 20; c++) finite = finite && isfinite(y[c]);
        assert_true(!finite || (i < 3 && bad[i] < 0)); /* -inf is a score that weighs nothing */
        fixture_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition_agrees_with_double_precision),
        cmocka_unit_test(bits_depend_on_nothing),
        cmocka_unit_test(stale_memory_makes_no_difference),
        cmocka_unit_test(masked_positions_are_no_terms),
        cmocka_unit_test(append_gives_the_same_bytes),
        cmocka_unit_test(rows_are_appended_like_one_by_one),
        cmocka_unit_test(int8_codes_are_rounded_to_even),
        cmocka_unit_test(int8_codes_end_at_127),
        cmocka_unit_test(int16_codes_are_rounded_to_even_and_end_at_32767),
        cmocka_unit_test(not_finite_stays_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
