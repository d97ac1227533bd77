/* One pass over W in the order of its panels. Sums are in double, in 64 lanes per panel. They are joined
 * output by output and panel by panel, so that the figures do not depend on the number of threads. */
#include "quantize/errors.h"
#include "base/memory.h"
#include "qtensor/dequantize.h"
#include "qtensor/levels.h"
#include <math.h>
#include <string.h>

#define STEP 64 /* inputs at a time: two blocks of floats that stay in the first cache */

/* Sums by output of a panel. */
struct sums {
    double difference2[PANEL], reference2[PANEL], absolute[PANEL];
    float max[PANEL], largest[PANEL];
    uint32_t clipped[PANEL];
};

/* Adds a row of 64 weights, one of each output. Errors beyond `bound` count as clipping. */
static void add_row(struct sums *s, const float *before, const float *after, const float *bound)
{
    for (int o = 0; o < PANEL; o++) {
        float w = fabsf(before[o]), d = fabsf(before[o] - after[o]);
        s->difference2[o] += (double)d * (double)d;
        s->reference2[o] += (double)w * (double)w;
        s->absolute[o] += (double)d;
        s->max[o] = d > s->max[o] ? d : s->max[o];
        s->largest[o] = w > s->largest[o] ? w : s->largest[o];
        s->clipped[o] += d > bound[o];
    }
}

/* The relative error. It is infinite if all weights were zero and now are not. */
static double ratio(double difference2, double reference2)
{
    return difference2 == 0 ? 0 : sqrt(difference2 / reference2);
}

/* The figures of n weights, whose sums are in the first `outputs` lanes. */
static struct tensor_errors total(const struct sums *s, int outputs, double n)
{
    struct tensor_errors t = {.n = n};
    for (int o = 0; o < outputs; o++) {
        t.difference2 += s->difference2[o];
        t.reference2 += s->reference2[o];
        t.mean_error += s->absolute[o] / n;
        t.max_error = (double)s->max[o] > t.max_error ? (double)s->max[o] : t.max_error;
        t.largest = (double)s->largest[o] > t.largest ? (double)s->largest[o] : t.largest;
        t.clipped += s->clipped[o] / n;
    }
    t.relative_error = ratio(t.difference2, t.reference2);
    return t;
}

struct tensor_errors tensor_errors_join(struct tensor_errors a, struct tensor_errors b)
{
    struct tensor_errors t = {.n = a.n + b.n,
                              .difference2 = a.difference2 + b.difference2,
                              .reference2 = a.reference2 + b.reference2,
                              .max_error = a.max_error > b.max_error ? a.max_error : b.max_error,
                              .largest = a.largest > b.largest ? a.largest : b.largest};
    if (t.n == 0) return t;
    t.mean_error = (a.mean_error * a.n + b.mean_error * b.n) / t.n;
    t.clipped = (a.clipped * a.n + b.clipped * b.n) / t.n;
    t.relative_error = ratio(t.difference2, t.reference2);
    return t;
}

static void fill_unbounded(float *bound)
{
    for (int o = 0; o < PANEL; o++) bound[o] = INFINITY;
}

struct tensor_errors values_errors(const float *before, const float *after, size_t n)
{
    struct sums s = {0};
    float bound[PANEL], rest_before[PANEL] = {0}, rest_after[PANEL] = {0};
    size_t i = 0, rest = n % PANEL;
    fill_unbounded(bound);
    for (; i + PANEL <= n; i += PANEL) add_row(&s, before + i, after + i, bound);
    memcpy(rest_before, before + i, rest * sizeof *before);
    memcpy(rest_after, after + i, rest * sizeof *after);
    add_row(&s, rest_before, rest_after, bound);
    return total(&s, PANEL, (double)n);
}

/* ---- matrices ---- */

static struct tensor_errors total_of_panel(const struct sums *s, const struct qtensor *w, int panel)
{
    int left = w->rows - panel * PANEL, outputs = left < PANEL ? left : PANEL;
    return total(s, outputs, (double)outputs * (double)w->cols);
}

