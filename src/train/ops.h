/* The arithmetic of training that is compiled once per instruction set: the register tile of products, and
 * the rows of the backward passes. They are plain functions over pointers: no threads, no allocation. The
 * scalar row is the definition; every other gives its bits. Sums over a row have 16 lanes and the tree of
 * vf_sum. Sums over tokens are one chain for each element. */
#ifndef TRAIN_OPS_H
#define TRAIN_OPS_H
#include "kernels/kernels.h"

struct isa;

#define TILE_ROWS_MAX 12
#define TILE_COLS_MAX 32

/* What all parameters of an update share. */
struct adam_step { /* see adam.h */
    float beta1, beta2, rate, root_correction, epsilon, decay;
};

/* How a row of weights becomes codes, and what they stand for:
 *
 *     u = clamp(rint((w - shift) / scale) + offset, least, most)      w' = (u - offset) * scale + shift
 *
 * A scale of 0 divides as 1. Each group has its own scale, offset and shift. offset NULL: `middle`. shift
 * NULL: 0. Otherwise shift = -zero * scale, and zero stays as it is: w' = (u - zero) * scale. The
 * gradient of the scale is that of this formula. */
struct landing {
    const float *scale, *offset, *shift, *zero;
    float middle, least, most;
    int group;
};

struct train_ops {
    int tile_rows, tile_cols; /* of a register tile; at most TILE_ROWS_MAX and TILE_COLS_MAX */
    /* c (tile_rows, tile_cols; ldc floats from row to row) += a (k, tile_rows)^T b (k, tile_cols). Each
     * element is one chain of fused multiply-adds in increasing k, from c, or from +0 if `fresh`. */
    void (*tile)(const float *a, const float *b, int k, float *c, size_t ldc, bool fresh);
    /* Layer norm's backward pass for one row of x and dy (n): dx += the gradient of x, and x_hat = the
     * normalized x. With g = dy * weight: dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(variance +
     * epsilon). */
    void (*norm_backward)(const float *x, const float *weight, float epsilon, int n, const float *dy,
                          float *dx, float *x_hat);
    /* dx (n) = dy * f'(x). dx may be dy. */
    void (*activation_backward[ACT_COUNT])(const float *x, size_t n, const float *dy, float *dx);
    /* Softmax's backward pass for one row of n: ds = p (dp - sum(p dp)) scale; ds may be dp. */
    void (*softmax_backward)(const float *p, const float *dp, int n, float scale, float *ds);
    /* y (n) = x * factor; y may be x. */
    void (*scale)(const float *x, size_t n, float factor, float *y);
    /* Sums over `rows` rows, `stride` floats apart, for n <= 64 columns: out = sum of a, or of a * b if b
     * is not NULL. */
    void (*column_sum)(const float *a, const float *b, size_t stride, int rows, int n, float *out);
    /* Returns the sum of p (log p of the teacher - log p of the student) for p = exp(t - t_shift), in
     * double, in 16 lanes. Then s (n) becomes ds = (exp(s - s_shift) - p) * factor. */
    double (*divergence_backward)(const float *t, float t_shift, float *s, float s_shift, size_t n,
                                  float factor);
    /* s (n) = exp(s - shift) * factor: the gradient of log-softmax without the target's own -factor. */
    void (*entropy_backward)(float *s, float shift, size_t n, float factor);
    /* land: out (n) = w' of a row of weights. land_backward: g (n), the gradient of w', becomes that of
     * w; d_scale (n / group) becomes that of the scales, each a sum of 16 lanes and the tree. d_scale
     * NULL: scales are not learned. See grids.h. */
    void (*land)(const struct landing *l, const float *w, int n, float *out);
    void (*land_backward)(const struct landing *l, const float *w, int n, float *g, float *d_scale);
    /* Adam on n parameters, see adam.h. */
    void (*adam)(float *w, const float *g, float *m, float *v, size_t n, const struct adam_step *step);
};

const struct train_ops *train_ops_of(const struct isa *isa);
#endif
