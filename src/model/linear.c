#include "model/linear.h"
#include "qtensor/qinput.h"

void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end)
{
    *begin = panel * PANEL;
    *end = *begin + PANEL < w->rows ? *begin + PANEL : w->rows;
}

void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y,
                  size_t stride, int panel)
{
    const struct format_ops *format = &isa->formats[w->weight.scheme.format];
    int begin, end;
    (x->kind == ACTIVATIONS_F32 ? format->matmul : format->matmul_q)(&w->weight, x, y, stride, panel,
                                                                     panel + 1);
    if (!w->bias) return;
    linear_outputs(&w->weight, panel, &begin, &end);
    for (int r = x->begin; r < x->end; r++, y += stride)
        isa->kernels->add(y, w->bias + begin, (size_t)(end - begin));
}
