/* One pass over W, panel by panel, on all threads. Sums are in double, 16 lanes to a panel; panels are joined
 * in their order, so that the figures do not depend on the number of threads. */
#include "quantize/errors.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/half.h"
#include "quant/isa.h"
#include <math.h>
#include <string.h>

#define LANES 16

struct sums {
    double difference2[LANES], reference2[LANES], absolute[LANES];
    float max[LANES];
    uint32_t clipped[LANES];
};

/* bound: errors beyond it are clipping. */
static void add_row(struct sums *s, const float *before, const float *after, const float *bound, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float d = fabsf(before[i + l] - after[i + l]), w = before[i + l];
            s->difference2[l] += (double)d * (double)d;
            s->reference2[l] += (double)w * (double)w;
            s->absolute[l] += (double)d;
            s->max[l] = d > s->max[l] ? d : s->max[l];
            s->clipped[l] += d > bound[i + l];
        }
    }
    for (size_t l = 0; i < n; i++, l++) {
        float d = fabsf(before[i] - after[i]), w = before[i];
        s->difference2[l] += (double)d * (double)d;
        s->reference2[l] += (double)w * (double)w;
        s->absolute[l] += (double)d;
        s->max[l] = d > s->max[l] ? d : s->max[l];
        s->clipped[l] += d > bound[i];
    }
}

/* An infinite ratio where something came of nothing but zeros. */
static double ratio(double difference2, double reference2)
{
    return difference2 == 0 ? 0 : sqrt(difference2 / reference2);
}

static struct tensor_errors total(const struct sums *s, size_t n_sums, double n)
{
    struct tensor_errors t = {.n = n};
    for (size_t i = 0; i < n_sums; i++) {
        for (size_t l = 0; l < LANES; l++) {
            t.difference2 += s[i].difference2[l];
            t.reference2 += s[i].reference2[l];
            t.mean_error += s[i].absolute[l] / n;
            t.max_error = (double)s[i].max[l] > t.max_error ? (double)s[i].max[l] : t.max_error;
            t.clipped += s[i].clipped[l] / n;
        }
    }
    t.relative_error = ratio(t.difference2, t.reference2);
    return t;
}

struct tensor_errors tensor_errors_join(struct tensor_errors a, struct tensor_errors b)
{
    struct tensor_errors t = {.n = a.n + b.n,
                              .difference2 = a.difference2 + b.difference2,
                              .reference2 = a.reference2 + b.reference2,
                              .max_error = a.max_error > b.max_error ? a.max_error : b.max_error};
    if (t.n == 0) return t;
    t.mean_error = (a.mean_error * a.n + b.mean_error * b.n) / t.n;
    t.clipped = (a.clipped * a.n + b.clipped * b.n) / t.n;
    t.relative_error = ratio(t.difference2, t.reference2);
    return t;
}

struct tensor_errors values_errors(const float *before, const float *after, size_t n)
{
    enum { CHUNK = 4096 };
    float bound[CHUNK];
    struct sums s = {0};
    for (size_t i = 0; i < CHUNK; i++) bound[i] = INFINITY;
    for (size_t i = 0; i < n; i += CHUNK)
        add_row(&s, before + i, after + i, bound, n - i < CHUNK ? n - i : CHUNK);
    return total(&s, 1, (double)n);
}

/* ---- matrices ---- */

void qsource_read_rows(const struct qsource *src, int row, int n, float *out)
{
    enum { STEP = 16 };
    float tile[STEP][PANEL];
    if (src->row_stride != 1) {
        for (int o = 0; o < n; o++)
            qsource_read(src, row + o, 0, src->cols, out + (size_t)o * (size_t)src->cols);
        return;
    }
    struct qsource turned = *src; /* (in, out), as it lies */
    turned.rows = src->cols, turned.cols = src->rows;
    turned.row_stride = src->col_stride, turned.col_stride = 1;
    for (int k = 0; k < src->cols; k += STEP) {
        int step = src->cols - k < STEP ? src->cols - k : STEP;
        for (int j = 0; j < step; j++) qsource_read(&turned, k + j, row, n, tile[j]);
        for (int o = 0; o < n; o++)
            for (int j = 0; j < step; j++) out[(size_t)o * (size_t)src->cols + (size_t)(k + j)] = tile[j][o];
    }
}

