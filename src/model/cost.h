/* What a forward pass must move and compute, counted from shapes. Moved are bytes that cannot stay in a
 * cache from pass to pass: weights, and the keys and values of each sequence. Computed are products and
 * attention. Nothing here knows time or machine; the benchmark divides by the machine's limits. */
#ifndef MODEL_COST_H
#define MODEL_COST_H
#include "model/forward.h"

struct cost {
    double bytes;     /* read or written once a pass, for any number of rows */
    double f32_flops; /* fp32 operations; a multiply-add counts as two */
    /* Operations of int8 dot products. One with i16 activations counts twice (a high and a low byte). */
    double i8_ops;
};

/* The cost of one pass over these tokens, by part. */
void cost_of_pass(const struct gpt2_weights *weights, enum activations activations, enum kv_format kv,
                  const struct batch_token *tokens, int n, struct cost parts[PART_COUNT]);
struct cost cost_total(const struct cost parts[PART_COUNT]);
#endif
