/* What a quantized tensor lost: the figures by which every scheme is judged. */
#ifndef QUANTIZE_ERRORS_H
#define QUANTIZE_ERRORS_H
#include "quant/quantize.h"

struct tensor_errors {
    double relative_error; /* |W - W'| over |W|, Frobenius norms; 0 where both are 0 */
    double mean_error;     /* mean of |w - w'| */
    double max_error;
    double clipped; /* share of weights beyond the range of their codes: off by more than rounding explains */
    double difference2, reference2,
        n; /* squares of the norms, number of weights: what joining tensors needs */
};
/* The figures of several tensors together. */
struct tensor_errors tensor_errors_join(struct tensor_errors a, struct tensor_errors b);

/* Of a matrix W and what it was quantized to. The same figures for any number of threads. */
gpt2q_status tensor_errors_measure(const struct qsource *src, const struct qtensor *w, int n_threads,
                                   struct tensor_errors *out, gpt2q_error *err);
/* Of n numbers and what became of them. */
struct tensor_errors values_errors(const float *before, const float *after, size_t n);
/* Outputs [row, row + n) of W as floats, out (n, cols); n is at most 64. Reads memory in its own order. */
void qsource_read_rows(const struct qsource *src, int row, int n, float *out);
#endif
