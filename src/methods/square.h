/* Square matrices in double: their memory, and the factor of the inverse that GPTQ uses. */
#ifndef METHODS_SQUARE_H
#define METHODS_SQUARE_H
#include "methods/dense.h"
#include "train/crew.h"

/* The threads and the arithmetic to use. */
struct workers {
    const struct crew *crew;
    const struct dense_ops *ops;
};

struct square {
    int n;
    size_t ld; /* from row to row: an odd number of cache lines */
    double *at;
};

static inline size_t square_stride(int n) { return (((size_t)n + 7) / 8 | 1) * 8; }
static inline double *square_row(const struct square *s, int i) { return s->at + (size_t)i * s->ld; }

/* Creates a matrix of zeros. Running out of memory is the only failure; *s is then empty. */
gpt2q_status square_create(struct square *s, int n, gpt2q_error *err);
void square_free(struct square *s);
/* Multiplies the upper half by `factor` and mirrors it into the lower half. */
void square_mirror(const struct workers *w, struct square *s, double factor);

/* Factors the inverse of H (symmetric) with `damping` added to its diagonal and its inputs in the order of
 * perm: H^-1 = U^T U. U is upper triangular with a positive diagonal, in *u (created here; zeros below the
 * diagonal). It is made from R^T R = H reversed: U = R^-T reversed. *positive is false if H is not
 * positive definite in double precision; *u is then empty. */
gpt2q_status inverse_factor(const struct workers *w, const struct square *h, double damping,
                            const int32_t *perm, struct square *u, bool *positive, gpt2q_error *err);
#endif