struct measuring {
    const struct qsource *src;
    const struct qtensor *w;
    struct sums *sums; /* (panels) */
    float *scratch;    /* (threads, PANEL + 2, cols) */
};

/* Rounding to the nearest code is off by half a step, truncating by a whole one; the rest is the rounding of
 * floats. */
static float bound_of(const struct qtensor *w, size_t i)
{
    bool half = w->scheme.gran == QG_GROUP;
    float s = half ? float_from_f16(((const uint16_t *)w->scale)[i]) : ((const float *)w->scale)[i], m = 0.0f;
    if (w->scheme.method == QM_MINMAX || w->scheme.method == QM_NOTES)
        m = half ? float_from_f16(((const uint16_t *)w->zero)[i]) : ((const float *)w->zero)[i];
    return s * (w->scheme.method == QM_NOTES ? 1.001f : 0.501f) + fabsf(m) * 0x1p-20f;
}

static void fill_bounds(const struct qtensor *w, int row, float *bound)
{
    int step = w->scheme.gran == QG_GROUP ? w->scheme.group : w->scheme.gran == QG_INPUT ? 1 : w->cols;
    size_t groups = (size_t)(w->cols / step), panel = (size_t)(row / PANEL), lane = (size_t)(row % PANEL);
    for (size_t g = 0; g < groups; g++) {
        size_t owner = 0;
        if (w->scheme.gran == QG_CHANNEL) owner = (size_t)row;
        if (w->scheme.gran == QG_INPUT) owner = g;
        if (w->scheme.gran == QG_GROUP) owner = (panel * groups + g) * PANEL + lane;
        float same = scheme_is_integer(w->scheme) ? bound_of(w, owner) : INFINITY;
        for (int k = 0; k < step; k++) bound[g * (size_t)step + (size_t)k] = same;
    }
}

static void measure_thread(void *arg, int thread, int n_threads)
{
    const struct measuring *m = arg;
    const struct qtensor *w = m->w;
    size_t cols = (size_t)w->cols;
    float *before = m->scratch + (size_t)thread * (PANEL + 2) * cols, *after = before + PANEL * cols,
          *bound = after + cols;
    void (*dequantize_row)(const struct qtensor *, int, float *) =
        isa_at(0)->formats[w->scheme.format].dequantize_row;
    int64_t p0, p1;
    threads_split(qtensor_panels(w), thread, n_threads, &p0, &p1);
    for (int64_t p = p0; p < p1; p++) {
        int row = (int)p * PANEL, n = w->rows - row < PANEL ? w->rows - row : PANEL;
        memset(&m->sums[p], 0, sizeof m->sums[p]);
        qsource_read_rows(m->src, row, n, before);
        for (int o = 0; o < n; o++) {
            if (o == 0 || w->scheme.gran == QG_CHANNEL || w->scheme.gran == QG_GROUP)
                fill_bounds(w, row + o, bound);
            dequantize_row(w, row + o, after);
            add_row(&m->sums[p], before + (size_t)o * cols, after, bound, cols);
        }
    }
}

gpt2q_status tensor_errors_measure(const struct qsource *src, const struct qtensor *w, int n_threads,
                                   struct tensor_errors *out, gpt2q_error *err)
{
    int panels = qtensor_panels(w);
    if (n_threads > panels) n_threads = panels;
    if (n_threads < 1) n_threads = 1;
    struct measuring m = {src, w, mem_array((size_t)panels, sizeof *m.sums),
                          mem_array((size_t)n_threads * (PANEL + 2), (size_t)w->cols * sizeof(float))};
    gpt2q_status s = GPT2Q_OK;
    *out = (struct tensor_errors){0};
    if (m.sums && m.scratch) {
        threads_run(n_threads, measure_thread, &m);
        *out = total(m.sums, (size_t)panels, (double)w->rows * (double)w->cols);
    } else {
        s = error_memory(err, "measuring errors",
                         (size_t)n_threads * PANEL * (size_t)w->cols * sizeof(float));
    }
    mem_free(m.sums);
    mem_free(m.scratch);
    return s;
}
