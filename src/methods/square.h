/* Square matrices in double: memory, and the factor of the inverse that GPTQ works with. */
#ifndef METHODS_SQUARE_H
#define METHODS_SQUARE_H
#include "methods/dense.h"
#include "train/crew.h"

/* Who does the work: threads and arithmetic. */
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

/* Zeros. Out of memory is the only failure; *s is then empty. */
gpt2q_status square_create(struct square *s, int n, gpt2q_error *err);
void square_free(struct square *s);
/* The upper half, times `factor`, becomes the lower half, too. */
void square_mirror(const struct workers *w, struct square *s, double factor);

/* Of H (symmetric) with `damping` added to its diagonal, the inputs taken in the order of perm: U upper triangular with a
 * positive diagonal and H^-1 = U^T U, in *u (created here; zeros below the diagonal). It is made from R^T R = H reversed:
 * U = R^-T reversed. *positive: false where H is not positive definite in double precision; *u is then empty. */
gpt2q_status inverse_factor(const struct workers *w, const struct square *h, double damping,
                            const int32_t *perm, struct square *u, bool *positive, gpt2q_error *err);
#endif
