/* Dequantization, in the arithmetic of golden/make_goldens.py: each product and each sum is rounded to float.
 *     absmax, signed  s*q        affine  (q - z)*s        minmax, notes  (q + 2^(bits-1))*s + m
 *     levels          s*level
 * code_NAME says where a format has the code of an input. The rest follows from it. Rows give the weights of one
 * output. Panels give all weights, in memory's order. */
#include "qtensor/dequantize.h"
#include "kernels/float8.h"
#include "qtensor/levels.h"
#include "qtensor/zero_points.h"
#include <string.h>

/* Where the elements of a row lie in a float format: element k at the result + k*PANEL. */
static const uint8_t *row_start(const struct qtensor *w, int row, size_t element)
{
    return w->codes + (size_t)(row / PANEL) * w->panel_bytes + (size_t)(row % PANEL) * element;
}

void dequantize_row_f32(const struct qtensor *w, int row, float *y)
{
    const float *from = (const float *)row_start(w, row, sizeof *from);
    for (int k = 0; k < w->cols; k++) y[k] = from[(size_t)k * PANEL];
}

void dequantize_row_f16(const struct qtensor *w, int row, float *y)
{
    const uint16_t *from = (const uint16_t *)row_start(w, row, sizeof *from);
    for (int k = 0; k < w->cols; k++) y[k] = float_from_f16(from[(size_t)k * PANEL]);
}

void dequantize_row_bf16(const struct qtensor *w, int row, float *y)
{
    const uint16_t *from = (const uint16_t *)row_start(w, row, sizeof *from);
    for (int k = 0; k < w->cols; k++) y[k] = float_from_bf16(from[(size_t)k * PANEL]);
}

size_t qtensor_parameters(const struct qtensor *w)
{
    const size_t outputs = (size_t)qtensor_panels(w) * PANEL;
    switch (w->scheme.gran) {
    case QG_TENSOR: return 1;
    case QG_INPUT: return (size_t)w->cols;
    default: return outputs * (size_t)qtensor_groups(w);
    }
}

float qtensor_parameter(const struct qtensor *w, const void *values, size_t i)
{
    const uint16_t *half = values;
    const float *full = values;
    if (values == w->zero && scheme_zero_in_bits(w->scheme)) {
        const int bits = scheme_bits(w->scheme);
        const uint8_t *block = (const uint8_t *)values + i / PANEL * ZERO_BLOCK(bits);
        return (float)(zero_point_get(block, (int)(i % PANEL), bits) - scheme_middle(w->scheme));
    }
    const uint8_t *bytes = values;
    switch (scheme_scale(w->scheme)) { /* minima are as scales are */
    case QSCALE_E8M0: return float_from_e8m0(bytes[i]);
    case QSCALE_E4M3: return float_from_e4m3(bytes[i]) * *w->factor;
    case QSCALE_F16: return float_from_f16(half[i]);
    default: return full[i];
    }
}

size_t qtensor_parameter_of(const struct qtensor *w, int row, int k)
{
    switch (w->scheme.gran) {
    case QG_TENSOR: return 0;
    case QG_CHANNEL: return (size_t)row;
    case QG_INPUT: return (size_t)k;
    default: break;
    }
    const size_t groups = (size_t)qtensor_groups(w), group = (size_t)(k / w->scheme.group);
    return ((size_t)(row / PANEL) * groups + group) * PANEL + (size_t)(row % PANEL);
}

/* A scale, zero point or minimum (0 where there is none) of element (row, k). */
static float parameter(const struct qtensor *w, const void *values, int row, int k)
{
    return values ? qtensor_parameter(w, values, qtensor_parameter_of(w, row, k)) : 0.0f;
}

/* Turns n stored codes, as floats, into the levels that they stand for. */
static void levels_of_codes(enum qformat format, float *y, int n)
{
    for (int i = 0; i < n; i++) y[i] = format_level(format, (int)y[i]);
}

/* Turns stored codes, as floats in y, into weights. */
static void scale_row(const struct qtensor *w, int row, float *y)
{
    int step = w->scheme.gran == QG_GROUP ? w->scheme.group : w->scheme.gran == QG_INPUT ? 1 : w->cols;
    float middle = (float)scheme_middle(w->scheme);
    if (!scheme_has_grid(w->scheme)) levels_of_codes(w->scheme.format, y, w->cols);
    for (int k0 = 0; k0 < w->cols; k0 += step) {
        float s = parameter(w, w->scale, row, k0), z = parameter(w, w->zero, row, k0);
        for (int k = k0; k < k0 + step; k++) switch (scheme_zero(w->scheme)) {
            case QZERO_NONE: y[k] = (y[k] - middle) * s; break;
            case QZERO_POINT: y[k] = (y[k] - middle - z) * s; break;
            case QZERO_MINIMUM: y[k] = y[k] * s + z; break;
            }
    }
}

/* ---- codes: that of input k of the output whose first byte in the panel is at `lane` ---- */

static inline unsigned code_i8(const uint8_t *lane, int k)
{
    return lane[(size_t)(k / 4) * (PANEL * 4) + (size_t)(k % 4)];
}

static inline unsigned code_i4(const uint8_t *lane, int k)
{
    unsigned pair = lane[(size_t)(k / 8) * (PANEL * 4) + (size_t)(k % 4)];
    return k % 8 < 4 ? pair & 15u : pair >> 4;
}

