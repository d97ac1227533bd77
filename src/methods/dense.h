/* Products of matrices in double precision, and the rounding loops over them, compiled once per
 * instruction set. They are plain functions over pointers: no threads, no allocation. Each element is one
 * chain of fused multiply-adds in the order that its comment states. So instruction set, blocks and
 * threads do not change the bits. */
#ifndef METHODS_DENSE_H
#define METHODS_DENSE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct isa;

#define LANES                                                                                                \
    48 /* Outputs of a weight matrix that are processed together: columns of the panels [inputs][LANES]. */

/* C (m, n; ldc from row to row) += A (m, k) B (k, n; ldb), or -= with `subtract`. Each chain begins with
 * what C holds and runs in increasing k. Element (r, i) of A lies at a[r * a_row + i * a_k]. */
struct dense_product {
    int m, n, k;
    const double *a;
    size_t a_row, a_k;
    const double *b;
    size_t ldb;
    double *c;
    size_t ldc;
    bool subtract;
};

/* How each of LANES outputs is rounded: code = clamp(rint(w / divisor) + zero, least, most), w' = (code -
 * zero) * scale. */
struct rounding {
    const double *scale, *divisor, *zero;
    double least, most;
};

struct dense_ops {
    void (*product)(const struct dense_product *p);
    /* Rows 0 .. k-1 of C (k, n; ldc) become those of R^-T C, where R (k, k; ldr) is upper triangular. */
    void (*solve)(int k, const double *r, size_t ldr, int n, double *c, size_t ldc);
    /* Rounds one input of LANES outputs: gives the codes, and w becomes (w - w') / pivot. */
    void (*round)(double *w, const struct rounding *r, double pivot, double *code);
    /* y (LANES) -= x * factor */
    void (*axpy)(const double *x, double factor, double *y);
    /* Coordinate descent for one input: the code of value + pull / diagonal. value becomes what the code
     * stands for, delta its change. */
    void (*descend)(double *value, const double *pull, double diagonal, const struct rounding *r,
                    double *code, double *delta);
    /* error (LANES) += weight * (w - w')^2 for one input; w' is w rounded. */
    void (*rounding_error)(const double *w, const struct rounding *r, double weight, double *error);
    /* sums (LANES) += x * y */
    void (*multiply_sum)(const double *x, const double *y, double *sums);
    void (*to_double)(const float *x, size_t n, double *y);
};

const struct dense_ops *dense_ops_of(const struct isa *isa);
#endif