/* The largest error that rounding explains. Rounding to nearest errs by half a step. Truncating errs by a
 * whole step. So does signed, when a weight as large as the largest has the other sign. Steps of levels are
 * their gaps. The rest is the rounding of floats. Returns the first input that may have other bounds. */
static int fill_bounds(const struct qtensor *w, int panel, int k, float *bound)
{
    struct panel_parameters p;
    const float step = w->scheme.grid == QGRID_LEVELS ? 0.501f * format_gap(w->scheme.format)
                       : w->scheme.grid == QGRID_NOTES || w->scheme.grid == QGRID_SIGNED ? 1.001f
                                                                                         : 0.501f;
    const bool has_minimum = scheme_zero(w->scheme) == QZERO_MINIMUM;
    if (!scheme_has_codes(w->scheme)) return fill_unbounded(bound), w->cols;
    int end = panel_parameters(w, panel, k, &p);
    for (int o = 0; o < PANEL; o++)
        bound[o] = fabsf(p.scale[o]) * step + (has_minimum ? fabsf(p.zero[o]) * 0x1p-20f : 0.0f);
    return end;
}

/* qtensor_quantize's on_panel; user: (panels). */
static void measure_panel(void *user, const struct qtensor *w, int panel, const float *block)
{
    struct tensor_errors *out = (struct tensor_errors *)user + panel;
    struct sums s = {0};
    float after[STEP * PANEL], bound[PANEL];
    int end = 0;
    for (int k0 = 0; k0 < w->cols; k0 += STEP) {
        int k1 = w->cols - k0 < STEP ? w->cols : k0 + STEP;
        dequantize_panel(w, panel, k0, k1, after);
        for (int k = k0; k < k1; k++) {
            if (k == end) end = fill_bounds(w, panel, k, bound);
            add_row(&s, block + (size_t)k * PANEL, after + (size_t)(k - k0) * PANEL, bound);
        }
    }
    *out = total_of_panel(&s, w, panel);
}

gpt2q_status tensor_quantize_measured(const struct qsource *src, struct scheme scheme,
                                      const struct quantize_run *run, struct qtensor *w,
                                      struct tensor_errors *errors, gpt2q_error *err)
{
    size_t n = ((size_t)src->rows + PANEL - 1) / PANEL;
    struct tensor_errors *panels = mem_array(n, sizeof *panels);
    struct quantize_run measured = *run;
    measured.on_panel = measure_panel;
    measured.user = panels;
    *w = (struct qtensor){0};
    *errors = (struct tensor_errors){0};
    if (!panels) return error_memory(err, "measuring errors", n * sizeof *panels);
    gpt2q_status s = qtensor_quantize(src, scheme, &measured, w, err);
    for (size_t i = 0; i < n && !s; i++) *errors = tensor_errors_join(*errors, panels[i]);
    mem_free(panels);
    return s;
}

static void unfold(float *block, const struct qtensor *w, int panel, int k0, int k1, struct unfolding u)
{
    const int outputs = w->rows - panel * PANEL;
    for (int k = k0; k < k1; k++)
        for (int o = 0; o < PANEL && o < outputs; o++) {
            float *x = &block[(k - k0) * PANEL + o];
            if (u.inputs) *x *= u.inputs[k];
            if (u.outputs) *x /= u.outputs[panel * PANEL + o];
        }
}

struct tensor_errors tensor_errors_between(const struct qtensor *before, const struct qtensor *after,
                                           struct unfolding u)
{
    struct tensor_errors t = {0};
    float a[STEP * PANEL], b[STEP * PANEL], bound[PANEL];
    fill_unbounded(bound);
    for (int p = 0; p < qtensor_panels(after); p++) {
        struct sums s = {0};
        for (int k0 = 0; k0 < after->cols; k0 += STEP) {
            int k1 = after->cols - k0 < STEP ? after->cols : k0 + STEP;
            dequantize_panel(before, p, k0, k1, a);
            dequantize_panel(after, p, k0, k1, b);
            if (u.inputs || u.outputs) unfold(b, after, p, k0, k1, u);
            for (int i = 0; i < (k1 - k0) * PANEL; i += PANEL) add_row(&s, a + i, b + i, bound);
        }
        t = tensor_errors_join(t, total_of_panel(&s, after, p));
    }
    return t;
}
