/* The table of arithmetic kernels other than the products with weights (those are in quant/): one row per instruction set.
 *
 * Kernels are plain functions over pointers and ranges: no threads, no allocation, no globals. The scalar row is the
 * definition; every other gives its bits. Rows are vectors of floats, contiguous, any alignment. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/attention.h"

enum activation_function { ACT_GELU_NEW, ACT_RELU, ACT_SILU, ACT_GELU, ACT_TANH, ACT_COUNT };

struct kernels {
    /* y (n) = (x - mean) / sqrt(variance + epsilon) * weight + bias; biased variance; sums by the 16-lane rule. y may be x. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, int n, float *y);
    /* y (n) = f(x); y may be x. */
    void (*activation[ACT_COUNT])(const float *x, size_t n, float *y);
    /* y (n) += x (n) */
    void (*add)(float *y, const float *x, size_t n);
    /* Keys and values (n_rows, head_dim) into the cache at consecutive positions of one head. */
    void (*kv_append)(const struct kv_view *kv, int head, const struct kv_rows *rows);
    /* Causal attention of one head for n_rows consecutive positions of one sequence, see attention.h. */
    void (*attention)(const struct kv_view *kv, int head, const struct attention_rows *rows, float *scratch);
    /* Over a row of logits: the largest value (by vf_max's rule); id of it, the lowest at ties (-1 if any value is not
     * finite); y = exp(x*scale - shift) and their sum in double, 16 lanes then the tree. */
    float (*row_max)(const float *x, size_t n);
    int32_t (*row_argmax)(const float *x, size_t n);
    double (*row_exp)(const float *x, size_t n, float scale, float shift, float *y);
    /* sum of exp(x - shift) in double without storing them */
    double (*row_sum_exp)(const float *x, size_t n, float shift);
};
#endif
