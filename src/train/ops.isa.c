/* See ops.h. */
#include "train/ops_table.h"
#include "kernels/simd.h"
#include "kernels/vmath.isa.h"

/* ---- products ---- */

#if VF_REGISTERS >= 32
#define ROWS 12
#define VECS 2
#elif VF_REGISTERS >= 8
#define ROWS 6
#define VECS 1
#else
#define ROWS 4
#define VECS 1
#endif
#define COLS (16 * VECS)

static void tile(const float *a, const float *b, int k, float *c, size_t ldc, bool fresh)
{
    vf acc[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) acc[r][v] = fresh ? vf_zero() : vf_load(c + (size_t)r * ldc + 16 * v);
    for (int i = 0; i < k; i++, a += ROWS, b += COLS) {
        vf bv[VECS];
        for (int v = 0; v < VECS; v++) bv[v] = vf_load(b + 16 * v);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; r++) {
            const vf x = vf_set1(a[r]);
#pragma GCC unroll 2
            for (int v = 0; v < VECS; v++) acc[r][v] = vf_fma(x, bv[v], acc[r][v]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) vf_store(c + (size_t)r * ldc + 16 * v, acc[r][v]);
}

/* ---- rows: in steps of 16, the last one shorter ---- */

#define EACH_16(i, lanes, n)                                                                                 \
    for (int i = 0, lanes; i < (n) && (lanes = (n)-i < 16 ? (n)-i : 16, true); i += 16)

static void norm_backward(const float *x, const float *weight, float epsilon, int n, const float *dy,
                          float *dx, float *x_hat)
{
    const float count = (float)n;
    vf sum = vf_zero(), squares = vf_zero(), g_sum = vf_zero(), gx_sum = vf_zero();
    EACH_16(i, lanes, n) sum = vf_add(sum, vf_load_n(x + i, lanes));
    const vf mean = vf_set1(vf_sum(sum) / count);
    EACH_16(i, lanes, n)
    {
        vf d = vf_first(lanes, vf_sub(vf_load_n(x + i, lanes), mean), vf_zero());
        squares = vf_fma(d, d, squares);
    }
    const vf inv = vf_set1(1.0f / sqrtf(vf_sum(squares) / count + epsilon));
    EACH_16(i, lanes, n)
    {
        vf hat = vf_mul(vf_sub(vf_load_n(x + i, lanes), mean), inv);
        vf g = vf_mul(vf_load_n(dy + i, lanes), vf_load_n(weight + i, lanes));
        vf_store_n(x_hat + i, hat, lanes);
        g_sum = vf_add(g_sum, g);
        gx_sum = vf_fma(g, vf_first(lanes, hat, vf_zero()), gx_sum);
    }
    const vf g_mean = vf_set1(vf_sum(g_sum) / count), gx_mean = vf_set1(vf_sum(gx_sum) / count);
    EACH_16(i, lanes, n)
    {
        vf g = vf_mul(vf_load_n(dy + i, lanes), vf_load_n(weight + i, lanes));
        vf t = vf_sub(vf_sub(g, g_mean), vf_mul(vf_load_n(x_hat + i, lanes), gx_mean));
        vf_store_n(dx + i, vf_fma(t, inv, vf_load_n(dx + i, lanes)), lanes);
    }
}

/* 1 / (1 + exp(-z)) */
ALWAYS_INLINE vf logistic(vf z) { return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), vm_exp(vf_neg(z)))); }
/* d/dx of x s(z(x)) for the logistic s: s + x s (1 - s) z'. */
ALWAYS_INLINE vf logistic_slope(vf x, vf z, vf dz)
{
    vf s = logistic(z);
    return vf_fma(vf_mul(vf_mul(x, s), vf_sub(vf_set1(1.0f), s)), dz, s);
}
/* z = 2 sqrt(2/pi) (x + 0.044715 x^3) = x (c1 + c3 x^2), z' = c1 + 3 c3 x^2; as in
 * kernels/activation.isa.c */
