#include "model/linear.h"
#include "base/threads.h"

static void panels_of(const struct qtensor *w, int thread, int n_threads, int *p0, int *p1)
{
    int64_t a, b;
    threads_split(qtensor_panels(w), thread, n_threads, &a, &b);
    *p0 = (int)a;
    *p1 = (int)b;
}

void linear_outputs(const struct qtensor *w, int thread, int n_threads, int *begin, int *end)
{
    int p0, p1;
    panels_of(w, thread, n_threads, &p0, &p1);
    *begin = p0 * PANEL < w->rows ? p0 * PANEL : w->rows;
    *end = p1 * PANEL < w->rows ? p1 * PANEL : w->rows;
}

void linear(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y, size_t y_stride,
            int thread, int n_threads)
{
    int p0, p1, begin, end;
    panels_of(&w->weight, thread, n_threads, &p0, &p1);
    if (p0 == p1) return;
    const struct format_ops *format = &isa->formats[w->weight.scheme.format];
    (x->kind == ACTIVATIONS_F32 ? format->matmul : format->matmul_q)(&w->weight, x, y, y_stride, p0, p1);
    if (!w->bias) return;
    linear_outputs(&w->weight, thread, n_threads, &begin, &end);
    for (int r = 0; r < x->n; r++)
        isa->kernels->add(y + (size_t)r * y_stride + begin, w->bias + begin, (size_t)(end - begin));
}
