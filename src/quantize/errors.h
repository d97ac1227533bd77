/* The figures by which every scheme is judged: what a quantized tensor lost. */
#ifndef QUANTIZE_ERRORS_H
#define QUANTIZE_ERRORS_H
#include "qtensor/quantize.h"

struct tensor_errors {
    double relative_error; /* |W - W'| over |W|, Frobenius norms; 0 where both are 0 */
    double mean_error;     /* mean of |w - w'| */
    double max_error;
    /* share of weights beyond the range of their codes: their error is larger than rounding explains */
    double clipped;
    double largest; /* max |w| */
    double difference2, reference2,
        n; /* Squares of the norms and the number of weights, for joining tensors. */
};
/* Joins the figures of two tensors. */
struct tensor_errors tensor_errors_join(struct tensor_errors a, struct tensor_errors b);

/* Quantizes (qtensor_quantize) and measures W against the result, panel by panel. `run` is used but for
 * on_panel. The figures are the same for any number of threads. */
gpt2q_status tensor_quantize_measured(const struct qsource *src, struct scheme scheme,
                                      const struct quantize_run *run, struct qtensor *w,
                                      struct tensor_errors *errors, gpt2q_error *err);
/* Factors folded into a tensor: its element (o, k) stands for inputs[k] / outputs[o] times itself. */
struct unfolding {
    const float *outputs, *inputs; /* NULL: 1 */
};
/* Figures of two tensors of one shape: what `after` lost against `before`. clipped is 0. */
struct tensor_errors tensor_errors_between(const struct qtensor *before, const struct qtensor *after,
                                           struct unfolding u);
/* Figures of n numbers before and after. */
struct tensor_errors values_errors(const float *before, const float *after, size_t n);
#endif