ALWAYS_INLINE vf gelu_new_slope(vf x)
{
    vf square = vf_mul(x, x), c3 = vf_set1(0x1.2444f2p-4f), c1 = vf_set1(0x1.988454p+0f);
    vf z = vf_mul(x, vf_fma(square, c3, c1));
    return logistic_slope(x, z, vf_fma(vf_mul(square, c3), vf_set1(3.0f), c1));
}
ALWAYS_INLINE vf relu_slope(vf x) { return vf_select_lt(vf_zero(), x, vf_set1(1.0f), vf_zero()); }
ALWAYS_INLINE vf silu_slope(vf x) { return logistic_slope(x, x, vf_set1(1.0f)); }
/* Phi(x) + x phi(x), phi(x) = exp(-x^2/2) / sqrt(2 pi) */
ALWAYS_INLINE vf gelu_slope(vf x)
{
    vf phi = vf_mul(vm_exp(vf_mul(vf_mul(x, x), vf_set1(-0.5f))), vf_set1(0x1.988454p-2f));
    vf cdf = vf_fma(vm_erf(vf_mul(x, vf_set1(0x1.6a09e6p-1f))), vf_set1(0.5f), vf_set1(0.5f));
    return vf_fma(x, phi, cdf);
}
ALWAYS_INLINE vf tanh_slope(vf x)
{
    vf t = vm_tanh(x);
    return vf_fma(vf_neg(t), t, vf_set1(1.0f));
}

#define ACTIVATION_BACKWARD(name)                                                                            \
    static void name##_backward(const float *x, size_t n, const float *dy, float *dx)                        \
    {                                                                                                        \
        for (size_t i = 0; i < n; i += 16) {                                                                 \
            const int lanes = n - i < 16 ? (int)(n - i) : 16;                                                \
            vf_store_n(dx + i, vf_mul(vf_load_n(dy + i, lanes), name##_slope(vf_load_n(x + i, lanes))),      \
                       lanes);                                                                               \
        }                                                                                                    \
    }
ACTIVATION_BACKWARD(gelu_new)
ACTIVATION_BACKWARD(relu)
ACTIVATION_BACKWARD(silu)
ACTIVATION_BACKWARD(gelu)
ACTIVATION_BACKWARD(tanh)

static void softmax_backward(const float *p, const float *dp, int n, float scale, float *ds)
{
    vf sum = vf_zero();
    const vf factor = vf_set1(scale);
    EACH_16(i, lanes, n) sum = vf_fma(vf_load_n(p + i, lanes), vf_load_n(dp + i, lanes), sum);
    const vf mean = vf_set1(vf_sum(sum));
    EACH_16(i, lanes, n)
    {
        vf d = vf_mul(vf_load_n(p + i, lanes), vf_sub(vf_load_n(dp + i, lanes), mean));
        vf_store_n(ds + i, vf_mul(d, factor), lanes);
    }
}

static void scale(const float *x, size_t n, float factor, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        const int lanes = n - i < 16 ? (int)(n - i) : 16;
        vf_store_n(y + i, vf_mul(vf_load_n(x + i, lanes), vf_set1(factor)), lanes);
    }
}

