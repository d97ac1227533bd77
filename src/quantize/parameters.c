#include "quantize/parameters.h"
#include "qtensor/dequantize.h"

size_t parameters_counted(const struct qtensor *w)
{
    switch (w->scheme.gran) {
    case QG_TENSOR: return 1;
    case QG_INPUT: return (size_t)w->cols;
    default: return (size_t)w->rows * (size_t)qtensor_groups(w);
    }
}

/* Where number i lies among the stored ones. They have groups in the order of panels. */
static size_t stored_at(const struct qtensor *w, size_t i)
{
    if (w->scheme.gran != QG_GROUP) return i;
    const size_t groups = (size_t)qtensor_groups(w);
    return qtensor_parameter_of(w, (int)(i / groups), (int)(i % groups) * w->scheme.group);
}

void parameter_counted(const struct qtensor *w, size_t i, float *scale, float *zero)
{
    const size_t at = stored_at(w, i);
    *scale = qtensor_parameter(w, w->scale, at);
    *zero = w->zero ? qtensor_parameter(w, w->zero, at) : 0.0f;
    if (scheme_zero(w->scheme) != QZERO_MINIMUM || scheme_is_notes(w->scheme)) return;
    float lowest = (float)-scheme_middle(w->scheme);
    *zero = *scale > 0 ? lowest - *zero / *scale : 0.0f;
}

int qtensor_code(const struct qtensor *w, int row, int k)
{
    int code = qtensor_stored_code(w, row, k);
    return scheme_is_notes(w->scheme) ? code : code - scheme_middle(w->scheme);
}
