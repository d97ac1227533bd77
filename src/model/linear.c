#include "model/linear.h"

void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end)
{
    *begin = panel * PANEL;
    *end = *begin + PANEL < w->rows ? *begin + PANEL : w->rows;
}

void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y, int panel)
{
    const struct format_ops *format = &isa->formats[w->weight.scheme.format];
    const size_t stride = (size_t)w->weight.rows;
    int begin, end;
    (x->kind == ACTIVATIONS_F32 ? format->matmul : format->matmul_q)(&w->weight, x, y, stride, panel, panel + 1);
    if (!w->bias) return;
    linear_outputs(&w->weight, panel, &begin, &end);
    for (int r = x->begin; r < x->end; r++)
        isa->kernels->add(y + (size_t)r * stride + begin, w->bias + begin, (size_t)(end - begin));
}
