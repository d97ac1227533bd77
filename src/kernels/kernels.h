/* The table of arithmetic kernels other than products with weights (qtensor/ has those): one row per
 * instruction set.
 *
 * Kernels are plain functions over pointers and ranges: no threads, no allocation, no globals. The scalar
 * row is the definition; every other gives its bits. Rows are contiguous vectors of floats with any
 * alignment. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/attention.h"

enum activation_function { ACT_GELU_NEW, ACT_RELU, ACT_SILU, ACT_GELU, ACT_TANH, ACT_COUNT };

/* The largest of some logits, and its id: the lowest id at ties (-0 and 0 are equal). */
struct best {
    float value;
    int32_t id;
};
#define BEST_OF_NONE    ((struct best){-INFINITY, INT32_MAX})
#define BEST_NOT_FINITE ((struct best){INFINITY, -1}) /* wins over all */
/* value is never NaN: a logit that is not finite gives BEST_NOT_FINITE. */
static inline void best_join(struct best *to, struct best other)
{
    if (other.value > to->value || (other.value == to->value && other.id < to->id)) *to = other;
}

struct kernels {
    /* y (n) = (x - mean) / sqrt(variance + epsilon) * weight + bias; biased variance; sums by the 16-lane
     * rule. y and x do not overlap. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, int n,
                       float *y);
    /* y (n) = f(x); y may be x. */
    void (*activation[ACT_COUNT])(const float *x, size_t n, float *y);
    /* y (n) += x (n) */
    void (*add)(float *y, const float *x, size_t n);
    /* Appends keys and values (n_rows, head_dim) to the cache, at consecutive positions of one head. */
    void (*kv_append)(const struct kv_view *kv, int head, const struct kv_rows *rows);
    /* Causal attention of one head for n_rows consecutive positions of one sequence (attention.h). */
    void (*attention)(const struct kv_view *kv, int head, const struct attention_rows *rows, float *scratch);
    /* Over a row of logits. The first returns the largest value by vf_max's rule. The second joins *best
     * with the best of the logits x (n), whose ids begin at `first`; it is BEST_NOT_FINITE if one is not
     * finite. The third writes y = exp(x*scale - shift) and returns their sum in double: 16 lanes, then
     * the tree. */
    float (*row_max)(const float *x, size_t n);
    void (*row_best)(const float *x, size_t n, int32_t first, struct best *best);
    double (*row_exp)(const float *x, size_t n, float scale, float shift, float *y);
    /* The sum of exp(x - shift) in double, without storing the terms. */
    double (*row_sum_exp)(const float *x, size_t n, float shift);
};

/* The id of the largest of n > 0 logits; -1 if one is not finite. */
static inline int32_t kernels_argmax(const struct kernels *k, const float *x, size_t n)
{
    struct best best = BEST_OF_NONE;
    k->row_best(x, n, 0, &best);
    return best.id;
}
#endif
