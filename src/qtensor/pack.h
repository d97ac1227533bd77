/* From float weights to codes in panels: the part of the quantizer that runs over every weight, one row
 * per instruction set. The scalar row is the definition. A block is a part of a panel as floats, [k][64],
 * with `stride` floats from one k to the next. */
#ifndef QTENSOR_PACK_H
#define QTENSOR_PACK_H
#include "qtensor/quantize.h"

/* Smallest and largest weight of each of the 64 outputs of a panel. */
struct range {
    float lo[PANEL], hi[PANEL];
};

/* How the codes of a block come from its weights, output by output:
 *     stored = clamp(rint((w - shift) / divisor) + offset, least, most)
 * or, with truncate, trunc(clamp((w - shift) / divisor, least, most)). If input_divisor is not NULL, the
 * three input_ arrays replace divisor, shift and offset: one number for each k, the same for all outputs. */
struct coding {
    float divisor[PANEL], shift[PANEL], offset[PANEL];
    const float *input_divisor, *input_shift, *input_offset;
    float least, most;
    bool truncate;
};

typedef void encode_fn(const float *block, size_t stride, int k, const struct coding *c, uint8_t *codes);

struct pack_ops {
    /* Reads inputs [k0, k1) of a panel of the source as floats, block [k1 - k0][64]. Outputs beyond the
     * last repeat the panel's first one, so that they never change a range. */
    void (*read)(const struct qsource *src, int panel, int k0, int k1, float *block);
    /* Widens *r by the block. Returns false if a weight is not finite. */
    bool (*range)(const float *block, size_t stride, int k, struct range *r);
    /* Widens lo[i], hi[i] by the 64 weights of input i, for k inputs. Returns false if one is not finite. */
    bool (*input_range)(const float *block, size_t stride, int k, float *lo, float *hi);
    /* By format, for those with codes: k inputs to codes (k a multiple of the layout's step, but for the
     * end of a row). */
    encode_fn *encode[QF_COUNT];
    /* n floats to 16 bits, n a multiple of 16. */
    void (*to_f16)(const float *w, size_t n, uint16_t *out);
    void (*to_bf16)(const float *w, size_t n, uint16_t *out);
};
#endif
