/* The places of a panel's codes, for all products with codes, by the constant `bits` (qtensor.h has the layout). Formats of
 * levels pass their book, BOOK_NF4 or BOOK_E2M1, as `bits`. Their codes lie as codes of four bits do, and stand for int8 levels.
 * A format with a layout of its own passes OWN_LAYOUT (own_layout.isa.h).
 *
 * A panel is a sequence of steps. A step has LAYOUT_INPUTS inputs in LAYOUT_LINES lines of 256 bytes, [64 outputs][4]. A
 * quad is four consecutive inputs of a step. p points to a step's first line at some vector of outputs.
 *
 *   quad_stored(p, q, bits)    quad q's stored codes, 0..2^bits - 1; of a book, its int8 levels + 128
 *   quad_ready(p, q, bits)     what quad_float takes; in a loop it is made once
 *   quad_float(a, q, j, bits)  input j of quad q: a book's level, or 2^(32 - bits) times the signed code, which is exact */
#ifndef QTENSOR_LAYOUT_H
#define QTENSOR_LAYOUT_H
#include "qtensor/codes.isa.h"
#include "qtensor/levels.h"

#define BOOK_NF4       0x14
#define BOOK_E2M1      0x24
#define HAS_BOOK(bits) ((bits) > 8)
#define OWN_LAYOUT     0
#define IS_OWN(bits)   ((bits) == OWN_LAYOUT)
#ifndef OWN_FORMAT /* the file has none */
#define OWN_BITS   8
#define OWN_INPUTS 4
#define OWN_LINES  1
#endif
#define LAYOUT_BITS(bits) (HAS_BOOK(bits) ? 4 : IS_OWN(bits) ? OWN_BITS : (bits))
/* Bits of the integers that meet integer activations. Half of their range is added to them. */
#define PRODUCT_BITS(bits) (HAS_BOOK(bits) ? 8 : (bits))
#define PRODUCT_HALF(bits) (1 << (PRODUCT_BITS(bits) - 1))

ALWAYS_INLINE const struct code_book *book_at(const int bits)
{
    return bits == BOOK_NF4 ? &book_nf4 : &book_e2m1;
}

#define LAYOUT_LINE         (PANEL * 4)
#define LAYOUT_LINES(bits)  (IS_OWN(bits) ? OWN_LINES : (bits) == 3 ? 3 : 1)
#define LAYOUT_INPUTS(bits) (IS_OWN(bits) ? OWN_INPUTS : (bits) == 3 ? 32 : 32 / LAYOUT_BITS(bits))
#define LAYOUT_QUADS(bits)  (LAYOUT_INPUTS(bits) / 4)
#define LAYOUT_STEP(bits)   ((size_t)LAYOUT_LINES(bits) * LAYOUT_LINE)
#define LAYOUT_INPUTS_MAX   32
#define LAYOUT_LINES_MAX    3
/* Bytes of the codes of n inputs, whole steps, of a panel. */
#define LAYOUT_BYTES(n, bits)                                                                                \
    (IS_OWN(bits) ? (size_t)(n) / OWN_INPUTS * LAYOUT_STEP(bits)                                             \
                  : (size_t)(n) * (PANEL / 8) * (size_t)LAYOUT_BITS(bits))
/* Whether a line begins with quad q: time to fetch another one ahead. */
#define LAYOUT_BEGINS(q, bits) ((bits) == 3 ? (q) % 3 == 0 : (q) == 0)

/* DO(q) for every quad of a step. It is no loop, because q must be a constant for the compiler. */
#define EACH_QUAD(bits, DO)                                                                                  \
    DO(0)                                                                                                    \
    if (LAYOUT_QUADS(bits) > 1) {                                                                            \
        DO(1)                                                                                                \
    }                                                                                                        \
    if (LAYOUT_QUADS(bits) > 2) {                                                                            \
        DO(2) DO(3)                                                                                          \
    }                                                                                                        \
    if (LAYOUT_QUADS(bits) > 4) {                                                                            \
        DO(4) DO(5) DO(6) DO(7)                                                                              \
    }

/* i3: the first line has the low two bits of quads 0 to 3, the second those of 4 to 7, the third all high bits. */
ALWAYS_INLINE vc quad_stored(const uint8_t *p, int q, const int bits)
{
    switch (bits) {
    case 8: return vc_load(p);
    case 4: return q ? vc_high(vc_load(p)) : vc_low(vc_load(p));
    case 2: return vc_bits(vc_load(p), 2 * q, 3);
    case BOOK_NF4:
    case BOOK_E2M1:
        return vc_lookup(vc_table(book_at(bits)->integer), q ? vc_high(vc_load(p)) : vc_low(vc_load(p)));
    default:
        return vc_or(vc_bits(vc_load(p + q / 4 * LAYOUT_LINE), q % 4 * 2, 3),
                     vc_bits(vc_load(p + 2 * LAYOUT_LINE), q - 2, 4));
    }
}

/* The codes as int8, times 2^(8 - bits). */
ALWAYS_INLINE vc quad_signed(const uint8_t *p, int q, const int bits)
{
    switch (bits) {
#ifdef OWN_FORMAT
    case OWN_LAYOUT: return own_quad_signed(p, q);
#endif
    case 8: return vc_signed(vc_load(p));
    case 4: return q ? vc_signed_high(vc_load(p)) : vc_signed_low(vc_load(p));
    case 2: return vc_signed(vc_bits(vc_load(p), 2 * q - 6, 0xC0));
    default:
        return vc_signed(vc_or(vc_bits(vc_load(p + q / 4 * LAYOUT_LINE), q % 4 * 2 - 5, 0x60),
                               vc_bits(vc_load(p + 2 * LAYOUT_LINE), q - 7, 0x80)));
    }
}

ALWAYS_INLINE vc quad_ready(const uint8_t *p, int q, const int bits)
{
    return HAS_BOOK(bits) ? vc_load(p) : quad_signed(p, q, bits);
}

ALWAYS_INLINE vf quad_float(vc ready, int q, int j, const int bits)
{
    return HAS_BOOK(bits) ? vc_level(vf_load(book_at(bits)->level), ready, 8 * j + 4 * q)
                          : vc_float(ready, j);
}
#endif
