/* Causal attention of training, forward and backward, one (window, head) at a time.
 *
 * The probabilities P (T, T) of every window and head are kept for the backward pass. A block of 64 rows
 * computes only the columns up to its last row. The rest of P is neither written nor read. Inside a block,
 * P is 0 above the diagonal. */
#ifndef TRAIN_ATTENTION_H
#define TRAIN_ATTENTION_H
#include "train/crew.h"

struct attention_shape {
    int window, head_dim, n_head; /* window: T, tokens */
    float scale;                  /* of scores */
};

/* The scratch of a thread, in floats. */
size_t attention_own_floats(int window, int head_dim);

/* Forward: from qkv (T, 3 d) of one window to P (T, T) of the head and the head's columns of y (T, d),
 * where d = n_head * head_dim. */
void attention_forward(const struct crew *c, const struct attention_shape *s, int head, const float *qkv,
                       float *p, float *y, float *own);
/* Backward: from dy (T, d) to the head's columns of d_qkv (T, 3 d). */
void attention_backward(const struct crew *c, const struct attention_shape *s, int head, const float *qkv,
                        const float *p, const float *dy, float *d_qkv, float *own);
#endif
