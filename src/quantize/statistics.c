#include "quantize/statistics.h"
#include "base/memory.h"
#include "qtensor/isa.h"
#include <math.h>
#include <string.h>

static void read_row(const struct numbers *from, int row, float *out)
{
    size_t cols = (size_t)from->cols;
    if (from->src)
        qsource_read(from->src, row, 0, from->cols, out);
    else if (from->w)
        isa_at(0)->formats[from->w->scheme.format].dequantize_row(from->w, row, out);
    else
        memcpy(out, from->values + (size_t)row * cols, cols * sizeof *out);
}

static void add_range(struct statistics *s, const float *row, int n)
{
    for (int i = 0; i < n; i++) {
        double x = (double)row[i];
        s->n++;
        if (!isfinite(x)) {
            s->non_finite++;
            continue;
        }
        s->min = x < s->min ? x : s->min;
        s->max = x > s->max ? x : s->max;
        s->mean += x; /* the sum, until it is divided */
    }
}

double statistics_edge(const struct statistics *s, int i)
{
    bool one = !(s->max > s->min); /* a single value lies in the middle of a range of 1 */
    double lo = one ? s->min - 0.5 : s->min, hi = one ? s->max + 0.5 : s->max;
    return i == HISTOGRAM_BINS ? hi : lo + i * ((hi - lo) / HISTOGRAM_BINS);
}

/* numpy.histogram's rule: a bin holds its lower edge and not its upper one; the last bin holds both. The
 * edges decide, because the division may be off by a rounding. */
static size_t bin_of(const struct statistics *s, double x)
{
    double lo = statistics_edge(s, 0), hi = statistics_edge(s, HISTOGRAM_BINS);
    int bin = (int)((x - lo) / (hi - lo) * HISTOGRAM_BINS);
    if (bin > HISTOGRAM_BINS - 1) bin = HISTOGRAM_BINS - 1;
    if (bin < 0) bin = 0;
    if (bin > 0 && x < statistics_edge(s, bin)) bin--;
    if (bin < HISTOGRAM_BINS - 1 && x >= statistics_edge(s, bin + 1)) bin++;
    return (size_t)bin;
}

static void add_spread(struct statistics *s, const float *row, int n)
{
    for (int i = 0; i < n; i++) {
        double x = (double)row[i], d = x - s->mean;
        if (!isfinite(x)) continue;
        s->counts[bin_of(s, x)]++;
        s->std += d * d;
    }
}

gpt2q_status statistics_take(const struct numbers *numbers, struct statistics *out, gpt2q_error *err)
{
    float *row = mem_array((size_t)numbers->cols, sizeof *row);
    *out = (struct statistics){.min = INFINITY, .max = -INFINITY};
    if (!row) return error_memory(err, "a row of numbers", (size_t)numbers->cols * sizeof *row);
    for (int r = 0; r < numbers->rows; r++) {
        read_row(numbers, r, row);
        add_range(out, row, numbers->cols);
    }
    double n = (double)(out->n - out->non_finite);
    out->mean = n > 0 ? out->mean / n : NAN;
    for (int r = 0; r < numbers->rows && n > 0; r++) {
        read_row(numbers, r, row);
        add_spread(out, row, numbers->cols);
    }
    out->std = n > 0 ? sqrt(out->std / n) : NAN;
    mem_free(row);
    return GPT2Q_OK;
}
