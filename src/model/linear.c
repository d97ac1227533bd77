#include "model/linear.h"
#include "qtensor/dequantize.h"
#include <math.h>
#include "qtensor/qinput.h"

void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end)
{
    *begin = panel * PANEL;
    *end = *begin + PANEL < w->rows ? *begin + PANEL : w->rows;
}

/* Adds what the outliers of a row contribute to 64 outputs. For each output it is one chain of fused
 * multiply-adds in increasing input. The chain's result is added to the product of codes. */
static void add_outliers(const struct linear_weight *w, const struct qinput *x, int row, float *y, int n,
                         int panel)
{
    const int32_t *list = x->outliers + (size_t)row * ((size_t)x->cols + 1);
    const float *from = x->f32 + (size_t)row * x->stride;
    float sums[PANEL] = {0}, block[PANEL];
    if (!list[0]) return;
    for (int32_t i = 1; i <= list[0]; i++) {
        dequantize_panel(&w->weight, panel, list[i], list[i] + 1, block);
        for (int o = 0; o < n; o++) sums[o] = fmaf(from[list[i]], block[o], sums[o]);
    }
    for (int o = 0; o < n; o++) y[o] += sums[o];
}

void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y,
                  size_t stride, int panel)
{
    const struct format_ops *format = &isa->formats[w->weight.scheme.format];
    int begin, end;
    (x->kind == ACTIVATIONS_F32 ? format->matmul : format->matmul_q)(&w->weight, x, y, stride, panel,
                                                                     panel + 1);
    linear_outputs(&w->weight, panel, &begin, &end);
    if (x->kind != ACTIVATIONS_F32 && x->outliers)
        for (int r = x->begin; r < x->end; r++)
            add_outliers(w, x, r, y + (size_t)(r - x->begin) * stride, end - begin, panel);
    if (!w->bias) return;
    for (int r = x->begin; r < x->end; r++, y += stride)
        isa->kernels->add(y, w->bias + begin, (size_t)(end - begin));
}
