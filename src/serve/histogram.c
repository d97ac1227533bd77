#include "serve/histogram.h"

static const double seconds[] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
static const double powers[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

const double *histogram_bounds(enum histogram_kind kind, size_t *n)
{
    *n = kind == HISTOGRAM_SECONDS ? sizeof seconds / sizeof *seconds : kind == HISTOGRAM_TOKENS ? 11 : 8;
    return kind == HISTOGRAM_SECONDS ? seconds : powers;
}

void histogram_add(struct histogram *h, enum histogram_kind kind, double value)
{
    size_t n, i = 0;
    const double *bounds = histogram_bounds(kind, &n);
    while (i < n && value > bounds[i]) i++;
    h->counts[i]++;
    h->n++;
    h->sum += value;
}
