/* A whole format in one file, NAME.isa.c: integer codes of a grid, with float activations alone (the kind OWN in formats.h). The file
 * says where a code lies. Its floats, its quantizer and its products follow from that. The sums are those of
 * integer_matmul.isa.h, so their bits do not depend on the layout. NAME.isa.c is
 *
 *     #define OWN_FORMAT NAME
 *     #include "qtensor/own_layout.isa.h"
 *     OWN_WORD unsigned own_code(const uint8_t *lane, int k) { ... }               the stored code of input k
 *     OWN_WORD void own_put(uint8_t *lane, int k, unsigned code) { ... }           puts it where all bits are 0 so far
 *     OWN_FUNCTIONS(NAME)
 *
 * Layout. A panel is a sequence of steps; a step is lines of 256 bytes, [64 outputs][4]. `lane` is an output's first byte in
 * the panel, so its byte b of line l is lane[256 * l + b], b = 0 to 3. All steps are laid out alike. The row says how many inputs
 * a step has (4, 8, 16 or 32), and in how many bytes of an output (4 a line). Codes have 2, 3, 4 or 8 bits, as zero points of
 * groups do. Code 0 is stored as 2^(bits-1).
 *
 * Codes are read one by one, on every instruction set. A format that must be fast has words of vectors in layout.isa.h instead. */
#ifndef QTENSOR_OWN_LAYOUT_H
#define QTENSOR_OWN_LAYOUT_H
#include "qtensor/dequantize.h"
#include "qtensor/formats_table.h"

#define OWN_WORD ALWAYS_INLINE

#define OWN_FACTS(format, name, kind, bits, inputs, bytes, ...)                                              \
    enum { BITS_##name = bits, INPUTS_##name = inputs, BYTES_##name = bytes };
QFORMATS(OWN_FACTS)
#undef OWN_FACTS
#define OWN_BITS   FORMAT_PASTE(BITS_, OWN_FORMAT)
#define OWN_INPUTS FORMAT_PASTE(INPUTS_, OWN_FORMAT)
#define OWN_BYTES  FORMAT_PASTE(BYTES_, OWN_FORMAT)
#define OWN_LINES  (OWN_BYTES / 4)
_Static_assert(OWN_BITS == 2 || OWN_BITS == 3 || OWN_BITS == 4 || OWN_BITS == 8, "zero_points.h knows these");
_Static_assert(OWN_BYTES >= 4 && OWN_BYTES % 4 == 0, "an output has four bytes of each line");
_Static_assert(OWN_INPUTS *OWN_BITS <= OWN_BYTES * 8, "a step has room for its codes");
_Static_assert(OWN_INPUTS == 4 || OWN_INPUTS == 8 || OWN_INPUTS == 16 || OWN_INPUTS == 32,
               "inputs of a step");

OWN_WORD unsigned own_code(const uint8_t *lane, int k);
OWN_WORD void own_put(uint8_t *lane, int k, unsigned code);

#include "qtensor/codes.isa.h"

/* quad_signed of layout.isa.h. */
ALWAYS_INLINE vc own_quad_signed(const uint8_t *p, int q)
{
    uint8_t four[PANEL];
    for (int i = 0; i < PANEL; i++)
        four[i] = (uint8_t)(own_code(p + i / 4 * 4, 4 * q + i % 4) << (8 - OWN_BITS) ^ 0x80);
    return vc_load(four);
}

#include "qtensor/integer_matmul.isa.h"
#include "qtensor/stored_code.isa.h"

/* encode_fn. */
ALWAYS_INLINE void own_encode(const float *block, size_t stride, int k, const struct coding *c,
                              uint8_t *codes)
{
    const int inputs = (k + OWN_INPUTS - 1) / OWN_INPUTS * OWN_INPUTS;
    memset(codes, 0, LAYOUT_BYTES(inputs, OWN_LAYOUT));
    for (int v = 0; v < PANEL; v += 16) {
        const struct lanes l = lanes_at(c, v);
        for (int i = 0; i < inputs; i++) {
            float code[16];
            vf_store(code, stored_code(block + v, stride, i, k, c, l, (float)(1 << (OWN_BITS - 1)),
                                       OWN_LAYOUT, c->input_divisor, c->truncate));
            for (int o = 0; o < 16; o++) own_put(codes + 4 * (v + o), i, (unsigned)code[o]);
        }
    }
}

/* code_NAME has one definition for all instruction sets. */
#if defined(GPT2Q_ISA_scalar)
#define OWN_CODE(name)                                                                                       \
    unsigned code_##name(const uint8_t *lane, int k) { return own_code(lane, k); }
#else
#define OWN_CODE(name)
#endif
#define OWN_FUNCTIONS(name)                                                                                  \
    OWN_CODE(name)                                                                                           \
    void ISA(encode_##name)(const float *block, size_t stride, int k, const struct coding *c,                \
                            uint8_t *codes)                                                                  \
    {                                                                                                        \
        own_encode(block, stride, k, c, codes);                                                              \
    }                                                                                                        \
    INTEGER_MATMUL(name, OWN_LAYOUT)
#endif
