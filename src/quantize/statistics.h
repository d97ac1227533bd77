/* The distribution of a tensor's numbers. */
#ifndef QUANTIZE_STATISTICS_H
#define QUANTIZE_STATISTICS_H
#include "qtensor/quantize.h"

#define HISTOGRAM_BINS 32

struct statistics {
    double min, max, mean, std; /* of the finite numbers; std: of the population */
    uint64_t n, non_finite;
    uint64_t counts[HISTOGRAM_BINS]; /* one for each bin between the edges, as numpy.histogram counts */
};
/* Edge i of 0..HISTOGRAM_BINS, in equal steps from min to max. If all numbers are the same, the range is 1
 * with the number in its middle. */
double statistics_edge(const struct statistics *s, int i);

/* The source of numbers: one of the three. */
struct numbers {
    int rows, cols;
    const struct qsource *src; /* a checkpoint's tensor */
    const struct qtensor *w;   /* the weights that codes stand for */
    const float *values;
};
gpt2q_status statistics_take(const struct numbers *numbers, struct statistics *out, gpt2q_error *err);
#endif
