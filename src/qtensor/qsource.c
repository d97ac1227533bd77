/* Reads a float matrix where it lies in a checkpoint, element by element, and finds the notes' parameters
 * of a whole tensor. The quantizer's fast reader is in pack.isa.c. */
#include "kernels/half.h"
#include "qtensor/grid.h"
#include "qtensor/quantize.h"

static float element(const struct qsource *src, int o, int i)
{
    size_t at = (size_t)o * src->row_stride + (size_t)i * src->col_stride;
    float f;
    uint16_t half;
    if (src->dtype == DT_F32) {
        memcpy(&f, (const uint8_t *)src->data + at * sizeof f, sizeof f);
        return f;
    }
    memcpy(&half, (const uint8_t *)src->data + at * sizeof half, sizeof half);
    return src->dtype == DT_F16 ? float_from_f16(half) : float_from_bf16(half);
}

void qsource_read(const struct qsource *src, int o, int i0, int n, float *out)
{
    for (int i = 0; i < n; i++) out[i] = element(src, o, i0 + i);
}

void notes_parameters(const struct qsource *src, float *scale, float *min)
{
    bool turned = src->row_stride == 1; /* walk memory in its own order */
    int outer = turned ? src->cols : src->rows, inner = turned ? src->rows : src->cols;
    float lo = element(src, 0, 0), hi = lo;
    for (int a = 0; a < outer; a++)
        for (int b = 0; b < inner; b++) {
            float w = turned ? element(src, b, a) : element(src, a, b);
            lo = w < lo ? w : lo;
            hi = w > hi ? w : hi;
        }
    struct choice c = grid_of(QGRID_NOTES)->choose(lo, hi, 8, false);
    *scale = c.scale;
    *min = c.zero;
}

uint8_t notes_code(float w, float scale, float min)
{
    float t = (w - min) / (scale > 0.0f ? scale : 1.0f);
    return (uint8_t)(t > 0.0f ? t < 255.0f ? t : 255.0f : 0.0f);
}

void notes_quantize(const struct qsource *src, float *values, size_t n, uint8_t *codes, float *scale,
                    float *min)
{
    notes_parameters(src, scale, min);
    for (size_t i = 0; i < n; i++) {
        const uint8_t code = notes_code(values[i], *scale, *min);
        values[i] = *scale * (float)code + *min;
        if (codes) codes[i] = code;
    }
}
