/* Products of matrices in any orientation: C (m, n) = A (m, k) B (k, n), in float32.
 *
 * An element of C is one chain of fused multiply-adds in increasing k, from +0 or from what C holds. So a
 * later call may continue a sum over tokens. The bias is added last. Tiles and threads do not change the
 * bits. */
#ifndef TRAIN_PRODUCT_H
#define TRAIN_PRODUCT_H
#include "train/crew.h"

/* Element (i, k) of an operand lies at at[i * outer + k * inner]; i is a row of A or a column of B. One of
 * the two steps is 1. */
struct operand {
    const float *at;
    size_t outer, inner;
};

struct product {
    int m, n, k;
    struct operand a, b;
    float *c; /* (m, n), ldc floats from row to row */
    size_t ldc;
    const float *bias; /* (n), or NULL */
    bool add;          /* add to what c holds */
};

/* The operand whose rows are those of x (m, k). */
static inline struct operand rows_of(const float *x, size_t stride) { return (struct operand){x, stride, 1}; }
/* The operand whose columns are those of x (k, n). */
static inline struct operand columns_of(const float *x, size_t stride)
{
    return (struct operand){x, 1, stride};
}

/* The floats that a packed operand of `outer` by `k` takes. */
size_t product_packed_floats(size_t outer, size_t k);

/* Runs on all threads of the crew, in its shared scratch. */
void product_run(const struct crew *c, const struct product *p);
/* Runs on the calling thread, in scratch of product_packed_floats(m, k) + product_packed_floats(n, k)
 * floats. */
void product_run_alone(const struct crew *c, const struct product *p, float *scratch);
#endif
