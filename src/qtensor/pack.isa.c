/* The quantizer's inner loops (pack.h): lanes are outputs, so nothing is reduced across lanes but the range
 * of an input. */
#include "qtensor/formats_table.h"
#include "qtensor/stored_code.isa.h"

#define VECTORS (PANEL / 16)

/* ---- reading a source ---- */

static size_t element_bytes(enum dtype dtype) { return dtype == DT_F32 ? 4 : 2; }

/* 64 elements side by side, of any alignment. */
static void convert64(enum dtype dtype, const uint8_t *from, float *out)
{
    uint16_t half[PANEL];
    if (dtype == DT_F32) {
        memcpy(out, from, PANEL * sizeof *out);
        return;
    }
    memcpy(half, from, sizeof half);
    for (int i = 0; i < PANEL; i += 16)
        vf_store(out + i, dtype == DT_F16 ? vf_load_f16(half + i) : vf_load_bf16(half + i));
}

static float convert1(enum dtype dtype, const uint8_t *from)
{
    float f;
    uint16_t half;
    if (dtype == DT_F32) {
        memcpy(&f, from, sizeof f);
        return f;
    }
    memcpy(&half, from, sizeof half);
    return dtype == DT_F16 ? float_from_f16(half) : float_from_bf16(half);
}

/* Rows of 64 outputs by up to 64 inputs at a time, turned: inputs side by side become outputs side by side.
 */
static void read_turned(const struct qsource *src, int first, int outputs, int k0, int k1, float *block)
{
    size_t size = element_bytes(src->dtype);
    for (int k = k0; k < k1; k += PANEL) {
        int n = k1 - k < PANEL ? k1 - k : PANEL;
        float run[PANEL];
        for (int o = 0; o < outputs; o++) {
            const uint8_t *from =
                (const uint8_t *)src->data + ((size_t)(first + o) * src->row_stride + (size_t)k) * size;
            if (n == PANEL)
                convert64(src->dtype, from, run);
            else
                for (int i = 0; i < n; i++) run[i] = convert1(src->dtype, from + (size_t)i * size);
            for (int i = 0; i < n; i++) block[(size_t)(k - k0 + i) * PANEL + (size_t)o] = run[i];
        }
    }
}

static void pack_read(const struct qsource *src, int panel, int k0, int k1, float *block)
{
    int first = panel * PANEL, outputs = src->rows - first < PANEL ? src->rows - first : PANEL;
    size_t size = element_bytes(src->dtype);
    if (src->col_stride == 1)
        read_turned(src, first, outputs, k0, k1, block);
    else
        for (int k = k0; k < k1; k++) {
            float *out = block + (size_t)(k - k0) * PANEL;
            const uint8_t *from = (const uint8_t *)src->data +
                                  ((size_t)first * src->row_stride + (size_t)k * src->col_stride) * size;
            if (src->row_stride == 1 && outputs == PANEL)
                convert64(src->dtype, from, out);
            else
                for (int o = 0; o < outputs; o++)
                    out[o] = convert1(src->dtype, from + (size_t)o * src->row_stride * size);
        }
    for (int k = k0; k < k1; k++)
        for (int o = outputs; o < PANEL; o++)
            block[(size_t)(k - k0) * PANEL + (size_t)o] = block[(size_t)(k - k0) * PANEL];
}

/* ---- ranges ---- */

/* x*0 is 0 for a finite x, else NaN. A sum keeps a NaN. */
static bool pack_range(const float *block, size_t stride, int k, struct range *r)
{
    vf lo[VECTORS], hi[VECTORS], strange[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        lo[v] = vf_load(r->lo + 16 * v);
        hi[v] = vf_load(r->hi + 16 * v);
        strange[v] = vf_zero();
    }
    for (int i = 0; i < k; i++, block += stride)
        for (int v = 0; v < VECTORS; v++) {
            vf w = vf_load(block + 16 * v);
            lo[v] = vf_min(w, lo[v]);
            hi[v] = vf_max(w, hi[v]);
            strange[v] = vf_fma(w, vf_zero(), strange[v]);
        }
    for (int v = 0; v < VECTORS; v++) {
        vf_store(r->lo + 16 * v, lo[v]);
        vf_store(r->hi + 16 * v, hi[v]);
    }
    return vf_sum(vf_add(vf_add(strange[0], strange[1]), vf_add(strange[2], strange[3]))) == 0.0f;
}

static bool pack_input_range(const float *block, size_t stride, int k, float *lo, float *hi)
{
    vf strange = vf_zero();
    for (int i = 0; i < k; i++) {
        vf least = vf_set1(lo[i]), most = vf_set1(hi[i]);
        for (int v = 0; v < PANEL; v += 16) {
            vf w = vf_load(block + (size_t)i * stride + v);
            least = vf_min(w, least);
            most = vf_max(w, most);
            strange = vf_fma(w, vf_zero(), strange);
        }
        lo[i] = -vf_hmax(vf_neg(least));
        hi[i] = vf_hmax(most);
    }
    return vf_sum(strange) == 0.0f;
}

