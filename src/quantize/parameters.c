#include "quantize/parameters.h"
#include "kernels/half.h"

size_t qtensor_parameters(const struct qtensor *w)
{
    switch (w->scheme.gran) {
    case QG_TENSOR: return 1;
    case QG_CHANNEL: return (size_t)w->rows;
    case QG_INPUT: return (size_t)w->cols;
    default: return (size_t)w->rows * (size_t)(w->cols / w->scheme.group);
    }
}

/* Where number i lies among the stored ones: groups come by panels. */
static float stored_at(const struct qtensor *w, const void *values, size_t i)
{
    if (w->scheme.gran != QG_GROUP) return ((const float *)values)[i];
    size_t groups = (size_t)(w->cols / w->scheme.group), row = i / groups, g = i % groups;
    return float_from_f16(((const uint16_t *)values)[(row / PANEL * groups + g) * PANEL + row % PANEL]);
}

void qtensor_parameter(const struct qtensor *w, size_t i, float *scale, float *zero)
{
    *scale = stored_at(w, w->scale, i);
    *zero = w->zero ? stored_at(w, w->zero, i) : 0.0f;
    if (scheme_zero(w->scheme) != QZERO_MINIMUM || scheme_is_notes(w->scheme)) return;
    float lowest = (float)-scheme_middle(w->scheme);
    *zero = *scale > 0 ? lowest - *zero / *scale : 0.0f;
}

int qtensor_code(const struct qtensor *w, int row, int k)
{
    int code = qtensor_stored_code(w, row, k);
    return scheme_is_notes(w->scheme) ? code : code - scheme_middle(w->scheme);
}