static void column_sum(const float *a, const float *b, size_t stride, int rows, int n, float *out)
{
    vf sum[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    for (int r = 0; r < rows; r++, a += stride, b = b ? b + stride : NULL) EACH_16(i, lanes, n)
        {
            vf x = vf_load_n(a + i, lanes);
            sum[i / 16] = b ? vf_fma(x, vf_load_n(b + i, lanes), sum[i / 16]) : vf_add(sum[i / 16], x);
        }
    EACH_16(i, lanes, n) vf_store_n(out + i, sum[i / 16], lanes);
}

static double divergence_backward(const float *t, float t_shift, float *s, float s_shift, size_t n,
                                  float factor)
{
    const vf t0 = vf_set1(t_shift), s0 = vf_set1(s_shift), f = vf_set1(factor);
    vd sum = vd_zero();
    for (size_t i = 0; i < n; i += 16) {
        const int lanes = n - i < 16 ? (int)(n - i) : 16;
        vf log_t = vf_sub(vf_load_n(t + i, lanes), t0), log_s = vf_sub(vf_load_n(s + i, lanes), s0);
        vf p = vf_first(lanes, vm_exp(log_t), vf_zero());
        sum = vd_add_vf(sum, vf_mul(p, vf_sub(log_t, log_s)));
        vf_store_n(s + i, vf_mul(vf_sub(vm_exp(log_s), p), f), lanes);
    }
    return vd_sum(sum);
}

static void entropy_backward(float *s, float shift, size_t n, float factor)
{
    for (size_t i = 0; i < n; i += 16) {
        const int lanes = n - i < 16 ? (int)(n - i) : 16;
        vf p = vm_exp(vf_sub(vf_load_n(s + i, lanes), vf_set1(shift)));
        vf_store_n(s + i, vf_mul(p, vf_set1(factor)), lanes);
    }
}

/* ---- grids ---- */

struct lane_grid { /* of a group */
    vf scale, divisor, offset, shift, zero;
};

ALWAYS_INLINE struct lane_grid lane_grid_of(const struct landing *l, int g)
{
    const float scale = l->scale[g];
    return (struct lane_grid){vf_set1(scale), vf_set1(scale != 0.0f ? scale : 1.0f),
                              vf_set1(l->offset ? l->offset[g] : l->middle),
                              vf_set1(l->shift ? l->shift[g] : 0.0f), vf_set1(l->zero ? l->zero[g] : 0.0f)};
}

/* The quotient, and its code before the clamp. */
ALWAYS_INLINE vf quotient(vf w, const struct lane_grid *g) { return vf_div(vf_sub(w, g->shift), g->divisor); }

static void land(const struct landing *l, const float *w, int n, float *out)
{
    const vf least = vf_set1(l->least), most = vf_set1(l->most);
    for (int k = 0, g = 0; k < n; k += l->group, g++) {
        const struct lane_grid grid = lane_grid_of(l, g);
        EACH_16(i, lanes, l->group)
        {
            vf u = vf_add(vf_rint(quotient(vf_load_n(w + k + i, lanes), &grid)), grid.offset);
            u = vf_sub(vf_min(vf_max(u, least), most), grid.offset);
            vf_store_n(out + k + i, vf_add(vf_mul(u, grid.scale), grid.shift), lanes);
        }
    }
}

static void land_backward(const struct landing *l, const float *w, int n, float *d, float *d_scale)
{
    const vf least = vf_set1(l->least), most = vf_set1(l->most);
    for (int k = 0, g = 0; k < n; k += l->group, g++) {
        const struct lane_grid grid = lane_grid_of(l, g);
        vf sum = vf_zero();
        EACH_16(i, lanes, l->group)
        {
            vf q = quotient(vf_load_n(w + k + i, lanes), &grid), dy = vf_load_n(d + k + i, lanes);
            vf u = vf_add(vf_rint(q), grid.offset), in = vf_min(vf_max(u, least), most);
            vf clamped = vf_abs(vf_sub(u, in)), tiny = vf_set1(0.5f);
            vf slope = vf_sub(in, grid.offset);
            slope = vf_sub(slope, vf_select_lt(clamped, tiny, q, grid.zero));
            sum = vf_fma(dy, vf_first(lanes, slope, vf_zero()), sum);
            vf_store_n(d + k + i, vf_select_lt(clamped, tiny, dy, vf_zero()), lanes);
        }
        if (d_scale) d_scale[g] = l->scale[g] != 0.0f ? vf_sum(sum) : 0.0f;
    }
}

static void adam(float *w, const float *g, float *m, float *v, size_t n, const struct adam_step *step)
{
    const vf b1 = vf_set1(step->beta1), b2 = vf_set1(step->beta2), c1 = vf_set1(1.0f - step->beta1),
             c2 = vf_set1(1.0f - step->beta2);
    for (size_t i = 0; i < n; i += 16) {
        const int lanes = n - i < 16 ? (int)(n - i) : 16;
        vf grad = vf_load_n(g + i, lanes), x = vf_load_n(w + i, lanes);
        vf first = vf_fma(c1, grad, vf_mul(b1, vf_load_n(m + i, lanes)));
        vf second = vf_fma(vf_mul(c2, grad), grad, vf_mul(b2, vf_load_n(v + i, lanes)));
        vf root = vf_fma(vf_sqrt(second), vf_set1(step->root_correction), vf_set1(step->epsilon));
        vf decayed = vf_fma(vf_set1(-step->decay), x, x);
        vf_store_n(m + i, first, lanes);
        vf_store_n(v + i, second, lanes);
        vf_store_n(w + i, vf_fma(vf_set1(-step->rate), vf_div(first, root), decayed), lanes);
    }
}

const struct train_ops ISA(train_ops) = {
    .tile_rows = ROWS,
    .tile_cols = COLS,
    .tile = tile,
    .norm_backward = norm_backward,
    .activation_backward = {[ACT_GELU_NEW] = gelu_new_backward,
                            [ACT_RELU] = relu_backward,
                            [ACT_SILU] = silu_backward,
                            [ACT_GELU] = gelu_backward,
                            [ACT_TANH] = tanh_backward},
    .softmax_backward = softmax_backward,
    .scale = scale,
    .column_sum = column_sum,
    .divergence_backward = divergence_backward,
    .entropy_backward = entropy_backward,
    .land = land,
    .land_backward = land_backward,
    .adam = adam,
};