/* ---- codes ---- */

/* A byte of each line of a step, as floats, 16 outputs: input j of every quad. */
ALWAYS_INLINE void step_bytes(const float *w, size_t stride, int i, int k, const struct coding *c,
                              struct lanes l, vf byte[LAYOUT_LINES_MAX], const int bits, const bool by_input,
                              const bool truncate)
{
    for (int line = 0; line < LAYOUT_LINES(bits); line++) byte[line] = vf_zero();
    for (int q = 0; q < LAYOUT_QUADS(bits); q++) {
        vf code = stored_code(w, stride, i + 4 * q, k, c, l, (float)(1 << (LAYOUT_BITS(bits) - 1)), bits,
                              by_input, truncate);
        if (bits == 3) { /* its high bit lies in another line */
            const vf high = vf_select_lt(code, vf_set1(4.0f), vf_zero(), vf_set1(1.0f));
            byte[2] = vf_fma(high, vf_set1((float)(1 << q)), byte[2]);
            code = vf_fma(high, vf_set1(-4.0f), code);
        }
        const int at = bits == 3 ? q % 4 * 2 : q * LAYOUT_BITS(bits);
        byte[bits == 3 ? q / 4 : 0] = vf_fma(code, vf_set1((float)(1 << at)), byte[bits == 3 ? q / 4 : 0]);
    }
}

ALWAYS_INLINE void encode(const float *block, size_t stride, int k, const struct coding *c, uint8_t *codes,
                          const int bits, const bool by_input, const bool truncate)
{
    for (int v = 0; v < VECTORS; v++) {
        const struct lanes l = lanes_at(c, 16 * v);
        uint8_t *to = codes + 64 * v;
        for (int i = 0; i < k; i += LAYOUT_INPUTS(bits), to += LAYOUT_STEP(bits)) {
            vf bytes[4][LAYOUT_LINES_MAX];
            for (int j = 0; j < 4; j++)
                step_bytes(block + 16 * v, stride, i + j, k, c, l, bytes[j], bits, by_input, truncate);
            for (int line = 0; line < LAYOUT_LINES(bits); line++)
                vc_store(to + line * LAYOUT_LINE,
                         vc_pack(vf_to_int(bytes[0][line]), vf_to_int(bytes[1][line]),
                                 vf_to_int(bytes[2][line]), vf_to_int(bytes[3][line])));
        }
    }
}

/* Floats of a byte, [k][64]. */
ALWAYS_INLINE void encode_float8(const float *block, size_t stride, int k, const struct coding *c,
                                 uint8_t *codes, uint8_t from_float(float))
{
    for (int i = 0; i < k; i++, block += stride, codes += PANEL)
        for (int o = 0; o < PANEL; o++) codes[o] = from_float(block[o] / c->divisor[o]);
}

/* The choices that do not change over a block, made once. Levels have none; their groups are whole steps. */
ALWAYS_INLINE void encode_choosing(const float *block, size_t stride, int k, const struct coding *c,
                                   uint8_t *codes, const int bits)
{
    if (HAS_BOOK(bits))
        encode(block, stride, k, c, codes, bits, false, false);
    else if (c->input_divisor)
        encode(block, stride, k, c, codes, bits, true, false);
    else if (c->truncate)
        encode(block, stride, k, c, codes, bits, false, true);
    else
        encode(block, stride, k, c, codes, bits, false, false);
}

#define BOOK_nf4                  BOOK_NF4
#define BOOK_mxfp4                BOOK_E2M1
#define BOOK_nvfp4                BOOK_E2M1
#define ROUND_fp8_e4m3            e4m3_from_float
#define ROUND_fp8_e5m2            e5m2_from_float
#define ENCODE_CODES(name, bits)  encode_choosing(block, stride, k, c, codes, bits)
#define ENCODE_LEVELS(name, bits) encode_choosing(block, stride, k, c, codes, BOOK_##name)
#define ENCODE_FLOAT8(name, bits) encode_float8(block, stride, k, c, codes, ROUND_##name)
#define ENCODE_OWN(name, bits)    ISA(encode_##name)(block, stride, k, c, codes)
#define ENCODE(format, name, kind, bits, ...)                                                                \
    OF_CODES(kind)                                                                                           \
    (static void encode_##name(const float *block, size_t stride, int k, const struct coding *c,             \
                               uint8_t *codes) { ENCODE_##kind(name, bits); })
QFORMATS(ENCODE)

static void pack_to_f16(const float *w, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += 16) vf_store_f16(out + i, vf_load(w + i));
}

static void pack_to_bf16(const float *w, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += 16) vf_store_bf16(out + i, vf_load(w + i));
}

#define ENCODE_OF(format, name, kind, ...) OF_CODES(kind)([format] = encode_##name, )
const struct pack_ops ISA(pack_ops) = {pack_read,   pack_range,  pack_input_range, {QFORMATS(ENCODE_OF)},
                                       pack_to_f16, pack_to_bf16};