static inline unsigned code_i3(const uint8_t *lane, int k)
{
    const int step = k / 32, line = k % 32 / 16, quad = k % 32 / 4;
    lane += (size_t)step * 3 * (PANEL * 4) + (size_t)(k % 4);
    unsigned low = lane[(size_t)line * (PANEL * 4)], high = lane[2 * (size_t)(PANEL * 4)];
    return (low >> quad % 4 * 2 & 3u) | (high >> quad & 1u) << 2;
}

static inline unsigned code_i2(const uint8_t *lane, int k)
{
    unsigned four = lane[(size_t)(k / 16) * (PANEL * 4) + (size_t)(k % 4)];
    return four >> k % 16 / 4 * 2 & 3u;
}

static inline unsigned code_fp8(const uint8_t *lane, int k) { return lane[(size_t)k * PANEL]; }

#define code_nf4      code_i4
#define code_mxfp4    code_i4
#define code_nvfp4    code_i4
#define code_fp8_e4m3 code_fp8
#define code_fp8_e5m2 code_fp8

/* Of a step's line, an output's bytes. */
#define LANE_BYTES(bytes) ((bytes) < 4 ? (bytes) : 4)

static const uint8_t *lane_of(const struct qtensor *w, int row)
{
    return w->codes + (size_t)(row / PANEL) * w->panel_bytes +
           (size_t)(row % PANEL) * LANE_BYTES((size_t)format_facts[w->scheme.format].bytes);
}

/* What follows from code_NAME: rows of weights, and the codes of a panel's outputs at one input. */
#define CODE_FUNCTIONS(name, bytes)                                                                          \
    void dequantize_row_##name(const struct qtensor *w, int row, float *y)                                   \
    {                                                                                                        \
        const uint8_t *lane = lane_of(w, row);                                                               \
        for (int k = 0; k < w->cols; k++) y[k] = (float)code_##name(lane, k);                                \
        scale_row(w, row, y);                                                                                \
    }                                                                                                        \
    static void panel_codes_##name(const uint8_t *panel, int k, float *out)                                  \
    {                                                                                                        \
        for (int o = 0; o < PANEL; o++) out[o] = (float)code_##name(panel + LANE_BYTES(bytes) * o, k);       \
    }                                                                                                        \
    static int stored_code_##name(const uint8_t *lane, int k) { return (int)code_##name(lane, k); }
#define CODE_FUNCTIONS_OF(format, name, kind, bits, inputs, bytes, ...)                                      \
    OF_CODES(kind)(CODE_FUNCTIONS(name, bytes))
QFORMATS(CODE_FUNCTIONS_OF)

#define STORED_CODE_OF(format, name, kind, ...) OF_CODES(kind)([format] = stored_code_##name, )
int qtensor_stored_code(const struct qtensor *w, int row, int k)
{
    static int (*const of[QF_COUNT])(const uint8_t *, int) = {QFORMATS(STORED_CODE_OF)};
    return of[w->scheme.format](lane_of(w, row), k);
}

/* ---- panels ---- */

int panel_parameters(const struct qtensor *w, int panel, int k, struct panel_parameters *out)
{
    bool by_group = w->scheme.gran == QG_GROUP, by_input = w->scheme.gran == QG_INPUT;
    for (int o = 0; o < PANEL; o++) {
        out->scale[o] = parameter(w, w->scale, panel * PANEL + o, k);
        out->zero[o] = parameter(w, w->zero, panel * PANEL + o, k);
    }
    return by_group ? (k / w->scheme.group + 1) * w->scheme.group : by_input ? k + 1 : w->cols;
}

#define PANEL_CODES_OF(format, name, kind, ...) OF_CODES(kind)([format] = panel_codes_##name, )
static void (*const panel_codes[QF_COUNT])(const uint8_t *panel, int k,
                                           float *out) = {QFORMATS(PANEL_CODES_OF)};

static void scale_codes(struct scheme scheme, const struct panel_parameters *p, float *y)
{
    const float middle = (float)scheme_middle(scheme);
    switch (scheme_zero(scheme)) {
    case QZERO_NONE:
        for (int o = 0; o < PANEL; o++) y[o] = (y[o] - middle) * p->scale[o];
        break;
    case QZERO_POINT:
        for (int o = 0; o < PANEL; o++) y[o] = (y[o] - middle - p->zero[o]) * p->scale[o];
        break;
    case QZERO_MINIMUM:
        for (int o = 0; o < PANEL; o++) y[o] = y[o] * p->scale[o] + p->zero[o];
        break;
    }
}

static void floats_of(const struct qtensor *w, const uint8_t *panel, int k, float *out)
{
    const uint16_t *half = (const uint16_t *)panel + (size_t)k * PANEL;
    switch (w->scheme.format) {
    case QF_F32: memcpy(out, (const float *)panel + (size_t)k * PANEL, PANEL * sizeof *out); break;
    case QF_F16:
        for (int o = 0; o < PANEL; o++) out[o] = float_from_f16(half[o]);
        break;
    default:
        for (int o = 0; o < PANEL; o++) out[o] = float_from_bf16(half[o]);
        break;
    }
}

void dequantize_panel(const struct qtensor *w, int panel, int k0, int k1, float *block)
{
    const uint8_t *codes = w->codes + (size_t)panel * w->panel_bytes;
    struct panel_parameters p;
    for (int k = k0, end = k0; k < k1; k++, block += PANEL) {
        if (!scheme_has_codes(w->scheme)) {
            floats_of(w, codes, k, block);
            continue;
        }
        if (k == end) end = panel_parameters(w, panel, k, &p);
        panel_codes[w->scheme.format](codes, k, block);
        if (!scheme_has_grid(w->scheme)) levels_of_codes(w->scheme.format, block, PANEL);
        scale_codes(w->scheme, &p, block);
    }
}
