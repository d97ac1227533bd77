/* What calibration keeps of the inputs of a linear layer over N tokens:
 *
 *     H = 2/N sum of x x^T                 D = 2/N sum of (x_ref - x) x^T (rows: x_ref - x)
 *
 * For every input it also keeps the mean and the largest magnitude, and H's diagonal, 2/N sum of x^2. Each
 * number is one chain in the order of tokens. So any number of threads and any pieces of tokens give the
 * same bits. */
#ifndef METHODS_HESSIAN_H
#define METHODS_HESSIAN_H
#include "methods/square.h"

struct layer_inputs {
    int n; /* inputs */
    uint64_t tokens;
    struct square h, d; /* d: empty if there is no reference */
    double *square;     /* (n) after layer_inputs_finish: 2/N sum of x^2 */
    double *sum_abs;    /* (n) after layer_inputs_finish: the mean */
    float *max_abs;     /* (n) */
    double *x, *gap;    /* pieces in double */
    float percentile;   /* of all |x|; set by layer_inputs_percentile */
    bool finite;        /* false: an input was not finite */
};

gpt2q_status layer_inputs_create(struct layer_inputs *m, int n, bool with_h, bool with_reference,
                                 gpt2q_error *err);
void layer_inputs_free(struct layer_inputs *m);
/* Adds `rows` tokens: x (rows, n), and x_ref likewise (NULL: no reference). */
void layer_inputs_add(struct layer_inputs *m, const struct workers *w, const float *x, const float *x_ref,
                      int rows);
/* Records the least magnitude that `percent` of the n magnitudes of x do not exceed. */
gpt2q_status layer_inputs_percentile(struct layer_inputs *m, const float *x, size_t n, double percent,
                                     gpt2q_error *err);
/* To be called after the last token. */
void layer_inputs_finish(struct layer_inputs *m, const struct workers *w);
/* Frees everything but the statistics of the inputs. */
void layer_inputs_drop_squares(struct layer_inputs *m);
#endif
