/* Counts by size, as Prometheus has them. Bucket i counts values of at most bounds[i]. */
#ifndef SERVE_HISTOGRAM_H
#define SERVE_HISTOGRAM_H
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 16

struct histogram {
    uint64_t
        counts[HISTOGRAM_BUCKETS]; /* of each bucket alone; the last one counts values beyond all bounds */
    uint64_t n;
    double sum;
};

enum histogram_kind { HISTOGRAM_SECONDS, HISTOGRAM_TOKENS, HISTOGRAM_ROWS };

/* The n bounds of a kind: seconds .001 to 60; tokens: powers of two to 1024; rows: to 128. */
const double *histogram_bounds(enum histogram_kind kind, size_t *n);
void histogram_add(struct histogram *h, enum histogram_kind kind, double value);
#endif
