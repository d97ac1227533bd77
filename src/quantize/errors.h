/* What a quantized tensor lost: the figures by which every scheme is judged. */
#ifndef QUANTIZE_ERRORS_H
#define QUANTIZE_ERRORS_H
#include "qtensor/quantize.h"

struct tensor_errors {
    double relative_error; /* |W - W'| over |W|, Frobenius norms; 0 where both are 0 */
    double mean_error;     /* mean of |w - w'| */
    double max_error;
    double clipped; /* share of weights beyond the range of their codes: off by more than rounding explains */
    double largest; /* max |w| */
    double difference2, reference2,
        n; /* squares of the norms, number of weights: what joining tensors needs */
};
/* The figures of several tensors together. */
struct tensor_errors tensor_errors_join(struct tensor_errors a, struct tensor_errors b);

/* Quantizes (qtensor_quantize) and measures W against what it became while its weights are at hand; of `run`
 * all counts but on_panel. The same figures for any number of threads. */
gpt2q_status tensor_quantize_measured(const struct qsource *src, struct scheme scheme,
                                      const struct quantize_run *run, struct qtensor *w,
                                      struct tensor_errors *errors, gpt2q_error *err);
/* Of two tensors of one shape, what `after` lost of `before`; clipped is 0. */
struct tensor_errors tensor_errors_between(const struct qtensor *before, const struct qtensor *after);
/* Of n numbers and what became of them. */
struct tensor_errors values_errors(const float *before, const float *after, size_t n);
#endif
