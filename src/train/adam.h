/* Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), in float32, element
 * by element:
 *
 *     m = b1 m + (1 - b1) g      v = b2 v + (1 - b2) g^2
 *     w = w - lr decay w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)      t = 1, 2, ... */
#ifndef TRAIN_ADAM_H
#define TRAIN_ADAM_H
#include "train/crew.h"

struct adam {
    double beta1, beta2, epsilon;
    double power1, power2; /* b1^t and b2^t of the updates so far */
    float *m, *v;          /* (n) */
    size_t n;
};

gpt2q_status adam_create(struct adam *a, size_t n, double beta1, double beta2, double epsilon,
                         gpt2q_error *err);
void adam_free(struct adam *a);
/* Begins an update: t grows by one. */
void adam_begin(struct adam *a);
/* Updates the parameters [at, at + n). w and g point to the first of them. */
void adam_update(const struct adam *a, const struct crew *c, size_t at, size_t n, float *w, const float *g,
                 double rate, double decay);
#endif
